//! The cluster's book of counters and collections: every contribution and every removal, by key and epoch, and
//! what they add up to.
//!
//! It follows the specification and not the data types: an element is there if some write put it or added to it that
//! no removal had seen; a number is the sum of what was added and not taken away.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rumour_crdt::{
    ActorId, Body, Contents, Counter, Data, Dot, Entry, Field, FieldName, Fields, Kind, Payload, Score, Stamp,
};

use super::{Checked, require, show};

/// What a key shows: elements with their values as text. A number stands under the empty name, members of a
/// set have no value.
pub(crate) type Shown = BTreeMap<Bytes, Bytes>;

/// Everything that was ever contributed in one run.
#[derive(Debug, Default)]
pub(crate) struct Contributions {
    keys: BTreeMap<Bytes, BTreeMap<Stamp, Epoch>>,
}

/// What was contributed to a key under one epoch.
#[derive(Debug, Default)]
struct Epoch {
    /// The value that replaced the key, to which numbers are added; `None` if it was deleted or never was.
    base: Option<Bytes>,
    elements: BTreeMap<Bytes, Element>,
    /// The latest change of its expiry, and the end that it set.
    expiry: Option<(Stamp, Option<u64>)>,
}

#[derive(Debug, Default)]
struct Element {
    puts: BTreeMap<Stamp, Bytes>,
    removed: BTreeSet<Dot>,
    added: BTreeMap<Dot, i128>,
    /// Of each actor, up to which sequence a removal had seen its additions.
    cleared: BTreeMap<ActorId, u64>,
}

/// Which contributions an answer is to be made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// All.
    Everyone,
    /// Those of these incarnations, and no removal by others.
    Only(&'a BTreeSet<ActorId>),
}

impl Of<'_> {
    fn includes(self, actor: ActorId) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(actors) => actors.contains(&actor),
        }
    }
}

impl Contributions {
    /// A node changed a key in answer to a client.
    pub(crate) fn mint(&mut self, key: &[u8], before: Option<&Entry>, after: &Entry) {
        let epochs = self.keys.entry(Bytes::copy_from_slice(key)).or_default();
        let epoch = epochs.entry(after.stamp()).or_default();
        if let Body::Value(base) = after.body() {
            epoch.base = Some(base.clone());
        }
        let expiry = after.expiry();
        if epoch.expiry.is_none_or(|(stamp, _)| stamp < expiry.stamp) {
            epoch.expiry = Some((expiry.stamp, expiry.at_ms));
        }
        let before = before.filter(|before| before.stamp() == after.stamp());
        let Some(contents) = after.contents() else { return };
        let data = before.and_then(Entry::contents).map(Contents::data);
        let by = contents.latest();
        match (data, contents.data()) {
            (Some(Data::Counter(old)), Data::Counter(new)) => epoch.count(b"", Some(old), new, by),
            (None, Data::Counter(new)) => epoch.count(b"", None, new, by),
            (old, Data::Set(new)) => {
                let old = match old {
                    Some(Data::Set(old)) => Some(old),
                    _ => None,
                };
                epoch.change(old, new, by, |()| Bytes::new());
            }
            (old, Data::SortedSet(new)) => {
                let old = match old {
                    Some(Data::SortedSet(old)) => Some(old),
                    _ => None,
                };
                epoch.change(old, new, by, |Score(score)| score.to_string().into());
            }
            (old, Data::Map(new) | Data::Values(new)) => {
                let old = match old {
                    Some(Data::Map(old) | Data::Values(old)) => Some(old),
                    _ => None,
                };
                epoch.change(old, new, by, Bytes::clone);
            }
            (Some(_), Data::Counter(_)) => {}
        }
    }

    /// A state that was sent from one node to another: each contribution in it must have been made by somebody.
    pub(crate) fn recognise(&self, key: &[u8], entry: &Entry) -> Checked {
        let Some(contents) = entry.contents() else { return Ok(()) };
        let epoch = self.keys.get(key).and_then(|epochs| epochs.get(&entry.stamp()));
        let strange = match contents.data() {
            Data::Counter(_) => None,
            Data::Set(fields) => strange(epoch, fields),
            Data::SortedSet(fields) => strange(epoch, fields),
            Data::Map(fields) | Data::Values(fields) => strange(epoch, fields),
        };
        require(strange.is_none(), "an element was put by somebody", || {
            format!("{} has {strange:?} under {}", show(key), entry.stamp())
        })
    }

