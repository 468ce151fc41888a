//! Digest cells kept up to date by writes beside cells built anew.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rumour_crdt::{Cell, DigestKey};

const SLOTS: usize = 4;

fn cell_of<'a>(digest: &DigestKey, pairs: impl IntoIterator<Item = (&'a u64, &'a u64)>) -> Cell {
    let mut cell = Cell::default();
    for (&hash, &version) in pairs {
        cell.insert(digest, hash, version);
    }
    cell
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `None` removes the key.
    #[test]
    fn kept_up_to_date_equals_built_anew(
        writes in prop::collection::vec((0..12_u8, prop::option::of(any::<u64>())), 0..100),
        secret: [u8; 32],
    ) {
        let digest = DigestKey::new(&secret);
        let mut store: BTreeMap<u64, u64> = BTreeMap::new();
        let mut slots = [Cell::default(); SLOTS];
        for (key, version) in writes {
            let hash = digest.key_hash(&[key]);
            let slot = &mut slots[hash as usize % SLOTS];
            match (store.get(&hash).copied(), version) {
                (None, None) => {}
                (None, Some(new)) => slot.insert(&digest, hash, new),
                (Some(old), None) => slot.remove(&digest, hash, old),
                (Some(old), Some(new)) => slot.replace(&digest, hash, old, new),
            }
            match version {
                Some(version) => store.insert(hash, version),
                None => store.remove(&hash),
            };
        }
        let root: Cell = slots.iter().sum();
        prop_assert_eq!(root, cell_of(&digest, &store));
        prop_assert_eq!(root.count, store.len() as u64);
        prop_assert_eq!(root.is_empty(), store.is_empty());
        for (n, slot) in slots.iter().enumerate() {
            let expected = cell_of(&digest, store.iter().filter(|(hash, _)| **hash as usize % SLOTS == n));
            prop_assert_eq!(*slot, expected);
        }
    }

    /// Equal cells, equal content; and the difference of two cells is the cell of what differs.
    #[test]
    fn differs_where_content_differs(
        pairs in prop::collection::btree_map(any::<u64>(), 0..3_u64, 0..20),
        others in prop::collection::btree_map(any::<u64>(), 0..3_u64, 0..3),
        salt: u64,
    ) {
        let digest = DigestKey::new(&[1; 32]);
        let mut all = pairs.clone();
        all.extend(others);
        let (some, more) = (cell_of(&digest, &pairs), cell_of(&digest, &all));
        prop_assert_eq!(some == more, pairs == all);
        prop_assert_eq!(some.fingerprint(salt) == more.fingerprint(salt), pairs == all);
        let mut difference = more;
        difference -= some;
        let mut sum = some;
        sum += difference;
        prop_assert_eq!(sum, more);
        all.retain(|hash, version| pairs.get(hash) != Some(version));
        if all.keys().all(|hash| !pairs.contains_key(hash)) {
            prop_assert_eq!(difference, cell_of(&digest, &all));
        }
    }
}
