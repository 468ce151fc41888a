//! Each rule of the books is broken once, on purpose: a check that cannot fail checks nothing.

use bytes::Bytes;
use rumour::Removal;
use rumour_crdt::{ActorId, Entry, Hlc, Stamp};

use super::{Broken, Checked, Ledger, Replica};
use crate::cluster::Writers;

const KEY: &[u8] = b"key";
const NOW_MS: u64 = 1_000;

fn stamp(ms: u64, actor: u64, seq: u64) -> Stamp {
    Stamp { time: Hlc::from_parts(ms, 0), actor: ActorId::new(actor), seq }
}

fn value(text: &'static str, expires_at_ms: Option<u64>, stamp: Stamp) -> Entry {
    Entry::value(Bytes::from_static(text.as_bytes()), expires_at_ms, stamp, None)
}

fn expired(mut entry: Entry) -> Entry {
    assert!(entry.expire(u64::MAX));
    entry
}

#[track_caller]
fn assert_breaks(checked: Checked, rule: &str) {
    assert_eq!(checked.map_err(|Broken { rule, .. }| rule), Err(rule));
}

/// A ledger in which `one` was written to the key under 5.
fn ledger() -> (Ledger, Entry) {
    let mut ledger = Ledger::new(Writers::Workload);
    let one = value("one", Some(2_000), stamp(5, 1, 1));
    ledger.issue(KEY, &Bytes::from_static(b"one"));
    assert_eq!(ledger.mint(KEY, None, &one), Ok(()));
    (ledger, one)
}

#[test]
fn the_ledger_knows_who_wrote_what() {
    let (mut ledger, one) = ledger();
    assert_breaks(
        ledger.mint(KEY, None, &value("two", None, stamp(6, 1, 2))),
        "a value was written by a client",
    );
    assert_breaks(
        ledger.mint(b"other", None, &value("one", None, stamp(6, 1, 2))),
        "a value was written by a client",
    );
    assert_breaks(ledger.mint(KEY, None, &expired(one)), "a value was written by a client");
    assert_eq!(Ledger::new(Writers::Anyone).mint(KEY, None, &value("any", None, stamp(6, 1, 2))), Ok(()));
}

#[test]
fn the_ledger_demands_rising_stamps_and_unique_dots() {
    let (mut ledger, one) = ledger();
    let below = Entry::tombstone(stamp(4, 2, 1), None);
    assert_breaks(ledger.mint(KEY, Some(&one), &below), "a write's stamp is above that of what it replaces");
    assert_breaks(ledger.mint(KEY, None, &Entry::tombstone(stamp(7, 1, 1), None)), "a dot names one write");
}

#[test]
fn the_ledger_lets_an_expiry_change_nothing_else() {
    let (mut ledger, one) = ledger();
    let mut later = one.clone();
    assert!(later.set_expiry(Some(9_000), stamp(6, 1, 2)));
    let mut of_another = value("two", None, stamp(5, 1, 1));
    assert!(of_another.set_expiry(Some(9_000), stamp(6, 1, 2)));
    assert_breaks(ledger.mint(KEY, Some(&one), &of_another), "a change of expiry leaves the value alone");
    assert_eq!(ledger.mint(KEY, Some(&one), &later), Ok(()));
}

#[test]
fn the_ledger_recognises_only_what_was_minted() {
    let (ledger, one) = ledger();
    assert_eq!(ledger.recognise(KEY, &one), Ok(()));
    assert_eq!(ledger.recognise(KEY, &expired(one.clone())), Ok(()));
    assert_breaks(ledger.recognise(b"other", &one), "an entry was written by somebody");
    assert_breaks(
        ledger.recognise(KEY, &value("one", None, stamp(5, 1, 9))),
        "an entry was written by somebody",
    );
    for changed in [
        value("two", Some(2_000), one.stamp()),
        value("one", Some(3_000), one.stamp()),
        value("one", Some(2_000), stamp(6, 1, 1)),
        Entry::tombstone(one.stamp(), None),
    ] {
        assert_breaks(ledger.recognise(KEY, &changed), "one stamp, one value");
    }
}

#[test]
fn the_ledger_expects_the_highest_write_above_the_last_flush() {
    let (mut ledger, one) = ledger();
    let deleted = Entry::tombstone(stamp(7, 2, 1), None);
    assert_eq!(ledger.mint(KEY, None, &deleted), Ok(()));
    let key = Bytes::from_static(KEY);
    assert_eq!(ledger.expected().get(&key), Some(&&deleted));
    assert!(one.stamp() < deleted.stamp());
    ledger.flush(stamp(7, 3, 1));
    assert_eq!(ledger.expected().get(&key), None);
    ledger.flush(stamp(6, 3, 2));
    assert_eq!(ledger.flushed(), stamp(7, 3, 1));
}

