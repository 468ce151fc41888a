use std::collections::BTreeMap;

use bytes::Bytes;
use rumour_crdt::{ActorId, DigestKey, Entry, Hlc, Minter};

use crate::store::tests::{expire_all, get, store, write};
use crate::store::*;

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
            store.apply(&key, entry.clone(), 1000, Brought::AsHeld, |_| false);
            whole.apply(&key, entry.clone(), 1000, Brought::AsHeld, |_| false);
            entries.insert(key, entry);
            assert!(store.memory_use().used_bytes <= 250_000, "{policy}: {:?}", store.memory_use());
        }
        let used = store.memory_use();
        assert!(used.evicted > 0 && used.stubs == used.evicted && used.stubs_dropped == 0, "{used:?}");
        assert_eq!(store.len() as u64 + used.evicted, 600);
        assert_eq!(store.root_cell(), whole.root_cell(), "{policy}: sync has nothing to do");
        assert_eq!((store.stale_cells(), store.all_versions(0)), (vec![], whole.all_versions(0)));
        let (key, entry) = entries.iter().find(|(key, _)| store.is_evicted(key)).expect("one that went");
        store.apply(key, entry.clone(), 1000, Brought::AsHeld, |_| false);
        assert_eq!(get(&store, key, 1000), None, "the version that was evicted does not come back");
        let newer =
            Entry::value("new".into(), Some(99_000), remote.mint(1000, Some(entry.newest())), Some(entry));
        store.apply(key, newer.clone(), 1000, Brought::AsHeld, |_| false);
        whole.apply(key, newer, 1000, Brought::AsHeld, |_| false);
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
    assert_eq!(store.unacknowledged_until(), Hlc::ZERO, "peers have all that went");
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
    store.apply(b"from a peer", entry, 1000, Brought::AsHeld, |_| false);
    assert_eq!(store.len(), n + 1);
}

#[test]
fn a_version_that_nobody_can_give_is_taken_over_and_gives_way_to_a_value() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    let entry = Entry::value("v".into(), None, minter.mint(1000, None), None);
    let at = store.position(b"k");
    let (first, later) = (minter.mint(2000, None).time, minter.mint(3000, None).time);
    let adopt = |version| {
        store.evicted_elsewhere(&evicted(&store, version), first, Hlc::ZERO);
        store.evicted_elsewhere(&evicted(&store, version), first, later);
    };
    adopt(5);
    adopt(9);
    adopt(7);
    let listed = |version| vec![VersionItem { at, version }];
    assert_eq!(
        (store.all_versions(0), store.stale_cells()),
        (listed(9), vec![]),
        "the greater version on all nodes"
    );
    store.apply(b"k", entry.clone(), 1000, Brought::AsHeld, |_| false);
    adopt(u64::MAX);
    assert_eq!((store.all_versions(0), store.stale_cells()), (listed(entry.version()), vec![]));
}

fn value(minter: &mut Minter, ends_at_ms: Option<u64>) -> Entry {
    Entry::value("v".into(), ends_at_ms, minter.mint(1000, None), None)
}

/// What a peer says of the key.
fn evicted(store: &Store, version: u64) -> EvictedItem {
    EvictedItem { item: VersionItem { at: store.position(b"k"), version }, ends_at_ms: u64::MAX }
}

/// Has everything that is held evicted: other keys take its place.
fn evict_all(store: &Store, minter: &mut Minter) {
    let before = store.memory_use().evicted;
    for n in 0..1000 {
        write(store, minter, format!("filler{n}").as_bytes(), Some(&[b'v'; 400]), 1000);
    }
    assert!(store.memory_use().evicted > before + 300, "{:?}", store.memory_use());
}

#[test]
fn what_expired_after_it_was_evicted_is_in_mind_until_all_owners_agree() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    let entry = value(&mut minter, Some(5_000));
    store.apply(b"k", entry.clone(), 1000, Brought::AsHeld, |_| false);
    evict_all(&store, &mut minter);
    assert!(store.is_evicted(b"k"));
    let listed = |now_ms| {
        let at = store.position(b"k");
        store.versions(at.slot, at.hash, now_ms).iter().any(|item| item.at == at)
    };
    assert!(listed(4_999));
    assert!(!listed(5_000), "no peer may take it over any more");
    let go_through = |now_ms, agreed_ms| {
        let mut cursor = ExpiryCursor::default();
        loop {
            store.expire_some(&mut cursor, 100, now_ms, agreed_ms);
            if cursor.is_at_start() {
                return;
            }
        }
    };
    go_through(6_000, 5_000);
    assert!(store.is_evicted(b"k"), "an owner may have made it last longer");
    go_through(6_000, 5_001);
    assert!(!store.is_evicted(b"k"));
    assert!(!store.may_be_evicted(b"k") && !store.may_be_evicted(b"unheard of"), "nothing was forgotten");
    assert_eq!(store.stale_cells(), Vec::<u16>::new());
}

