//! What a transport is opened with.

use crate::error::OpenError;
use crate::hello::PeerInfo;
use crate::id::ClusterName;
use crate::identity::Identity;
use crate::tls::PROTOCOL_VERSION;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everything a transport needs to know before it opens.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Who this node is.
    pub identity: Identity,
    /// The cluster it belongs to; nodes of other clusters are refused even if they have the key.
    pub cluster: ClusterName,
    /// This start of the node; never to be used twice.
    pub incarnation: u64,
    /// When the node started by its own clock, in milliseconds since 1970.
    pub started_ms: u64,
    /// Where peers can dial this node. Port 0 stands for the port that the socket gets.
    pub advertise: SocketAddr,
    /// What the transport runs on.
    pub binding: Binding,
    /// Bounds of everything.
    pub limits: Limits,
    /// The protocol version to speak, [`PROTOCOL_VERSION`] unless a test plays an older or newer node.
    pub protocol_version: u16,
}

impl TransportConfig {
    /// A configuration with the default limits and the current protocol version.
    #[must_use]
    pub fn new(identity: Identity, cluster: ClusterName, advertise: SocketAddr, binding: Binding) -> Self {
        TransportConfig {
            identity,
            cluster,
            incarnation: 0,
            started_ms: 0,
            advertise,
            binding,
            limits: Limits::default(),
            protocol_version: PROTOCOL_VERSION,
        }
    }

    /// The same for one start of the node: its incarnation and the time of the start.
    #[must_use]
    pub fn started(mut self, incarnation: u64, started_ms: u64) -> Self {
        self.incarnation = incarnation;
        self.started_ms = started_ms;
        self
    }

    pub(crate) fn info(&self, port: u16) -> PeerInfo {
        let mut addr = self.advertise;
        if addr.port() == 0 {
            addr.set_port(port);
        }
        let node = self.identity.node().clone();
        PeerInfo { node, incarnation: self.incarnation, started_ms: self.started_ms, addr }
    }
}

/// What carries the datagrams and moves the time.
#[derive(Clone)]
pub enum Binding {
    /// A UDP socket on this address, and the system's clock.
    Udp(SocketAddr),
    /// Any socket, runtime and clocks: where a simulator comes in.
    Custom {
        /// Carries the datagrams.
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        /// Timers and the present time. Its `spawn` is not used: tasks go to tokio, where the transport can end them.
        runtime: Arc<dyn quinn::Runtime>,
        /// The time by which certificates are judged.
        tls_time: Arc<dyn rustls::time_provider::TimeProvider>,
        /// The time by which quinn judges address validation tokens.
        quinn_time: Arc<dyn quinn::TimeSource>,
    },
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Binding::Udp(addr) => f.debug_tuple("Udp").field(addr).finish(),
            Binding::Custom { socket, .. } => {
                f.debug_struct("Custom").field("socket", socket).finish_non_exhaustive()
            }
        }
    }
}

/// Bounds in time, memory and number. The defaults suit servers of one cluster in one or a few data centres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a dial may take, the peer's decision to admit included. Default 5 s.
    pub dial_timeout: Duration,
    /// How long a handshake that others began may take, this node's decision included. Default 5 s.
    pub handshake_timeout: Duration,
    /// A connection on which nothing arrived for this long is over. Default 10 s; at most one day.
    pub idle_timeout: Duration,
    /// An idle connection is kept alive this often; well below `idle_timeout`. Default 3 s.
    pub keep_alive: Duration,
    /// How long a request or gossip message may take to arrive once it has begun. Default 30 s.
    pub read_timeout: Duration,
    /// Handshakes that others began and that are not over; more are put off. Default 64.
    pub handshakes_in_flight: usize,
    /// Connected peers; more are refused. Default 1024.
    pub peers: usize,
    /// Requests and channels that one peer may have open here. Default 1024.
    pub streams_per_peer: u32,
    /// Channels that one peer may have open here. Default 8.
    pub channels_per_peer: usize,
    /// Bytes of requests of one peer that are arriving or being served. At least one frame; default 64 MiB.
    pub request_bytes_per_peer: usize,
    /// Gossip messages too long for a datagram that may be on their way to one peer; more are dropped. Default 4.
    pub gossip_streams: usize,
    /// Bytes in flight on one stream, and unsent on one connection; twice that on all streams of one connection. Default 8 MiB.
    pub window_bytes: u32,
    /// Kernel buffer of the UDP socket, each way. Default 4 MB.
    pub socket_buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            dial_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            read_timeout: Duration::from_secs(30),
            handshakes_in_flight: 64,
            peers: 1024,
            streams_per_peer: 1024,
            channels_per_peer: 8,
            request_bytes_per_peer: 64 << 20,
            gossip_streams: 4,
            window_bytes: 8 << 20,
            socket_buffer_bytes: 4_000_000,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let limits = |text| Err(OpenError::Limits(text));
        if self.idle_timeout.is_zero() || self.idle_timeout > Duration::from_secs(86_400) {
            return limits("idle_timeout must be above 0 and at most one day");
        }
        if self.keep_alive >= self.idle_timeout {
            return limits("keep_alive must be below idle_timeout");
        }
        if self.request_bytes_per_peer < crate::frame::MAX_BODY_BYTES || self.request_bytes_per_peer > 1 << 31
        {
            return limits("request_bytes_per_peer must be between 16 MiB and 2 GiB");
        }
        if self.window_bytes < 64 << 10 || self.window_bytes > 1 << 30 {
            return limits("window_bytes must be between 64 KiB and 1 GiB");
        }
        if self.handshakes_in_flight == 0 || self.peers == 0 || self.streams_per_peer == 0 {
            return limits("handshakes_in_flight, peers and streams_per_peer must be above 0");
        }
        Ok(())
    }
}
