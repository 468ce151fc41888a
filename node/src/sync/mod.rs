//! Anti-entropy: two nodes compare digests from the root down and exchange what differs, both ways.
//!
//! [`Session`] is the side that began it, [`respond`] the other one, which keeps no state between steps: a session that
//! breaks off leaves nothing behind, and what was merged until then stays merged. `SyncRequest` lists the steps.
//!
//! What is too large for a message does not travel here: whoever would give it hands its key to the replication queue for the
//! peer, which sends it in parts, and the session proves to neither side's watermarks that it was seen.

mod collect;
mod repeats;
mod respond;
mod session;
mod side;
mod watermarks;

use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::{Entry, Hlc};
use rumour_transport::NodeId;

use crate::engine::EngineState;
use crate::message::GoneItem;
use crate::store::{Applied, Brought, EvictedItem, Found, Position, VersionItem};

pub(crate) use collect::Forced;
pub(crate) use respond::respond;
pub(crate) use session::{Report, Session, Step};
pub(crate) use watermarks::Watermarks;

/// Versions listed in one message at most.
const VERSIONS_LIMIT: usize = 8192;
/// Keys whose entries are wanted in one message at most.
const WANT_LIMIT: usize = 8192;
/// A message is closed once its entries hold this much; one entry may exceed it, but not what a message may carry.
const ENTRIES_BYTES_LIMIT: usize = 1024 * 1024;
/// Entries younger than this are left to replication, which is bringing them already.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(2);
const STALE: &str = "was sent too long ago";

/// What a message brings of the entries at some positions.
#[derive(Default)]
struct Collected {
    entries: Vec<(Bytes, Entry)>,
    /// How many of the positions, from the first on, that answers.
    answered: usize,
    /// Those of them whose entries are too large for a message.
    handed: Vec<Position>,
    /// Those of them that were evicted here.
    evicted: Vec<EvictedItem>,
}

/// Collects the entries at these positions until the message is full. What is too large for any message is handed to the
/// peer's replication queue.
fn collect(engine: &EngineState, peer: &NodeId, positions: &[Position]) -> Collected {
    let mut collected = Collected::default();
    let mut bytes = 0;
    for at in positions {
        if bytes >= ENTRIES_BYTES_LIMIT {
            break;
        }
        match engine.store.entries_at(*at, engine.fanout.whole_entry_bytes()) {
            Found::Entries(found) => {
                let size = |(key, entry): &(Bytes, Entry)| key.len() + entry.payload_bytes() + 64;
                bytes += found.iter().map(size).sum::<usize>();
                collected.entries.extend(found);
            }
            Found::TooLarge(keys) => {
                keys.iter().for_each(|key| engine.fanout.hand_over(peer, key));
                engine.counters.sync_entries_handed.add(keys.len() as u64);
                collected.handed.push(*at);
            }
            Found::Evicted(item) => collected.evicted.push(item),
        }
        collected.answered += 1;
    }
    engine.counters.sync_entries_sent.add(collected.entries.len() as u64);
    collected
}

/// What became of entries that came by sync.
#[derive(Default)]
struct Taken {
    /// How many changed something here.
    changed: u64,
    /// The lowest stamp of those refused for lying in the future.
    refused: Option<Hlc>,
    /// Those that may lack something that was evicted here, with the versions of what is left.
    late: Vec<VersionItem>,
    /// Those that are dead and that the peer should drop.
    gone: Vec<GoneItem>,
}

/// Merges entries that came by sync. `left` says what was left of each key here when its entry was asked for, if it was.
fn merge(
    engine: &EngineState,
    entries: Vec<(Bytes, Entry)>,
    left: impl Fn(Position) -> Option<u64>,
) -> Taken {
    let mut taken = Taken::default();
    for (key, entry) in entries {
        let newest = entry.newest();
        let at = engine.store.position(&key);
        match engine.apply(&key, entry, Brought::After(left(at))) {
            Some(Applied::Merged(merged)) => taken.changed += u64::from(merged.changed),
            Some(Applied::Collected(dead)) => taken.gone.extend(engine.gone(key, &dead)),
            Some(Applied::Flushed | Applied::Evicted) => {}
            // If nothing is left any more, whoever asks again is told.
            Some(Applied::Late) => {
                let version = engine.store.left_at(at).unwrap_or_default();
                taken.late.push(VersionItem { at, version });
            }
            None => taken.refused = Some(taken.refused.map_or(newest.time, |lowest| lowest.min(newest.time))),
        }
    }
    engine.counters.sync_entries_received.add(taken.changed);
    taken
}

#[cfg(test)]
mod tests;
