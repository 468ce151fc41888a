//! The store: every key this node holds, in shards of consecutive slots, with a digest cell per slot
//! that each change keeps up to date.
//!
//! No clock, no network and no queue lives here: callers pass stamps and `now` in.

mod absent;
mod access;
mod actors;
mod digest;
mod eviction;
mod expiry;
mod gaps;
mod graves;
mod memory;
mod record;
mod scan;
mod shard;
mod slots;
mod stubs;
mod unclaimed;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rumour_crdt::{ActorId, DigestKey, Entry, Merged, Stamp};
use rumour_transport::NodeId;

use crate::env::Observer;
use crate::slot::{SLOTS, slot_of};
pub use access::KeyUse;
use access::{Ticks, Usage};
pub(crate) use digest::{EvictedItem, Found, GROUPS, Position, SLOTS_PER_GROUP, VersionItem};
use eviction::Memory;
pub(crate) use expiry::ExpiryCursor;
pub use memory::{EvictionPolicy, MemoryLimit, UnknownPolicy};
use shard::Shard;
use slots::{Counts, SlotMut};

/// Slots that share a lock.
const SLOTS_PER_SHARD: usize = 64;
const SHARDS: usize = SLOTS / SLOTS_PER_SHARD;

/// All entries of one node.
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    digest_key: DigestKey,
    node: NodeId,
    /// Whose contributions are this node's own.
    actor: ActorId,
    observer: Option<Arc<dyn Observer>>,
    flushed: Mutex<Stamp>,
    memory: Memory,
}

/// How an entry came from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// By replication, which brings every change: to a key of which nothing is held and nothing was evicted, a delta is all that there
    /// is.
    ByReplication,
    /// As the peer holds it, which may be a part. What was evicted of the key had gone before the peer was asked, and stays away.
    AsHeld,
    /// As the peer held it when this was [left](Store::left_at) of the key here: it may lack what was held and evicted since.
    After(Option<u64>),
}

/// What became of an entry that came from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It lies at or below the flush watermark: already gone.
    Flushed,
    /// It was held, and is dead and removed already.
    Collected(Dead),
    /// It may be less than what was evicted here, and would pass for all that there is: it has to be asked for.
    Late,
    /// It was evicted here, or what it takes something away from: nothing of it is held.
    Evicted,
    /// It was merged, with this effect.
    Merged(Merged),
}

/// An entry that is dead and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) version: u64,
    pub(crate) newest: Stamp,
    /// What is held of the key began afterwards, and would lose to it.
    pub(crate) outlived: bool,
}

/// A locked shard. Adds to the store's total what it grew by when it is let go.
struct ShardGuard<'a> {
    shard: MutexGuard<'a, Shard>,
    before: Counts,
    memory: &'a Memory,
}

impl Store {
    pub(crate) fn new(
        node: NodeId,
        actor: ActorId,
        digest_key: DigestKey,
        observer: Option<Arc<dyn Observer>>,
        limit: MemoryLimit,
    ) -> Self {
        let ticks = Arc::new(Ticks::new(limit.policy));
        let shard = |index| {
            let usage = Usage::new(limit.policy, Arc::clone(&ticks), digest_key.entry_hash(index, 0));
            Mutex::new(Shard::new(SLOTS_PER_SHARD, usage))
        };
        let shards = (0..SHARDS as u64).map(shard).collect();
        Self {
            shards,
            digest_key,
            node,
            actor,
            observer,
            flushed: Mutex::new(Stamp::ZERO),
            memory: Memory::new(limit),
        }
    }

    /// Reads a key's entry for a client, tombstones included, after a due expiry took effect.
    pub(crate) fn with_entry<R>(&self, key: &[u8], now_ms: u64, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (slot, hash) = self.locate(key);
        let index = slot % SLOTS_PER_SHARD;
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        if shard.slot(index).find(hash, key).is_some_and(|record| record.is_due(now_ms)) {
            self.expire_if_due(&mut shard.slot_mut(&self.digest_key, index), hash, key, now_ms);
            drop(shard);
            // What expired is remembered until every member knows, and that takes memory.
            self.keep_within_limit();
            shard = self.lock(slot / SLOTS_PER_SHARD);
        }
        let mut slot = shard.slot_mut(&self.digest_key, index);
        slot.read(hash, key, now_ms, |record, actors| record.read(actors, read))
    }

