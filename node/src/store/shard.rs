//! One shard: the slots that share a lock, each a hash table of records beside its digest cell.
//!
//! Every change goes through [`Shard::slot_mut`], which moves the cells and the counts along.

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry as TableEntry, VacantEntry};
use rumour_crdt::{Cell, DigestKey, Entry, Stamp};

use super::access::Usage;
use super::actors::Actors;
use super::graves::Graves;
use super::memory::EvictionPolicy;
use super::record::Record;
use super::stubs::{Stub, Stubs};

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

/// What one shard holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Records with something to be seen.
    pub(super) live: usize,
    /// Those of them that expire.
    pub(super) expiring: usize,
    /// Tombstones and expired entries.
    pub(super) dead: usize,
    /// Evicted entries of which hash and version are kept.
    pub(super) stubs: usize,
    /// Heap of records and tables.
    pub(super) bytes: usize,
    /// Of that, the tables of stubs.
    pub(super) stub_bytes: usize,
    /// Stubs that were dropped so far.
    pub(super) stubs_dropped: usize,
}

/// A place in a shard's tables. Records move about when a table grows: it is where to go on, not where to find one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) bucket: usize,
}

/// One slot: its records, what is left of those that were evicted, and the sum of the versions of both.
#[derive(Default)]
pub(super) struct Slot {
    cell: Cell,
    records: HashTable<Record>,
    stubs: Stubs,
}

/// A slot open for changes.
pub(super) struct SlotMut<'a> {
    slot: &'a mut Slot,
    index: usize,
    graves: &'a mut Graves,
    digest_key: &'a DigestKey,
    sum: &'a mut Cell,
    counts: &'a mut Counts,
    actors: &'a mut Actors,
    usage: &'a mut Usage,
    /// Bytes of tables and of the actors when it was opened, and those of the table of stubs alone.
    table_bytes: usize,
    stub_bytes: usize,
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

    /// Drops every record stamped below the watermark. Stubs do not say how they are stamped and go as well: what was
    /// written above comes back by sync.
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

    /// Lets due expiries take effect from `from` on, looking at up to about `looks` records. Returns where to go on, `None` at
    /// the end of the shard, with how many were looked at.
    pub(super) fn expire_from(
        &mut self,
        digest_key: &DigestKey,
        from: Place,
        looks: usize,
        now_ms: u64,
        mut expired: impl FnMut(&[u8], &Entry),
    ) -> (Option<Place>, usize) {
        let mut seen = 0;
        let mut at = from;
        if self.counts.expiring == 0 && self.counts.stubs == 0 {
            return (None, 0);
        }
        while at.slot < self.slots.len() {
            if at.bucket == 0 && self.slots[at.slot].has_due_stub(now_ms) {
                self.slot_mut(digest_key, at.slot).drop_stubs(|stub| stub.ends_at_ms <= now_ms);
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

    /// See [`Slot::lacks`].
    pub(super) fn lacks(&self, hash: u64, key: &[u8]) -> bool {
        self.slot.lacks(hash, key)
    }

    /// Whether there is a record of the key.
    pub(super) fn holds(&self, hash: u64, key: &[u8]) -> bool {
        self.slot.find(hash, key).is_some()
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

    /// Takes the value of a key out of memory and leaves a stub, so that the cell stays as it is. `evicted` is told what goes.
    /// Returns whether there was one.
    pub(super) fn evict(&mut self, hash: u64, evicted: impl FnOnce(&[u8], &Record, &Actors)) -> bool {
        let digest_key = self.digest_key;
        let same = |record: &Record| record.is_live() && digest_key.key_hash(record.key()) == hash;
        let Ok(present) = self.slot.records.find_entry(hash, same) else { return false };
        let (record, _) = present.remove();
        self.counts.take(&record);
        evicted(record.key(), &record, self.actors);
        let ends_at_ms = record.ends_at_ms().unwrap_or(u64::MAX);
        let stub = Stub { hash, version: record.version(self.actors), ends_at_ms };
        self.put_stub(stub);
        true
    }

    /// Keeps the hash and version of an entry that others have evicted as well, unless it is known here in any form. Of two
    /// stubs the greater version stays, on all nodes alike. Returns whether it was kept.
    pub(super) fn adopt(&mut self, hash: u64, version: u64) -> bool {
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
            (stub.version, stub.ends_at_ms) = (version, u64::MAX);
            return true;
        }
        self.slot.cell.insert(digest_key, hash, version);
        self.put_stub(Stub { hash, version, ends_at_ms: u64::MAX });
        true
    }

    fn put_stub(&mut self, stub: Stub) {
        match self.slot.stubs.insert(stub) {
            None => self.counts.stubs += 1,
            Some(other) => self.slot.cell.remove(self.digest_key, other.hash, other.version),
        }
    }

    /// Forgets that a key was evicted: nobody has its value any more.
    pub(super) fn take_stub(&mut self, hash: u64) {
        if let Some(stub) = self.slot.stubs.remove(hash) {
            self.slot.cell.remove(self.digest_key, stub.hash, stub.version);
            self.counts.stubs -= 1;
        }
    }

    /// Drops stubs. Sync brings the values once more, if others have them.
    pub(super) fn drop_stubs(&mut self, mut which: impl FnMut(&Stub) -> bool) -> usize {
        let before = self.slot.stubs.len();
        let (cell, digest_key) = (&mut self.slot.cell, self.digest_key);
        self.slot.stubs.retain(|stub| {
            let drop = which(stub);
            if drop {
                cell.remove(digest_key, stub.hash, stub.version);
            }
            !drop
        });
        let dropped = before - self.slot.stubs.len();
        self.counts.stubs -= dropped;
        self.counts.stubs_dropped += dropped;
        dropped
    }

    fn remove_up_to(&mut self, watermark: Stamp) {
        self.drop_stubs(|_| true);
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

    fn add(&mut self, record: &Record) {
        self.bytes += record.heap_bytes();
        let live = record.is_live();
        self.live += usize::from(live);
        self.dead += usize::from(!live);
        self.expiring += usize::from(record.ends_at_ms().is_some());
    }

    fn take(&mut self, record: &Record) {
        self.bytes -= record.heap_bytes();
        let live = record.is_live();
        self.live -= usize::from(live);
        self.dead -= usize::from(!live);
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

    fn has_due_stub(&self, now_ms: u64) -> bool {
        self.stubs.iter().any(|stub| stub.ends_at_ms <= now_ms)
    }

    fn table_bytes(&self) -> usize {
        self.records.allocation_size() + self.stubs.bytes()
    }

    /// Hash and version of everything in the slot, stubs included.
    pub(super) fn versions<'a>(
        &'a self,
        digest_key: &'a DigestKey,
        actors: &'a Actors,
    ) -> impl Iterator<Item = (u64, u64)> + 'a {
        let records =
            self.records.iter().map(|record| (digest_key.key_hash(record.key()), record.version(actors)));
        records.chain(self.stubs.iter().map(|stub| (stub.hash, stub.version)))
    }

    /// The cell computed anew from the records and stubs; equal to [`Self::cell`] unless there is a bug.
    pub(super) fn rebuilt_cell(&self, digest_key: &DigestKey, actors: &Actors) -> Cell {
        let mut cell = Cell::default();
        for (hash, version) in self.versions(digest_key, actors) {
            cell.insert(digest_key, hash, version);
        }
        cell
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
