//! What sync does about keys that one end has evicted.

use super::*;

/// A node that keeps some hundreds of keys, and evicts the others.
fn small(actor: u64) -> Arc<EngineState> {
    engine_within(actor, WRITTEN_MS, 250_000)
}

fn evict(node: &Arc<EngineState>, key: &str) {
    crate::engine::testing::evict(&Engine::new(node.clone()), key.as_bytes());
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

/// A small node and a large one with a set of which each has a member that the other lacks.
fn each_with_its_own() -> (Arc<EngineState>, Arc<EngineState>) {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    add(&a, "set", 2..3);
    add(&b, "set", 3..4);
    (a, b)
}

/// Runs a session to its end, and `meanwhile` whenever entries were collected that the small node gets.
fn run_late(from: &EngineState, to: &EngineState, late_is_from: bool, mut meanwhile: impl FnMut()) -> Report {
    let (now, mut exchanges) = (Instant::now(), 0);
    let mut session = Session::new((to.node.clone(), actor(to)), 99, false);
    let mut request = session.start(from, now);
    loop {
        let exchange = matches!(request, SyncRequest::Exchange { .. });
        let mut pass = |now_is_late: bool| {
            if exchange && now_is_late {
                exchanges += 1;
                meanwhile();
            }
        };
        pass(!late_is_from);
        let reply = respond(to, (&from.node, actor(from)), request, now).expect("makes sense");
        pass(late_is_from);
        match session.reply(from, reply, now).expect("makes sense") {
            Step::Send(next) => request = next,
            Step::Done(report) => {
                assert!(exchanges > 0, "entries were exchanged");
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
        let (a, b) = each_with_its_own();
        let (from, to) = if begun_by_small { (&a, &b) } else { (&b, &a) };
        let mut first = true;
        let report = run_late(from, to, begun_by_small, || {
            if std::mem::take(&mut first) {
                b.apply(b"set", entry(&a, "set"), Brought::ByReplication).expect("not in the future");
                evict(&a, "set");
            }
        });
        assert_eq!(members(&a), Some(3), "it was asked for once more, begun by {}", from.node);
        assert!(!report.left_out);
        a.watermarks.lock().collecting(Hlc::MAX);
        assert!(a.watermarks.lock().is_collected(&entry(&b, "set")), "and seen");
    }
}

#[test]
fn what_changes_as_fast_as_it_is_sent_is_left_to_another_session() {
    for begun_by_small in [true, false] {
        let (a, b) = each_with_its_own();
        let (from, to) = if begun_by_small { (&a, &b) } else { (&b, &a) };
        let mut member = 10;
        let report = run_late(from, to, begun_by_small, || {
            // It comes back in part by what another node adds, and goes again.
            let other = engine_at(3, WRITTEN_MS);
            member += 1;
            add(&other, "set", member..member + 1);
            for node in [&a, &b] {
                node.apply(b"set", entry(&other, "set"), Brought::ByReplication).expect("not in the future");
            }
            b.apply(b"set", entry(&a, "set"), Brought::ByReplication).expect("not in the future");
            evict(&a, "set");
        });
        assert!(a.store.is_evicted(b"set"), "{:?} begun by {}", members(&a), from.node);
        assert_eq!(
            report.left_out, !begun_by_small,
            "what was given and not taken still waits for a session"
        );
        a.watermarks.lock().collecting(Hlc::MAX);
        assert!(!a.watermarks.lock().is_collected(&entry(&b, "set")), "nobody has seen what was left out");
        run_to(from, to, false);
        assert_eq!(members(&a), members(&b));
    }
}

#[test]
fn a_part_becomes_whole_by_what_was_sent_afterwards() {
    for begun_by_small in [true, false] {
        let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
        add_to_both(&a, &b, 1);
        evict(&a, "set");
        b.fanout.queue(&a.node);
        add(&b, "set", 2..3);
        carry(&b, &a);
        assert_eq!(members(&a), Some(1));
        let (from, to) = if begun_by_small { (&a, &b) } else { (&b, &a) };
        assert!(!run_to(from, to, false).left_out);
        assert_eq!(members(&a), Some(2));
        assert!(!a.store.is_evicted(b"set"));
    }
}

#[test]
fn the_very_version_that_was_evicted_is_not_late() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    evict(&a, "set");
    let applied = a.apply(b"set", entry(&b, "set"), Brought::After(None));
    assert_eq!(applied, Some(Applied::Evicted));
}

#[test]
fn what_replaces_an_evicted_key_needs_not_be_asked_for() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    evict(&a, "set");
    Engine::new(b.clone()).delete(b"set").expect("serves");
    add(&b, "set", 2..5);
    let applied = a.apply(b"set", entry(&b, "set"), Brought::After(None));
    assert!(matches!(&applied, Some(Applied::Merged(merged)) if merged.changed), "{applied:?}");
    assert_eq!(members(&a), Some(3));
}

#[test]
fn what_came_in_an_evicted_keys_place_does_not_make_it_look_dead() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    let absent = engine_at(3, WRITTEN_MS);
    for (one, other) in [(&a, &b), (&b, &a)] {
        let mut watermarks = one.watermarks.lock();
        watermarks.acquainted();
        watermarks.met(&other.node, actor(other), one.clock.send_time());
    }
    set(&b, "k", "latest");
    run_to(&a, &b, false);
    evict(&a, "k");
    // Tombstones are forced out, and an older value comes from a node that was away.
    a.watermarks.lock().collecting(Hlc::MAX);
    add(&absent, "k", 1..2);
    a.apply(b"k", entry(&absent, "k"), Brought::ByReplication).expect("not in the future");
    run_to(&a, &b, false);
    run_to(&a, &b, false);
    for node in [a, b] {
        assert_eq!(Engine::new(node).get(b"k"), Some("latest".into()));
    }
}
