//! The additive summary by which two replicas find out cheaply where they differ.
//!
//! Which keys a cell sums up (a slot, a range, a node of a Merkle tree) is the node's affair, and so are
//! the messages that carry cells.

use std::fmt;
use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{SecretInput, xxh3_64_with_secret_input, xxh3_64_with_seed};

/// What keys the hashes of one cluster's digests, so that a client which chooses keys cannot choose
/// collisions. All nodes of a cluster have the same.
#[derive(Clone)]
pub struct DigestKey {
    secret: Arc<SecretInput<[u8; HASH_SECRET_BYTES]>>,
    key_salt: u64,
    version_salt: u64,
}

/// The sum of a set of (key, version) pairs. All fields add up modulo 2^64, so that cells of disjoint sets
/// sum to the cell of their union, and the order of writes does not show.
///
/// Equal sets have equal cells. Different sets have different cells but for chances of one in 2^64. Sums,
/// not exclusive ors, as a pair that is there twice must not vanish.
///
/// A cell that is kept up to date by [`insert`](Self::insert), [`remove`](Self::remove) and
/// [`replace`](Self::replace) equals one built anew as long as each pair is removed as it was inserted.
/// Cells do not check that: they hold no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// How many keys.
    pub count: u64,
    /// The sum of their versions.
    pub versions: u64,
    /// The sum of the [`entry_hash`](DigestKey::entry_hash) of each.
    pub checks: u64,
}

const HASH_SECRET_BYTES: usize = 192;

impl DigestKey {
    /// The digest key of the cluster that shares `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        // xxh3 wants a longer secret than that. Each word of it depends on all of what was given.
        let word = |n: u64| xxh3_64_with_seed(secret, n);
        let mut expanded = [0; HASH_SECRET_BYTES];
        for (n, bytes) in (2..).zip(expanded.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word(n).to_le_bytes());
        }
        Self { secret: Arc::new(SecretInput::new(expanded)), key_salt: word(0), version_salt: word(1) }
    }

    /// The keyed hash of a key's bytes; xxh3, 64 bits.
    pub fn key_hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_secret_input(key, &self.secret)
    }

    /// The keyed hash of a key, given as its [`key_hash`](Self::key_hash), at a version.
    pub fn entry_hash(&self, key_hash: u64, version: u64) -> u64 {
        mix(mix(key_hash ^ self.key_salt) ^ version ^ self.version_salt)
    }
}

impl fmt::Debug for DigestKey {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestKey").finish_non_exhaustive()
    }
}

impl Cell {
    /// Adds a key at a version ([`Entry::version`](crate::Entry::version)).
    pub fn insert(&mut self, key: &DigestKey, key_hash: u64, version: u64) {
        *self += Self::of(key, key_hash, version);
    }

    /// Takes away a key at the version at which it was inserted.
    pub fn remove(&mut self, key: &DigestKey, key_hash: u64, version: u64) {
        *self -= Self::of(key, key_hash, version);
    }

    /// Moves a key from the version at which it was inserted to another.
    pub fn replace(&mut self, key: &DigestKey, key_hash: u64, old_version: u64, new_version: u64) {
        self.remove(key, key_hash, old_version);
        self.insert(key, key_hash, new_version);
    }

    /// Whether it is the cell of no keys at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What two nodes compare in place of the cell. A salt that is new for each session keeps two cells
    /// that collide once, also when shortened, from colliding for ever.
    pub fn fingerprint(&self, salt: u64) -> u64 {
        [self.count, self.versions, self.checks].into_iter().fold(mix(!salt), |hash, part| mix(hash ^ part))
    }

    fn of(key: &DigestKey, key_hash: u64, version: u64) -> Self {
        Self { count: 1, versions: version, checks: key.entry_hash(key_hash, version) }
    }
}

impl AddAssign for Cell {
    fn add_assign(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.versions = self.versions.wrapping_add(other.versions);
        self.checks = self.checks.wrapping_add(other.checks);
    }
}

impl SubAssign for Cell {
    fn sub_assign(&mut self, other: Self) {
        self.count = self.count.wrapping_sub(other.count);
        self.versions = self.versions.wrapping_sub(other.versions);
        self.checks = self.checks.wrapping_sub(other.checks);
    }
}

