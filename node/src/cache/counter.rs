//! A number that counts.

use bytes::Bytes;
use rumour_crdt::Kind;

use super::{grow, read, write};
use crate::engine::Engine;
use crate::error::WriteError;

/// A number that every node may add to at once.
///
/// **Concurrent use:** all that is added adds up, on both sides of a cut too. A [`reset`](Self::reset), like a set or a
/// delete of the key, takes away what its node had seen; what was added elsewhere beside it stays only if the key was
/// not replaced by it: the later replacement begins a new count. The total may pass the limits of `i64` by concurrent
/// additions; it is shown clamped to them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = rumour::Node::builder()
/// #     .name("doc").cluster_key(rumour::ClusterKey::generate()?).listen("127.0.0.1:0").start().await?;
/// # let cache = node.cache();
/// cache.counter("hits").add(2).await?;
/// assert_eq!(cache.counter("hits").add(-1).await?, 1);
/// assert_eq!(cache.counter("hits").get().await?, 1);
/// cache.counter("hits").reset().await?;
/// assert_eq!(cache.counter("hits").get().await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until one of its methods is awaited"]
pub struct Counter<'a> {
    engine: &'a Engine,
    key: Bytes,
}

impl<'a> Counter<'a> {
    pub(super) fn new(engine: &'a Engine, key: Bytes) -> Self {
        Self { engine, key }
    }

    /// Adds to the number, zero if there is none; gives the number as this node then sees it.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn add(&self, by: i64) -> Result<i64, WriteError> {
        grow(self.engine, &self.key, Kind::String, |key| key.add(by)).await
    }

    /// Adds a number with a fraction; gives the number as this node then sees it. [`get`](Self::get) refuses what is
    /// no whole number then: read it with [`get_float`](Self::get_float).
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn add_float(&self, by: f64) -> Result<f64, WriteError> {
        let total = grow(self.engine, &self.key, Kind::String, |key| key.add_float(by)).await?;
        number(&total).ok_or(WriteError::NotANumber)
    }

    /// The number; zero if there is none.
    ///
    /// # Errors
    /// While the node joins, after it stopped, [`WriteError::WrongType`], and [`WriteError::NotAnInteger`].
    pub async fn get(&self) -> Result<i64, WriteError> {
        let text = self.text().await?;
        text.map_or(Some(0), |text| number(&text)).ok_or(WriteError::NotAnInteger)
    }

    /// The number, whole or not; zero if there is none.
    ///
    /// # Errors
    /// While the node joins, after it stopped, [`WriteError::WrongType`], and [`WriteError::NotANumber`].
    pub async fn get_float(&self) -> Result<f64, WriteError> {
        let text = self.text().await?;
        text.map_or(Some(0.0), |text| number(&text)).ok_or(WriteError::NotANumber)
    }

    /// Takes away what this node sees of the number, so that it counts from zero again. Does nothing if there is none.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn reset(&self) -> Result<(), WriteError> {
        write(self.engine, &self.key, Kind::String, |key| {
            key.delete();
            Ok(())
        })
        .await
    }

    async fn text(&self) -> Result<Option<Bytes>, WriteError> {
        Ok(read(self.engine, &self.key, Kind::String, |view| view.text()).await?.flatten())
    }
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
