//! Changing the elements of a collection.

use rumour_crdt::{Amount, Contents, Data, Fields, Kind, Origin, Payload, Score, Stamp};

use crate::clock::NodeClock;

/// The elements of a collection while it is being changed. Each change is a write with a stamp of its own.
pub struct Elements<'a, P: Payload> {
    contents: &'a mut Contents,
    delta: &'a mut Contents,
    projection: Projection<P>,
    clock: &'a NodeClock,
    above: Stamp,
}

/// Where contents keep the elements of one type.
#[derive(Clone, Copy)]
pub(crate) struct Projection<P: Payload> {
    pub(crate) kind: Kind,
    of: fn(&Data) -> Option<&Fields<P>>,
    of_mut: fn(&mut Data) -> Option<&mut Fields<P>>,
}

/// The projection onto one variant.
macro_rules! projection {
    ($kind:ident) => {
        Self {
            kind: Kind::$kind,
            of: |data| if let Data::$kind(fields) = data { Some(fields) } else { None },
            of_mut: |data| if let Data::$kind(fields) = data { Some(fields) } else { None },
        }
    };
}

impl Projection<()> {
    pub(crate) const MEMBERS: Self = projection!(Set);
}

impl Projection<Score> {
    pub(crate) const SORTED: Self = projection!(SortedSet);
}

impl Projection<bytes::Bytes> {
    pub(crate) const MAP: Self = projection!(Map);
    pub(crate) const VALUES: Self = projection!(Values);
}

impl<'a, P: Payload> Elements<'a, P> {
    /// `contents` and `delta` are of the projection's type.
    pub(crate) fn new(
        contents: &'a mut Contents,
        delta: &'a mut Contents,
        projection: Projection<P>,
        clock: &'a NodeClock,
        above: Stamp,
    ) -> Self {
        Self { contents, delta, projection, clock, above }
    }

    /// The elements as they are now.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields<P>> {
        (self.projection.of)(self.contents.data())
    }

    /// Puts a value in place of what the element holds. `expires_at_ms`: milliseconds since the Unix epoch.
    pub fn put(&mut self, name: &[u8], value: P, expires_at_ms: Option<u64>) {
        self.change(|fields, origin, delta| fields.put(name, value, expires_at_ms, origin, delta));
    }

    /// Adds to the number that the element holds, zero if there is no such element.
    pub fn add(&mut self, name: &[u8], by: Amount) {
        self.change(|fields, origin, delta| fields.add(name, by, origin, delta));
    }

    /// Removes an element. Returns whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.change(|fields, _, delta| fields.remove(name, delta)).unwrap_or(false)
    }

    /// Lets an element that was put end at a time, in milliseconds since the Unix epoch, or stay. Returns whether
    /// there was one.
    pub fn expire_at(&mut self, name: &[u8], at_ms: Option<u64>) -> bool {
        let change = self.change(|fields, origin, delta| fields.set_expiry(name, at_ms, origin.stamp, delta));
        change.unwrap_or(false)
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Fields<P>, Origin, &mut Fields<P>) -> R) -> Option<R> {
        let stamp = self.clock.mint(Some(self.above));
        let origin = Origin { stamp, unbroken_since: self.contents.unbroken_since() };
        let fields = (self.projection.of_mut)(self.contents.data_mut(stamp))?;
        let delta = (self.projection.of_mut)(self.delta.data_mut(stamp))?;
        Some(change(fields, origin, delta))
    }
}

/// Bytes of memory that a new element takes, about: what [`Writer::check_room`](super::Writer::check_room) is to be told.
#[must_use]
pub fn element_bytes(name: &[u8], value_bytes: usize) -> usize {
    /// Its place in the tables, its stamp, and what the allocator adds.
    const PLACE_BYTES: usize = 128;
    PLACE_BYTES + name.len() + value_bytes
}
