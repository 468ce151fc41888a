//! Work that comes round by the clock: letting expiries take effect.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Runtime;
use crate::store::ExpiryCursor;

/// Time between two steps of active expiry.
const EXPIRY_TICK: Duration = Duration::from_millis(100);
/// Records looked at in one step: a million in some five seconds.
const LOOKS_PER_TICK: usize = 20_000;
/// Records looked at under one lock and without letting other tasks run: some 50 microseconds when all of them expire.
const LOOKS_AT_ONCE: usize = 100;
/// Records looked at before a pause, so that a mass expiry keeps no core busy for long: a millisecond or so.
const LOOKS_TO_PAUSE: usize = 2_000;
/// Ten of these fit into a tick, with time left.
const PAUSE: Duration = Duration::from_millis(5);

impl Runtime {
    /// Expiries take effect when their key is read; this finds those that nobody reads.
    pub(super) async fn expiry_loop(self: Arc<Self>) {
        let mut tick = interval(EXPIRY_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cursor = ExpiryCursor::default();
        loop {
            tick.tick().await;
            let (mut looked, mut pause_at) = (0, LOOKS_TO_PAUSE);
            while looked < LOOKS_PER_TICK {
                let now_ms = self.engine.clock.due_ms();
                let agreed_ms = self.engine.watermarks.lock().agreed().millis();
                let looked_now = self.engine.store.expire_some(&mut cursor, LOOKS_AT_ONCE, now_ms, agreed_ms);
                if cursor.is_at_start() {
                    break;
                }
                if looked_now > 0 {
                    tokio::task::yield_now().await;
                }
                looked += looked_now;
                if looked >= pause_at {
                    pause_at += LOOKS_TO_PAUSE;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
