//! The engine: what every door (embedding API, Redis, admin) calls to read and to write.
//!
//! It decides on local state only and returns at once; what a write changed is queued for the other owners.

mod elements;
mod image;
mod levels;
mod recall;
mod replicas;
#[cfg(test)]
pub(crate) mod testing;
mod view;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rumour_crdt::Entry;
use rumour_transport::NodeId;
use tokio::sync::Notify;

use crate::clock::NodeClock;
use crate::conflicts::ConflictLog;
use crate::council::{ConfigurationChange, Council};
use crate::counters::Counters;
use crate::error::{ForgetError, NotReady, WriteError};
use crate::events::{EventLog, Events, RememberedEvent};
use crate::membership::MemberState;
use crate::namespace::Namespaces;
use crate::placement::Configuration;
use crate::replication::{Change, Fanout, Ticket};
use crate::status::{MemoryStatus, Status, StatusSource};
use crate::store::{Applied, Brought, KeyUse, Position, Store};
use crate::sync::Watermarks;
pub use elements::{Elements, element_bytes};
pub use image::Image;
pub use levels::Levels;
pub use recall::{Kept, Purpose};
pub(crate) use recall::{Recalled, Recaller};
pub use view::View;
pub use writer::Writer;
#[cfg(feature = "redis")]
pub(crate) use writer::check_payload;

/// Longest key, in bytes.
pub const KEY_BYTES_LIMIT: usize = 64 * 1024;
/// Longest value, in bytes.
pub const VALUE_BYTES_LIMIT: usize = 8 * 1024 * 1024;
/// What a key may take, in bytes of memory: contributions that would make it more are refused. A key always can travel to other
/// nodes then.
pub const PAYLOAD_BYTES_LIMIT: usize = 256 * 1024 * 1024;

/// A handle to the node's data; cheap to clone, never waits for the network.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineState>,
    levels: Levels,
    /// What was written since it was last confirmed, where that is done at all.
    ticket: Option<Arc<Ticket>>,
}

pub(crate) struct EngineState {
    pub(crate) node: NodeId,
    pub(crate) incarnation: u64,
    pub(crate) store: Store,
    pub(crate) clock: NodeClock,
    pub(crate) fanout: Fanout,
    pub(crate) counters: Arc<Counters>,
    pub(crate) conflicts: ConflictLog,
    pub(crate) namespaces: Arc<Namespaces>,
    pub(crate) phase: Phase,
    pub(crate) status: StatusSource,
    pub(crate) event_log: EventLog,
    /// How to have a member forgotten. Set when the node is put together.
    pub(crate) forget: OnceLock<Forget>,
    /// Set when the node is put together.
    pub(crate) recaller: OnceLock<Box<dyn Recaller>>,
    /// Locked while a shard is; lock no shard while it is.
    pub(crate) watermarks: Mutex<Watermarks>,
    /// The configuration of the cluster. No other lock is taken while this one is.
    pub(crate) council: Mutex<Council>,
    /// Told when more owners may count than before, or others.
    pub(crate) seats_changed: Notify,
    /// How long a read or a write waits for other owners.
    pub(crate) consistency_patience: Duration,
    /// What sync found to be too large for its messages while this node joins, until replication has brought it.
    pub(crate) awaited: Mutex<BTreeSet<Position>>,
}

pub(crate) type Forget = Box<dyn Fn(&NodeId) -> Result<(), ForgetError> + Send + Sync>;

