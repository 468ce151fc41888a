use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use rumour_crdt::{ActorId, Cell, Minter};

use super::*;

pub(super) fn store() -> Store {
    Store::new(
        "a".parse().expect("a name"),
        ActorId::new(1),
        DigestKey::new(&[7; 32]),
        None,
        MemoryLimit::default(),
    )
}

/// Goes once through the whole store, three records at a time.
pub(super) fn expire_all(store: &Store, now_ms: u64) {
    let mut cursor = ExpiryCursor::default();
    loop {
        store.expire_some(&mut cursor, 3, now_ms, now_ms);
        if cursor.is_at_start() {
            return;
        }
    }
}

pub(super) fn write(store: &Store, minter: &mut Minter, key: &[u8], value: Option<&[u8]>, now_ms: u64) {
    store.modify(key, now_ms, |state, _| {
        let present = state.as_ref();
        let stamp = minter.mint(now_ms, present.map(Entry::newest));
        *state = Some(match value {
            Some(value) => Entry::value(Bytes::copy_from_slice(value), None, stamp, present),
            None => Entry::tombstone(stamp, present),
        });
    });
    store.keep_within_limit();
}

pub(super) fn get(store: &Store, key: &[u8], now_ms: u64) -> Option<Bytes> {
    store.with_entry(key, now_ms, |entry| entry.live_value(now_ms)).flatten()
}

#[test]
fn an_expiry_that_took_effect_stays_in_effect_when_the_clock_jumps_back() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    store.modify(b"k", 1000, |state, _| {
        let stamp = minter.mint(1000, None);
        *state = Some(Entry::value(Bytes::from_static(b"v"), Some(2000), stamp, state.as_ref()));
    });
    assert_eq!(get(&store, b"k", 1999).as_deref(), Some(&b"v"[..]));
    assert_eq!(store.len(), 1);
    let before = store.root_cell();
    assert_eq!(get(&store, b"k", 2000), None);
    assert_eq!(get(&store, b"k", 1500), None, "seen as expired once, never seen again");
    assert_eq!((store.len(), store.tombstones()), (0, 1));
    assert_eq!(store.root_cell(), before, "replicas with other clocks still agree");
}

#[test]
fn an_expired_entry_from_a_slow_peer_does_not_come_back() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    let entry = Entry::value(Bytes::from_static(b"v"), Some(2000), minter.mint(1000, None), None);
    store.apply(b"k", entry.clone(), 1500, Brought::AsHeld, |_| false);
    assert_eq!(get(&store, b"k", 2500), None);
    store.apply(b"k", entry, 1500, Brought::AsHeld, |_| false);
    assert_eq!(get(&store, b"k", 1500), None);
}

#[test]
fn a_flush_reaches_what_was_never_seen_and_spares_what_comes_after() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    let old = Entry::value(Bytes::from_static(b"old"), None, minter.mint(1000, None), None);
    write(&store, &mut minter, b"here", Some(b"v"), 1000);
    let watermark = minter.mint(1000, None);
    assert!(store.flush(watermark));
    assert!(!store.flush(watermark), "it rises once");
    assert_eq!(store.apply(b"elsewhere", old, 1000, Brought::AsHeld, |_| false), Applied::Flushed);
    assert_eq!((store.len(), store.root_cell()), (0, Cell::default()));
    write(&store, &mut minter, b"here", Some(b"new"), 1000);
    assert_eq!(get(&store, b"here", 1000).as_deref(), Some(&b"new"[..]));
}

#[test]
fn changes_in_place_move_cells_and_counts_along() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    let created = store.modify(b"k", 1000, |present, _| {
        assert_eq!(*present, None);
        *present = Some(Entry::value(Bytes::from_static(b"v"), Some(5000), minter.mint(1000, None), None));
        present.as_ref().map(Entry::version)
    });
    let before = store.root_cell();
    let changed = store.modify(b"k", 1000, |present, _| {
        let entry = present.as_mut().expect("what was stored");
        entry.set_expiry(None, minter.mint(1000, Some(entry.newest())));
        Some(entry.version())
    });
    assert_ne!(created, changed);
    assert_ne!(store.root_cell(), before, "the digest follows a change of the expiry alone");
    assert_eq!((store.stale_cells(), store.len()), (vec![], 1));
    assert!(store.modify(b"k", 1000, |present, _| present.take()).is_some());
    assert_eq!((store.root_cell(), store.len(), store.tombstones()), (Cell::default(), 0, 0));
}

/// What a random history does to one key.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, bool),
    Apply(u8, u64),
    Expire(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), any::<bool>()).prop_map(|(key, value)| Step::Write(key, value)),
        4 => (any::<u8>(), 0..3000u64).prop_map(|(key, ttl)| Step::Apply(key, ttl)),
        2 => (0..3000u64).prop_map(Step::Expire),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    // Each case walks all slots after each step.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn cells_and_counts_follow_every_change(steps in prop::collection::vec(step(), 1..80)) {
        let (store, mut minter, mut remote) =
            (store(), Minter::new(ActorId::new(1)), Minter::new(ActorId::new(2)));
        for step in steps {
            match step {
                Step::Write(key, value) => {
                    write(&store, &mut minter, &[key % 16], value.then_some(&b"v"[..]), 1000);
                }
                Step::Apply(key, ttl) => {
                    let stamp = remote.mint(1000, None);
                    let entry = Entry::value(Bytes::from_static(b"w"), Some(1000 + ttl), stamp, None);
                    store.apply(&[key % 16], entry, 1000, Brought::AsHeld, |_| false);
                }
                Step::Expire(after) => expire_all(&store, 1000 + after),
                Step::Flush => {
                    store.flush(minter.mint(1000, None));
                }
            }
            prop_assert_eq!(store.stale_cells(), Vec::<u16>::new());
            let (mut live, mut dead) = (0, 0);
            store.for_each(|_, entry| match entry.live_value(0) {
                Some(_) => live += 1,
                None => dead += 1,
            });
            prop_assert_eq!((store.len(), store.tombstones()), (live, dead));
        }
    }

    #[test]
    fn a_scan_returns_every_key_that_stays(
        stay in prop::collection::btree_set(any::<u16>(), 1..300),
        come_and_go in prop::collection::vec((any::<u16>(), any::<bool>()), 0..300),
        count in 1usize..50,
        same_slot in any::<bool>(),
    ) {
        let name = |n: u16| if same_slot { format!("{{t}}{n}") } else { format!("k{n}") };
        let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
        for key in &stay {
            write(&store, &mut minter, name(*key).as_bytes(), Some(b"v"), 1);
        }
        let mut come_and_go = come_and_go.into_iter().filter(|(key, _)| !stay.contains(key));
        let mut seen: BTreeMap<Bytes, usize> = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let (next, keys) = store.scan(cursor, count, 1);
            keys.into_iter().for_each(|key| *seen.entry(key).or_default() += 1);
            if let Some((key, set)) = come_and_go.next() {
                write(&store, &mut minter, name(key).as_bytes(), set.then_some(&b"v"[..]), 1);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let all: BTreeSet<Bytes> = stay.iter().map(|key| Bytes::from(name(*key))).collect();
        prop_assert!(all.iter().all(|key| seen.get(key) == Some(&1)), "each once: {:?}", seen);
    }
}
