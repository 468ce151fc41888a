//! A set of names.

use bytes::Bytes;
use rumour_crdt::{Fields, Kind};

use super::{grow, read, write};
use crate::engine::{Engine, check_name, element_bytes};
use crate::error::WriteError;

/// A set of members, each a name of at most [`KEY_BYTES_LIMIT`](crate::KEY_BYTES_LIMIT) bytes.
///
/// **Concurrent use:** what two nodes insert is all in it. An insert beside a removal of the same member wins. A set
/// whose last member goes is no key any more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = rumour::Node::builder()
/// #     .name("doc").cluster_key(rumour::ClusterKey::generate()?).listen("127.0.0.1:0").start().await?;
/// # let cache = node.cache();
/// let tags = cache.set_of("tags");
/// assert!(tags.insert("new").await?);
/// assert!(!tags.insert("new").await?);
/// assert!(tags.contains("new").await?);
/// assert_eq!((tags.len().await?, tags.members().await?), (1, vec!["new".into()]));
/// assert!(tags.remove("new").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until one of its methods is awaited"]
pub struct SetOf<'a> {
    engine: &'a Engine,
    key: Bytes,
}

impl<'a> SetOf<'a> {
    pub(super) fn new(engine: &'a Engine, key: Bytes) -> Self {
        Self { engine, key }
    }

    /// Inserts a member; gives whether it is new.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn insert(&self, member: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        let member = member.as_ref();
        check_name(member.len())?;
        grow(self.engine, &self.key, Kind::Set, |key| {
            let now_ms = key.now_ms();
            key.check_room(element_bytes(member, 0))?;
            let mut members = key.members()?;
            let new = members.fields().is_none_or(|members| members.get(member, now_ms).is_none());
            // Also when it is there: it must outlive a removal elsewhere.
            members.put(member, (), None);
            Ok(new)
        })
        .await
    }

    /// Removes a member; gives whether it was there.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        write(self.engine, &self.key, Kind::Set, |key| match key.kind() {
            None => Ok(false),
            Some(_) => Ok(key.members()?.remove(member.as_ref())),
        })
        .await
    }

    /// Whether it has a member.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn contains(&self, member: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        let there = read(self.engine, &self.key, Kind::Set, |view| {
            view.members().is_some_and(|members| members.get(member.as_ref(), view.now_ms()).is_some())
        })
        .await?;
        Ok(there.unwrap_or(false))
    }

    /// How many members it has; zero if there is no such key.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn len(&self) -> Result<usize, WriteError> {
        let len =
            read(self.engine, &self.key, Kind::Set, |view| view.members().map_or(0, Fields::len)).await?;
        Ok(len.unwrap_or(0))
    }

    /// Whether it has no member.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn is_empty(&self) -> Result<bool, WriteError> {
        Ok(self.len().await? == 0)
    }

    /// All members, in no order.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn members(&self) -> Result<Vec<Bytes>, WriteError> {
        let members = read(self.engine, &self.key, Kind::Set, |view| {
            let members = view.members().into_iter().flat_map(|members| members.iter(view.now_ms()));
            members.map(|(name, _)| Bytes::copy_from_slice(name)).collect()
        })
        .await?;
        Ok(members.unwrap_or_default())
    }
}
