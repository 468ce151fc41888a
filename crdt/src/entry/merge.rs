//! How two states of one key become one.

use std::cmp::Ordering;
use std::mem;

use crdts::CvRDT;

use super::{Body, Conflict, ENTRY_DOTS_LIMIT, Entry, Merged};
use crate::{Lattice, Stamp, VersionVector};

/// Two states contradict each other, which correct nodes never let happen. Nothing was changed. Merging
/// them all the same is safe and every replica comes to the same result, but a write may be lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenInvariant {
    /// One stamp names two values.
    #[error("two values were written under the stamp {stamp}: look for two nodes that share an actor id")]
    ValueDiffers {
        /// The stamp of both.
        stamp: Stamp,
    },
    /// One stamp names two expiries.
    #[error("two expiries were written under the stamp {stamp}: look for two nodes that share an actor id")]
    ExpiryDiffers {
        /// The stamp of both.
        stamp: Stamp,
    },
    /// A write is stamped below another that it had seen.
    #[error("{stamp} had seen {seen} and yet lies below it: look for a node whose clock lost its memory")]
    OutOfOrder {
        /// The write with the lower stamp.
        stamp: Stamp,
        /// The write that it had seen.
        seen: Stamp,
    },
}

impl Entry {
    /// Absorbs another state of the same key. See [`Lattice`] for what that promises. Contradictions
    /// between the two are not reported here but by `validate_merge` of [`crdts::CvRDT`].
    pub fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        let order = self.order(other);
        let (winner, loser) = if order.is_lt() { (other, &*self) } else { (&*self, other) };
        if winner.lost_sight_of(loser) {
            merged.report(|| Conflict { element: None, losing: loser.side(), winning: winner.side() });
        }
        merged.changed = self.merge_seen(other, self.order_of_rivals(other).unwrap_or(order));
        merged.changed |= self.merge_contents(other, &mut merged);
        if let Some(changed) = self.merge_rivals(other) {
            merged.changed |= changed;
        } else if order.is_lt() {
            merged.changed = true;
            self.stamp = other.stamp;
            self.body = other.body.clone();
            self.expires_at_ms = other.expires_at_ms;
            self.expiry_register.clone_from(&other.expiry_register);
        }
        merged
    }

    /// The order in which the greater one wins whole, but for contributions under equal stamps.
    fn order(&self, other: &Self) -> Ordering {
        (self.stamp, self.expiry_stamp())
            .cmp(&(other.stamp, other.expiry_stamp()))
            .then_with(|| self.body.rank().cmp(&other.body.rank()))
            .then_with(|| self.expires_at_ms.cmp(&other.expires_at_ms))
    }

    /// Whether a state of a lower epoch holds something that this one's writer had not seen. What the other had seen
    /// is not asked: nothing has seen what lies above it.
    fn lost_sight_of(&self, loser: &Self) -> bool {
        if self.stamp == loser.stamp {
            return false;
        }
        let contributed = loser.contents.as_ref().filter(|contents| !contents.is_empty());
        !self.seen.covers(loser.stamp.dot())
            || contributed.is_some_and(|contents| contents.tops().any(|dot| !self.seen.covers(dot)))
    }

    /// Joins the vectors: the winner's, then what the other one knows beyond it. A concurrent write that lost
    /// comes right behind the winner, so that its conflict is not reported again when it arrives again.
    /// Returns whether the vector changed.
    fn merge_seen(&mut self, other: &Self, order: Ordering) -> bool {
        let epochs_differ = self.stamp != other.stamp;
        let theirs = if epochs_differ { other.seen_with_contents() } else { other.seen.clone() };
        if order.is_ge() && theirs.iter().all(|dot| self.seen.covers(dot)) {
            return false;
        }
        let ours = if epochs_differ && order.is_lt() { self.seen_with_contents() } else { self.seen.clone() };
        let (winner, winner_stamp, loser, loser_stamp) = if order.is_lt() {
            (other.seen.clone(), other.stamp, ours, self.stamp)
        } else {
            (ours, self.stamp, theirs, other.stamp)
        };
        let mut seen = winner;
        debug_assert!(seen.covers(winner_stamp.dot()), "a vector covers its own stamp");
        seen.insert_behind_front(loser_stamp.dot());
        seen.join(&loser);
        seen.prune(ENTRY_DOTS_LIMIT);
        mem::replace(&mut self.seen, seen) != self.seen
    }

    fn merge_contents(&mut self, other: &Self, merged: &mut Merged) -> bool {
        match self.stamp.cmp(&other.stamp) {
            Ordering::Greater => false,
            Ordering::Less => {
                let delta = self.is_delta();
                let replaced = mem::replace(&mut self.contents, other.contents.clone());
                if !delta {
                    self.settle();
                }
                replaced.is_some() || self.contents.is_some()
            }
            Ordering::Equal => match (&mut self.contents, &other.contents) {
                // What has no contributions lists all that there are.
                (Some(ours), None) if ours.is_delta() => {
                    ours.settle();
                    true
                }
                (_, None) => false,
                (Some(ours), Some(theirs)) => {
                    let mut losing = VersionVector::new();
                    if ours.kind() != theirs.kind() {
                        let lower = if ours.kind() < theirs.kind() { &*ours } else { theirs };
                        lower.tops().for_each(|dot| losing.insert(dot));
                    }
                    // What was reported as lost before is not reported again when it arrives again.
                    let reported = !losing.is_empty() && losing.iter().all(|dot| self.seen.covers(dot));
                    let changed = ours.merge(theirs, |lost| {
                        if !reported {
                            merged.report(|| lost.into());
                        }
                    });
                    let mut seen = self.seen.clone();
                    seen.join(&losing);
                    seen.prune(ENTRY_DOTS_LIMIT);
                    changed | (mem::replace(&mut self.seen, seen) != self.seen)
                }
                (ours, Some(theirs)) => {
                    *ours = Some(theirs.clone());
                    self.settle();
                    true
                }
            },
        }
    }
}

