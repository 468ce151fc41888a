//! What the node counts about itself, for status and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// All counts of one node.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Entries sent to peers in replication batches and acknowledged by them.
    pub(crate) replication_sent: Counter,
    /// Entries received in replication batches and merged.
    pub(crate) replication_applied: Counter,
    /// Keys not queued for a peer because its queue was full; sync brings them.
    pub(crate) replication_overflowed: Counter,
    /// Writes of ours that a peer refused for their stamp's time.
    pub(crate) replication_refused: Counter,
    /// Parts of long batches sent to peers.
    pub(crate) replication_parts_sent: Counter,
    /// Parts of long batches received from peers.
    pub(crate) replication_parts_received: Counter,
    /// Entries not sent to a peer because they are longer than anything that may be sent.
    pub(crate) replication_too_large: Counter,
    /// Sync sessions that this node began and ended.
    pub(crate) sync_sessions: Counter,
    /// Sync sessions that this node began and that failed midway.
    pub(crate) sync_failed: Counter,
    /// Entries that sync brought and that changed something here.
    pub(crate) sync_entries_received: Counter,
    /// Entries that sync sent from here.
    pub(crate) sync_entries_sent: Counter,
    /// Entries that sync would have sent from here and left to replication, as they are large.
    pub(crate) sync_entries_handed: Counter,
    /// Concurrent writes of which one lost.
    pub(crate) conflicts: Counter,
    /// Entries and clocks refused for lying too far in the future.
    pub(crate) refused_future: Counter,
    /// Dead records removed because every owner knew of them.
    pub(crate) collected: Counter,
    /// Dead records removed because there were too many.
    pub(crate) collected_forced: Counter,
    /// Entries turned away because they were seen here, dead, and removed before.
    pub(crate) collected_again: Counter,
    /// Records removed because a peer said that they are dead.
    pub(crate) removed_gone: Counter,
    /// Messages with entries that were sent too long ago.
    pub(crate) refused_stale: Counter,
    /// Writes refused because this node's clock was wrong.
    pub(crate) refused_clock: Counter,
    /// Evicted keys that peers gave back when they were asked for.
    pub(crate) recalled: Counter,
    /// Evicted keys that no peer gave while some did not answer.
    pub(crate) recalls_failed: Counter,
    /// Keys sent to owners that a read found to lack something of them.
    pub(crate) read_repairs: Counter,
    /// Reads and writes for which too few owners answered: nothing was done.
    pub(crate) no_quorum: Counter,
    /// Writes that too few owners were known to hold in time.
    pub(crate) unconfirmed: Counter,
    /// Batches from peers that were longer than anything that may be sent.
    pub(crate) refused_oversized: Counter,
    /// Connections to nodes of clusters that were founded apart from this one.
    pub(crate) refused_clusters: Counter,
    /// Messages from peers that could not be understood.
    pub(crate) refused_messages: Counter,
}