    /// The keys that were contributed to.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.keys.keys()
    }

    /// The highest epoch of a key that one of `of` has written under, unless a flush at `flushed` lies above it.
    pub(crate) fn epoch(&self, key: &[u8], of: Of<'_>, flushed: Stamp) -> Option<Stamp> {
        let epochs = self.keys.get(key)?;
        let written = epochs.iter().rev().filter(|(stamp, epoch)| {
            of.includes(stamp.actor) || epoch.elements.values().any(|element| element.is_by(of))
        });
        written.map(|(stamp, _)| *stamp).find(|stamp| *stamp >= flushed)
    }

    /// What a key must show under an epoch, at `now_ms`, when only the contributions of `of` are regarded; numbers then
    /// are lower bounds, if nothing was ever taken away.
    pub(crate) fn shown(&self, key: &[u8], stamp: Stamp, of: Of<'_>, now_ms: u64) -> Shown {
        let Some(epoch) = self.keys.get(key).and_then(|epochs| epochs.get(&stamp)) else {
            return Shown::new();
        };
        let ended = epoch.expiry.and_then(|(_, at_ms)| at_ms).is_some_and(|at_ms| at_ms <= now_ms);
        if ended {
            return Shown::new();
        }
        let base = epoch.base.as_ref();
        let shown = |(name, element): (&Bytes, &Element)| {
            let base = base.filter(|_| name.is_empty()).map_or(0, |base| number(base));
            element.shown(base, of).map(|value| (name.clone(), value))
        };
        let mut all: Shown = epoch.elements.iter().filter_map(shown).collect();
        if let Some(base) = base {
            all.entry(Bytes::new()).or_insert_with(|| base.clone());
        }
        all
    }

    /// What a key may show under an epoch after memory was lost: each element that was ever put or added to, with the most
    /// that it can have come to where only its numbers were added to, and never taken away.
    pub(crate) fn possible(&self, key: &[u8], stamp: Stamp) -> BTreeMap<Bytes, Option<i128>> {
        let epoch = self.keys.get(key).and_then(|epochs| epochs.get(&stamp));
        let most = |(name, element): (&Bytes, &Element)| {
            let only_grew = element.puts.is_empty() && element.added.values().all(|amount| *amount > 0);
            let base = epoch.and_then(|epoch| epoch.base.as_ref()).filter(|_| name.is_empty());
            let most = base.map_or(0, |base| number(base)) + element.added.values().sum::<i128>();
            (name.clone(), only_grew.then_some(most))
        };
        let mut all: BTreeMap<_, _> = epoch.into_iter().flat_map(|epoch| &epoch.elements).map(most).collect();
        if epoch.is_some_and(|epoch| epoch.base.is_some()) {
            all.entry(Bytes::new()).or_insert(None);
        }
        all
    }

    /// Whether the key was ever told to end under an epoch.
    pub(crate) fn ends(&self, key: &[u8], stamp: Stamp) -> bool {
        let epoch = self.keys.get(key).and_then(|epochs| epochs.get(&stamp));
        epoch.and_then(|epoch| epoch.expiry).is_some_and(|(_, at_ms)| at_ms.is_some())
    }
}

/// What a key that was contributed to shows at one node, at `now_ms`.
pub(crate) fn shown_of(entry: &Entry, now_ms: u64) -> Shown {
    let nothing = |name: &FieldName| (Bytes::copy_from_slice(name), Bytes::new());
    let text = |(name, field): (&FieldName, &Field<Bytes>)| (Bytes::copy_from_slice(name), field.text());
    match entry.kind(now_ms) {
        None => Shown::new(),
        Some(Kind::String) => entry.live_value(now_ms).map(|text| (Bytes::new(), text)).into_iter().collect(),
        Some(Kind::Set) => entry
            .members()
            .into_iter()
            .flat_map(|set| set.iter(now_ms))
            .map(|(name, _)| nothing(name))
            .collect(),
        Some(Kind::SortedSet) => {
            let members = entry.sorted().into_iter().flat_map(|sorted| sorted.index().iter());
            members.map(|(score, name)| (Bytes::copy_from_slice(name), score.to_string().into())).collect()
        }
        Some(Kind::Map) => entry.map().into_iter().flat_map(|map| map.iter(now_ms)).map(text).collect(),
        Some(Kind::Values) => entry.values().into_iter().flat_map(|all| all.iter(now_ms)).map(text).collect(),
    }
}

