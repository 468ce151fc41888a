//! Keys that no peer held when all were asked a moment ago.

use std::collections::{BTreeSet, VecDeque};

/// Keys kept at most: they are asked for right before they are written.
const ABSENT_LIMIT: usize = 4096;

/// Hashes of keys that nobody has, the latest ones. Forgetting one costs another question.
#[derive(Debug, Default)]
pub(super) struct Absent {
    hashes: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Absent {
    pub(super) fn insert(&mut self, hash: u64) {
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > ABSENT_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// The key is held now: if it goes again, that it was absent means nothing any more.
    pub(super) fn remove(&mut self, hash: u64) {
        self.hashes.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known_and_their_number_is_bounded() {
        let mut absent = Absent::default();
        let more = 2 * ABSENT_LIMIT as u64;
        for hash in 0..more {
            absent.insert(hash);
            absent.insert(hash);
        }
        assert!(absent.contains(more - 1) && !absent.contains(0));
        assert_eq!((absent.hashes.len(), absent.order.len()), (ABSENT_LIMIT, ABSENT_LIMIT));
        absent.remove(more - 1);
        assert!(!absent.contains(more - 1));
        for hash in 0..more {
            absent.remove(hash);
            absent.insert(hash);
            absent.remove(hash);
        }
        assert!(absent.hashes.is_empty() && absent.order.len() <= ABSENT_LIMIT);
    }
}
