//! The embedding API: what a Rust service calls.
//!
//! Values stand here, each type of collection in a file of its own. What concurrent use gives is told by each type.
//! A key that this node has evicted is fetched from a peer before it is used. Only then, and at another consistency than
//! [`One`](crate::Consistency::One), an operation waits for the network.

mod counter;
mod map;
mod set;
mod sorted_set;
mod values;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::Kind;

use crate::consistency::Consistency;
use crate::engine::{Condition, Engine, Kept, Levels, Purpose, SetExpiry, SetOptions, Ttl, View, Writer};
use crate::error::WriteError;
pub use counter::Counter;
pub use map::Map;
pub use set::SetOf;
pub use sorted_set::SortedSet;
pub use values::Values;

/// A handle to the cache; cheap to clone, usable from any task.
#[derive(Clone)]
pub struct Cache {
    engine: Engine,
}

/// A write that is under way: set its options, then await it.
#[must_use = "nothing is written until it is awaited"]
pub struct Set<'a> {
    engine: &'a Engine,
    key: Bytes,
    value: Bytes,
    ttl: Option<Duration>,
    condition: Condition,
    level: Option<Consistency>,
}

impl Cache {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// A handle to the same cache whose reads and writes take so many owners: `cache.with(Consistency::Quorum)`, or different
    /// [`Levels`] for reads and for writes, in place of what the [namespace](crate::Namespace) of each key has. [`flush`](Self::flush) is at [`One`](Consistency::One) always.
    ///
    /// Before a write as many owners are read from: it lies above all that was acknowledged at that level before, and what it
    /// gives back tells of it. Then it waits until as many hold it. Both end with an error after
    /// [`consistency_patience`](crate::Tuning::consistency_patience).
    #[must_use]
    pub fn with(&self, levels: impl Into<Levels>) -> Self {
        Self { engine: self.engine.at(levels.into()) }
    }

    /// The value of a key, or `None`.
    ///
    /// # Errors
    /// While the node joins, and after it stopped.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, WriteError> {
        self.engine.check_serving()?;
        let _kept = prepare(&self.engine, key.as_ref(), Purpose::Read).await?;
        Ok(self.engine.get(key.as_ref()))
    }

    /// Sets a value: `cache.set("k", "v").ttl(Duration::from_secs(60)).await?`.
    ///
    /// Awaiting it gives whether the value was written, which without conditions is always so.
    pub fn set(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Set<'_> {
        let (key, value) = (key.into(), value.into());
        Set { engine: &self.engine, key, value, ttl: None, condition: Condition::Always, level: None }
    }

    /// Deletes a key; gives whether there was a value.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was deleted then.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        // Where nothing is known of it nothing has to be deleted.
        change(&self.engine, key.as_ref(), Purpose::Read, |engine| engine.delete(key.as_ref())).await
    }

    /// Lets a key expire after `ttl`; gives whether there was a value.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn expire(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Result<bool, WriteError> {
        let expire = |engine: &Engine| engine.expire_at(key.as_ref(), Some(expiry_ms(engine, ttl)));
        change(&self.engine, key.as_ref(), Purpose::Write, expire).await
    }

    /// Lets a key stay; gives whether it had an expiry.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        let expire = |engine: &Engine| engine.expire_at(key.as_ref(), None);
        change(&self.engine, key.as_ref(), Purpose::Write, expire).await
    }

    /// When a key expires.
    ///
    /// # Errors
    /// While the node joins, and after it stopped.
    pub async fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Ttl, WriteError> {
        self.engine.check_serving()?;
        let _kept = prepare(&self.engine, key.as_ref(), Purpose::Read).await?;
        Ok(self.engine.expiry(key.as_ref()))
    }

    /// The number under a key. See [`Counter`].
    pub fn counter(&self, key: impl Into<Bytes>) -> Counter<'_> {
        Counter::new(&self.engine, key.into())
    }

    /// The set under a key. See [`SetOf`].
    pub fn set_of(&self, key: impl Into<Bytes>) -> SetOf<'_> {
        SetOf::new(&self.engine, key.into())
    }

    /// The map under a key. See [`Map`].
    pub fn map(&self, key: impl Into<Bytes>) -> Map<'_> {
        Map::new(&self.engine, key.into())
    }

    /// The sorted set under a key. See [`SortedSet`].
    pub fn sorted_set(&self, key: impl Into<Bytes>) -> SortedSet<'_> {
        SortedSet::new(&self.engine, key.into())
    }

    /// The multi-value register under a key. See [`Values`].
    pub fn values(&self, key: impl Into<Bytes>) -> Values<'_> {
        Values::new(&self.engine, key.into())
    }

    /// Removes every key of the cluster that was written before now.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was removed then.
    pub async fn flush(&self) -> Result<(), WriteError> {
        self.engine.flush()
    }

    /// The engine below: everything that doors can do, without waiting.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Set<'_> {
    /// Lets the value expire after `ttl`.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// So many owners are to hold the value before it counts as written.
    pub fn consistency(mut self, level: Consistency) -> Self {
        self.level = Some(level);
        self
    }

    /// Writes only if this node sees no value. Two nodes may both see none: see the consistency guide.
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::IfAbsent;
        self
    }

    /// Writes only if this node sees a value.
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::IfPresent;
        self
    }
}

