//! A node as the contract needs it: it echoes, and remembers what it saw.

use super::Network;
use crate::config::{Limits, TransportConfig};
use crate::error::{DialError, RequestRefused};
use crate::handler::{BoxFuture, Handler};
use crate::hello::{PeerInfo, Refusal};
use crate::id::{ClusterName, NodeId};
use crate::identity::Identity;
use crate::key::ClusterKey;
use crate::peer::Peer;
use crate::stream::{FrameReceiver, FrameSender};
use crate::transport::Transport;
use bytes::Bytes;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Request kinds that the node knows.
pub(super) const ECHO: u8 = 1;
pub(super) const REFUSE: u8 = 2;
pub(super) const HANG: u8 = 3;
pub(super) const SLOW: u8 = 4;

/// Long enough for everything that is going to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Connected(NodeId, u64),
    Disconnected(NodeId, u64, String),
    Gossip(NodeId, Bytes),
}

#[derive(Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    refuse: Mutex<Option<Refusal>>,
}

pub(super) struct TestNode {
    pub(super) transport: Transport,
    pub(super) recorder: Arc<Recorder>,
    pub(super) addr: SocketAddr,
}

/// What sets one test node apart from the others.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) key: ClusterKey,
    pub(super) cluster: ClusterName,
    pub(super) incarnation: u64,
    pub(super) protocol_version: u16,
    pub(super) limits: Limits,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            key: key(1),
            cluster: ClusterName::default(),
            incarnation: 1,
            protocol_version: 2,
            limits: Limits::default(),
        }
    }
}

pub(super) fn key(seed: u8) -> ClusterKey {
    ClusterKey::from_bytes([seed; ClusterKey::BYTES])
}

pub(super) fn identity(setup: &Setup, name: &str) -> Identity {
    Identity::from_cluster_key(&setup.key, &node_id(name), setup.incarnation).expect("an identity")
}

pub(super) fn node_id(name: &str) -> NodeId {
    name.parse().expect("a node name")
}

pub(super) async fn start(network: &impl Network, place: usize, name: &str) -> TestNode {
    start_as(network, place, name, &Setup::default()).await
}

pub(super) async fn start_as(network: &impl Network, place: usize, name: &str, setup: &Setup) -> TestNode {
    let (binding, addr) = network.endpoint(place).await;
    let mut config = TransportConfig::new(identity(setup, name), setup.cluster.clone(), addr, binding)
        .started(setup.incarnation, 1_000 * setup.incarnation);
    config.protocol_version = setup.protocol_version;
    config.limits = setup.limits.clone();
    let recorder = Arc::new(Recorder::default());
    let transport = Transport::open(config, recorder.clone()).expect("the transport opens");
    TestNode { transport, recorder, addr }
}

impl TestNode {
    pub(super) async fn dial(&self, to: &TestNode) -> Peer {
        self.transport.dial(to.addr).await.expect("the dial succeeds")
    }

    pub(super) async fn dial_error(&self, to: &TestNode) -> DialError {
        self.transport.dial(to.addr).await.expect_err("the dial is refused")
    }

    pub(super) fn refuse_newcomers(&self, refusal: Refusal) {
        *self.recorder.refuse.lock() = Some(refusal);
    }

    pub(super) fn refused(&self) -> crate::stats::Refused {
        self.transport.stats().refused
    }

    /// Shows that the node still serves others.
    pub(super) async fn still_serves(&self, network: &impl Network, place: usize) {
        let friend = start(network, place, &format!("friend-{place}")).await;
        echo(&friend.dial(self).await, b"still there?").await;
        friend.transport.close().await;
    }
}

impl Recorder {
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    pub(super) fn gossip(&self) -> Vec<Bytes> {
        let heard = |event: Event| match event {
            Event::Gossip(_, body) => Some(body),
            _ => None,
        };
        self.events().into_iter().filter_map(heard).collect()
    }

    pub(super) fn lost(&self, name: &str) -> usize {
        let is = |event: &Event| matches!(event, Event::Disconnected(node, ..) if node.as_str() == name);
        self.events().iter().filter(|event| is(event)).count()
    }

    pub(super) fn met(&self, name: &str) -> usize {
        let is = |event: &Event| matches!(event, Event::Connected(node, _) if node.as_str() == name);
        self.events().iter().filter(|event| is(event)).count()
    }
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn echo(peer: &Peer, body: &'static [u8]) {
    let reply = peer.request(ECHO, Bytes::from_static(body), PATIENCE).await.expect("a reply");
    assert_eq!(&reply[..], body);
}

impl Handler for Recorder {
    fn admit(&self, _peer: PeerInfo) -> BoxFuture<'static, Result<(), Refusal>> {
        let refusal = self.refuse.lock().clone();
        Box::pin(async move { refusal.map_or(Ok(()), Err) })
    }

    fn connected(&self, peer: Peer) {
        assert!(peer.is_open());
        self.events.lock().push(Event::Connected(peer.node().clone(), peer.info().incarnation));
    }

    fn disconnected(&self, peer: PeerInfo, reason: String) {
        self.events.lock().push(Event::Disconnected(peer.node, peer.incarnation, reason));
    }

    fn gossip(&self, from: PeerInfo, body: Bytes) {
        self.events.lock().push(Event::Gossip(from.node, body));
    }

    fn request(
        &self,
        _from: PeerInfo,
        kind: u8,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, RequestRefused>> {
        Box::pin(async move {
            match kind {
                ECHO => Ok(body),
                SLOW => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok(body)
                }
                HANG => std::future::pending().await,
                REFUSE => Err(RequestRefused { code: 7, text: format!("no, not {} bytes\n", body.len()) }),
                _ => Err(RequestRefused { code: 0, text: "unknown".to_owned() }),
            }
        })
    }

    /// Sends every frame back with the next higher kind.
    fn channel(&self, _from: PeerInfo, mut tx: FrameSender, mut rx: FrameReceiver) {
        tokio::spawn(async move {
            while let Ok(Some(frame)) = rx.recv().await {
                if tx.send(frame.kind.wrapping_add(1), frame.body).await.is_err() {
                    return;
                }
            }
            tx.finish();
        });
    }
}
