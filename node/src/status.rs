//! What a node says of itself: the same for the admin door, the command line and an embedding service.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use crate::engine::EngineState;
use crate::membership::MemberState;
use crate::store::EvictionPolicy;

/// A node's report of itself and of how it sees its cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub node: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// Version of the software.
    pub version: String,
    /// The node's own state.
    pub state: MemberState,
    /// Seconds since it started.
    pub uptime_s: f64,
    /// Keys with a value.
    pub keys: u64,
    /// Tombstones and expired entries kept.
    pub tombstones: u64,
    /// Memory of entries.
    #[serde(default)]
    pub memory: MemoryStatus,
    /// Removing tombstones and expired entries.
    #[serde(default)]
    pub collection: CollectionStatus,
    /// All members, this node included, in the order of their names.
    pub members: Vec<MemberStatus>,
    /// The latest configuration that this node knows; `None` while it knows none.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// Seeds, and how dialing them goes.
    pub seeds: Vec<SeedStatus>,
    /// Replication to and from peers.
    pub replication: ReplicationStatus,
    /// Anti-entropy.
    pub sync: SyncStatus,
    /// This node's clock beside its peers'.
    pub clock: ClockStatus,
    /// Concurrent writes that this node saw lose.
    pub conflicts: u64,
    /// The same by namespace; those without any are left out.
    pub conflicts_by_namespace: BTreeMap<String, u64>,
    /// What was turned away, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Memory of entries in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Bytes that entries, tombstones and stubs of evicted entries take, as far as the node can tell.
    pub used_bytes: u64,
    /// The limit; 0 for none.
    pub max_bytes: u64,
    /// What goes when it is reached.
    pub policy: EvictionPolicy,
    /// Keys that were evicted since the start.
    pub evicted: u64,
    /// Evicted keys that peers gave back when they were needed.
    pub recalled: u64,
    /// Evicted keys that no peer gave while some did not answer.
    pub recalls_failed: u64,
    /// Evicted entries of which hash and version are still known.
    pub stubs: u64,
    /// Evicted entries of which nothing is known any more, mostly because memory was short; sync brings their values once more.
    pub stubs_dropped: u64,
}

/// One member as the reporting node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub node: NodeId,
    /// Its peer address.
    pub addr: String,
    /// Its state.
    pub state: MemberState,
    /// Which start of it this is: 16 hexadecimal digits.
    pub incarnation: String,
    /// Keys queued for it and not acknowledged.
    pub queued: u64,
    /// How far its clock is ahead of the median of all others' that this node knows, in milliseconds, behind it if negative;
    /// `None` while it has not been measured.
    pub clock_off_ms: Option<i64>,
    /// Whether that is too far for it to take writes.
    pub clock_fault: bool,
}

/// Who belongs to the cluster, as a majority of its members agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// Its number.
    pub number: u64,
    /// How often all survivors had to recover the cluster by then.
    pub generation: u64,
    /// When the cluster was founded, in milliseconds since the Unix epoch by its founder's clock.
    pub founded_ms: u64,
    /// Its members by name.
    pub members: Vec<NodeId>,
    /// Whether this start of the node is one of them.
    pub is_member: bool,
    /// Whether it holds what was acknowledged before, and so counts in quorums.
    #[serde(default)]
    pub caught_up: bool,
}

/// One seed address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedStatus {
    /// As it was given.
    pub seed: String,
    /// Whether a connection to it stands, or it is this node itself.
    pub reached: bool,
    /// Failed attempts in a row.
    pub failures: u32,
    /// How the last attempt failed.
    pub error: Option<String>,
}

/// Replication in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationStatus {
    /// Keys queued for peers and not acknowledged.
    pub queued: u64,
    /// Entries that peers have acknowledged.
    pub sent: u64,
    /// Entries from peers that were merged.
    pub applied: u64,
    /// Keys left to sync because a queue was full.
    pub overflowed: u64,
    /// Own writes that a peer refused for lying in its future.
    pub refused: u64,
    /// Parts of long batches sent to peers.
    #[serde(default)]
    pub parts_sent: u64,
    /// Parts of long batches received from peers.
    #[serde(default)]
    pub parts_received: u64,
    /// Entries not sent to a peer because they were longer than anything that may be sent.
    #[serde(default)]
    pub too_large: u64,
    /// Keys sent to owners that a read found to lack something of them.
    #[serde(default)]
    pub read_repairs: u64,
    /// Reads and writes for which too few owners answered: nothing was done.
    #[serde(default)]
    pub no_quorum: u64,
    /// Writes that too few owners were known to hold in time.
    #[serde(default)]
    pub unconfirmed: u64,
}

/// Anti-entropy in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// Sessions that this node began and ended.
    pub sessions: u64,
    /// Sessions that broke off.
    pub failed: u64,
    /// Entries that sync brought and that changed something here.
    pub entries_received: u64,
    /// Entries that sync sent from here.
    pub entries_sent: u64,
    /// Entries too large for a session, left to replication from here.
    #[serde(default)]
    pub entries_handed: u64,
    /// Seconds since the last session that this node began ended well; `None` before the first.
    pub last_s: Option<f64>,
}

