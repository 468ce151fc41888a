//! What a key shows at one moment.

use bytes::Bytes;
use rumour_crdt::{Entry, Fields, Kind, Score};

use super::Ttl;

/// A key that has a value, while its shard is locked: look, copy what is needed, do not wait.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    entry: &'a Entry,
    now_ms: u64,
}

impl<'a> View<'a> {
    /// `None` if there is nothing to see.
    pub(crate) fn of(entry: &'a Entry, now_ms: u64) -> Option<Self> {
        entry.kind(now_ms).map(|_| Self { entry, now_ms })
    }

    /// The type of the value.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.entry.kind(self.now_ms).unwrap_or(Kind::String)
    }

    /// The value as bytes, a number as its digits; `None` if it is of another type.
    #[must_use]
    pub fn text(&self) -> Option<Bytes> {
        self.entry.live_value(self.now_ms)
    }

    /// When the key expires.
    #[must_use]
    pub fn ttl(&self) -> Ttl {
        self.entry.expiry().at_ms.map_or(Ttl::Persistent, Ttl::At)
    }

    /// The members of a set; `None` if it is of another type.
    #[must_use]
    pub fn members(&self) -> Option<&'a Fields<()>> {
        self.entry.members()
    }

    /// The members of a sorted set; `None` if it is of another type.
    #[must_use]
    pub fn sorted(&self) -> Option<&'a Fields<Score>> {
        self.entry.sorted()
    }

    /// The fields of a map; `None` if it is of another type.
    #[must_use]
    pub fn map(&self) -> Option<&'a Fields<Bytes>> {
        self.entry.map()
    }

    /// The values of a multi-value register, all under the empty name; `None` if it is of another type.
    #[must_use]
    pub fn values(&self) -> Option<&'a Fields<Bytes>> {
        self.entry.values()
    }

    /// What changes whenever the key changes: to tell whether it did.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.entry.version()
    }

    /// When the key was last changed, milliseconds since the Unix epoch by the clock of who did.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.entry.newest().time.millis()
    }

    /// The node's time that it is looked at, milliseconds since the Unix epoch: what elements are due by.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Bytes of memory that the value takes, about.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entry.heap_bytes()
    }
}
