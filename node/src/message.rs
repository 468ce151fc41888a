//! What nodes say to each other: the bodies inside the transport's frames.
//!
//! Whatever brings entries carries its sender's clock, and the receiver's clock moves past it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use rumour_crdt::{ActorId, Dot, Entry, Hlc, Stamp};
use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use crate::council::Seat;
use crate::store::{EvictedItem, Position, VersionItem};

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
    /// Request: give me back what I have evicted: [`super::RecallRequest`], answered with a [`super::RecallReply`].
    pub(crate) const RECALL: u8 = 6;
    /// Request: [`crate::council::Standing`] both ways.
    pub(crate) const STANDING: u8 = 7;
    /// Request: [`crate::agreement::Request`], answered with a [`crate::agreement::Reply`].
    pub(crate) const AGREE: u8 = 8;
    /// Request: [`crate::council::Candidacy`], answered with whether the receiver consents.
    pub(crate) const FOUND: u8 = 9;
    /// Request: [`super::Forgotten`], answered with an empty body.
    pub(crate) const FORGET: u8 = 10;
    /// Frame on a replication channel: [`super::Batch`].
    pub(crate) const BATCH: u8 = 16;
    /// Frame on a replication channel: [`super::Ack`].
    pub(crate) const ACK: u8 = 17;
    /// Frame on a replication channel: a piece of a long batch; its last piece is in the frame [`BATCH`].
    pub(crate) const PART: u8 = 18;
    /// Frame on a replication channel: a [`PART`] has arrived. Empty.
    pub(crate) const GOT: u8 = 19;
}

/// First thing two nodes exchange: their clocks, and whom else the sender knows to be alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) clock: Hlc,
    pub(crate) flushed: Stamp,
    pub(crate) serving: bool,
    pub(crate) members: Vec<(NodeId, SocketAddr)>,
    pub(crate) owners: OwnerTable,
}

/// How far every owner has come, as far as the sender knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerTable {
    /// All owners, the sender first.
    pub(crate) rows: Vec<OwnerRow>,
    /// Up to which time of its clock the sender has seen all that an incarnation held.
    pub(crate) held: Vec<(ActorId, Hlc)>,
    /// Owners that the receiver named and that have ended.
    pub(crate) ended: Vec<ActorId>,
}

/// What one owner told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerRow {
    pub(crate) node: NodeId,
    pub(crate) actor: ActorId,
    /// Its clock when it told; the later row of an owner counts. Zero if it told nothing yet.
    pub(crate) at: Hlc,
    /// It has seen all that every owner held when that owner's clock read this.
    pub(crate) watermark: Hlc,
    /// Stands for the set of owners that it knew.
    pub(crate) owners: u64,
}

/// A node's wall clock as it is, right or wrong: the asker compares it with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockReading {
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
}

/// A member that will not come back, as an operator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) node: NodeId,
    /// Starts of it that the sender knew of: a later one is not meant.
    pub(crate) incarnations: BTreeSet<u64>,
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
    /// What of the batch is dead.
    pub(crate) gone: Vec<GoneItem>,
    /// Whether all of the batch is held, or known to be dead: nothing was refused, nor had it been evicted.
    pub(crate) complete: bool,
    pub(crate) seat: Seat,
}

/// Keys that the sender has evicted and needs, or reads with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecallRequest {
    pub(crate) clock: Hlc,
    pub(crate) keys: Vec<KeyAsked>,
    pub(crate) wanted: Wanted,
}

/// What is asked for of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wanted {
    /// What was evicted at the sender. What is too large for a reply may come after it.
    Evicted,
    /// All that is held when the request comes: the sender holds it when it is answered.
    Latest,
}

/// A key of which the sender asks what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyAsked {
    pub(crate) key: Bytes,
    /// The version that the sender holds and need not be sent, if it holds all of the key.
    pub(crate) held: Option<u64>,
}

/// Answer to a [`RecallRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecallReply {
    pub(crate) clock: Hlc,
    /// What is held of them.
    pub(crate) entries: Vec<(Bytes, Entry)>,
    /// Keys that hold too much for a reply: they come by replication, after it.
    pub(crate) coming: Vec<Bytes>,
    /// The version of each key that was looked at, in the order in which they were asked for; the others must be asked for again.
    pub(crate) versions: Vec<Option<u64>>,
    /// Whether all that there was of these is here: nothing of them may have been evicted.
    pub(crate) whole: bool,
    /// Where the replier stood when it had looked.
    pub(crate) seat: Seat,
}

/// A step of a sync session, from the node that began it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncRequest {
    /// Are we equal? `root` is the salted fingerprint of the sum of all cells.
    Root { clock: Hlc, flushed: Stamp, owners: OwnerTable, salt: u64, root: u64 },
    /// Fingerprints of the slot cells of these groups, group after group.
    Slots { salt: u64, groups: Vec<u8>, fingerprints: Vec<u64> },
    /// The versions of these slots' keys, from a position on.
    Versions { slots: Vec<u16>, from: Position },
    /// Entries for you, those that I want, and those of yours that are dead. Of the entries those are named that you asked for again.
    Exchange {
        clock: Hlc,
        entries: Vec<(Bytes, Entry)>,
        again: Vec<VersionItem>,
        want: Vec<Position>,
        gone: Vec<GoneItem>,
    },
    /// The session is over. You have seen all that I held when my clock read `until`, and by `owners` of others.
    Done { until: Hlc, owners: OwnerTable, gone: Vec<GoneItem> },
}

/// A key that was deleted and removed, and the version that is dead by that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoneItem {
    pub(crate) key: Bytes,
    pub(crate) version: u64,
    pub(crate) newest: Stamp,
    /// Whether its tombstone was forced out: not all owners may know of it.
    pub(crate) forced: bool,
}

/// The answer to a [`SyncRequest`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncReply {
    /// `groups` has the fingerprint of every group, or is `None` when the roots are equal.
    Root { clock: Hlc, flushed: Stamp, owners: OwnerTable, groups: Option<Vec<u64>> },
    /// The slots whose fingerprints differ.
    Slots { differing: Vec<u16> },
    /// The versions, in order, and where to go on when they did not all fit.
    Versions { items: Vec<VersionItem>, next: Option<Position> },
    /// Wanted entries, as many as fit; those from `answered` on must be asked for again. `refused` is the lowest stamp of yours
    /// that lies too far in my future, `gone` what of yours is dead, `handed` what of the wanted is too large for a message and
    /// comes by replication, `evicted` what of it I do not have any more, `again` what of yours may have left you too early, with
    /// the versions of what I have left: give it once more.
    Exchange {
        clock: Hlc,
        entries: Vec<(Bytes, Entry)>,
        answered: u32,
        refused: Option<Hlc>,
        gone: Vec<GoneItem>,
        handed: Vec<Position>,
        evicted: Vec<EvictedItem>,
        again: Vec<VersionItem>,
    },
    /// Understood.
    Done,
}
