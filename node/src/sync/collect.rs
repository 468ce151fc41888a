//! Acting on what is agreed: removing what is dead, and turning away what comes too late.

use bytes::Bytes;
use rumour_crdt::Hlc;
use tokio::time::Instant;

use super::watermarks::MESSAGE_AGE_LIMIT;
use crate::engine::EngineState;
use crate::message::GoneItem;
use crate::store::Dead;

/// Records removed in one go at most, so that no task is held up for long: some 1.5 ms.
const COLLECT_LIMIT: usize = 5_000;

/// What had to go although not all owners knew of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forced {
    /// How many records.
    pub(crate) records: usize,
    /// They had died at or before this time.
    pub(crate) floor: Hlc,
}

impl EngineState {
    /// Removes what every owner knows to be dead. Returns whether there may be more of it, beyond what is done in one go.
    pub(crate) fn collect(&self, now: Instant) -> bool {
        let clock = self.clock.send_time();
        let floor = {
            let mut watermarks = self.watermarks.lock();
            let floor = watermarks.advance(now, clock);
            watermarks.releasing(floor);
            floor
        };
        let removed = self.store.collect(floor, COLLECT_LIMIT, || self.clock.send_time());
        self.counters.collected.add(removed as u64);
        removed >= COLLECT_LIMIT
    }

    /// Removes the oldest of what is dead when that is more than `limit`, or more than its share of the memory, whoever knows of it.
    pub(crate) fn force_out(&self, limit: usize) -> Option<Forced> {
        let limit = limit.min(self.store.tombstones_allowed());
        let dead = self.store.tombstones();
        if dead <= limit {
            return None;
        }
        // A tenth more than there must, so that it need not be done at once again.
        let excess = dead - limit + limit / 10;
        // Entries that come meanwhile must meet the fence: it is closed before the first record goes.
        let fence = self.clock.send_time();
        self.watermarks.lock().collecting(fence);
        let forced = |died: Hlc| self.watermarks.lock().forced_out(died);
        let (records, floor) = self.store.force_out(excess, || self.clock.send_time(), forced);
        self.counters.collected_forced.add(records as u64);
        (records > 0).then_some(Forced { records, floor })
    }

    /// What a peer is told that brought what is dead here, if it does not come to know that by itself: because the tombstone was forced out,
    /// or because all owners knew that it was dead, and what began since would lose to it there.
    pub(crate) fn gone(&self, key: Bytes, dead: &Dead) -> Option<GoneItem> {
        let Dead { version, newest, outlived } = *dead;
        let (forced, released) = {
            let watermarks = self.watermarks.lock();
            (newest.time <= watermarks.forced(), newest.time <= watermarks.released())
        };
        (forced || outlived && released).then_some(GoneItem { key, version, newest, forced })
    }

    /// Removes what a peer says is dead, unless it was changed since.
    pub(crate) fn remove_gone(&self, gone: &[GoneItem]) {
        for GoneItem { key, version, newest, forced } in gone {
            {
                let mut watermarks = self.watermarks.lock();
                match forced {
                    true => watermarks.forced_out(newest.time),
                    false => watermarks.releasing(newest.time),
                }
            }
            if self.store.remove_gone(key, *version) {
                self.counters.removed_gone.add(1);
            }
        }
    }

    /// Whether a message with entries is so old that what it brings may have been deleted and collected since.
    pub(crate) fn is_stale(&self, clock: Hlc) -> bool {
        let age_ms = self.clock.now_ms().saturating_sub(clock.millis());
        let stale = u128::from(age_ms) > MESSAGE_AGE_LIMIT.as_millis();
        if stale {
            self.counters.refused_stale.add(1);
        }
        stale
    }
}