/// Removing tombstones and expired entries, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionStatus {
    /// What was dead by then is known to every member: milliseconds since the Unix epoch, 0 while nothing is agreed.
    pub agreed_ms: u64,
    /// The members that keep that from rising.
    pub waiting_for: Vec<NodeId>,
    /// Records removed because every member knew of them.
    pub collected: u64,
    /// Records removed because there were too many, although not every member knew of them.
    pub forced: u64,
    /// Those had died by then: milliseconds since the Unix epoch, 0 if there were none. Members that were away at that time are
    /// told to drop what they still hold of it.
    pub forced_ms: u64,
    /// Entries turned away because they had been removed before.
    pub collected_again: u64,
    /// Entries removed because a peer said that they are dead.
    pub gone: u64,
}

/// This node's clock beside its peers'.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// How far it is ahead of its peers' median in milliseconds, behind it if negative; `None` while no peer's is known.
    pub off_ms: Option<i64>,
    /// Peers whose clocks are known.
    pub peers: u64,
    /// Why no writes are taken, while that is so.
    pub fault: Option<String>,
}

/// Parts of the status that the engine does not know: the running node and its doors register how to read them.
pub(crate) struct StatusSource {
    parts: Mutex<Vec<ReadStatus>>,
    cluster: String,
}

type ReadStatus = Box<dyn Fn(&mut Status) + Send>;

impl StatusSource {
    pub(crate) fn new(cluster: String) -> Self {
        Self { parts: Mutex::default(), cluster }
    }

    pub(crate) fn register(&self, read: impl Fn(&mut Status) + Send + 'static) {
        self.parts.lock().push(Box::new(read));
    }

    pub(crate) fn read(&self, engine: &EngineState) -> Status {
        let counters = &engine.counters;
        let mut status = Status {
            node: engine.node.clone(),
            cluster: self.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: engine.phase.state(),
            uptime_s: 0.0,
            keys: engine.store.len() as u64,
            tombstones: engine.store.tombstones() as u64,
            memory: engine.memory(),
            members: Vec::new(),
            seeds: Vec::new(),
            replication: ReplicationStatus {
                queued: engine.fanout.queued() as u64,
                sent: counters.replication_sent.get(),
                applied: counters.replication_applied.get(),
                overflowed: counters.replication_overflowed.get(),
                refused: counters.replication_refused.get(),
                parts_sent: counters.replication_parts_sent.get(),
                parts_received: counters.replication_parts_received.get(),
                too_large: counters.replication_too_large.get(),
                read_repairs: counters.read_repairs.get(),
                no_quorum: counters.no_quorum.get(),
                unconfirmed: counters.unconfirmed.get(),
            },
            sync: SyncStatus {
                sessions: counters.sync_sessions.get(),
                failed: counters.sync_failed.get(),
                entries_received: counters.sync_entries_received.get(),
                entries_sent: counters.sync_entries_sent.get(),
                entries_handed: counters.sync_entries_handed.get(),
                last_s: None,
            },
            collection: collection(engine),
            clock: ClockStatus {
                off_ms: None,
                peers: 0,
                fault: engine.clock.check().err().map(|error| error.to_string()),
            },
            conflicts: counters.conflicts.get(),
            conflicts_by_namespace: engine.conflicts.counts(),
            configuration: configuration(engine),
            refused: BTreeMap::from([
                ("clusters".to_owned(), counters.refused_clusters.get()),
                ("clock_fault_writes".to_owned(), counters.refused_clock.get()),
                ("future_stamps".to_owned(), counters.refused_future.get()),
                ("messages".to_owned(), counters.refused_messages.get()),
                ("oversized_batches".to_owned(), counters.refused_oversized.get()),
                ("stale_messages".to_owned(), counters.refused_stale.get()),
            ]),
        };
        for read in &*self.parts.lock() {
            read(&mut status);
        }
        status
    }
}

fn configuration(engine: &EngineState) -> Option<ConfigurationStatus> {
    let council = engine.council.lock();
    let configuration = council.configuration()?;
    let (epoch, members) = (configuration.epoch(), configuration.members().iter());
    Some(ConfigurationStatus {
        number: epoch.number,
        generation: epoch.generation,
        founded_ms: configuration.lineage().founded_ms,
        members: members.map(|member| member.node.clone()).collect(),
        is_member: council.is_member(),
        caught_up: council.has_caught_up(),
    })
}

fn collection(engine: &EngineState) -> CollectionStatus {
    let (counters, watermarks) = (&engine.counters, engine.watermarks.lock());
    CollectionStatus {
        agreed_ms: watermarks.agreed().millis(),
        waiting_for: watermarks.waiting_for(),
        collected: counters.collected.get(),
        forced: counters.collected_forced.get(),
        forced_ms: watermarks.forced().millis(),
        collected_again: counters.collected_again.get(),
        gone: counters.removed_gone.get(),
    }
}
