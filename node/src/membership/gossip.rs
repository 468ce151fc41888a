//! chitchat inside our own connections: its messages travel as the transport's gossip, so that only peers with
//! a certificate of the cluster take part.
//!
//! chitchat checks little of what it decodes, and a small message can expand a thousandfold, so messages are
//! measured here before it sees them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatId, ChitchatMessage, Deserializable, FailureDetectorConfig,
    Serializable,
};
use parking_lot::Mutex;
use rumour_transport::{NodeId, PeerInfo};
use tokio::sync::mpsc;

use super::view::{Reported, Seen};
use crate::counters::Counters;

/// Compressed blocks in one message at most. Each expands to 64 KiB at most; honest ones hold 16 KiB.
const BLOCKS_LIMIT: usize = 16;

/// Mean heartbeat intervals of silence, roughly, after which a node counts as dead.
const PHI_THRESHOLD: f64 = 5.0;

/// How long gossip remembers an incarnation after its death.
const DEAD_INCARNATION_KEPT: Duration = Duration::from_secs(600);

const KEY_STATE: &str = "state";
const KEY_STARTED: &str = "started";

/// Sends a gossip message to the peer at an address; must not block and may lose it.
pub(crate) type SendGossip = Arc<dyn Fn(SocketAddr, Bytes) + Send + Sync>;

/// The facts that a node gossips about itself.
pub(crate) fn facts(reported: Reported, started_ms: u64) -> Vec<(String, String)> {
    let state = match reported {
        Reported::Joining => "joining",
        Reported::Ready => "ready",
        Reported::Leaving => "leaving",
    };
    vec![(KEY_STATE.into(), state.into()), (KEY_STARTED.into(), started_ms.to_string())]
}

/// chitchat's settings. It gets no seeds: dialing them is ours, and it gossips with whom we are connected to.
pub(crate) fn gossip_config(me: &PeerInfo, cluster: &str, interval: Duration) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: ChitchatId::new(me.node.to_string(), me.incarnation, me.addr),
        cluster_id: cluster.to_owned(),
        gossip_interval: interval,
        listen_addr: me.addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            initial_interval: interval * 2,
            // Mistakes are cheap here, since a suspect is neither removed nor passed over; slowness is what users see.
            phi_threshold: PHI_THRESHOLD,
            // Each start of a node is a name of its own here: the dead ones must not pile up in the digest.
            dead_node_grace_period: DEAD_INCARNATION_KEPT,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: Duration::from_secs(3600),
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

/// What gossip shows of every node, this one included. Nodes whose names or facts make no sense are left out.
pub(crate) fn read_members(chitchat: &Chitchat) -> Vec<Seen> {
    let alive: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
    let mut seen = Vec::new();
    for (id, state) in chitchat.node_states() {
        let Ok(node) = id.node_id.parse::<NodeId>() else { continue };
        let reported = match state.get(KEY_STATE) {
            Some("ready") => Reported::Ready,
            Some("leaving") => Reported::Leaving,
            _ => Reported::Joining,
        };
        let started_ms = state.get(KEY_STARTED).and_then(|text| text.parse().ok()).unwrap_or(0);
        let info =
            PeerInfo { node, incarnation: id.generation_id, started_ms, addr: id.gossip_advertise_addr };
        seen.push(Seen { info, alive: alive.contains(id), reported });
    }
    seen
}

/// chitchat's way in and out.
pub(crate) struct GossipTransport {
    parts: Mutex<Option<GossipSocket>>,
}

struct GossipSocket {
    send: SendGossip,
    incoming: mpsc::Receiver<(SocketAddr, Bytes)>,
    counters: Arc<Counters>,
}

impl GossipTransport {
    pub(crate) fn new(
        send: SendGossip,
        incoming: mpsc::Receiver<(SocketAddr, Bytes)>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { parts: Mutex::new(Some(GossipSocket { send, incoming, counters })) }
    }
}

#[async_trait]
impl Transport for GossipTransport {
    async fn open(&self, _listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let socket = self.parts.lock().take().ok_or_else(|| anyhow::anyhow!("gossip is open already"))?;
        Ok(Box::new(socket))
    }
}

