//! What was evicted here and may be with peers.

use std::collections::btree_map::Entry as BTreeEntry;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rumour_crdt::{Entry, Hlc};

use super::{EvictedItem, SLOTS_PER_SHARD, Store, VersionItem};

impl Store {
    /// Up to which of its own contributions this node may have evicted some.
    pub(crate) fn contributed_until(&self) -> u64 {
        self.memory.contributed_until()
    }

    /// Whether anything was ever evicted, here or by peers: otherwise no key is lacking. Quick.
    pub(crate) fn has_gaps(&self) -> bool {
        self.memory.gaps.load(Relaxed)
    }

    /// Whether what the key holds, or a part of it, was evicted here: others may still show it.
    pub(crate) fn is_evicted(&self, key: &[u8]) -> bool {
        let (slot, hash) = self.locate(key);
        self.shard(slot).slot(slot % SLOTS_PER_SHARD).lacks(hash, key)
    }

    /// Whether the key may have been evicted here without this node knowing it any more.
    pub(crate) fn may_be_evicted(&self, key: &[u8]) -> bool {
        let (slot, hash) = self.locate(key);
        let shard = self.shard(slot);
        self.memory.lacks(shard.slot(slot % SLOTS_PER_SHARD), hash, key)
    }

    /// Lets these keys come back as they were evicted and keeps them here, until [`want_no_more`](Self::want_no_more).
    pub(crate) fn want<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        let mut wanted = self.memory.wanted.lock();
        for key in keys {
            *wanted.entry(self.digest_key.key_hash(key)).or_default() += 1;
        }
        self.memory.wanting.store(wanted.len(), Relaxed);
    }

    /// Keys are needed no more, whether they came or not, by one of those who wanted them.
    pub(crate) fn want_no_more<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        let mut wanted = self.memory.wanted.lock();
        keys.into_iter().for_each(|key| {
            if let BTreeEntry::Occupied(mut wants) = wanted.entry(self.digest_key.key_hash(key)) {
                *wants.get_mut() -= 1;
                if *wants.get() == 0 {
                    wants.remove();
                }
            }
        });
        self.memory.wanting.store(wanted.len(), Relaxed);
    }

    /// Takes what is held of a key for all that there is: no peer has more. Returns whether anything is.
    pub(crate) fn settle(&self, key: &[u8], now_ms: u64) -> bool {
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let mut slot = shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD);
        let held = slot.slot().find(hash, key).is_some();
        if held {
            slot.modify(hash, key, now_ms, |entry| entry.iter_mut().for_each(Entry::settle));
        }
        held
    }

    /// Takes note that no peer holds anything of a key either. A stub stays until something is written: a change that is under way
    /// from one peer to another may yet bring the value.
    pub(crate) fn note_absent(&self, key: &[u8]) {
        let (slot, hash) = self.locate(key);
        let shard = self.shard(slot);
        // Unless something came just now.
        if shard.slot(slot % SLOTS_PER_SHARD).find(hash, key).is_none() {
            self.memory.absent.insert(hash);
        }
    }

    /// A peer lists this and cannot give it, because it was evicted there. Once every peer was asked in vain its version is taken over,
    /// so that all agree that none has it. Does nothing where something is held of the key. Returns whether something is known of it
    /// now.
    ///
    /// `now` is this node's clock when it began to ask the peer; at `asked_all` by that clock, or later, it asked every peer for all
    /// that it held.
    pub(crate) fn evicted_elsewhere(&self, evicted: &EvictedItem, now: Hlc, asked_all: Hlc) -> bool {
        let VersionItem { at, version } = evicted.item;
        let slot = usize::from(at.slot);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let mut slot = shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD);
        let is_known = slot.slot().stub(at.hash).is_some()
            || slot.slot().find_hash(&self.digest_key, at.hash).next().is_some();
        if !is_known && !self.memory.unclaimed.lock().hear(at.hash, now, asked_all) {
            return false;
        }
        slot.adopt(at.hash, version, evicted.ends_at_ms);
        self.memory.absent.remove(at.hash);
        drop(slot);
        drop(shard);
        self.keep_within_limit();
        true
    }
}
