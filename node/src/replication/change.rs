//! What peers have to be sent of a key.

use rumour_crdt::{Entry, Hlc};

/// A delta that takes more memory than this is not kept: the whole key is sent in its place.
const DELTA_BYTES_LIMIT: usize = 64 * 1024;

/// What changed in a key since a peer was last sent something of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// All of it: it is sent as it is then.
    Whole,
    /// Some contributions.
    Delta(Box<Delta>),
}

/// Contributions of one epoch that wait together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delta {
    /// The key's header with these contributions alone.
    pub(crate) entry: Entry,
    /// When the first of them was made. What died and was removed since may have been what it was added to.
    pub(crate) since: Hlc,
}

impl Change {
    /// These contributions, made at once. They may be all that there is of the key: where it was evicted they are a part of it, and only
    /// a delta says so.
    pub(crate) fn contributed(entry: Entry) -> Self {
        if entry.payload_bytes() > DELTA_BYTES_LIMIT {
            return Self::Whole;
        }
        let since = entry.newest().time;
        Self::Delta(Box::new(Delta { entry, since }))
    }

    /// Both changes together.
    pub(crate) fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Whole, _) => {}
            (Self::Delta(_), Self::Whole) => *self = Self::Whole,
            (Self::Delta(ours), Self::Delta(theirs)) => {
                // Nothing is lost by a conflict that this node has made itself: it was counted when it happened.
                let _ = ours.entry.merge(&theirs.entry);
                ours.since = ours.since.min(theirs.since);
                if ours.entry.payload_bytes() > DELTA_BYTES_LIMIT {
                    *self = Self::Whole;
                }
            }
        }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Delta(delta) => size_of::<Delta>() + delta.entry.heap_bytes(),
        }
    }
}
