//! Settings of a node and how they are given.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use rumour_transport::{ClusterKey, ClusterName, NodeId};

use crate::namespace::Namespace;
use crate::store::MemoryLimit;

/// How a node proves that it belongs to the cluster.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The cluster's key: the node issues itself a certificate.
    ClusterKey(ClusterKey),
    /// Certificates of your own: PEM texts of the node's certificate (its first DNS name is the node's name), of its
    /// key, and of the authorities that peers' certificates must come from.
    Certificates {
        /// The node's certificate chain.
        certificate: String,
        /// The private key.
        key: String,
        /// Trusted authorities.
        ca: String,
    },
}

/// Keys queued for one peer that sync found to be too large for its messages, beyond those that clients write.
pub const HANDED_KEYS_LIMIT: usize = 256;

/// Settings that have defaults. Durations are real time.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Time between two gossip rounds. Shorter notices failures sooner and costs more packets. Default 500 ms.
    pub gossip_interval: Duration,
    /// How long a peer is quiet before it is down; it is suspect before. Default 3 s.
    pub suspicion: Duration,
    /// Time between two sync sessions with a random peer, jittered by a half. Default 10 s.
    pub sync_interval: Duration,
    /// How far this node's wall clock may be off the median of its peers' before it refuses writes, and how far a stamp or a
    /// peer's clock may lie ahead. Give all nodes the same. Default 500 ms.
    pub max_clock_skew: Duration,
    /// How long a member is down before a majority takes it out of the configuration. Default 30 s.
    pub rebalance_after: Duration,
    /// Keys queued for one peer at most, but for [`HANDED_KEYS_LIMIT`] more that sync hands to replication; what is beyond is left to
    /// sync. Default 100,000.
    pub outbox_keys_limit: usize,
    /// Tombstones and expired entries kept at most while not all members have confirmed them; beyond, the oldest go and fence
    /// members that are away. So do those that take more than a quarter of the memory limit. Each takes the key, some 100 bytes and 32 more. Default 1,000,000.
    pub tombstones_limit: usize,
    /// The largest entry that a message carries whole, in bytes of memory; a larger one, like what is longer than 256 KiB in a replication
    /// batch, goes to a peer by replication in parts. At least 1, at most 12 MiB; lower it to see parts in tests. Default 9 MiB.
    pub whole_entry_bytes: usize,
    /// How long a read or a write at another level than [`One`](crate::Consistency::One) waits for other owners. Default 2 s.
    pub consistency_patience: Duration,
    /// How long a starting node waits for its peers' clocks and for its fill before it serves anyway. Default 30 s.
    pub join_patience: Duration,
}

/// Greatest [`Tuning::whole_entry_bytes`]: a message has other entries beside the largest, and is longer than they are in memory.
pub(crate) const WHOLE_ENTRY_BYTES_MAX: usize = 12 * 1024 * 1024;

impl Default for Tuning {
    fn default() -> Self {
        Self {
            gossip_interval: Duration::from_millis(500),
            suspicion: Duration::from_secs(3),
            sync_interval: Duration::from_secs(10),
            max_clock_skew: Duration::from_millis(500),
            rebalance_after: Duration::from_secs(30),
            outbox_keys_limit: 100_000,
            tombstones_limit: 1_000_000,
            whole_entry_bytes: 9 * 1024 * 1024,
            consistency_patience: Duration::from_secs(2),
            join_patience: Duration::from_secs(30),
        }
    }
}

/// Everything a node needs to start.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: NodeId,
    pub(crate) cluster: ClusterName,
    pub(crate) credentials: Credentials,
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) seeds: Vec<String>,
    pub(crate) bootstrap_expect: Option<NonZeroUsize>,
    pub(crate) tuning: Tuning,
    pub(crate) memory: MemoryLimit,
    pub(crate) namespaces: Vec<Namespace>,
}
