//! The laws of `Lattice` for every type that a key can hold, and the outcome of every step beside an oracle, over
//! random causal histories.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p rumour-crdt --test contents_laws --test laws` runs more of them.

mod causal;
mod lattice;

use bincode::config::standard;
use causal::{Happened, State, World, steps};
use lattice::{assert_equivalent, assert_laws, assert_laws_of};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rumour_crdt::{Contents, Data, Entry, Fields, Kind, Lattice, Payload};

/// What is run when nothing else is asked for.
const CASES: u32 = 96;

const ALL: &[Kind] = &[Kind::String, Kind::Values, Kind::Set, Kind::SortedSet, Kind::Map];

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

fn settled(mut entry: Entry) -> Entry {
    entry.settle();
    entry
}

fn settled_contents(contents: Contents) -> Contents {
    let mut entry =
        Entry::ground(None, contents.kind(), rumour_crdt::Stamp::ZERO, |stamp| stamp).with_contents(contents);
    entry.settle();
    entry.contents().expect("they were put in").clone()
}

fn assert_fields_laws<P: Payload>(a: &Fields<P>, b: &Fields<P>, c: &Fields<P>) {
    assert_laws_of(a, b, c, |mut fields| {
        fields.settle();
        fields
    });
    assert_laws(a.seen(), b.seen(), c.seen());
}

fn assert_data_laws(a: &Data, b: &Data, c: &Data) {
    match (a, b, c) {
        (Data::Counter(a), Data::Counter(b), Data::Counter(c)) => assert_laws(a, b, c),
        (Data::Values(a), Data::Values(b), Data::Values(c)) => assert_fields_laws(a, b, c),
        (Data::Set(a), Data::Set(b), Data::Set(c)) => assert_fields_laws(a, b, c),
        (Data::SortedSet(a), Data::SortedSet(b), Data::SortedSet(c)) => assert_fields_laws(a, b, c),
        (Data::Map(a), Data::Map(b), Data::Map(c)) => assert_fields_laws(a, b, c),
        _ => {}
    }
}

/// The equality of versions is that of states, of which one may have been dropped already. Ends that do not hold are
/// part of a version, but do not show.
fn assert_version_tells(one: &Entry, two: &Entry, has_rivals: bool) {
    let hidden = |entry: &Entry| {
        (entry.stamp(), entry.expiry(), entry.contents().map(|contents| contents.data().clone()))
    };
    let (same_version, same) = (one.version() == two.version(), hidden(one) == hidden(two));
    assert!(!same_version || same, "{one:?} {two:?}");
    assert!(same_version || has_rivals || !same, "{one:?} {two:?}");
    assert!(same_version || !one.equivalent(two), "{one:?} {two:?}");
}

fn assert_comes_back(entry: &Entry) {
    let bytes = bincode::serde::encode_to_vec(entry, standard()).expect("encoding to memory");
    let (back, read): (Entry, usize) =
        bincode::serde::decode_from_slice(&bytes, standard()).expect("own bytes");
    assert_eq!((read, &back, back.version()), (bytes.len(), entry, entry.version()));
    assert_eq!(back.is_visible(), entry.is_visible());
    if let (Some(back), Some(entry)) = (back.sorted(), entry.sorted()) {
        assert!(back.index().iter().eq(entry.index().iter()));
    }
    if let (Some(back), Some(entry)) = (back.map(), entry.map()) {
        assert_eq!((back.len(), back.has_expiries()), (entry.len(), entry.has_expiries()));
    }
}

fn assert_all_laws(world: &World, picks: &[[Index; 3]]) {
    let all: Vec<&State> = world.states.iter().chain(&world.messages).collect();
    if all.is_empty() {
        return;
    }
    for picks in picks {
        let [a, b, c] = picks.map(|pick| *pick.get(&all));
        assert_laws_of(&a.entry, &b.entry, &c.entry, settled);
        assert_comes_back(&a.entry);
        let same: Vec<&&State> = all.iter().filter(|state| state.entry.stamp() == a.entry.stamp()).collect();
        let [_, b, c] = picks.map(|pick| *pick.get(&same));
        assert_laws_of(&a.entry, &b.entry, &c.entry, settled);
        let has_rivals = world.has_rivals(&a.ids) || world.has_rivals(&b.ids);
        assert_version_tells(&settled(a.entry.clone()), &settled(b.entry.clone()), has_rivals);
        if let (Some(a), Some(b), Some(c)) = (a.entry.contents(), b.entry.contents(), c.entry.contents()) {
            assert_laws_of(a, b, c, settled_contents);
            assert_data_laws(a.data(), b.data(), c.data());
        }
    }
}

/// Who has received all messages, deltas and states in whatever order, holds what who merged all states holds.
fn assert_routes_agree(mut world: World, order: &[Index]) {
    let messages = world.messages.clone();
    let Some(mut straight) = messages.first().cloned() else { return };
    let mut shuffled = order.first().map_or(&straight, |pick| pick.get(&messages)).clone();
    let mut whole = world.states[0].clone();
    straight.entry.settle();
    shuffled.entry.settle();
    for message in &messages {
        world.merge(&mut straight, message);
    }
    for message in order.iter().map(|pick| pick.get(&messages)).chain(messages.iter().rev()) {
        world.merge(&mut shuffled, message);
        world.seen(&shuffled.ids).assert_is(&shuffled.entry);
    }
    for state in &world.states.clone() {
        world.merge(&mut whole, state);
    }
    for other in [&shuffled, &whole] {
        assert_equivalent(&straight.entry, &other.entry);
        assert_eq!(straight.entry.version(), other.entry.version());
    }
    world.seen(&straight.ids).assert_is(&straight.entry);
}

