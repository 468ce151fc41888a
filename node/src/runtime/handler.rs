//! What the transport brings, handed to the parts that deal with it.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::ActorId;
use rumour_transport::{
    BoxFuture, FrameReceiver, FrameSender, Handler, Peer, PeerInfo, Refusal, RefusalCode, RequestRefused,
    codec,
};
use tokio::time::Instant;

use super::{Runtime, recall};
use crate::agreement::Request;
use crate::council::{Candidacy, Standing};
use crate::membership::Reported;
use crate::message::{ClockReading, Greeting, RecallRequest, SyncRequest, kind};
use crate::replication;
use crate::sync::respond;

/// How long an incarnation that holds a contested name has to show that it lives.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Request refused: its body makes no sense, or its kind is unknown.
const REFUSED_NONSENSE: u16 = 1;
/// Request refused: what it asks for cannot be had in time.
const REFUSED_NOT_NOW: u16 = 2;

/// The transport's way into the node. Holds the node weakly: the node owns the transport.
#[derive(Default)]
pub(super) struct Inbox {
    runtime: OnceLock<Weak<Runtime>>,
}

impl Inbox {
    pub(super) fn connect(&self, runtime: &Arc<Runtime>) {
        // Set once, right after the transport opened.
        let _ = self.runtime.set(Arc::downgrade(runtime));
    }

    fn runtime(&self) -> Option<Arc<Runtime>> {
        self.runtime.get()?.upgrade().filter(|runtime| !runtime.stop.is_cancelled())
    }
}

impl Handler for Inbox {
    fn admit(&self, peer: PeerInfo) -> BoxFuture<'static, Result<(), Refusal>> {
        let runtime = self.runtime();
        Box::pin(async move {
            match runtime {
                Some(runtime) => runtime.admit(peer).await,
                None => Err(Refusal::new(RefusalCode::Leaving, "this node is not up")),
            }
        })
    }

    fn connected(&self, peer: Peer) {
        if let Some(runtime) = self.runtime() {
            runtime.peer_connected(&peer);
        }
    }

    fn disconnected(&self, peer: PeerInfo, reason: String) {
        if let Some(runtime) = self.runtime() {
            tracing::debug!(peer = %peer.node, reason, "disconnected");
            runtime.engine.council.lock().lost(&peer.node, peer.incarnation);
            let events = runtime.view.lock().disconnected(&peer, Instant::now());
            runtime.view_changed(events);
        }
    }

    fn gossip(&self, from: PeerInfo, body: Bytes) {
        if let Some(runtime) = self.runtime() {
            // A full inbox loses the message, as the network may.
            let _ = runtime.gossip_in.try_send((from.addr, body));
        }
    }

    fn request(
        &self,
        from: PeerInfo,
        kind: u8,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, RequestRefused>> {
        let runtime = self.runtime();
        Box::pin(async move {
            let runtime = runtime.ok_or_else(|| nonsense("this node is not up"))?;
            let answer = match kind {
                kind::RECALL => runtime.recalled(&from, &body).await,
                _ => runtime.answer(&from, kind, &body),
            };
            if let Err(refused) = answer.as_ref()
                && refused.code == REFUSED_NONSENSE
            {
                runtime.engine.counters.refused_messages.add(1);
                tracing::warn!(peer = %from.node, kind, reason = refused.text, "refused a request");
            }
            answer
        })
    }

    fn channel(&self, from: PeerInfo, tx: FrameSender, rx: FrameReceiver) {
        if let Some(runtime) = self.runtime().filter(|runtime| runtime.is_met(&from.node)) {
            let engine = runtime.engine.clone();
            runtime.spawn(async move {
                if let Err(error) = replication::receive(&engine, &from.node, tx, rx).await {
                    tracing::debug!(peer = %from.node, error, "replication from a peer ended");
                }
            });
        }
    }
}

impl Runtime {
    /// Whether a peer may connect: not under a name that a living node has.
    async fn admit(self: Arc<Self>, newcomer: PeerInfo) -> Result<(), Refusal> {
        if newcomer.node == self.me.node {
            self.expect_twin(newcomer.addr);
            return Err(Refusal::name_taken(self.me.clone()));
        }
        let holder = self.view.lock().holder(&newcomer);
        let Some(holder) = holder else { return Ok(()) };
        if self.lives(&holder, &newcomer).await {
            tracing::warn!(name = %newcomer.node, holder = %holder.addr, newcomer = %newcomer.addr,
                "refused a node whose name is taken by a living one");
            return Err(Refusal::name_taken(holder));
        }
        Ok(())
    }

