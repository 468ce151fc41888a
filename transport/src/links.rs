//! Which connection stands for which peer: at most one each.
//!
//! The decision is a pure function; around it is the table, and the order in which the node hears of changes.

use crate::datagram::canonical;
use crate::handler::Handler;
use crate::id::NodeId;
use crate::peer::{Peer, close_code};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// One connection, as far as choosing between two of them goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) incarnation: u64,
    /// Whether this end dialed.
    pub(crate) dialed: bool,
}

/// What a newcomer's greeting said about connections that its sender still has with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knows {
    /// The dialer holds none with this end's present incarnation.
    Nothing,
    /// The dialer holds one.
    Existing,
}

/// Whether a new connection replaces the one that exists; both ends must come to the same answer.
///
/// - Another incarnation always replaces: the existing connection leads to a process that is gone.
/// - A dialer that told of the existing connection loses to it where the other end still has it too, and wins where it has not.
/// - A dialer that had already dialed, or whose other end has long been connected, has lost that connection: the new one replaces.
/// - What remains is two ends that dialed each other at once: the connection that the smaller name dialed stays.
pub(crate) fn replaces(
    own: &NodeId,
    peer: &NodeId,
    existing: Link,
    existing_age: Duration,
    new: Link,
    told: Knows,
    race_window: Duration,
) -> bool {
    if new.incarnation != existing.incarnation || new.dialed == existing.dialed {
        return new.incarnation != existing.incarnation || told == Knows::Nothing || new.dialed;
    }
    match (told, new.dialed) {
        (Knows::Existing, dialed) => dialed,
        (Knows::Nothing, false) if existing_age > race_window => true,
        (Knows::Nothing, _) => {
            let dialer = if new.dialed { own } else { peer };
            dialer == own.min(peer)
        }
    }
}

/// The peers of one transport.
pub(crate) struct Links {
    own: NodeId,
    peers: Mutex<BTreeMap<NodeId, Peer>>,
    /// Held while the node hears of a change, so that it hears of changes in the order in which they happened.
    announcing: Mutex<()>,
    changes: watch::Sender<u64>,
    peers_max: usize,
    race_window: Duration,
}

/// Why a connection was not taken up.
pub(crate) enum NotTaken {
    /// The peer is connected already.
    Duplicate(Peer),
    /// There is no room.
    Full,
}

