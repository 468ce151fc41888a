//! How an entry is written down, and what is believed of one that is read.
//!
//! What the stamp says already is left out: an entry of one writer without a change of its expiry carries
//! no dot but that of its stamp.

use serde::{Deserialize, Serialize};

use super::{Body, ENTRY_DOTS_LIMIT, Entry, ExpiryRegister, NEVER};
use crate::{Contents, Kind, Stamp, VersionVector};

#[derive(Serialize, Deserialize)]
pub(super) struct WireEntry {
    stamp: Stamp,
    /// All that was seen but the stamp's own dot: of its actor only what came after it.
    others: VersionVector,
    body: Body,
    expires_at_ms: Option<u64>,
    /// Only where it is not the value's own.
    expiry_register: Option<Box<ExpiryRegister>>,
    contents: Option<Box<Contents>>,
}

/// Bytes that are no entry. None was made of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum MalformedEntry {
    #[error("entry has a stamp of sequence zero")]
    NoWrite,
    #[error("entry names its own writer twice")]
    WriterTwice,
    #[error("entry has an expiry that is not newer than its value, or several that contradict it")]
    ExpiryOutOfOrder,
    #[error("entry without a value has an expiry, or one that expired has none")]
    ExpiryMisplaced,
    #[error("entry has a value and a collection")]
    TwoTypes,
}

impl From<Entry> for WireEntry {
    fn from(entry: Entry) -> Self {
        Self {
            stamp: entry.stamp,
            others: entry.seen.without(entry.stamp.dot()),
            expires_at_ms: entry.expiry().at_ms,
            body: entry.body,
            expiry_register: entry.expiry_register,
            contents: entry.contents,
        }
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = MalformedEntry;

    fn try_from(wire: WireEntry) -> Result<Self, MalformedEntry> {
        let stamp = wire.stamp;
        let expires_at_ms = wire.expires_at_ms.unwrap_or(NEVER);
        let expiry_changed = wire.expiry_register.is_some();
        // What is contributed to nothing has no write below it.
        let of_nothing = stamp == Stamp::ZERO && wire.contents.is_some();
        if stamp.seq == 0 && !of_nothing {
            return Err(MalformedEntry::NoWrite);
        }
        if wire.others.iter().any(|dot| dot.actor == stamp.actor && dot.seq <= stamp.seq) {
            return Err(MalformedEntry::WriterTwice);
        }
        let misplaced = match wire.body {
            Body::Value(_) => of_nothing,
            Body::Tombstone if wire.contents.is_none() => expires_at_ms != NEVER || expiry_changed,
            Body::Tombstone => expires_at_ms != NEVER && !expiry_changed,
            Body::Expired => expires_at_ms == NEVER || of_nothing && !expiry_changed,
        };
        if misplaced {
            return Err(MalformedEntry::ExpiryMisplaced);
        }
        let is_value = matches!(wire.body, Body::Value(_));
        if is_value && wire.contents.as_ref().is_some_and(|contents| contents.kind() != Kind::String) {
            return Err(MalformedEntry::TwoTypes);
        }
        let mut seen = VersionVector::from(stamp.dot());
        seen.join(&wire.others);
        seen.prune(ENTRY_DOTS_LIMIT);
        let entry = Self {
            stamp,
            seen,
            body: wire.body,
            expires_at_ms,
            expiry_register: wire.expiry_register,
            contents: wire.contents,
        };
        if entry.expiry_is_well_formed() { Ok(entry) } else { Err(MalformedEntry::ExpiryOutOfOrder) }
    }
}
