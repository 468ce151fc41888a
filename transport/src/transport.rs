//! One node's end of the network: opening it, dialing, looking peers up, closing it.

use crate::accept::accept;
use crate::config::{Binding, Limits, TransportConfig};
use crate::datagram::Addresses;
use crate::dial::{Dialing, dial};
use crate::error::{DialError, OpenError};
use crate::handler::Handler;
use crate::hello::PeerInfo;
use crate::id::NodeId;
use crate::identity::Identity;
use crate::links::Links;
use crate::peer::{Peer, close_code};
use crate::shared::Shared;
use crate::socket::{CountingSocket, open_udp};
use crate::stats::{Counters, Stats};
use crate::tasks::{Tasks, TrackedRuntime};
use crate::tls::{Protocols, Tls};
use parking_lot::Mutex;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, NoneTokenStore, Runtime, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::time_provider::TimeProvider;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// One endpoint on one UDP port, with all its peers. Cheap to clone.
///
/// When the last clone is dropped, everything stops as with [`abort`](Self::abort); [`close`](Self::close) says goodbye first.
#[derive(Clone)]
pub struct Transport(Arc<Owner>);

/// Held by users only, never by tasks: its end is the transport's end.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// How long closing waits for goodbyes to be sent.
const GOODBYE: Duration = Duration::from_secs(2);

impl Transport {
    /// Opens the endpoint and begins to answer those who dial it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Nothing is left running.
    pub fn open(config: TransportConfig, handler: Arc<dyn Handler>) -> Result<Transport, OpenError> {
        config.limits.check()?;
        let (counters, addresses, tasks) = <(Arc<Counters>, Arc<Addresses>, Tasks)>::default();
        let bound = bind(&config.binding, config.limits.socket_buffer_bytes, &tasks)?;
        let protocols = Protocols::new(&config.cluster, config.protocol_version);
        let tls = Tls::new(&config.identity, protocols, bound.tls_time)?;
        let socket = CountingSocket::new(bound.socket, counters.clone(), addresses.clone())
            .map_err(OpenError::Socket)?;
        let port = socket.local_addr().map_err(OpenError::Socket)?.port();

        let streams = Arc::new(stream_config(&config.limits));
        let server = server_config(tls.server()?.0, &streams, &config);
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config(&config.identity),
            Some(server.clone()),
            socket.clone(),
            bound.runtime,
        )
        .map_err(OpenError::Socket)?;
        // The binding is not kept: it would hold the socket open after the transport's end.
        let own = config.info(port);
        let limits = config.limits;
        let shared = Arc::new(Shared {
            links: Links::new(own.node.clone(), limits.peers, limits.dial_timeout),
            handshakes: Arc::new(Semaphore::new(limits.handshakes_in_flight)),
            client: client_config(tls.client(), &streams),
            dialing: Dialing::default(),
            ended: CancellationToken::new(),
            handler: Mutex::new(Some(handler)),
            own,
            server,
            endpoint,
            socket,
            tls,
            addresses,
            counters,
            tasks,
            limits,
        });
        shared.tasks.spawn(accept(shared.clone()));
        Ok(Transport(Arc::new(Owner(shared))))
    }

    /// The peer at `addr`; dials it unless it is connected. Dials to one address wait for each other.
    ///
    /// # Errors
    /// Says who refused whom and why; nothing is left behind. Safe to drop half-way.
    pub async fn dial(&self, addr: SocketAddr) -> Result<Peer, DialError> {
        dial(self.shared(), addr).await
    }

    /// The open connection with `node`, if there is one.
    #[must_use]
    pub fn peer(&self, node: &NodeId) -> Option<Peer> {
        self.shared().links.get(node)
    }

    /// All open connections, by name.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.shared().links.all()
    }

    /// The open connection with the peer that is reached at `addr`, or that says it can be.
    #[must_use]
    pub fn peer_at(&self, addr: SocketAddr) -> Option<Peer> {
        self.shared().links.at(addr)
    }

    /// What this node tells its peers of itself, with the port that the socket got.
    #[must_use]
    pub fn info(&self) -> &PeerInfo {
        &self.shared().own
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// None in practice: it was read when the socket was opened.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared().socket.local_addr()
    }

    /// The counters, as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared().counters.snapshot(self.shared().links.len())
    }

    /// Closes every connection with a goodbye, then stops everything. Takes two seconds at most.
    ///
    /// The node hears of each disconnection, as far as there is time.
    pub async fn close(&self) {
        let shared = self.shared();
        shared.endpoint.set_server_config(None);
        for peer in shared.links.all() {
            peer.close_with(close_code::LEAVING, "the node is closing");
        }
        shared.endpoint.close(close_code::LEAVING, b"the node is closing");
        let _ = tokio::time::timeout(GOODBYE, shared.endpoint.wait_idle()).await;
        shared.end();
    }

    /// Stops everything at once, as a crash would: no task runs on, nothing is sent, the port is free.
    pub fn abort(&self) {
        self.shared().end();
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("own", &self.shared().own).finish_non_exhaustive()
    }
}

