use crdts::CvRDT;

use super::*;
use crate::{ActorId, Amount, Data, Dot, Hlc, Kind, Origin};

fn stamp(ms: u64, actor: u64, seq: u64) -> Stamp {
    Stamp { time: Hlc::from_parts(ms, 0), actor: ActorId::new(actor), seq }
}

fn value(text: &'static str, at: Stamp, over: Option<&Entry>) -> Entry {
    Entry::value(Bytes::from_static(text.as_bytes()), None, at, over)
}

fn merged(one: &Entry, two: &Entry) -> Entry {
    let mut entry = one.clone();
    let _ = Entry::merge(&mut entry, two);
    entry
}

fn body_of(entry: &Entry) -> Body {
    entry.body().clone()
}

fn actors(entry: &Entry) -> Vec<u64> {
    entry.seen().iter().map(|dot| dot.actor.get()).collect()
}

#[test]
fn stays_small() {
    assert_eq!(size_of::<VersionVector>(), 16);
    assert!(size_of::<Entry>() <= 104, "{}", size_of::<Entry>());
}

#[test]
fn a_write_over_a_state_wins_without_conflict() {
    let old = value("old", stamp(1, 1, 1), None);
    let new = value("new", stamp(2, 2, 1), Some(&old));
    for (into, from) in [(&old, &new), (&new, &old)] {
        let mut entry = into.clone();
        assert_eq!(Entry::merge(&mut entry, from).conflicts, 0);
        assert_eq!(entry.live_value(0), Some(Bytes::from_static(b"new")));
    }
}

#[test]
fn concurrent_writes_are_reported_once_with_the_losing_value() {
    let low = value("low", stamp(1, 1, 1), None);
    let high = value("high", stamp(1, 2, 1), None);
    let side = |entry: &Entry, text: &'static str| Side {
        stamp: entry.stamp(),
        written: Written::Value(text.into()),
    };
    let expected = Conflict { element: None, losing: side(&low, "low"), winning: side(&high, "high") };
    for (into, from) in [(&low, &high), (&high, &low)] {
        let mut entry = into.clone();
        let first = Entry::merge(&mut entry, from);
        assert_eq!(first, Merged { changed: true, conflicts: 1, described: vec![expected.clone()] });
        assert_eq!(body_of(&entry), body_of(&high));
        assert_eq!(Entry::merge(&mut entry, from), Merged::default());
    }
}

#[test]
fn a_delete_beats_what_it_saw_and_loses_to_later_writes() {
    let old = value("old", stamp(1, 1, 1), None);
    let gone = Entry::tombstone(stamp(2, 1, 2), Some(&old));
    assert_eq!(body_of(&merged(&gone, &old)), Body::Tombstone);
    let new = value("new", stamp(3, 2, 1), Some(&gone));
    assert_eq!(body_of(&merged(&gone, &new)), body_of(&new));
    assert_eq!(gone.payload_bytes(), 0);
    assert_eq!(new.payload_bytes(), 3);
}

#[test]
fn expiring_is_final_and_does_not_change_the_version() {
    let alive = Entry::value(Bytes::from_static(b"v"), Some(100), stamp(1, 1, 1), None);
    assert!(!alive.is_due(99) && alive.live_value(99).is_some());
    assert!(alive.is_due(100) && alive.live_value(100).is_none());
    let mut dropped = alive.clone();
    assert!(!dropped.expire(99));
    assert!(dropped.expire(100) && !dropped.expire(101));
    assert_eq!(dropped.version(), alive.version());
    assert!(dropped.is_due(0) && dropped.live_value(0).is_none());
    assert_eq!(body_of(&merged(&dropped, &alive)), Body::Expired);
    assert_eq!(body_of(&merged(&alive, &dropped)), Body::Expired);
}

