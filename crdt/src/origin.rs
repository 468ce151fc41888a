//! Where a contribution comes from.

use crate::Stamp;

/// The write that a contribution is made by, and how long its actor has known what it contributes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The write.
    pub stamp: Stamp,
    /// The sequence of the actor from which on it has certainly not forgotten anything of the state that
    /// it contributes to: what it made at or below, it may have evicted and got back in an older form. A
    /// contribution then stands by itself and continues none of those.
    pub unbroken_since: u64,
}
