//! Anti-entropy: two nodes compare digests from the root down and exchange what differs, both ways.
//!
//! [`Session`] is the side that began it, [`respond`] the other one, which keeps no state between steps: a session that
//! breaks off leaves nothing behind, and what was merged until then stays merged. `SyncRequest` lists the steps.

mod respond;
mod session;

use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::Entry;

use crate::engine::EngineState;
use crate::store::{Applied, Position};

pub(crate) use respond::respond;
pub(crate) use session::{Report, Session, Step};

/// Versions listed in one message at most.
const VERSIONS_LIMIT: usize = 8192;
/// Keys whose entries are wanted in one message at most.
const WANT_LIMIT: usize = 8192;
/// A message is closed once its entries hold this much; one entry may exceed it.
const ENTRIES_BYTES_LIMIT: usize = 1024 * 1024;
/// Entries younger than this are left to replication, which is bringing them already.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Collects the entries at these positions until the message is full.
/// Returns them with the number of positions that were answered.
fn collect(engine: &EngineState, positions: &[Position]) -> (Vec<(Bytes, Entry)>, usize) {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for (answered, at) in positions.iter().enumerate() {
        if bytes >= ENTRIES_BYTES_LIMIT {
            return (entries, answered);
        }
        for (key, entry) in engine.store.entries_at(*at) {
            bytes += key.len() + entry.payload_bytes() + 64;
            entries.push((key, entry));
        }
    }
    (entries, positions.len())
}

/// Merges entries that came by sync and returns how many changed something here.
fn merge(engine: &EngineState, entries: Vec<(Bytes, Entry)>) -> u64 {
    let mut changed = 0;
    for (key, entry) in entries {
        if let Some(Applied::Merged(merged)) = engine.apply(&key, entry) {
            changed += u64::from(merged.changed);
        }
    }
    engine.counters.sync_entries_received.add(changed);
    changed
}

#[cfg(test)]
mod tests;
