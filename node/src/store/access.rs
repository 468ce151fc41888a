//! What a record remembers of its use: sixteen bits, read as the eviction policy needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

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
/// Where use is noted by the time of it: how long one number stands. It takes 65,535 of them, more than a week, to begin anew.
const READ_UNIT_MS: u64 = 10_000;

/// What is known of a key's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// For how long it was not used at least. What is added by looking closer is 10 s at most, or under least-recently-used the
    /// time in which as many uses pass as 128 parts of the keys are one of. Use more than a week ago, or 512 times as many uses
    /// ago as there are keys, may be taken for later use, never for later than the last change.
    Idle(Duration),
    /// How often it was used, on a scale that grows with the root of the number and decays.
    Frequency(u16),
}

/// Moves on with use, not with time, so that busy and quiet stores are told apart equally well.
pub(super) struct Ticks {
    latest: AtomicU16,
    /// When each began, in seconds since the Unix epoch.
    began_s: Box<[AtomicU32]>,
}

impl Ticks {
    /// For this policy; it takes 256 KiB if that goes by ticks.
    pub(super) fn new(policy: EvictionPolicy) -> Self {
        let ticks = if policy == EvictionPolicy::AllKeysLru { usize::from(u16::MAX) + 1 } else { 0 };
        Self { latest: AtomicU16::new(0), began_s: (0..ticks).map(|_| AtomicU32::new(0)).collect() }
    }

    fn latest(&self) -> u16 {
        self.latest.load(Relaxed)
    }

    fn advance(&self, now_ms: u64) {
        let tick = self.latest.fetch_add(1, Relaxed).wrapping_add(1);
        if let Some(began_s) = self.began_s.get(usize::from(tick)) {
            began_s.store(u32::try_from(now_ms / 1000).unwrap_or(u32::MAX), Relaxed);
        }
    }

    /// How long ago a tick ended; zero for the latest.
    fn ended_ago_ms(&self, tick: u16, now_ms: u64) -> u64 {
        if tick == self.latest() {
            return 0;
        }
        let next = self.began_s.get(usize::from(tick.wrapping_add(1)));
        next.map_or(0, |began_s| now_ms.saturating_sub(u64::from(began_s.load(Relaxed)) * 1000))
    }
}

/// One shard's measure of use. Chance comes from a generator of its own: it decides nothing that others see.
pub(super) struct Usage {
    policy: EvictionPolicy,
    /// For least-recently-used, the same for all shards.
    ticks: Arc<Ticks>,
    uses_to_tick: usize,
    random: u64,
}

impl Usage {
    pub(super) fn new(policy: EvictionPolicy, ticks: Arc<Ticks>, seed: u64) -> Self {
        Self { policy, ticks, uses_to_tick: 0, random: seed | 1 }
    }

    /// What a record that has just been made remembers.
    pub(super) fn created(&self) -> u16 {
        match self.policy {
            EvictionPolicy::AllKeysLru => self.ticks.latest(),
            EvictionPolicy::AllKeysLfu => NEW_KEY_COUNT,
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl => 0,
        }
    }

    /// What a record remembers after one more use, which changed it or did not; `records` is how many the shard has.
    pub(super) fn used(&mut self, access: u16, changed: bool, records: usize, now_ms: u64) -> u16 {
        match self.policy {
            EvictionPolicy::AllKeysLru => {
                match self.uses_to_tick.checked_sub(1) {
                    Some(left) => self.uses_to_tick = left,
                    None => {
                        self.uses_to_tick = records * USES_A_TICK;
                        self.ticks.advance(now_ms);
                    }
                }
                self.ticks.latest()
            }
            EvictionPolicy::AllKeysLfu => {
                let above = u64::from(access.saturating_sub(NEW_KEY_COUNT));
                if self.chance(above * LOG_FACTOR + 1) { access.saturating_add(1) } else { access }
            }
            // The time of the last change is known anyway.
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl if changed => 0,
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl => read_at(now_ms),
        }
    }

