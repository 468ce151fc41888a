//! What happens in a cluster, as a bounded stream.

use std::sync::Arc;

use rumour_transport::NodeId;
use tokio::sync::broadcast;

use crate::conflicts::ConflictReport;
use crate::membership::MemberState;

/// Events kept for a reader that is behind.
pub(crate) const EVENTS_LIMIT: usize = 1024;

/// Something that happened in the cluster, as this node saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The reader was too slow, and this many events were dropped.
    Lagged(u64),
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
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
