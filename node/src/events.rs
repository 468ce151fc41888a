//! What happens in a cluster, as a bounded stream.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rumour_transport::NodeId;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::conflicts::ConflictReport;
use crate::council::ConfigurationChange;
use crate::membership::MemberState;

/// Events kept for a reader that is behind.
pub(crate) const EVENTS_LIMIT: usize = 1024;

/// Events that a node remembers; conflicts are told and not remembered, as there may be many.
const REMEMBERED_LIMIT: usize = 256;

/// Something that happened in the cluster, as this node saw it.
///
/// As JSON an object with what happened in `event`, in snake case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// This node serves from now on.
    Serving,
    /// A member was seen for the first time, or came back as a new incarnation.
    MemberJoined {
        /// Its name.
        node: NodeId,
        /// Whether it replaces an earlier incarnation.
        restarted: bool,
    },
    /// A member's state changed.
    MemberChanged {
        /// Its name.
        node: NodeId,
        /// Its state until now.
        from: MemberState,
        /// Its state from now on.
        to: MemberState,
    },
    /// A member left on purpose.
    MemberLeft {
        /// Its name.
        node: NodeId,
    },
    /// There were too many tombstones: the oldest went although not all members know of them.
    TombstonesForcedOut {
        /// How many went.
        records: usize,
        /// The members that have not confirmed them.
        waiting_for: Vec<NodeId>,
    },
    /// A member's clock, or this node's own, is off the median of the others' by more than
    /// [`max_clock_skew`](crate::Tuning::max_clock_skew): that member takes no writes until it is right.
    ClockFault {
        /// Its name.
        node: NodeId,
        /// Milliseconds ahead; behind if negative.
        off_ms: i64,
    },
    /// That clock is right again.
    ClockRight {
        /// Its name.
        node: NodeId,
    },
    /// Concurrent writes met on this node and one lost.
    Conflict(Arc<ConflictReport>),
    /// The cluster has another configuration: this is what changed.
    Configured(ConfigurationChange),
    /// The reader was too slow, and events were dropped.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RememberedEvent {
    /// By the node's time ([`Engine::now_ms`](crate::Engine::now_ms)), in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The latest events, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct EventLog(Mutex<VecDeque<RememberedEvent>>);

impl EventLog {
    pub(crate) fn note(&self, at_ms: u64, event: Event) {
        let mut log = self.0.lock();
        log.push_back(RememberedEvent { at_ms, event });
        if log.len() > REMEMBERED_LIMIT {
            log.pop_front();
        }
    }

    pub(crate) fn read(&self) -> Vec<RememberedEvent> {
        self.0.lock().iter().cloned().collect()
    }
}

/// A reader of events. It sees what happens after it was made.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self { receiver }
    }

    /// The next event, or `None` when the node has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
