//! The state of the simulated network. Plain: the present time is passed in, nothing here waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::time::Instant;

use super::cuts::Cuts;
use super::faults::{self, Arrival, Fate, LinkFaults};

/// Datagrams that one socket holds for its reader; a full inbox drops, as a kernel's does.
const INBOX_DATAGRAMS_LIMIT: usize = 4_096;
/// Datagrams under way in the whole network; beyond it, the network drops.
const IN_FLIGHT_DATAGRAMS_LIMIT: usize = 262_144;
/// Datagrams that a stalled socket keeps until it goes on.
const OUTBOX_DATAGRAMS_LIMIT: usize = 1_024;

/// What the network did with the datagrams given to it. `sent + duplicated` of them are, at the end of a run,
/// delivered, dropped for one of the reasons, or still under way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Handed to the network by a socket.
    pub sent: u64,
    /// Put into the inbox of a socket.
    pub delivered: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Second copies made.
    pub duplicated: u64,
    /// Delivered with bits flipped, or on their way so.
    pub corrupted: u64,
    /// Dropped by chance.
    pub lost: u64,
    /// Dropped because the link was cut or an end was a black hole.
    pub cut: u64,
    /// Dropped because nobody held the address, or the sender's socket was dead.
    pub unreachable: u64,
    /// Dropped because a queue was full.
    pub overflowed: u64,
}

impl Traffic {
    /// Datagrams that never arrived, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.lost + self.cut + self.unreachable + self.overflowed
    }
}

/// Names one binding of an address: a socket that outlives a crash does not receive its successor's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketId {
    pub(crate) address: SocketAddr,
    generation: u64,
}

#[derive(Debug)]
struct Inbox {
    generation: u64,
    queue: VecDeque<(SocketAddr, Bytes)>,
    reader: Option<Waker>,
    /// While stalled nothing is read, and what is sent waits here.
    stalled: Option<VecDeque<(SocketAddr, Bytes)>>,
}

#[derive(Debug)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    payload: Bytes,
}

/// What became of the next datagram.
#[derive(Debug)]
pub(crate) enum Step {
    NothingDue,
    Dropped,
    /// It lies in the inbox of `to`; `reader` is to be woken, without the lock.
    Delivered {
        from: SocketAddr,
        to: SocketAddr,
        bytes: usize,
        reader: Option<Waker>,
    },
}

#[derive(Debug)]
pub(crate) struct Core {
    rng: SmallRng,
    faults: LinkFaults,
    link_faults: BTreeMap<(SocketAddr, SocketAddr), LinkFaults>,
    pub(crate) cuts: Cuts,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    /// By deadline, then by order of sending: the one order in which anything is ever delivered.
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    /// When the last datagram in order of each link arrives; the next one may not overtake it.
    last_arrival: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    sequence: u64,
    generations: u64,
    traffic: Traffic,
    deepest_inbox: usize,
}

impl Core {
    pub(crate) fn new(rng: SmallRng) -> Self {
        Self {
            rng,
            faults: LinkFaults::NONE,
            link_faults: BTreeMap::new(),
            cuts: Cuts::default(),
            inboxes: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            sequence: 0,
            generations: 0,
            traffic: Traffic::default(),
            deepest_inbox: 0,
        }
    }

    pub(crate) fn set_faults(&mut self, faults: LinkFaults) {
        self.faults = faults;
    }

    pub(crate) fn set_link_faults(&mut self, from: SocketAddr, to: SocketAddr, faults: Option<LinkFaults>) {
        match faults {
            Some(faults) => self.link_faults.insert((from, to), faults),
            None => self.link_faults.remove(&(from, to)),
        };
    }

