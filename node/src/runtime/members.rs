//! Reading gossip, and acting on what changes in the view.

use std::sync::Arc;
use std::time::Duration;

use rumour_transport::NodeId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Runtime;
use crate::error::NodeError;
use crate::events::Event;
use crate::membership::{MemberState, Reported, ViewEvent, facts, read_members};

impl Runtime {
    /// Reads gossip often enough that suspicion is on time.
    pub(super) async fn members_loop(self: Arc<Self>) {
        let Some(gossip) = self.gossip.get() else { return };
        let mut tick = interval((self.tuning.gossip_interval / 2).max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = gossip.termination_watcher();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => {
                    let reason = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
                    self.fail(&NodeError::Gossip(reason));
                    return;
                }
                _ = tick.tick() => {}
            }
            let seen = gossip.with_chitchat(|chitchat| read_members(chitchat)).await;
            let events = self.view.lock().observe(&seen, Instant::now());
            self.view_changed(events);
        }
    }

    /// Tells peers through gossip what this node is ready for.
    pub(super) async fn report(&self, reported: Reported) {
        let Some(gossip) = self.gossip.get() else { return };
        let facts = facts(reported, self.me.started_ms);
        gossip
            .with_chitchat(|chitchat| {
                for (key, value) in &facts {
                    chitchat.self_node_state().set(key, value);
                }
            })
            .await;
    }

    /// Acts on changes of the view and publishes them.
    pub(super) fn view_changed(self: &Arc<Self>, events: Vec<ViewEvent>) {
        for event in events {
            match event {
                ViewEvent::Joined { node, replaces } => {
                    tracing::info!(peer = %node, restarted = replaces.is_some(), "member joined");
                    self.owner_met(&node, replaces);
                    let queue = self.engine.fanout.queue(&node);
                    if replaces.is_some() {
                        // It came back without its memory: sync fills it, hints for the old one are moot.
                        queue.outbox.lock().clear();
                        self.serving_peers.lock().remove(&node);
                    }
                    self.emit(Event::MemberJoined { node, restarted: replaces.is_some() });
                }
                ViewEvent::Changed { node, from, to } => {
                    tracing::info!(peer = %node, %from, %to, "member changed");
                    match to {
                        MemberState::Down => self.owner_away(&node),
                        _ => self.owner_met(&node, None),
                    }
                    if to == MemberState::Healthy {
                        self.serving_peers.lock().insert(node.clone(), true);
                        if from != MemberState::Joining {
                            self.kick_sync(&node);
                        }
                    }
                    self.emit(Event::MemberChanged { node, from, to });
                }
                ViewEvent::Left { node, incarnation } => {
                    tracing::info!(peer = %node, "member left");
                    self.engine.council.lock().left(incarnation);
                    self.member_gone(node, incarnation);
                }
                ViewEvent::Dismissed { node, incarnation } => {
                    tracing::info!(peer = %node, "member dismissed");
                    self.member_gone(node, incarnation);
                }
                // Meeting it decides who stops. At this node's own address it is the incarnation before this one.
                ViewEvent::Twin { other } if other.addr != self.me.addr => self.dial(other.addr),
                ViewEvent::Twin { .. } => {}
            }
        }
        self.progress.notify_one();
    }
    fn member_gone(&self, node: NodeId, incarnation: u64) {
        self.owner_left(incarnation);
        self.engine.fanout.forget(&node);
        self.engine.clock.forget(&node);
        self.serving_peers.lock().remove(&node);
        self.emit(Event::MemberLeft { node });
    }
}