impl Links {
    pub(crate) fn new(own: NodeId, peers_max: usize, race_window: Duration) -> Links {
        let (changes, _) = watch::channel(0);
        let peers = Mutex::default();
        Links { own, peers, announcing: Mutex::default(), changes, peers_max, race_window }
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<Peer> {
        self.peers.lock().get(node).filter(|peer| peer.is_open()).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Peer> {
        self.peers.lock().values().filter(|peer| peer.is_open()).cloned().collect()
    }

    /// The peer that is reached at `addr` or says that it can be.
    pub(crate) fn at(&self, addr: SocketAddr) -> Option<Peer> {
        let addr = canonical(addr);
        let peers = self.peers.lock();
        let here = |peer: &&Peer| {
            peer.is_open() && (canonical(peer.info().addr) == addr || peer.remote_addr() == addr)
        };
        peers.values().find(here).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.lock().len()
    }

    /// Takes up a connection, unless the existing one is to stay, and tells the node.
    pub(crate) fn take_up(&self, peer: &Peer, told: Knows, handler: &dyn Handler) -> Result<(), NotTaken> {
        let _order = self.announcing.lock();
        let replaced = {
            let mut peers = self.peers.lock();
            match peers.get(peer.node()) {
                Some(existing) if existing.is_open() && !self.replaces(existing, peer, told) => {
                    return Err(NotTaken::Duplicate(existing.clone()));
                }
                None if peers.len() >= self.peers_max => return Err(NotTaken::Full),
                _ => peers.insert(peer.node().clone(), peer.clone()),
            }
        };
        if let Some(old) = replaced {
            old.close_with(close_code::REPLACED, "replaced by a newer connection");
            handler.disconnected(old.info().clone(), "replaced by a newer connection".to_owned());
        }
        handler.connected(peer.clone());
        self.changes.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Forgets a connection that is over and tells the node, unless it was replaced before.
    pub(crate) fn drop_link(&self, peer: &Peer, reason: String, handler: &dyn Handler) {
        let _order = self.announcing.lock();
        {
            let mut peers = self.peers.lock();
            if !peers.get(peer.node()).is_some_and(|current| current.is(peer)) {
                return;
            }
            peers.remove(peer.node());
        }
        handler.disconnected(peer.info().clone(), reason);
        self.changes.send_modify(|version| *version += 1);
    }

    /// Empties the table without a word to anyone.
    pub(crate) fn clear(&self) -> Vec<Peer> {
        std::mem::take(&mut *self.peers.lock()).into_values().collect()
    }

    /// Waits until there is an open connection with `node`.
    pub(crate) async fn wait_for(&self, node: &NodeId) -> Peer {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(peer) = self.get(node) {
                return peer;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn replaces(&self, existing: &Peer, new: &Peer, told: Knows) -> bool {
        let link = |peer: &Peer| Link { incarnation: peer.info().incarnation, dialed: peer.dialed() };
        let age = Instant::now().duration_since(existing.since());
        replaces(&self.own, new.node(), link(existing), age, link(new), told, self.race_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);
    const YOUNG: Duration = Duration::from_secs(1);
    const OLD: Duration = Duration::from_secs(60);

    fn link(incarnation: u64, dialed: bool) -> Link {
        Link { incarnation, dialed }
    }

    fn judged(own: &str, peer: &str, existing: Link, age: Duration, new: Link, told: Knows) -> bool {
        replaces(&own.parse().unwrap(), &peer.parse().unwrap(), existing, age, new, told, WINDOW)
    }

    #[test]
    fn a_new_incarnation_always_replaces() {
        for dialed in [(false, false), (false, true), (true, false), (true, true)] {
            for told in [Knows::Nothing, Knows::Existing] {
                assert!(judged("a", "b", link(1, dialed.0), YOUNG, link(2, dialed.1), told));
                assert!(judged("b", "a", link(1, dialed.0), YOUNG, link(2, dialed.1), told));
            }
        }
    }

    #[test]
    fn when_both_dial_at_once_both_ends_keep_what_the_smaller_name_dialed() {
        // Connection 1 was dialed by a, connection 2 by b; each end may see them in either order.
        let (one_at_a, two_at_a) = (link(1, true), link(1, false));
        let (one_at_b, two_at_b) = (link(1, false), link(1, true));
        assert!(!judged("a", "b", one_at_a, YOUNG, two_at_a, Knows::Nothing));
        assert!(judged("a", "b", two_at_a, YOUNG, one_at_a, Knows::Nothing));
        assert!(!judged("b", "a", one_at_b, YOUNG, two_at_b, Knows::Nothing));
        assert!(judged("b", "a", two_at_b, YOUNG, one_at_b, Knows::Nothing));
    }

    #[test]
    fn a_dialer_that_lost_its_connection_gets_a_new_one() {
        assert!(
            judged("a", "b", link(1, false), YOUNG, link(1, false), Knows::Nothing),
            "it had dialed before"
        );
        assert!(judged("a", "b", link(1, true), OLD, link(1, false), Knows::Nothing), "we had, long ago");
        assert!(judged("a", "b", link(1, true), YOUNG, link(1, true), Knows::Nothing), "we redial");
    }

    #[test]
    fn a_needless_second_connection_does_not_replace_the_first() {
        for dialed in [false, true] {
            for age in [YOUNG, OLD] {
                assert!(!judged("a", "b", link(1, dialed), age, link(1, false), Knows::Existing));
                assert!(!judged("b", "a", link(1, dialed), age, link(1, false), Knows::Existing));
            }
        }
    }

    #[test]
    fn a_dialer_that_told_of_its_connection_and_was_welcomed_believes_the_other_end() {
        for dialed in [false, true] {
            assert!(judged("a", "b", link(1, dialed), OLD, link(1, true), Knows::Existing));
            assert!(judged("b", "a", link(1, dialed), OLD, link(1, true), Knows::Existing));
        }
    }
}
