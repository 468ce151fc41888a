//! What was contributed to a key since it was last replaced as a whole.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{ActorId, Counter, Dot, Fields, Lattice, Met, Score, Stamp};

/// What type of value a key holds.
///
/// Two nodes may each bring a key into being as another type without hearing of each other. The greater type
/// then stays, whole; the other's contributions are lost and reported as a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes, or a number that is counted.
    String,
    /// A multi-value register.
    Values,
    /// A set.
    Set,
    /// A sorted set.
    SortedSet,
    /// A map of fields.
    Map,
}

impl fmt::Display for Kind {
    /// In words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string or number",
            Self::Values => "multi-value register",
            Self::Set => "set",
            Self::SortedSet => "sorted set",
            Self::Map => "map",
        })
    }
}

/// Contributions of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Data {
    /// Added to the number that the key holds.
    Counter(Counter),
    /// The values of a multi-value register, all under the empty name.
    Values(Fields<Bytes>),
    /// Members of a set.
    Set(Fields<()>),
    /// Members of a sorted set.
    SortedSet(Fields<Score>),
    /// Fields of a map.
    Map(Fields<Bytes>),
}

/// All contributions to a key under one epoch, or those of them that a delta is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contents {
    /// The highest stamp of a contribution.
    latest: Stamp,
    /// Of a counter: whether shares may be missing. Collections say it themselves.
    partial: bool,
    data: Data,
    /// See [`Origin::unbroken_since`](crate::Origin): what holds for the node that keeps them, and is told to no other.
    #[serde(skip)]
    unbroken_since: u64,
}

impl PartialEq for Contents {
    /// Regards what was contributed, not who keeps it since when.
    fn eq(&self, other: &Self) -> bool {
        (self.latest, self.partial) == (other.latest, other.partial) && self.data == other.data
    }
}

/// A loss within the contents of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Lost {
    /// One element was put twice. Values of a sorted set are its scores as text.
    Element(Met<Bytes>),
    /// The key came into being as two types.
    Type {
        /// The type whose contributions went.
        losing: Kind,
        /// The latest of them.
        losing_stamp: Stamp,
        /// The type that stays.
        winning: Kind,
        /// The latest contribution to it.
        winning_stamp: Stamp,
    },
}

impl Data {
    /// No contributions yet.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::Counter(Counter::default()),
            Kind::Values => Self::Values(Fields::default()),
            Kind::Set => Self::Set(Fields::default()),
            Kind::SortedSet => Self::SortedSet(Fields::default()),
            Kind::Map => Self::Map(Fields::default()),
        }
    }

    /// A delta without contributions yet.
    pub fn delta(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::Counter(Counter::default()),
            Kind::Values => Self::Values(Fields::delta()),
            Kind::Set => Self::Set(Fields::delta()),
            Kind::SortedSet => Self::SortedSet(Fields::delta()),
            Kind::Map => Self::Map(Fields::delta()),
        }
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::String,
            Self::Values(_) => Kind::Values,
            Self::Set(_) => Kind::Set,
            Self::SortedSet(_) => Kind::SortedSet,
            Self::Map(_) => Kind::Map,
        }
    }

    /// Elements that are there; of a counter one if anything was added to it.
    pub fn len(&self) -> usize {
        match self {
            Self::Counter(counter) => usize::from(counter.is_active()),
            Self::Values(fields) | Self::Map(fields) => fields.len(),
            Self::Set(fields) => fields.len(),
            Self::SortedSet(fields) => fields.len(),
        }
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tops(&self) -> Box<dyn Iterator<Item = Dot> + '_> {
        match self {
            Self::Counter(counter) => Box::new(counter.tops()),
            Self::Values(fields) | Self::Map(fields) => Box::new(fields.tops()),
            Self::Set(fields) => Box::new(fields.tops()),
            Self::SortedSet(fields) => Box::new(fields.tops()),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Counter(counter) => counter.heap_bytes(),
            Self::Values(fields) | Self::Map(fields) => fields.heap_bytes(),
            Self::Set(fields) => fields.heap_bytes(),
            Self::SortedSet(fields) => fields.heap_bytes(),
        }
    }

    fn fingerprint(&self) -> u64 {
        match self {
            Self::Counter(counter) => counter.fingerprint(0),
            Self::Values(fields) | Self::Map(fields) => fields.fingerprint(),
            Self::Set(fields) => fields.fingerprint(),
            Self::SortedSet(fields) => fields.fingerprint(),
        }
    }
}

impl Contents {
    /// No contributions yet.
    pub fn new(kind: Kind) -> Self {
        Self { latest: Stamp::ZERO, partial: false, data: Data::new(kind), unbroken_since: 0 }
    }

    /// A delta without contributions yet.
    pub fn delta(kind: Kind) -> Self {
        Self {
            latest: Stamp::ZERO,
            partial: kind == Kind::String,
            data: Data::delta(kind),
            unbroken_since: 0,
        }
    }

