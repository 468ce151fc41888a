//! One shard: the slots that share a lock, each a hash table of records beside its digest cell.

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;
use rumour_crdt::{Cell, DigestKey, Entry, Stamp};

use super::graves::Graves;

/// Consecutive slots behind one lock.
pub(super) struct Shard {
    slots: Box<[Slot]>,
    /// The sum of the slots' cells.
    cell: Cell,
    flushed: Stamp,
    /// What died here and was not removed yet.
    pub(super) graves: Graves,
}

impl Shard {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            cell: Cell::default(),
            flushed: Stamp::ZERO,
            graves: Graves::default(),
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
        let index = slot;
        let slot = &mut self.slots[index];
        self.cell -= slot.cell;
        let (reply, died) = slot.modify(digest_key, hash, key, modify);
        self.cell += slot.cell;
        if let Some(version) = died {
            self.bury(index, hash, version);
        }
        reply
    }

    /// Notes that a record died, so that it is removed one day.
    pub(super) fn bury(&mut self, slot: usize, hash: u64, version: u64) {
        if self.graves.dig(slot, hash, version) {
            self.prune_graves();
        }
    }

    fn prune_graves(&mut self) {
        let slots = &self.slots;
        self.graves.prune(|grave| {
            let mut filled = false;
            slots[usize::from(grave.slot)].find_hash(grave.hash, |record| {
                filled |= record.entry.version() == grave.version && !is_live(&record.entry);
            });
            filled
        });
    }

    /// Removes the records of one key hash that `which` picks, and gives them.
    pub(super) fn remove(
        &mut self,
        digest_key: &DigestKey,
        slot: usize,
        hash: u64,
        which: impl FnMut(&[u8], &Entry) -> bool,
    ) -> Vec<(Bytes, Entry)> {
        let slot = &mut self.slots[slot];
        self.cell -= slot.cell;
        let removed = slot.remove(digest_key, hash, which);
        self.cell += slot.cell;
        removed
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
        self.prune_graves();
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

    /// Besides what `modify` returned, gives the version at which the record died by it.
    fn modify<R>(
        &mut self,
        digest_key: &DigestKey,
        hash: u64,
        key: &[u8],
        modify: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> (R, Option<u64>) {
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
        let mut died = None;
        if let Some(entry) = state {
            let now = entry.version();
            died = (!is_live(&entry) && (live || version != Some(now))).then_some(now);
            self.live += usize::from(is_live(&entry));
            self.cell.insert(digest_key, hash, now);
            place.insert(Record { hash, key: name.unwrap_or_else(|| Bytes::copy_from_slice(key)), entry });
        }
        (reply, died)
    }

    fn remove(
        &mut self,
        digest_key: &DigestKey,
        hash: u64,
        mut which: impl FnMut(&[u8], &Entry) -> bool,
    ) -> Vec<(Bytes, Entry)> {
        let mut removed = Vec::new();
        while let Ok(found) =
            self.records.find_entry(hash, |record| record.hash == hash && which(&record.key, &record.entry))
        {
            let (Record { key, entry, .. }, _) = found.remove();
            self.cell.remove(digest_key, hash, entry.version());
            self.live -= usize::from(is_live(&entry));
            removed.push((key, entry));
        }
        if self.records.is_empty() {
            self.records = HashTable::new();
        }
        removed
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

    pub(super) fn expire_all(&mut self, now_ms: u64, mut expired: impl FnMut(u64, &[u8], &Entry)) {
        if self.live == 0 {
            return;
        }
        for record in &mut self.records {
            let live = is_live(&record.entry);
            if record.entry.expire(now_ms) {
                self.live -= usize::from(live);
                expired(record.hash, &record.key, &record.entry);
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

pub(super) fn is_live(entry: &Entry) -> bool {
    entry.is_visible()
}
