//! How a key takes contributions: to which epoch they belong.

use super::{Body, ENTRY_DOTS_LIMIT, Entry, ExpiryPolicy, NEVER};
use crate::{Contents, Hlc, Kind, Stamp, VersionVector};

impl Entry {
    /// The state of a key that is to take contributions of a type.
    ///
    /// It continues the epoch of what is known: of a value, a tombstone, or a collection of that type, also an
    /// emptied one; after an expiry an epoch that follows from that expiry, so that nodes which saw the same one
    /// come to the same; of nothing the epoch `nothing`: the stamp of the last flush, or [`Stamp::ZERO`]. Only a
    /// collection that was emptied and becomes another type takes a new epoch. `mint` gives a stamp above the one it is given; what is due must have been dropped
    /// ([`expire`](Self::expire)), and what is visible must be of that type.
    pub fn ground(
        present: Option<Self>,
        kind: Kind,
        nothing: Stamp,
        mint: impl FnOnce(Stamp) -> Stamp,
    ) -> Self {
        let Some(mut entry) = present else { return Self::of_nothing(kind, nothing) };
        match (&entry.body, entry.contents.as_deref()) {
            (Body::Expired, _) => entry.after_expiry(kind),
            (Body::Value(_) | Body::Tombstone, None) => {
                entry.contents = Some(Box::new(Contents::new(kind)));
                entry
            }
            (_, Some(contents)) if contents.kind() == kind => {
                if !entry.is_visible() && entry.expires_at_ms != NEVER {
                    // The emptied collection's expiry does not hold for what comes now.
                    let stamp = mint(entry.newest());
                    entry.put_expiry(ExpiryPolicy::LastWriter, None, stamp);
                }
                entry
            }
            (_, Some(_)) => {
                let mut fresh = Self::tombstone(mint(entry.newest()), Some(&entry));
                fresh.contents = Some(Box::new(Contents::new(kind)));
                fresh
            }
        }
    }

    fn of_nothing(kind: Kind, stamp: Stamp) -> Self {
        Self {
            stamp,
            seen: VersionVector::from(stamp.dot()),
            body: Body::Tombstone,
            expires_at_ms: NEVER,
            expiry_register: None,
            contents: Some(Box::new(Contents::new(kind))),
        }
    }

    /// The epoch that follows an expiry: just above its end and its stamp.
    fn after_expiry(self, kind: Kind) -> Self {
        let expiry = self.expiry_stamp();
        let time = Hlc::from_parts(self.expires_at_ms, 0).max(expiry.time);
        let stamp = expiry.derive(Hlc::from_bits(time.bits().saturating_add(1)));
        let mut seen = VersionVector::from(stamp.dot());
        seen.join(&self.seen_with_contents());
        seen.prune(ENTRY_DOTS_LIMIT);
        Self { seen, ..Self::of_nothing(kind, stamp) }
    }

    /// What it takes contributions in, once it was [grounded](Self::ground).
    pub fn contents_mut(&mut self) -> Option<&mut Contents> {
        self.contents.as_deref_mut()
    }

    /// A delta of it: its header with these contributions alone. To be sent to those that have the rest.
    pub fn with_contents(&self, contents: Contents) -> Self {
        Self {
            stamp: self.stamp,
            seen: self.seen.clone(),
            body: self.body.clone(),
            expires_at_ms: self.expires_at_ms,
            expiry_register: self.expiry_register.clone(),
            contents: Some(Box::new(contents)),
        }
    }

    /// Makes a delta a state, for where nothing is known of the key.
    pub fn settle(&mut self) {
        if let Some(contents) = &mut self.contents {
            contents.settle();
        }
    }

    /// Drops elements that are due by `now_ms` (Unix milliseconds). Returns whether there were any.
    pub fn purge(&mut self, now_ms: u64) -> bool {
        self.contents.as_mut().is_some_and(|contents| contents.purge(now_ms))
    }
}