#[test]
fn a_newer_expiry_brings_its_value_and_an_older_one_yields() {
    let short = Entry::value(Bytes::from_static(b"v"), Some(100), stamp(1, 1, 1), None);
    let mut long = short.clone();
    assert!(long.set_expiry(Some(500), stamp(2, 2, 1)));
    let mut dropped = short.clone();
    dropped.expire(100);
    assert_eq!(merged(&dropped, &long), long);
    assert_eq!(merged(&long, &dropped), long);
    assert_ne!(long.version(), short.version());
    assert_eq!(long.expiry(), Expiry { at_ms: Some(500), stamp: stamp(2, 2, 1) });
    assert_eq!((long.stamp(), long.newest()), (stamp(1, 1, 1), stamp(2, 2, 1)));
}

#[test]
fn an_expiry_never_outlives_its_value() {
    let old = value("old", stamp(1, 1, 1), None);
    let new = value("new", stamp(2, 2, 1), Some(&old));
    let mut extended = old.clone();
    assert!(extended.set_expiry(Some(9_000), stamp(3, 1, 2)));
    assert_eq!(merged(&extended, &new), merged(&new, &extended));
    assert_eq!(merged(&extended, &new).expiry(), Expiry { at_ms: None, stamp: new.stamp() });
}

#[test]
fn only_a_value_takes_an_expiry_and_only_from_above() {
    let mut gone = Entry::tombstone(stamp(1, 1, 1), None);
    assert!(!gone.set_expiry(Some(5), stamp(2, 1, 2)));
    let mut dropped = Entry::value(Bytes::new(), Some(1), stamp(1, 1, 1), None);
    dropped.expire(1);
    assert!(!dropped.set_expiry(None, stamp(2, 1, 2)));
    let mut alive = Entry::value(Bytes::new(), Some(u64::MAX), stamp(1, 1, 1), None);
    assert_eq!(alive.expiry().at_ms, None);
    assert!(!alive.set_expiry(Some(5), stamp(1, 1, 1)));
    assert!(alive.set_expiry(Some(5), stamp(2, 1, 2)));
    assert!(!alive.set_expiry(None, stamp(2, 1, 1)));
    assert_eq!(alive.expiry().at_ms, Some(5));
    assert!(alive.set_expiry(None, stamp(2, 1, 3)));
    assert!(!alive.is_due(u64::MAX));
}

#[test]
fn remembers_the_latest_writers_and_always_its_own() {
    let mut entry = value("v", stamp(1, 1, 1), None);
    for actor in 2..=5 {
        entry = value("v", stamp(actor, actor, 1), Some(&entry));
    }
    assert_eq!(actors(&entry), [5, 4, 3]);
    entry = value("v", stamp(9, 3, 2), Some(&entry));
    assert_eq!(actors(&entry), [3, 5, 4]);
    let other = value("v", stamp(8, 7, 1), Some(&value("v", stamp(7, 8, 1), None)));
    assert_eq!(actors(&merged(&entry, &other)), [3, 7, 5]);
    let other = value("v", stamp(10, 7, 1), Some(&value("v", stamp(7, 8, 1), None)));
    assert_eq!(actors(&merged(&entry, &other)), [7, 3, 8]);
}

/// Found by the property tests: the loser was the first to be forgotten, and reported each time it came.
#[test]
fn a_conflict_is_reported_once_also_when_the_vector_is_full() {
    let mut winner = value("v", stamp(1, 1, 1), None);
    for actor in 2..=3 {
        winner = value("v", stamp(actor, actor, 1), Some(&winner));
    }
    let loser = value("lost", stamp(1, 9, 1), None);
    assert!(Entry::merge(&mut winner, &loser).conflicts == 1);
    assert_eq!(Entry::merge(&mut winner, &loser), Merged::default());
}

#[test]
fn forgetting_a_writer_reports_a_conflict_that_was_none_and_nothing_worse() {
    let first = value("first", stamp(1, 1, 1), None);
    let mut entry = first.clone();
    for actor in 2..=4 {
        entry = value("last", stamp(actor, actor, 1), Some(&entry));
    }
    let mut again = first.clone();
    assert!(Entry::merge(&mut again, &entry).conflicts == 1);
    assert_eq!(body_of(&again), body_of(&entry));
}