/// Whether the node serves, as a number that doors can read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    const JOINING: u8 = 0;
    const SERVING: u8 = 1;
    const CLOSED: u8 = 2;

    pub(crate) fn serve(&self) {
        // A node that was closed while it joined stays closed.
        let _ = self.0.compare_exchange(Self::JOINING, Self::SERVING, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn close(&self) {
        self.0.store(Self::CLOSED, Ordering::Release);
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::SERVING
    }

    /// The node's own state as its users see it.
    pub(crate) fn state(&self) -> MemberState {
        match self.0.load(Ordering::Acquire) {
            Self::JOINING => MemberState::Joining,
            Self::SERVING => MemberState::Healthy,
            _ => MemberState::Leaving,
        }
    }

    fn check(&self) -> Result<(), WriteError> {
        match self.0.load(Ordering::Acquire) {
            Self::SERVING => Ok(()),
            Self::JOINING => Err(WriteError::Joining),
            _ => Err(WriteError::Closed),
        }
    }
}

/// What becomes of a key's expiry when its value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetExpiry {
    /// The value does not expire.
    #[default]
    Clear,
    /// The present expiry stays.
    Keep,
    /// The value expires at this time, in milliseconds since the Unix epoch.
    At(u64),
}

/// When a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only if this node sees no value.
    IfAbsent,
    /// Only if this node sees a value.
    IfPresent,
}

/// How to set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions {
    /// What becomes of the expiry.
    pub expiry: SetExpiry,
    /// When to set.
    pub condition: Condition,
}

/// What a set did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOutcome {
    /// Whether the condition held and the value was written.
    pub written: bool,
    /// The value that was visible before.
    pub previous: Option<Bytes>,
}

/// What tells whether a key was changed, or ended, in between: compare two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Of the state, also of one that shows nothing.
    state: Option<u64>,
    visible: bool,
}