impl Lattice for Entry {
    fn join(&mut self, other: &Self) -> bool {
        self.merge(other).changed
    }

    /// Equal but for what their vectors remember.
    fn equivalent(&self, other: &Self) -> bool {
        let contents = match (&self.contents, &other.contents) {
            (Some(ours), Some(theirs)) => ours.equivalent(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        contents && self.order(other).is_eq() && self.expiry_register == other.expiry_register
    }
}

impl CvRDT for Entry {
    type Validation = BrokenInvariant;

    fn validate_merge(&self, other: &Self) -> Result<(), BrokenInvariant> {
        let (low, high) = if self.stamp < other.stamp { (self, other) } else { (other, self) };
        if low.stamp != high.stamp {
            // Only the very write: that a later one of its actor was seen says nothing, as an actor which has evicted
            // the key may contribute below what it wrote before.
            let latest_seen = low.seen.get(high.stamp.actor);
            return if !high.stamp.is_derived() && latest_seen == high.stamp.seq && latest_seen > 0 {
                Err(BrokenInvariant::OutOfOrder { stamp: low.stamp, seen: high.stamp })
            } else {
                Ok(())
            };
        }
        match (&low.body, &high.body) {
            (Body::Value(one), Body::Value(two)) if one == two => {}
            (Body::Value(_) | Body::Expired, Body::Expired) | (Body::Expired, Body::Value(_)) => {}
            (Body::Tombstone, Body::Tombstone) => {}
            // Contributions to a tombstone expire with it.
            (Body::Tombstone, Body::Expired) | (Body::Expired, Body::Tombstone) => {}
            _ => return Err(BrokenInvariant::ValueDiffers { stamp: low.stamp }),
        }
        if low.expiry_stamp() == high.expiry_stamp() && low.expires_at_ms != high.expires_at_ms {
            return Err(BrokenInvariant::ExpiryDiffers { stamp: low.expiry_stamp() });
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        let _ = Entry::merge(self, &other);
    }
}