    pub(crate) fn clear_link_faults(&mut self) {
        self.link_faults.clear();
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub(crate) fn deepest_inbox(&self) -> usize {
        self.deepest_inbox
    }

    /// `None` when the address is taken.
    pub(crate) fn bind(&mut self, address: SocketAddr) -> Option<SocketId> {
        if self.inboxes.contains_key(&address) {
            return None;
        }
        self.generations += 1;
        let generation = self.generations;
        let inbox = Inbox { generation, queue: VecDeque::new(), reader: None, stalled: None };
        self.inboxes.insert(address, inbox);
        Some(SocketId { address, generation })
    }

    pub(crate) fn unbind(&mut self, socket: SocketId) {
        if self.inbox(socket).is_some() {
            self.inboxes.remove(&socket.address);
        }
    }

    /// Frees the address at once. The socket that held it goes deaf and mute for ever.
    pub(crate) fn kill(&mut self, address: SocketAddr) {
        self.inboxes.remove(&address);
    }

    pub(crate) fn send(&mut self, now: Instant, socket: SocketId, to: SocketAddr, payload: Bytes) {
        self.traffic.sent += 1;
        let Some(inbox) = self.inbox(socket) else {
            self.traffic.unreachable += 1;
            return;
        };
        match &mut inbox.stalled {
            None => self.route(now, socket.address, to, payload),
            Some(outbox) if outbox.len() < OUTBOX_DATAGRAMS_LIMIT => outbox.push_back((to, payload)),
            Some(_) => self.traffic.overflowed += 1,
        }
    }

    fn route(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, payload: Bytes) {
        if self.cuts.blocks(from, to) {
            self.traffic.cut += 1;
            return;
        }
        let faults = self.link_faults.get(&(from, to)).unwrap_or(&self.faults);
        let Fate::Arrives(arrival) = faults.fate(&mut self.rng) else {
            self.traffic.lost += 1;
            return;
        };
        if let Some(delay) = arrival.duplicate_delay {
            self.traffic.duplicated += 1;
            self.launch(now + delay, Datagram { from, to, payload: payload.clone() });
        }
        let deadline = self.deadline(now, (from, to), arrival);
        let payload = if arrival.corrupt { self.corrupted(&payload) } else { payload };
        self.launch(deadline, Datagram { from, to, payload });
    }

    fn deadline(&mut self, now: Instant, link: (SocketAddr, SocketAddr), arrival: Arrival) -> Instant {
        let deadline = now + arrival.delay;
        if !arrival.in_order {
            return deadline;
        }
        let last = self.last_arrival.entry(link).or_insert(deadline);
        *last = deadline.max(*last);
        *last
    }

    fn corrupted(&mut self, payload: &Bytes) -> Bytes {
        self.traffic.corrupted += 1;
        let mut copy = payload.to_vec();
        faults::corrupt(&mut copy, &mut self.rng);
        copy.into()
    }

    fn launch(&mut self, deadline: Instant, datagram: Datagram) {
        if self.in_flight.len() >= IN_FLIGHT_DATAGRAMS_LIMIT {
            self.traffic.overflowed += 1;
            return;
        }
        self.sequence += 1;
        self.in_flight.insert((deadline, self.sequence), datagram);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the next datagram that is due to the end of its way.
    pub(crate) fn deliver_next(&mut self, now: Instant) -> Step {
        match self.in_flight.first_entry() {
            Some(entry) if entry.key().0 <= now => {
                let Datagram { from, to, payload } = entry.remove();
                self.arrive(from, to, payload)
            }
            _ => Step::NothingDue,
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, payload: Bytes) -> Step {
        let Some(inbox) = self.inboxes.get_mut(&to) else {
            self.traffic.unreachable += 1;
            return Step::Dropped;
        };
        if inbox.queue.len() >= INBOX_DATAGRAMS_LIMIT {
            self.traffic.overflowed += 1;
            return Step::Dropped;
        }
        let bytes = payload.len();
        inbox.queue.push_back((from, payload));
        self.deepest_inbox = self.deepest_inbox.max(inbox.queue.len());
        self.traffic.delivered += 1;
        self.traffic.delivered_bytes += bytes as u64;
        let reader = if inbox.stalled.is_none() { inbox.reader.take() } else { None };
        Step::Delivered { from, to, bytes, reader }
    }

    /// Never ready again once the socket is dead: a crashed node must not act on the news of its crash.
    pub(crate) fn poll_receive(&mut self, socket: SocketId, cx: &Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        let Some(inbox) = self.inbox(socket) else { return Poll::Pending };
        if inbox.stalled.is_none()
            && let Some(datagram) = inbox.queue.pop_front()
        {
            return Poll::Ready(datagram);
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn stall(&mut self, address: SocketAddr) {
        if let Some(inbox) = self.inboxes.get_mut(&address) {
            inbox.stalled.get_or_insert_default();
        }
    }

    /// Sends what waited and tells who is to be woken to read what arrived.
    pub(crate) fn resume(&mut self, now: Instant, address: SocketAddr) -> Option<Waker> {
        let inbox = self.inboxes.get_mut(&address)?;
        let outbox = inbox.stalled.take()?;
        let reader = inbox.reader.take();
        for (to, payload) in outbox {
            self.route(now, address, to, payload);
        }
        reader
    }

    fn inbox(&mut self, socket: SocketId) -> Option<&mut Inbox> {
        self.inboxes.get_mut(&socket.address).filter(|inbox| inbox.generation == socket.generation)
    }
}
