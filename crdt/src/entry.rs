//! A key's whole state on one node: a last-writer-wins register with an expiry of its own.
//!
//! Evicting entries, collecting tombstones and telling others about conflicts live in the node.

#[cfg(test)]
mod tests;
mod wire;

use std::cmp::Ordering;
use std::mem;

use bytes::Bytes;
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Lattice, Stamp, VersionVector};

/// How many writers an entry's version vector remembers: the present value's, and the most recent others.
pub const ENTRY_DOTS_LIMIT: usize = 3;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A value.
    Value(Bytes),
    /// Nothing, because it was deleted.
    Tombstone,
    /// Nothing, because the value was dropped when its expiry took effect here.
    Expired,
}

/// When a value ends. A register of its own under the value's stamp: it can be replaced without writing the
/// value again, and never outlives the value that it was set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first Unix millisecond at which the value is gone; `None` if it stays.
    pub at_ms: Option<u64>,
    /// The write that set it: the value's own stamp until it is changed.
    pub stamp: Stamp,
}

/// A key's whole state on one node.
///
/// States merge by a total order. The higher value stamp wins whole, with its expiry. Under equal value
/// stamps the higher expiry stamp wins whole: an expired body under an older expiry yields to a value under
/// a newer one. Under equal stamps of both, expired absorbs value. Version vectors always join.
///
/// Its vector names writes of values and deletes, not those of expiries. It always covers the entry's own
/// stamp, whose writer is the most recent one and so is never forgotten. As stamps extend causal order,
/// forgetting others can at worst report a conflict that was none; it never makes another write win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "wire::WireEntry", into = "wire::WireEntry")]
pub struct Entry {
    stamp: Stamp,
    seen: VersionVector,
    body: Body,
    /// [`NEVER`] if the value stays.
    expires_at_ms: u64,
    /// `None` while it is the value's stamp, as it is for nearly all keys: this keeps entries small.
    expiry_stamp: Option<Box<Stamp>>,
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a conflict is to be counted and published"]
pub struct Merged {
    /// Whether the entry differs from what it was in anything, be it its vector alone. Whether the digest
    /// has to follow shows in [`Entry::version`].
    pub changed: bool,
    /// Set when neither write had seen the other.
    pub conflict: Option<Conflict>,
}

/// Two concurrent writes met and one lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The write that lost.
    pub losing: Stamp,
    /// What it had written, or what had become of that.
    pub losing_body: Body,
    /// The write that won.
    pub winning: Stamp,
}

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

/// Stands for no expiry. As an expiry it would be 500 million years away.
const NEVER: u64 = u64::MAX;

impl Body {
    /// Greater bodies win under equal stamps. Only expired over value happens between correct nodes; the
    /// rest makes a broken invariant come out equal everywhere.
    fn rank(&self) -> (u8, &[u8]) {
        match self {
            Self::Value(value) => (0, value),
            Self::Tombstone => (1, &[]),
            Self::Expired => (2, &[]),
        }
    }
}

impl Entry {
    /// A value that is written with `stamp` and ends at `expires_at_ms` (Unix milliseconds; `u64::MAX`
    /// counts as never). `over` is the state that it replaces, the whole of what is known of the key: what
    /// that has seen, this has seen. `stamp` must be minted above [`over.newest()`](Self::newest).
    pub fn value(value: Bytes, expires_at_ms: Option<u64>, stamp: Stamp, over: Option<&Self>) -> Self {
        Self::written(Body::Value(value), expires_at_ms, stamp, over)
    }

    /// The delete that is written with `stamp` over the state that it removes; see [`value`](Self::value).
    pub fn tombstone(stamp: Stamp, over: Option<&Self>) -> Self {
        Self::written(Body::Tombstone, None, stamp, over)
    }

    fn written(body: Body, expires_at_ms: Option<u64>, stamp: Stamp, over: Option<&Self>) -> Self {
        let mut seen = VersionVector::from(stamp.dot());
        if let Some(over) = over {
            debug_assert!(stamp > over.newest(), "{stamp} is not above {}", over.newest());
            seen.join(&over.seen);
            seen.prune(ENTRY_DOTS_LIMIT);
        }
        Self { stamp, seen, body, expires_at_ms: expires_at_ms.unwrap_or(NEVER), expiry_stamp: None }
    }

    /// Gives the value another end, or none, as a write of its own. Returns whether it did: without a value
    /// there is nothing that could end, and a stamp not above [`newest`](Self::newest) would lose. Drop a
    /// value that is due ([`expire`](Self::expire)) before, lest it comes back to life.
    pub fn set_expiry(&mut self, at_ms: Option<u64>, stamp: Stamp) -> bool {
        if !matches!(self.body, Body::Value(_)) || stamp <= self.newest() {
            return false;
        }
        self.expires_at_ms = at_ms.unwrap_or(NEVER);
        self.expiry_stamp = Some(Box::new(stamp));
        true
    }

    /// The write that the body is from.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Which writes of values and deletes it has seen, as far as it remembers.
    pub const fn seen(&self) -> &VersionVector {
        &self.seen
    }

    /// What the key holds. A value may be due already: [`live_value`](Self::live_value) regards that.
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// When the value ends or ended, and the write that said so. A tombstone has none.
    pub fn expiry(&self) -> Expiry {
        Expiry { at_ms: (self.expires_at_ms != NEVER).then_some(self.expires_at_ms), stamp: self.newest() }
    }

