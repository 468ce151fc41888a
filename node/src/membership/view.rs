//! The membership view: what this node believes of each peer.
//!
//! Plain state: gossip readings and connection events go in, events come out, `now` is passed in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rumour_transport::{NodeId, PeerInfo};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A node's state as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It hears its peers' clocks and fills itself; it serves no data yet.
    Joining,
    /// It is alive and serves.
    Healthy,
    /// Gossip or the connection to it has gone quiet; it may come back.
    Suspect,
    /// It has been quiet for longer than the suspicion lasts.
    Down,
    /// It said that it is leaving.
    Leaving,
}

impl std::fmt::Display for MemberState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Leaving => "leaving",
        })
    }
}

/// One peer as this node sees it, or the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub node: NodeId,
    /// Where its peer port is.
    pub addr: SocketAddr,
    /// Which start of it this is.
    pub incarnation: u64,
    /// When it started by its own clock, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// Its state.
    pub state: MemberState,
}

/// What a node says of itself in gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reported {
    Joining,
    Ready,
    Leaving,
}

/// One node as gossip sees it at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) info: PeerInfo,
    pub(crate) alive: bool,
    pub(crate) reported: Reported,
}

/// What changed in the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ViewEvent {
    /// A peer was seen for the first time, or came back as a new incarnation.
    Joined { node: NodeId, replaces: Option<u64> },
    /// A peer's state changed.
    Changed { node: NodeId, from: MemberState, to: MemberState },
    /// A peer left on purpose and is no longer listed.
    Left { node: NodeId, incarnation: u64 },
    /// A peer does not belong here, or was forgotten, and is no longer listed.
    Dismissed { node: NodeId, incarnation: u64 },
    /// Gossip shows another living node with this node's own name.
    Twin { other: PeerInfo },
}

/// How many departed incarnations are remembered, so that gossip's memory does not list them again.
const DEPARTED_LIMIT: usize = 1024;

/// The view of one node.
pub(crate) struct View {
    me: PeerInfo,
    peers: BTreeMap<NodeId, Peer>,
    departed: VecDeque<u64>,
    suspicion: Duration,
}

struct Peer {
    info: PeerInfo,
    state: MemberState,
    alive: bool,
    /// Gossip takes two heartbeats to call a newcomer alive: until then its connection speaks for it.
    heard_in_gossip: bool,
    reported: Reported,
    connected: bool,
    /// Since when gossip or the connection has been quiet.
    quiet_since: Option<Instant>,
}

impl View {
    /// `suspicion`: how long a quiet peer stays suspect before it is down.
    pub(crate) fn new(me: PeerInfo, suspicion: Duration) -> Self {
        Self { me, peers: BTreeMap::new(), departed: VecDeque::new(), suspicion }
    }

    /// Takes in what gossip shows now. Call it at least once a second: it also moves suspicion on.
    pub(crate) fn observe(&mut self, seen: &[Seen], now: Instant) -> Vec<ViewEvent> {
        let mut events = Vec::new();
        for seen in seen {
            if seen.info.node == self.me.node {
                if seen.info.incarnation != self.me.incarnation && seen.alive {
                    events.push(ViewEvent::Twin { other: seen.info.clone() });
                }
                continue;
            }
            self.observe_peer(seen, &mut events);
        }
        let listed = |peer: &Peer| seen.iter().any(|seen| seen.info.incarnation == peer.info.incarnation);
        for peer in self.peers.values_mut() {
            if !listed(peer) {
                peer.alive = false;
            }
        }
        self.settle(now, &mut events);
        events
    }

    /// A connection to the peer stands. It is the best evidence of which incarnation lives.
    pub(crate) fn connected(&mut self, info: &PeerInfo, now: Instant) -> Vec<ViewEvent> {
        let mut events = Vec::new();
        if self.departed.contains(&info.incarnation) {
            return events;
        }
        self.adopt(info, Reported::Joining, &mut events).connected = true;
        self.settle(now, &mut events);
        events
    }

    /// The connection to the peer is gone.
    pub(crate) fn disconnected(&mut self, info: &PeerInfo, now: Instant) -> Vec<ViewEvent> {
        let mut events = Vec::new();
        if let Some(peer) = self.peers.get_mut(&info.node)
            && peer.info.incarnation == info.incarnation
        {
            peer.connected = false;
        }
        self.settle(now, &mut events);
        events
    }

    /// The state of the peer with this name.
    pub(crate) fn state(&self, node: &NodeId) -> Option<MemberState> {
        self.peers.get(node).map(|peer| peer.state)
    }

    /// The start of the peer with this name that is known.
    pub(crate) fn incarnation(&self, node: &NodeId) -> Option<u64> {
        self.peers.get(node).map(|peer| peer.info.incarnation)
    }

    /// An operator says that these starts of a peer do not run any more.
    pub(crate) fn forget(&mut self, node: &NodeId, incarnations: &BTreeSet<u64>) -> Vec<ViewEvent> {
        let listed = self.peers.get(node).map(|peer| peer.info.clone());
        let meant = listed.filter(|info| incarnations.contains(&info.incarnation));
        meant.map(|info| self.dismiss(&info)).unwrap_or_default()
    }

    /// The peer does not belong here: it is not listed, and gossip about this start of it is ignored.
    pub(crate) fn dismiss(&mut self, info: &PeerInfo) -> Vec<ViewEvent> {
        let listed = self.peers.get(&info.node).is_some_and(|peer| peer.info.incarnation == info.incarnation);
        self.depart(info.incarnation);
        if !listed {
            return Vec::new();
        }
        self.peers.remove(&info.node);
        vec![ViewEvent::Dismissed { node: info.node.clone(), incarnation: info.incarnation }]
    }

