//! QUIC between rumour peers.
//!
//! What lives here: who a node is ([`Identity`]), one endpoint on one UDP port ([`Transport`]), and what passes on a connection
//! ([`Peer`]): gossip, requests, channels of frames. What never will: any notion of keys, values or membership. Bodies are
//! opaque, and whether a peer is welcome is for the node to say ([`Handler`]).
//!
//! Both ends prove themselves by certificates, from a shared [`ClusterKey`] or from an operator's own CA. There is one
//! connection for each pair of nodes, whoever dialed. Everything that arrives is bounded in size, number and time before it
//! is looked at, and whatever is turned away is counted by reason ([`Stats`]).
//!
//! All time is tokio's and all tasks are tokio's, so the same code runs on a paused clock over a simulated socket
//! ([`Binding::Custom`]).

mod accept;
pub mod codec;
mod config;
mod connection;
#[cfg(feature = "contract")]
pub mod contract;
mod datagram;
mod dial;
mod error;
mod frame;
mod handler;
mod hello;
mod id;
mod identity;
mod key;
mod links;
mod peer;
mod refusal;
mod shared;
mod socket;
mod stats;
mod stream;
mod tasks;
mod tls;
mod transport;

pub use config::{Binding, Limits, TransportConfig};
pub use error::{
    DialError, FrameError, IdentityError, KeyError, OpenError, RequestError, RequestRefused, StreamError,
};
pub use frame::{Frame, HEADER_BYTES, MAX_BODY_BYTES};
pub use handler::{BoxFuture, Handler};
pub use hello::{PeerInfo, Refusal, RefusalCode};
pub use id::{ClusterName, NameError, NodeId};
pub use identity::Identity;
pub use key::ClusterKey;
pub use peer::{MAX_GOSSIP_BYTES, Peer};
pub use stats::{Refused, Stats};
pub use stream::{FrameReceiver, FrameSender};
pub use tls::PROTOCOL_VERSION;
pub use transport::Transport;
