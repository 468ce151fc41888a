//! What peers have to be sent of a key.

use rumour_crdt::Entry;

/// A delta that takes more memory than this is not kept: the whole key is sent in its place.
const DELTA_BYTES_LIMIT: usize = 64 * 1024;

/// What changed in a key since a peer was last sent something of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// All of it: it is sent as it is then.
    Whole,
    /// These contributions.
    Delta(Box<Entry>),
}

impl Change {
    /// Both changes together.
    pub(crate) fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Whole, _) => {}
            (Self::Delta(_), Self::Whole) => *self = Self::Whole,
            (Self::Delta(ours), Self::Delta(theirs)) => {
                // Nothing is lost by a conflict that this node has made itself: it was counted when it happened.
                let _ = ours.merge(theirs);
                if ours.payload_bytes() > DELTA_BYTES_LIMIT {
                    *self = Self::Whole;
                }
            }
        }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Delta(delta) => size_of::<Entry>() + delta.heap_bytes(),
        }
    }
}
