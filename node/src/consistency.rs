//! How many owners have to take part in a read or a write.

use serde::{Deserialize, Serialize};

/// How many owners of a key have to take part before an operation is answered.
///
/// Every level answers with what the answering node holds, merged with what the others of the level hold; they differ in what
/// is known of the rest of the cluster by then. See the consistency guide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// The node that is asked: always answers, also when it is cut off from all others.
    #[default]
    One,
    /// More than half of the owners: what one such write was acknowledged for, each later such read sees.
    Quorum,
    /// All owners.
    All,
}

impl Consistency {
    /// Of so many owners, how many are needed.
    pub(crate) fn needed(self, owners: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Quorum => owners / 2 + 1,
            Self::All => owners,
        }
    }
}

impl std::fmt::Display for Consistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One => "one",
            Self::Quorum => "quorum",
            Self::All => "all",
        })
    }
}

/// `one`, `quorum` or `all`, in capitals or not, was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a consistency is `one`, `quorum` or `all`")]
pub struct UnknownConsistency;

impl std::str::FromStr for Consistency {
    type Err = UnknownConsistency;

    fn from_str(name: &str) -> Result<Self, UnknownConsistency> {
        let levels = [Self::One, Self::Quorum, Self::All];
        levels
            .into_iter()
            .find(|level| name.eq_ignore_ascii_case(&level.to_string()))
            .ok_or(UnknownConsistency)
    }
}

/// How many owners have taken part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Owners that have taken part and count: one that started without its memory counts once it has caught up.
    pub answered: usize,
    /// How many are needed.
    pub needed: usize,
    /// How many there are; zero if the node knows of no cluster yet.
    pub owners: usize,
}

impl Tally {
    /// Whether they are enough.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.owners > 0 && self.answered >= self.needed
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} owners answered and {} are needed", self.answered, self.owners, self.needed)
    }
}
