//! A key's whole state on one node: a last-writer-wins register with an expiry of its own, and under each
//! of its writes the contributions to a counter or a collection.
//!
//! Evicting entries, collecting tombstones and telling others about conflicts live in the node.

mod conflict;
mod contribute;
mod expiry;
mod merge;
mod parts;
mod read;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Contents, Stamp, VersionVector};
pub use conflict::{Conflict, Merged, Side, Written};
use expiry::ExpiryRegister;
pub use expiry::{ExpiryPolicy, UnknownExpiryPolicy};
pub use merge::BrokenInvariant;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The first Unix millisecond at which the value is gone; `None` if it stays.
    pub at_ms: Option<u64>,
    /// The write that set it: the value's own stamp until it is changed.
    pub stamp: Stamp,
}

/// A key's whole state on one node, or a delta: the same with those contributions alone that a write made.
///
/// The stamp of the write that last replaced the whole key is its *epoch*. The higher epoch wins whole, with its
/// expiry and its contributions. Under equal epochs contributions join, and of the rest the higher expiry stamp
/// wins, unless a policy says otherwise ([`set_expiry_by`](Self::set_expiry_by)): an expired body under an older expiry yields to a value under a newer one, under equal stamps of both
/// expired absorbs value. Version vectors always join.
///
/// Contributions are made to a value that is a number, to a tombstone, or to nothing, which is epoch
/// [`Stamp::ZERO`]: two nodes that count from nothing share that epoch and add up, and so do two that count after
/// a delete that both knew. Those of an expired entry are hidden, not dropped, as a newer expiry may bring them back.
///
/// Its vector names writes of values and deletes, not those of expiries. It always covers the entry's own
/// stamp, whose writer is the most recent one and so is never forgotten. As stamps extend causal order,
/// forgetting others can at worst report a conflict that was none; it never makes another write win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "wire::WireEntry", into = "wire::WireEntry")]
pub struct Entry {
    stamp: Stamp,
    seen: VersionVector,
    body: Body,
    /// [`NEVER`] if the value stays.
    expires_at_ms: u64,
    /// `None` while it is the value's own, as it is for nearly all keys: this keeps entries small.
    expiry_register: Option<Box<ExpiryRegister>>,
    contents: Option<Box<Contents>>,
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
            seen.join(&over.seen_with_contents());
            seen.prune(ENTRY_DOTS_LIMIT);
        }
        let expires_at_ms = expires_at_ms.unwrap_or(NEVER);
        Self { stamp, seen, body, expires_at_ms, expiry_register: None, contents: None }
    }

    /// Which writes it has seen, contributions included.
    fn seen_with_contents(&self) -> VersionVector {
        let mut seen = self.seen.clone();
        for dot in self.contents.iter().flat_map(|contents| contents.tops()) {
            seen.insert_behind_front(dot);
        }
        seen
    }

    /// Gives the value another end, or none, as a write of its own. Returns whether it did: without a value
    /// there is nothing that could end, and a stamp not above [`newest`](Self::newest) would lose. Drop a
    /// value that is due ([`expire`](Self::expire)) before, lest it comes back to life. Of concurrent ends the one
    /// with the highest stamp holds; see [`set_expiry_by`](Self::set_expiry_by) for others.
    pub fn set_expiry(&mut self, at_ms: Option<u64>, stamp: Stamp) -> bool {
        self.set_expiry_by(ExpiryPolicy::LastWriter, at_ms, stamp)
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
        Expiry {
            at_ms: (self.expires_at_ms != NEVER).then_some(self.expires_at_ms),
            stamp: self.expiry_stamp(),
        }
    }

    fn expiry_stamp(&self) -> Stamp {
        self.expiry_register.as_ref().map_or(self.stamp, |register| register.stamp())
    }

    /// The newest stamp in it. A write that replaces it must be minted above this one.
    pub fn newest(&self) -> Stamp {
        let contributed = self.contents.as_ref().map_or(Stamp::ZERO, |contents| contents.latest());
        self.expiry_register.as_ref().map_or(self.stamp, |register| register.newest()).max(contributed)
    }

    /// What was contributed under its epoch, hidden contributions of an expired entry included.
    pub fn contents(&self) -> Option<&Contents> {
        self.contents.as_deref()
    }

    /// Whether it is a delta: merging it is right, storing it in place of a state is not, but for where nothing
    /// is known of the key ([`settle`](Self::settle)).
    pub fn is_delta(&self) -> bool {
        self.contents.as_ref().is_some_and(|contents| contents.is_delta())
    }

    /// Whether the value's end has come by `now_ms` (Unix milliseconds), or has taken effect before.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at_ms != NEVER && self.expires_at_ms <= now_ms || matches!(self.body, Body::Expired)
    }

    /// Drops the value if it is due, for good: the entry absorbs every copy of the value that comes later,
    /// unless its expiry was changed. Returns whether it changed. The version stays what it was, so that
    /// replicas whose clocks differ do not disagree.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let drops = !matches!(self.body, Body::Expired) && self.is_due(now_ms);
        if drops && !self.apply_rivals() {
            self.body = Body::Expired;
        }
        drops
    }

    /// A fingerprint of the value's and the expiry's stamp and of the contributions, never 0. Entries of one key
    /// with equal versions are equal, but for what their vectors remember and whether the value was dropped yet.
    pub fn version(&self) -> u64 {
        let (value, expiry) = (self.stamp, self.expiry_stamp());
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
        let contributed = self.contents.as_ref().map_or(0, |contents| contents.fingerprint());
        let rivals = self.expiry_register.as_ref().map_or(0, |register| register.fingerprint());
        xxh3_64(&bytes).wrapping_add(contributed).wrapping_add(rivals).max(1)
    }

    /// Bytes of the value and of the contributions, about; 0 without any.
    pub fn payload_bytes(&self) -> usize {
        let contributed = self.contents.as_ref().map_or(0, |contents| contents.heap_bytes());
        match &self.body {
            Body::Value(value) => value.len() + contributed,
            Body::Tombstone | Body::Expired => contributed,
        }
    }

    /// Bytes of heap that it takes, about: [`payload_bytes`](Self::payload_bytes) and what a long version vector
    /// and a changed expiry need.
    pub fn heap_bytes(&self) -> usize {
        let expiry = self.expiry_register.as_ref().map_or(0, |register| register.heap_bytes());
        self.payload_bytes() + self.seen.heap_bytes() + expiry
    }
}
