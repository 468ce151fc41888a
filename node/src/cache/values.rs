//! A register that keeps all concurrent values.

use bytes::Bytes;
use rumour_crdt::{Field, Kind};

use super::{grow, read};
use crate::engine::{Engine, check_value};
use crate::error::WriteError;

/// A multi-value register: a put replaces the values that its node had seen, and those only.
///
/// **Concurrent use:** nothing is lost. What several nodes put at the same time is all there, until somebody who has
/// seen it puts again: so a service merges by rules of its own. Values have at most
/// [`VALUE_BYTES_LIMIT`](crate::VALUE_BYTES_LIMIT) bytes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = rumour::Node::builder()
/// #     .name("doc").cluster_key(rumour::ClusterKey::generate()?).listen("127.0.0.1:0").start().await?;
/// # let cache = node.cache();
/// let cart = cache.values("cart:7");
/// cart.put("apples").await?;
/// let merged: Vec<u8> = cart.get().await?.concat();
/// cart.put(merged).await?;
/// assert_eq!(cart.get().await?, ["apples"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until one of its methods is awaited"]
pub struct Values<'a> {
    engine: &'a Engine,
    key: Bytes,
}

impl<'a> Values<'a> {
    pub(super) fn new(engine: &'a Engine, key: Bytes) -> Self {
        Self { engine, key }
    }

    /// Puts a value in place of those that this node sees.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn put(&self, value: impl Into<Bytes>) -> Result<(), WriteError> {
        let value = value.into();
        check_value(value.len())?;
        grow(self.engine, &self.key, Kind::Values, |key| {
            key.values()?.put(b"", value, None);
            Ok(())
        })
        .await
    }

    /// All concurrent values, the latest first; empty if there is no such key.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn get(&self) -> Result<Vec<Bytes>, WriteError> {
        let values = read(self.engine, &self.key, Kind::Values, |view| {
            let puts = view.values().and_then(|values| values.get(b"", view.now_ms())).map(Field::puts);
            let mut puts: Vec<_> = puts.unwrap_or_default().iter().collect();
            puts.sort_by_key(|put| std::cmp::Reverse(put.stamp));
            puts.into_iter().map(|put| put.value.clone()).collect()
        })
        .await?;
        Ok(values.unwrap_or_default())
    }
}
