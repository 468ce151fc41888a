//! Ending a node: in good order, because something is wrong, or all at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumour_transport::{NodeId, Transport};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::sync::Care;
use super::{Outcome, Runtime};
use crate::error::NodeError;
use crate::membership::Reported;
use crate::message::kind;

/// How long leaving waits for a peer to acknowledge more of what is queued for it.
const DRAIN_STALL: Duration = Duration::from_secs(5);
/// How long it waits in all, however much is acknowledged meanwhile.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const DRAIN_TICK: Duration = Duration::from_millis(20);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

impl Runtime {
    /// Stops because of `error`: no more writes, no more gossip; whoever waits learns why.
    pub(super) fn fail(&self, error: &NodeError) {
        self.engine.phase.close();
        let first = self.outcome.send_if_modified(|outcome| {
            let running = matches!(outcome, Outcome::Joining | Outcome::Serving);
            if running {
                *outcome = Outcome::Failed(error.clone());
            }
            running
        });
        if first {
            tracing::error!(%error, "the node stops");
            self.end_tasks();
        }
    }

    /// Stops at once, without a word to anybody.
    pub(crate) fn abort(&self) {
        self.engine.phase.close();
        self.outcome.send_if_modified(|outcome| {
            let running = matches!(outcome, Outcome::Joining | Outcome::Serving);
            if running {
                *outcome = Outcome::Stopped;
            }
            running
        });
        self.end_tasks();
    }

    /// Stops in good order.
    pub(crate) async fn leave(self: &Arc<Self>) -> Result<(), NodeError> {
        self.engine.phase.close();
        self.engine.council.lock().close();
        self.report(Reported::Leaving).await;
        let stranded = self.drain().await;
        self.say_goodbye().await;
        self.stop.cancel();
        if let Some(transport) = self.transport() {
            transport.close().await;
        }
        self.abort();
        match stranded {
            0 => Ok(()),
            keys => Err(NodeError::Unacknowledged { keys }),
        }
    }

    /// Waits until connected peers have acknowledged what is queued for them, as long as that gets less, and brings them by sync
    /// what did not fit their queues; gives how many keys none of them has, at least.
    async fn drain(&self) -> usize {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        let mut stalls = Instant::now() + DRAIN_STALL;
        let mut least = usize::MAX;
        let parts = &self.engine.counters.replication_parts_sent;
        let mut sent = parts.get();
        loop {
            let peers = self.transport().map(Transport::peers).unwrap_or_default();
            let peers: Vec<NodeId> = peers.iter().map(|peer| peer.node().clone()).collect();
            let fanout = &self.engine.fanout;
            let lacks = |peer: &NodeId| fanout.queued_for(peer) + usize::from(fanout.overflowed(peer));
            // A connection that broke just now may come back.
            let most = if peers.is_empty() {
                fanout.most_queued()
            } else {
                peers.iter().map(lacks).max().unwrap_or(0)
            };
            if fanout.queued() < least || parts.get() > sent {
                (least, sent) = (least.min(fanout.queued()), parts.get());
                stalls = Instant::now() + DRAIN_STALL;
            }
            if most == 0 || Instant::now() >= deadline.min(stalls) {
                return peers.iter().map(lacks).min().unwrap_or(most);
            }
            for peer in peers.iter().filter(|peer| fanout.overflowed(peer)) {
                // What a session brought until it was cut stays brought.
                let _ = timeout_at(deadline, self.sync_with(peer, Care::Everything)).await;
            }
            sleep(DRAIN_TICK).await;
        }
    }

    async fn say_goodbye(&self) {
        let peers = self.transport().map(Transport::peers).unwrap_or_default();
        let mut goodbyes = tokio::task::JoinSet::new();
        for peer in peers {
            goodbyes.spawn(async move { peer.request(kind::GOODBYE, Bytes::new(), GOODBYE_TIMEOUT).await });
        }
        // A peer that misses the goodbye learns it from gossip or by silence.
        let _ = timeout(GOODBYE_TIMEOUT, goodbyes.join_all()).await;
    }

    fn end_tasks(&self) {
        self.stop.cancel();
        if let Some(gossip) = self.gossip.get() {
            gossip.abort();
        }
        if let Some(transport) = self.transport() {
            transport.abort();
        }
    }
}
