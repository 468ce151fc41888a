//! What can go wrong, one enum for each thing a caller does.

use crate::hello::{PeerInfo, Refusal};
use crate::id::NodeId;
use std::net::SocketAddr;

/// A cluster key could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no key. The text itself is not repeated: it may be one with a typing error.
    #[error(
        "not a cluster key: expected one line, `rumour-key-` and 64 hexadecimal digits; make one with `rumour keygen`"
    )]
    NotAKey,
    /// The operating system has no random numbers to give.
    #[error("the operating system gave no random numbers: try again")]
    NoRandomness,
}

/// An identity could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The certificate file holds no readable certificate.
    #[error("the certificate file holds no certificate: give a PEM file that begins with the node's own")]
    Certificate,
    /// The CA file holds no usable certificate.
    #[error("the CA file holds no usable certificate: give a PEM file with the authorities to trust")]
    Authority,
    /// The key file holds no private key that can be used.
    #[error(
        "the key file holds no usable private key: give an unencrypted PEM file, best an Ed25519 key in PKCS #8"
    )]
    PrivateKey,
    /// The key is not the one that the certificate was made for.
    #[error("the private key does not belong to the certificate: give the pair that was issued together")]
    KeyMismatch,
    /// The certificate names another node, or none.
    #[error("the certificate names {} first and not this node: issue one whose first DNS name is {node}", .named.as_ref().map_or("no node", NodeId::as_str))]
    OtherName {
        /// The node that is to use it.
        node: NodeId,
        /// What its first DNS name says, if that can name a node.
        named: Option<NodeId>,
    },
    /// A certificate could not be issued.
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
    /// The TLS library turned the material down.
    #[error("the certificate, key and CA cannot be used together: {0}")]
    Unusable(String),
}

/// The transport could not be opened. Nothing was left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The UDP port cannot be had.
    #[error("cannot listen on UDP {addr}: {source}; choose another address or stop what holds it")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The socket works, but not for QUIC.
    #[error("cannot use the UDP socket: {0}")]
    Socket(#[source] std::io::Error),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A limit is out of its range.
    #[error("{0}")]
    Limits(&'static str),
}

/// A peer could not be reached or would not have us. No connection is left behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The address leads back to this very node: leave it out of the seeds.
    #[error("that address is this node itself")]
    Myself,
    /// The peer answered and refused; its reason is inside.
    #[error("the peer refused: {0}")]
    Refused(Refusal),
    /// Another running node bears this node's name.
    #[error("node {} at {} (started at {} ms) bears the same name as this one: rename one of them", .0.node, .0.addr, .0.started_ms)]
    SameName(PeerInfo),
    /// Nobody answered in time.
    #[error("no answer in time: check the address, and that UDP passes")]
    Timeout,
    /// The peer's certificate comes from no authority that this node trusts.
    #[error("the peer belongs to another cluster (its certificate is not ours): check the cluster key or CA")]
    UnknownCertificate,
    /// The peer does not trust this node's certificate.
    #[error("the peer does not accept this node's certificate: check the cluster key or CA")]
    NotTrusted,
    /// The peer speaks no protocol of ours: another cluster name or protocol version.
    #[error("the peer has another cluster name or speaks another protocol version")]
    WrongProtocol,
    /// The peer says it is someone else than its certificate names.
    #[error("the peer calls itself {claimed} but its certificate is for {}", .certified.as_ref().map_or("no node", NodeId::as_str))]
    NameMismatch {
        /// What it said.
        claimed: String,
        /// What its certificate says, if that can name a node.
        certified: Option<NodeId>,
    },
    /// The peer's first words made no sense.
    #[error("the peer's greeting cannot be read: {0}")]
    BadHello(String),
    /// The address cannot be dialed from this socket.
    #[error("that address cannot be dialed: {0}")]
    Address(String),
    /// The connection broke before the greeting was over.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// This transport holds as many peers as it may.
    #[error("this node has as many peers as it may")]
    Full,
    /// This transport was closed.
    #[error("this transport is closed")]
    Closed,
}

/// A request brought no reply. [`RequestError::may_have_run`] tells whether the peer may have acted on it all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No reply in time.
    #[error("no reply in time")]
    Timeout {
        /// Whether anything of the request had been given to the connection.
        sent: bool,
    },
    /// The connection ended before a reply came.
    #[error("the connection ended: {reason}")]
    Closed {
        /// Whether anything of the request had been given to the connection.
        sent: bool,
        /// Why it ended.
        reason: String,
    },
    /// The peer's node turned the request down; what that did to its state is for its text to say.
    #[error("refused: {0}")]
    Refused(RequestRefused),
    /// The request is larger than a frame may be; nothing was sent.
    #[error("a request of {bytes} bytes is over the limit of {limit}: split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The peer answered with something that is no reply.
    #[error("the reply cannot be read: {0}")]
    BadReply(String),
}

impl RequestError {
    /// Whether the peer may have acted on the request: if not, it is safe to send it elsewhere.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            RequestError::Timeout { sent } | RequestError::Closed { sent, .. } => *sent,
            RequestError::Refused(_) | RequestError::TooLarge { .. } => false,
            RequestError::BadReply(_) => true,
        }
    }
}

/// A node's answer to a request that it will not serve.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{text} (code {code})")]
pub struct RequestRefused {
    /// Meaning is up to the node.
    pub code: u16,
    /// For people; cut to 512 bytes on the way.
    pub text: String,
}

/// A stream of frames ended otherwise than by its sender's will. It is of no further use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// What arrived, or was to be sent, is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other end broke the stream off.
    #[error("the peer broke the stream off (code {code})")]
    Reset {
        /// The other end's code.
        code: u64,
    },
    /// An earlier send was given up half-way; nothing can follow it.
    #[error("an earlier frame was left unfinished")]
    Unfinished,
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Closed(String),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is over the limit; nothing was allocated for it.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// The length it claims.
        bytes: usize,
        /// The limit that holds here.
        limit: usize,
    },
    /// The layout is one this version does not know.
    #[error("frame layout {0} is unknown")]
    Version(u8),
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// The stream begins with a mark that stands for nothing.
    #[error("stream kind {0} is unknown")]
    StreamKind(u8),
}
