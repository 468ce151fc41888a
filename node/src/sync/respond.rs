//! The side of a sync session that answers.

use std::collections::BTreeMap;

use rumour_crdt::{ActorId, Hlc, Stamp};
use rumour_transport::NodeId;
use tokio::time::Instant;

use super::{Collected, STALE, Taken, VERSIONS_LIMIT, WANT_LIMIT, collect, merge};
use crate::engine::EngineState;
use crate::message::{SyncReply, SyncRequest};
use crate::slot::SLOTS;
use crate::store::{GROUPS, Position, SLOTS_PER_GROUP, VersionItem};

/// Answers one step of the owner `peer`, or says what is wrong with it. A request that makes no sense changes nothing.
pub(crate) fn respond(
    engine: &EngineState,
    (node, from): (&NodeId, ActorId),
    request: SyncRequest,
    now: Instant,
) -> Result<SyncReply, &'static str> {
    match request {
        SyncRequest::Root { clock: theirs, flushed, owners: told, salt, root } => {
            engine.follow(theirs, flushed);
            let clock = engine.clock.send_time();
            let ended = engine.watermarks.lock().hear(&told, clock);
            // Both ends remove what they may before they compare, so that they agree on it.
            engine.collect(now);
            let clock = engine.clock.send_time();
            let mut owners = engine.watermarks.lock().tell(now, clock);
            owners.ended = ended;
            let cells = engine.store.group_cells();
            let equal = cells.iter().copied().sum::<rumour_crdt::Cell>().fingerprint(salt) == root;
            if equal {
                engine.watermarks.lock().completed(from, theirs, &told.held);
            }
            let groups = (!equal).then(|| cells.iter().map(|cell| cell.fingerprint(salt)).collect());
            Ok(SyncReply::Root { clock, flushed: engine.store.flushed(), owners, groups })
        }
        SyncRequest::Slots { salt, groups, fingerprints } => {
            if groups.len() > GROUPS || fingerprints.len() != groups.len() * SLOTS_PER_GROUP {
                return Err("fingerprints do not match the groups");
            }
            let mut differing = Vec::new();
            for (group, theirs) in groups.iter().zip(fingerprints.chunks(SLOTS_PER_GROUP)) {
                let group = usize::from(*group);
                if group >= GROUPS {
                    return Err("no such group");
                }
                for (index, (cell, theirs)) in engine.store.slot_cells(group).iter().zip(theirs).enumerate() {
                    if cell.fingerprint(salt) != *theirs {
                        differing.push((group * SLOTS_PER_GROUP + index) as u16);
                    }
                }
            }
            Ok(SyncReply::Slots { differing })
        }
        SyncRequest::Versions { slots, from } => {
            if slots.len() > SLOTS || slots.iter().any(|slot| usize::from(*slot) >= SLOTS) {
                return Err("no such slot");
            }
            let (items, next) = list(engine, &slots, from);
            Ok(SyncReply::Versions { items, next })
        }
        SyncRequest::Exchange { clock, entries, again, want, gone } => {
            if want.len() > WANT_LIMIT || want.iter().any(|at| usize::from(at.slot) >= SLOTS) {
                return Err("asks for too much, or for no such slot");
            }
            if engine.is_stale(clock) {
                return Err(STALE);
            }
            engine.follow(clock, Stamp::ZERO);
            engine.remove_gone(&gone);
            let again: BTreeMap<Position, u64> =
                again.into_iter().map(|item| (item.at, item.version)).collect();
            let Taken { refused, gone, late, .. } = merge(engine, entries, |at| again.get(&at).copied());
            let clock = engine.clock.send_time();
            let Collected { entries, answered, handed, evicted } = collect(engine, node, &want);
            let answered = answered as u32;
            Ok(SyncReply::Exchange { clock, entries, answered, refused, gone, handed, evicted, again: late })
        }
        SyncRequest::Done { until, owners, gone } => {
            engine.remove_gone(&gone);
            let clock = engine.clock.send_time();
            let mut watermarks = engine.watermarks.lock();
            watermarks.hear(&owners, clock);
            if until > Hlc::ZERO {
                watermarks.completed(from, until, &owners.held);
            }
            Ok(SyncReply::Done)
        }
    }
}

/// Lists versions of ascending slots from a position on, as many as fit, and where to go on.
fn list(engine: &EngineState, slots: &[u16], from: Position) -> (Vec<VersionItem>, Option<Position>) {
    let mut items = Vec::new();
    for slot in slots.iter().copied().filter(|slot| *slot >= from.slot) {
        let first = if slot == from.slot { from.hash } else { 0 };
        if items.len() >= VERSIONS_LIMIT {
            return (items, Some(Position { slot, hash: first }));
        }
        let mut versions = engine.store.versions(slot, first, engine.clock.due_ms());
        let room = VERSIONS_LIMIT - items.len();
        let next = versions.get(room).map(|item| item.at);
        versions.truncate(room);
        items.append(&mut versions);
        if next.is_some() {
            return (items, next);
        }
    }
    (items, None)
}
