mod evicted;

use std::sync::Arc;

use proptest::prelude::*;
use rumour_crdt::ActorId;
use tokio::time::Instant;

use super::*;
use crate::config::HANDED_KEYS_LIMIT;
use crate::engine::testing::{engine_at, engine_with, engine_within};
use crate::engine::{Engine, EngineState, SetOptions};
use crate::message::{OwnerTable, SyncReply, SyncRequest};
use crate::replication::testing::carry;
use crate::store::Dead;

const WRITTEN_MS: u64 = 1_000_000;

/// Moves everything to a node whose clock stands later, so that no entry is young any more.
fn later(from: &Arc<EngineState>, actor: u64) -> Arc<EngineState> {
    let to = engine_with(actor, WRITTEN_MS + 60_000, from.fanout.whole_entry_bytes());
    for (key, entry) in from.export() {
        to.apply(&key, entry, Brought::AsHeld).expect("not in the future");
    }
    to.follow(from.clock.send_time(), from.store.flushed());
    to
}

fn actor(node: &EngineState) -> ActorId {
    node.clock.mint(None).actor
}

/// Runs a session to its end through the wire format; gives its report and the bytes that passed.
fn run(a: &EngineState, b: &EngineState) -> (Report, usize) {
    run_with(a, b, true)
}

fn run_to(a: &EngineState, b: &EngineState, skip_young: bool) -> Report {
    run_with(a, b, skip_young).0
}

fn run_with(a: &EngineState, b: &EngineState, skip_young: bool) -> (Report, usize) {
    let now = Instant::now();
    let mut session = Session::new((b.node.clone(), actor(b)), 99, skip_young);
    let mut request = session.start(a, now);
    let mut bytes = 0;
    for _ in 0..10_000 {
        let wire = rumour_transport::codec::encode(&request).expect("encodes");
        let arrived: SyncRequest = rumour_transport::codec::decode(&wire).expect("decodes");
        let reply = respond(b, (&a.node, actor(a)), arrived, now).expect("makes sense");
        let back = rumour_transport::codec::encode(&reply).expect("encodes");
        bytes += wire.len() + back.len();
        let reply: SyncReply = rumour_transport::codec::decode(&back).expect("decodes");
        match session.reply(a, reply, now).expect("makes sense") {
            Step::Send(next) => request = next,
            Step::Done(report) => return (report, bytes),
        }
    }
    panic!("the session does not end");
}

fn set(node: &Arc<EngineState>, key: &str, value: &str) {
    let engine = Engine::new(node.clone());
    engine.set(key.as_bytes(), value.to_owned().into(), SetOptions::default()).expect("serves");
}

#[test]
fn an_idle_session_costs_tens_of_bytes() {
    let a = engine_at(1, WRITTEN_MS);
    for key in 0..1000 {
        set(&a, &format!("key{key}"), "value");
    }
    let b = later(&a, 2);
    let a = later(&a, 3);
    let (report, bytes) = run(&a, &b);
    assert_eq!(report, Report { round_trips: 1, ..Report::default() });
    // Of which some 25 for each owner that the two know of, here only themselves.
    assert!(bytes < 120, "{bytes} bytes");
}

#[test]
fn an_empty_node_is_filled_however_many_keys_one_slot_holds() {
    let a = engine_at(1, WRITTEN_MS);
    for key in 0..20_000 {
        set(&a, &format!("{{tag}}{key}"), "value");
    }
    let (full, empty) = (later(&a, 2), engine_at(3, WRITTEN_MS + 60_000));
    let (report, _) = run(&empty, &full);
    assert_eq!(report.received, 20_000);
    assert_eq!(empty.export(), full.export());
    let empty = engine_at(4, WRITTEN_MS + 60_000);
    let (report, _) = run(&full, &empty);
    assert_eq!(report.sent, 20_000);
    assert_eq!(empty.export(), full.export());
}

