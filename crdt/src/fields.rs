//! The observed-remove map that sets, maps, sorted sets and multi-value registers are made of.
//!
//! An optimized observed-remove set (Bieniusa, Zawirski, Preguiça, Shapiro, Baquero, Balegas, Duarte: An
//! Optimized Conflict-free Replicated Set, 2012) whose elements carry values and counters, with the deltas of
//! Almeida, Shoker and Baquero (Delta State Replicated Data Types, 2018): a delta is a state of the same
//! type that lists the elements it is about.

mod field;
mod index;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt::Debug;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::{Amount, Counter, DotSet, Expiry, Lattice, Origin, Stamp};
pub use field::{Field, Put};
pub use index::{Index, Score, ScoreOrder};

/// A name of an element: cheap to clone.
pub type FieldName = Arc<[u8]>;

/// What the elements of one kind of collection carry.
pub trait Payload: Clone + PartialEq + Debug + Serialize + DeserializeOwned {
    /// An order of elements that is kept up to date beside them.
    type Index: Index<Self> + Clone + Default + Debug;

    /// Bytes of heap of one value.
    fn heap_bytes(&self) -> usize;
}

impl Payload for () {
    type Index = ();

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Payload for bytes::Bytes {
    type Index = ();

    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

/// An observed-remove map: a put beside a concurrent removal stays, and so does what was added to a
/// counter concurrently.
///
/// A whole state lists the elements that are there, and takes those that another has, and that it has seen,
/// as removed. A delta ([`is_delta`](Self::is_delta)) speaks of the elements that it lists and of no other.
#[derive(Clone, Debug)]
pub struct Fields<P: Payload> {
    delta: bool,
    fields: IndexMap<FieldName, Field<P>, BuildHasherDefault<Xxh3Default>>,
    seen: DotSet,
    index: P::Index,
    /// How many elements are visible, their expiry not regarded.
    visible: usize,
    /// How many elements have an expiry.
    expiring: usize,
    /// The sum of the elements' fingerprints.
    sum: u64,
    heap: usize,
}

/// Two concurrent puts of one element met and one lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Met<P> {
    /// The element.
    pub name: FieldName,
    /// The put that lost.
    pub losing: Stamp,
    /// What it had put.
    pub losing_value: P,
    /// The put that won.
    pub winning: Stamp,
    /// What it had put.
    pub winning_value: P,
}

impl<P: Payload> Default for Fields<P> {
    fn default() -> Self {
        Self {
            delta: false,
            fields: IndexMap::default(),
            seen: DotSet::default(),
            index: P::Index::default(),
            visible: 0,
            expiring: 0,
            sum: 0,
            heap: 0,
        }
    }
}

impl<P: Payload> Fields<P> {
    /// A delta about no element yet.
    pub fn delta() -> Self {
        Self { delta: true, ..Self::default() }
    }

    /// Whether it speaks only of the elements that it lists.
    pub fn is_delta(&self) -> bool {
        self.delta
    }

    /// The element, if it is there and not due by `now_ms` (Unix milliseconds).
    pub fn get(&self, name: &[u8], now_ms: u64) -> Option<&Field<P>> {
        self.fields.get(name).filter(|field| field.is_visible() && !field.is_due(now_ms))
    }

    /// How many elements are there, those that are due and not yet dropped included.
    pub fn len(&self) -> usize {
        self.visible
    }

    /// Whether no element is there.
    pub fn is_empty(&self) -> bool {
        self.visible == 0
    }

    /// The elements that are there and not due by `now_ms`, in no order that means anything.
    pub fn iter(&self, now_ms: u64) -> impl Iterator<Item = (&FieldName, &Field<P>)> {
        self.fields.iter().filter(move |(_, field)| field.is_visible() && !field.is_due(now_ms))
    }

    /// How many places [`at`](Self::at) has.
    pub fn places(&self) -> usize {
        self.fields.len()
    }

    /// The element at a place below [`places`](Self::places); `None` where one is not visible or due. Elements
    /// that are removed are replaced by the last one, new ones come last: who walks down from the end meets
    /// every element that is there all the while.
    pub fn at(&self, place: usize, now_ms: u64) -> Option<(&FieldName, &Field<P>)> {
        self.fields.get_index(place).filter(|(_, field)| field.is_visible() && !field.is_due(now_ms))
    }

    /// The order of its elements.
    pub fn index(&self) -> &P::Index {
        &self.index
    }

    /// Which contributions it has seen.
    pub fn seen(&self) -> &DotSet {
        &self.seen
    }

