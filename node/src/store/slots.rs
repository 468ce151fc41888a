//! One slot: a hash table of records, what is left of those that were evicted, and their digest cell.
//!
//! Every change goes through [`SlotMut`], which moves the cells and the counts along.

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry as TableEntry, VacantEntry};
use rumour_crdt::{Cell, DigestKey, Entry, Stamp};

use super::access::Usage;
use super::actors::Actors;
use super::graves::Graves;
use super::memory::EvictionPolicy;
use super::record::Record;
use super::stubs::{Stub, Stubs};

/// What one shard holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Records with something to be seen.
    pub(super) live: usize,
    /// Those of them that expire.
    pub(super) expiring: usize,
    /// Tombstones and expired entries.
    pub(super) dead: usize,
    /// Heap of those records.
    pub(super) dead_bytes: usize,
    /// Evicted entries of which hash and version are kept.
    pub(super) stubs: usize,
    /// Heap of records and tables.
    pub(super) bytes: usize,
    /// Of that, the tables of stubs.
    pub(super) stub_bytes: usize,
    /// Stubs that were dropped so far.
    pub(super) stubs_dropped: usize,
}

/// One slot: its records, what is left of those that were evicted, and the sum of the versions of both.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) cell: Cell,
    pub(super) records: HashTable<Record>,
    pub(super) stubs: Stubs,
}

/// A slot open for changes.
pub(super) struct SlotMut<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) index: usize,
    pub(super) graves: &'a mut Graves,
    pub(super) digest_key: &'a DigestKey,
    pub(super) sum: &'a mut Cell,
    pub(super) counts: &'a mut Counts,
    pub(super) actors: &'a mut Actors,
    pub(super) usage: &'a mut Usage,
    /// Bytes of tables and of the actors when it was opened, and those of the table of stubs alone.
    pub(super) table_bytes: usize,
    pub(super) stub_bytes: usize,
}