/// When a key expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// There is no such key.
    Missing,
    /// The key does not expire.
    Persistent,
    /// It expires at this time, in milliseconds since the Unix epoch.
    At(u64),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, levels, .. } = self;
        f.debug_struct("Engine").field("node", &inner.node).field("levels", levels).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(inner: Arc<EngineState>) -> Self {
        Self { inner, levels: Levels::default(), ticket: None }
    }

    /// Looks at a key, in one step: `read` is given what it shows, `None` if nothing, while its shard is locked.
    pub fn read<R>(&self, key: &[u8], read: impl FnOnce(Option<View<'_>>) -> R) -> R {
        let now_ms = self.now_ms();
        let mut read = Some(read);
        let seen = self
            .inner
            .store
            .with_entry(key, now_ms, |entry| read.take().map(|read| read(View::of(entry, now_ms))));
        match (seen.flatten(), read) {
            (Some(seen), _) => seen,
            (None, Some(read)) => read(None),
            (None, None) => unreachable!("a reader that was taken has read"),
        }
    }

    /// Changes a key, in one step: `write` is given the key while its shard is locked, and what it changes is queued
    /// for the other owners.
    ///
    /// A key that was evicted here must have been [recalled](Self::recall) before.
    ///
    /// # Errors
    /// See [`WriteError`]; `write` was not called then.
    pub fn write<R>(&self, key: &[u8], write: impl FnOnce(&mut Writer<'_>) -> R) -> Result<R, WriteError> {
        self.change(key, |key, lacks| if lacks { Err(WriteError::Evicted) } else { Ok(write(key)) })?
    }

    /// The same for a change that replaces the key or deletes it, whatever it holds: that may have been evicted here.
    ///
    /// # Errors
    /// See [`WriteError`]; `write` was not called then.
    pub fn overwrite<R>(
        &self,
        key: &[u8],
        write: impl FnOnce(&mut Writer<'_>) -> R,
    ) -> Result<R, WriteError> {
        self.change(key, |key, _| write(key))
    }

    /// Changes a key in one step. `change` is told whether what the key holds, or a part of it, was evicted here.
    fn change<R>(
        &self,
        key: &[u8],
        change: impl FnOnce(&mut Writer<'_>, bool) -> R,
    ) -> Result<R, WriteError> {
        self.check_key(key)?;
        let now_ms = self.now_ms();
        let expiry = self.inner.namespaces.expiry(key);
        let changing = self.inner.store.changing(key);
        let (reply, change) = self.inner.store.modify(key, now_ms, |state, lacks| {
            let mut writer = Writer::new(state, &self.inner.clock, &self.inner.store, expiry, now_ms, lacks);
            let reply = change(&mut writer, lacks);
            (reply, writer.finish())
        });
        let ticket = self.ticket_for(key);
        // What changes nothing here may be what others lack: they have to hold it all the same before it counts as done.
        let is_doubted = || ticket.is_some_and(|ticket| ticket.take_doubt(key));
        if let Some(change) = change.or_else(|| is_doubted().then_some(Change::Whole)) {
            self.inner.fanout.dirty(key, &change, ticket);
        }
        drop(changing);
        self.inner.store.keep_within_limit();
        Ok(reply)
    }

    /// The present version of a key, also of one that is not there.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn version(&self, key: &[u8]) -> Result<Version, WriteError> {
        // As a write, so that what is due is dropped first.
        self.change(key, |key, _| Version { state: key.state_version(), visible: key.kind().is_some() })
    }

    /// The value of a key as bytes, as this node sees it; `None` also if it is of another type.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.read(key, |view| view.and_then(|view| view.text()))
    }

    /// Whether this node sees a value under the key.
    #[must_use]
    pub fn exists(&self, key: &[u8]) -> bool {
        self.read(key, |view| view.is_some())
    }

    /// What is known of the use of a key; `None` if this node sees no value under it. Asking is no use. Which of the two it is
    /// hangs on the eviction policy.
    #[must_use]
    pub fn key_use(&self, key: &[u8]) -> Option<KeyUse> {
        self.inner.store.key_use(key, self.now_ms())
    }

    /// Sets a value, whatever type the key has.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was written then.
    pub fn set(&self, key: &[u8], value: Bytes, options: SetOptions) -> Result<SetOutcome, WriteError> {
        check_value(value.len())?;
        self.check_memory()?;
        let blind = options.condition == Condition::Always && options.expiry != SetExpiry::Keep;
        self.change(key, |key, lacks| {
            if lacks && !blind {
                return Err(WriteError::Evicted);
            }
            let previous = key.view().and_then(|view| view.text());
            let written = match options.condition {
                Condition::Always => true,
                Condition::IfAbsent => key.kind().is_none(),
                Condition::IfPresent => key.kind().is_some(),
            };
            if written {
                key.set(value, options.expiry);
            }
            Ok(SetOutcome { written, previous })
        })?
    }

    /// Deletes a key. Returns whether there was anything.
    ///
    /// A tombstone is left only where there was something, be it what this node has evicted and others still show: deleting nothing
    /// writes nothing.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was deleted then.
    pub fn delete(&self, key: &[u8]) -> Result<bool, WriteError> {
        self.change(key, |key, _| key.delete())
    }

    /// When a key expires.
    #[must_use]
    pub fn expiry(&self, key: &[u8]) -> Ttl {
        self.read(key, |view| view.map_or(Ttl::Missing, |view| view.ttl()))
    }

    /// Sets when a key expires, in milliseconds since the Unix epoch; `None` makes it stay.
    ///
    /// Returns whether something changed: false for a missing key, and for `None` where nothing would expire. A time that
    /// has passed deletes the key.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub fn expire_at(&self, key: &[u8], at_ms: Option<u64>) -> Result<bool, WriteError> {
        self.write(key, |key| key.expire_at(at_ms))
    }

    /// Walks the keys: up to about `count` keys from `cursor` on, and the cursor to go on from. Zero starts
    /// and ends. A key that is there during the whole walk is returned; one may come twice only if it was
    /// written anew.
    #[must_use]
    pub fn scan(&self, cursor: u64, count: usize) -> (u64, Vec<Bytes>) {
        self.inner.store.scan(cursor, count.max(1), self.now_ms())
    }

    /// Any key that has a value, as `chance` has it; `None` if there is none.
    #[must_use]
    pub fn random_key(&self, chance: u64) -> Option<Bytes> {
        self.inner.store.random_key(chance, self.now_ms())
    }

    /// How many keys have a value here. Values whose expiry is due may count for a moment longer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.store.len()
    }

    /// Whether no key has a value here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes every key of the cluster that was written before now, also those that this node has never seen.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was removed then.
    pub fn flush(&self) -> Result<(), WriteError> {
        self.check_writing()?;
        let watermark = self.inner.clock.mint(Some(self.inner.store.flushed()));
        self.inner.store.flush(watermark);
        self.inner.fanout.announce();
        Ok(())
    }

    /// Has the cluster forget a member that is down and will not come back: it is taken out of the configuration at once, also
    /// where it would be needed for a majority, and tombstones go without it. All members that this node reaches are told. Should it
    /// come back after all, it stops when it is told, and what it held may come back with it.
    ///
    /// # Errors
    /// See [`ForgetError`]; nothing was forgotten then.
    pub fn forget(&self, member: &NodeId) -> Result<(), ForgetError> {
        let forget = self.inner.forget.get().ok_or(ForgetError::Stopped)?;
        forget(member)
    }

    /// The present time, milliseconds since the Unix epoch: this node's wall time, or its peers' while its own clock is
    /// faulty.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    /// This node's name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.inner.node
    }

    /// Whether the node serves: it has joined and is not shutting down.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.inner.phase.is_serving()
    }

    /// The node's view of itself and its cluster.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.status.read(&self.inner)
    }

    /// What happens in the cluster from now on, as this node sees it.
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner.conflicts.events()
    }

    /// Has a door add its part to every status from now on; `read` must be quick and must not read the status itself.
    pub fn extend_status(&self, read: impl Fn(&mut Status) + Send + 'static) {
        self.inner.status.register(read);
    }

    /// Whether the node serves, or why not.
    ///
    /// # Errors
    /// [`WriteError::Joining`] or [`WriteError::Closed`].
    pub fn check_serving(&self) -> Result<(), WriteError> {
        self.inner.phase.check()
    }

    /// Whether there is memory for another write, after what may be evicted was.
    ///
    /// # Errors
    /// [`WriteError::OutOfMemory`].
    pub fn check_memory(&self) -> Result<(), WriteError> {
        if self.inner.store.has_room() { Ok(()) } else { Err(WriteError::OutOfMemory) }
    }

    /// The latest configuration of the cluster that this node knows, if any.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        self.inner.council.lock().configuration().cloned()
    }

    /// What has happened lately, the oldest first: 256 events at most, conflicts not among them.
    #[must_use]
    pub fn recent_events(&self) -> Vec<RememberedEvent> {
        self.inner.event_log.read()
    }

    /// The configurations that this node has known, the oldest first; 256 at most.
    #[must_use]
    pub fn configuration_history(&self) -> Vec<ConfigurationChange> {
        self.inner.council.lock().history().cloned().collect()
    }

    /// Whether others may rely on this node: it serves, is a member of the cluster and has caught up with what was acknowledged
    /// before it was. What waits for that, such as a rolling restart, loses nothing that another member holds.
    ///
    /// # Errors
    /// Why not yet, or not any more.
    pub fn check_ready(&self) -> Result<(), NotReady> {
        self.check_serving()?;
        let council = self.inner.council.lock();
        match council.configuration() {
            Some(_) if council.has_caught_up() => Ok(()),
            Some(_) if council.is_member() => Err(NotReady::CatchingUp),
            Some(_) => Err(NotReady::NoMember),
            None => Err(NotReady::NoCluster),
        }
    }

    /// The memory for entries: how much there is, and what came of it.
    #[must_use]
    pub fn memory(&self) -> MemoryStatus {
        self.inner.memory()
    }

    /// Whether the node takes writes.
    fn check_writing(&self) -> Result<(), WriteError> {
        self.inner.phase.check()?;
        self.inner.clock.check().inspect_err(|_| self.inner.counters.refused_clock.add(1))
    }

    fn check_key(&self, key: &[u8]) -> Result<(), WriteError> {
        self.check_writing()?;
        if key.len() > KEY_BYTES_LIMIT {
            return Err(WriteError::KeyTooLarge { bytes: key.len(), limit: KEY_BYTES_LIMIT });
        }
        Ok(())
    }
}

