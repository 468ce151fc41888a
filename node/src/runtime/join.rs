//! From started to serving: hear the clocks of all peers within reach, fill the store, then serve.

use std::sync::Arc;
use std::time::Duration;

use rumour_transport::NodeId;
use tokio::time::{Instant, sleep};

use super::sync::Care;
use super::{Outcome, Runtime};
use crate::error::NodeError;
use crate::events::Event;
use crate::membership::Reported;

/// How long a node with a seed whose name cannot be looked up waits for that: name servers may start late, too.
const SEED_PATIENCE: Duration = Duration::from_secs(5);

/// How often a join looks at where it stands when nothing wakes it.
const JOIN_TICK: Duration = Duration::from_millis(50);

/// How long a join waits for the next part of what is too large for a sync session.
const LARGE_PATIENCE: Duration = Duration::from_secs(3);

impl Runtime {
    pub(super) async fn join_task(self: Arc<Self>) {
        loop {
            if self.may_serve() {
                break;
            }
            let clocks_heard = {
                let joining = self.joining.lock();
                joining.clocks_heard() && !joining.is_alone()
            };
            if clocks_heard {
                self.settle_clock();
                let filled = match self.filling_peer() {
                    Some(peer) => self.fill_from(&peer).await,
                    // If the connection to a peer that serves has broken, it will be dialed again.
                    None => self.nobody_serves(),
                };
                if filled {
                    self.joining.lock().filled();
                    continue;
                }
            }
            sleep(JOIN_TICK).await;
        }
        let overdue = self.joining.lock().is_overdue(Instant::now());
        if overdue {
            tracing::warn!("serving without having heard all peers or filled the store: patience ran out");
        }
        self.settle_clock();
        self.engine.phase.serve();
        self.report(Reported::Ready).await;
        self.outcome.send_if_modified(|outcome| {
            let first = matches!(outcome, Outcome::Joining);
            if first {
                *outcome = Outcome::Serving;
            }
            first
        });
        tracing::info!(node = %self.me.node, addr = %self.me.addr, "serving");
        self.emit(Event::Serving);
    }

    /// Brings this node all that a peer has; gives whether it did.
    async fn fill_from(&self, peer: &NodeId) -> bool {
        let (engine, parts) = (&self.engine, &self.engine.counters.replication_parts_received);
        engine.awaited.lock().clear();
        let mut filled = self.sync_with(peer, Care::Everything).await;
        let (mut arrived, mut since) = (parts.get(), Instant::now());
        while filled && !engine.awaited.lock().is_empty() {
            if parts.get() != arrived {
                (arrived, since) = (parts.get(), Instant::now());
            }
            // The connection broke, or the peer's queue was full: the next session asks again. What moves may be other entries, so
            // that only this node's patience bounds the wait.
            filled = since.elapsed() < LARGE_PATIENCE && !self.joining.lock().is_overdue(Instant::now());
            sleep(JOIN_TICK).await;
        }
        engine.awaited.lock().clear();
        filled
    }

    /// Judges this node's clock by those that were heard, and follows them: what comes later lies above all of them but those
    /// that are too far ahead of their own peers.
    fn settle_clock(&self) {
        let changes = self.engine.clock.settle();
        self.clocks_changed(changes);
        let told = self.joining.lock().take_told();
        for (clock, flushed) in told {
            self.engine.follow(clock, flushed);
        }
    }

    /// A fill that is under way is waited for even when patience has run out: it has its own end.
    fn may_serve(&self) -> bool {
        let (joining, now) = (self.joining.lock(), Instant::now());
        let named_in_vain = !self.seeds_resolved() && self.started.elapsed() < SEED_PATIENCE;
        let filling = joining.is_overdue(now) && !self.syncing.lock().peers.is_empty();
        joining.is_done(now) && !named_in_vain && !filling
    }

    pub(crate) async fn ready(&self) -> Result<(), NodeError> {
        let mut outcome = self.outcome.subscribe();
        let reached = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Joining)).await;
        match reached.as_deref() {
            Ok(Outcome::Serving) => Ok(()),
            Ok(Outcome::Failed(error)) => Err(error.clone()),
            _ => Err(NodeError::Stopped),
        }
    }

    pub(crate) async fn failed(&self) -> NodeError {
        let mut outcome = self.outcome.subscribe();
        let ended =
            outcome.wait_for(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Stopped)).await;
        match ended.as_deref() {
            Ok(Outcome::Failed(error)) => error.clone(),
            _ => NodeError::Stopped,
        }
    }
}
