//! Reading peers' clocks over the network, and judging this node's own by them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumour_transport::{Peer, Transport, codec};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Runtime;
use crate::clock::ClockChange;
use crate::events::Event;
use crate::message::{ClockReading, kind};

/// Time between two judgements: for at most so long goes a change of the wall clock unnoticed.
const JUDGE_TICK: Duration = Duration::from_millis(250);
/// Judgements between two rounds of readings.
const JUDGEMENTS_PER_ROUND: u32 = 8;
/// Peers whose clocks are read in one round at most; the others have their turn in the next ones.
const PEERS_PER_ROUND: usize = 16;
/// A reading that takes longer tells nothing.
const READING_TIMEOUT: Duration = Duration::from_secs(2);
/// Attempts at the clock of a peer that a join waits for.
const ATTEMPTS: usize = 3;

impl Runtime {
    /// Judges the clocks several times a second and reads those of peers every two seconds.
    pub(super) async fn clock_loop(self: Arc<Self>) {
        let mut tick = interval(JUDGE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut until_round, mut turn) = (JUDGEMENTS_PER_ROUND, 0);
        loop {
            tick.tick().await;
            self.judge_clock();
            self.engine.fanout.offer_refused(Instant::now());
            until_round -= 1;
            if until_round == 0 {
                until_round = JUDGEMENTS_PER_ROUND;
                self.read_clocks(&mut turn);
            }
        }
    }

    fn read_clocks(self: &Arc<Self>, turn: &mut usize) {
        let peers = self.transport().map(Transport::peers).unwrap_or_default();
        let count = peers.len().min(PEERS_PER_ROUND);
        for offset in 0..count {
            let peer = peers[(*turn + offset) % peers.len()].clone();
            let runtime = self.clone();
            self.spawn(async move {
                runtime.measure(&peer).await;
            });
        }
        *turn = turn.wrapping_add(count);
    }

    fn judge_clock(&self) {
        let changes = self.engine.clock.judge();
        self.clocks_changed(changes);
    }

    /// Reads a peer's clock once; gives whether that was of use.
    pub(super) async fn measure(&self, peer: &Peer) -> bool {
        let sent = Instant::now();
        let asked = peer.request(kind::CLOCK, Bytes::new(), READING_TIMEOUT).await;
        let received = Instant::now();
        let Ok(body) = asked else { return false };
        let Ok(ClockReading { wall_ms }) = codec::decode(&body) else {
            self.engine.counters.refused_messages.add(1);
            return false;
        };
        self.engine.clock.read(peer.info(), sent, received, wall_ms)
    }

    /// Reads a peer's clock, more than once if the network is slow at first.
    pub(super) async fn measure_surely(&self, peer: &Peer) -> bool {
        for _ in 0..ATTEMPTS {
            if self.measure(peer).await {
                return true;
            }
        }
        false
    }

    /// Tells of clocks that became faulty or right.
    pub(super) fn clocks_changed(&self, changes: Vec<ClockChange>) {
        for ClockChange { node, fault_ms } in changes {
            let own = node.is_none();
            let node = node.unwrap_or_else(|| self.me.node.clone());
            match fault_ms {
                Some(off_ms) => {
                    tracing::warn!(%node, own, off_ms, "a clock is off its peers' median: that node takes no writes until it is right");
                    self.emit(Event::ClockFault { node, off_ms });
                }
                None => {
                    tracing::info!(%node, own, "a clock is right again");
                    self.emit(Event::ClockRight { node });
                }
            }
        }
    }
}
