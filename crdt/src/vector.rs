//! Version vectors: which writes a state has seen.
//!
//! The many keys that one node writes need no heap for theirs. A vector of several writers spills to one
//! allocation. Interning actors, and the clouds of dots that collections need, do not live here.

use std::fmt;
use std::num::NonZeroU64;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::{ActorId, Dot, Lattice};

/// The most actors that a vector read from outside may name. Longer ones are refused when they are decoded.
pub const VECTOR_ACTORS_LIMIT: usize = 1024;

/// For each actor the greatest sequence that was seen of it; what lies below counts as seen.
///
/// Writers stand in order of recency, which decides what [`prune`](Self::prune) forgets: own writes come to
/// the front as they are [`insert`](Self::insert)ed, those learned by [`join`](Self::join) follow at the
/// end in order of arrival. Equality is that of sets and does not regard this order.
///
/// 16 bytes, without heap for up to one writer. Made for a handful of writers: looking one up is linear.
#[derive(Clone, Default)]
pub struct VersionVector {
    dots: Dots,
}

/// A sequence is never zero, which leaves room to tell the variants apart without a tag.
#[derive(Clone)]
enum Dots {
    One(ActorId, NonZeroU64),
    /// In order of recency, each actor once, no sequence zero. `None` is empty; a boxed list is never
    /// shorter than two. The list holds as many dots in place as an entry keeps.
    Other(Option<Box<List>>),
}

type List = SmallVec<[Dot; 3]>;

impl Default for Dots {
    fn default() -> Self {
        Self::Other(None)
    }
}

impl VersionVector {
    /// A vector that has seen nothing.
    pub const fn new() -> Self {
        Self { dots: Dots::Other(None) }
    }

    /// Whether that write was seen. The dot of sequence 0, which names no write, always was.
    pub fn covers(&self, dot: Dot) -> bool {
        self.get(dot.actor) >= dot.seq
    }

    /// The greatest sequence seen of `actor`; 0 if none.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.iter().find(|dot| dot.actor == actor).map_or(0, |dot| dot.seq)
    }

    /// Takes note of an own write and makes its actor the most recent one. A write that was seen already
    /// changes nothing.
    pub fn insert(&mut self, dot: Dot) {
        self.put(0, dot);
    }

    /// Takes note of another's write that was met just now, as the most recent one but for the front.
    pub(crate) fn insert_behind_front(&mut self, dot: Dot) {
        let is_front = self.iter().next().is_none_or(|front| front.actor == dot.actor);
        self.put(usize::from(!is_front), dot);
    }

    /// `place` is at most the number of other actors.
    fn put(&mut self, place: usize, dot: Dot) {
        if self.covers(dot) {
            return;
        }
        let mut list: List = self.iter().filter(|seen| seen.actor != dot.actor).collect();
        list.insert(place, dot);
        *self = Self::from_list(list);
    }

    /// Takes note of everything that `other` has seen. Actors that are new to `self` follow at the end, in
    /// the order in which `other` has them. Returns whether there was anything new.
    pub fn join(&mut self, other: &Self) -> bool {
        if other.iter().all(|dot| self.covers(dot)) {
            return false;
        }
        let mut list: List = self.iter().collect();
        for dot in other.iter() {
            match list.iter_mut().find(|seen| seen.actor == dot.actor) {
                Some(seen) => seen.seq = seen.seq.max(dot.seq),
                None => list.push(dot),
            }
        }
        *self = Self::from_list(list);
        true
    }

    /// Forgets all but the `keep` most recent writers. Only vectors that may forget are to be pruned: those
    /// of registers.
    pub fn prune(&mut self, keep: usize) {
        if self.len() > keep {
            *self = Self::from_list(self.iter().take(keep).collect());
        }
    }

    /// The greatest dot of each actor, most recent writer first.
    pub fn iter(&self) -> impl Iterator<Item = Dot> {
        let (one, list): (_, &[Dot]) = match &self.dots {
            Dots::One(actor, seq) => (Some(Dot { actor: *actor, seq: seq.get() }), &[]),
            Dots::Other(list) => (None, list.as_ref().map_or(&[], |list| list.as_slice())),
        };
        one.into_iter().chain(list.iter().copied())
    }

    /// How many actors it names.
    pub fn len(&self) -> usize {
        match &self.dots {
            Dots::One(..) => 1,
            Dots::Other(list) => list.as_ref().map_or(0, |list| list.len()),
        }
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of heap that it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.dots {
            Dots::Other(Some(list)) if list.spilled() => {
                size_of::<List>() + list.capacity() * size_of::<Dot>()
            }
            Dots::Other(Some(_)) => size_of::<List>(),
            Dots::One(..) | Dots::Other(None) => 0,
        }
    }

    /// The same vector as the crate `crdts` has it, which is what users are given.
    pub fn to_vclock(&self) -> crdts::VClock<u64> {
        self.iter().map(|dot| crdts::Dot::new(dot.actor.get(), dot.seq)).collect()
    }

    /// The same vector but for one dot, where that is the greatest of its actor.
    pub(crate) fn without(&self, dot: Dot) -> Self {
        Self::from_list(self.iter().filter(|seen| *seen != dot).collect())
    }

    /// `list` has each actor once and no sequence zero.
    fn from_list(mut list: List) -> Self {
        let dots = match list.as_slice() {
            [] => Dots::Other(None),
            &[Dot { actor, seq }] => {
                NonZeroU64::new(seq).map_or(Dots::Other(None), |seq| Dots::One(actor, seq))
            }
            _ => {
                list.shrink_to_fit();
                Dots::Other(Some(Box::new(list)))
            }
        };
        Self { dots }
    }
}

