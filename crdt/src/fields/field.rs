//! One element of a collection.

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::counter::counted;
use crate::{Counter, DotSet, Expiry, Lattice, Stamp};

/// One element: what was put there and not replaced or removed by a write that had seen it, and what was
/// added to it.
///
/// More than one put means that they were concurrent; the one with the highest stamp is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field<P> {
    pub(super) puts: SmallVec<[Put<P>; 1]>,
    pub(super) counter: Option<Box<Counter>>,
}

/// One write of an element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Put<P> {
    /// The write.
    pub stamp: Stamp,
    /// What it wrote.
    pub value: P,
    /// Set when it was ever told to expire.
    pub(super) expiry: Option<Box<Expiry>>,
}

impl<P> Put<P> {
    /// When it ends, in Unix milliseconds; `None` if it stays.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.expiry.as_ref().and_then(|expiry| expiry.at_ms)
    }
}

impl<P> Field<P> {
    /// The put that is shown.
    pub fn top(&self) -> Option<&Put<P>> {
        self.puts.iter().max_by_key(|put| put.stamp)
    }

    /// All concurrent puts, in no order.
    pub fn puts(&self) -> &[Put<P>] {
        &self.puts
    }

    /// What was added to it, if anything ever was.
    pub fn counter(&self) -> Option<&Counter> {
        self.counter.as_deref()
    }

    /// Whether it is there: its expiry not regarded.
    pub fn is_visible(&self) -> bool {
        !self.puts.is_empty() || self.counter.as_ref().is_some_and(|counter| counter.is_active())
    }

    /// Whether it was to end by `now_ms` (Unix milliseconds).
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// When it ends, in Unix milliseconds; `None` if it stays.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.top().and_then(Put::expires_at_ms)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.counter.as_ref().is_none_or(|counter| counter.is_empty())
    }

    /// Bytes of heap without those of the values.
    pub(super) fn heap_bytes(&self) -> usize {
        // By lengths, not by capacities: a copy of the element must take what it took.
        let spilled = if self.puts.len() > 1 { self.puts.len() * size_of::<Put<P>>() } else { 0 };
        let expiries = self.puts.iter().filter(|put| put.expiry.is_some()).count() * size_of::<Expiry>();
        spilled
            + expiries
            + self.counter.as_ref().map_or(0, |counter| size_of::<Counter>() + counter.heap_bytes())
    }

    /// Equal elements have equal fingerprints; 0 for an empty one.
    pub(super) fn fingerprint(&self, key_hash: u64) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let counter = self.counter.as_ref().map_or(key_hash, |counter| counter.fingerprint(key_hash));
        // Added up: concurrent puts stand in no order.
        self.puts.iter().fold(counter.max(1), |sum, put| {
            let expiry = put.expiry.as_ref().map_or(Stamp::ZERO, |expiry| expiry.stamp);
            let mut bytes = [0; 48];
            let words = [put.stamp, expiry].map(|stamp| [stamp.time.bits(), stamp.actor.get(), stamp.seq]);
            let words = words.into_iter().flatten();
            for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            sum.wrapping_add(xxh3_64_with_seed(&bytes, key_hash))
        })
    }
}

impl Field<Bytes> {
    /// What a field of a map shows: what was put, or zero, and what was added to that, as digits.
    pub fn text(&self) -> Bytes {
        let counted_up = self.counter().filter(|counter| counter.is_active()).map(Counter::total);
        match (self.top(), counted_up) {
            (Some(put), None) => put.value.clone(),
            (Some(put), Some(sum)) => counted(&put.value, sum),
            (None, sum) => counted(b"0", sum.unwrap_or_default()),
        }
    }
}

impl<P> Default for Field<P> {
    fn default() -> Self {
        Self { puts: SmallVec::new(), counter: None }
    }
}

impl<'de, P: Deserialize<'de>> Deserialize<'de> for Field<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not the list that elements keep: it would reserve whatever length the sender claims.
        let (puts, counter) = <(Vec<Put<P>>, Option<Box<Counter>>)>::deserialize(deserializer)?;
        for (at, put) in puts.iter().enumerate() {
            if puts[..at].iter().any(|other| other.stamp.dot() == put.stamp.dot()) {
                return Err(D::Error::custom("an element has one put twice"));
            }
            if put.stamp.seq == 0 || put.expiry.as_ref().is_some_and(|expiry| expiry.stamp < put.stamp) {
                return Err(D::Error::custom("a put is of no write or ends before it was made"));
            }
        }
        Ok(Self { puts: puts.into(), counter })
    }
}

impl<P: Clone> Field<P> {
    /// Merges the same element of another state. Each state's `seen` tells of what the other has whether it
    /// was removed here. `meets` is told of each put that came in beside one that had not seen it: the loser,
    /// then the winner. Returns whether anything changed.
    pub(super) fn join(
        &mut self,
        seen: &DotSet,
        other: &Self,
        other_seen: &DotSet,
        mut meets: impl FnMut(&Put<P>, &Put<P>),
    ) -> bool {
        let before = self.puts.len();
        self.puts.retain(|put| {
            other.puts.iter().any(|theirs| theirs.stamp == put.stamp) || !other_seen.contains(put.stamp.dot())
        });
        let mut changed = self.puts.len() != before;
        for theirs in &other.puts {
            match self.puts.iter_mut().find(|put| put.stamp == theirs.stamp) {
                Some(put) => changed |= join_expiry(&mut put.expiry, &theirs.expiry),
                None if seen.contains(theirs.stamp.dot()) => {}
                None => {
                    for put in self.puts.iter().filter(|put| !other.puts.iter().any(|o| o.stamp == put.stamp))
                    {
                        if put.stamp < theirs.stamp { meets(put, theirs) } else { meets(theirs, put) }
                    }
                    self.puts.push(theirs.clone());
                    changed = true;
                }
            }
        }
        if let Some(theirs) = &other.counter {
            changed |= self.counter.get_or_insert_default().join(theirs);
        }
        changed
    }
}

fn join_expiry(ours: &mut Option<Box<Expiry>>, theirs: &Option<Box<Expiry>>) -> bool {
    let rank = |expiry: &Option<Box<Expiry>>| expiry.as_ref().map(|expiry| (expiry.stamp, expiry.at_ms));
    let later = rank(theirs) > rank(ours);
    if later {
        ours.clone_from(theirs);
    }
    later
}