macro_rules! laws {
    ($($name:ident: $kinds:expr;)*) => {
        proptest! {
            #![proptest_config(config())]
            $(
                #[test]
                fn $name(
                    (replicas, steps) in steps($kinds),
                    picks in prop::collection::vec(any::<[Index; 3]>(), 12),
                    order in prop::collection::vec(any::<Index>(), 0..40),
                ) {
                    let world = World::run(replicas, &steps);
                    assert_all_laws(&world, &picks);
                    assert_routes_agree(world, &order);
                }
            )*
        }
    };
}

laws! {
    counters: &[Kind::String];
    multi_value_registers: &[Kind::Values];
    sets: &[Kind::Set];
    sorted_sets: &[Kind::SortedSet];
    maps: &[Kind::Map];
    mixed_types: ALL;
}

fn assert_fields_are_well_formed<P: Payload>(fields: &Fields<P>, ordered: Option<usize>) {
    let visible = fields.iter(0).count();
    assert!(fields.len() >= visible, "some may be due");
    assert_eq!((0..fields.places()).filter(|place| fields.at(*place, 0).is_some()).count(), visible);
    assert!(ordered.is_none_or(|ordered| ordered == fields.len()));
    for (_, field) in fields.iter(0) {
        assert!(field.puts().iter().all(|put| fields.seen().contains(put.stamp.dot())));
        assert!(field.counter().is_none_or(|counter| counter.total().float.is_finite()));
    }
}

/// Uses what was made of bytes from outside as a node would.
fn exercise(mut entry: Entry, beside: &Entry) {
    assert_comes_back(&entry);
    match entry.contents().map(Contents::data) {
        Some(Data::Counter(counter)) => assert!(counter.total().float.is_finite()),
        Some(Data::Values(fields) | Data::Map(fields)) => assert_fields_are_well_formed(fields, None),
        Some(Data::Set(fields)) => assert_fields_are_well_formed(fields, None),
        Some(Data::SortedSet(fields)) => {
            let scores: Vec<f64> = fields.index().iter().map(|(score, _)| score).collect();
            assert!(scores.is_sorted());
            assert_fields_are_well_formed(fields, Some(scores.len()));
        }
        None => {}
    }
    let mut other = beside.clone();
    for _ in 0..2 {
        other.join(&entry);
        entry.join(beside);
        entry.purge(u64::MAX);
        entry.live_value(0);
        entry.settle();
        entry.expire(u64::MAX);
        assert_comes_back(&entry);
        assert_comes_back(&other);
    }
    assert!(entry.heap_bytes() < 1 << 20);
}

proptest! {
    #![proptest_config(config())]

    /// Bytes of states that a few bits were changed of.
    #[test]
    fn damaged_bytes_are_refused_or_make_a_well_formed_entry(
        (replicas, steps) in steps(ALL),
        damages in prop::collection::vec((any::<[Index; 3]>(), prop_oneof![0..4_u8, 250..=255_u8, any::<u8>()]), 1..60),
    ) {
        let world = World::run(replicas, &steps);
        let all: Vec<&State> = world.states.iter().chain(&world.messages).collect();
        if all.is_empty() {
            return Ok(());
        }
        for ([state, beside, place], byte) in damages {
            let mut bytes = bincode::serde::encode_to_vec(&state.get(&all).entry, standard()).expect("to memory");
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let limited = standard().with_limit::<{ 1 << 16 }>();
            if let Ok((entry, _)) = bincode::serde::decode_from_slice::<Entry, _>(&bytes, limited) {
                exercise(entry, &beside.get(&all).entry);
            }
        }
    }
}

/// Histories in which nothing happens prove nothing.
#[test]
fn histories_are_eventful() {
    const PUTS: &[&str] =
        &["concurrent puts replaced", "elements with concurrent puts", "elements put and counted"];
    const TYPES: &[&str] = &["types changed", "conflicts between types"];
    const ENDS: &[&str] = &["elements purged"];
    const LIFTED: &[&str] = &["ends of emptied collections lifted"];
    const LOSSES: &[&str] = &["conflicts of elements"];
    let always = [
        "stray deltas",
        "joined deltas",
        "evictions",
        "amnesias",
        "flushes of something",
        "contents replaced",
        "expired contents",
        "epochs after an expiry",
        "contributions to hidden or nothing",
        "conflicts between epochs",
        "hidden contents shown again",
        "rival ends",
    ];
    let expected: [(&'static [Kind], &[&[&str]]); 6] = [
        (&[Kind::String], &[LIFTED]),
        (&[Kind::Values], &[PUTS, LIFTED]),
        (&[Kind::Set], &[PUTS]),
        (&[Kind::SortedSet], &[PUTS, LOSSES]),
        (&[Kind::Map], &[PUTS, ENDS, LOSSES]),
        (ALL, &[ENDS, LOSSES, TYPES]),
    ];
    for (kinds, more) in expected {
        let mut runner = TestRunner::deterministic();
        let mut happened = Happened::new();
        for _ in 0..512 {
            let (replicas, steps) = steps(kinds).new_tree(&mut runner).unwrap().current();
            for (what, times) in World::run(replicas, &steps).happened {
                *happened.entry(what).or_default() += times;
            }
        }
        for what in always.iter().chain(more.iter().copied().flatten()) {
            let times = happened.get(what).copied().unwrap_or_default();
            // Of a counter nothing but whole states is no delta.
            let never = kinds == [Kind::String] && what.ends_with("deltas");
            assert!(never || times >= 5, "{kinds:?}: only {times} {what}");
        }
    }
}
