//! When a starting node may serve.
//!
//! A node that lost its memory must not mint stamps below those of the entries it has lost, so it first hears the
//! clocks of the peers that it can reach; then it fills itself from one of them, so that its clients do not see keys
//! vanish.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rumour_crdt::{Hlc, Stamp};
use tokio::time::Instant;

/// Attempts at an address before it counts as out of reach: on a bad network one may fail by chance.
const ATTEMPTS: u8 = 2;

/// Progress of one join. Plain state, `now` passed in.
///
/// [`learn`](Self::learn) names addresses to hear from; [`heard`](Self::heard) and [`unreachable`](Self::unreachable)
/// say how each went; [`filled`](Self::filled) ends the last step; [`is_done`](Self::is_done) is asked after each.
#[derive(Debug)]
pub(crate) struct Joining {
    peers: BTreeMap<SocketAddr, Contact>,
    told: BTreeMap<SocketAddr, (Hlc, Stamp)>,
    deadline: Instant,
    filled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contact {
    /// Not heard from yet, after so many attempts.
    Pending(u8),
    Heard,
    Unreachable,
}

impl Joining {
    /// `patience`: after so long the node serves with what it has, and says so.
    pub(crate) fn new(seeds: impl IntoIterator<Item = SocketAddr>, now: Instant, patience: Duration) -> Self {
        let peers = seeds.into_iter().map(|seed| (seed, Contact::Pending(0))).collect();
        Self { peers, told: BTreeMap::new(), deadline: now + patience, filled: false }
    }

    /// A peer named further members that are alive.
    pub(crate) fn learn(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) {
        for addr in addrs {
            self.peers.entry(addr).or_insert(Contact::Pending(0));
        }
    }

    /// The peer at this address told its clock and its flush watermark. They are followed once the clocks of all are
    /// known, so that the first one to be heard cannot lead astray.
    pub(crate) fn told(&mut self, addr: SocketAddr, clock: Hlc, flushed: Stamp) {
        let told = self.told.entry(addr).or_insert((Hlc::ZERO, Stamp::ZERO));
        *told = (told.0.max(clock), told.1.max(flushed));
    }

    /// What was told since this was asked last.
    pub(crate) fn take_told(&mut self) -> Vec<(Hlc, Stamp)> {
        std::mem::take(&mut self.told).into_values().collect()
    }

    /// The peer at this address came by itself: its clock is to be read.
    pub(crate) fn came(&mut self, addr: SocketAddr) {
        let contact = self.peers.entry(addr).or_insert(Contact::Pending(0));
        if *contact == Contact::Unreachable {
            *contact = Contact::Pending(0);
        }
    }

    /// The clock of the peer at this address was heard.
    pub(crate) fn heard(&mut self, addr: SocketAddr) {
        self.peers.insert(addr, Contact::Heard);
    }

    /// The address did not answer; after some attempts it is not waited for any more.
    pub(crate) fn unreachable(&mut self, addr: SocketAddr) {
        let contact = self.peers.entry(addr).or_insert(Contact::Unreachable);
        if let Contact::Pending(failures) = contact {
            *contact = match *failures + 1 {
                ATTEMPTS => Contact::Unreachable,
                failures => Contact::Pending(failures),
            };
        }
    }

    /// The address is this node's own.
    pub(crate) fn is_own(&mut self, addr: SocketAddr) {
        self.peers.insert(addr, Contact::Unreachable);
    }

    /// A sync session with a peer that serves has ended well, or no peer serves yet.
    pub(crate) fn filled(&mut self) {
        self.filled = true;
    }

    /// Whether the clocks of all peers within reach have been heard.
    pub(crate) fn clocks_heard(&self) -> bool {
        !self.peers.values().any(|contact| matches!(contact, Contact::Pending(_)))
    }

    /// Whether nobody else is within reach.
    pub(crate) fn is_alone(&self) -> bool {
        !self.peers.values().any(|contact| *contact == Contact::Heard)
    }

    /// Whether the node may serve.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        (self.clocks_heard() && (self.filled || self.is_alone())) || self.is_overdue(now)
    }

    /// Whether patience has run out.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Addresses still to be heard from.
    pub(crate) fn pending(&self) -> impl Iterator<Item = SocketAddr> {
        self.peers.iter().filter(|(_, contact)| matches!(contact, Contact::Pending(_))).map(|(addr, _)| *addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_node_serves_at_once() {
        let now = Instant::now();
        assert!(Joining::new([], now, Duration::from_secs(30)).is_done(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_hears_everybody_it_is_told_of_and_fills_itself_before_it_serves() {
        let now = Instant::now();
        let mut joining = Joining::new([addr(1)], now, Duration::from_secs(30));
        assert!(!joining.is_done(now));
        joining.learn([addr(2), addr(3)]);
        joining.heard(addr(1));
        joining.filled();
        assert!(!joining.is_done(now), "2 and 3 may hold later clocks");
        joining.heard(addr(2));
        joining.unreachable(addr(3));
        assert!(!joining.is_done(now), "one attempt may fail by chance");
        joining.unreachable(addr(3));
        assert!(joining.is_done(now));
    }

    #[tokio::test(start_paused = true)]
    async fn hearing_is_not_undone_and_filling_is_waited_for() {
        let now = Instant::now();
        let mut joining = Joining::new([addr(1)], now, Duration::from_secs(30));
        joining.heard(addr(1));
        joining.unreachable(addr(1));
        assert!(!joining.is_alone());
        assert!(!joining.is_done(now));
        assert!(joining.is_done(now + Duration::from_secs(30)), "patience has an end");
        joining.filled();
        assert!(joining.is_done(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_seeds_are_all_dead_serves_alone() {
        let now = Instant::now();
        let mut joining = Joining::new([addr(1), addr(2)], now, Duration::from_secs(30));
        joining.unreachable(addr(1));
        joining.unreachable(addr(1));
        assert!(!joining.is_done(now));
        joining.is_own(addr(2));
        assert!(joining.is_done(now));
    }
}
