//! Dialing peers, and what happens when a connection stands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IteratorRandom;
use rumour_crdt::ActorId;
use rumour_transport::{DialError, NodeId, Peer, PeerInfo, Refusal, Transport, codec};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Runtime;
use crate::council::Heard;
use crate::error::NodeError;
use crate::membership::Reported;
use crate::message::{Greeting, kind};
use crate::replication;

const DIAL_TICK: Duration = Duration::from_millis(250);
/// Pause before a connection whose replication channel broke is closed, so that a lasting fault does not spin.
const CHANNEL_PAUSE: Duration = Duration::from_secs(1);
const GREET_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a refused newcomer has to stop before it is taken for a twin.
const TWIN_PATIENCE: Duration = Duration::from_secs(3);
/// Members named in a greeting at most.
const GREETING_MEMBERS_LIMIT: usize = 1024;

impl Runtime {
    /// Keeps dialing whoever should be connected and is not: seeds, members, and those whom a join waits for.
    pub(super) async fn dial_loop(self: Arc<Self>) {
        let mut tick = interval(DIAL_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for addr in self.wanted_addrs() {
                self.dial(addr);
            }
            tokio::select! {
                biased;
                () = self.progress.notified() => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn wanted_addrs(&self) -> Vec<SocketAddr> {
        let Some(transport) = self.transport() else { return Vec::new() };
        let mut addrs: Vec<SocketAddr> = self.seeds.iter().filter_map(|seed| *seed.addr.lock()).collect();
        addrs.extend(self.view.lock().unconnected());
        addrs.retain(|addr| transport.peer_at(*addr).is_none());
        // A join waits for greetings, so it dials where a connection stands already but no greeting came.
        addrs.extend(self.joining.lock().pending());
        let own = self.own_addrs.lock();
        addrs.retain(|addr| !own.contains(addr));
        addrs.sort_unstable();
        addrs.dedup();
        addrs
    }

    /// Dials an address unless that is under way or too soon after a failure.
    pub(super) fn dial(self: &Arc<Self>, addr: SocketAddr) {
        if !self.dial_plan.lock().begin(addr, Instant::now()) {
            return;
        }
        let runtime = self.clone();
        self.spawn(async move {
            let Some(transport) = runtime.transport() else { return };
            match transport.dial(addr).await {
                Ok(peer) => {
                    runtime.dial_plan.lock().succeeded(addr);
                    runtime.greet(addr, &peer).await;
                }
                Err(error) => runtime.dial_failed(addr, &error),
            }
            runtime.progress.notify_one();
        });
    }

    fn dial_failed(self: &Arc<Self>, addr: SocketAddr, error: &DialError) {
        if *error == DialError::Myself {
            self.joining.lock().is_own(addr);
            self.dial_plan.lock().succeeded(addr);
            self.own_addrs.lock().insert(addr);
            return;
        }
        self.joining.lock().unreachable(addr);
        tracing::debug!(%addr, %error, "dialing failed");
        let mut rng = self.rng.lock();
        self.dial_plan.lock().failed(addr, error.to_string(), Instant::now(), &mut *rng);
        drop(rng);
        match error {
            DialError::SameName(other) => self.meet_twin(addr, other),
            DialError::Refused(Refusal { holder: Some(holder), .. }) => self.meet_twin(addr, holder),
            _ => {}
        }
    }

    /// Somebody came with this node's own name. A newcomer gives up by itself; a twin from the other side of a cut does
    /// not, and is met once the newcomer would be gone.
    pub(super) fn expect_twin(self: &Arc<Self>, addr: SocketAddr) {
        let runtime = self.clone();
        self.spawn(async move {
            sleep(TWIN_PATIENCE).await;
            runtime.dial(addr);
        });
    }

    /// Another living node has this node's name, says who was dialed: of two that serve, the one that started later stops; one
    /// that has not served yet stops in any case.
    fn meet_twin(self: &Arc<Self>, dialed: SocketAddr, other: &PeerInfo) {
        let later = (other.started_ms, other.incarnation) < (self.me.started_ms, self.me.incarnation);
        if later || !self.engine.phase.is_serving() {
            self.fail(&NodeError::NameTaken { name: self.me.node.clone(), addr: other.addr });
        } else if other.addr != dialed {
            // It learns from this node itself that it is the later one.
            self.dial(other.addr);
        }
    }

    /// Exchanges clocks with a peer that this node dialed. While this node joins, it reads the peer's wall clock first.
    async fn greet(self: &Arc<Self>, dialed: SocketAddr, peer: &Peer) {
        if !matches!(self.meet(peer).await, Ok(Heard::News | Heard::Nothing)) {
            // What another cluster says of its data is none of this one's business.
            self.joining.lock().unreachable(dialed);
            return;
        }
        if !self.engine.phase.is_serving() {
            self.measure_surely(peer).await;
        }
        let greeting = match codec::encode(&self.greeting()) {
            Ok(body) => {
                peer.request(kind::GREET, body, GREET_TIMEOUT).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let greeting = greeting.and_then(|body| codec::decode(&body).map_err(|error| error.to_string()));
        match greeting {
            Ok(greeting) => {
                self.greeted_by(peer.info(), &greeting);
                let mut joining = self.joining.lock();
                joining.heard(dialed);
                joining.heard(peer.info().addr);
            }
            Err(error) => {
                tracing::debug!(peer = %peer.info().node, error, "greeting failed");
                self.joining.lock().unreachable(dialed);
            }
        }
    }

    /// This node's part of a greeting.
    pub(super) fn greeting(&self) -> Greeting {
        let members = self.transport().map(Transport::peers).unwrap_or_default();
        let members = members.iter().map(Peer::info).map(|info| (info.node.clone(), info.addr));
        let clock = self.engine.clock.send_time();
        let mut owners = self.engine.watermarks.lock().tell(Instant::now(), clock);
        owners.held.clear();
        Greeting {
            clock,
            owners,
            flushed: self.engine.store.flushed(),
            serving: self.engine.phase.is_serving(),
            members: members.take(GREETING_MEMBERS_LIMIT).collect(),
        }
    }

    /// Takes a peer's part of a greeting in.
    pub(super) fn greeted_by(self: &Arc<Self>, peer: &PeerInfo, greeting: &Greeting) {
        self.engine.follow(greeting.clock, greeting.flushed);
        let clock = self.engine.clock.send_time();
        // Which of them have ended it learns in the next sync session.
        let _ = self.engine.watermarks.lock().hear(&greeting.owners, clock);
        if !self.engine.phase.is_serving() {
            let measured = self.engine.clock.knows(peer);
            let mut joining = self.joining.lock();
            joining.told(peer.addr, greeting.clock, greeting.flushed);
            if measured {
                joining.heard(peer.addr);
            } else {
                joining.came(peer.addr);
            }
            let others = greeting.members.iter().filter(|(node, _)| *node != self.me.node);
            joining.learn(others.take(GREETING_MEMBERS_LIMIT).map(|(_, addr)| *addr));
        }
        self.serving_peers.lock().insert(peer.node.clone(), greeting.serving);
        let reported = if greeting.serving { Reported::Ready } else { Reported::Joining };
        let events = self.view.lock().reported(peer, reported, Instant::now());
        self.view_changed(events);
        self.progress.notify_one();
    }

    /// A connection stands: the peer is there, so gossip with it and, if it belongs here, replicate to it and compare digests.
    pub(super) fn peer_connected(self: &Arc<Self>, peer: &Peer) {
        let info = peer.info();
        tracing::info!(peer = %info.node, addr = %info.addr, "connected");
        self.engine.conflicts.name_writer(ActorId::new(info.incarnation), &info.node);
        let events = self.view.lock().connected(info, Instant::now());
        self.view_changed(events);
        if let Some(gossip) = self.gossip.get() {
            // Gossip runs until the node stops.
            let _ = gossip.gossip(info.addr);
        }
        let (runtime, measured) = (self.clone(), peer.clone());
        self.spawn(async move {
            runtime.measure(&measured).await;
        });
        let (runtime, link) = (self.clone(), peer.clone());
        self.spawn(async move {
            match runtime.meet(&link).await {
                Ok(Heard::Foreign) => runtime.turn_away(&link),
                Ok(Heard::News | Heard::Nothing) => runtime.replicate_to(&link).await,
                Ok(Heard::Forgotten) => {}
                Err(error) => {
                    tracing::debug!(peer = %link.node(), error, "a peer did not say where it stands");
                    sleep(CHANNEL_PAUSE).await;
                    link.close("it did not say where it stands");
                }
            }
        });
    }

    /// The peer belongs here: what is queued for it goes out, and digests are compared.
    async fn replicate_to(&self, link: &Peer) {
        self.kick_sync(link.node());
        if let Err(error) = replication::send(&self.engine, link).await {
            tracing::debug!(peer = %link.node(), error, "replication to a peer ended");
            // The connection may be well while its channel is not: only a new one has a new channel.
            sleep(CHANNEL_PAUSE).await;
            link.close("the replication channel broke");
        }
    }

    /// Whether no peer that was heard said that it serves.
    pub(super) fn nobody_serves(&self) -> bool {
        !self.serving_peers.lock().values().any(|serves| *serves)
    }

    /// Whom this node may be filled from: a random one of the connected peers that serve. Where nobody serves, of all that are
    /// connected: if they are not as new as this node, they hold what those had that served before.
    pub(super) fn filling_peer(&self) -> Option<NodeId> {
        let peers = self.transport()?.peers();
        let serving = self.serving_peers.lock();
        let nobody_serves = !serving.values().any(|serves| *serves);
        let nodes = peers.iter().map(|peer| &peer.info().node);
        let nodes = nodes.filter(|node| self.is_met(node));
        let nodes = nodes.filter(|node| nobody_serves || serving.get(*node) == Some(&true));
        nodes.choose(&mut *self.rng.lock()).cloned()
    }
}
