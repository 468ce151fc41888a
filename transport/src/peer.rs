//! A connected peer, as the node uses it: requests, gossip, channels.

use crate::codec;
use crate::config::Limits;
use crate::error::{FrameError, RequestError, RequestRefused, StreamError};
use crate::frame::{LAYOUT_VERSION, MAX_BODY_BYTES};
use crate::hello::{PeerInfo, plain};
use crate::id::NodeId;
use crate::stats::{Counters, Reason, add};
use crate::stream::{FrameReceiver, FrameSender, StreamKind};
use crate::tasks::Tasks;
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{Connection, VarInt};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Longest gossip message, in bytes.
pub const MAX_GOSSIP_BYTES: usize = 128 << 10;

/// One connection with a peer. Cheap to clone; a clone keeps nothing open that was closed.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    info: PeerInfo,
    connection: Connection,
    protocol_version: u16,
    dialed: bool,
    since: Instant,
    gossip_streams: Arc<Semaphore>,
    limits: Limits,
    counters: Arc<Counters>,
    tasks: Tasks,
}

/// What the two frames of a reply are.
pub(crate) const REPLY_OK: u8 = 0;
pub(crate) const REPLY_REFUSED: u8 = 1;

/// Codes with which one end closes a connection.
pub(crate) mod close_code {
    use quinn::VarInt;

    pub(crate) const LEAVING: VarInt = VarInt::from_u32(0);
    pub(crate) const REFUSED: VarInt = VarInt::from_u32(1);
    pub(crate) const REPLACED: VarInt = VarInt::from_u32(2);
    pub(crate) const DUPLICATE: VarInt = VarInt::from_u32(3);
    pub(crate) const BY_NODE: VarInt = VarInt::from_u32(4);
}

impl Peer {
    /// Who it is.
    #[must_use]
    pub fn info(&self) -> &PeerInfo {
        &self.0.info
    }

