//! Bytes from outside: whatever they are, decoding does not panic, and what it lets through is well formed.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use bytes::Bytes;
use proptest::prelude::*;
use rumour_crdt::{
    ActorId, Body, Cell, Contents, Counter, DotSet, ENTRY_DOTS_LIMIT, Entry, Fields, Hlc, Lattice, Score,
    Stamp, VECTOR_ACTORS_LIMIT, VersionVector,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const LIMIT_BYTES: usize = 1 << 16;

fn config() -> Configuration<LittleEndian, Varint, Limit<LIMIT_BYTES>> {
    standard().with_limit::<LIMIT_BYTES>()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    bincode::serde::decode_from_slice(bytes, config()).ok().map(|(value, _)| value)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).expect("encoding to memory")
}

type WireStamp = (u64, u64, u64);
/// An entry's fields as they travel, free to contradict each other.
type Wire = (WireStamp, Vec<(u64, u64)>, Body, Option<u64>, Option<WireStamp>);

/// With the last writer's expiry and without contents.
fn encode_entry((stamp, others, body, at_ms, expiry): &Wire) -> Vec<u8> {
    const LAST_WRITER: u32 = 0;
    const NO_CONTENTS: Option<u8> = None;
    encode(&(stamp, others, body, at_ms, expiry.map(|expiry| (LAST_WRITER, expiry)), NO_CONTENTS))
}

fn wire() -> impl Strategy<Value = Wire> {
    let edge = || prop_oneof![6 => 0..4_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let stamp = move || (edge(), edge(), edge());
    let body = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..3).prop_map(|value| Body::Value(value.into())),
        1 => Just(Body::Tombstone),
        1 => Just(Body::Expired),
    ];
    let others = prop::collection::vec((edge(), edge()), 0..6);
    (stamp(), others, body, prop::option::of(edge()), prop::option::of(stamp()))
}

fn assert_well_formed(entry: &Entry) {
    let (stamp, expiry) = (entry.stamp(), entry.expiry());
    let seen: Vec<_> = entry.seen().iter().collect();
    assert!(stamp.seq > 0 && expiry.stamp >= stamp);
    assert!(seen.len() <= ENTRY_DOTS_LIMIT && seen.iter().all(|dot| dot.seq > 0));
    assert!(seen[0].actor == stamp.actor && entry.seen().covers(stamp.dot()));
    for (n, dot) in seen.iter().enumerate() {
        assert!(seen[..n].iter().all(|earlier| earlier.actor != dot.actor));
    }
    match entry.body() {
        Body::Value(_) => {}
        Body::Tombstone => assert!(expiry.at_ms.is_none() && expiry.stamp == stamp),
        Body::Expired => assert!(expiry.at_ms.is_some()),
    }
    assert_ne!(entry.version(), 0);
}

/// Uses it as a node would.
fn exercise(entry: &Entry) {
    assert_well_formed(entry);
    let mut entry = entry.clone();
    entry.expire(u64::MAX);
    entry.set_expiry(Some(1), Stamp { time: Hlc::MAX, actor: ActorId::new(u64::MAX), seq: u64::MAX });
    assert_well_formed(&entry);
    assert!(entry.payload_bytes() <= LIMIT_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80)) {
        if let Some(entry) = decode::<Entry>(&bytes) {
            exercise(&entry);
        }
        if let Some(vector) = decode::<VersionVector>(&bytes) {
            prop_assert!(vector.len() <= VECTOR_ACTORS_LIMIT);
        }
        let _ = (decode::<DotSet>(&bytes), decode::<Counter>(&bytes).map(|counter| counter.total()));
        let _ = (decode::<Fields<()>>(&bytes), decode::<Fields<Score>>(&bytes), decode::<Contents>(&bytes));
        let _ = decode::<Cell>(&bytes).map(|cell| cell.fingerprint(0));
    }

    /// Also of states that no correct node sends the merges come out equal everywhere.
    #[test]
    fn contradictory_entries(wires in prop::collection::vec(wire(), 3..20)) {
        let entries: Vec<Entry> = wires.iter().filter_map(|wire| decode(&encode_entry(wire))).collect();
        entries.iter().for_each(exercise);
        let joined = |one: &Entry, two: &Entry| {
            let mut entry = one.clone();
            entry.join(two);
            assert_well_formed(&entry);
            assert!(!entry.clone().join(two), "merging the same state again changed something");
            entry
        };
        for triple in entries.windows(3) {
            let [a, b, c] = triple else { unreachable!("windows of three") };
            prop_assert!(joined(a, b).equivalent(&joined(b, a)));
            prop_assert!(joined(&joined(a, b), c).equivalent(&joined(a, &joined(b, c))));
        }
    }

    #[test]
    fn entries_come_back_from_bytes(wire in wire()) {
        if let Some(entry) = decode::<Entry>(&encode_entry(&wire)) {
            let back: Entry = decode(&encode(&entry)).expect("own bytes");
            prop_assert!(back.seen().iter().eq(entry.seen().iter()));
            prop_assert_eq!(back, entry);
        }
    }
}