#[test]
fn a_flush_removes_what_is_left_of_evicted_values_below_it_and_forgets_nothing() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    store.apply(b"old", value(&mut minter, None), 1000, Brought::AsHeld, |_| false);
    let watermark = minter.mint(1000, None);
    let above = Entry::value("v".into(), None, minter.mint(1001, None), None);
    store.apply(b"above", above, 1001, Brought::AsHeld, |_| false);
    evict_all(&store, &mut minter);
    assert!(store.is_evicted(b"old") && store.is_evicted(b"above"));
    store.flush(watermark);
    assert!(!store.may_be_evicted(b"old"));
    assert!(store.is_evicted(b"above"), "others still have it");
    assert_eq!(store.stale_cells(), Vec::<u16>::new());
}

#[test]
fn what_a_peer_evicted_may_come_from_another_until_all_were_asked() {
    let (store, mut minter) = (store(), Minter::new(ActorId::new(1)));
    let entry = value(&mut minter, None);
    let evicted = evicted(&store, entry.version());
    let (first, later) = (minter.mint(2000, None).time, minter.mint(3000, None).time);
    store.evicted_elsewhere(&evicted, first, Hlc::ZERO);
    store.evicted_elsewhere(&evicted, later, first);
    assert!(store.all_versions(0).is_empty(), "it still differs from a peer that has the value");
    store.evicted_elsewhere(&evicted, later, later);
    assert_eq!(store.all_versions(0), vec![evicted.item]);
    assert!(store.is_evicted(b"k"));
    store.apply(b"k", entry, 1000, Brought::AsHeld, |_| false);
    assert!(get(&store, b"k", 1000).is_some(), "it was never evicted here");
    assert_eq!(store.stale_cells(), Vec::<u16>::new());
}

#[test]
fn what_is_wanted_by_two_stays_until_both_have_used_it() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    let key = [Bytes::from_static(b"k")];
    store.apply(b"k", value(&mut minter, None), 1000, Brought::AsHeld, |_| false);
    store.want(&key);
    store.want(&key);
    evict_all(&store, &mut minter);
    store.want_no_more(&key);
    evict_all(&store, &mut minter);
    assert!(get(&store, b"k", 1000).is_some());
    store.want_no_more(&key);
    evict_all(&store, &mut minter);
    assert!(store.is_evicted(b"k"));
}

#[test]
fn a_key_that_nobody_had_may_still_come_when_nothing_was_written_to_it() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    let entry = value(&mut minter, None);
    store.apply(b"k", entry.clone(), 1000, Brought::AsHeld, |_| false);
    evict_all(&store, &mut minter);
    assert!(!store.settle(b"k", 1000), "there is nothing to be taken for all that there is");
    store.note_absent(b"k");
    assert!(!store.may_be_evicted(b"k"), "it may begin anew");
    store.modify(b"k", 1000, |present, lacks| assert!(present.is_none() && !lacks));
    let known_to_all = |_: &Entry| true;
    let later = Entry::value("w".into(), None, minter.mint(1000, Some(entry.newest())), Some(&entry));
    let applied = store.apply(b"k", later, 1000, Brought::AsHeld, known_to_all);
    assert!(matches!(&applied, Applied::Merged(merged) if merged.changed), "{applied:?}");
}

#[test]
fn a_key_that_was_absent_and_came_is_lacking_when_it_goes_again() {
    let (store, mut minter) =
        (small_store(EvictionPolicy::AllKeysLru, 250_000), Minter::new(ActorId::new(1)));
    store.note_absent(b"k");
    store.apply(b"k", value(&mut minter, None), 1000, Brought::AsHeld, |_| false);
    store.note_absent(b"k");
    evict_all(&store, &mut minter);
    assert!(store.is_evicted(b"k") && store.may_be_evicted(b"k"));
}
