use bytes::Bytes;
use rumour_crdt::{ActorId, Minter, Stamp};

use super::*;
use crate::store::Brought;

fn store() -> Store {
    Store::new(
        "a".parse().expect("a name"),
        ActorId::new(1),
        rumour_crdt::DigestKey::new(&[7; 32]),
        None,
        crate::store::MemoryLimit::default(),
    )
}

fn at(ms: u64) -> Hlc {
    Hlc::from_parts(ms, 0)
}

fn write(store: &Store, minter: &mut Minter, key: &[u8], value: Option<&'static str>) {
    store.modify(key, 1, |present, _| {
        let stamp = minter.mint(1, present.as_ref().map(Entry::newest));
        *present = Some(match value {
            Some(value) => Entry::value(Bytes::from_static(value.as_bytes()), None, stamp, present.as_ref()),
            None => Entry::tombstone(stamp, present.as_ref()),
        });
    });
}

fn new() -> (Store, Minter) {
    (store(), Minter::new(ActorId::new(1)))
}

#[test]
fn what_is_dead_goes_once_the_floor_lies_above_its_arrival_and_not_its_stamp() {
    let (store, mut minter) = new();
    write(&store, &mut minter, b"k", Some("v"));
    write(&store, &mut minter, b"k", None);
    assert_eq!(store.collect(at(400), 100, || at(500)), 0, "it is dated when it is first looked at");
    assert_eq!(store.collect(at(500), 100, || at(900)), 0);
    assert_eq!(store.collect(at(501), 100, || at(900)), 1);
    assert_eq!((store.tombstones(), store.root_cell()), (0, rumour_crdt::Cell::default()));
}

#[test]
fn what_was_written_again_or_died_again_stays() {
    let (store, mut minter) = new();
    for key in [&b"again"[..], b"twice"] {
        write(&store, &mut minter, key, None);
    }
    store.collect(Hlc::ZERO, 100, || at(500));
    write(&store, &mut minter, b"again", Some("v"));
    write(&store, &mut minter, b"twice", Some("v"));
    write(&store, &mut minter, b"twice", None);
    assert_eq!(store.collect(at(501), 100, || at(600)), 0);
    assert_eq!((store.len(), store.tombstones()), (1, 1));
    assert_eq!(store.collect(at(601), 100, || at(700)), 1);
    assert_eq!(store.with_entry(b"again", 1, Entry::is_visible), Some(true));
    assert!(store.stale_cells().is_empty());
}

#[test]
fn an_expired_entry_stays_until_every_owners_clock_has_passed_its_expiry() {
    let (store, mut minter) = new();
    let entry = Entry::value(Bytes::from_static(b"v"), Some(2_000), minter.mint(1, None), None);
    // Somebody whose clock is ahead has let it expire.
    store.apply(b"k", entry, 2_000, Brought::AsHeld, |_| false);
    assert_eq!(store.tombstones(), 1);
    assert_eq!(store.collect(at(1_500), 100, || at(1_000)), 0);
    assert_eq!(store.collect(at(2_000), 100, || at(1_000)), 0);
    assert_eq!(store.collect(at(2_001), 100, || at(1_000)), 1);
}

#[test]
fn expiries_are_found_however_they_take_effect() {
    let (store, mut minter) = new();
    for key in [&b"read"[..], b"swept", b"walked", b"merged"] {
        let entry = Entry::value(Bytes::from_static(b"v"), Some(2_000), minter.mint(1, None), None);
        store.apply(key, entry, 1_000, Brought::AsHeld, |_| false);
    }
    assert_eq!(store.with_entry(b"read", 2_000, Entry::is_visible), Some(false));
    let old = Entry::value(Bytes::from_static(b"w"), None, Stamp { seq: 9, ..minter.mint(0, None) }, None);
    store.apply(b"merged", old, 1_999, Brought::AsHeld, |_| false);
    crate::store::tests::expire_all(&store, 2_000);
    let dead = store.tombstones();
    assert!(dead >= 3);
    assert_eq!(store.collect(at(9_000), 100, || at(3_000)), dead);
    assert_eq!(store.tombstones(), 0);
}

#[test]
fn a_key_that_is_deleted_over_and_over_takes_no_more_memory() {
    let (store, mut minter) = new();
    for _ in 0..100_000 {
        write(&store, &mut minter, b"k", Some("v"));
        write(&store, &mut minter, b"k", None);
    }
    let graves: usize = store.shards.iter().map(|shard| shard.lock().graves.queue.len()).sum();
    assert!(graves <= PRUNE_FROM + 1, "{graves} graves for one key");
    store.collect(Hlc::ZERO, 1_000, || at(500));
    assert_eq!(store.collect(at(501), 1_000, || at(900)), 1);
}

#[test]
fn a_flush_empties_the_graves_of_what_it_removes() {
    let (store, mut minter) = new();
    write(&store, &mut minter, b"k", None);
    store.flush(minter.mint(1, None));
    assert!(store.shards.iter().all(|shard| shard.lock().graves.queue.is_empty()));
}

#[test]
fn under_pressure_the_oldest_go_first() {
    let (store, mut minter) = new();
    let name = |key: u64| format!("{{t}}{key}").into_bytes();
    for key in 0..1_000 {
        write(&store, &mut minter, &name(key), None);
        // The later tombstone holds.
        if key > 700 {
            write(&store, &mut minter, &name(key), None);
        }
        store.collect(Hlc::ZERO, 1, || at(key));
    }
    let told = std::cell::Cell::new((Hlc::ZERO, 0));
    let forced = |died: Hlc| told.set((died.max(told.get().0), told.get().1 + 1));
    let (removed, floor) = store.force_out(300, || at(5_000), forced);
    assert_eq!(told.get(), (at(299), 300));
    assert_eq!((removed, store.tombstones()), (300, 700));
    assert_eq!(floor, at(299));
    assert!(store.with_entry(&name(299), 1, |_| ()).is_none());
    assert!(store.with_entry(&name(300), 1, |_| ()).is_some());
}

#[test]
fn a_record_is_removed_on_a_peers_word_only_as_the_peer_knows_it() {
    let (store, mut minter) = new();
    write(&store, &mut minter, b"k", Some("old"));
    let old = store.with_entry(b"k", 1, Entry::version).expect("it is there");
    write(&store, &mut minter, b"k", Some("new"));
    assert!(!store.remove_gone(b"k", old));
    let new = store.with_entry(b"k", 1, Entry::version).expect("it is there");
    assert!(store.remove_gone(b"k", new));
    assert!(!store.remove_gone(b"k", new));
    assert_eq!(store.len(), 0);
}
