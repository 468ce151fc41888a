//! Removing what is dead: tombstones and expired entries, in the order in which they died here.
//!
//! Up to when they may go is decided elsewhere ([`Watermarks`](crate::sync::Watermarks)); nothing here knows of peers.

use std::collections::VecDeque;

use rumour_crdt::{Body, Entry, Hlc};

use super::shard::Shard;
use super::{SHARDS, SLOTS_PER_SHARD, Store};
use crate::env::Removal;

/// Tombstones and expired entries may take one part in this many of the memory limit, their tables not counted.
const TOMBSTONES_SHARE: usize = 4;
/// Graves looked at while a shard is locked.
const GRAVES_PER_LOCK: usize = 256;
/// A queue shorter than this is not worth looking through for graves of keys that were written again.
const PRUNE_FROM: usize = 256;

/// A death: which record, at which version, and when this node's clock had passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grave {
    /// [`Hlc::MAX`] until [`Graves::date`] has been asked.
    at: Hlc,
    pub(super) hash: u64,
    pub(super) version: u64,
    pub(super) slot: u8,
}

/// The deaths of one shard, oldest first.
#[derive(Default)]
pub(super) struct Graves {
    queue: VecDeque<Grave>,
    /// How many at the end have no date yet.
    undated: usize,
    prune_at: usize,
}

impl Graves {
    /// Notes a death.
    pub(super) fn dig(&mut self, slot: usize, hash: u64, version: u64) {
        // A shard has fewer slots than that.
        self.queue.push_back(Grave { at: Hlc::MAX, hash, version, slot: slot as u8 });
        self.undated += 1;
    }

    /// Whether the queue has grown so much that it should be [pruned](Self::prune).
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() > self.prune_at.max(PRUNE_FROM)
    }

    /// Bytes of heap.
    pub(super) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Grave>()
    }

    /// Drops the graves that `keep` no longer knows: their keys were written again, or flushed.
    pub(super) fn prune(&mut self, mut keep: impl FnMut(&Grave) -> bool) {
        self.queue.retain(&mut keep);
        self.undated = self.queue.iter().rev().take_while(|grave| grave.at == Hlc::MAX).count();
        self.prune_at = self.queue.len() * 2;
        self.queue.shrink_to(self.prune_at);
    }

    /// Gives those that have none the present time. Read it while the shard is locked: it must not lie before a death.
    fn date(&mut self, now: impl FnOnce() -> Hlc) {
        if self.undated > 0 {
            let now = now();
            self.queue.iter_mut().rev().take(self.undated).for_each(|grave| grave.at = now);
            self.undated = 0;
        }
    }

    /// The oldest, if it lies before `floor`: not at it, as a clock may stand still and show one time before and after a death.
    fn pop_covered(&mut self, floor: Hlc) -> Option<Grave> {
        let covered = self.queue.front().is_some_and(|grave| grave.at < floor);
        covered.then(|| self.queue.pop_front()).flatten()
    }
}

impl Store {
    /// Removes what died here before `floor`, `limit` graves at most; gives how many records went.
    ///
    /// `now` reads the node's clock; it is asked while a shard is locked. An expired entry stays until `floor` lies behind its
    /// expiry, so that no owner's clock still shows it.
    pub(crate) fn collect(&self, floor: Hlc, limit: usize, now: impl Fn() -> Hlc) -> usize {
        let (mut removed, mut left) = (0, limit);
        for index in 0..SHARDS {
            loop {
                let mut shard = self.lock(index);
                shard.graves.date(&now);
                let step = left.min(GRAVES_PER_LOCK).min(shard.graves.queue.len());
                let mut popped = 0;
                while popped < step
                    && let Some(grave) = shard.graves.pop_covered(floor)
                {
                    popped += 1;
                    removed += self.clear(&mut shard, grave, Removal::Collected, Some(floor), || ());
                }
                left -= popped;
                if popped < GRAVES_PER_LOCK {
                    break;
                }
            }
        }
        removed
    }