/// Fails if a value is longer than values may be.
///
/// # Errors
/// [`WriteError::ValueTooLarge`].
pub(crate) fn check_value(bytes: usize) -> Result<(), WriteError> {
    if bytes > VALUE_BYTES_LIMIT {
        return Err(WriteError::ValueTooLarge { bytes, limit: VALUE_BYTES_LIMIT });
    }
    Ok(())
}

/// Fails if the name of an element is longer than names may be.
///
/// # Errors
/// [`WriteError::NameTooLarge`].
pub(crate) fn check_name(bytes: usize) -> Result<(), WriteError> {
    if bytes > KEY_BYTES_LIMIT {
        return Err(WriteError::NameTooLarge { bytes, limit: KEY_BYTES_LIMIT });
    }
    Ok(())
}

impl EngineState {
    /// Merges an entry from a peer and counts what came of it. `None`: refused for lying in the future.
    pub(crate) fn apply(&self, key: &[u8], entry: Entry, brought: Brought) -> Option<Applied> {
        if self.clock.observe_entry(&entry).is_err() {
            self.counters.refused_future.add(1);
            return None;
        }
        let is_collected = |incoming: &Entry| self.watermarks.lock().is_collected(incoming);
        let applied = self.store.apply(key, entry, self.clock.due_ms(), brought, is_collected);
        match &applied {
            Applied::Merged(merged) => {
                self.counters.conflicts.add(merged.conflicts as u64);
                self.conflicts.record(key, merged);
            }
            Applied::Collected(_) => self.counters.collected_again.add(1),
            Applied::Flushed | Applied::Late | Applied::Evicted => {}
        }
        Some(applied)
    }