    /// The newest stamp in it. A write that replaces it must be minted above this one.
    pub fn newest(&self) -> Stamp {
        self.expiry_stamp.as_deref().copied().unwrap_or(self.stamp)
    }

    /// Whether the value's end has come by `now_ms` (Unix milliseconds), or has taken effect before.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at_ms != NEVER && self.expires_at_ms <= now_ms || matches!(self.body, Body::Expired)
    }

    /// Drops the value if it is due, for good: the entry absorbs every copy of the value that comes later,
    /// unless its expiry was changed. Returns whether it changed. The version stays what it was, so that
    /// replicas whose clocks differ do not disagree.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let drops = matches!(self.body, Body::Value(_)) && self.is_due(now_ms);
        if drops {
            self.body = Body::Expired;
        }
        drops
    }

    /// The value, if there is one that is not due by `now_ms` (Unix milliseconds).
    pub fn live_value(&self, now_ms: u64) -> Option<&Bytes> {
        match &self.body {
            Body::Value(value) if !self.is_due(now_ms) => Some(value),
            _ => None,
        }
    }

    /// A fingerprint of the value's and the expiry's stamp, never 0. Entries of one key with equal versions
    /// are equal, but for what their vectors remember and whether the value was dropped yet.
    pub fn version(&self) -> u64 {
        let (value, expiry) = (self.stamp, self.newest());
        let words = [
            value.time.bits(),
            value.actor.get(),
            value.seq,
            expiry.time.bits(),
            expiry.actor.get(),
            expiry.seq,
        ];
        let mut bytes = [0; 48];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        xxh3_64(&bytes).max(1)
    }

    /// Bytes of the value; 0 without one.
    pub const fn payload_bytes(&self) -> usize {
        match &self.body {
            Body::Value(value) => value.len(),
            Body::Tombstone | Body::Expired => 0,
        }
    }

    /// Absorbs another state of the same key. See [`Lattice`] for what that promises. Contradictions
    /// between the two are not reported here but by `validate_merge` of [`crdts::CvRDT`].
    pub fn merge(&mut self, other: &Self) -> Merged {
        let order = self.order(other);
        let conflict = self.is_concurrent(other).then(|| {
            let (winner, loser) = if order.is_gt() { (&*self, other) } else { (other, &*self) };
            Conflict { losing: loser.stamp, losing_body: loser.body.clone(), winning: winner.stamp }
        });
        let changed = self.merge_seen(other, order) | order.is_lt();
        if order.is_lt() {
            self.stamp = other.stamp;
            self.body = other.body.clone();
            self.expires_at_ms = other.expires_at_ms;
            self.expiry_stamp.clone_from(&other.expiry_stamp);
        }
        Merged { changed, conflict }
    }

    /// The order in which the greater one wins whole.
    fn order(&self, other: &Self) -> Ordering {
        (self.stamp, self.newest())
            .cmp(&(other.stamp, other.newest()))
            .then_with(|| self.body.rank().cmp(&other.body.rank()))
            .then_with(|| self.expires_at_ms.cmp(&other.expires_at_ms))
    }

    fn is_concurrent(&self, other: &Self) -> bool {
        self.stamp != other.stamp
            && !self.seen.covers(other.stamp.dot())
            && !other.seen.covers(self.stamp.dot())
    }

    /// Joins the vectors: the winner's, then what the other one knows beyond it. A concurrent write that lost
    /// comes right behind the winner, so that its conflict is not reported again when it arrives again.
    /// Returns whether the vector changed.
    fn merge_seen(&mut self, other: &Self, order: Ordering) -> bool {
        if order.is_ge() && other.seen.iter().all(|dot| self.seen.covers(dot)) {
            return false;
        }
        let (winner, loser) = if order.is_lt() { (other, &*self) } else { (&*self, other) };
        let mut seen = winner.seen.clone();
        seen.insert_behind_front(loser.stamp.dot());
        seen.join(&loser.seen);
        seen.prune(ENTRY_DOTS_LIMIT);
        mem::replace(&mut self.seen, seen) != self.seen
    }
}

impl Lattice for Entry {
    fn join(&mut self, other: &Self) -> bool {
        self.merge(other).changed
    }

    /// Equal but for what their vectors remember.
    fn equivalent(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl CvRDT for Entry {
    type Validation = BrokenInvariant;

    fn validate_merge(&self, other: &Self) -> Result<(), BrokenInvariant> {
        let (low, high) = if self.stamp < other.stamp { (self, other) } else { (other, self) };
        if low.stamp != high.stamp {
            return if low.seen.covers(high.stamp.dot()) {
                Err(BrokenInvariant::OutOfOrder { stamp: low.stamp, seen: high.stamp })
            } else {
                Ok(())
            };
        }
        match (&low.body, &high.body) {
            (Body::Value(one), Body::Value(two)) if one == two => {}
            (Body::Value(_) | Body::Expired, Body::Expired) | (Body::Expired, Body::Value(_)) => {}
            (Body::Tombstone, Body::Tombstone) => {}
            _ => return Err(BrokenInvariant::ValueDiffers { stamp: low.stamp }),
        }
        if low.newest() == high.newest() && low.expires_at_ms != high.expires_at_ms {
            return Err(BrokenInvariant::ExpiryDiffers { stamp: low.newest() });
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        let _ = Entry::merge(self, &other);
    }
}