    /// Puts a value in place of all that is seen of the element, counter included. `expires_at_ms`: Unix
    /// milliseconds. The change goes into `delta` too.
    pub fn put(
        &mut self,
        name: &[u8],
        value: P,
        expires_at_ms: Option<u64>,
        origin: Origin,
        delta: &mut Self,
    ) {
        let stamp = origin.stamp;
        let expiry = expires_at_ms.map(|at_ms| Box::new(Expiry { at_ms: Some(at_ms), stamp }));
        delta.seen.join(&self.seen.extend(stamp.dot(), origin.unbroken_since));
        self.replace(name, Some(Put { stamp, value, expiry }), delta);
    }

    /// Adds to the element's counter, and so brings it into being if it is not there.
    pub fn add(&mut self, name: &[u8], by: Amount, origin: Origin, delta: &mut Self) {
        let share = self.edit(name, |field| field.counter.get_or_insert_default().add(by, origin));
        delta.edit(name, |field| field.counter.get_or_insert_default().join(&share));
    }

    /// Removes all that is seen of the element. Returns whether it was there.
    pub fn remove(&mut self, name: &[u8], delta: &mut Self) -> bool {
        self.fields.get(name).is_some_and(Field::is_visible) && {
            self.clear(name, delta);
            true
        }
    }

    /// Gives the element another end, or none. Returns whether it did: an element that is only counted
    /// has nothing that could end; put its total first.
    pub fn set_expiry(&mut self, name: &[u8], at_ms: Option<u64>, stamp: Stamp, delta: &mut Self) -> bool {
        if !self.fields.contains_key(name) {
            return false;
        }
        let expiry = Box::new(Expiry { at_ms, stamp });
        let changed = self.edit(name, |field| {
            let top = field.puts.iter_mut().max_by_key(|put| put.stamp);
            top.map(|put| {
                put.expiry = Some(expiry);
                put.clone()
            })
        });
        let Some(put) = changed else { return false };
        delta.seen.insert(put.stamp.dot());
        delta.edit(name, |field| {
            field.puts.retain(|old| old.stamp != put.stamp);
            field.puts.push(put);
        });
        true
    }

    /// Drops the elements that are due by `now_ms` (Unix milliseconds), for good, with what was added to their
    /// counters; not what was begun to be added after their end by a node that had dropped them already. Every
    /// node does that by itself, so there is no delta. Returns how many went.
    pub fn purge(&mut self, now_ms: u64) -> usize {
        if self.expiring == 0 {
            return 0;
        }
        let due = self.fields.iter().filter(|(_, field)| field.is_due(now_ms));
        let due: Vec<_> =
            due.filter_map(|(name, field)| Some((name.clone(), field.expires_at_ms()?))).collect();
        for (name, at_ms) in &due {
            self.edit(name, |field| {
                field.puts.clear();
                if let Some(counter) = &mut field.counter {
                    counter.clear_born_before(*at_ms);
                }
            });
        }
        due.len()
    }

    /// Whether any element is to end some time.
    pub fn has_expiries(&self) -> bool {
        self.expiring > 0
    }

    /// What was seen of the element goes, in both.
    fn clear(&mut self, name: &[u8], delta: &mut Self) {
        if self.fields.contains_key(name) {
            self.replace(name, None, delta);
        }
    }

    /// What was seen of the element goes and `put` comes, in both. In one edit: an element that went and came back
    /// would change its place, and whoever walks over the places would miss it.
    fn replace(&mut self, name: &[u8], put: Option<Put<P>>, delta: &mut Self) {
        let (gone, cleared) = self.edit(name, |field| {
            let gone: Vec<_> = field.puts.drain(..).map(|put| put.stamp.dot()).collect();
            field.puts.extend(put.clone());
            (gone, field.counter.as_mut().and_then(|counter| counter.clear()))
        });
        for dot in &gone {
            delta.seen.insert(*dot);
        }
        delta.edit(name, |field| {
            field.puts.retain(|put| !gone.contains(&put.stamp.dot()));
            if let Some(cleared) = cleared {
                field.counter.get_or_insert_default().join(&cleared);
            }
            field.puts.extend(put);
        });
    }

    /// Bytes of heap that it takes, about.
    pub fn heap_bytes(&self) -> usize {
        // An element's place: its hash and two indices beside it, some of them free.
        const PLACE_BYTES: usize = 24;
        let place = PLACE_BYTES + size_of::<FieldName>() + size_of::<Field<P>>();
        self.heap + self.fields.capacity() * place + self.seen.runs() * 24
    }

    /// Equal states have equal fingerprints, but for what deltas list.
    pub fn fingerprint(&self) -> u64 {
        self.sum.wrapping_add(self.seen.fingerprint())
    }

