//! Building a register anew from what was kept of it, for stores that keep entries in a form of their own.

use super::{Body, Entry};
use crate::{Dot, Stamp, VersionVector};

impl Entry {
    /// The register of which these parts were read: its [`stamp`](Self::stamp), the dots that
    /// [`seen`](Self::seen) lists behind the stamp's own, its [`body`](Self::body) and the time of its
    /// [`expiry`](Self::expiry), which must never have been changed apart from the value.
    ///
    /// ```
    /// # use rumour_crdt::{ActorId, Entry, Minter};
    /// # let (mut one, mut other) = (Minter::new(ActorId::new(1)), Minter::new(ActorId::new(2)));
    /// let old = Entry::value("old".into(), None, other.mint(1, None), None);
    /// let new = Entry::value("new".into(), Some(9), one.mint(1, Some(old.newest())), Some(&old));
    /// let others = new.seen().iter().skip(1);
    /// assert_eq!(Entry::from_parts(new.stamp(), others, new.body().clone(), new.expiry().at_ms), new);
    /// ```
    pub fn from_parts(
        stamp: Stamp,
        others: impl IntoIterator<Item = Dot>,
        body: Body,
        expires_at_ms: Option<u64>,
    ) -> Self {
        let mut entry = Self::written(body, expires_at_ms, stamp, None);
        for dot in others {
            entry.seen.join(&VersionVector::from(dot));
        }
        entry
    }
}