    /// What is known of the use of a record that was changed last at `changed_ms`.
    pub(super) fn told(&self, access: u16, changed_ms: u64, now_ms: u64) -> KeyUse {
        let unchanged_ms = now_ms.saturating_sub(changed_ms);
        let idle_ms = match self.policy {
            EvictionPolicy::AllKeysLfu => return KeyUse::Frequency(access),
            EvictionPolicy::AllKeysLru => self.ticks.ended_ago_ms(access, now_ms),
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl if access == 0 => unchanged_ms,
            EvictionPolicy::NoEviction | EvictionPolicy::VolatileTtl => read_ago_ms(access, now_ms),
        };
        KeyUse::Idle(Duration::from_millis(idle_ms.min(unchanged_ms)))
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
                Some(u64::from(u16::MAX - self.ticks.latest().wrapping_sub(access)))
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

/// Numbers for times of reading: all but zero, which says that there was no reading since the last change.
const READ_NUMBERS: u64 = u16::MAX as u64;

fn read_at(now_ms: u64) -> u16 {
    u16::try_from(now_ms / READ_UNIT_MS % READ_NUMBERS + 1).unwrap_or(u16::MAX)
}

/// How long ago the last moment that this number stands for has passed.
fn read_ago_ms(access: u16, now_ms: u64) -> u64 {
    let behind = (u64::from(read_at(now_ms)) + READ_NUMBERS - u64::from(access)) % READ_NUMBERS;
    (behind * READ_UNIT_MS + now_ms % READ_UNIT_MS).saturating_sub(READ_UNIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_ms(usage: &Usage, access: u16, changed_ms: u64, now_ms: u64) -> u64 {
        match usage.told(access, changed_ms, now_ms) {
            KeyUse::Idle(idle) => u64::try_from(idle.as_millis()).expect("a short time"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn idle_time_is_exact_since_a_change_and_at_least_that_since_a_reading() {
        for policy in [EvictionPolicy::NoEviction, EvictionPolicy::VolatileTtl] {
            let mut usage = Usage::new(policy, Arc::new(Ticks::new(policy)), 1);
            let start_ms = 1_700_000_000_123;
            let created = usage.created();
            for later_ms in [0, 1, 2_999, 86_400_000, 30 * 86_400_000] {
                assert_eq!(idle_ms(&usage, created, start_ms, start_ms + later_ms), later_ms);
            }
            for read_ms in [0, 5_000, 9_999, 86_400_000, 655_340_000, 655_350_000, 6_000_000_000] {
                let read = usage.used(created, false, 1, start_ms + read_ms);
                for later_ms in [0, 1, 9_999, 10_000, 25_000, 86_400_000, 7 * 86_400_000] {
                    let told = idle_ms(&usage, read, start_ms, start_ms + read_ms + later_ms);
                    assert!(told <= later_ms && told + READ_UNIT_MS >= later_ms, "{told} {later_ms}");
                }
                assert_eq!(usage.used(read, true, 1, start_ms + read_ms), created);
            }
        }
    }

    #[test]
    fn idle_time_goes_by_ticks_where_those_decide() {
        let policy = EvictionPolicy::AllKeysLru;
        let mut usage = Usage::new(policy, Arc::new(Ticks::new(policy)), 1);
        let start_ms = 1_700_000_000_000;
        let created = usage.created();
        assert_eq!(idle_ms(&usage, created, start_ms, start_ms + 60_000), 0, "nothing else was used");
        let mut latest = created;
        for second in 1..=100 {
            // One more use than fit between two ticks.
            let uses = if second == 1 { 1 } else { 10 * USES_A_TICK + 1 };
            for _ in 0..uses {
                latest = usage.used(latest, false, 10, start_ms + second * 1000);
            }
            assert_eq!(u64::from(latest), second);
        }
        let now_ms = start_ms + 100_000;
        assert_eq!(idle_ms(&usage, latest, start_ms, now_ms), 0);
        assert_eq!(idle_ms(&usage, created, start_ms, now_ms), 99_000);
        assert_eq!(
            idle_ms(&usage, created, start_ms + 70_000, now_ms),
            30_000,
            "never used before the change"
        );
    }
}
