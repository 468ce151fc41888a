//! What an entry shows.

use bytes::Bytes;

use super::{Body, Entry};
use crate::counter::counted;
use crate::{ActorId, Data, Fields, Kind, Score};

impl Entry {
    /// Whether there is something to see, due or not.
    pub fn is_visible(&self) -> bool {
        match &self.body {
            Body::Value(_) => true,
            Body::Tombstone => self.contents.as_ref().is_some_and(|contents| !contents.is_empty()),
            Body::Expired => false,
        }
    }

    /// The incarnations whose writes it consists of, those that it replaced left out; one may come twice.
    pub fn writers(&self) -> impl Iterator<Item = ActorId> {
        let contributed = self.contents.iter().flat_map(|contents| contents.tops()).map(|dot| dot.actor);
        [self.stamp.writer(), self.newest().writer()].into_iter().chain(contributed)
    }

    /// The type of what there is to see at `now_ms` (Unix milliseconds); `None` if there is nothing.
    pub fn kind(&self, now_ms: u64) -> Option<Kind> {
        if self.is_due(now_ms) {
            return None;
        }
        match (&self.body, self.contents.as_deref()) {
            (Body::Value(_), _) => Some(Kind::String),
            (Body::Tombstone, Some(contents)) => match contents.data() {
                // Its last fields may have ended by now.
                Data::Map(fields) if fields.has_expiries() => fields.iter(now_ms).next().map(|_| Kind::Map),
                data => (!data.is_empty()).then(|| data.kind()),
            },
            _ => None,
        }
    }

    /// The value at `now_ms` (Unix milliseconds) as bytes, a number as its digits; `None` if there is none, or
    /// it is of another type.
    pub fn live_value(&self, now_ms: u64) -> Option<Bytes> {
        if self.is_due(now_ms) { None } else { self.text() }
    }

    /// The elements of a set.
    pub fn members(&self) -> Option<&Fields<()>> {
        match self.contents.as_deref()?.data() {
            Data::Set(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements of a sorted set.
    pub fn sorted(&self) -> Option<&Fields<Score>> {
        match self.contents.as_deref()?.data() {
            Data::SortedSet(fields) => Some(fields),
            _ => None,
        }
    }

    /// The elements of a map.
    pub fn map(&self) -> Option<&Fields<Bytes>> {
        match self.contents.as_deref()?.data() {
            Data::Map(fields) => Some(fields),
            _ => None,
        }
    }

    /// The values of a multi-value register, all under the empty name.
    pub fn values(&self) -> Option<&Fields<Bytes>> {
        match self.contents.as_deref()?.data() {
            Data::Values(fields) => Some(fields),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<Bytes> {
        let counter = self.contents.as_ref().and_then(|contents| match contents.data() {
            Data::Counter(counter) if counter.is_active() => Some(counter.total()),
            _ => None,
        });
        match (&self.body, counter) {
            (Body::Value(value), None) => Some(value.clone()),
            (Body::Value(value), Some(sum)) => Some(counted(value, sum)),
            (Body::Tombstone, Some(sum)) => Some(counted(b"0", sum)),
            _ => None,
        }
    }
}