    /// Its name.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.info.node
    }

    /// The address that this connection really goes to.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        crate::datagram::canonical(self.0.connection.remote_address())
    }

    /// The protocol version that both ends speak on this connection.
    #[must_use]
    pub fn protocol_version(&self) -> u16 {
        self.0.protocol_version
    }

    /// The round trip time as QUIC estimates it.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.0.connection.rtt()
    }

    /// Whether the connection stands, as far as this end knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.connection.close_reason().is_none()
    }

    /// Closes the connection. The other end learns `reason`; what is under way on it is lost.
    pub fn close(&self, reason: &str) {
        self.close_with(close_code::BY_NODE, reason);
    }

    /// Sends a request and waits for the reply, `timeout` at most.
    ///
    /// # Errors
    /// [`RequestError::may_have_run`] says whether the peer may have acted on it. Dropped half-way it leaves nothing behind
    /// here; the peer serves it to its end if it has arrived whole.
    pub async fn request(&self, kind: u8, body: Bytes, timeout: Duration) -> Result<Bytes, RequestError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(RequestError::TooLarge { bytes: body.len(), limit: MAX_BODY_BYTES });
        }
        let mut sent = false;
        match tokio::time::timeout(timeout, self.exchange(kind, body, &mut sent)).await {
            Err(_) => Err(RequestError::Timeout { sent }),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(StreamError::Frame(error))) => Err(RequestError::BadReply(error.to_string())),
            Ok(Err(error)) => Err(RequestError::Closed { sent, reason: error.to_string() }),
        }
    }

    async fn exchange(
        &self,
        kind: u8,
        body: Bytes,
        sent: &mut bool,
    ) -> Result<Result<Bytes, RequestError>, StreamError> {
        let (tx, rx) = self.0.connection.open_bi().await?;
        *sent = true;
        add(&self.0.counters.requests_out, 1);
        let mut tx = FrameSender::new(tx);
        let mut rx = self.receiver(rx);
        // A peer that refuses without reading to the end stops the stream and still replies.
        match tx.begin(StreamKind::Request, Some((kind, body))).await {
            Ok(()) => tx.finish(),
            Err(StreamError::Reset { .. }) => drop(tx),
            Err(error) => return Err(error),
        }
        Ok(match rx.recv().await? {
            Some(reply) if reply.kind == REPLY_OK => Ok(reply.body),
            Some(reply) if reply.kind == REPLY_REFUSED => {
                match codec::decode::<RequestRefused>(&reply.body) {
                    Ok(refused) => Err(RequestError::Refused(RequestRefused {
                        code: refused.code,
                        text: plain(&refused.text),
                    })),
                    Err(error) => Err(RequestError::BadReply(error.to_string())),
                }
            }
            Some(reply) => Err(RequestError::BadReply(format!("kind {} is unknown", reply.kind))),
            None => Err(RequestError::BadReply("it is missing".to_owned())),
        })
    }

    /// Sends a gossip message of at most [`MAX_GOSSIP_BYTES`]: as a datagram when it fits, else on a stream of its own.
    ///
    /// Never waits, and promises nothing: a message may be lost, on the way or here when too many are under way.
    pub fn gossip(&self, body: Bytes) {
        let inner = &self.0;
        if body.len() > MAX_GOSSIP_BYTES {
            let why =
                format!("a gossip message of {} bytes is over the limit of {MAX_GOSSIP_BYTES}", body.len());
            inner.counters.refuse(Reason::GossipOverflow, inner.info.addr, &why);
            return;
        }
        if inner.connection.max_datagram_size().is_some_and(|most| body.len() < most) {
            let mut datagram = BytesMut::with_capacity(body.len() + 1);
            datagram.put_u8(LAYOUT_VERSION);
            datagram.extend_from_slice(&body);
            // Fails when the connection has just ended or its path has just shrunk: a loss like any other.
            if inner.connection.send_datagram(datagram.freeze()).is_ok() {
                add(&inner.counters.gossip_datagrams_out, 1);
            }
            return;
        }
        let Ok(permit) = inner.gossip_streams.clone().try_acquire_owned() else {
            inner.counters.refuse(Reason::GossipOverflow, inner.info.addr, "the peer is slow to take gossip");
            return;
        };
        add(&inner.counters.gossip_streams_out, 1);
        let connection = inner.connection.clone();
        let timeout = inner.limits.read_timeout;
        inner.tasks.spawn(async move {
            let _permit = permit;
            let sending = async {
                let mut tx = FrameSender::new(connection.open_uni().await?);
                tx.begin(StreamKind::Gossip, Some((0, body))).await?;
                // Not before it has arrived: what merely waits in the send buffer would be without bound.
                tx.finish_and_arrive().await;
                Ok::<(), StreamError>(())
            };
            // Lost gossip is nobody's concern: the next round says the same again.
            let _ = tokio::time::timeout(timeout, sending).await;
        });
    }

    /// Opens a channel: a long-lived stream of frames each way. The peer's node gets it through [`Handler::channel`](crate::Handler::channel).
    ///
    /// Waits while the peer has as many of our streams open as it allows.
    ///
    /// # Errors
    /// [`StreamError::Closed`] when the connection is over.
    pub async fn open_channel(&self) -> Result<(FrameSender, FrameReceiver), StreamError> {
        let (tx, rx) = self.0.connection.open_bi().await?;
        let mut tx = FrameSender::new(tx);
        // The peer learns of a stream only by what is sent on it.
        tx.begin(StreamKind::Channel, None).await?;
        Ok((tx, self.receiver(rx)))
    }

    fn receiver(&self, stream: quinn::RecvStream) -> FrameReceiver {
        FrameReceiver::new(stream, MAX_BODY_BYTES, Some(self.0.counters.clone()), self.0.info.addr)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(crate) fn close_with(&self, code: VarInt, reason: &str) {
        self.0.connection.close(code, plain(reason).as_bytes());
    }

    /// Whether this end dialed.
    pub(crate) fn dialed(&self) -> bool {
        self.0.dialed
    }

    pub(crate) fn since(&self) -> Instant {
        self.0.since
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn new(
        info: PeerInfo,
        connection: Connection,
        protocol_version: u16,
        dialed: bool,
        limits: &Limits,
        counters: &Arc<Counters>,
        tasks: &Tasks,
    ) -> Peer {
        Peer(Arc::new(Inner {
            info,
            connection,
            protocol_version,
            dialed,
            since: Instant::now(),
            gossip_streams: Arc::new(Semaphore::new(limits.gossip_streams)),
            limits: limits.clone(),
            counters: counters.clone(),
            tasks: tasks.clone(),
        }))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("info", &self.0.info)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// The gossip message in a datagram.
pub(crate) fn gossip_body(mut datagram: Bytes) -> Result<Bytes, FrameError> {
    match datagram.first() {
        Some(&LAYOUT_VERSION) => Ok(datagram.split_off(1)),
        Some(&version) => Err(FrameError::Version(version)),
        None => Err(FrameError::Truncated),
    }
}
