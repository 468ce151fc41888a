//! Walking the keys with a cursor that stays valid while the store changes.
//!
//! A cursor names a slot and a position in the order of key hashes, so a key that is there during the
//! whole walk is returned, whatever is added, removed or moved by the hash table meanwhile.

use bytes::Bytes;

use super::{SLOTS_PER_SHARD, Store};
use crate::slot::SLOTS;

/// Bits of a cursor that hold the position within the slot: the top bits of the key hash.
const HASH_BITS: u32 = 48;

impl Store {
    /// Up to about `count` live keys from `cursor` on, and the cursor to go on from; 0 starts and ends.
    ///
    /// Looks at `SLOTS_LIMIT` slots at most, so that one call stays short: a call may return no key and still
    /// not be the last.
    pub(crate) fn scan(&self, cursor: u64, count: usize, now_ms: u64) -> (u64, Vec<Bytes>) {
        let evicted = self.memory_use().evicted;
        let mut found = self.walk(cursor, count, now_ms);
        self.keep_within_limit();
        if self.memory_use().evicted != evicted {
            found.1.retain(|key| self.peek(key, now_ms, |entry| entry.kind(now_ms).is_some()) == Some(true));
        }
        found
    }

    fn walk(&self, cursor: u64, count: usize, now_ms: u64) -> (u64, Vec<Bytes>) {
        const SLOTS_LIMIT: usize = 1024;
        let first = (cursor >> HASH_BITS) as usize;
        let mut from = cursor & ((1 << HASH_BITS) - 1);
        let mut keys = Vec::new();
        for slot in first..SLOTS.min(first + SLOTS_LIMIT) {
            let mut found: Vec<(u64, Bytes)> = Vec::new();
            {
                let mut shard = self.lock(slot / SLOTS_PER_SHARD);
                let index = slot % SLOTS_PER_SHARD;
                // What is left out for being due must not be shown later by a clock that jumped back.
                shard
                    .slot_mut(&self.digest_key, index)
                    .expire_all(now_ms, |key, entry| self.tell_expired(key, entry));
                for record in shard.slot(index).records().filter(|record| record.is_shown(now_ms)) {
                    let position = self.digest_key.key_hash(record.key()) >> (64 - HASH_BITS);
                    if position >= from {
                        found.push((position, Bytes::copy_from_slice(record.key())));
                    }
                }
            }
            found.sort_unstable();
            let mut found = found.into_iter().peekable();
            let mut last = from;
            while let Some((position, key)) =
                found.next_if(|(position, _)| keys.len() < count || *position == last)
            {
                last = position;
                keys.push(key);
            }
            if let Some((position, _)) = found.next() {
                return ((slot as u64) << HASH_BITS | position, keys);
            }
            if keys.len() >= count {
                return (cursor_at(slot + 1), keys);
            }
            from = 0;
        }
        (cursor_at(SLOTS.min(first + SLOTS_LIMIT)), keys)
    }

    /// Any live key, as `chance` has it; `None` if there is none.
    pub(crate) fn random_key(&self, chance: u64, now_ms: u64) -> Option<Bytes> {
        /// One of several, because who stands behind a wide gap would come too often.
        const CANDIDATES: usize = 32;
        let slot = (chance % SLOTS as u64) as usize;
        let mut candidates = Vec::new();
        for start in [cursor_at(slot), 0] {
            let mut cursor = start;
            while candidates.len() < CANDIDATES {
                let (next, mut keys) = self.scan(cursor, CANDIDATES, now_ms);
                candidates.append(&mut keys);
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            if !candidates.is_empty() {
                break;
            }
        }
        let chosen = (chance / SLOTS as u64) as usize % candidates.len().max(1);
        (!candidates.is_empty()).then(|| candidates.swap_remove(chosen))
    }
}

fn cursor_at(slot: usize) -> u64 {
    if slot >= SLOTS { 0 } else { (slot as u64) << HASH_BITS }
}
