//! Forgetting a member that will not come back, on an operator's word.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumour_crdt::ActorId;
use rumour_transport::{NodeId, Transport, codec};

use super::Runtime;
use crate::error::ForgetError;
use crate::membership::MemberState;
use crate::message::{Forgotten, kind};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Starts of one node that are forgotten at once at most; a node knows a few.
const INCARNATIONS_LIMIT: usize = 64;

impl Runtime {
    /// Forgets a member here, and tells all that are connected.
    pub(super) fn forget(self: &Arc<Self>, node: &NodeId) -> Result<(), ForgetError> {
        if *node == self.me.node {
            return Err(ForgetError::Myself);
        }
        let state = self.view.lock().state(node);
        if let Some(state) = state.filter(|state| *state != MemberState::Down) {
            return Err(ForgetError::Alive { node: node.clone(), state });
        }
        let mut incarnations = self.engine.council.lock().incarnations_of(node);
        incarnations.extend(self.engine.watermarks.lock().lost(node).into_iter().map(ActorId::get));
        incarnations.extend(self.view.lock().incarnation(node));
        if incarnations.is_empty() {
            return Err(ForgetError::Unknown(node.clone()));
        }
        tracing::warn!(peer = %node, "forgetting a member, as an operator says");
        self.forget_here(node, &incarnations);
        let incarnations = incarnations.into_iter().take(INCARNATIONS_LIMIT).collect();
        let Ok(body) = codec::encode(&Forgotten { node: node.clone(), incarnations }) else { return Ok(()) };
        for peer in self.transport().map(Transport::peers).unwrap_or_default() {
            let body = body.clone();
            self.spawn(async move {
                if let Err(error) = peer.request(kind::FORGET, body, REQUEST_TIMEOUT).await {
                    tracing::warn!(peer = %peer.node(), %error, "a member could not be told whom to forget");
                }
            });
        }
        Ok(())
    }

    /// A peer says whom to forget. Who is within sight of this node lives, whatever was said, and so does a later start than those
    /// that were meant.
    pub(super) fn told_to_forget(self: &Arc<Self>, forgotten: Forgotten) {
        let Forgotten { node, incarnations } = forgotten;
        let lives = |state| state != MemberState::Down;
        if node == self.me.node || self.view.lock().state(&node).is_some_and(lives) {
            return;
        }
        let incarnations = incarnations.into_iter().take(INCARNATIONS_LIMIT).collect();
        self.forget_here(&node, &incarnations);
    }

    fn forget_here(self: &Arc<Self>, node: &NodeId, incarnations: &BTreeSet<u64>) {
        self.engine.council.lock().forget(incarnations);
        let clock = self.engine.clock.send_time();
        for incarnation in incarnations {
            self.engine.watermarks.lock().forget(ActorId::new(*incarnation), clock);
        }
        let events = self.view.lock().forget(node, incarnations);
        self.view_changed(events);
    }
}