#[test]
fn large_values_are_spread_over_messages() {
    let a = engine_at(1, WRITTEN_MS);
    let value = "x".repeat(700 * 1024);
    for key in 0..8 {
        set(&a, &format!("key{key}"), &value);
    }
    let (full, empty) = (later(&a, 2), engine_at(3, WRITTEN_MS + 60_000));
    let (report, _) = run(&empty, &full);
    assert_eq!(report.received, 8);
    assert_eq!(empty.store.root_cell(), full.store.root_cell());
}

#[test]
fn a_flush_spreads_before_anything_is_compared() {
    let a = engine_at(1, WRITTEN_MS);
    set(&a, "old", "v");
    let b = later(&a, 2);
    Engine::new(b.clone()).flush().expect("serves");
    set(&b, "new", "v");
    let a = later(&a, 3);
    run(&a, &b);
    assert!(a.store.with_entry(b"old", WRITTEN_MS, |_| ()).is_none());
    assert_eq!(a.store.flushed(), b.store.flushed());
}

#[test]
fn young_entries_are_left_to_replication() {
    let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS));
    set(&a, "k", "v");
    let (report, _) = run(&a, &b);
    assert_eq!((report.slots, report.sent), (1, 0));
}

#[test]
fn requests_and_replies_that_make_no_sense_change_nothing() {
    let a = engine_at(1, WRITTEN_MS);
    set(&a, "k", "v");
    let before = a.export();
    let node: NodeId = "n2".parse().expect("a name");
    let hostile = [
        SyncRequest::Slots { salt: 0, groups: vec![0, 1], fingerprints: vec![0; 3] },
        SyncRequest::Slots { salt: 0, groups: vec![255], fingerprints: vec![0; 128] },
        SyncRequest::Versions { slots: vec![u16::MAX], from: Position { slot: 0, hash: 0 } },
        SyncRequest::Exchange {
            clock: Hlc::ZERO,
            entries: vec![],
            again: vec![],
            want: vec![Position { slot: u16::MAX, hash: 0 }],
            gone: vec![],
        },
    ];
    for request in hostile {
        let answer = respond(&a, (&node, ActorId::new(2)), request.clone(), Instant::now());
        assert!(answer.is_err(), "{request:?}");
    }
    let mut session = Session::new((node, ActorId::new(2)), 1, true);
    session.start(&a, Instant::now());
    let unasked = SyncReply::Slots { differing: vec![1] };
    assert!(session.reply(&a, unasked, Instant::now()).is_err(), "out of turn");
    let short = SyncReply::Root {
        clock: Hlc::ZERO,
        flushed: rumour_crdt::Stamp::ZERO,
        owners: OwnerTable::default(),
        groups: Some(vec![1, 2, 3]),
    };
    assert!(session.reply(&a, short, Instant::now()).is_err());
    let mut session = Session::new(("n2".parse().expect("a name"), ActorId::new(2)), 1, true);
    session.start(&a, Instant::now());
    let root = SyncReply::Root {
        clock: Hlc::ZERO,
        flushed: rumour_crdt::Stamp::ZERO,
        owners: OwnerTable::default(),
        groups: Some(vec![1; crate::store::GROUPS]),
    };
    let item = VersionItem { at: Position { slot: 20_000, hash: 1 }, version: 1 };
    for reply in [root, SyncReply::Slots { differing: vec![1] }] {
        assert!(session.reply(&a, reply, Instant::now()).is_ok());
    }
    let nowhere = SyncReply::Versions { items: vec![item], next: None };
    assert!(session.reply(&a, nowhere, Instant::now()).is_err());
    assert_eq!(a.export(), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever two nodes hold, one session makes them equal, and nothing that one of them had is lost.
    #[test]
    fn one_session_makes_two_nodes_equal(
        common in prop::collection::btree_set(0u16..500, 0..300),
        only_a in prop::collection::vec((0u16..500, any::<bool>()), 0..100),
        only_b in prop::collection::vec((0u16..500, any::<bool>()), 0..100),
        tagged in any::<bool>(),
    ) {
        let name = |n: u16| if tagged { format!("{{t}}{n}") } else { format!("k{n}") };
        let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS));
        for key in &common {
            set(&a, &name(*key), "common");
        }
        for (key, entry) in a.export() {
            b.apply(&key, entry, Brought::AsHeld);
        }
        for (node, changes) in [(&a, &only_a), (&b, &only_b)] {
            for (key, keep) in changes {
                set(node, &name(*key), "changed");
                if !keep {
                    Engine::new(node.clone()).delete(name(*key).as_bytes()).expect("serves");
                }
            }
        }
        let (a, b) = (later(&a, 3), later(&b, 4));
        run(&a, &b);
        prop_assert_eq!(a.store.root_cell(), b.store.root_cell());
        let values = |node: &EngineState| {
            let visible = |(key, entry): (Bytes, Entry)| Some((key, entry.live_value(0)?));
            node.export().into_iter().filter_map(visible).collect::<Vec<_>>()
        };
        prop_assert_eq!(values(&a), values(&b));
        let (again, _) = run(&b, &a);
        prop_assert_eq!(again.round_trips, 1);
    }
}

