//! When a key ends: by the last writer, or by a policy where several ends were set concurrently.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Body, Entry, NEVER};
use crate::{DotSet, Stamp};

/// Which of several ends holds that were set concurrently for one value. An end that was set by someone who knew
/// another replaces that one whatever the policies.
///
/// Where concurrent ends were set under different policies, which takes nodes that are configured differently, the
/// greatest of the policies chooses among all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpiryPolicy {
    /// The one with the highest stamp.
    #[default]
    LastWriter,
    /// The latest; to stay is later than any end.
    Longest,
    /// The earliest.
    Shortest,
}

/// No policy has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no expiry policy: use last-writer, longest or shortest")]
pub struct UnknownExpiryPolicy(String);

impl ExpiryPolicy {
    const ALL: [Self; 3] = [Self::LastWriter, Self::Longest, Self::Shortest];

    const fn name(self) -> &'static str {
        match self {
            Self::LastWriter => "last-writer",
            Self::Longest => "longest",
            Self::Shortest => "shortest",
        }
    }
}

impl fmt::Display for ExpiryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ExpiryPolicy {
    type Err = UnknownExpiryPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownExpiryPolicy> {
        let policy = Self::ALL.into_iter().find(|policy| policy.name() == name);
        policy.ok_or_else(|| UnknownExpiryPolicy(name.into()))
    }
}

/// A changed expiry of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum ExpiryRegister {
    /// The stamp of the last writer's. When that is, and whether it took effect, shows in the entry.
    LastWriter(Stamp),
    /// Ends that were set under other policies, and what they are beside.
    Rivals(Rivals),
}

/// The last writer's end beside those of other policies, which are an observed-remove set.
///
/// Of the last writers only the highest counts; it holds as long as nobody who knew it set another end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rivals {
    last: End,
    /// By their stamps.
    others: Vec<(ExpiryPolicy, End)>,
    /// Which ends were replaced, those in `others` included.
    seen: DotSet,
    /// What the entry had before an end took effect: another may yet turn out to hold.
    hidden: Option<Body>,
}

/// One end that was set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct End {
    stamp: Stamp,
    at_ms: u64,
    /// Whether it took effect somewhere.
    applied: bool,
}

impl End {
    fn join(&mut self, other: &Self) {
        // The time is the same but in contradictions.
        self.at_ms = self.at_ms.max(other.at_ms);
        self.applied |= other.applied;
    }
}

impl Rivals {
    /// The end that holds.
    fn resolved(&self) -> &End {
        let last = (!self.seen.contains(self.last.stamp.dot())).then_some(&self.last);
        let policy = self.others.iter().map(|(policy, _)| *policy).max().unwrap_or_default();
        let ends = || self.others.iter().map(|(_, end)| end).chain(last);
        let end = match policy {
            ExpiryPolicy::LastWriter => ends().max_by_key(|end| end.stamp),
            ExpiryPolicy::Longest => ends().max_by_key(|end| (end.at_ms, end.stamp)),
            ExpiryPolicy::Shortest => ends().min_by_key(|end| (end.at_ms, std::cmp::Reverse(end.stamp))),
        };
        // The highest of all was replaced by none, but in contradictions.
        end.unwrap_or(&self.last)
    }

    fn resolved_mut(&mut self) -> &mut End {
        let stamp = self.resolved().stamp;
        let other = self.others.iter_mut().map(|(_, end)| end).find(|end| end.stamp == stamp);
        other.unwrap_or(&mut self.last)
    }

    fn put(&mut self, policy: ExpiryPolicy, end: End) {
        for (_, replaced) in self.others.drain(..) {
            self.seen.insert(replaced.stamp.dot());
        }
        if policy == ExpiryPolicy::LastWriter {
            self.last = end;
        } else {
            self.seen.insert(self.last.stamp.dot());
            self.seen.insert(end.stamp.dot());
            self.others.push((policy, end));
        }
    }

