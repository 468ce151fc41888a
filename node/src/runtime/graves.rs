//! Removing what is dead, and telling the watermarks who owns.

use std::sync::Arc;
use std::time::Duration;

use rumour_crdt::ActorId;
use rumour_transport::NodeId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Runtime;
use crate::events::Event;
use crate::sync::Forced;

/// Time between two rounds of removing what is dead.
const COLLECT_TICK: Duration = Duration::from_millis(500);

impl Runtime {
    pub(super) async fn collect_loop(self: Arc<Self>) {
        let mut tick = interval(COLLECT_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.seeds_met() {
                self.engine.watermarks.lock().acquainted();
            }
            while self.engine.collect(Instant::now()) {
                tokio::task::yield_now().await;
            }
            if let Some(Forced { records, floor }) = self.engine.force_out(self.tuning.tombstones_limit) {
                let waiting_for = self.engine.watermarks.lock().waiting_for();
                tracing::warn!(
                    records,
                    until_ms = floor.millis(),
                    ?waiting_for,
                    "too many tombstones: the oldest went although not all members know of them"
                );
                self.emit(Event::TombstonesForcedOut { records, waiting_for });
            }
        }
    }

    /// Whether every seed was met since the start. What is behind one that was not may own what this node never heard of.
    fn seeds_met(&self) -> bool {
        let Some(transport) = self.transport() else { return false };
        let mut met = self.seeds_met.lock();
        for (seed, met) in self.seeds.iter().zip(met.iter_mut()) {
            let addr = *seed.addr.lock();
            let reached = |addr| transport.peer_at(addr).is_some() || self.own_addrs.lock().contains(&addr);
            *met |= addr.is_some_and(reached);
        }
        met.iter().all(|met| *met)
    }

    /// A member is within sight: it owns what it is given.
    pub(super) fn owner_met(&self, node: &NodeId, replaces: Option<u64>) {
        let clock = self.engine.clock.send_time();
        let incarnation =
            self.view.lock().peers().find(|member| member.node == *node).map(|peer| peer.incarnation);
        let mut watermarks = self.engine.watermarks.lock();
        if let Some(incarnation) = incarnation {
            watermarks.met(node, ActorId::new(incarnation), clock);
        }
        if let Some(replaced) = replaces {
            watermarks.retire(ActorId::new(replaced), clock);
        }
    }

    /// A member is out of sight; it owns what it has all the same.
    pub(super) fn owner_away(&self, node: &NodeId) {
        self.engine.watermarks.lock().away(node);
    }

    /// A member left in good order.
    pub(super) fn owner_left(&self, incarnation: u64) {
        let clock = self.engine.clock.send_time();
        self.engine.watermarks.lock().retire(ActorId::new(incarnation), clock);
    }
}