#[test]
fn contradictions_are_reported_and_come_out_equal_everywhere() {
    let at = stamp(1, 1, 1);
    let (one, two) = (value("one", at, None), value("two", at, None));
    assert_eq!(one.validate_merge(&two), Err(BrokenInvariant::ValueDiffers { stamp: at }));
    assert_eq!(one.validate_merge(&one), Ok(()));
    assert_eq!(body_of(&merged(&one, &two)), body_of(&merged(&two, &one)));
    assert_eq!(body_of(&merged(&one, &two)), body_of(&two));
    assert_eq!(
        one.validate_merge(&Entry::tombstone(at, None)),
        Err(BrokenInvariant::ValueDiffers { stamp: at })
    );

    let mut late = one.clone();
    let mut later = one.clone();
    late.set_expiry(Some(5), stamp(2, 1, 2));
    later.set_expiry(Some(6), stamp(2, 1, 2));
    assert_eq!(late.validate_merge(&later), Err(BrokenInvariant::ExpiryDiffers { stamp: stamp(2, 1, 2) }));
    assert_eq!(merged(&late, &later), merged(&later, &late));
    late.expire(5);
    assert_eq!(one.validate_merge(&late), Ok(()));
}

#[test]
fn a_write_below_one_that_it_had_seen_is_reported() {
    let high = value("high", stamp(9, 1, 1), None);
    let mut low = value("low", stamp(1, 2, 1), None);
    assert_eq!(low.validate_merge(&high), Ok(()));
    low.seen.insert(Dot { actor: ActorId::new(1), seq: 1 });
    let broken = BrokenInvariant::OutOfOrder { stamp: low.stamp(), seen: high.stamp() };
    assert_eq!(low.validate_merge(&high), Err(broken.clone()));
    assert_eq!(high.validate_merge(&low), Err(broken));
}

/// Nodes of different builds must agree on versions, or sync would never end.
#[test]
fn versions_are_the_same_in_every_build() {
    let mut entry = value("v", stamp(1_790_000_000_000, 0xa11ce, 42), None);
    let plain = entry.version();
    assert_eq!(value("other", entry.stamp(), None).version(), plain);
    assert!(entry.set_expiry(None, stamp(1_790_000_000_001, 0xb0b, 7)));
    assert_eq!([plain, entry.version()], [15_104_650_093_892_606_410, 11_283_061_997_836_673_524]);
}

/// An increment of what the key holds, or of nothing.
fn counted(present: Option<Entry>, by: i64, at: Stamp) -> Entry {
    let mut entry = Entry::ground(present, Kind::String, Stamp::ZERO, |_| unreachable!("no epoch is minted"));
    if let Some(Data::Counter(counter)) = entry.contents_mut().map(|contents| contents.data_mut(at)) {
        counter.add(Amount::Integer(by), Origin { stamp: at, unbroken_since: 0 });
    }
    entry
}

fn with_member(present: Option<Entry>, name: &[u8], at: Stamp) -> Entry {
    let mut entry = Entry::ground(present, Kind::Set, Stamp::ZERO, |_| unreachable!("no epoch is minted"));
    if let Some(Data::Set(fields)) = entry.contents_mut().map(|contents| contents.data_mut(at)) {
        fields.put(name, (), None, Origin { stamp: at, unbroken_since: 0 }, &mut crate::Fields::delta());
    }
    entry
}

