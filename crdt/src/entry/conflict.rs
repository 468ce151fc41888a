//! What a merge did, and what was lost by it.

use bytes::Bytes;

use super::{Body, Entry};
use crate::{FieldName, Kind, Lost, Stamp};

/// Conflicts of one merge that are described; the others are counted only.
const CONFLICTS_DESCRIBED: usize = 16;

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a conflict is to be counted and published"]
pub struct Merged {
    /// Whether the entry differs from what it was in anything, be it its vector alone. Whether the digest
    /// has to follow shows in [`Entry::version`].
    pub changed: bool,
    /// How many writes lost that the winning one had not seen.
    pub conflicts: usize,
    /// The first of them. At most 16.
    pub described: Vec<Conflict>,
}

/// Two concurrent writes met and one lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The element that both wrote; `None` if they wrote the whole key.
    pub element: Option<FieldName>,
    /// The write that lost.
    pub losing: Side,
    /// The write that won.
    pub winning: Side,
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The write; of contributions the latest.
    pub stamp: Stamp,
    /// What it had written, or what had become of that.
    pub written: Written,
}

/// What a write wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A value.
    Value(Bytes),
    /// A delete.
    Deleted,
    /// A value that has expired since.
    Expired,
    /// Contributions to a key of that type, with this many elements.
    Elements(Kind, usize),
}

impl Merged {
    pub(super) fn report(&mut self, conflict: impl FnOnce() -> Conflict) {
        self.conflicts += 1;
        if self.described.len() < CONFLICTS_DESCRIBED {
            self.described.push(conflict());
        }
    }
}

impl From<Lost> for Conflict {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Element(met) => Self {
                element: Some(met.name),
                losing: Side { stamp: met.losing, written: Written::Value(met.losing_value) },
                winning: Side { stamp: met.winning, written: Written::Value(met.winning_value) },
            },
            Lost::Type { losing, losing_stamp, winning, winning_stamp } => {
                let side = |kind, stamp| Side { stamp, written: Written::Elements(kind, 0) };
                Self {
                    element: None,
                    losing: side(losing, losing_stamp),
                    winning: side(winning, winning_stamp),
                }
            }
        }
    }
}

impl Entry {
    /// It as one side of a conflict about the whole key.
    pub(super) fn side(&self) -> Side {
        let contributed = self.contents.as_ref().filter(|contents| !contents.is_empty());
        let written = match (&self.body, contributed) {
            (Body::Expired, _) => Written::Expired,
            (Body::Value(_), _) => self.text().map_or(Written::Deleted, Written::Value),
            (Body::Tombstone, Some(contents)) => Written::Elements(contents.kind(), contents.data().len()),
            (Body::Tombstone, None) => Written::Deleted,
        };
        let contributed = contributed.map(|contents| contents.latest());
        Side { stamp: contributed.unwrap_or(self.stamp).max(self.stamp), written }
    }
}
