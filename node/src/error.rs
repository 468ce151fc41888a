//! Errors of the node, as doors and embedding services see them.

use std::net::SocketAddr;

use rumour_crdt::Kind;
use rumour_transport::NodeId;

use crate::consistency::{Consistency, Tally};
use crate::membership::MemberState;

/// Why others may not rely on a node yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It does not serve.
    #[error(transparent)]
    NotServing(#[from] WriteError),
    /// A majority of the cluster has not taken this start of it in.
    #[error("this node is no member of the cluster yet: a majority of the members has to take it in")]
    NoMember,
    /// It does not hold yet all that others acknowledged before it was a member.
    #[error("this node is catching up with the other members: it counts for no quorum yet")]
    CatchingUp,
    /// It knows of no cluster.
    #[error(
        "this node knows of no cluster: no seed answers that belongs to one; start the first node without seeds, \
         or all of them with --bootstrap-expect"
    )]
    NoCluster,
}

/// Why a member is not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// It is this node itself.
    #[error("this node cannot forget itself; stop it instead, and it leaves in good order")]
    Myself,
    /// It may be alive.
    #[error(
        "{node} is {state}, and only what is down can be forgotten; stop it first, and it leaves by itself"
    )]
    Alive {
        /// Its name.
        node: NodeId,
        /// Its state.
        state: MemberState,
    },
    /// No such member is known.
    #[error("{0} is no member that this node knows of; `rumour status` lists them")]
    Unknown(NodeId),
    /// This node has stopped.
    #[error("this node has stopped")]
    Stopped,
}

/// Why a write was not done. The state is as before, unless a variant says otherwise.
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
    /// The key would hold more than [`PAYLOAD_BYTES_LIMIT`](crate::PAYLOAD_BYTES_LIMIT); removing some of it is possible.
    #[error(
        "the key would take {bytes} bytes with this, and {limit} is the limit; remove some of it or use several keys"
    )]
    KeyFull {
        /// What the key would take in memory.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The node's memory is used up and its policy lets nothing go; delete something, or give it more (`--max-memory`).
    #[error("command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// The value was evicted here, and some peer that may still hold it does not answer: to change it now might undo what others
    /// contributed. To set it or to delete it works all the same.
    #[error(
        "the value was evicted here and not every peer that may hold it answers; try again, or set the key anew"
    )]
    Evicted,
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
    /// This node's clock is off its peers' by more than [`max_clock_skew`](crate::Tuning::max_clock_skew): it takes writes
    /// again by itself once that is no longer so. Reads go on.
    #[error("{}", clock_fault(*off_ms, *limit_ms, *peers))]
    ClockFault {
        /// How far the clock is ahead of the median of its peers' clocks, in milliseconds; behind it if negative.
        off_ms: i64,
        /// How far it may be off, in milliseconds.
        limit_ms: u64,
        /// How many peers' clocks were compared with.
        peers: usize,
    },
    /// This node wrote while its clock was wrong and nobody could tell; what it writes now would be refused by its peers
    /// for lying in their future. It takes writes again by itself once their clocks get there.
    #[error(
        "this node's latest stamps lie {ahead_ms} ms in its peers' future ({limit_ms} ms is the limit), left from when its clock \
         was wrong: it takes writes again once their clocks get there; use another node until then"
    )]
    StampsAhead {
        /// How far ahead of its peers' clocks its latest stamp lies, in milliseconds.
        ahead_ms: u64,
        /// How far it may, in milliseconds.
        limit_ms: u64,
    },
    /// Too few owners answered in time, before anything was written.
    #[error("{level} was not reached: {tally}; nothing was written")]
    NoQuorum {
        /// What was asked for.
        level: Consistency,
        /// How many answered.
        tally: Tally,
    },
    /// Too few owners acknowledged a write in time. It stays, and may reach the others all the same.
    #[error("{level} was not reached: {tally}; the write may take effect all the same")]
    Unconfirmed {
        /// What was asked for.
        level: Consistency,
        /// How many acknowledged it.
        tally: Tally,
    },
    /// The node is leaving or has stopped; use another node.
    #[error("this node is shutting down; use another one")]
    Closed,
}

fn clock_fault(off_ms: i64, limit_ms: u64, peers: usize) -> String {
    let by = off_ms.unsigned_abs();
    let side = if off_ms > 0 { "ahead of" } else { "behind" };
    if peers == 1 {
        return format!(
            "this node's clock is {by} ms {side} its only peer's ({limit_ms} ms is the limit), and nobody can tell which of the two is \
             wrong, so neither takes writes: set both clocks right (NTP)"
        );
    }
    format!(
        "this node's clock is {by} ms {side} the median of its {peers} peers' clocks ({limit_ms} ms is the limit): set it right (NTP), \
         writes are taken again then; use another node until then"
    )
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
    /// An operator had the cluster forget this node while it was out of sight.
    #[error(
        "the cluster was told to forget this node, says {by}; start it anew, and it joins as if it had never been there"
    )]
    Forgotten {
        /// Who says so.
        by: NodeId,
    },
    /// The node left, but this many of its latest writes were not acknowledged by any peer in time.
    #[error(
        "left with {keys} keys that no peer had acknowledged: they are lost if this node was the only one to have them"
    )]
    Unacknowledged {
        /// Keys that the peer which has most of them lacks: queued, or refused by it for lying in its future.
        keys: usize,
    },
    /// The node was stopped while somebody waited for it.
    #[error("the node has stopped")]
    Stopped,
}
