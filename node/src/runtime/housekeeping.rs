//! Work that comes round by the clock: letting expiries take effect.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Runtime;
use crate::store::Store;

/// Time between two steps of active expiry.
const EXPIRY_TICK: Duration = Duration::from_millis(100);
/// Shards looked at in one step: all of them in some six seconds.
const SHARDS_PER_TICK: usize = 4;

impl Runtime {
    /// Expiries take effect when their key is read; this finds those that nobody reads.
    pub(super) async fn expiry_loop(self: Arc<Self>) {
        let mut tick = interval(EXPIRY_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shard = 0;
        loop {
            tick.tick().await;
            let now_ms = self.engine.clock.due_ms();
            for _ in 0..SHARDS_PER_TICK {
                self.engine.store.expire_shard(shard, now_ms);
                shard = (shard + 1) % Store::shard_count();
            }
        }
    }
}