    /// The same for a peer: that is no use of the key, and nothing is evicted for it.
    pub(crate) fn peek<R>(&self, key: &[u8], now_ms: u64, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let index = slot % SLOTS_PER_SHARD;
        self.expire_if_due(&mut shard.slot_mut(&self.digest_key, index), hash, key, now_ms);
        let record = shard.slot(index).find(hash, key)?;
        Some(record.read(shard.actors(), read))
    }

    /// What is known of the use of a key that has a value. Asking is no use.
    pub(crate) fn key_use(&self, key: &[u8], now_ms: u64) -> Option<KeyUse> {
        let (slot, hash) = self.locate(key);
        let shard = self.shard(slot);
        let record = shard.slot(slot % SLOTS_PER_SHARD).find(hash, key)?;
        let changed_ms = record.read(shard.actors(), |entry| entry.newest().time.millis());
        record.is_shown(now_ms).then(|| shard.usage().told(record.access(), changed_ms, now_ms))
    }

    /// Changes the present state of a key in place, in one step under the shard's lock: `None` stands for a key of
    /// which nothing is known. Nothing large is copied, so the cost does not depend on how much the key holds. `modify` is told
    /// whether this node lacks what the key holds, or a part of it.
    ///
    /// `modify` must mint its stamp inside the call, so that a flush that comes first is below it. The store may be over its limit
    /// afterwards: once the change is queued for peers, [`keep_within_limit`](Self::keep_within_limit) must follow.
    pub(crate) fn modify<R>(
        &self,
        key: &[u8],
        now_ms: u64,
        modify: impl FnOnce(&mut Option<Entry>, bool) -> R,
    ) -> R {
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let mut slot = shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD);
        self.expire_if_due(&mut slot, hash, key, now_ms);
        let lacks = self.has_gaps() && self.memory.lacks(slot.slot(), hash, key);
        let reply = slot.modify(hash, key, now_ms, |present| {
            let Some(observer) = &self.observer else { return modify(present, lacks) };
            let before = present.clone();
            let reply = modify(present, lacks);
            if let Some(after) = present.as_ref().filter(|after| before.as_ref() != Some(after)) {
                observer.minted(&self.node, key, before.as_ref(), after);
            }
            reply
        });
        self.memory.held(slot.slot(), hash, key);
        reply
    }

    /// Merges an entry that came from a peer, in place.
    ///
    /// An expiry that is due at `now_ms` takes effect at once, so that nothing expired becomes visible. The very version that
    /// was evicted here does not come back unless it is [wanted](Self::want), and no older epoch does while it is; nor does a removal
    /// by itself, or what may have been sent too early to be all that was evicted. Any other takes the stub's place, contributions
    /// without the rest as a part of the state. `is_collected` tells whether an entry was seen here and would be held if it had not been
    /// removed; it must not use the store. Where eviction may be why nothing is held, or
    /// something older, it is asked of dead entries alone.
    pub(crate) fn apply(
        &self,
        key: &[u8],
        mut incoming: Entry,
        now_ms: u64,
        brought: Brought,
        is_collected: impl FnOnce(&Entry) -> bool,
    ) -> Applied {
        incoming.expire(now_ms);
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        if incoming.stamp() < shard.flushed() {
            return Applied::Flushed;
        }
        if let Brought::After(left) = brought
            && shard.is_late(slot % SLOTS_PER_SHARD, hash, key, &incoming, left)
        {
            return Applied::Late;
        }
        let evicted = shard.slot(slot % SLOTS_PER_SHARD).stub(hash);
        if let Some(stub) = evicted {
            // Who wants the key back asks on for what was here; sync takes what is left of it in the cluster.
            let refused = match self.memory.is_wanted(hash) {
                true => stub.outlives(&incoming),
                false => stub.stands_for(&incoming),
            };
            // A removal by itself would be taken for a dead key. Sync sees the difference and brings the rest.
            if refused || incoming.is_delta() && !incoming.is_visible() {
                return Applied::Evicted;
            }
        }
        // Under the lock: what is evicted from now on is not among what comes in.
        if let Some(contents) = incoming.contents_mut() {
            contents.set_unbroken_since(self.memory.contributed_until());
        }
        let remembers = evicted.is_none() && !self.memory.has_forgotten();
        let mut slot = shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD);
        // A local expiry that is due takes effect before the merge: nothing older may show again.
        self.expire_if_due(&mut slot, hash, key, now_ms);
        let applied = slot.modify(hash, key, now_ms, |present| {
            // Contributions to an epoch that lies below were made when nothing was held any more.
            let outlived = |entry: &Entry| entry.contents().is_some() && entry.stamp() < incoming.stamp();
            // Where something was evicted, what is held may be an older value that came back.
            let remembers_all = remembers && (present.is_none() || !self.has_gaps());
            let known = remembers_all || !incoming.is_visible();
            if known && present.as_ref().is_none_or(outlived) && is_collected(&incoming) {
                let (version, newest) = (incoming.version(), incoming.newest());
                return Applied::Collected(Dead { version, newest, outlived: present.is_some() });
            }
            let Some(entry) = present else {
                match remembers && brought == Brought::ByReplication {
                    true => incoming.settle(),
                    false => self.memory.holds_part(&incoming),
                }
                if let Some(observer) = &self.observer {
                    observer.merged(&self.node, key, None, &incoming, &incoming);
                }
                *present = Some(incoming);
                return Applied::Merged(Merged { changed: true, ..Merged::default() });
            };
            let before = self.observer.is_some().then(|| entry.clone());
            let merged = entry.merge(&incoming);
            if let Some(observer) = &self.observer {
                observer.merged(&self.node, key, before.as_ref(), &incoming, entry);
            }
            Applied::Merged(merged)
        });
        self.memory.held(slot.slot(), hash, key);
        drop(slot);
        drop(shard);
        self.keep_within_limit();
        applied
    }

    /// Raises the flush watermark: every entry stamped at or below it is gone. Returns whether it rose.
    pub(crate) fn flush(&self, watermark: Stamp) -> bool {
        {
            let mut flushed = self.flushed.lock();
            if watermark <= *flushed {
                return false;
            }
            *flushed = watermark;
        }
        if let Some(observer) = &self.observer {
            observer.flushed(&self.node, watermark);
        }
        for index in 0..SHARDS {
            self.lock(index).flush(&self.digest_key, watermark);
        }
        true
    }

    /// The flush watermark.
    pub(crate) fn flushed(&self) -> Stamp {
        *self.flushed.lock()
    }

    /// How many keys have a value. Values that are due but not yet expired count.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counts().live).sum()
    }

    /// How many tombstones and expired entries are kept.
    pub(crate) fn tombstones(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counts().dead).sum()
    }

    /// Calls `visit` with every entry, tombstones included, shard by shard.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&[u8], &Entry)) {
        for shard in &self.shards {
            let shard = shard.lock();
            for record in shard.slots().iter().flat_map(slots::Slot::records) {
                record.read(shard.actors(), |entry| visit(record.key(), entry));
            }
        }
    }

    fn expire_if_due(&self, slot: &mut SlotMut<'_>, hash: u64, key: &[u8], now_ms: u64) {
        slot.expire_if_due(hash, key, now_ms, |key, entry| self.tell_expired(key, entry));
    }

    fn tell_expired(&self, key: &[u8], entry: &Entry) {
        if let Some(observer) = &self.observer {
            observer.expired(&self.node, key, entry);
        }
    }

    fn locate(&self, key: &[u8]) -> (usize, u64) {
        (usize::from(slot_of(key)), self.digest_key.key_hash(key))
    }

    /// Locks a shard for changes.
    fn lock(&self, index: usize) -> ShardGuard<'_> {
        let mut shard = self.shards[index].lock();
        let before = *shard.counts();
        shard.tidy(&self.digest_key);
        ShardGuard { before, shard, memory: &self.memory }
    }

    /// Locks the shard of a slot to look into it.
    fn shard(&self, slot: usize) -> MutexGuard<'_, Shard> {
        self.shards[slot / SLOTS_PER_SHARD].lock()
    }
}

impl Deref for ShardGuard<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for ShardGuard<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Drop for ShardGuard<'_> {
    fn drop(&mut self) {
        self.memory.moved(&self.before, self.shard.counts());
    }
}

#[cfg(test)]
mod tests;
