//! Keys that no peer held when all were asked a moment ago.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

/// Keys kept at most: they are asked for right before they are written, by commands that name a few thousand at most.
const ABSENT_LIMIT: usize = 65_536;

/// Hashes of keys that nobody has, the latest ones. Forgetting one costs another question.
#[derive(Debug, Default)]
pub(super) struct Absent {
    list: Mutex<List>,
    /// How many there are, to be asked without the lock.
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    hashes: BTreeSet<u64>,
    /// In the order in which they came; some were removed since.
    order: VecDeque<u64>,
}

impl Absent {
    pub(super) fn insert(&self, hash: u64) {
        let mut list = self.list.lock();
        if list.hashes.insert(hash) {
            list.order.push_back(hash);
        }
        if list.order.len() > ABSENT_LIMIT
            && let Some(oldest) = list.order.pop_front()
        {
            list.hashes.remove(&oldest);
        }
        self.len.store(list.hashes.len(), Relaxed);
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.len.load(Relaxed) > 0 && self.list.lock().hashes.contains(&hash)
    }

    /// The key is held now: if it goes again, that it was absent means nothing any more.
    pub(super) fn remove(&self, hash: u64) {
        if self.len.load(Relaxed) > 0 {
            let mut list = self.list.lock();
            list.hashes.remove(&hash);
            self.len.store(list.hashes.len(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(absent: &Absent) -> (usize, usize) {
        let list = absent.list.lock();
        (list.hashes.len(), list.order.len())
    }

    #[test]
    fn the_latest_are_known_and_their_number_is_bounded() {
        let absent = Absent::default();
        let more = 2 * ABSENT_LIMIT as u64;
        for hash in 0..more {
            absent.insert(hash);
            absent.insert(hash);
        }
        assert!(absent.contains(more - 1) && !absent.contains(0));
        assert_eq!(lengths(&absent), (ABSENT_LIMIT, ABSENT_LIMIT));
        absent.remove(more - 1);
        assert!(!absent.contains(more - 1));
        for hash in 0..more {
            absent.remove(hash);
            absent.insert(hash);
            absent.remove(hash);
        }
        let (hashes, order) = lengths(&absent);
        assert!(hashes == 0 && order <= ABSENT_LIMIT);
    }
}