fn stamp(seq: u64) -> Stamp {
    Stamp { time: Hlc::from_bits(5), actor: ActorId::new(7), seq }
}

/// A change here is a change of the protocol between nodes.
#[test]
fn entries_travel_in_a_known_form() {
    let plain = Entry::value(Bytes::from_static(b"ab"), None, stamp(9), None);
    assert_eq!(encode(&plain), [5, 7, 9, 0, 0, 2, b'a', b'b', 0, 0, 0]);
    let mut moved = plain;
    let above = Stamp { time: Hlc::from_bits(6), actor: ActorId::new(1), seq: 2 };
    assert!(moved.set_expiry(Some(33), above));
    moved.expire(33);
    assert_eq!(encode(&moved), [5, 7, 9, 0, 2, 1, 33, 1, 0, 6, 1, 2, 0]);
    let over = Stamp { time: Hlc::from_bits(8), actor: ActorId::new(1), seq: 3 };
    assert_eq!(encode(&Entry::tombstone(over, Some(&moved))), [8, 1, 3, 1, 7, 9, 1, 0, 0, 0]);
}

#[test]
fn malformed_entries_are_refused() {
    let good = |wire: Wire| decode::<Entry>(&encode_entry(&wire)).is_some();
    let value = || Body::Value(Bytes::new());
    assert!(good(((5, 7, 1), vec![(8, 1)], value(), Some(3), Some((6, 1, 1)))));
    assert!(!good(((5, 7, 0), vec![], value(), None, None)), "sequence zero");
    assert!(!good(((5, 7, 1), vec![(7, 1)], value(), None, None)), "its writer twice");
    assert!(!good(((5, 7, 1), vec![(8, 1), (8, 2)], value(), None, None)), "another writer twice");
    assert!(!good(((5, 7, 1), vec![(8, 1), (9, 1), (8, 2)], value(), None, None)), "and not side by side");
    assert!(!good(((5, 7, 1), vec![(8, 0)], value(), None, None)), "a dot of no write");
    assert!(!good(((5, 7, 1), vec![], value(), Some(3), Some((5, 7, 1)))), "an expiry that changed nothing");
    assert!(!good(((5, 7, 1), vec![], value(), Some(3), Some((4, 9, 1)))), "an expiry before its value");
    assert!(!good(((5, 7, 1), vec![], value(), Some(3), Some((6, 9, 0)))), "an expiry of no write");
    assert!(!good(((5, 7, 1), vec![], Body::Tombstone, Some(3), None)), "a tombstone that ends");
    assert!(!good(((5, 7, 1), vec![], Body::Tombstone, None, Some((6, 1, 1)))), "a tombstone made lasting");
    assert!(!good(((5, 7, 1), vec![], Body::Expired, None, None)), "expired without an expiry");
    assert!(!good(((5, 7, 1), vec![], Body::Expired, Some(u64::MAX), None)), "expired at the end of time");
}