impl Epoch {
    fn count(&mut self, name: &[u8], old: Option<&Counter>, new: &Counter, by: Stamp) {
        let total = |counter: Option<&Counter>| {
            let sum = counter.map(Counter::total).unwrap_or_default();
            sum.integer + sum.float as i128
        };
        let active = |counter: Option<&Counter>| counter.is_some_and(Counter::is_active);
        let element = self.elements.entry(Bytes::copy_from_slice(name)).or_default();
        if active(old) && !active(Some(new)) {
            for top in old.into_iter().flat_map(Counter::tops) {
                let seen = element.cleared.entry(top.actor).or_default();
                *seen = top.seq.max(*seen);
            }
        } else if active(Some(new)) && old != Some(new) {
            *element.added.entry(by.dot()).or_default() += total(Some(new)) - total(old);
        }
    }

    fn change<P: Payload>(
        &mut self,
        old: Option<&Fields<P>>,
        new: &Fields<P>,
        by: Stamp,
        text: impl Fn(&P) -> Bytes,
    ) {
        let elements = |fields: Option<&Fields<P>>| -> BTreeMap<Bytes, Field<P>> {
            let all = fields.into_iter().flat_map(|fields| fields.iter(0));
            all.map(|(name, field)| (Bytes::copy_from_slice(name), field.clone())).collect()
        };
        let (old, new) = (elements(old), elements(Some(new)));
        let names: BTreeSet<&Bytes> = old.keys().chain(new.keys()).collect();
        for name in names {
            let (old, new) = (old.get(name), new.get(name));
            let old_puts = old.map_or(&[][..], Field::puts);
            let new_puts = new.map_or(&[][..], Field::puts);
            let element = self.elements.entry(name.clone()).or_default();
            for put in new_puts {
                element.puts.insert(put.stamp, text(&put.value));
            }
            let gone = old_puts.iter().filter(|put| !new_puts.iter().any(|new| new.stamp == put.stamp));
            element.removed.extend(gone.map(|put| put.stamp.dot()));
            let none = Counter::default();
            let new_counter = new.and_then(Field::counter);
            let old_counter = old.and_then(Field::counter);
            if old_counter.is_some() || new_counter.is_some() {
                self.count(name, old_counter, new_counter.unwrap_or(&none), by);
            }
        }
    }
}

impl Element {
    fn is_by(&self, of: Of<'_>) -> bool {
        self.puts.keys().any(|stamp| of.includes(stamp.actor))
            || self.added.keys().any(|dot| of.includes(dot.actor))
    }

    fn shown(&self, base: i128, of: Of<'_>) -> Option<Bytes> {
        let there = self.puts.iter().filter(|(stamp, _)| of.includes(stamp.actor));
        let there = there.filter(|(stamp, _)| !self.removed.contains(&stamp.dot()));
        let top = there.max_by_key(|(stamp, _)| **stamp).map(|(_, value)| value);
        let seen = |dot: &Dot| self.cleared.get(&dot.actor).is_some_and(|seen| *seen >= dot.seq);
        let added: Vec<i128> = self
            .added
            .iter()
            .filter(|(dot, _)| of.includes(dot.actor) && !seen(dot))
            .map(|(_, amount)| *amount)
            .collect();
        match (top, added.is_empty()) {
            (None, true) => None,
            (Some(value), true) => Some(value.clone()),
            (top, false) => {
                let put = top.map_or(0, |value| number(value));
                Some((base + put + added.iter().sum::<i128>()).to_string().into())
            }
        }
    }
}

fn number(text: &[u8]) -> i128 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// An element that nobody put.
fn strange<P: Payload>(epoch: Option<&Epoch>, fields: &Fields<P>) -> Option<String> {
    let put = |name: &[u8], stamp: Stamp| {
        epoch
            .and_then(|epoch| epoch.elements.get(name))
            .is_some_and(|element| element.puts.contains_key(&stamp))
    };
    let mut puts =
        fields.iter(0).flat_map(|(name, field)| field.puts().iter().map(move |put| (name, put.stamp)));
    puts.find(|(name, stamp)| !put(name, *stamp)).map(|(name, stamp)| format!("{} of {stamp}", show(name)))
}