impl SlotMut<'_> {
    /// Has `modify` change a key's state in place; what it leaves is stored also if it panics.
    pub(super) fn modify<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        now_ms: u64,
        modify: impl FnOnce(&mut Option<Entry>) -> R,
    ) -> R {
        let digest_key = self.digest_key;
        let rehash = |record: &Record| digest_key.key_hash(record.key());
        let found = self.slot.records.entry(hash, |record| record.key() == key, rehash);
        let mut before = None;
        let (state, place, access) = match found {
            TableEntry::Occupied(present) => {
                let (record, place) = present.remove();
                self.counts.take(&record);
                let (version, access) = (record.version(self.actors), record.access());
                before = Some((version, record.is_live()));
                self.slot.cell.remove(digest_key, hash, version);
                (Some(record.into_entry(self.actors)), place, access)
            }
            TableEntry::Vacant(place) => (None, place, self.usage.created()),
        };
        let mut open = Open {
            state,
            place: Some(place),
            before,
            slot: self.index,
            hash,
            key,
            access,
            usage: self.usage,
            now_ms,
            graves: self.graves,
            cell: &mut self.slot.cell,
            stubs: &mut self.slot.stubs,
            digest_key,
            counts: self.counts,
            actors: self.actors,
        };
        modify(&mut open.state)
    }

    /// The slot as it is now.
    pub(super) fn slot(&self) -> &Slot {
        self.slot
    }

    /// Reads a key's record and takes note of that.
    pub(super) fn read<R>(
        &mut self,
        hash: u64,
        key: &[u8],
        now_ms: u64,
        read: impl FnOnce(&Record, &Actors) -> R,
    ) -> Option<R> {
        let records = self.counts.live + self.counts.dead;
        let record = self.slot.records.find_mut(hash, |record| record.key() == key)?;
        let access = record.access();
        let used = self.usage.used(access, false, records, now_ms);
        if used != access {
            record.set_access(used);
        }
        Some(read(record, self.actors))
    }

    /// Lets a due expiry of one key take effect and tells of it. The cell does not change: the version stays.
    pub(super) fn expire_if_due(
        &mut self,
        hash: u64,
        key: &[u8],
        now_ms: u64,
        expired: impl FnOnce(&[u8], &Entry),
    ) {
        if self.slot.find(hash, key).is_some_and(|record| record.is_due(now_ms)) {
            self.modify(hash, key, now_ms, |entry| {
                if let Some(entry) = entry
                    && entry.expire(now_ms)
                {
                    expired(key, entry);
                }
            });
        }
    }

    /// Lets all due expiries of the slot take effect.
    pub(super) fn expire_all(&mut self, now_ms: u64, mut expired: impl FnMut(&[u8], &Entry)) {
        if self.counts.expiring == 0 {
            return;
        }
        let due = self.slot.records.iter().filter(|record| record.is_due(now_ms));
        let due: Vec<Box<[u8]>> = due.map(|record| record.key().into()).collect();
        for key in due {
            self.expire_if_due(self.digest_key.key_hash(&key), &key, now_ms, &mut expired);
        }
    }

    /// Removes the records of one key hash that `which` picks, and gives them.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        mut which: impl FnMut(&[u8], &Entry) -> bool,
    ) -> Vec<(Box<[u8]>, Entry)> {
        let (digest_key, actors) = (self.digest_key, &*self.actors);
        let mut removed = Vec::new();
        while let Ok(found) = self.slot.records.find_entry(hash, |record| {
            digest_key.key_hash(record.key()) == hash
                && record.read(actors, |entry| which(record.key(), entry))
        }) {
            let (record, _) = found.remove();
            self.counts.take(&record);
            self.slot.cell.remove(digest_key, hash, record.version(actors));
            removed.push((record.key().into(), record.into_entry(actors)));
        }
        removed
    }

    /// Removes all that lies below the watermark. Stubs that do not say where they lie go as well.
    pub(super) fn remove_up_to(&mut self, watermark: Stamp) {
        self.remove_stubs(|stub| stub.is_flushed(watermark));
        self.drop_stubs(|stub| stub.may_be_flushed(watermark));
        let Self { slot, digest_key, counts, actors, .. } = self;
        let cell = &mut slot.cell;
        slot.records.retain(|record| {
            let keep = record.stamp(actors) >= watermark;
            if !keep {
                counts.take(record);
                cell.remove(digest_key, digest_key.key_hash(record.key()), record.version(actors));
            }
            keep
        });
    }

    /// Gives memory of the tables back when little is left in them.
    fn shrink(&mut self) {
        let digest_key = self.digest_key;
        let (records, stubs) = (&mut self.slot.records, &mut self.slot.stubs);
        if records.len() * 4 < records.capacity() {
            records.shrink_to(records.len() * 2, |record| digest_key.key_hash(record.key()));
        }
        stubs.shrink();
    }
}

impl Drop for SlotMut<'_> {
    fn drop(&mut self) {
        *self.sum += self.slot.cell;
        self.shrink();
        let table_bytes = self.slot.table_bytes() + self.actors.bytes() + self.graves.bytes();
        self.counts.bytes = self.counts.bytes + table_bytes - self.table_bytes;
        self.counts.stub_bytes = self.counts.stub_bytes + self.slot.stubs.bytes() - self.stub_bytes;
    }
}

/// A key's state, out of its table while it is changed. Goes back when this is dropped, so that a panic midway leaves the
/// books right.
struct Open<'a> {
    state: Option<Entry>,
    place: Option<VacantEntry<'a, Record>>,
    /// Its version and whether there was anything to be seen, before the change.
    before: Option<(u64, bool)>,
    slot: usize,
    graves: &'a mut Graves,
    hash: u64,
    key: &'a [u8],
    access: u16,
    usage: &'a mut Usage,
    now_ms: u64,
    cell: &'a mut Cell,
    stubs: &'a mut Stubs,
    digest_key: &'a DigestKey,
    counts: &'a mut Counts,
    actors: &'a mut Actors,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let (Some(entry), Some(place)) = (self.state.take(), self.place.take()) else { return };
        let version = entry.version();
        self.cell.insert(self.digest_key, self.hash, version);
        if !entry.is_visible() && self.before.is_none_or(|(before, live)| live || before != version) {
            self.graves.dig(self.slot, self.hash, version);
        }
        if let Some(stub) = self.stubs.remove(self.hash) {
            self.cell.remove(self.digest_key, stub.hash, stub.version);
            self.counts.stubs -= 1;
        }
        let access = match self.before {
            Some((before, _)) => {
                let records = self.counts.live + self.counts.dead;
                self.usage.used(self.access, before != version, records, self.now_ms)
            }
            None => self.access,
        };
        let record = Record::new(self.key, entry, access, self.actors);
        self.counts.add(&record);
        place.insert(record);
    }
}