    /// Whether the incarnation that holds a name answers.
    async fn lives(&self, holder: &PeerInfo, newcomer: &PeerInfo) -> bool {
        let Some(transport) = self.transport() else { return false };
        let probe = async {
            if let Some(peer) = transport.peer(&holder.node)
                && peer.info().incarnation == holder.incarnation
            {
                return peer.request(kind::PROBE, Bytes::new(), PROBE_TIMEOUT).await.is_ok();
            }
            // At its own address the newcomer itself would answer.
            holder.addr != newcomer.addr
                && transport
                    .dial(holder.addr)
                    .await
                    .is_ok_and(|peer| peer.info().incarnation == holder.incarnation)
        };
        tokio::time::timeout(PROBE_TIMEOUT, probe).await.unwrap_or(false)
    }

    fn check_met(&self, from: &PeerInfo) -> Result<(), RequestRefused> {
        self.is_met(&from.node).then_some(()).ok_or_else(|| nonsense("say first where you stand"))
    }

    async fn recalled(&self, from: &PeerInfo, body: &[u8]) -> Result<Bytes, RequestRefused> {
        self.check_met(from)?;
        let request: RecallRequest = decode(body)?;
        encode(&recall::answer(&self.engine, from, &request).await.map_err(not_now)?)
    }

    /// Answers a request that needs nobody else. What makes no sense changes nothing.
    fn answer(self: &Arc<Self>, from: &PeerInfo, kind: u8, body: &[u8]) -> Result<Bytes, RequestRefused> {
        if matches!(kind, kind::GREET | kind::SYNC) {
            self.check_met(from)?;
        }
        match kind {
            kind::PROBE => Ok(Bytes::new()),
            kind::CLOCK => encode(&ClockReading { wall_ms: self.engine.clock.wall_ms() }),
            kind::GREET => {
                let greeting: Greeting = decode(body)?;
                self.greeted_by(from, &greeting);
                encode(&self.greeting())
            }
            kind::SYNC => {
                let request: SyncRequest = decode(body)?;
                self.timer("sync-step");
                let peer = (&from.node, ActorId::new(from.incarnation));
                encode(&respond(&self.engine, peer, request, Instant::now()).map_err(nonsense)?)
            }
            kind::STANDING => {
                let standing: Standing = decode(body)?;
                let peer = self.transport().and_then(|transport| transport.peer(&from.node));
                let peer = peer.filter(|peer| peer.info().incarnation == from.incarnation);
                let peer = peer.ok_or_else(|| nonsense("the connection that this came on is gone"))?;
                // Whether the two go together the sender finds out as well.
                self.stands(&peer, standing).map_err(|error| nonsense(&error))?;
                encode(&self.standing(&from.node, from.incarnation))
            }
            kind::AGREE => {
                let request: Request = decode(body)?;
                let now_ms = self.engine.clock.wall_ms();
                let (reply, heard) = self.engine.council.lock().answer(from.incarnation, &request, now_ms);
                self.configuration_heard(heard);
                encode(&reply)
            }
            kind::FOUND => {
                let candidacy: Candidacy = decode(body)?;
                if candidacy.founder != from.incarnation {
                    return Err(nonsense("a node may stand for itself only"));
                }
                encode(&self.engine.council.lock().consent(&from.node, candidacy))
            }
            kind::FORGET => {
                self.told_to_forget(decode(body)?);
                Ok(Bytes::new())
            }
            kind::GOODBYE => {
                self.engine.council.lock().left(from.incarnation);
                self.serving_peers.lock().remove(&from.node);
                let events = self.view.lock().reported(from, Reported::Leaving, Instant::now());
                self.view_changed(events);
                Ok(Bytes::new())
            }
            _ => Err(nonsense("this kind of request is unknown here: is the peer newer?")),
        }
    }
}

fn nonsense(text: &str) -> RequestRefused {
    RequestRefused { code: REFUSED_NONSENSE, text: text.to_owned() }
}

fn not_now(text: &str) -> RequestRefused {
    RequestRefused { code: REFUSED_NOT_NOW, text: text.to_owned() }
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, RequestRefused> {
    codec::decode(body).map_err(|error| nonsense(&error.to_string()))
}

fn encode<T: serde::Serialize>(message: &T) -> Result<Bytes, RequestRefused> {
    codec::encode(message).map_err(|error| nonsense(&error.to_string()))
}
