//! What was evicted here and may be with peers.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rumour_crdt::Entry;

use super::{Position, SLOTS_PER_SHARD, Store};

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
        wanted.extend(keys.into_iter().map(|key| self.digest_key.key_hash(key)));
        self.memory.wanting.store(wanted.len(), Relaxed);
    }

    /// Keys are needed no more, whether they came or not.
    pub(crate) fn want_no_more<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>) {
        let mut wanted = self.memory.wanted.lock();
        keys.into_iter().for_each(|key| {
            wanted.remove(&self.digest_key.key_hash(key));
        });
        self.memory.wanting.store(wanted.len(), Relaxed);
    }

    /// Takes what is held of a key for all that there is: no peer has more.
    pub(crate) fn settle(&self, key: &[u8], now_ms: u64) {
        let (slot, hash) = self.locate(key);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        let mut slot = shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD);
        slot.take_stub(hash);
        self.memory.absent.lock().insert(hash);
        if slot.slot().lacks(hash, key) {
            slot.modify(hash, key, now_ms, |entry| entry.iter_mut().for_each(Entry::settle));
        }
    }

    /// Takes over the version of an entry that a peer lists and cannot give, because it was evicted there: both then agree
    /// that neither has it. Does nothing where the key is known.
    pub(crate) fn adopt(&self, at: Position, version: u64) {
        let slot = usize::from(at.slot);
        let mut shard = self.lock(slot / SLOTS_PER_SHARD);
        shard.slot_mut(&self.digest_key, slot % SLOTS_PER_SHARD).adopt(at.hash, version);
        self.memory.absent.lock().remove(at.hash);
        drop(shard);
        self.keep_within_limit();
    }
}
