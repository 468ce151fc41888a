//! What anti-entropy reads from the store: sums of slot cells, listings of versions, entries by hash.

use bytes::Bytes;
use rumour_crdt::{Cell, Entry, Stamp};
use serde::{Deserialize, Serialize};

use super::actors::Actors;
use super::record::Record;
use super::slots::Slot;
use super::{SLOTS_PER_SHARD, Store};
use crate::slot::SLOTS;

/// Interior nodes of the digest tree: each sums [`SLOTS_PER_GROUP`] slot cells.
pub(crate) const GROUPS: usize = 128;
/// Slots under one interior node.
pub(crate) const SLOTS_PER_GROUP: usize = SLOTS / GROUPS;

/// A place in the order of (slot, key hash), where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) slot: u16,
    pub(crate) hash: u64,
}

/// A key as a listing names it: by slot and hash, with its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct VersionItem {
    pub(crate) at: Position,
    pub(crate) version: u64,
}

/// What there is of a key that a listing names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// Its entries with their keys.
    Entries(Vec<(Bytes, Entry)>),
    /// More than was asked for, under these keys.
    TooLarge(Vec<Bytes>),
    /// What it was before it was evicted here.
    Evicted(EvictedItem),
}

/// What is left of an evicted entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EvictedItem {
    /// Its key and version.
    pub(crate) item: VersionItem,
    /// When its value expires, in milliseconds since the Unix epoch; [`u64::MAX`] if it stays.
    pub(crate) ends_at_ms: u64,
}

impl Store {
    /// The cells of the slots of one group, in slot order.
    pub(crate) fn slot_cells(&self, group: usize) -> Vec<Cell> {
        let first = group * SLOTS_PER_GROUP;
        let mut cells = Vec::with_capacity(SLOTS_PER_GROUP);
        for shard in first / SLOTS_PER_SHARD..(first + SLOTS_PER_GROUP) / SLOTS_PER_SHARD {
            cells.extend(self.shards[shard].lock().slots().iter().map(Slot::cell));
        }
        cells
    }

    /// The sum of each group's cells.
    pub(crate) fn group_cells(&self) -> Vec<Cell> {
        let shards: Vec<Cell> = self.shards.iter().map(|shard| shard.lock().cell()).collect();
        shards.chunks(SLOTS_PER_GROUP / SLOTS_PER_SHARD).map(|cells| cells.iter().copied().sum()).collect()
    }

    /// The sum of one group's cells.
    pub(crate) fn group_cell(&self, group: usize) -> Cell {
        const SHARDS_PER_GROUP: usize = SLOTS_PER_GROUP / SLOTS_PER_SHARD;
        let shards = &self.shards[group * SHARDS_PER_GROUP..(group + 1) * SHARDS_PER_GROUP];
        shards.iter().map(|shard| shard.lock().cell()).sum()
    }

    /// The sum of all cells.
    pub(crate) fn root_cell(&self) -> Cell {
        self.group_cells().into_iter().sum()
    }

    /// The versions of one slot's keys from `from` on, in the order of their hashes. Those of evicted ones are among them, as long as
    /// their values may show anywhere.
    pub(crate) fn versions(&self, slot: u16, from: u64, now_ms: u64) -> Vec<VersionItem> {
        let shard = self.shard(usize::from(slot));
        let slot_here = shard.slot(usize::from(slot) % SLOTS_PER_SHARD);
        let versions = slot_here.versions(&self.digest_key, shard.actors(), now_ms);
        let item = |(hash, version)| VersionItem { at: Position { slot, hash }, version };
        let mut items: Vec<_> = versions.filter(|(hash, _)| *hash >= from).map(item).collect();
        drop(shard);
        items.sort_unstable();
        items
    }

    /// Where a listing has a key.
    pub(crate) fn position(&self, key: &[u8]) -> Position {
        let (slot, hash) = self.locate(key);
        Position { slot: slot as u16, hash }
    }

    /// The version under which a listing names a key, evicted or not.
    pub(crate) fn version(&self, key: &[u8]) -> Option<u64> {
        let (slot, hash) = self.locate(key);
        let shard = self.shard(slot);
        let slot = shard.slot(slot % SLOTS_PER_SHARD);
        let record = slot.find(hash, key).map(|record| record.version(shard.actors()));
        record.or_else(|| slot.stub(hash).map(|stub| stub.version))
    }

    /// The entries that a listing names, if they take no more than this many bytes: none if nothing is held, more than one
    /// only if two keys share a hash.
    pub(crate) fn entries_at(&self, at: Position, bytes_limit: usize) -> Found {
        self.look_at(at, |slot, records, actors| {
            if let Some(stub) = slot.stub(at.hash).filter(|_| records.is_empty()) {
                let item = VersionItem { at, version: stub.version };
                return Found::Evicted(EvictedItem { item, ends_at_ms: stub.ends_at_ms });
            }
            if records.iter().map(|record| record.heap_bytes()).sum::<usize>() > bytes_limit {
                let key = |record: &&Record| Bytes::copy_from_slice(record.key());
                return Found::TooLarge(records.iter().map(key).collect());
            }
            let entry =
                |record: &&Record| (Bytes::copy_from_slice(record.key()), record.read(actors, Entry::clone));
            Found::Entries(records.iter().map(entry).collect())
        })
    }

    /// The newest stamp of each entry that a listing names.
    pub(crate) fn newest_at(&self, at: Position) -> Vec<Stamp> {
        self.look_at(at, |_, records, actors| {
            records.iter().map(|record| record.read(actors, Entry::newest)).collect()
        })
    }

    /// The version of what is left of a key that a listing names where it was evicted, or a part of it: of the stub, or of the other
    /// part. `None` where all of it is held, or nothing is known.
    pub(crate) fn left_at(&self, at: Position) -> Option<u64> {
        if !self.has_gaps() {
            return None;
        }
        self.look_at(at, |slot, records, actors| match records.first() {
            Some(record) => record.is_partial().then(|| record.version(actors)),
            None => slot.stub(at.hash).map(|stub| stub.version),
        })
    }

    fn look_at<R>(&self, at: Position, look: impl FnOnce(&Slot, &[&Record], &Actors) -> R) -> R {
        let shard = self.shard(usize::from(at.slot));
        let slot = shard.slot(usize::from(at.slot) % SLOTS_PER_SHARD);
        let records: Vec<&Record> = slot.find_hash(&self.digest_key, at.hash).collect();
        look(slot, &records, shard.actors())
    }

    /// The [`versions`](Self::versions) of all slots.
    pub(crate) fn all_versions(&self, now_ms: u64) -> Vec<VersionItem> {
        (0..SLOTS as u16).flat_map(|slot| self.versions(slot, 0, now_ms)).collect()
    }

    /// Slots whose cell differs from the one computed anew from their records, and the first slot of each shard whose
    /// sum or whose counts differ from its slots': none, unless there is a bug.
    pub(crate) fn stale_cells(&self) -> Vec<u16> {
        let mut stale = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let (shard, first) = (shard.lock(), index * SLOTS_PER_SHARD);
            let wrong = |slot: &Slot| slot.cell() != slot.rebuilt_cell(&self.digest_key, shard.actors());
            let slots = shard.slots().iter().enumerate().filter(|(_, slot)| wrong(slot));
            stale.extend(slots.map(|(slot, _)| (first + slot) as u16));
            let sum = shard.slots().iter().map(Slot::cell).sum();
            if shard.cell() != sum || *shard.counts() != shard.rebuilt_counts() {
                stale.push(first as u16);
            }
        }
        stale
    }
}