impl From<&crdts::VClock<u64>> for VersionVector {
    /// Writers come in order of their actor's number, as `crdts` knows no recency.
    fn from(clock: &crdts::VClock<u64>) -> Self {
        let dots = clock.iter().map(|dot| Dot { actor: ActorId::new(*dot.actor), seq: dot.counter });
        Self::from_list(dots.filter(|dot| dot.seq > 0).collect())
    }
}

impl From<Dot> for VersionVector {
    /// The vector that has seen one actor's writes up to `dot`.
    fn from(dot: Dot) -> Self {
        let mut vector = Self::new();
        vector.insert(dot);
        vector
    }
}

impl PartialEq for VersionVector {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|dot| other.get(dot.actor) == dot.seq)
    }
}

impl Eq for VersionVector {}

impl fmt::Debug for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|dot| dot.to_string())).finish()
    }
}

impl Lattice for VersionVector {
    fn join(&mut self, other: &Self) -> bool {
        VersionVector::join(self, other)
    }

    fn equivalent(&self, other: &Self) -> bool {
        self == other
    }
}

impl Serialize for VersionVector {
    /// A sequence of dots, most recent writer first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for VersionVector {
    /// Refuses more than [`VECTOR_ACTORS_LIMIT`] dots, an actor that appears twice and a sequence of zero.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = VersionVector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "up to {VECTOR_ACTORS_LIMIT} dots of different actors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VersionVector, A::Error> {
        // Nothing is reserved by what the sender claims: the list grows with the dots that arrive.
        let mut list: List = SmallVec::new();
        while let Some(dot) = seq.next_element::<Dot>()? {
            if list.len() == VECTOR_ACTORS_LIMIT {
                return Err(A::Error::custom("version vector names too many actors"));
            }
            if dot.seq == 0 {
                return Err(A::Error::custom("version vector has a dot of sequence zero"));
            }
            list.push(dot);
        }
        let mut actors: SmallVec<[ActorId; 3]> = list.iter().map(|dot| dot.actor).collect();
        actors.sort_unstable();
        if actors.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(A::Error::custom("version vector names an actor twice"));
        }
        Ok(VersionVector::from_list(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(actor: u64, seq: u64) -> Dot {
        Dot { actor: ActorId::new(actor), seq }
    }

    fn actors(vector: &VersionVector) -> Vec<u64> {
        vector.iter().map(|dot| dot.actor.get()).collect()
    }

    #[test]
    fn covers_what_lies_at_or_below() {
        let mut vector = VersionVector::new();
        assert!(vector.is_empty() && !vector.covers(dot(1, 1)) && vector.covers(dot(1, 0)));
        vector.insert(dot(1, 3));
        assert!(vector.covers(dot(1, 3)) && vector.covers(dot(1, 1)));
        assert!(!vector.covers(dot(1, 4)) && !vector.covers(dot(2, 1)));
        vector.insert(dot(1, 2));
        vector.insert(dot(9, 0));
        assert_eq!((vector.get(ActorId::new(1)), vector.len()), (3, 1));
    }

    #[test]
    fn own_writes_come_first_and_arrivals_last() {
        let mut vector = VersionVector::from(dot(1, 1));
        vector.insert(dot(2, 1));
        let mut other = VersionVector::from(dot(3, 5));
        other.insert(dot(4, 5));
        vector.join(&other);
        assert_eq!(actors(&vector), [2, 1, 4, 3]);
        vector.insert(dot(3, 6));
        assert_eq!(actors(&vector), [3, 2, 1, 4]);
        vector.insert_behind_front(dot(4, 6));
        vector.insert_behind_front(dot(2, 1));
        vector.insert_behind_front(dot(3, 7));
        assert_eq!(actors(&vector), [3, 4, 2, 1]);
        vector.prune(2);
        assert_eq!(actors(&vector), [3, 4]);
        vector.prune(1);
        assert_eq!(vector, VersionVector::from(dot(3, 7)));
        vector.prune(0);
        assert!(vector.is_empty());
    }

    #[test]
    fn equality_does_not_regard_the_order() {
        let vector = |dots: &[Dot]| {
            let mut vector = VersionVector::new();
            dots.iter().for_each(|&dot| vector.insert(dot));
            vector
        };
        assert_eq!(vector(&[dot(1, 1), dot(2, 2)]), vector(&[dot(2, 2), dot(1, 1)]));
        assert_ne!(vector(&[dot(1, 1), dot(2, 2)]), vector(&[dot(1, 1), dot(2, 1)]));
        assert_ne!(vector(&[dot(1, 1)]), vector(&[dot(1, 1), dot(2, 2)]));
        assert_eq!(format!("{:?}", vector(&[dot(1, 2)])), r#"{"0000000000000001#2"}"#);
    }
}