/// Two nodes that have met and hold the same, one of them with a deleted key.
fn acquainted_pair() -> (Arc<EngineState>, Arc<EngineState>) {
    let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS));
    for (one, other) in [(&a, &b), (&b, &a)] {
        let mut watermarks = one.watermarks.lock();
        watermarks.acquainted();
        watermarks.met(&other.node, other.clock.mint(None).actor, one.clock.send_time());
    }
    set(&a, "k", "v");
    run_to(&a, &b, false);
    (a, b)
}

#[test]
fn both_ends_of_a_session_learn_what_the_other_has_seen() {
    let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS));
    set(&a, "of a", "v");
    set(&b, "of b", "v");
    let (of_a, of_b) = (entry(&a, "of a"), entry(&b, "of b"));
    run_to(&a, &b, false);
    for one in [&a, &b] {
        let mut watermarks = one.watermarks.lock();
        watermarks.collecting(Hlc::MAX);
        assert!(watermarks.is_collected(&of_a) && watermarks.is_collected(&of_b), "{}", one.node);
    }
}

#[test]
fn what_is_left_out_as_too_young_does_not_count_as_seen() {
    let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS));
    set(&a, "k", "v");
    run_to(&a, &b, true);
    b.watermarks.lock().collecting(Hlc::MAX);
    assert!(!b.watermarks.lock().is_collected(&entry(&a, "k")));
}

#[test]
fn what_is_refused_for_lying_in_the_future_does_not_count_as_seen() {
    let (a, b) = (engine_at(1, WRITTEN_MS + 10_000), engine_at(2, WRITTEN_MS));
    set(&a, "k", "v");
    let written = entry(&a, "k");
    for (from, to) in [(&a, &b), (&b, &a)] {
        run_to(from, to, false);
        b.watermarks.lock().collecting(Hlc::MAX);
        assert!(!b.watermarks.lock().is_collected(&written), "begun by {}", from.node);
    }
    assert!(!Engine::new(b).exists(b"k"));
}

/// Two nodes that know of a delete. The first one has removed the tombstone, by agreement, the second one not yet.
fn pair_of_which_one_has_collected() -> (Arc<EngineState>, Arc<EngineState>) {
    let (a, b) = acquainted_pair();
    Engine::new(a.clone()).delete(b"k").expect("serves");
    run_to(&a, &b, false);
    a.watermarks.lock().releasing(Hlc::MAX);
    a.store.collect(Hlc::MAX, 10, || a.clock.send_time());
    a.store.collect(Hlc::from_bits(u64::MAX - 1), 10, || a.clock.send_time());
    assert_eq!((a.store.tombstones(), b.store.tombstones()), (0, 1));
    (a, b)
}

#[test]
fn a_tombstone_that_comes_again_is_not_received_and_stalls_nothing() {
    let (a, b) = pair_of_which_one_has_collected();
    let report = run_to(&a, &b, false);
    assert_eq!((report.received, a.store.tombstones()), (0, 0));
    assert_eq!(a.counters.collected_again.get(), 1);
    run_to(&b, &a, false);
    assert_eq!((a.store.tombstones(), b.store.tombstones()), (0, 1), "it goes by itself");
}

