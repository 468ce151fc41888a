//! What sync does about keys that one end has evicted.

use super::*;
use crate::engine::Purpose;

/// A node that keeps some hundreds of keys of the size of [`fill`]'s.
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

/// What a node shows of a register.
fn get(node: &Arc<EngineState>, key: &str) -> Option<Bytes> {
    Engine::new(node.clone()).get(key.as_bytes())
}

#[test]
fn what_was_replaced_does_not_come_back_where_its_successor_was_evicted() {
    for deleted in [false, true] {
        for begun_by_holder in [true, false] {
            let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
            set(&a, "k", "old");
            if deleted {
                Engine::new(a.clone()).delete(b"k").expect("serves");
            }
            b.apply(b"k", entry(&a, "k"), Brought::ByReplication).expect("not in the future");
            set(&a, "k", "new");
            evict(&a, "k");
            let (from, to) = if begun_by_holder { (&b, &a) } else { (&a, &b) };
            run_to(from, to, false);
            assert_eq!(get(&a, "k"), None, "deleted {deleted}, begun by {}", from.node);
            assert!(a.store.is_evicted(b"k"), "another node may have the new one");
            // It learns of it in a session of its own.
            run_to(&b, &a, false);
            assert_eq!(get(&b, "k"), None);
            assert!(b.store.is_evicted(b"k"));
            let left = |node: &EngineState| node.store.entries_at(node.store.position(b"k"), 0);
            assert_eq!(left(&b), left(&a));
            assert_eq!((a.store.stale_cells(), b.store.stale_cells()), (vec![], vec![]));
        }
    }
}

/// Adds a member to a set on one node, and brings it to the other one.
fn add_to_both(a: &Arc<EngineState>, b: &Arc<EngineState>, member: u32) {
    add(a, "set", member..member + 1);
    b.apply(b"set", entry(a, "set"), Brought::ByReplication).expect("not in the future");
}

#[test]
fn what_was_sent_before_the_latest_part_arrived_does_not_pass_for_what_was_evicted_since() {
    for begun_by_small in [true, false] {
        let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
        add_to_both(&a, &b, 1);
        let (from, to) = if begun_by_small { (&a, &b) } else { (&b, &a) };
        add(&a, "set", 2..3);
        let late = || {
            b.apply(b"set", entry(&a, "set"), Brought::ByReplication).expect("not in the future");
            evict(&a, "set");
        };
        let mut late = Some(late);
        let now = Instant::now();
        let mut session = Session::new((to.node.clone(), ActorId::new(9)), 99, false);
        let mut request = session.start(from, now);
        loop {
            let exchange = matches!(request, SyncRequest::Exchange { .. });
            if exchange
                && !begun_by_small
                && let Some(late) = late.take()
            {
                late();
            }
            let reply = respond(to, (&from.node, ActorId::new(8)), request, now).expect("makes sense");
            if exchange
                && begun_by_small
                && let Some(late) = late.take()
            {
                late();
            }
            match session.reply(from, reply, now).expect("makes sense") {
                Step::Send(next) => request = next,
                Step::Done(_) => break,
            }
        }
        assert!(late.is_none(), "entries were exchanged");
        let shown = Engine::new(a.clone()).read(b"set", |view| view?.members().map(rumour_crdt::Fields::len));
        let lacks = Engine::new(a.clone()).lacks(b"set", Purpose::Read);
        assert!(lacks && shown.is_none(), "{shown:?} of 2 members, begun by {}", from.node);
    }
}

#[test]
fn what_others_hold_of_an_evicted_key_still_comes_by_sync() {
    let (a, b) = (small(1), engine_at(2, WRITTEN_MS));
    add_to_both(&a, &b, 1);
    evict(&a, "set");
    add(&b, "set", 2..3);
    run_to(&a, &b, false);
    assert_eq!(entry(&a, "set"), entry(&b, "set"));
}
