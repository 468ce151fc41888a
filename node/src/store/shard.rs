//! One shard: the slots that share a lock, with what is known of all of them together.
//!
//! Every change goes through [`Shard::slot_mut`].

use rumour_crdt::{Cell, DigestKey, Entry, Stamp};

use super::access::Usage;
use super::actors::Actors;
use super::graves::Graves;
use super::slots::{Counts, Slot, SlotMut};

/// Consecutive slots behind one lock.
pub(super) struct Shard {
    slots: Box<[Slot]>,
    /// The sum of the slots' cells.
    cell: Cell,
    flushed: Stamp,
    counts: Counts,
    actors: Actors,
    usage: Usage,
    /// What died here and was not removed yet.
    pub(super) graves: Graves,
    /// Where the next look for something to evict begins.
    hand: Place,
    /// The slot whose stubs are dropped next.
    stub_hand: usize,
}

/// A place in a shard's tables. Records move about when a table grows: it is where to go on, not where to find one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) bucket: usize,
}

/// A record that was looked at for eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// The lower, the sooner it should go.
    pub(super) rank: u64,
    pub(super) slot: usize,
    pub(super) hash: u64,
}

impl Shard {
    pub(super) fn new(slots: usize, usage: Usage) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            cell: Cell::default(),
            flushed: Stamp::ZERO,
            counts: Counts::default(),
            actors: Actors::default(),
            usage,
            graves: Graves::default(),
            hand: Place::default(),
            stub_hand: 0,
        }
    }

    pub(super) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    /// Whether an entry that was sent when this was left of its key here may lack something that was evicted since, and would pass for
    /// all that there is.
    pub(super) fn is_late(
        &self,
        slot: usize,
        hash: u64,
        key: &[u8],
        entry: &Entry,
        left: Option<u64>,
    ) -> bool {
        // A part does not pass for the whole.
        if entry.is_delta() {
            return false;
        }
        let slot = &self.slots[slot];
        match (slot.find(hash, key), slot.stub(hash)) {
            // It may have grown since. That it was evicted once more and came back in part is seen by its reader, who recalls it.
            (Some(record), _) => {
                record.is_partial() && record.stamp(&self.actors) <= entry.stamp() && left.is_none()
            }
            (None, Some(stub)) => {
                !stub.stands_for(entry) && stub.may_belong_to(entry.stamp()) && left != Some(stub.version)
            }
            (None, None) => false,
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn actors(&self) -> &Actors {
        &self.actors
    }

    pub(super) fn cell(&self) -> Cell {
        self.cell
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn flushed(&self) -> Stamp {
        self.flushed
    }

    /// Opens a slot for changes.
    pub(super) fn slot_mut<'a>(&'a mut self, digest_key: &'a DigestKey, index: usize) -> SlotMut<'a> {
        let slot = &mut self.slots[index];
        self.cell -= slot.cell;
        SlotMut {
            table_bytes: slot.table_bytes() + self.actors.bytes() + self.graves.bytes(),
            stub_bytes: slot.stubs.bytes(),
            slot,
            index,
            graves: &mut self.graves,
            digest_key,
            sum: &mut self.cell,
            counts: &mut self.counts,
            actors: &mut self.actors,
            usage: &mut self.usage,
        }
    }

    /// Drops every record stamped below the watermark, and what is left of evicted ones.
    pub(super) fn flush(&mut self, digest_key: &DigestKey, watermark: Stamp) {
        self.flushed = self.flushed.max(watermark);
        for slot in 0..self.slots.len() {
            self.slot_mut(digest_key, slot).remove_up_to(watermark);
        }
        self.prune_graves(digest_key);
        if self.counts.live + self.counts.dead == 0 {
            let bytes = self.actors.bytes();
            self.actors.clear();
            self.counts.bytes -= bytes;
        }
    }

    /// Looks at up to `looks` records that could be evicted, from where the last look ended, and hands each to `see`. Returns
    /// how many there were: fewer if the shard has no more.
    pub(super) fn look(
        &mut self,
        digest_key: &DigestKey,
        looks: usize,
        mut see: impl FnMut(Candidate, &[u8]),
    ) -> usize {
        let mut seen = 0;
        let start = self.hand;
        let mut slots_passed = 0;
        while seen < looks {
            let Place { slot: index, bucket } = self.hand;
            // The last slot of a round is the first one again, up to where the look began; its table may be shorter now.
            if slots_passed == self.slots.len() && bucket >= start.bucket || slots_passed > self.slots.len() {
                break;
            }
            if bucket >= self.slots[index].records.num_buckets() {
                self.hand = Place { slot: (index + 1) % self.slots.len(), bucket: 0 };
                slots_passed += 1;
            } else {
                self.hand.bucket += 1;
                if let Some(record) = self.slots[index].records.get_bucket_mut(bucket)
                    && record.is_live()
                    && let Some(rank) = self.usage.rank(record.access(), record.ends_at_ms())
                {
                    seen += 1;
                    let access = self.usage.looked_at(record.access());
                    record.set_access(access);
                    let hash = digest_key.key_hash(record.key());
                    see(Candidate { rank, slot: index, hash }, record.key());
                }
            }
        }
        seen
    }

    /// Drops the graves of keys that were written again, once the queue has grown much.
    pub(super) fn tidy(&mut self, digest_key: &DigestKey) {
        if self.graves.is_full() {
            self.prune_graves(digest_key);
        }
    }

    fn prune_graves(&mut self, digest_key: &DigestKey) {
        let before = self.graves.bytes();
        let (slots, actors) = (&self.slots, &self.actors);
        self.graves.prune(|grave| {
            let mut records = slots[usize::from(grave.slot)].find_hash(digest_key, grave.hash);
            records.any(|record| !record.is_live() && record.version(actors) == grave.version)
        });
        self.counts.bytes = self.counts.bytes + self.graves.bytes() - before;
    }

    /// A slot that has stubs: each in turn.
    pub(super) fn next_slot_with_stubs(&mut self) -> Option<usize> {
        let slots = self.slots.len();
        let found = (0..slots).map(|ahead| (self.stub_hand + ahead) % slots);
        let found = { found }.find(|slot| !self.slots[*slot].stubs.is_empty())?;
        self.stub_hand = (found + 1) % slots;
        Some(found)
    }

    /// Lets due expiries take effect from `from` on, looking at up to about `looks` records. Stubs of values that had expired by
    /// `agreed_ms` go: by then nobody holds anything of them. Returns where to go on, `None` at the end of the shard, with how
    /// many were looked at.
    pub(super) fn expire_from(
        &mut self,
        digest_key: &DigestKey,
        from: Place,
        looks: usize,
        (now_ms, agreed_ms): (u64, u64),
        mut expired: impl FnMut(&[u8], &Entry),
    ) -> (Option<Place>, usize) {
        let mut seen = 0;
        let mut at = from;
        if self.counts.expiring == 0 && self.counts.stubs == 0 {
            return (None, 0);
        }
        while at.slot < self.slots.len() {
            if at.bucket == 0 && self.slots[at.slot].has_due_stub(agreed_ms) {
                self.slot_mut(digest_key, at.slot).remove_stubs(|stub| stub.ends_at_ms < agreed_ms);
            }
            let buckets =
                if self.counts.expiring == 0 { 0 } else { self.slots[at.slot].records.num_buckets() };
            while at.bucket < buckets {
                if seen >= looks {
                    return (Some(at), seen);
                }
                let record = self.slots[at.slot].records.get_bucket(at.bucket);
                at.bucket += 1;
                let Some(record) = record else { continue };
                seen += 1;
                if record.is_due(now_ms) {
                    let (hash, key) = (digest_key.key_hash(record.key()), Box::<[u8]>::from(record.key()));
                    self.slot_mut(digest_key, at.slot).expire_if_due(hash, &key, now_ms, &mut expired);
                }
            }
            at = Place { slot: at.slot + 1, bucket: 0 };
        }
        (None, seen)
    }
}

impl Shard {
    /// The counts computed anew; equal to [`Self::counts`] unless there is a bug.
    pub(super) fn rebuilt_counts(&self) -> Counts {
        let (bytes, stubs_dropped) = (self.actors.bytes() + self.graves.bytes(), self.counts.stubs_dropped);
        let mut counts = Counts { bytes, stubs_dropped, ..Counts::default() };
        for slot in &self.slots {
            slot.records.iter().for_each(|record| counts.add(record));
            counts.stubs += slot.stubs.len();
            counts.bytes += slot.table_bytes();
            counts.stub_bytes += slot.stubs.bytes();
        }
        counts
    }
}
