//! Keeping the store within its memory.
//!
//! What goes is chosen by sampling: some records in a row are looked at, from where the last look ended, and the one of lowest
//! rank goes. As keys are hashed, records in a row are a random sample. Every record is looked at equally often.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use parking_lot::Mutex;
use rumour_crdt::{Entry, Hlc};

use super::absent::Absent;
use super::memory::{EvictionPolicy, MemoryLimit};
use super::shard::Candidate;
use super::slots::{Counts, Slot};
use super::unclaimed::Unclaimed;
use super::{SHARDS, SLOTS_PER_SHARD, Store};
use crate::slot::slot_of;
use crate::status::MemoryStatus;

/// Records looked at to choose one to evict.
const LOOKS: usize = 16;
/// Further samples that are taken while all that could go has changes that peers lack.
const SAMPLES_LIMIT: usize = 4;
/// Stubs may take one part in this many of the limit; those beyond go first.
const STUBS_SHARE: usize = 4;

/// The limit and how far it is used up.
pub(super) struct Memory {
    limit: MemoryLimit,
    used: AtomicUsize,
    stubs: AtomicUsize,
    stub_bytes: AtomicUsize,
    /// Whether something that was evicted may be known no more: what is not held then need not be dead.
    forgotten: AtomicBool,
    /// Whether there ever was a stub: without one nothing is lacking.
    pub(super) gaps: AtomicBool,
    /// The latest of this node's own contributions that it has evicted.
    contributed_until: AtomicU64,
    /// The bits of the latest time of an entry that was evicted although some peer may have lacked it.
    unacknowledged_until: AtomicU64,
    /// Keys that peers were asked for in vain.
    pub(super) absent: Absent,
    /// Keys that peers have evicted and that may still come from others.
    pub(super) unclaimed: Mutex<Unclaimed>,
    /// Hashes of evicted keys that peers are asked for, with how many want them. They are not evicted meanwhile.
    pub(super) wanted: Mutex<BTreeMap<u64, usize>>,
    /// How many those are.
    pub(super) wanting: AtomicUsize,
    evicted: AtomicU64,
    stubs_dropped: AtomicU64,
    /// Shard that is looked at next.
    hand: AtomicUsize,
    unacknowledged: OnceLock<Test>,
    /// Of each shard, how many changes are being made that are not in the peers' queues yet.
    unqueued: Box<[AtomicUsize]>,
}

/// Whether something holds for a key.
type Test = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A change that is not in the peers' queues yet: it looks as if every peer had it.
pub(crate) struct Changing<'a>(&'a AtomicUsize);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The best of some records to evict.
#[derive(Default)]
struct Sample {
    /// That every peer has.
    best: Option<Candidate>,
    /// That some peer may lack.
    spared: Option<Candidate>,
}

impl Memory {
    pub(super) fn new(limit: MemoryLimit) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            stubs: AtomicUsize::new(0),
            stub_bytes: AtomicUsize::new(0),
            forgotten: AtomicBool::new(false),
            gaps: AtomicBool::new(false),
            contributed_until: AtomicU64::new(0),
            unacknowledged_until: AtomicU64::new(0),
            absent: Absent::default(),
            unclaimed: Mutex::default(),
            wanted: Mutex::default(),
            wanting: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            stubs_dropped: AtomicU64::new(0),
            hand: AtomicUsize::new(0),
            unacknowledged: OnceLock::new(),
            unqueued: (0..SHARDS).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Takes note of what a shard grew by; shrinking is adding as well, modulo the size of a number.
    pub(super) fn moved(&self, before: &Counts, after: &Counts) {
        if before.bytes != after.bytes {
            self.used.fetch_add(after.bytes.wrapping_sub(before.bytes), Relaxed);
        }
        if before.stubs < after.stubs {
            self.gaps.store(true, Relaxed);
        }
        if before.stubs != after.stubs {
            self.stubs.fetch_add(after.stubs.wrapping_sub(before.stubs), Relaxed);
        }
        self.forget(after.stubs_dropped - before.stubs_dropped);
        if before.stub_bytes != after.stub_bytes {
            self.stub_bytes.fetch_add(after.stub_bytes.wrapping_sub(before.stub_bytes), Relaxed);
        }
    }