impl<'a> IntoFuture for Set<'a> {
    type Output = Result<bool, WriteError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let expiry = self.ttl.map_or(SetExpiry::Clear, |ttl| SetExpiry::At(expiry_ms(self.engine, ttl)));
        let options = SetOptions { expiry, condition: self.condition };
        Box::pin(async move {
            let levels = self.engine.levels();
            let engine = self.engine.at(Levels { write: self.level.or(levels.write), ..levels });
            let key = self.key.clone();
            let set = |engine: &Engine| Ok(engine.set(&key, self.value, options)?.written);
            let is_blind = options.condition == Condition::Always;
            match is_blind && engine.level(&key, Purpose::Write) == Consistency::One {
                // What the key holds does not matter to anybody.
                true => set(&engine),
                false => change(&engine, &key, Purpose::Write, set).await,
            }
        })
    }
}

/// Has `read` look at what the key shows, if it is of this type; `None` if there is nothing.
///
/// Fails while the node joins or after it stopped, and if the key is of another type.
async fn read<R>(
    engine: &Engine,
    key: &[u8],
    wanted: Kind,
    read: impl FnOnce(View<'_>) -> R,
) -> Result<Option<R>, WriteError> {
    engine.check_serving()?;
    let _kept = prepare(engine, key, Purpose::Read).await?;
    engine.read(key, |view| match view {
        None => Ok(None),
        Some(view) if view.kind() == wanted => Ok(Some(read(view))),
        Some(_) => Err(WriteError::WrongType { wanted }),
    })
}

/// Has `write` change a key that shows this type or nothing, if there is memory for more.
async fn grow<R>(
    engine: &Engine,
    key: &[u8],
    wanted: Kind,
    change: impl FnOnce(&mut Writer<'_>) -> Result<R, WriteError>,
) -> Result<R, WriteError> {
    engine.check_memory()?;
    write(engine, key, wanted, change).await
}

/// The same for what needs no memory.
async fn write<R>(
    engine: &Engine,
    key: &[u8],
    wanted: Kind,
    write: impl FnOnce(&mut Writer<'_>) -> Result<R, WriteError>,
) -> Result<R, WriteError> {
    let write = |engine: &Engine| {
        engine.write(key, |key| {
            key.expect(wanted)?;
            write(key)
        })?
    };
    change(engine, key, Purpose::Write, write).await
}

/// Brings in what a read or a write of a key needs from others.
async fn prepare(engine: &Engine, key: &[u8], purpose: Purpose) -> Result<Kept, WriteError> {
    engine.prepare([key], purpose, engine.level(key, purpose)).await
}

/// Brings in what a change of a key needs from others, makes it, and waits until as many owners hold it as are asked for.
async fn change<R>(
    engine: &Engine,
    key: &[u8],
    purpose: Purpose,
    change: impl FnOnce(&Engine) -> Result<R, WriteError>,
) -> Result<R, WriteError> {
    // What others write with the same handle meanwhile is not waited for.
    let mut own = engine.at(engine.levels());
    let _kept = own.prepare([key], purpose, own.level(key, Purpose::Write)).await?;
    let outcome = change(&own)?;
    own.confirm().await?;
    Ok(outcome)
}

fn expiry_ms(engine: &Engine, ttl: Duration) -> u64 {
    engine.now_ms().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