    /// Memory in numbers.
    pub(crate) fn memory(&self) -> MemoryStatus {
        let Counters { recalled, recalls_failed, .. } = &*self.counters;
        MemoryStatus {
            recalled: recalled.get(),
            recalls_failed: recalls_failed.get(),
            ..self.store.memory_use()
        }
    }

    /// Follows a peer's clock and its flush watermark; either is refused when too far in the future.
    pub(crate) fn follow(&self, clock: rumour_crdt::Hlc, flushed: rumour_crdt::Stamp) {
        if self.clock.observe(clock).is_err() {
            self.counters.refused_future.add(1);
        }
        if flushed > self.store.flushed() {
            if self.clock.observe(flushed.time).is_err() {
                self.counters.refused_future.add(1);
            } else if self.store.flush(flushed) {
                tracing::info!(watermark = %flushed, "flushed on behalf of a peer");
            }
        }
    }

    /// While this node joins: these entries come by replication, and it is not filled before.
    pub(crate) fn await_arrival(&self, at: Vec<Position>) {
        if self.phase.state() == MemberState::Joining {
            self.awaited.lock().extend(at);
        }
    }

    /// Replication has brought all of a key.
    pub(crate) fn has_arrived(&self, key: &[u8]) {
        if self.phase.state() == MemberState::Joining {
            self.awaited.lock().remove(&self.store.position(key));
        }
    }

    /// Every entry with its key, tombstones included, in key order.
    pub(crate) fn export(&self) -> Vec<(Bytes, Entry)> {
        let mut entries = Vec::new();
        self.store.for_each(|key, entry| entries.push((Bytes::copy_from_slice(key), entry.clone())));
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        entries
    }
}
