//! What peers have to be sent of a key.

use rumour_crdt::{Entry, Hlc};

/// Deltas that take more memory than this together are not kept: the whole key is sent in their place. So is the delta that makes the key.
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
    /// When the first of them was written. What died and was removed since may have been what it was added to.
    pub(crate) since: Hlc,
}

impl Change {
    /// These contributions, made at once. They may be `all` that is known of the key: where it was evicted they are a part of it, and only
    /// a delta says so.
    pub(crate) fn contributed(entry: Entry, all: bool) -> Self {
        if all && entry.payload_bytes() > DELTA_BYTES_LIMIT {
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
            // That one is of a life of the key that is over here. Joined, it would win.
            (Self::Delta(ours), Self::Delta(theirs)) if theirs.entry.stamp() < ours.entry.stamp() => {
                *self = Self::Whole;
            }
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

#[cfg(test)]
mod tests {
    use rumour_crdt::{ActorId, Contents, Kind, Stamp};

    use super::*;

    fn contributed(epoch: u64) -> Change {
        let stamp = Stamp { time: Hlc::from_parts(epoch, 0), actor: ActorId::new(1), seq: epoch };
        let entry = Entry::ground(None, Kind::Set, stamp, |above| above);
        Change::contributed(entry.with_contents(Contents::delta(Kind::Set)), false)
    }

    #[test]
    fn what_is_contributed_to_a_lower_epoch_does_not_vanish_in_a_higher_one() {
        let mut change = contributed(7);
        change.join(&contributed(3));
        assert_eq!(change, Change::Whole);
        let mut change = contributed(3);
        change.join(&contributed(7));
        assert_eq!(change, Change::Delta(Box::new(Delta { since: Hlc::from_parts(3, 0), ..delta(7) })));
    }

    fn delta(epoch: u64) -> Delta {
        match contributed(epoch) {
            Change::Delta(delta) => *delta,
            Change::Whole => panic!("it is small"),
        }
    }
}
