//! One outbox per peer, and the signal that wakes its link.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rumour_transport::NodeId;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::change::Change;
use super::outbox::{Behind, Outbox, Pushed};
use super::ticket::Ticket;
use crate::counters::Counters;

/// Where local writes go: to the outbox of every other owner. Every member owns every key for now.
pub(crate) struct Fanout {
    queues: RwLock<BTreeMap<NodeId, Arc<PeerQueue>>>,
    keys_limit: usize,
    whole_entry_bytes: usize,
    counters: Arc<Counters>,
}

/// One peer's outbox with the signal for its link.
pub(crate) struct PeerQueue {
    pub(crate) outbox: Mutex<Outbox>,
    pub(crate) wake: Notify,
}

impl Fanout {
    /// `keys_limit` bounds each queue; see [`whole_entry_bytes`](Self::whole_entry_bytes).
    pub(crate) fn new(keys_limit: usize, whole_entry_bytes: usize, counters: Arc<Counters>) -> Self {
        Self { queues: RwLock::new(BTreeMap::new()), keys_limit, whole_entry_bytes, counters }
    }

    /// The largest entry that any message carries whole: a larger one goes to a peer by this queue alone, in parts.
    pub(crate) fn whole_entry_bytes(&self) -> usize {
        self.whole_entry_bytes
    }

    /// The queue of a peer, made when it is first asked for.
    pub(crate) fn queue(&self, peer: &NodeId) -> Arc<PeerQueue> {
        if let Some(queue) = self.queues.read().get(peer) {
            return queue.clone();
        }
        let mut queues = self.queues.write();
        let fresh =
            || Arc::new(PeerQueue { outbox: Mutex::new(Outbox::new(self.keys_limit)), wake: Notify::new() });
        queues.entry(peer.clone()).or_insert_with(fresh).clone()
    }

    /// Drops the queue of a peer that has left.
    pub(crate) fn forget(&self, peer: &NodeId) {
        self.queues.write().remove(peer);
    }

    /// Queues a key that changed here for every peer. `ticket` hears when they have taken the change in.
    pub(crate) fn dirty(&self, key: &[u8], change: &Change, ticket: Option<&Arc<Ticket>>) {
        if let Some(ticket) = ticket {
            ticket.add();
        }
        let queues = self.queues.read();
        if queues.is_empty() {
            return;
        }
        let key = Bytes::copy_from_slice(key);
        for queue in queues.values() {
            let pushed = {
                let mut outbox = queue.outbox.lock();
                let pushed = outbox.push(&key, change);
                if let Some(ticket) = ticket.filter(|_| pushed != Pushed::Overflowed) {
                    outbox.await_ack(&key, ticket);
                }
                pushed
            };
            self.pushed(queue, pushed);
        }
    }

    /// Has a ticket acknowledged once a peer has taken in all that waits for it now.
    pub(crate) fn await_all(&self, peer: &NodeId, ticket: &Arc<Ticket>) -> Behind {
        let queues = self.queues.read();
        queues.get(peer).map_or(Behind::Unknown, |queue| queue.outbox.lock().await_all(ticket))
    }

    /// Whether a peer lacks nothing but what is queued for it.
    pub(crate) fn is_all_queued(&self, peer: &NodeId) -> bool {
        self.queues.read().get(peer).is_some_and(|queue| queue.outbox.lock().is_all_queued())
    }

    /// Has all of a key sent to a peer that sync found to lack it, but cannot bring it to.
    pub(crate) fn hand_over(&self, peer: &NodeId, key: &Bytes) {
        let queue = self.queue(peer);
        let pushed = queue.outbox.lock().hand_over(key);
        self.pushed(&queue, pushed);
    }

    /// The same for all that the key holds now; `ticket` hears when the peer has taken it in. Gives whether there was room.
    pub(crate) fn hand_over_anew(&self, peer: &NodeId, key: &Bytes, ticket: &Arc<Ticket>) -> bool {
        ticket.add();
        let queue = self.queue(peer);
        let pushed = {
            let mut outbox = queue.outbox.lock();
            let pushed = outbox.hand_over_anew(key);
            if pushed != Pushed::Overflowed {
                outbox.await_ack(key, ticket);
            }
            pushed
        };
        self.pushed(&queue, pushed);
        pushed != Pushed::Overflowed
    }

    fn pushed(&self, queue: &PeerQueue, pushed: Pushed) {
        match pushed {
            Pushed::Queued => queue.wake.notify_one(),
            Pushed::Waiting => {}
            Pushed::Overflowed => self.counters.replication_overflowed.add(1),
        }
    }

    /// Whether some peer may lack the latest change of a key. Does not wait: a queue that is busy may hold it.
    pub(crate) fn is_queued(&self, key: &[u8]) -> bool {
        let Some(queues) = self.queues.try_read() else { return true };
        queues.values().any(|queue| queue.outbox.try_lock().is_none_or(|outbox| outbox.is_queued(key)))
    }

    /// Has every link send a batch header, which carries the flush watermark.
    pub(crate) fn announce(&self) {
        for queue in self.queues.read().values() {
            queue.outbox.lock().announce();
            queue.wake.notify_one();
        }
    }

    /// Offers peers once more what they refused for lying in their future, where the time for that has come.
    pub(crate) fn offer_refused(&self, now: Instant) {
        for queue in self.queues.read().values() {
            let offers = queue.outbox.lock().offer_refused(now);
            if offers {
                queue.wake.notify_one();
            }
        }
    }

    /// Whether a peer's queue has overflowed since the last sync session with it: only sync can bring it what it lacks.
    pub(crate) fn overflowed(&self, peer: &NodeId) -> bool {
        self.queues.read().get(peer).is_some_and(|queue| queue.outbox.lock().overflowed())
    }

    /// A session with a peer begins, which makes up for what its queue had no room for.
    pub(crate) fn make_up(&self, peer: &NodeId) {
        if let Some(queue) = self.queues.read().get(peer) {
            queue.outbox.lock().make_up();
        }
    }

    /// Such a session ended well.
    pub(crate) fn made_up(&self, peer: &NodeId) {
        if let Some(queue) = self.queues.read().get(peer) {
            queue.outbox.lock().made_up();
        }
    }

    /// Keys queued over all peers.
    pub(crate) fn queued(&self) -> usize {
        self.queues.read().values().map(|queue| queue.outbox.lock().len()).sum()
    }

    /// Keys queued for the peer that is furthest behind.
    pub(crate) fn most_queued(&self) -> usize {
        self.queues.read().values().map(|queue| queue.outbox.lock().len()).max().unwrap_or(0)
    }

    /// Keys queued for one peer.
    pub(crate) fn queued_for(&self, peer: &NodeId) -> usize {
        self.queues.read().get(peer).map_or(0, |queue| queue.outbox.lock().len())
    }
}