/// Found by the property tests: whoever had seen the value that expired seemed to have seen the epoch after it.
#[test]
fn a_write_that_lost_to_an_epoch_after_an_expiry_is_reported_and_breaks_nothing() {
    let short = Entry::value(Bytes::from_static(b"1"), Some(100), stamp(10, 1, 1), None);
    let meanwhile = value("2", stamp(50, 2, 1), Some(&short));
    let mut expired = short;
    assert!(expired.expire(100));
    let again = counted(Some(expired), 5, stamp(120, 3, 1));
    assert!(again.stamp() > meanwhile.stamp());
    for (into, from) in [(&meanwhile, &again), (&again, &meanwhile)] {
        assert_eq!(into.validate_merge(from), Ok(()));
        let mut entry = into.clone();
        assert_eq!(Entry::merge(&mut entry, from).conflicts, 1);
        assert_eq!(entry.live_value(130), Some("5".into()));
    }
}

/// Found by the property tests. The actor set the key, evicted it, and counted from nothing.
#[test]
fn what_an_actor_adds_after_it_evicted_its_own_write_is_no_sign_of_a_broken_clock() {
    let other = value("other", stamp(10, 2, 1), None);
    let evicted = value("evicted", stamp(20, 1, 1), None);
    let counted = counted(None, 1, stamp(30, 1, 2));
    let both = merged(&other, &counted);
    assert!(both.seen().covers(evicted.stamp().dot()));
    assert_eq!(both.validate_merge(&evicted), Ok(()));
    assert_eq!(Entry::merge(&mut both.clone(), &evicted).conflicts, 1);

    // The later dot of the value's own actor travels.
    let all = merged(&both, &evicted);
    let wire: wire::WireEntry = all.clone().into();
    let back = Entry::try_from(wire).unwrap();
    assert_eq!(back, all);
    assert_eq!(Entry::merge(&mut back.clone(), &counted).conflicts, 0);
}

#[test]
fn contributions_that_lost_to_another_type_are_reported_once() {
    let number = counted(None, 1, stamp(30, 1, 1));
    let set = with_member(None, b"m", stamp(20, 2, 1));
    for (into, from) in [(&number, &set), (&set, &number)] {
        let mut entry = into.clone();
        let first = Entry::merge(&mut entry, from);
        assert_eq!(first.conflicts, 1);
        assert_eq!(first.described[0].losing.stamp, stamp(30, 1, 1));
        assert_eq!(first.described[0].winning.stamp, stamp(20, 2, 1));
        assert_eq!(Entry::merge(&mut entry, &number), Merged::default());
        assert_eq!(entry.newest(), stamp(30, 1, 1), "what writes over it goes above what it has met");
        let more = counted(Some(number.clone()), 1, stamp(40, 1, 2));
        assert_eq!(Entry::merge(&mut entry, &more).conflicts, 1);
    }
}

fn ends(entry: &Entry) -> Option<u64> {
    entry.expiry().at_ms
}

#[test]
fn policies_have_names() {
    for (policy, name) in [
        (ExpiryPolicy::LastWriter, "last-writer"),
        (ExpiryPolicy::Longest, "longest"),
        (ExpiryPolicy::Shortest, "shortest"),
    ] {
        assert_eq!((policy.to_string().as_str(), name.parse()), (name, Ok(policy)));
    }
    assert_eq!(ExpiryPolicy::default(), ExpiryPolicy::LastWriter);
    assert!("longer".parse::<ExpiryPolicy>().unwrap_err().to_string().contains("longest"));
}