#[async_trait]
impl Socket for GossipSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        (self.send)(to, message.serialize_to_vec().into());
        Ok(())
    }

    /// Fails only when the node stops: an error here ends gossip for good.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let (from, body) =
                self.incoming.recv().await.ok_or_else(|| anyhow::anyhow!("the node has stopped"))?;
            match measure(&body).and_then(|()| ChitchatMessage::deserialize(&mut &body[..])) {
                Ok(message) => return Ok((from, message)),
                Err(error) => {
                    self.counters.refused_messages.add(1);
                    tracing::debug!(%from, %error, "refused a gossip message");
                }
            }
        }
    }
}

/// Bytes before the message type: magic number and version.
const HEAD_BYTES: usize = 3;
const TYPE_SYN_ACK: u8 = 1;
const TYPE_ACK: u8 = 2;
const BLOCK_END: u8 = 0;

/// Walks a message without expanding it and refuses more compressed blocks than an honest node would send.
fn measure(message: &[u8]) -> anyhow::Result<()> {
    let Some((head, mut rest)) = message.split_at_checked(HEAD_BYTES + 1) else { anyhow::bail!("too short") };
    match head[HEAD_BYTES] {
        TYPE_SYN_ACK => skip_digest(&mut rest)?,
        TYPE_ACK => {}
        _ => return Ok(()),
    }
    for _ in 0..BLOCKS_LIMIT {
        if u8::deserialize(&mut rest)? == BLOCK_END {
            return Ok(());
        }
        let length = usize::from(u16::deserialize(&mut rest)?);
        rest = rest.get(length..).ok_or_else(|| anyhow::anyhow!("a block is cut short"))?;
    }
    anyhow::bail!("more than {BLOCKS_LIMIT} blocks")
}

fn skip_digest(rest: &mut &[u8]) -> anyhow::Result<()> {
    for _ in 0..u16::deserialize(rest)? {
        ChitchatId::deserialize(rest)?;
        for _heartbeat_and_versions in 0..3 {
            u64::deserialize(rest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that holds `blocks` compressed blocks.
    fn ack(blocks: usize) -> Vec<u8> {
        let mut message = vec![0x53, 0xB0, 0, TYPE_ACK];
        for _ in 0..blocks {
            message.extend([1, 4, 0, 9, 9, 9, 9]);
        }
        message.push(BLOCK_END);
        message
    }

    #[test]
    fn messages_that_would_expand_without_bound_are_refused_unread() {
        assert!(measure(&ack(0)).is_ok());
        assert!(measure(&ack(BLOCKS_LIMIT - 1)).is_ok());
        assert!(measure(&ack(BLOCKS_LIMIT)).is_err());
        assert!(measure(&ack(5000)).is_err());
        assert!(measure(&ack(3)[..12]).is_err());
        assert!(measure(&[]).is_err());
    }

    #[test]
    fn a_real_exchange_passes() {
        let me = |name: &str, port| PeerInfo {
            node: name.parse().expect("a name"),
            incarnation: 7,
            started_ms: 1,
            addr: SocketAddr::from(([10, 0, 0, 1], port)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (to_b, from_a) = mpsc::channel(16);
            let (to_a, from_b) = mpsc::channel(16);
            let (a, b) = (me("a", 1), me("b", 2));
            let mut handles = Vec::new();
            for (me, peer, out, incoming) in [(&a, &b, to_b, from_b), (&b, &a, to_a, from_a)] {
                let from = me.addr;
                let send: SendGossip = Arc::new(move |_to, body: Bytes| {
                    measure(&body).expect("honest messages pass");
                    let _ = out.try_send((from, body));
                });
                let transport = GossipTransport::new(send, incoming, Arc::default());
                let config = gossip_config(me, "test", Duration::from_millis(20));
                let facts = facts(Reported::Ready, me.started_ms);
                let handle =
                    chitchat::spawn_chitchat(config, facts, &transport).await.expect("gossip starts");
                handle.gossip(peer.addr).expect("gossip runs");
                handles.push(handle);
            }
            let ready = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let seen = handles[0].with_chitchat(|chitchat| read_members(chitchat)).await;
                    if seen
                        .iter()
                        .any(|seen| seen.info == b && seen.alive && seen.reported == Reported::Ready)
                    {
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ready).await.expect("a sees b alive and ready");
        });
    }
}