    /// Since which of its own writes the node that keeps them has kept them without a break; 0: it never dropped any.
    pub fn unbroken_since(&self) -> u64 {
        self.unbroken_since
    }

    /// Notes that contributions up to this write of the keeping node's own may be among those that it dropped.
    pub fn set_unbroken_since(&mut self, seq: u64) {
        self.unbroken_since = seq;
    }

    /// The highest stamp of a contribution; [`Stamp::ZERO`] without any.
    pub fn latest(&self) -> Stamp {
        self.latest
    }

    /// The contributions.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The contributions, to be added to by a write with this stamp.
    pub fn data_mut(&mut self, stamp: Stamp) -> &mut Data {
        self.latest = self.latest.max(stamp);
        &mut self.data
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.data.kind()
    }

    /// Whether nothing is there, though something may have been.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Drops elements that are due by `now_ms` (Unix milliseconds). Returns whether there were any.
    pub fn purge(&mut self, now_ms: u64) -> bool {
        match &mut self.data {
            Data::Map(fields) => fields.purge(now_ms) > 0,
            Data::Counter(_) | Data::Values(_) | Data::Set(_) | Data::SortedSet(_) => false,
        }
    }

    /// The sequence of an actor's latest contribution; 0 without any.
    pub fn last_of(&self, actor: ActorId) -> u64 {
        self.tops().filter(|dot| dot.actor == actor).map(|dot| dot.seq).max().unwrap_or(0)
    }

    /// The latest contribution of each actor.
    pub(crate) fn tops(&self) -> impl Iterator<Item = Dot> {
        self.data.tops()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.data.heap_bytes()
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        xxh3_64_with_seed(&self.data.fingerprint().to_le_bytes(), self.kind() as u64)
    }

    /// Whether it lists some contributions only, and says nothing of others.
    pub fn is_delta(&self) -> bool {
        match &self.data {
            Data::Counter(_) => self.partial,
            Data::Values(fields) | Data::Map(fields) => fields.is_delta(),
            Data::Set(fields) => fields.is_delta(),
            Data::SortedSet(fields) => fields.is_delta(),
        }
    }

    /// What a delta says when nothing else is known of the key.
    pub(crate) fn settle(&mut self) {
        self.partial = false;
        match &mut self.data {
            Data::Counter(_) => {}
            Data::Values(fields) | Data::Map(fields) => fields.settle(),
            Data::Set(fields) => fields.settle(),
            Data::SortedSet(fields) => fields.settle(),
        }
    }

    /// Merges what another state of the same epoch holds. `lost` is told of each loss. Returns whether anything
    /// changed.
    pub fn merge(&mut self, other: &Self, mut lost: impl FnMut(Lost)) -> bool {
        let (our_latest, later) = (self.latest, other.latest > self.latest);
        self.latest = self.latest.max(other.latest);
        if self.kind() != other.kind() {
            let wins = other.kind() > self.kind();
            let (ours, theirs) = ((&*self, our_latest), (other, other.latest));
            let ((losing, losing_stamp), (winning, winning_stamp)) =
                if wins { (ours, theirs) } else { (theirs, ours) };
            if !losing.is_empty() {
                lost(Lost::Type {
                    losing: losing.kind(),
                    losing_stamp,
                    winning: winning.kind(),
                    winning_stamp,
                });
            }
            if wins {
                let delta = self.is_delta();
                (self.data, self.partial) = (other.data.clone(), other.partial);
                if !delta {
                    self.settle();
                }
            }
            return later | wins;
        }
        let completed = self.partial && !other.partial;
        self.partial &= other.partial;
        later
            | completed
            | match (&mut self.data, &other.data) {
                (Data::Counter(ours), Data::Counter(theirs)) => ours.join(theirs),
                (Data::Map(ours), Data::Map(theirs)) => ours.merge(theirs, |met| lost(Lost::Element(met))),
                (Data::SortedSet(ours), Data::SortedSet(theirs)) => {
                    ours.merge(theirs, |met| lost(Lost::Element(met.map(|score| score.0.to_string().into()))))
                }
                // Members have no value to lose, and a multi-value register loses none.
                (Data::Set(ours), Data::Set(theirs)) => ours.join(theirs),
                (Data::Values(ours), Data::Values(theirs)) => ours.join(theirs),
                _ => false,
            }
    }
}

impl<P> Met<P> {
    fn map<Q>(self, change: impl Fn(P) -> Q) -> Met<Q> {
        let Self { name, losing, losing_value, winning, winning_value } = self;
        let (losing_value, winning_value) = (change(losing_value), change(winning_value));
        Met { name, losing, losing_value, winning, winning_value }
    }
}

impl Lattice for Contents {
    fn join(&mut self, other: &Self) -> bool {
        self.merge(other, |_| {})
    }

    fn equivalent(&self, other: &Self) -> bool {
        self.data == other.data
    }
}