    /// An entry is about to be held of which others may hold more.
    pub(super) fn holds_part(&self, entry: &Entry) {
        if entry.is_delta() {
            self.gaps.store(true, Relaxed);
        }
    }

    /// Of so many evicted keys nothing is known any more.
    pub(super) fn forget(&self, keys: usize) {
        if keys > 0 {
            self.forgotten.store(true, Relaxed);
            self.stubs_dropped.fetch_add(keys as u64, Relaxed);
        }
    }

    /// Whether something that was evicted may be known no more: that nothing is held of a key then means nothing.
    pub(super) fn has_forgotten(&self) -> bool {
        self.forgotten.load(Relaxed)
    }

    /// Up to which of its own contributions this node may have evicted some: see
    /// [`Contents::unbroken_since`](rumour_crdt::Contents::unbroken_since).
    pub(super) fn contributed_until(&self) -> u64 {
        self.contributed_until.load(Relaxed)
    }

    /// Whether peers may hold more of the key than this node, because it was evicted here.
    pub(super) fn lacks(&self, slot: &Slot, hash: u64, key: &[u8]) -> bool {
        match slot.find(hash, key) {
            Some(record) => record.is_partial(),
            None => (slot.stub(hash).is_some() || self.has_forgotten()) && !self.absent.contains(hash),
        }
    }

    /// Takes note that something may be held of a key now.
    pub(super) fn held(&self, slot: &Slot, hash: u64, key: &[u8]) {
        if slot.find(hash, key).is_some() {
            self.absent.remove(hash);
        }
    }

    /// Whether a key of this hash was asked for.
    pub(super) fn is_wanted(&self, hash: u64) -> bool {
        self.wanting.load(Relaxed) > 0 && self.wanted.lock().contains_key(&hash)
    }

    pub(super) fn bytes_limit(&self) -> usize {
        self.limit.bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn exceeded(&self) -> bool {
        self.used.load(Relaxed) > self.bytes_limit()
    }
}

impl Store {
    /// Whether there is memory for a client's write, after whatever could be evicted was.
    pub(crate) fn has_room(&self) -> bool {
        !self.memory.exceeded() || {
            self.keep_within_limit();
            !self.memory.exceeded()
        }
    }

    /// Says how to tell whether peers still lack the latest change of a key: such keys are evicted only where nothing else is left. `test` is
    /// called under a shard's lock: it must not wait for anything and must not call the store.
    pub(crate) fn spare(&self, test: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        // Set once, when the node is put together.
        let _ = self.memory.unacknowledged.set(Box::new(test));
    }

    /// Says that a key is about to change, and the change to be queued for peers, until what is given is dropped. `None` where
    /// nothing is ever evicted.
    pub(crate) fn changing(&self, key: &[u8]) -> Option<Changing<'_>> {
        self.memory.limit.bytes?;
        let changes = &self.memory.unqueued[usize::from(slot_of(key)) / SLOTS_PER_SHARD];
        changes.fetch_add(1, SeqCst);
        Some(Changing(changes))
    }

    /// Memory in numbers.
    pub(crate) fn memory_use(&self) -> MemoryStatus {
        MemoryStatus {
            used_bytes: self.memory.used.load(Relaxed) as u64,
            max_bytes: self.memory.limit.bytes.unwrap_or(0),
            policy: self.memory.limit.policy,
            evicted: self.memory.evicted.load(Relaxed),
            stubs: self.memory.stubs.load(Relaxed) as u64,
            stubs_dropped: self.memory.stubs_dropped.load(Relaxed),
            // Counted above the store.
            recalled: 0,
            recalls_failed: 0,
        }
    }

    /// Until when entries were written of which one was evicted although some peer may have lacked it: later ones are here, or removed.
    pub(crate) fn unacknowledged_until(&self) -> Hlc {
        Hlc::from_bits(self.memory.unacknowledged_until.load(Relaxed))
    }