#[test]
fn what_began_after_a_delete_was_collected_wins_where_it_was_not_collected_yet() {
    for begun_by_the_one_behind in [true, false] {
        let (a, b) = pair_of_which_one_has_collected();
        add(&a, "k", 0..2);
        carry(&a, &b);
        for _ in 0..2 {
            let (from, to) = if begun_by_the_one_behind { (&b, &a) } else { (&a, &b) };
            run_to(from, to, false);
        }
        assert_eq!(a.store.root_cell(), b.store.root_cell());
        assert_eq!((b.store.tombstones(), Engine::new(b.clone()).exists(b"k")), (0, true));
        assert_eq!(b.watermarks.lock().forced(), Hlc::ZERO, "every owner knew of the delete");
    }
}

#[test]
fn nothing_is_named_as_gone_that_not_all_owners_may_know_to_be_dead() {
    let node = engine_at(1, WRITTEN_MS);
    let newest = node.clock.mint(None);
    let named = |outlived| node.gone(Bytes::from_static(b"k"), &Dead { version: 1, newest, outlived });
    // As it is raised before anything is forced out.
    node.watermarks.lock().collecting(Hlc::MAX);
    assert_eq!((named(true), named(false)), (None, None));
    node.watermarks.lock().releasing(newest.time);
    assert_eq!((named(true).map(|gone| gone.forced), named(false)), (Some(false), None));
    node.watermarks.lock().forced_out(newest.time);
    assert_eq!(named(false).map(|gone| gone.forced), Some(true));
}

/// What removes holds its task for as long: a mass expiry must not make that long.
#[test]
fn what_is_dead_is_removed_some_thousands_at_a_time() {
    let node = engine_at(1, WRITTEN_MS);
    node.watermarks.lock().acquainted();
    let engine = Engine::new(node.clone());
    for number in 0..12_000 {
        let key = format!("k{number}");
        set(&node, &key, "v");
        engine.delete(key.as_bytes()).expect("serves");
    }
    assert!(!node.collect(Instant::now()), "they are dated when they are first looked at");
    set(&node, "later", "v");
    let mut before = node.store.tombstones();
    while node.collect(Instant::now()) {
        let left = node.store.tombstones();
        assert!(left < before && before - left <= 5_000, "{before} {left}");
        before = left;
    }
    assert_eq!((node.store.tombstones(), node.counters.collected.get()), (0, 12_000));
}

#[test]
fn a_value_whose_tombstone_was_forced_out_goes_and_what_was_written_since_stays() {
    for begun_by_the_absent in [true, false] {
        let (a, b) = acquainted_pair();
        set(&a, "kept", "v");
        run_to(&a, &b, false);
        Engine::new(a.clone()).delete(b"k").expect("serves");
        set(&b, "fresh", "v");
        let forced = a.force_out(0).expect("there is one too many");
        assert_eq!((forced.records, a.store.tombstones()), (1, 0));
        let (from, to) = if begun_by_the_absent { (&b, &a) } else { (&a, &b) };
        run_to(from, to, false);
        let engine = Engine::new(b.clone());
        assert!(!engine.exists(b"k") && engine.exists(b"kept") && engine.exists(b"fresh"));
        assert_eq!(b.counters.removed_gone.get(), 1);
        assert!(Engine::new(a.clone()).exists(b"fresh"));
        assert_eq!(a.store.root_cell(), b.store.root_cell());
    }
}

