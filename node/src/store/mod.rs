//! The store: every key this node holds, in shards of consecutive slots, with a digest cell per slot
//! that each change keeps up to date.
//!
//! No clock, no network and no queue lives here: callers pass stamps and `now` in.

mod digest;
mod graves;
mod scan;
mod shard;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rumour_crdt::{DigestKey, Entry, Merged, Stamp};
use rumour_transport::NodeId;

use crate::env::Observer;
use crate::slot::{SLOTS, slot_of};
pub(crate) use digest::{GROUPS, Position, SLOTS_PER_GROUP, VersionItem};
use shard::Shard;

/// Slots that share a lock.
const SLOTS_PER_SHARD: usize = 64;
const SHARDS: usize = SLOTS / SLOTS_PER_SHARD;

/// All entries of one node.
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    digest_key: DigestKey,
    node: NodeId,
    observer: Option<Arc<dyn Observer>>,
    flushed: Mutex<Stamp>,
}

/// What became of an entry that came from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It lies at or below the flush watermark: already gone.
    Flushed,
    /// Nothing is held of the key, and this was: it is dead and removed already.
    Collected,
    /// It was merged, with this effect.
    Merged(Merged),
}

impl Store {
    pub(crate) fn new(node: NodeId, digest_key: DigestKey, observer: Option<Arc<dyn Observer>>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(SLOTS_PER_SHARD))).collect();
        Self { shards, digest_key, node, observer, flushed: Mutex::new(Stamp::ZERO) }
    }

    /// Reads a key's entry, tombstones included, after a due expiry took effect.
    pub(crate) fn with_entry<R>(&self, key: &[u8], now_ms: u64, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (slot, hash) = self.locate(key);
        let mut shard = self.shard(slot).lock();
        let index = slot % SLOTS_PER_SHARD;
        self.expire_if_due(&mut shard, index, hash, key, now_ms);
        shard.slot(index).get(hash, key).map(read)
    }

    /// Changes the present state of a key in place, in one step under the shard's lock: `None` stands for a key of
    /// which nothing is known. Nothing is cloned, so the cost does not depend on how much the key holds.
    ///
    /// `modify` must mint its stamp inside the call, so that a flush that comes first is below it.
    pub(crate) fn modify<R>(
        &self,
        key: &[u8],
        now_ms: u64,
        modify: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> R {
        let (slot, hash) = self.locate(key);
        let mut shard = self.shard(slot).lock();
        let index = slot % SLOTS_PER_SHARD;
        self.expire_if_due(&mut shard, index, hash, key, now_ms);
        shard.modify(&self.digest_key, index, hash, key, |present| {
            let Some(observer) = &self.observer else { return modify(present) };
            let before = present.clone();
            let reply = modify(present);
            if let Some(after) = present.as_ref().filter(|after| before.as_ref() != Some(after)) {
                observer.minted(&self.node, key, before.as_ref(), after);
            }
            reply
        })
    }

    /// Merges an entry that came from a peer, in place.
    ///
    /// An expiry that is due at `now_ms` takes effect at once, so that nothing expired becomes visible. `is_collected` tells whether
    /// an entry was seen here and would be held if it had not been removed; it must not use the store.
    pub(crate) fn apply(
        &self,
        key: &[u8],
        mut incoming: Entry,
        now_ms: u64,
        is_collected: impl FnOnce(&Entry) -> bool,
    ) -> Applied {
        incoming.expire(now_ms);
        let (slot, hash) = self.locate(key);
        let mut shard = self.shard(slot).lock();
        if incoming.stamp() < shard.flushed() {
            return Applied::Flushed;
        }
        let index = slot % SLOTS_PER_SHARD;
        // A local expiry that is due takes effect before the merge: nothing older may show again.
        self.expire_if_due(&mut shard, index, hash, key, now_ms);
        shard.modify(&self.digest_key, index, hash, key, |present| {
            // Contributions to an epoch that lies below were made when nothing was held any more.
            let outlived = |entry: &Entry| entry.contents().is_some() && entry.stamp() < incoming.stamp();
            if present.as_ref().is_none_or(outlived) && is_collected(&incoming) {
                return Applied::Collected;
            }
            let Some(entry) = present else {
                incoming.settle();
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
        })
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
        for shard in &self.shards {
            shard.lock().flush(&self.digest_key, watermark);
        }
        true
    }

    /// The flush watermark.
    pub(crate) fn flushed(&self) -> Stamp {
        *self.flushed.lock()
    }

    /// How many keys have a value. Values that are due but not yet expired count.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().live()).sum()
    }

    /// How many tombstones and expired entries are kept.
    pub(crate) fn tombstones(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().dead()).sum()
    }

    /// Lets due expiries of one shard take effect; called for each shard in turn by a timer.
    pub(crate) fn expire_shard(&self, index: usize, now_ms: u64) {
        let mut shard = self.shards[index % SHARDS].lock();
        for slot in 0..SLOTS_PER_SHARD {
            self.expire_slot(&mut shard, slot, now_ms);
        }
    }

    fn expire_if_due(&self, shard: &mut Shard, index: usize, hash: u64, key: &[u8], now_ms: u64) {
        if shard.slot_mut(index).expire_if_due(hash, key, now_ms)
            && let Some(entry) = shard.slot(index).get(hash, key)
        {
            if let Some(observer) = &self.observer {
                observer.expired(&self.node, key, entry);
            }
            let version = entry.version();
            shard.bury(index, hash, version);
        }
    }

    fn expire_slot(&self, shard: &mut Shard, index: usize, now_ms: u64) {
        let mut died = Vec::new();
        shard.slot_mut(index).expire_all(now_ms, |hash, key, entry| {
            if let Some(observer) = &self.observer {
                observer.expired(&self.node, key, entry);
            }
            died.push((hash, entry.version()));
        });
        for (hash, version) in died {
            shard.bury(index, hash, version);
        }
    }

    /// How many shards [`Self::expire_shard`] takes turns over.
    pub(crate) const fn shard_count() -> usize {
        SHARDS
    }

    /// Calls `visit` with every entry, tombstones included, shard by shard.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Bytes, &Entry)) {
        for shard in &self.shards {
            for slot in shard.lock().slots_mut() {
                slot.for_each(|record| visit(&record.key, &record.entry));
            }
        }
    }

    fn locate(&self, key: &[u8]) -> (usize, u64) {
        (usize::from(slot_of(key)), self.digest_key.key_hash(key))
    }

    fn shard(&self, slot: usize) -> &Mutex<Shard> {
        &self.shards[slot / SLOTS_PER_SHARD]
    }
}

#[cfg(test)]
mod tests;
