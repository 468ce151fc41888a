//! A map of fields.

use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::{Amount, Field, Kind};

use super::{expiry_ms, grow, read, write};
use crate::engine::{Engine, Ttl, check_name, check_value, element_bytes};
use crate::error::WriteError;

/// A map of fields: names of at most [`KEY_BYTES_LIMIT`](crate::KEY_BYTES_LIMIT) bytes with values of at most
/// [`VALUE_BYTES_LIMIT`](crate::VALUE_BYTES_LIMIT).
///
/// **Concurrent use:** each field is merged by itself. Of two puts of one field the later stays; a put beside a removal
/// stays; what is added adds up, and a put takes away what its node had seen. A field may end by itself. A map whose
/// last field goes is no key any more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = rumour::Node::builder()
/// #     .name("doc").cluster_key(rumour::ClusterKey::generate()?).listen("127.0.0.1:0").start().await?;
/// # let cache = node.cache();
/// use std::time::Duration;
///
/// let user = cache.map("user:42");
/// assert!(user.put("name", "ada").await?);
/// assert_eq!(user.add("logins", 2).await?, 2);
/// user.expire("name", Some(Duration::from_secs(60))).await?;
/// assert_eq!(user.get("name").await?, Some("ada".into()));
/// assert_eq!(user.entries().await?.len(), 2);
/// assert!(user.remove("logins").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until one of its methods is awaited"]
pub struct Map<'a> {
    engine: &'a Engine,
    key: Bytes,
}

impl<'a> Map<'a> {
    pub(super) fn new(engine: &'a Engine, key: Bytes) -> Self {
        Self { engine, key }
    }

    /// Puts a value in place of what the field holds, and takes its expiry away; gives whether the field is new.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn put(&self, field: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<bool, WriteError> {
        let (field, value) = (field.as_ref(), value.into());
        check_name(field.len())?;
        check_value(value.len())?;
        grow(self.engine, &self.key, Kind::Map, |key| {
            let now_ms = key.now_ms();
            key.check_room(element_bytes(field, value.len()))?;
            let mut fields = key.map()?;
            let new = fields.fields().is_none_or(|fields| fields.get(field, now_ms).is_none());
            fields.put(field, value, None);
            Ok(new)
        })
        .await
    }

    /// The value of a field, a number as its digits.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn get(&self, field: impl AsRef<[u8]>) -> Result<Option<Bytes>, WriteError> {
        self.look(field.as_ref(), Field::text).await
    }

    /// Removes a field; gives whether it was there.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn remove(&self, field: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        write(self.engine, &self.key, Kind::Map, |key| match key.kind() {
            None => Ok(false),
            Some(_) => Ok(key.map()?.remove(field.as_ref())),
        })
        .await
    }

    /// Adds to the whole number that a field holds, zero if there is none; gives the number as this node then sees it.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn add(&self, field: impl AsRef<[u8]>, by: i64) -> Result<i64, WriteError> {
        let field = field.as_ref();
        check_name(field.len())?;
        grow(self.engine, &self.key, Kind::Map, |key| {
            let present = key.view().and_then(|view| Some(view.map()?.get(field, view.now_ms())?.text()));
            let present =
                present.map_or(Some(0), |text| std::str::from_utf8(&text).ok()?.parse::<i64>().ok());
            let total =
                present.ok_or(WriteError::NotAnInteger)?.checked_add(by).ok_or(WriteError::Overflow)?;
            key.check_room(element_bytes(field, 0))?;
            key.map()?.add(field, Amount::Integer(by));
            Ok(total)
        })
        .await
    }

    /// All fields with their values, in no order.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn entries(&self) -> Result<Vec<(Bytes, Bytes)>, WriteError> {
        let entries = read(self.engine, &self.key, Kind::Map, |view| {
            let fields = view.map().into_iter().flat_map(|fields| fields.iter(view.now_ms()));
            fields.map(|(name, field)| (Bytes::copy_from_slice(name), field.text())).collect()
        })
        .await?;
        Ok(entries.unwrap_or_default())
    }

    /// How many fields it has; zero if there is no such key.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn len(&self) -> Result<usize, WriteError> {
        let len = read(self.engine, &self.key, Kind::Map, |view| {
            view.map().map_or(0, |fields| fields.iter(view.now_ms()).count())
        })
        .await?;
        Ok(len.unwrap_or(0))
    }

    /// Whether it has no field.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn is_empty(&self) -> Result<bool, WriteError> {
        Ok(self.len().await? == 0)
    }

    /// Lets a field end after `ttl`, or stay; gives whether there is such a field.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn expire(&self, field: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool, WriteError> {
        let field = field.as_ref();
        let at_ms = ttl.map(|ttl| expiry_ms(self.engine, ttl));
        write(self.engine, &self.key, Kind::Map, |key| {
            let text = key.view().and_then(|view| Some(view.map()?.get(field, view.now_ms())?.text()));
            let Some(text) = text else { return Ok(false) };
            let mut fields = key.map()?;
            if !fields.expire_at(field, at_ms) && at_ms.is_some() {
                // Only counted so far: what ends is a value.
                fields.put(field, text, at_ms);
            }
            Ok(true)
        })
        .await
    }

    /// When a field ends.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn ttl(&self, field: impl AsRef<[u8]>) -> Result<Ttl, WriteError> {
        let end = self.look(field.as_ref(), Field::expires_at_ms).await?;
        Ok(end.map_or(Ttl::Missing, |end| end.map_or(Ttl::Persistent, Ttl::At)))
    }

    async fn look<R>(
        &self,
        field: &[u8],
        look: impl FnOnce(&Field<Bytes>) -> R,
    ) -> Result<Option<R>, WriteError> {
        let found = read(self.engine, &self.key, Kind::Map, |view| {
            view.map().and_then(|fields| fields.get(field, view.now_ms())).map(look)
        })
        .await?;
        Ok(found.flatten())
    }
}