#[test]
fn a_policy_decides_between_concurrent_ends_alone() {
    use ExpiryPolicy::{LastWriter, Longest, Shortest};
    let first = Entry::value(Bytes::from_static(b"v"), Some(1_000), stamp(1, 1, 1), None);
    let set = |over: &Entry, policy, at_ms, at| {
        let mut entry = over.clone();
        assert!(entry.set_expiry_by(policy, at_ms, at));
        entry
    };
    for (policy, expected) in [(LastWriter, 400), (Longest, 900), (Shortest, 200)] {
        let three =
            [(900, 2), (200, 3), (400, 4)].map(|(at_ms, n)| set(&first, policy, Some(at_ms), stamp(n, n, 1)));
        let all = merged(&merged(&three[0], &three[1]), &three[2]);
        assert_eq!(all, merged(&three[2], &merged(&three[1], &three[0])));
        assert_eq!(ends(&all), Some(expected), "the value's own end was seen by all: {policy}");
        assert_eq!(ends(&merged(&all, &first)), Some(expected));
        // Whoever has seen them replaces them, whatever the policies.
        for later in [LastWriter, Longest, Shortest] {
            let later = set(&all, later, Some(500), stamp(9, 1, 2));
            assert_eq!(ends(&later), Some(500));
            for old in &three {
                assert_eq!(merged(old, &later), later);
                assert_eq!(merged(&later, old), later);
            }
        }
    }
    let stays =
        merged(&set(&first, Longest, None, stamp(2, 2, 1)), &set(&first, Longest, Some(9), stamp(3, 3, 1)));
    assert_eq!(ends(&stays), None, "to stay is the longest");
}

/// The value must not be dropped with the end that took effect: it may come back by two who dropped it.
#[test]
fn an_end_that_did_not_hold_after_all_brings_its_value_back() {
    let first = Entry::value(Bytes::from_static(b"v"), None, stamp(1, 1, 1), None);
    let (mut short, mut long) = (first.clone(), first);
    assert!(short.set_expiry_by(ExpiryPolicy::Longest, Some(100), stamp(2, 2, 1)));
    assert!(long.set_expiry_by(ExpiryPolicy::Longest, Some(500), stamp(3, 3, 1)));
    assert!(short.expire(100) && short.live_value(100).is_none());
    let both = merged(&short, &long);
    assert_eq!(both.live_value(100), Some("v".into()));
    assert_ne!(both.version(), long.version(), "ends that do not hold are exchanged too");
    assert_eq!(both, merged(&long, &short));
    let mut gone = both.clone();
    assert!(gone.expire(500));
    assert_eq!(gone.version(), both.version());
    assert_eq!(merged(&gone, &both), gone);
    assert_eq!(merged(&short, &gone).body(), &Body::Expired);
}

#[test]
fn an_epoch_that_follows_an_expiry_names_those_alone_as_writers_that_write() {
    let mut entry = Entry::value(Bytes::from_static(b"v"), Some(10), stamp(1, 1, 1), None);
    assert!(entry.expire(10));
    let grounded = Entry::ground(Some(entry), Kind::Set, Stamp::ZERO, |above| above);
    assert!(grounded.stamp().is_derived());
    assert!(grounded.writers().all(|writer| writer == ActorId::new(1)), "{:?}", grounded.stamp());
}

/// The greatest of the policies chooses, so that the end that holds may lie below those that held before: the order of the two
/// states turns round when they merge.
#[test]
fn merging_ends_again_changes_nothing_also_when_the_vectors_are_full() {
    let written = value("v", stamp(4, 9, 1), None);
    let over = |actors: [u64; 2]| {
        let lost = actors.map(|actor| value("lost", stamp(1, actor, 1), None));
        lost.iter().fold(written.clone(), |entry, lost| merged(&entry, lost))
    };
    let ending = |entry: &Entry, policy, at_ms, stamp| {
        let mut entry = entry.clone();
        assert!(entry.set_expiry_by(policy, Some(at_ms), stamp));
        entry
    };
    let one = over([1, 2]);
    let one = merged(
        &ending(&one, ExpiryPolicy::Longest, 500, stamp(12, 1, 2)),
        &ending(&one, ExpiryPolicy::LastWriter, 50, stamp(5, 2, 2)),
    );
    let two = ending(&over([3, 4]), ExpiryPolicy::Shortest, 100, stamp(10, 3, 2));
    for (one, two) in [(&one, &two), (&two, &one)] {
        let both = merged(one, two);
        assert_eq!(ends(&both), Some(50));
        for part in [one, two] {
            let mut again = both.clone();
            assert!(!Entry::merge(&mut again, part).changed);
            assert_eq!(again, both);
        }
    }
}