    /// Merges another state or delta. `meets` is told of each concurrent loss. Returns whether anything
    /// changed.
    pub fn merge(&mut self, other: &Self, mut meets: impl FnMut(Met<P>)) -> bool {
        let mut changed = false;
        let seen = std::mem::take(&mut self.seen);
        for (name, theirs) in &other.fields {
            if theirs.is_empty() && !self.fields.contains_key(name) && !self.delta {
                continue;
            }
            // A delta may list an element that it knows to be removed.
            changed |= self.delta && !self.fields.contains_key(name);
            changed |= self.edit(name, |field| {
                field.join(&seen, theirs, &other.seen, |losing, winning| {
                    meets(Met {
                        name: name.clone(),
                        losing: losing.stamp,
                        losing_value: losing.value.clone(),
                        winning: winning.stamp,
                        winning_value: winning.value.clone(),
                    });
                })
            });
        }
        if !other.delta {
            changed |= self.drop_removed(other) | self.delta;
            self.settle();
        }
        self.seen = seen;
        self.seen.join(&other.seen) | changed
    }

    /// Drops what a whole state has seen and does not list.
    fn drop_removed(&mut self, other: &Self) -> bool {
        let removed = |(name, field): &(&FieldName, &Field<P>)| {
            !other.fields.contains_key(&***name)
                && field.puts.iter().any(|put| other.seen.contains(put.stamp.dot()))
        };
        let removed: Vec<_> = self.fields.iter().filter(removed).map(|(name, _)| name.clone()).collect();
        for name in &removed {
            self.edit(name, |field| field.puts.retain(|put| !other.seen.contains(put.stamp.dot())));
        }
        !removed.is_empty()
    }

    /// What a delta says when nothing else is known of the key.
    pub fn settle(&mut self) {
        if std::mem::replace(&mut self.delta, false) {
            // A whole state lists nothing that is empty.
            let heap = &mut self.heap;
            self.fields.retain(|name, field| {
                *heap -= if field.is_empty() { name.len() } else { 0 };
                !field.is_empty()
            });
        }
    }

    /// The one place where an element changes: all that is derived from elements follows.
    fn edit<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Field<P>) -> R) -> R {
        let place = match self.fields.get_index_of(name) {
            Some(place) => place,
            None => {
                self.heap += name.len();
                self.fields.insert_full(name.into(), Field::default()).0
            }
        };
        let key_hash = xxh3_64(name);
        let Some((name, field)) = self.fields.get_index_mut(place) else {
            unreachable!("the place was found or made just now")
        };
        let derived = |field: &Field<P>| Derived {
            visible: usize::from(field.is_visible()),
            expiring: usize::from(field.puts.iter().any(|put| put.expires_at_ms().is_some())),
            sum: field.fingerprint(key_hash),
            heap: field.heap_bytes() + field.puts.iter().map(|put| put.value.heap_bytes()).sum::<usize>(),
        };
        let before = derived(field);
        self.index.leaves(name, field);
        let result = change(field);
        self.index.enters(name, field);
        let after = derived(field);
        let forget = field.is_empty() && !self.delta;
        if forget {
            self.heap -= name.len();
            self.fields.swap_remove_index(place);
        }
        self.visible = self.visible - before.visible + after.visible;
        self.expiring = self.expiring - before.expiring + after.expiring;
        self.sum = self.sum.wrapping_sub(before.sum).wrapping_add(after.sum);
        self.heap = self.heap - before.heap + after.heap;
        result
    }

    /// The latest contribution of each actor, some of them twice.
    pub fn tops(&self) -> impl Iterator<Item = crate::Dot> {
        let counters = self.fields.values().filter_map(|field| field.counter.as_deref());
        self.seen.tops().chain(counters.flat_map(Counter::tops))
    }
}

/// What is kept up to date of one element.
struct Derived {
    visible: usize,
    expiring: usize,
    sum: u64,
    heap: usize,
}

impl<P: Payload> PartialEq for Fields<P> {
    /// Regards the elements and what was seen; not the order of the elements.
    fn eq(&self, other: &Self) -> bool {
        let same = |(name, field): (&FieldName, &Field<P>)| {
            other.fields.get(name).is_some_and(|theirs| {
                field.counter.as_deref().is_none_or(Counter::is_empty)
                    == theirs.counter.as_deref().is_none_or(Counter::is_empty)
                    && (field.counter.as_deref().is_none_or(Counter::is_empty)
                        || field.counter == theirs.counter)
                    && field.puts.len() == theirs.puts.len()
                    && field.puts.iter().all(|put| theirs.puts.contains(put))
            })
        };
        self.delta == other.delta
            && self.seen == other.seen
            && self.fields.len() == other.fields.len()
            && self.fields.iter().all(same)
    }
}

impl<P: Payload> Lattice for Fields<P> {
    fn join(&mut self, other: &Self) -> bool {
        self.merge(other, |_| {})
    }

    fn equivalent(&self, other: &Self) -> bool {
        self == other
    }
}
