use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use rumour_crdt::{ActorId, Cell, Minter};

use super::*;

fn store() -> Store {
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
        store.expire_some(&mut cursor, 3, now_ms);
        if cursor.is_at_start() {
            return;
        }
    }
}

fn write(store: &Store, minter: &mut Minter, key: &[u8], value: Option<&[u8]>, now_ms: u64) {
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

fn get(store: &Store, key: &[u8], now_ms: u64) -> Option<Bytes> {
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
    store.apply(b"k", entry.clone(), 1500, |_| false);
    assert_eq!(get(&store, b"k", 2500), None);
    store.apply(b"k", entry, 1500, |_| false);
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
    assert_eq!(store.apply(b"elsewhere", old, 1000, |_| false), Applied::Flushed);
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

fn small_store(policy: EvictionPolicy, bytes: u64) -> Store {
    let limit = MemoryLimit { bytes: Some(bytes), policy };
    Store::new("a".parse().expect("a name"), ActorId::new(1), DigestKey::new(&[7; 32]), None, limit)
}

#[test]
fn an_evicted_value_is_missing_here_and_the_digest_does_not_show_it() {
    for policy in [EvictionPolicy::AllKeysLru, EvictionPolicy::AllKeysLfu, EvictionPolicy::VolatileTtl] {
        let (store, whole) = (small_store(policy, 250_000), store());
        let mut remote = Minter::new(ActorId::new(2));
        let mut entries = BTreeMap::new();
        for n in 0..600u64 {
            let value = Bytes::from(vec![b'v'; 400]);
            let entry = Entry::value(value, Some(10_000 + n), remote.mint(1000, None), None);
            let key = format!("k{n}").into_bytes();
            store.apply(&key, entry.clone(), 1000, |_| false);
            whole.apply(&key, entry.clone(), 1000, |_| false);
            entries.insert(key, entry);
            assert!(store.memory_use().used_bytes <= 250_000, "{policy}: {:?}", store.memory_use());
        }
        let used = store.memory_use();
        assert!(used.evicted > 0 && used.stubs == used.evicted && used.stubs_dropped == 0, "{used:?}");
        assert_eq!(store.len() as u64 + used.evicted, 600);
        assert_eq!(store.root_cell(), whole.root_cell(), "{policy}: sync has nothing to do");
        assert_eq!((store.stale_cells(), store.all_versions()), (vec![], whole.all_versions()));
        let (key, entry) = entries.iter().find(|(key, _)| store.is_evicted(key)).expect("one that went");
        store.apply(key, entry.clone(), 1000, |_| false);
        assert_eq!(get(&store, key, 1000), None, "the version that was evicted does not come back");
        let newer =
            Entry::value("new".into(), Some(99_000), remote.mint(1000, Some(entry.newest())), Some(entry));
        store.apply(key, newer.clone(), 1000, |_| false);
        whole.apply(key, newer, 1000, |_| false);
        assert_eq!(get(&store, key, 1000).as_deref(), Some(&b"new"[..]), "{policy}");
        assert_eq!((store.root_cell(), store.stale_cells()), (whole.root_cell(), vec![]));
        expire_all(&store, 20_000);
        assert_eq!(store.memory_use().stubs, 0, "what would have expired is not kept in mind");
        assert_eq!(store.stale_cells(), Vec::<u16>::new());
    }
}

#[test]
fn keys_that_peers_lack_and_keys_in_use_stay() {
    let store = small_store(EvictionPolicy::AllKeysLru, 150_000);
    store.spare(|key| key.starts_with(b"queued"));
    let mut minter = Minter::new(ActorId::new(1));
    for n in 0..50 {
        write(&store, &mut minter, format!("queued{n}").as_bytes(), Some(&[b'v'; 100]), 1000);
        write(&store, &mut minter, format!("used{n}").as_bytes(), Some(&[b'v'; 100]), 1000);
    }
    for n in 0..1000 {
        write(&store, &mut minter, format!("k{n}").as_bytes(), Some(&[b'v'; 100]), 1000);
        for n in 0..50 {
            get(&store, format!("used{n}").as_bytes(), 1000);
        }
    }
    let left = |prefix: &str| {
        (0..50).filter(|n| get(&store, format!("{prefix}{n}").as_bytes(), 1000).is_some()).count()
    };
    assert_eq!((left("queued"), left("used")), (50, 50));
    assert!(store.memory_use().evicted > 400, "{:?}", store.memory_use());
}

#[test]
fn a_key_whose_change_is_not_queued_yet_stays() {
    let store = small_store(EvictionPolicy::AllKeysLru, 150_000);
    let mut minter = Minter::new(ActorId::new(1));
    let mut fill = |from: u32| {
        for n in from..from + 2000 {
            write(&store, &mut minter, format!("k{n}").as_bytes(), Some(&[b'v'; 100]), 1000);
        }
    };
    let changing = store.changing(b"k0");
    fill(0);
    assert!(get(&store, b"k0", 1000).is_some(), "it looks as if every peer had it");
    drop(changing);
    fill(2000);
    assert_eq!(get(&store, b"k0", 1000), None);
}

#[test]
fn without_eviction_clients_are_refused_and_peers_are_not() {
    let store = small_store(EvictionPolicy::NoEviction, 10_000);
    let mut minter = Minter::new(ActorId::new(1));
    let mut n = 0;
    while store.has_room() {
        write(&store, &mut minter, format!("k{n}").as_bytes(), Some(&[b'v'; 100]), 1000);
        n += 1;
    }
    assert!(n > 10 && store.len() == n);
    let entry = Entry::value("v".into(), None, minter.mint(1000, None), None);
    store.apply(b"from a peer", entry, 1000, |_| false);
    assert_eq!(store.len(), n + 1);
}

#[test]
fn a_version_that_nobody_can_give_is_taken_over_and_gives_way_to_a_value() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    let entry = Entry::value("v".into(), None, minter.mint(1000, None), None);
    let at = store.position(b"k");
    store.adopt(at, 5);
    store.adopt(at, 9);
    store.adopt(at, 7);
    let listed = |version| vec![VersionItem { at, version }];
    assert_eq!(
        (store.all_versions(), store.stale_cells()),
        (listed(9), vec![]),
        "the greater version on all nodes"
    );
    store.apply(b"k", entry.clone(), 1000, |_| false);
    store.adopt(at, u64::MAX);
    assert_eq!((store.all_versions(), store.stale_cells()), (listed(entry.version()), vec![]));
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
                    store.apply(&[key % 16], entry, 1000, |_| false);
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
