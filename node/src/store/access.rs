//! What a record remembers of its use: sixteen bits, read as the eviction policy needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use super::memory::EvictionPolicy;

/// Counts a new key begins with under least-frequently-used, so that it is not the first to go.
const NEW_KEY_COUNT: u16 = 5;
/// How much use it takes to count further: a count of n above the beginning goes up with a chance of 1 in
/// this times n.
const LOG_FACTOR: u64 = 2;
/// Times that a key is looked at for eviction and stays, on average, before its count goes down by one.
const DECAY_LOOKS: u64 = 96;
/// Uses of one shard from one tick to the next, as a multiple of its records: as there are 256 shards, the store ticks once
/// for every 128th part of its records that was used.
const USES_A_TICK: usize = 2;

/// One shard's measure of use. Chance comes from a generator of its own: it decides nothing that others see.
pub(super) struct Usage {
    policy: EvictionPolicy,
    /// For least-recently-used, the same for all shards: moves on with use, not with time, so that busy and quiet stores are
    /// told apart equally well.
    tick: Arc<AtomicU16>,
    uses_to_tick: usize,
    random: u64,
}

impl Usage {
    pub(super) fn new(policy: EvictionPolicy, tick: Arc<AtomicU16>, seed: u64) -> Self {
        Self { policy, tick, uses_to_tick: 0, random: seed | 1 }
    }

    /// What a record that has just been made remembers.
    pub(super) fn created(&self) -> u16 {
        match self.policy {
            EvictionPolicy::AllKeysLru => self.tick.load(Relaxed),
            EvictionPolicy::AllKeysLfu => NEW_KEY_COUNT,
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl => 0,
        }
    }

    /// What a record remembers after one more use; `records` is how many the shard has.
    pub(super) fn used(&mut self, access: u16, records: usize) -> u16 {
        match self.policy {
            EvictionPolicy::AllKeysLru => {
                match self.uses_to_tick.checked_sub(1) {
                    Some(left) => self.uses_to_tick = left,
                    None => {
                        self.uses_to_tick = records * USES_A_TICK;
                        self.tick.fetch_add(1, Relaxed);
                    }
                }
                self.tick.load(Relaxed)
            }
            EvictionPolicy::AllKeysLfu => {
                let above = u64::from(access.saturating_sub(NEW_KEY_COUNT));
                if self.chance(above * LOG_FACTOR + 1) { access.saturating_add(1) } else { access }
            }
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl => access,
        }
    }

    /// What a record remembers after it was looked at for eviction.
    pub(super) fn looked_at(&mut self, access: u16) -> u16 {
        if self.policy == EvictionPolicy::AllKeysLfu && self.chance(DECAY_LOOKS) {
            access.saturating_sub(1)
        } else {
            access
        }
    }

    /// The lower, the sooner a record goes; `None` if it never does. `ends_at_ms` is when its value expires.
    pub(super) fn rank(&self, access: u16, ends_at_ms: Option<u64>) -> Option<u64> {
        match self.policy {
            EvictionPolicy::NoEviction => None,
            EvictionPolicy::AllKeysLru => {
                Some(u64::from(u16::MAX - self.tick.load(Relaxed).wrapping_sub(access)))
            }
            EvictionPolicy::AllKeysLfu => Some(access.into()),
            EvictionPolicy::VolatileTtl => ends_at_ms,
        }
    }

    /// True once in `of` times. A xorshift generator: nothing but the order of eviction hangs on it.
    fn chance(&mut self, of: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(of)
    }
}