#[test]
fn what_is_dead_and_too_large_for_a_session_goes_all_the_same() {
    for begun_by_the_absent in [true, false] {
        let (a, b) = (small_messages(1), small_messages(2));
        for (one, other) in [(&a, &b), (&b, &a)] {
            let mut watermarks = one.watermarks.lock();
            watermarks.acquainted();
            watermarks.met(&other.node, actor(other), one.clock.send_time());
        }
        add(&a, "large", 0..300);
        // The absent one gets it, and both know that.
        run_to(&a, &b, false);
        carry(&a, &b);
        run_to(&a, &b, false);
        Engine::new(a.clone()).delete(b"large").expect("serves");
        a.fanout.queue(&b.node).outbox.lock().clear();
        assert_eq!(a.force_out(0).map(|forced| forced.records), Some(1));
        let (from, to) = if begun_by_the_absent { (&b, &a) } else { (&a, &b) };
        run_to(from, to, false);
        carry(&b, &a);
        assert!(!Engine::new(b.clone()).exists(b"large"), "begun by {}", from.node);
        assert_eq!((b.counters.removed_gone.get(), a.store.root_cell()), (1, b.store.root_cell()));
    }
}

#[test]
fn tombstones_take_no_more_than_their_share_of_the_memory() {
    let (small, large) = (engine_within(1, 1_000_000, 400_000), engine_at(2, 1_000_000));
    let delete = |engine: &Arc<EngineState>, number: u32| {
        let key = format!("key {number} {:->200}", "");
        set(engine, &key, "v");
        Engine::new(engine.clone()).delete(key.as_bytes()).expect("serves");
    };
    let mut forced = 0;
    for number in 0..4_000 {
        delete(&small, number);
        delete(&large, number);
        if number % 50 == 0 {
            forced += small.force_out(usize::MAX).map_or(0, |forced| forced.records);
        }
        assert_eq!(small.store.len(), 0, "every write finds room");
    }
    let left = small.store.tombstones();
    assert_eq!(left + forced, 4_000);
    assert!((300..500).contains(&left), "{left} tombstones of some 250 bytes in 100,000");
    assert_eq!((large.force_out(usize::MAX), large.store.tombstones()), (None, 4_000));
}

#[test]
fn a_forced_tombstone_spares_a_key_that_the_absent_wrote_again() {
    let (a, b) = acquainted_pair();
    Engine::new(a.clone()).delete(b"k").expect("serves");
    set(&b, "k", "again");
    a.force_out(0).expect("there is one too many");
    run_to(&b, &a, false);
    assert_eq!(Engine::new(a).get(b"k").as_deref(), Some(&b"again"[..]));
}

#[test]
fn entries_that_were_sent_too_long_ago_are_turned_away() {
    let (a, b) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS + 26_000));
    set(&a, "k", "v");
    let exchange = SyncRequest::Exchange {
        clock: a.clock.send_time(),
        entries: a.export(),
        again: vec![],
        want: vec![],
        gone: vec![],
    };
    assert!(respond(&b, (&a.node, ActorId::new(1)), exchange, Instant::now()).is_err());
    assert!(b.export().is_empty());
    assert_eq!(b.counters.refused_stale.get(), 1);
}

fn entry(node: &EngineState, key: &str) -> Entry {
    node.store.with_entry(key.as_bytes(), 0, Entry::clone).expect("it is there")
}

#[test]
fn what_is_left_out_does_not_count_as_seen_of_those_it_came_from_either() {
    let (a, b, c) = (engine_at(1, WRITTEN_MS), engine_at(2, WRITTEN_MS), engine_at(3, WRITTEN_MS));
    set(&a, "k", "v");
    let written = entry(&a, "k");
    run_to(&b, &a, false);
    // Node b has seen all of a, and leaves to replication what c lacks.
    run_to(&b, &c, true);
    c.watermarks.lock().collecting(Hlc::MAX);
    assert!(!c.watermarks.lock().is_collected(&written));
    run_to(&b, &c, false);
    assert!(c.watermarks.lock().is_collected(&written));
}

/// Entries larger than this do not fit a message here.
const LARGE: usize = 2_000;

fn small_messages(actor: u64) -> Arc<EngineState> {
    engine_with(actor, WRITTEN_MS, LARGE)
}

fn add(node: &Arc<EngineState>, key: &str, members: std::ops::Range<u32>) {
    let added = Engine::new(node.clone()).write(key.as_bytes(), |key| {
        let mut set = key.members().expect("it is a set or nothing");
        members.for_each(|member| set.put(format!("member {member}").as_bytes(), (), None));
    });
    added.expect("serves");
}