impl Counts {
    /// How many records the policy may evict.
    pub(super) fn evictable(&self, policy: EvictionPolicy) -> usize {
        match policy {
            EvictionPolicy::NoEviction => 0,
            EvictionPolicy::AllKeysLru | EvictionPolicy::AllKeysLfu => self.live,
            EvictionPolicy::VolatileTtl => self.expiring,
        }
    }

    pub(super) fn add(&mut self, record: &Record) {
        self.bytes += record.heap_bytes();
        let live = record.is_live();
        self.live += usize::from(live);
        self.dead += usize::from(!live);
        self.dead_bytes += if live { 0 } else { record.heap_bytes() };
        self.expiring += usize::from(record.ends_at_ms().is_some());
    }

    pub(super) fn take(&mut self, record: &Record) {
        self.bytes -= record.heap_bytes();
        let live = record.is_live();
        self.live -= usize::from(live);
        self.dead -= usize::from(!live);
        self.dead_bytes -= if live { 0 } else { record.heap_bytes() };
        self.expiring -= usize::from(record.ends_at_ms().is_some());
    }
}

impl Slot {
    pub(super) fn cell(&self) -> Cell {
        self.cell
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<&Record> {
        self.records.find(hash, |record| record.key() == key)
    }

    pub(super) fn stub(&self, hash: u64) -> Option<&Stub> {
        self.stubs.find(hash)
    }

    /// Whether what a key holds, or a part of it, was evicted here and is with others only.
    pub(super) fn lacks(&self, hash: u64, key: &[u8]) -> bool {
        self.find(hash, key).map_or_else(|| self.stub(hash).is_some(), Record::is_partial)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// The records whose key has this hash: one, or none, but for collisions.
    pub(super) fn find_hash(&self, digest_key: &DigestKey, hash: u64) -> impl Iterator<Item = &Record> {
        self.records.iter_hash(hash).filter(move |record| digest_key.key_hash(record.key()) == hash)
    }

    pub(super) fn has_due_stub(&self, now_ms: u64) -> bool {
        self.stubs.iter().any(|stub| stub.ends_at_ms < now_ms)
    }

    pub(super) fn table_bytes(&self) -> usize {
        self.records.allocation_size() + self.stubs.bytes()
    }

    /// Hash and version of everything in the slot, stubs included, but for those of values that have expired by `now_ms`.
    pub(super) fn versions<'a>(
        &'a self,
        digest_key: &'a DigestKey,
        actors: &'a Actors,
        now_ms: u64,
    ) -> impl Iterator<Item = (u64, u64)> + 'a {
        let records =
            self.records.iter().map(|record| (digest_key.key_hash(record.key()), record.version(actors)));
        let stubs = self.stubs.iter().filter(move |stub| stub.ends_at_ms > now_ms);
        records.chain(stubs.map(|stub| (stub.hash, stub.version)))
    }

    /// The cell computed anew from the records and stubs; equal to [`Self::cell`] unless there is a bug.
    pub(super) fn rebuilt_cell(&self, digest_key: &DigestKey, actors: &Actors) -> Cell {
        let mut cell = Cell::default();
        for (hash, version) in self.versions(digest_key, actors, 0) {
            cell.insert(digest_key, hash, version);
        }
        cell
    }
}
