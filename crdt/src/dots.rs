//! Sets of dots: which contributions to one collection a state has seen.
//!
//! A vector with a cloud of dots, kept as runs: a vector is one run an actor, a cloud is short runs beside
//! it. Nothing is ever forgotten, as a forgotten dot would let a removed element return.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{ActorId, Dot, Lattice};

/// A set of dots, in runs of consecutive sequences.
///
/// An actor's sequence counts its writes to all keys, so the dots of one key leave gaps. An actor closes
/// the gap below a new dot itself, as only it knows that nothing of this key lies there
/// ([`extend`](Self::extend)): a set with one contributor stays one run however long it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DotSet {
    /// In order, none empty, none touching the next.
    runs: SmallVec<[Run; 1]>,
}

/// Consecutive writes of one actor, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Run {
    actor: ActorId,
    first: u64,
    last: u64,
}

impl DotSet {
    /// Whether the dot is in the set. The dot of sequence 0, which names no write, always is.
    pub fn contains(&self, dot: Dot) -> bool {
        let at = self.runs.partition_point(|run| (run.actor, run.last) < (dot.actor, dot.seq));
        dot.seq == 0 || self.runs.get(at).is_some_and(|run| run.actor == dot.actor && run.first <= dot.seq)
    }

    /// Adds one dot. The dot of sequence 0 changes nothing.
    pub fn insert(&mut self, dot: Dot) {
        if dot.seq == 0 {
            return;
        }
        self.insert_run(Run { actor: dot.actor, first: dot.seq, last: dot.seq });
    }

    /// Adds an actor's new dot and all that lies between it and the actor's latest one before. Returns the
    /// dots that were added as a set of their own, to be sent to others.
    ///
    /// To be called by the actor itself, and only while it has known this set without interruption since
    /// it made its latest dot; `unbroken_since` is the sequence from which on that is so. Below it, the gap
    /// stays open.
    pub fn extend(&mut self, dot: Dot, unbroken_since: u64) -> Self {
        let latest = self.last_of(dot.actor);
        let first = if latest > unbroken_since && latest < dot.seq { latest + 1 } else { dot.seq };
        let mut added = Self::default();
        added.insert_run(Run { actor: dot.actor, first, last: dot.seq });
        self.join(&added);
        added
    }

    /// The greatest sequence of an actor; 0 if there is none.
    pub fn last_of(&self, actor: ActorId) -> u64 {
        let end = self.runs.partition_point(|run| run.actor <= actor);
        let last = end.checked_sub(1).map(|at| self.runs[at]).filter(|run| run.actor == actor);
        last.map_or(0, |run| run.last)
    }

    /// The greatest dot of each actor.
    pub fn tops(&self) -> impl Iterator<Item = Dot> {
        let last_of_actor =
            |at: usize| self.runs.get(at + 1).is_none_or(|next| next.actor != self.runs[at].actor);
        let runs = self.runs.iter().enumerate().filter(move |(at, _)| last_of_actor(*at));
        runs.map(|(_, run)| Dot { actor: run.actor, seq: run.last })
    }

    /// Adds all of another set. Returns whether there was anything new.
    pub fn join(&mut self, other: &Self) -> bool {
        let mut grew = false;
        for run in &other.runs {
            grew |= self.insert_run(*run);
        }
        grew
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs it takes: what it costs, 24 bytes each.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Equal sets have equal fingerprints.
    pub fn fingerprint(&self) -> u64 {
        self.runs.iter().fold(0, |hash, run| {
            let mut bytes = [0; 24];
            for (to, word) in bytes.chunks_exact_mut(8).zip([run.actor.get(), run.first, run.last]) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            xxh3_64_with_seed(&bytes, hash)
        })
    }

    fn insert_run(&mut self, run: Run) -> bool {
        let Run { actor, first, last } = run;
        // Runs that overlap the new one or touch it become one with it.
        let from = self.runs.partition_point(|run| (run.actor, run.last) < (actor, first.saturating_sub(1)));
        let touching = self.runs[from..]
            .iter()
            .take_while(|run| run.actor == actor && run.first <= last.saturating_add(1))
            .count();
        if touching == 0 {
            self.runs.insert(from, run);
            return true;
        }
        let (head, tail) = (self.runs[from], self.runs[from + touching - 1]);
        if touching == 1 && head.first <= first && head.last >= last {
            return false;
        }
        self.runs[from] = Run { actor, first: head.first.min(first), last: tail.last.max(last) };
        self.runs.drain(from + 1..from + touching);
        true
    }
}

impl FromIterator<Dot> for DotSet {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut set = Self::default();
        dots.into_iter().for_each(|dot| set.insert(dot));
        set
    }
}

impl Lattice for DotSet {
    fn join(&mut self, other: &Self) -> bool {
        DotSet::join(self, other)
    }

    fn equivalent(&self, other: &Self) -> bool {
        self == other
    }
}

impl Serialize for DotSet {
    /// A sequence of (actor, first, last), in order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.runs)
    }
}

impl<'de> Deserialize<'de> for DotSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let runs = Vec::<Run>::deserialize(deserializer)?;
        let well_formed = runs.iter().all(|run| 0 < run.first && run.first <= run.last);
        let apart =
            |pair: &[Run]| (pair[0].actor, pair[0].last.saturating_add(1)) < (pair[1].actor, pair[1].first);
        if !well_formed || !runs.windows(2).all(apart) {
            return Err(serde::de::Error::custom("runs of dots are empty, out of order or touching"));
        }
        Ok(Self { runs: runs.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(actor: u64, seq: u64) -> Dot {
        Dot { actor: ActorId::new(actor), seq }
    }

    #[test]
    fn dots_in_any_order_come_to_the_same_runs() {
        let mut set: DotSet = [dot(1, 5), dot(1, 3), dot(2, 1), dot(1, 4), dot(1, 9)].into_iter().collect();
        assert_eq!(set.runs(), 3);
        for (there, seq) in [(false, 2), (true, 3), (true, 5), (false, 6), (true, 9), (false, 10)] {
            assert_eq!(set.contains(dot(1, seq)), there, "{seq}");
        }
        assert_eq!(set.tops().collect::<Vec<_>>(), [dot(1, 9), dot(2, 1)]);
        let again = [dot(1, 9), dot(1, 4), dot(1, 5), dot(2, 1), dot(1, 3)].into_iter().collect();
        assert_eq!(set, again);
        assert_eq!(set.fingerprint(), again.fingerprint());
        assert!(!set.join(&again));
        set.insert(dot(2, 2));
        assert_ne!(set.fingerprint(), again.fingerprint());
    }

    #[test]
    fn an_actor_closes_the_gap_below_its_new_dot_while_it_has_known_the_set_all_along() {
        let mut set = DotSet::default();
        assert_eq!(set.extend(dot(1, 10), 0).runs(), 1);
        let added = set.extend(dot(1, 20), 0);
        assert!(added.contains(dot(1, 11)) && !added.contains(dot(1, 10)));
        assert_eq!(set.runs(), 1);
        // It lost sight of the set at sequence 25: something of it may lie between 20 and 30.
        let added = set.extend(dot(1, 30), 25);
        assert!(!added.contains(dot(1, 29)));
        assert_eq!((set.runs(), set.last_of(ActorId::new(1)), set.last_of(ActorId::new(2))), (2, 30, 0));
    }
}
