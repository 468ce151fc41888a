//! What must hold, and the books that tell whether it does.
//!
//! [`Ledger`] knows every write that was ever made in the cluster, [`Replica`] what one incarnation of a node
//! must hold, [`Watch`] feeds both from a running node and reports what they refuse. The books are plain and
//! know the rules from the data model's documentation, not from the node: they decide each merge once more.

mod contributions;
mod ledger;
mod replica;
#[cfg(test)]
mod tests;
mod watch;

use bytes::Bytes;
use rumour_crdt::{Body, Entry, Expiry, Stamp};

pub(crate) use self::contributions::{Contributions, Of, Shown, shown_of};
pub(crate) use self::ledger::Ledger;
pub use self::ledger::Removals;
pub(crate) use self::replica::Replica;
pub(crate) use self::watch::Watch;

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) detail: String,
}

pub(crate) type Checked = Result<(), Broken>;

/// Fails with `rule` unless `holds`.
pub(crate) fn require(holds: bool, rule: &'static str, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { rule, detail: detail() }) }
}

/// What replicas must agree on: everything of an entry but its vector, which only tells conflicts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) expiry: Expiry,
    pub(crate) body: &'a Body,
}

impl<'a> Face<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Self {
        Self { stamp: entry.stamp(), expiry: entry.expiry(), body: entry.body() }
    }

    /// The same with an expiry that is due at `now_ms` in effect, so that it does not matter who noticed first.
    pub(crate) fn at(entry: &'a Entry, now_ms: u64) -> Self {
        let face = Self::of(entry);
        let due = face.expiry.at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let lapsed = due && *face.body != Body::Expired;
        Self { body: if lapsed { &Body::Expired } else { face.body }, ..face }
    }

    /// What a client is to be shown.
    pub(crate) fn visible(&self) -> Option<&'a Bytes> {
        match self.body {
            Body::Value(value) => Some(value),
            Body::Tombstone | Body::Expired => None,
        }
    }

    /// What decides between two states of a key: the write, then the latest change of its expiry.
    pub(crate) fn rank(&self) -> (Stamp, Stamp) {
        (self.stamp, self.expiry.stamp)
    }
}

/// Whether clients use a key for a counter or a collection, whose contributions have books of their own.
pub(crate) fn is_collection(key: &[u8]) -> bool {
    key.starts_with(b"+")
}

/// A key for people to read.
pub(crate) fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
