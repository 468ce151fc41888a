//! What sync does about keys that one end has evicted.

use super::*;
use crate::engine::Purpose;

/// A node that keeps some hundreds of keys, and evicts the others.
fn small(actor: u64) -> Arc<EngineState> {
    engine_within(actor, WRITTEN_MS, 250_000)
}

/// Writes other keys until this one was evicted.
fn evict(node: &Arc<EngineState>, key: &str) {
    let filler = (0..10_000).map(|n| set(node, &format!("filler {n}"), &"v".repeat(400)));
    assert!({ filler }.any(|()| node.store.is_evicted(key.as_bytes())), "{key} stays");
}

#[test]
fn what_was_evicted_does_not_count_as_seen_by_who_never_had_it() {
    for begun_by_holder in [true, false] {
        let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
        set(&a, "first", "v");
        let first = entry(&a, "first");
        evict(&a, "first");
        let (from, to) = if begun_by_holder { (&a, &b) } else { (&b, &a) };
        run_to(from, to, false);
        b.watermarks.lock().collecting(Hlc::MAX);
        assert!(!b.watermarks.lock().is_collected(&first), "begun by {}", from.node);
        // Who has it may still give it.
        let applied = b.apply(b"first", first, Brought::AsHeld);
        assert!(matches!(&applied, Some(Applied::Merged(merged)) if merged.changed), "{applied:?}");
    }
}

/// Adds a member to a set on one node, and brings it to the other one.
fn add_to_both(a: &Arc<EngineState>, b: &Arc<EngineState>, member: u32) {
    add(a, "set", member..member + 1);
    b.apply(b"set", entry(a, "set"), Brought::ByReplication).expect("not in the future");
}

/// Runs a session to its end, and `meanwhile` after the entries of its first exchange were collected that `to` gets.
fn run_late(from: &EngineState, to: &EngineState, late_is_from: bool, meanwhile: impl FnOnce()) -> Report {
    let now = Instant::now();
    let mut meanwhile = Some(meanwhile);
    let mut session = Session::new((to.node.clone(), ActorId::new(9)), 99, false);
    let mut request = session.start(from, now);
    loop {
        let exchange = matches!(request, SyncRequest::Exchange { .. });
        let mut pass = |now_is_late: bool| {
            if exchange
                && now_is_late
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile();
            }
        };
        pass(!late_is_from);
        let reply = respond(to, (&from.node, ActorId::new(8)), request, now).expect("makes sense");
        pass(late_is_from);
        match session.reply(from, reply, now).expect("makes sense") {
            Step::Send(next) => request = next,
            Step::Done(report) => {
                assert!(meanwhile.is_none(), "entries were exchanged");
                return report;
            }
        }
    }
}

fn members(node: &Arc<EngineState>) -> Option<usize> {
    Engine::new(node.clone()).read(b"set", |view| view?.members().map(rumour_crdt::Fields::len))
}

#[test]
fn what_was_sent_before_the_latest_part_arrived_does_not_pass_for_what_was_evicted_since() {
    for begun_by_small in [true, false] {
        let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
        add_to_both(&a, &b, 1);
        add(&a, "set", 2..3);
        add(&b, "set", 3..4);
        let (from, to) = if begun_by_small { (&a, &b) } else { (&b, &a) };
        let report = run_late(from, to, begun_by_small, || {
            b.apply(b"set", entry(&a, "set"), Brought::ByReplication).expect("not in the future");
            evict(&a, "set");
        });
        let lacks = Engine::new(a.clone()).lacks(b"set", Purpose::Read);
        assert!(lacks && members(&a).is_none(), "{:?} of 3, begun by {}", members(&a), from.node);
        assert_eq!(report.left_out, !begun_by_small, "what was given and refused still waits for a session");
        // Nobody has seen what was left out.
        let first = entry(&b, "set");
        a.watermarks.lock().collecting(Hlc::MAX);
        assert!(!a.watermarks.lock().is_collected(&first));
        run_to(&a, &b, false);
        assert_eq!(members(&a), Some(3), "it was asked for");
        assert!(a.watermarks.lock().is_collected(&first), "and seen");
    }
}

#[test]
fn a_part_does_not_become_whole_by_what_nobody_asked_for() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    evict(&a, "set");
    let queue = b.fanout.queue(&a.node);
    add(&b, "set", 2..3);
    carry(&b, &a);
    assert_eq!((members(&a), queue.outbox.lock().len()), (Some(1), 0));
    run_to(&b, &a, false);
    assert_eq!(members(&a), Some(1));
    run_to(&a, &b, false);
    assert_eq!(members(&a), Some(2));
}

#[test]
fn what_replaces_an_evicted_key_needs_not_be_asked_for() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    evict(&a, "set");
    Engine::new(b.clone()).delete(b"set").expect("serves");
    add(&b, "set", 2..5);
    assert!(!run_to(&b, &a, false).left_out);
    assert_eq!(members(&a), Some(3));
}