    /// How many tombstones and expired entries there may be: what they take is bounded to a share of the memory, where that is limited.
    pub(crate) fn tombstones_allowed(&self) -> usize {
        let share = self.memory.bytes_limit() / TOMBSTONES_SHARE;
        if share == usize::MAX / TOMBSTONES_SHARE {
            return usize::MAX;
        }
        let (mut dead, mut bytes) = (0, 0);
        for index in 0..SHARDS {
            let shard = self.lock(index);
            dead += shard.counts().dead;
            bytes += shard.counts().dead_bytes;
        }
        // The oldest go, whatever they take: as many as make up the share on average.
        if bytes <= share { usize::MAX } else { (dead as u128 * share as u128 / bytes as u128) as usize }
    }

    /// Removes some `excess` of the oldest dead records, whoever knows of them: of each shard its share. Gives how many went,
    /// and the time at or before which those had died. `forced` is told of each time of death before its record goes, while the shard is locked.
    pub(crate) fn force_out(
        &self,
        excess: usize,
        now: impl Fn() -> Hlc,
        forced: impl Fn(Hlc),
    ) -> (usize, Hlc) {
        let dead = self.tombstones().max(1);
        let (mut removed, mut floor) = (0, Hlc::ZERO);
        for index in 0..SHARDS {
            let mut share = (self.lock(index).counts().dead * excess).div_ceil(dead);
            while share > 0 {
                let mut shard = self.lock(index);
                shard.graves.date(&now);
                let step = share.min(GRAVES_PER_LOCK);
                for _ in 0..step {
                    let Some(grave) = shard.graves.pop_covered(Hlc::MAX) else {
                        share = 0;
                        break;
                    };
                    let gone = self.clear(&mut shard, grave, Removal::Forced, None, || forced(grave.at));
                    if gone > 0 {
                        floor = floor.max(grave.at);
                        removed += gone;
                    }
                }
                share = share.saturating_sub(step);
            }
        }
        (removed, floor)
    }

    /// Removes a key at a version of which a peer knows that it is dead; gives whether it was there at that version.
    pub(crate) fn remove_gone(&self, key: &[u8], version: u64) -> bool {
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let gone = |name: &[u8], entry: &Entry| name == key && entry.version() == version;
        self.remove(&mut shard, slot % SLOTS_PER_SHARD, hash, Removal::Gone, gone) > 0
    }

    /// Empties a grave if its record still lies in it, and calls `before` if so.
    fn clear(
        &self,
        shard: &mut Shard,
        grave: Grave,
        why: Removal,
        passed: Option<Hlc>,
        before: impl Fn(),
    ) -> usize {
        let mut early = false;
        let removed = self.remove(shard, usize::from(grave.slot), grave.hash, why, |_, entry| {
            let same = entry.version() == grave.version && !entry.is_visible();
            early |= same && passed.is_some_and(|floor| !is_past(entry, floor));
            let goes = same && !early;
            if goes {
                before();
            }
            goes
        });
        if early {
            // It died by a clock that was ahead: its turn comes again.
            shard.graves.queue.push_back(grave);
            shard.graves.undated = 0;
        }
        removed
    }

    fn remove(
        &self,
        shard: &mut Shard,
        slot: usize,
        hash: u64,
        why: Removal,
        which: impl FnMut(&[u8], &Entry) -> bool,
    ) -> usize {
        let removed = shard.slot_mut(&self.digest_key, slot).remove(hash, which);
        // The rest of a part may live on, unless the whole has expired for all.
        let has_expired = |entry: &Entry| why == Removal::Collected && *entry.body() == Body::Expired;
        let parts = removed.iter().filter(|(_, entry)| entry.is_delta() && !has_expired(entry)).count();
        self.memory.forget(parts);
        if let Some(observer) = &self.observer {
            for (key, entry) in &removed {
                observer.removed(&self.node, key, entry, why);
            }
        }
        removed.len()
    }
}

/// Whether an entry that has expired did so before `floor`.
fn is_past(entry: &Entry, floor: Hlc) -> bool {
    *entry.body() != Body::Expired || entry.expiry().at_ms.is_none_or(|at_ms| at_ms < floor.millis())
}

#[cfg(test)]
mod tests;
