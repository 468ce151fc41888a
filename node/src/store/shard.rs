//! One shard: the slots that share a lock, each a hash table of records beside its digest cell.

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use rumour_crdt::{Cell, DigestKey, Entry, Stamp};

/// Consecutive slots behind one lock.
pub(super) struct Shard {
    slots: Box<[Slot]>,
    /// The sum of the slots' cells.
    cell: Cell,
    flushed: Stamp,
}

impl Shard {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            cell: Cell::default(),
            flushed: Stamp::ZERO,
        }
    }

    pub(super) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    pub(super) fn slot_mut(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    pub(super) fn cell(&self) -> Cell {
        self.cell
    }

    /// Has `modify` change a key's state in place and moves the cells along.
    pub(super) fn modify<R>(
        &mut self,
        digest_key: &DigestKey,
        slot: usize,
        hash: u64,
        key: &[u8],
        modify: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> R {
        let slot = &mut self.slots[slot];
        self.cell -= slot.cell;
        let reply = slot.modify(digest_key, hash, key, modify);
        self.cell += slot.cell;
        reply
    }

    pub(super) fn flushed(&self) -> Stamp {
        self.flushed
    }

    pub(super) fn flush(&mut self, digest_key: &DigestKey, watermark: Stamp) {
        self.flushed = self.flushed.max(watermark);
        for slot in &mut self.slots {
            self.cell -= slot.cell;
            slot.remove_up_to(digest_key, watermark);
            self.cell += slot.cell;
        }
    }

    pub(super) fn live(&self) -> usize {
        self.slots.iter().map(|slot| slot.live).sum()
    }

    pub(super) fn dead(&self) -> usize {
        self.slots.iter().map(|slot| slot.records.len() - slot.live).sum()
    }
}

/// One key's record.
pub(super) struct Record {
    pub(super) hash: u64,
    pub(super) key: Bytes,
    pub(super) entry: Entry,
}

/// One slot: its records and the sum of their versions.
#[derive(Default)]
pub(super) struct Slot {
    cell: Cell,
    records: HashTable<Record>,
    live: usize,
}

impl Slot {
    pub(super) fn cell(&self) -> Cell {
        self.cell
    }

    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.records.find(hash, |record| record.key == key).map(|record| &record.entry)
    }

    fn modify<R>(
        &mut self,
        digest_key: &DigestKey,
        hash: u64,
        key: &[u8],
        modify: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> R {
        let (present, place) =
            match self.records.entry(hash, |record| record.key == key, |record| record.hash) {
                TableEntry::Occupied(present) => {
                    let (record, place) = present.remove();
                    (Some(record), place)
                }
                TableEntry::Vacant(place) => (None, place),
            };
        let (name, mut state) = match present {
            Some(record) => (Some(record.key), Some(record.entry)),
            None => (None, None),
        };
        let (version, live) = (state.as_ref().map(Entry::version), state.as_ref().is_some_and(is_live));
        let reply = modify(&mut state);
        self.live -= usize::from(live);
        if let Some(version) = version {
            self.cell.remove(digest_key, hash, version);
        }
        if let Some(entry) = state {
            self.live += usize::from(is_live(&entry));
            self.cell.insert(digest_key, hash, entry.version());
            place.insert(Record { hash, key: name.unwrap_or_else(|| Bytes::copy_from_slice(key)), entry });
        }
        reply
    }

    /// Lets a due expiry of one key take effect. The cell does not change: the version stays.
    pub(super) fn expire_if_due(&mut self, hash: u64, key: &[u8], now_ms: u64) -> bool {
        let Some(record) = self.records.find_mut(hash, |record| record.key == key) else { return false };
        let live = is_live(&record.entry);
        let expired = record.entry.expire(now_ms);
        // An emptied collection may have an expiry as well.
        self.live -= usize::from(live && expired);
        expired
    }

    pub(super) fn expire_all(&mut self, now_ms: u64, mut expired: impl FnMut(&[u8], &Entry)) {
        if self.live == 0 {
            return;
        }
        for record in &mut self.records {
            let live = is_live(&record.entry);
            if record.entry.expire(now_ms) {
                self.live -= usize::from(live);
                expired(&record.key, &record.entry);
            }
        }
    }

    pub(super) fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a Record)) {
        self.records.iter().for_each(&mut visit);
    }

    /// Visits the records whose key has this hash: one, or none, but for collisions.
    pub(super) fn find_hash<'a>(&'a self, hash: u64, mut visit: impl FnMut(&'a Record)) {
        self.records.iter_hash(hash).filter(|record| record.hash == hash).for_each(&mut visit);
    }

    fn remove_up_to(&mut self, digest_key: &DigestKey, watermark: Stamp) {
        let (cell, live) = (&mut self.cell, &mut self.live);
        self.records.retain(|record| {
            let keep = record.entry.stamp() >= watermark;
            if !keep {
                cell.remove(digest_key, record.hash, record.entry.version());
                *live -= usize::from(is_live(&record.entry));
            }
            keep
        });
        if self.records.is_empty() {
            self.records = HashTable::new();
        }
    }

    /// The cell computed anew from the records; equal to [`Self::cell`] unless there is a bug.
    pub(super) fn rebuilt_cell(&self, digest_key: &DigestKey) -> Cell {
        let mut cell = Cell::default();
        self.for_each(|record| cell.insert(digest_key, record.hash, record.entry.version()));
        cell
    }
}

fn is_live(entry: &Entry) -> bool {
    entry.is_visible()
}