#[test]
fn vectors_are_bounded() {
    let actors = |count: usize| -> Vec<(u64, u64)> { (0..count as u64).map(|actor| (actor, 1)).collect() };
    let longest = decode::<VersionVector>(&encode(&actors(VECTOR_ACTORS_LIMIT)));
    assert_eq!(longest.map(|vector| vector.len()), Some(VECTOR_ACTORS_LIMIT));
    assert_eq!(decode::<VersionVector>(&encode(&actors(VECTOR_ACTORS_LIMIT + 1))), None);
    // A length of 2^64 - 1 with nothing behind it.
    assert_eq!(decode::<VersionVector>(&[253, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    let wire = ((5, 5_000, 1), actors(VECTOR_ACTORS_LIMIT), Body::Tombstone, None, None);
    let entry = decode::<Entry>(&encode_entry(&wire));
    exercise(&entry.expect("vectors of later versions may be longer than ours"));
}

#[test]
fn malformed_dots_are_refused() {
    let good = |runs: &[(u64, u64, u64)]| decode::<DotSet>(&encode(&runs)).is_some();
    assert!(good(&[(1, 1, 3), (1, 5, u64::MAX), (2, 1, 1)]));
    for (runs, what) in [
        (&[(1, 0, 3)][..], "no write"),
        (&[(1, 3, 2)], "backwards"),
        (&[(2, 1, 1), (1, 1, 1)], "actors out of order"),
        (&[(1, 1, 3), (1, 4, 5)], "touching"),
        (&[(1, 1, 3), (1, 2, 5)], "overlapping"),
        (&[(1, 1, u64::MAX), (1, u64::MAX, u64::MAX)], "overlapping at the end"),
    ] {
        assert!(!good(runs), "{what}");
    }
}

type WireSum = (i128, f64);
type WireShare = (u64, u64, u64, u64, WireSum, Option<(u64, WireSum)>);

#[test]
fn malformed_counters_are_refused() {
    let good = |shares: &[WireShare]| decode::<Counter>(&encode(&shares)).is_some();
    let whole = (5, 0.0);
    assert!(good(&[(1, 2, 9, 4, whole, Some((3, whole))), (1, 5, 9, 5, whole, None)]));
    for (shares, what) in [
        (&[(1, 2, 9, 1, whole, None)][..], "a share that ends before it begins"),
        (&[(1, 0, 9, 1, whole, None)], "a share of no write"),
        (&[(1, 2, 9, 4, whole, Some((5, whole)))], "more cleared than there was"),
        (&[(1, 2, 9, 4, whole, Some((1, whole)))], "cleared before it began"),
        (&[(1, 2, 9, 4, (0, f64::NAN), None)], "no number"),
        (&[(1, 2, 9, 4, whole, Some((3, (0, f64::INFINITY))))], "an infinite sum"),
        (&[(1, 2, 9, 4, whole, None), (1, 2, 9, 5, whole, None)], "a share twice"),
    ] {
        assert!(!good(shares), "{what}");
    }
}

type WirePut<P> = (WireStamp, P, Option<(Option<u64>, WireStamp)>);
type WireField<P> = (Vec<WirePut<P>>, Option<Vec<WireShare>>);

#[test]
fn malformed_elements_are_refused() {
    let seen = vec![(1_u64, 1_u64, 5_u64)];
    let fields =
        |fields: Vec<(Bytes, WireField<f64>)>| decode::<Fields<Score>>(&encode(&(false, &seen, fields)));
    let good = |puts: Vec<WirePut<f64>>| fields(vec![("a".into(), (puts, None))]).is_some();
    assert!(good(vec![((9, 1, 1), 1.0, None), ((9, 1, 2), 2.0, Some((Some(7), (9, 1, 2))))]));
    assert!(!good(vec![((9, 1, 1), 1.0, None), ((8, 1, 1), 2.0, None)]), "a put twice");
    assert!(!good(vec![((9, 1, 6), 1.0, None)]), "a put that was not seen");
    assert!(!good(vec![((9, 1, 0), 1.0, None)]), "a put of no write");
    assert!(!good(vec![((9, 1, 1), f64::NAN, None)]), "a score that is no number");
    assert!(!good(vec![((9, 1, 1), 1.0, Some((None, (8, 1, 1))))]), "an end set before the put");
    let element = || (Bytes::from("a"), (vec![((9, 1, 1), 1.0, None)], None));
    assert!(fields(vec![element(), element()]).is_none(), "an element twice");
    // Nothing that is empty is kept.
    let empty = fields(vec![("a".into(), (vec![], Some(vec![])))]).expect("it says nothing");
    assert_eq!((empty.len(), empty.places()), (0, 0));
}

/// The most address space that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("it is told");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// A list of puts that claims to be long must not make room for that.
#[cfg(target_os = "linux")]
#[test]
fn claimed_lengths_take_no_memory() {
    const CLAIMED: u64 = 1 << 25;
    let before = peak_bytes();
    let mut bytes = encode(&(true, Vec::<(u64, u64, u64)>::new()));
    bytes.extend(encode(&(1_u8, Bytes::from("a"), CLAIMED)));
    assert_eq!(decode::<Fields<Bytes>>(&bytes), None);
    assert_eq!(decode::<DotSet>(&encode(&CLAIMED)), None);
    assert_eq!(decode::<Counter>(&encode(&CLAIMED)), None);
    let grown = peak_bytes() - before;
    assert!(grown < 512 << 20, "{grown} bytes for nothing");
}

/// Nor is a length that no memory holds a panic.
#[test]
fn impossible_lengths_are_refused() {
    let mut bytes = encode(&(true, Vec::<(u64, u64, u64)>::new()));
    bytes.extend(encode(&(1_u8, Bytes::from("a"), 1_u64 << 40)));
    assert_eq!(decode::<Fields<Bytes>>(&bytes), None);
    assert_eq!(decode::<DotSet>(&encode(&(1_u64 << 40))), None);
    assert_eq!(decode::<Counter>(&encode(&(1_u64 << 40))), None);
}
