//! What nodes say to each other: the bodies inside the transport's frames.
//!
//! Every message carries its sender's clock, and the receiver's clock moves past it.

use std::net::SocketAddr;

use bytes::Bytes;
use rumour_crdt::{Dot, Entry, Hlc, Stamp};
use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use crate::store::{Position, VersionItem};

/// Kinds of requests and frames: the byte in a frame's head.
pub(crate) mod kind {
    /// Request: [`super::Greeting`] both ways.
    pub(crate) const GREET: u8 = 1;
    /// Request: are you still there? Answered with an empty body.
    pub(crate) const PROBE: u8 = 2;
    /// Request: one step of a sync session.
    pub(crate) const SYNC: u8 = 3;
    /// Request: the sender is leaving. Answered with an empty body.
    pub(crate) const GOODBYE: u8 = 4;
    /// Request: what does your wall clock show? Empty; answered with a [`super::ClockReading`].
    pub(crate) const CLOCK: u8 = 5;
    /// Frame on a replication channel: [`super::Batch`].
    pub(crate) const BATCH: u8 = 16;
    /// Frame on a replication channel: [`super::Ack`].
    pub(crate) const ACK: u8 = 17;
}

/// First thing two nodes exchange: their clocks, and whom else the sender knows to be alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) clock: Hlc,
    pub(crate) flushed: Stamp,
    pub(crate) serving: bool,
    pub(crate) members: Vec<(NodeId, SocketAddr)>,
}

/// A node's wall clock as it is, right or wrong: the asker compares it with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockReading {
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
}

/// Entries that changed at the sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) clock: Hlc,
    pub(crate) flushed: Stamp,
    pub(crate) entries: Vec<(Bytes, Entry)>,
}

/// Answer to a [`Batch`]: everything in it is applied but for the writes named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) number: u64,
    pub(crate) clock: Hlc,
    /// Writes whose stamps lie too far in the receiver's future. They come in by sync later.
    pub(crate) refused: Vec<Dot>,
}

/// A step of a sync session, from the node that began it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncRequest {
    /// Are we equal? `root` is the salted fingerprint of the sum of all cells.
    Root { clock: Hlc, flushed: Stamp, salt: u64, root: u64 },
    /// Fingerprints of the slot cells of these groups, group after group.
    Slots { salt: u64, groups: Vec<u8>, fingerprints: Vec<u64> },
    /// The versions of these slots' keys, from a position on.
    Versions { slots: Vec<u16>, from: Position },
    /// Entries for you, and those that I want.
    Exchange { clock: Hlc, entries: Vec<(Bytes, Entry)>, want: Vec<Position> },
}

/// The answer to a [`SyncRequest`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncReply {
    /// `groups` has the fingerprint of every group, or is `None` when the roots are equal.
    Root { clock: Hlc, flushed: Stamp, groups: Option<Vec<u64>> },
    /// The slots whose fingerprints differ.
    Slots { differing: Vec<u16> },
    /// The versions, in order, and where to go on when they did not all fit.
    Versions { items: Vec<VersionItem>, next: Option<Position> },
    /// Wanted entries, as many as fit; those from `unsent` on must be asked for again.
    Exchange { clock: Hlc, entries: Vec<(Bytes, Entry)>, answered: u32 },
}