#[test]
fn a_replica_never_goes_back() {
    let (old, new) = (value("old", None, stamp(5, 1, 1)), value("new", None, stamp(6, 2, 1)));
    let mut replica = Replica::new();
    assert_eq!(replica.merge(KEY, None, &new, &new, NOW_MS), Ok(()));
    assert_breaks(replica.merge(KEY, Some(&new), &old, &old, NOW_MS), "a merge keeps the higher state");
    assert_breaks(replica.mint(KEY, Some(&new), &old, NOW_MS), "a key never goes back");
    assert_breaks(replica.merge(KEY, None, &old, &old, NOW_MS), "nothing changes unseen");
    let deleted = Entry::tombstone(stamp(7, 1, 2), Some(&new));
    assert_eq!(replica.mint(KEY, Some(&new), &deleted, NOW_MS), Ok(()));
    assert_breaks(replica.merge(KEY, Some(&deleted), &new, &new, NOW_MS), "a merge keeps the higher state");
    assert_eq!(replica.visible(KEY, NOW_MS), None);
}

#[test]
fn a_replica_keeps_what_expired_gone() {
    let short = value("short", Some(2_000), stamp(5, 1, 1));
    let mut replica = Replica::new();
    assert_eq!(replica.mint(KEY, None, &short, NOW_MS), Ok(()));
    let gone = expired(short.clone());
    assert_breaks(replica.expire(KEY, &gone, 1_999), "nothing expires early or twice");
    assert_eq!(replica.expire(KEY, &gone, 2_000), Ok(()));
    assert_breaks(replica.expire(KEY, &gone, 2_000), "nothing expires early or twice");
    assert_breaks(replica.merge(KEY, Some(&gone), &short, &short, NOW_MS), "a merge keeps the higher state");
    assert_breaks(replica.mint(KEY, Some(&gone), &short, NOW_MS), "an expired value stays gone");
}

#[test]
fn a_replica_keeps_what_was_flushed_away() {
    let (old, new) = (value("old", None, stamp(5, 1, 1)), value("new", None, stamp(7, 1, 2)));
    let mut replica = Replica::new();
    assert_eq!(replica.mint(KEY, None, &old, NOW_MS), Ok(()));
    assert_eq!(replica.flush(stamp(6, 9, 1)), Ok(()));
    assert!(replica.entries().is_empty());
    assert_breaks(replica.flush(stamp(6, 9, 1)), "a flush never goes back");
    assert_breaks(replica.merge(KEY, None, &old, &old, NOW_MS), "what was flushed stays away");
    assert_eq!(replica.merge(KEY, None, &new, &new, NOW_MS), Ok(()));
}

#[test]
fn a_replica_refuses_entries_that_contradict_each_other() {
    let (one, two) = (value("one", None, stamp(5, 1, 1)), value("two", None, stamp(5, 1, 1)));
    let mut replica = Replica::new();
    assert_eq!(replica.merge(KEY, None, &one, &one, NOW_MS), Ok(()));
    assert_breaks(replica.merge(KEY, Some(&one), &two, &one, NOW_MS), "entries that meet agree");
}

#[test]
fn an_incarnation_mints_under_one_actor() {
    let mut replica = Replica::new();
    assert_eq!(replica.mint(b"a", None, &value("a", None, stamp(5, 1, 1)), NOW_MS), Ok(()));
    let foreign = value("b", None, stamp(6, 2, 1));
    assert_breaks(replica.mint(b"b", None, &foreign, NOW_MS), "an incarnation mints under one actor");
}

#[test]
fn what_is_removed_must_be_dead_and_must_not_show_again() {
    let (mut ledger, one) = ledger();
    assert_breaks(ledger.remove(KEY, &one, Removal::Collected, NOW_MS), "only what is dead is removed");
    assert_breaks(ledger.remove(KEY, &one, Removal::Gone, NOW_MS), "only what is dead is removed");
    let deleted = Entry::tombstone(stamp(7, 2, 1), Some(&one));
    assert_eq!(ledger.mint(KEY, Some(&one), &deleted), Ok(()));
    assert_eq!(ledger.remove(KEY, &one, Removal::Gone, NOW_MS), Ok(()));
    assert_eq!(ledger.remove(KEY, &deleted, Removal::Forced, NOW_MS), Ok(()));
    assert_eq!(ledger.stays_collected(KEY, &one, NOW_MS), Ok(()), "it was not known to all");
    assert_eq!(ledger.remove(KEY, &deleted, Removal::Collected, NOW_MS), Ok(()));
    assert_breaks(ledger.stays_collected(KEY, &one, NOW_MS), "what is deleted stays deleted");
    assert_eq!(ledger.stays_collected(KEY, &value("new", None, stamp(8, 1, 2)), NOW_MS), Ok(()));
    assert_eq!(ledger.stays_collected(KEY, &deleted, NOW_MS), Ok(()));

    let mut replica = Replica::new();
    assert_eq!(replica.mint(KEY, None, &one, NOW_MS), Ok(()));
    assert_breaks(replica.remove(KEY, &deleted, Removal::Collected), "nothing changes unseen");
    assert_breaks(replica.merge(KEY, None, &one, &one, NOW_MS), "what was removed stays away");
    let new = value("new", None, stamp(8, 1, 2));
    assert_eq!(replica.merge(KEY, None, &new, &new, NOW_MS), Ok(()));
}