    fn join(&mut self, other: &Self) {
        if other.last.stamp > self.last.stamp {
            self.last = other.last;
        } else if other.last.stamp == self.last.stamp {
            self.last.join(&other.last);
        }
        self.others.retain(|(_, end)| {
            other.others.iter().any(|(_, theirs)| theirs.stamp == end.stamp)
                || !other.seen.contains(end.stamp.dot())
        });
        for (policy, theirs) in &other.others {
            match self.others.iter_mut().find(|(_, end)| end.stamp == theirs.stamp) {
                Some((ours, end)) => {
                    *ours = (*ours).max(*policy);
                    end.join(theirs);
                }
                None if self.seen.contains(theirs.stamp.dot()) => {}
                None => self.others.push((*policy, *theirs)),
            }
        }
        self.others.sort_unstable_by_key(|(_, end)| end.stamp);
        self.seen.join(&other.seen);
        if self.hidden.is_none() {
            self.hidden.clone_from(&other.hidden);
        }
    }

    fn stamps(&self) -> impl Iterator<Item = Stamp> {
        self.others.iter().map(|(_, end)| end.stamp).chain([self.last.stamp])
    }

    /// Equal but for whether ends took effect: equal fingerprints.
    fn fingerprint(&self) -> u64 {
        self.stamps().fold(self.seen.fingerprint(), |hash, stamp| {
            let mut bytes = [0; 24];
            let words = [stamp.time.bits(), stamp.actor.get(), stamp.seq];
            for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            xxh3_64_with_seed(&bytes, hash)
        })
    }

    fn is_well_formed(&self, epoch: Stamp) -> bool {
        let in_order = |pair: &[(ExpiryPolicy, End)]| pair[0].1.stamp < pair[1].1.stamp;
        let others = self.others.iter().all(|(policy, end)| {
            let dot = end.stamp.dot();
            *policy != ExpiryPolicy::LastWriter && dot.seq > 0 && end.stamp > epoch && self.seen.contains(dot)
        });
        others && self.others.windows(2).all(in_order) && self.last.stamp >= epoch
    }
}

impl ExpiryRegister {
    /// The stamp of the end that holds.
    pub(super) fn stamp(&self) -> Stamp {
        match self {
            Self::LastWriter(stamp) => *stamp,
            Self::Rivals(rivals) => rivals.resolved().stamp,
        }
    }

    /// The highest stamp of an end.
    pub(super) fn newest(&self) -> Stamp {
        match self {
            Self::LastWriter(stamp) => *stamp,
            Self::Rivals(rivals) => rivals.stamps().max().unwrap_or(Stamp::ZERO),
        }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        match self {
            Self::LastWriter(_) => 0,
            Self::Rivals(rivals) => rivals.fingerprint(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::LastWriter(_) => 0,
                Self::Rivals(rivals) => {
                    let others = rivals.others.len() * size_of::<(ExpiryPolicy, End)>();
                    let hidden = match &rivals.hidden {
                        Some(Body::Value(value)) => value.len(),
                        _ => 0,
                    };
                    others + hidden + rivals.seen.runs() * 24
                }
            }
    }
}

impl Entry {
    /// Gives the value another end, or none, as a write of its own: [`set_expiry`](Self::set_expiry) under a policy,
    /// which decides where another end is set concurrently.
    pub fn set_expiry_by(&mut self, policy: ExpiryPolicy, at_ms: Option<u64>, stamp: Stamp) -> bool {
        if !self.is_visible() || stamp <= self.newest() {
            return false;
        }
        self.put_expiry(policy, at_ms, stamp);
        true
    }

    /// `stamp` lies above all that is there.
    pub(super) fn put_expiry(&mut self, policy: ExpiryPolicy, at_ms: Option<u64>, stamp: Stamp) {
        let at_ms = at_ms.unwrap_or(NEVER);
        let has_rivals = matches!(self.expiry_register.as_deref(), Some(ExpiryRegister::Rivals(_)));
        if policy == ExpiryPolicy::LastWriter && !has_rivals {
            self.expires_at_ms = at_ms;
            self.expiry_register = Some(Box::new(ExpiryRegister::LastWriter(stamp)));
            return;
        }
        let mut rivals = self.rivals();
        rivals.put(policy, End { stamp, at_ms, applied: false });
        self.resolve(rivals);
    }

