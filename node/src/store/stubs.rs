//! What is left of the evicted entries of one slot, and how an entry comes to that and goes from it.

use rumour_crdt::{Entry, Hlc, Stamp};

use super::actors::Actors;
use super::record::Record;
use super::slots::SlotMut;

/// Stands for an epoch that is not known.
pub(super) const ELSEWHERE: Hlc = Hlc::MAX;

/// What is left of an evicted entry: enough for the digest to be as if it was still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stub {
    pub(super) hash: u64,
    pub(super) version: u64,
    /// When the key had last been replaced as a whole; [`ELSEWHERE`] if it was evicted elsewhere and never held here.
    pub(super) epoch: Hlc,
    /// When the value expires, [`u64::MAX`] if it stays.
    pub(super) ends_at_ms: u64,
}

impl Stub {
    /// Whether an entry is the very one that was evicted here.
    pub(super) fn stands_for(&self, entry: &Entry) -> bool {
        self.epoch != ELSEWHERE && self.version == entry.version()
    }

    /// Whether what was evicted here may have belonged to this epoch, or to a later one.
    pub(super) fn may_belong_to(&self, epoch: Stamp) -> bool {
        self.epoch != ELSEWHERE && self.epoch >= epoch.time
    }

    /// Whether the value is gone everywhere by a flush.
    pub(super) fn is_flushed(&self, watermark: Stamp) -> bool {
        self.epoch < watermark.time
    }

    /// Whether an entry is of a lower epoch than what was evicted here.
    pub(super) fn outlives(&self, entry: &Entry) -> bool {
        self.epoch != ELSEWHERE && entry.stamp().time < self.epoch
    }

    /// Whether the value may be gone by a flush.
    pub(super) fn may_be_flushed(&self, watermark: Stamp) -> bool {
        self.epoch <= watermark.time || self.epoch == ELSEWHERE
    }
}

/// Stubs in the order of their hashes. Slots hold few of them, so that this takes less memory than a table.
#[derive(Debug, Default)]
pub(super) struct Stubs(Vec<Stub>);

impl Stubs {
    pub(super) fn find(&self, hash: u64) -> Option<&Stub> {
        self.place(hash).ok().map(|at| &self.0[at])
    }

    pub(super) fn find_mut(&mut self, hash: u64) -> Option<&mut Stub> {
        self.place(hash).ok().map(|at| &mut self.0[at])
    }

    /// Puts a stub in; one of the same hash goes.
    pub(super) fn insert(&mut self, stub: Stub) -> Option<Stub> {
        match self.place(stub.hash) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at], stub)),
            Err(at) => {
                if self.0.len() == self.0.capacity() {
                    // Doubling would leave half of the memory unused just when there is none.
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(at, stub);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, hash: u64) -> Option<Stub> {
        self.place(hash).ok().map(|at| self.0.remove(at))
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Stub) -> bool) {
        self.0.retain(keep);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stub> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of heap.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Stub>()
    }

    /// Gives memory back when little is left.
    pub(super) fn shrink(&mut self) {
        if self.0.len() * 2 < self.0.capacity() {
            self.0.shrink_to(self.0.len() + self.0.len() / 4);
        }
    }

    fn place(&self, hash: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&hash, |stub| stub.hash)
    }
}

impl SlotMut<'_> {
    /// Takes what a key holds out of memory, if it may go, and leaves a stub, so that the cell stays as it is. `evicted` is told what
    /// goes.
    /// Returns whether there was one.
    pub(super) fn evict(
        &mut self,
        hash: u64,
        may_go: impl Fn(&[u8]) -> bool,
        evicted: impl FnOnce(&[u8], &Record, &Actors),
    ) -> bool {
        let digest_key = self.digest_key;
        let same = |record: &Record| {
            record.is_live() && digest_key.key_hash(record.key()) == hash && may_go(record.key())
        };
        let Ok(present) = self.slot.records.find_entry(hash, same) else { return false };
        let (record, _) = present.remove();
        self.counts.take(&record);
        evicted(record.key(), &record, self.actors);
        let ends_at_ms = record.ends_at_ms().unwrap_or(u64::MAX);
        let (version, epoch) = (record.version(self.actors), record.stamp(self.actors).time);
        let stub = Stub { hash, version, epoch, ends_at_ms };
        self.put_stub(stub);
        true
    }

    /// Keeps the hash and version of an entry that others have evicted as well, unless it is known here in any form. Of two
    /// stubs the greater version stays, on all nodes alike. Returns whether it was kept.
    pub(super) fn adopt(&mut self, hash: u64, version: u64, ends_at_ms: u64) -> bool {
        let digest_key = self.digest_key;
        let same = |record: &Record| digest_key.key_hash(record.key()) == hash;
        if self.slot.records.find(hash, same).is_some() {
            return false;
        }
        if let Some(stub) = self.slot.stubs.find_mut(hash) {
            if stub.version >= version {
                return false;
            }
            self.slot.cell.replace(digest_key, hash, stub.version, version);
            (stub.version, stub.ends_at_ms) = (version, ends_at_ms);
            return true;
        }
        self.slot.cell.insert(digest_key, hash, version);
        self.put_stub(Stub { hash, version, epoch: ELSEWHERE, ends_at_ms });
        true
    }

    fn put_stub(&mut self, stub: Stub) {
        match self.slot.stubs.insert(stub) {
            None => self.counts.stubs += 1,
            Some(other) => self.slot.cell.remove(self.digest_key, other.hash, other.version),
        }
    }

    /// Drops stubs of values that others may have. Sync brings those once more.
    pub(super) fn drop_stubs(&mut self, which: impl FnMut(&Stub) -> bool) {
        self.counts.stubs_dropped += self.remove_stubs(which);
    }

    /// Removes stubs of values that nobody has. Returns how many.
    pub(super) fn remove_stubs(&mut self, mut which: impl FnMut(&Stub) -> bool) -> usize {
        let before = self.slot.stubs.len();
        let (cell, digest_key) = (&mut self.slot.cell, self.digest_key);
        self.slot.stubs.retain(|stub| {
            let drop = which(stub);
            if drop {
                cell.remove(digest_key, stub.hash, stub.version);
            }
            !drop
        });
        let removed = before - self.slot.stubs.len();
        self.counts.stubs -= removed;
        removed
    }
}