    /// Evicts until the limit holds, or nothing is left that could go. Between a write and this the store is over its
    /// limit by no more than what was written.
    pub(crate) fn keep_within_limit(&self) {
        while self.memory.exceeded() && self.make_room() {}
    }

    fn make_room(&self) -> bool {
        let share = self.memory.bytes_limit() / STUBS_SHARE;
        if self.memory.stub_bytes.load(Relaxed) > share && self.drop_stubs() {
            return true;
        }
        self.evict_one() || self.drop_stubs()
    }

    /// Drops the stubs of one slot.
    fn drop_stubs(&self) -> bool {
        for _ in 0..SHARDS {
            let index = self.memory.hand.fetch_add(1, Relaxed) % SHARDS;
            let mut shard = self.lock(index);
            if shard.counts().stubs == 0 {
                continue;
            }
            let Some(slot) = shard.next_slot_with_stubs() else { continue };
            shard.slot_mut(&self.digest_key, slot).drop_stubs(|_| true);
            return true;
        }
        false
    }

    fn evict_one(&self) -> bool {
        if self.memory.limit.policy == EvictionPolicy::NoEviction {
            return false;
        }
        let mut spared = None;
        for _ in 0..SAMPLES_LIMIT {
            let sample = self.sample();
            if let Some(best) = sample.best {
                return self.evict(best, false);
            }
            spared = [spared, sample.spared].into_iter().flatten().min();
        }
        // Everything is needed by some peer, but the memory is needed more.
        spared.is_some_and(|candidate| self.evict(candidate, true))
    }

    fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        let mut looked = 0;
        for _ in 0..SHARDS {
            let index = self.memory.hand.fetch_add(1, Relaxed) % SHARDS;
            let mut shard = self.shards[index].lock();
            if shard.counts().evictable(self.memory.limit.policy) == 0 {
                continue;
            }
            looked += shard.look(&self.digest_key, LOOKS - looked, |candidate, key| {
                if self.memory.is_wanted(candidate.hash) {
                    return;
                }
                let candidate = Candidate { slot: index * SLOTS_PER_SHARD + candidate.slot, ..candidate };
                let beats = |other: Option<Candidate>| other.is_none_or(|other| candidate.rank < other.rank);
                if beats(sample.best) && !self.may_be_unacknowledged(index, key) {
                    sample.best = Some(candidate);
                } else if beats(sample.spared) {
                    sample.spared = Some(candidate);
                }
            });
            if looked >= LOOKS {
                break;
            }
        }
        sample
    }

    /// Whether some peer may lack the latest change of a key in this shard.
    fn may_be_unacknowledged(&self, shard: usize, key: &[u8]) -> bool {
        self.memory.unqueued[shard].load(SeqCst) > 0
            || self.memory.unacknowledged.get().is_some_and(|test| test(key))
    }

    fn evict(&self, candidate: Candidate, unacknowledged: bool) -> bool {
        let index = candidate.slot / SLOTS_PER_SHARD;
        let mut shard = self.lock(index);
        let mut slot = shard.slot_mut(&self.digest_key, candidate.slot % SLOTS_PER_SHARD);
        // Since it was looked at, it may have been changed, or have been asked for.
        let may_go = |key: &[u8]| {
            !self.memory.is_wanted(candidate.hash)
                && (unacknowledged || !self.may_be_unacknowledged(index, key))
        };
        slot.evict(candidate.hash, may_go, |key, record, actors| {
            record.read(actors, |entry| {
                if let Some(contents) = entry.contents() {
                    self.memory.contributed_until.fetch_max(contents.last_of(self.actor), Relaxed);
                }
                if unacknowledged {
                    let until = entry.newest().time.bits();
                    self.memory.unacknowledged_until.fetch_max(until, Relaxed);
                }
                if let Some(observer) = &self.observer {
                    observer.evicted(&self.node, key, entry, unacknowledged);
                }
            });
            self.memory.evicted.fetch_add(1, Relaxed);
            self.memory.absent.remove(candidate.hash);
        });
        // Where another thread was faster there is room as well.
        true
    }
}

#[cfg(test)]
mod tests;