/// A binding, opened.
pub(crate) struct Bound {
    pub(crate) socket: Arc<dyn AsyncUdpSocket>,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// The system's, if there is none.
    pub(crate) tls_time: Option<Arc<dyn TimeProvider>>,
}

pub(crate) fn bind(binding: &Binding, buffer_bytes: usize, tasks: &Tasks) -> Result<Bound, OpenError> {
    let tracked = |inner| Arc::new(TrackedRuntime { inner, tasks: tasks.clone() });
    Ok(match binding {
        Binding::Udp(addr) => {
            let runtime = tracked(Arc::new(quinn::TokioRuntime));
            let socket = open_udp(*addr, buffer_bytes, &*runtime)?;
            Bound { socket, runtime, tls_time: None }
        }
        Binding::Custom { socket, runtime, tls_time, .. } => Bound {
            socket: socket.clone(),
            runtime: tracked(runtime.clone()),
            tls_time: Some(tls_time.clone()),
        },
    })
}

/// Connection ids and reset tokens are keyed by what survives a restart, so that a restarted node can tell its peers that
/// their old connections are gone, and they need not wait for the idle timeout.
fn endpoint_config(identity: &Identity) -> EndpointConfig {
    let secret = identity.reset_secret();
    let mut config = EndpointConfig::new(Arc::new(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret)));
    let key = secret.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config.supported_versions(vec![1]);
    // With the fixed bit always set, half of all noise can be told from QUIC by one bit.
    config.grease_quic_bit(false);
    config
}

fn server_config(
    tls: Arc<QuicServerConfig>,
    streams: &Arc<quinn::TransportConfig>,
    config: &TransportConfig,
) -> quinn::ServerConfig {
    let mut server = quinn::ServerConfig::with_crypto(tls);
    server.transport_config(streams.clone());
    // Nodes do not move; whoever comes from another address dials anew.
    server.migration(false);
    server.max_incoming(QUEUED_MAX);
    server.incoming_buffer_size(16 << 10);
    server.incoming_buffer_size_total(1 << 20);
    if let Binding::Custom { quinn_time, .. } = &config.binding {
        server.time_source(quinn_time.clone());
    }
    server
}

fn client_config(tls: Arc<QuicClientConfig>, streams: &Arc<quinn::TransportConfig>) -> quinn::ClientConfig {
    let mut client = quinn::ClientConfig::new(tls);
    client.transport_config(streams.clone());
    client.token_store(Arc::new(NoneTokenStore));
    client
}

/// Newcomers that nobody has looked at yet; quinn refuses more on its own, uncounted. Their places are judged when they are looked at.
const QUEUED_MAX: usize = 512;

/// Gossip streams that one peer may have open here: a few times what a peer of our own making opens.
const GOSSIP_STREAMS_MAX: u32 = 64;

fn stream_config(limits: &Limits) -> quinn::TransportConfig {
    let mut config = quinn::TransportConfig::default();
    let idle_ms = u32::try_from(limits.idle_timeout.as_millis()).unwrap_or(u32::MAX);
    config
        .max_idle_timeout(Some(VarInt::from_u32(idle_ms).into()))
        .keep_alive_interval(Some(limits.keep_alive))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_per_peer))
        .max_concurrent_uni_streams(VarInt::from_u32(GOSSIP_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(limits.window_bytes))
        .receive_window(VarInt::from_u32(limits.window_bytes.saturating_mul(2).min(1 << 30)))
        .send_window(u64::from(limits.window_bytes))
        .enable_segmentation_offload(true);
    config
}