#[test]
fn what_is_too_large_for_a_message_comes_by_replication_whoever_began() {
    for begun_by_holder in [true, false] {
        let a = small_messages(1);
        add(&a, "large", 0..300);
        set(&a, "small", "v");
        let (a, b) = (later(&a, 3), engine_with(2, WRITTEN_MS + 60_000, LARGE));
        let (from, to) = if begun_by_holder { (&a, &b) } else { (&b, &a) };
        for turn in 0..2 {
            // The second session finds it queued, or on its way.
            let report = run_to(from, to, true);
            assert_eq!((report.handed, report.sent + report.received), (1, u64::from(turn == 0)));
            assert_eq!(a.fanout.queued_for(&b.node), 1);
        }
        assert!(Engine::new(b.clone()).exists(b"small") && !Engine::new(b.clone()).exists(b"large"));
        let b_again = engine_with(4, WRITTEN_MS + 60_000, LARGE);
        run_to(&b_again, &b, false);
        for node in [&b, &b_again] {
            let (_, frames) = match node.node == b.node {
                true => carry(&a, node),
                false => {
                    run_to(node, &a, false);
                    carry(&a, node)
                }
            };
            assert!(frames > 2, "{frames}");
            assert_eq!(a.store.root_cell(), node.store.root_cell());
            assert_eq!(run_to(from, to, true).round_trips, 1);
        }
    }
}

#[test]
fn what_is_left_to_replication_does_not_count_as_seen_until_a_session_finds_it() {
    for begun_by_holder in [true, false] {
        let (a, b) = (small_messages(1), small_messages(2));
        add(&a, "large", 0..300);
        let large = entry(&a, "large");
        let (from, to) = if begun_by_holder { (&a, &b) } else { (&b, &a) };
        let has_seen = || {
            b.watermarks.lock().collecting(Hlc::MAX);
            b.watermarks.lock().is_collected(&large)
        };
        assert_eq!(run_to(from, to, false).handed, 1);
        assert!(!has_seen(), "begun by {}", from.node);
        carry(&a, &b);
        // Not turned away: it is there.
        assert_eq!(run_to(from, to, false).round_trips, 1);
        assert!(has_seen());
    }
}

#[test]
fn a_large_entry_that_differs_goes_both_ways_and_ends_equal() {
    let a = small_messages(1);
    add(&a, "large", 0..300);
    let b = later(&a, 2);
    add(&a, "large", 300..400);
    add(&b, "large", 400..500);
    let (a, b) = (later(&a, 3), later(&b, 4));
    let report = run_to(&a, &b, true);
    assert_eq!((report.handed, report.sent, report.received), (2, 0, 0));
    carry(&a, &b);
    carry(&b, &a);
    assert_eq!(a.store.root_cell(), b.store.root_cell());
    assert_eq!(entry(&a, "large").members().map(rumour_crdt::Fields::len), Some(500));
    assert_eq!(run_to(&b, &a, true).round_trips, 1);
}

#[test]
fn many_large_entries_pass_a_queue_that_is_too_short_for_them() {
    let a = small_messages(1);
    let room = 10 + HANDED_KEYS_LIMIT;
    for key in 0..5 * room {
        add(&a, &format!("{{tag}}{key}"), 0..if key % 2 == 0 { 100 } else { 3 });
    }
    let (a, b) = (later(&a, 2), engine_with(3, WRITTEN_MS + 60_000, LARGE));
    let mut rounds = 0;
    while a.store.root_cell() != b.store.root_cell() {
        rounds += 1;
        assert!(rounds < 10, "it does not end");
        run_to(&b, &a, false);
        assert!(a.fanout.queued_for(&b.node) <= room);
        carry(&a, &b);
    }
    assert_eq!(rounds, 3, "half of them are large");
    assert_eq!(b.counters.sync_entries_received.get(), 5 * room as u64 / 2);
    assert!(a.counters.replication_overflowed.get() > 0);
}
