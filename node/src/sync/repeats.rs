//! What a session asks for or gives once more, because what was evicted meanwhile may lie above what was sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{Position, Store, VersionItem};

/// The keys of one session that one end has evicted, or a part of them. Nothing is repeated twice in each direction.
#[derive(Default)]
pub(super) struct Repeats {
    /// What was left here of those that the latest request asked for.
    left: BTreeMap<Position, u64>,
    /// What went with the latest request.
    given: BTreeSet<Position>,
    /// What goes once more, and what the peer has left of it.
    again: BTreeMap<Position, u64>,
    asked_again: BTreeSet<Position>,
    given_again: BTreeSet<Position>,
}

impl Repeats {
    /// A request is about to ask for these: gives nothing away that was evicted from now on.
    pub(super) fn asking(&mut self, store: &Store, want: &[Position]) {
        self.left = want.iter().filter_map(|at| Some((*at, store.left_at(*at)?))).collect();
    }

    /// What was left here of a key when it was asked for.
    pub(super) fn left(&self, at: Position) -> Option<u64> {
        self.left.get(&at).copied()
    }

    /// What came of a key is late: whether to ask for it again.
    pub(super) fn ask_again(&mut self, at: Position) -> bool {
        self.asked_again.insert(at)
    }

    /// Whether a key was asked for again.
    pub(super) fn was_asked_again(&self, at: Position) -> bool {
        self.asked_again.contains(&at)
    }

    /// These go with the next request; gives those that the peer asked for again, with what it has left.
    pub(super) fn giving(&mut self, given: impl Iterator<Item = Position>) -> Vec<VersionItem> {
        self.given = given.collect();
        let item = |at: &Position| Some(VersionItem { at: *at, version: self.again.remove(at)? });
        self.given.iter().filter_map(item).collect()
    }

    /// Whether this went with the latest request.
    pub(super) fn was_given(&self, at: Position) -> bool {
        self.given.contains(&at)
    }

    /// The peer asks for this again; gives whether it goes.
    pub(super) fn give_again(&mut self, item: VersionItem) -> bool {
        let first = self.given_again.insert(item.at);
        if first {
            self.again.insert(item.at, item.version);
        }
        first
    }
}
