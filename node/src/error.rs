//! Errors of the node, as doors and embedding services see them.

use std::net::SocketAddr;

use rumour_crdt::Kind;
use rumour_transport::NodeId;

/// Why a write was not done. The state is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The node has not yet heard the clocks of its peers or is still filling itself; try again soon.
    #[error("this node is still joining its cluster; try again in a moment")]
    Joining,
    /// The key is longer than [`KEY_BYTES_LIMIT`](crate::KEY_BYTES_LIMIT).
    #[error("the key has {bytes} bytes, and {limit} is the limit")]
    KeyTooLarge {
        /// Length of the key that was refused.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The name of an element is longer than [`KEY_BYTES_LIMIT`](crate::KEY_BYTES_LIMIT).
    #[error("the name of the element has {bytes} bytes, and {limit} is the limit")]
    NameTooLarge {
        /// Length of the name that was refused.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The value is longer than [`VALUE_BYTES_LIMIT`](crate::VALUE_BYTES_LIMIT).
    #[error("the value has {bytes} bytes, and {limit} is the limit; split it over several keys")]
    ValueTooLarge {
        /// Length of the value that was refused.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The key holds another type of value.
    #[error("the key does not hold a {wanted}")]
    WrongType {
        /// The type that was asked for.
        wanted: Kind,
    },
    /// The value is not a whole number in 64 bits, so nothing can be added to it.
    #[error("the value is not an integer or out of range")]
    NotAnInteger,
    /// The value is not a number, so nothing can be added to it.
    #[error("the value is not a number")]
    NotANumber,
    /// The sum would not fit in 64 bits.
    #[error("the number would overflow")]
    Overflow,
    /// The sum would not be a number.
    #[error("the number would become infinite")]
    NotFinite,
    /// The node is leaving or has stopped; use another node.
    #[error("this node is shutting down; use another one")]
    Closed,
}

/// Why a node did not start, or stopped by itself.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A setting does not make sense.
    #[error("{0}")]
    Config(String),
    /// No cluster key and no certificates were given.
    #[error("no cluster key: make one with `rumour keygen > cluster.key` and give it to every node")]
    NoIdentity,
    /// The peer port could not be opened, or the certificates could not be used.
    #[error("{0}")]
    Transport(String),
    /// Another living node has this name; this one has stopped.
    #[error(
        "the name {name} is taken by a living node at {addr}: give this node another name, or stop that one"
    )]
    NameTaken {
        /// The name in question.
        name: NodeId,
        /// Where the other node is.
        addr: SocketAddr,
    },
    /// Gossip ended, which only a bug can cause; this node has stopped.
    #[error("gossip has stopped: {0}")]
    Gossip(String),
    /// The node left, but this many of its latest writes were not acknowledged by any peer in time.
    #[error(
        "left with {keys} keys that no peer had acknowledged: they are lost if this node was the only one to have them"
    )]
    Unacknowledged {
        /// Keys still queued for the peer that was furthest behind.
        keys: usize,
    },
    /// The node was stopped while somebody waited for it.
    #[error("the node has stopped")]
    Stopped,
}
