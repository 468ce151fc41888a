//! Actor ids as short numbers: each incarnation that wrote something of a shard is kept there once.

use hashbrown::HashTable;
use rumour_crdt::ActorId;

/// The actors of one shard's records. Only grows, until the shard is empty.
#[derive(Default)]
pub(super) struct Actors {
    ids: Vec<ActorId>,
    numbers: HashTable<u16>,
}

impl Actors {
    /// The number of an actor, given to it now if it has none; `None` once all numbers are taken.
    pub(super) fn intern(&mut self, id: ActorId) -> Option<u16> {
        // Actor ids are random numbers already.
        let hash = id.get();
        if let Some(number) = self.numbers.find(hash, |number| self.ids[usize::from(*number)] == id) {
            return Some(*number);
        }
        let number = u16::try_from(self.ids.len()).ok()?;
        self.ids.push(id);
        let ids = &self.ids;
        self.numbers.insert_unique(hash, number, |number| ids[usize::from(*number)].get());
        Some(number)
    }

    /// The actor of a number that [`intern`](Self::intern) gave.
    pub(super) fn get(&self, number: u16) -> ActorId {
        self.ids[usize::from(number)]
    }

    /// Forgets all of them; no record may name one.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of heap.
    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<ActorId>() + self.numbers.allocation_size()
    }
}