    /// A peer that is connected belongs here, if it was [dismissed](Self::dismiss) before or not.
    pub(crate) fn readmit(&mut self, info: &PeerInfo, now: Instant) -> Vec<ViewEvent> {
        if !self.departed.contains(&info.incarnation) {
            return Vec::new();
        }
        self.departed.retain(|departed| *departed != info.incarnation);
        self.connected(info, now)
    }

    fn depart(&mut self, incarnation: u64) {
        self.departed.push_back(incarnation);
        if self.departed.len() > DEPARTED_LIMIT {
            self.departed.pop_front();
        }
    }

    /// The peer said this of itself, in a greeting or a goodbye.
    pub(crate) fn reported(&mut self, info: &PeerInfo, reported: Reported, now: Instant) -> Vec<ViewEvent> {
        let mut events = Vec::new();
        if let Some(peer) = self.peers.get_mut(&info.node)
            && peer.info.incarnation == info.incarnation
        {
            peer.report(reported);
        }
        self.settle(now, &mut events);
        events
    }

    /// The peer with this name, whatever its state.
    #[cfg(test)]
    pub(crate) fn peer(&self, node: &NodeId) -> Option<Member> {
        self.peers.get(node).map(Peer::member)
    }

    /// Whether another living node holds this name, as far as this node knows without asking it.
    pub(crate) fn holder(&self, newcomer: &PeerInfo) -> Option<PeerInfo> {
        let peer = self.peers.get(&newcomer.node)?;
        let rival = peer.info.incarnation != newcomer.incarnation && peer.state != MemberState::Down;
        rival.then(|| peer.info.clone())
    }

    /// All peers, in the order of their names.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Member> {
        self.peers.values().map(Peer::member)
    }

    /// Peers that should have a connection and have none.
    pub(crate) fn unconnected(&self) -> impl Iterator<Item = SocketAddr> {
        let wanted = |peer: &&Peer| !peer.connected && peer.reported != Reported::Leaving;
        self.peers.values().filter(wanted).map(|peer| peer.info.addr)
    }

    fn observe_peer(&mut self, seen: &Seen, events: &mut Vec<ViewEvent>) {
        if self.departed.contains(&seen.info.incarnation) {
            return;
        }
        match self.peers.get(&seen.info.node) {
            None if !seen.alive => return,
            // Gossip remembers old incarnations for a day; it may tell of a new one before it connects.
            Some(peer) if peer.info.incarnation != seen.info.incarnation => {
                let newer = seen.alive && !peer.alive && !peer.connected;
                if !newer {
                    return;
                }
            }
            _ => {}
        }
        let peer = self.adopt(&seen.info, seen.reported, events);
        peer.alive = seen.alive;
        peer.report(seen.reported);
        peer.heard_in_gossip |= seen.alive;
    }

    fn adopt(&mut self, info: &PeerInfo, reported: Reported, events: &mut Vec<ViewEvent>) -> &mut Peer {
        let known = self.peers.get(&info.node).map(|peer| peer.info.incarnation);
        if known != Some(info.incarnation) {
            events.push(ViewEvent::Joined { node: info.node.clone(), replaces: known });
            self.peers.remove(&info.node);
        }
        self.peers.entry(info.node.clone()).or_insert_with(|| Peer::new(info.clone(), reported))
    }

    /// Brings every peer's state in line with what is known, and drops those that have left.
    fn settle(&mut self, now: Instant, events: &mut Vec<ViewEvent>) {
        let mut left = Vec::new();
        for (node, peer) in &mut self.peers {
            peer.quiet_since = peer.is_quiet().then(|| peer.quiet_since.unwrap_or(now));
            let to = peer.target_state(now, self.suspicion);
            if to == MemberState::Leaving && !peer.connected {
                left.push(node.clone());
                continue;
            }
            if to != peer.state {
                events.push(ViewEvent::Changed { node: node.clone(), from: peer.state, to });
                peer.state = to;
            }
        }
        for node in left {
            let Some(peer) = self.peers.remove(&node) else { continue };
            let incarnation = peer.info.incarnation;
            self.depart(incarnation);
            events.push(ViewEvent::Left { node, incarnation });
        }
    }
}

impl Peer {
    fn new(info: PeerInfo, reported: Reported) -> Self {
        Self {
            info,
            state: MemberState::Joining,
            alive: false,
            heard_in_gossip: false,
            reported,
            connected: false,
            quiet_since: None,
        }
    }

    /// A node goes from joining to ready to leaving and never back; what comes late is old.
    fn report(&mut self, reported: Reported) {
        self.reported = self.reported.max(reported);
    }

    fn is_quiet(&self) -> bool {
        !self.connected || (self.heard_in_gossip && !self.alive)
    }

    fn target_state(&self, now: Instant, suspicion: Duration) -> MemberState {
        let quiet = self.quiet_since.map(|since| now.saturating_duration_since(since));
        match (self.reported, quiet) {
            (Reported::Leaving, _) => MemberState::Leaving,
            (Reported::Joining, None) => MemberState::Joining,
            (Reported::Ready, None) => MemberState::Healthy,
            (_, Some(quiet)) if !self.connected && !self.alive && quiet >= suspicion => MemberState::Down,
            // A link that breaks and is mended at once changes nothing.
            (_, Some(quiet)) if quiet < BLINK => self.state,
            (_, Some(_)) => MemberState::Suspect,
        }
    }

    fn member(&self) -> Member {
        Member {
            node: self.info.node.clone(),
            addr: self.info.addr,
            incarnation: self.info.incarnation,
            started_ms: self.info.started_ms,
            state: self.state,
        }
    }
}

/// Shorter silences are not shown.
const BLINK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
