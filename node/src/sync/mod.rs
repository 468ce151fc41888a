//! Anti-entropy: two nodes compare digests from the root down and exchange what differs, both ways.
//!
//! [`Session`] is the side that began it, [`respond`] the other one, which keeps no state between steps: a session that
//! breaks off leaves nothing behind, and what was merged until then stays merged. `SyncRequest` lists the steps.

mod collect;
mod respond;
mod session;
mod watermarks;

use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::{Entry, Hlc};

use crate::engine::EngineState;
use crate::message::GoneItem;
use crate::store::{Applied, Position};

pub(crate) use collect::Forced;
pub(crate) use respond::respond;
pub(crate) use session::{Report, Session, Step};
pub(crate) use watermarks::Watermarks;

/// Versions listed in one message at most.
const VERSIONS_LIMIT: usize = 8192;
/// Keys whose entries are wanted in one message at most.
const WANT_LIMIT: usize = 8192;
/// A message is closed once its entries hold this much; one entry may exceed it.
const ENTRIES_BYTES_LIMIT: usize = 1024 * 1024;
/// Entries younger than this are left to replication, which is bringing them already.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
const STALE: &str = "was sent too long ago";

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

/// What became of entries that came by sync.
#[derive(Default)]
struct Taken {
    /// How many changed something here.
    changed: u64,
    /// The lowest stamp of those refused for lying in the future.
    refused: Option<Hlc>,
    /// Those that are dead by a tombstone that was forced out.
    gone: Vec<GoneItem>,
}

/// Merges entries that came by sync.
fn merge(engine: &EngineState, entries: Vec<(Bytes, Entry)>) -> Taken {
    let mut taken = Taken::default();
    for (key, entry) in entries {
        let (newest, version) = (entry.newest(), entry.version());
        let forced_out = engine.watermarks.lock().is_forced_out(&entry);
        match engine.apply(&key, entry) {
            Some(Applied::Merged(merged)) => taken.changed += u64::from(merged.changed),
            Some(Applied::Collected) if forced_out => taken.gone.push(GoneItem { key, version, newest }),
            Some(Applied::Collected | Applied::Flushed) => {}
            None => taken.refused = Some(taken.refused.map_or(newest.time, |lowest| lowest.min(newest.time))),
        }
    }
    engine.counters.sync_entries_received.add(taken.changed);
    taken
}

#[cfg(test)]
mod tests;