impl Sum for Cell {
    fn sum<I: Iterator<Item = Self>>(cells: I) -> Self {
        cells.fold(Self::default(), |mut sum, cell| {
            sum += cell;
            sum
        })
    }
}

impl<'a> Sum<&'a Cell> for Cell {
    fn sum<I: Iterator<Item = &'a Self>>(cells: I) -> Self {
        cells.copied().sum()
    }
}

/// The finaliser of MurmurHash3: a bijection in which each bit of the input reaches every bit of the output.
const fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DigestKey {
        DigestKey::new(&[7; 32])
    }

    fn cell(pairs: &[(u64, u64)]) -> Cell {
        let mut cell = Cell::default();
        for &(hash, version) in pairs {
            cell.insert(&key(), hash, version);
        }
        cell
    }

    #[test]
    fn what_went_in_comes_out_again() {
        let mut sum = cell(&[(1, 10), (2, 20), (u64::MAX, u64::MAX)]);
        sum.replace(&key(), 2, 20, 21);
        assert_eq!(sum, cell(&[(u64::MAX, u64::MAX), (2, 21), (1, 10)]));
        for (hash, version) in [(1, 10), (2, 21), (u64::MAX, u64::MAX)] {
            assert!(!sum.is_empty());
            sum.remove(&key(), hash, version);
        }
        assert!(sum.is_empty());
    }

    #[test]
    fn the_same_pair_twice_does_not_vanish() {
        let twice = cell(&[(1, 10), (1, 10)]);
        assert_ne!(twice, Cell::default());
        assert_ne!(twice.checks, 0);
    }

    #[test]
    fn versions_swapped_between_keys_show() {
        let (one, two) = (cell(&[(1, 10), (2, 20)]), cell(&[(1, 20), (2, 10)]));
        assert_eq!((one.count, one.versions), (two.count, two.versions));
        assert_ne!(one.checks, two.checks);
        assert_ne!(one.fingerprint(5), two.fingerprint(5));
    }

    #[test]
    fn the_difference_of_two_cells_names_the_one_key_that_differs() {
        let pairs: Vec<(u64, u64)> = (0..100).map(|n| (n * 31, n * 17 + 1)).collect();
        let mut newer = pairs.clone();
        newer[40].1 = 999;
        let mut difference = cell(&newer);
        difference -= cell(&pairs);
        let names: Vec<&(u64, u64)> = pairs
            .iter()
            .filter(|&&(hash, version)| {
                let other = version.wrapping_add(difference.versions);
                let expected = key().entry_hash(hash, other).wrapping_sub(key().entry_hash(hash, version));
                expected == difference.checks
            })
            .collect();
        assert_eq!(names, [&pairs[40]]);
    }

    #[test]
    fn each_field_and_the_salt_show_in_the_fingerprint() {
        let base = Cell { count: 1, versions: 2, checks: 3 };
        let others = [
            Cell { count: 2, ..base },
            Cell { versions: 1, ..base },
            Cell { checks: 4, ..base },
            Cell { count: 2, versions: 1, ..base },
            Cell::default(),
        ];
        for other in others {
            assert_ne!(base.fingerprint(9), other.fingerprint(9), "{other:?}");
        }
        assert_ne!(base.fingerprint(9), base.fingerprint(10));
        assert_ne!(Cell::default().fingerprint(0), Cell::default().fingerprint(u64::MAX));
    }

    #[test]
    fn clusters_hash_differently_and_say_nothing_of_their_secret() {
        let other = DigestKey::new(&[8; 32]);
        assert_ne!(key().key_hash(b"user:42"), other.key_hash(b"user:42"));
        assert_ne!(key().entry_hash(1, 2), other.entry_hash(1, 2));
        assert_eq!(format!("{other:?}"), "DigestKey { .. }");
    }

    /// Nodes of different builds must agree on these, or sync would never end.
    #[test]
    fn hashes_are_the_same_in_every_build() {
        let long = [b'x'; 300];
        let hashes = [key().key_hash(b""), key().key_hash(b"user:42"), key().key_hash(&long)];
        assert_eq!(
            hashes,
            [12_119_029_833_889_307_590, 12_138_906_563_069_330_807, 15_035_082_207_361_943_609]
        );
        assert_eq!(
            [key().entry_hash(1, 2), cell(&[(1, 2)]).fingerprint(3)],
            [13_380_941_233_739_441_444, 13_462_688_251_009_354_870]
        );
    }
}