    /// The ends as rivals, also where there are none but the last writer's.
    fn rivals(&self) -> Rivals {
        match self.expiry_register.as_deref() {
            Some(ExpiryRegister::Rivals(rivals)) => rivals.clone(),
            last => {
                let stamp = last.map_or(self.stamp, ExpiryRegister::stamp);
                let applied = matches!(self.body, Body::Expired);
                Rivals {
                    last: End { stamp, at_ms: self.expires_at_ms, applied },
                    others: Vec::new(),
                    seen: DotSet::default(),
                    hidden: None,
                }
            }
        }
    }

    /// Lets the end take effect that holds among rivals, or reverses what another one had done.
    fn resolve(&mut self, mut rivals: Rivals) {
        let end = *rivals.resolved();
        self.expires_at_ms = end.at_ms;
        let expired = matches!(self.body, Body::Expired);
        if end.applied && !expired {
            rivals.hidden = Some(std::mem::replace(&mut self.body, Body::Expired));
        } else if !end.applied
            && expired
            && let Some(body) = rivals.hidden.take()
        {
            self.body = body;
        }
        if !matches!(self.body, Body::Expired) {
            rivals.hidden = None;
        }
        self.expiry_register = Some(Box::new(ExpiryRegister::Rivals(rivals)));
    }

    /// Marks the end that holds as having taken effect. Returns whether there are rivals, which it concerns.
    pub(super) fn apply_rivals(&mut self) -> bool {
        let Some(ExpiryRegister::Rivals(rivals)) = self.expiry_register.as_deref() else { return false };
        let mut rivals = rivals.clone();
        rivals.resolved_mut().applied = true;
        self.resolve(rivals);
        true
    }

    /// The order in which the vectors of two states of the same epoch are joined, if either has rivals: unlike that of the ends that
    /// hold it does not turn round when they merge.
    pub(super) fn order_of_rivals(&self, other: &Self) -> Option<Ordering> {
        let newest =
            |entry: &Self| entry.expiry_register.as_ref().map_or(entry.stamp, |register| register.newest());
        self.has_rivals_beside(other).then(|| newest(self).cmp(&newest(other)))
    }

    /// Whether the other state is of the same epoch and either has rivals.
    fn has_rivals_beside(&self, other: &Self) -> bool {
        let has_rivals =
            |entry: &Self| matches!(entry.expiry_register.as_deref(), Some(ExpiryRegister::Rivals(_)));
        self.stamp == other.stamp && (has_rivals(self) || has_rivals(other))
    }

    /// Merges the ends of another state of the same epoch, if either has rivals. Returns whether that was so, and
    /// whether anything changed.
    pub(super) fn merge_rivals(&mut self, other: &Self) -> Option<bool> {
        if !self.has_rivals_beside(other) {
            return None;
        }
        let before = (self.expiry_register.clone(), self.expires_at_ms, self.body.clone());
        let mut rivals = self.rivals();
        rivals.join(&other.rivals());
        if matches!(self.body, Body::Expired) && !matches!(other.body, Body::Expired) {
            rivals.hidden = Some(other.body.clone());
        }
        self.resolve(rivals);
        Some(before != (self.expiry_register.clone(), self.expires_at_ms, self.body.clone()))
    }

    /// Whether the register fits the rest of the entry.
    pub(super) fn expiry_is_well_formed(&self) -> bool {
        match self.expiry_register.as_deref() {
            Some(ExpiryRegister::Rivals(rivals)) => {
                let end = rivals.resolved();
                let expired = matches!(self.body, Body::Expired);
                rivals.is_well_formed(self.stamp)
                    && end.at_ms == self.expires_at_ms
                    && end.applied == expired
                    && expired == rivals.hidden.is_some()
                    && !matches!(rivals.hidden, Some(Body::Expired))
            }
            Some(ExpiryRegister::LastWriter(stamp)) => stamp.seq > 0 && *stamp > self.stamp,
            None => true,
        }
    }
}
