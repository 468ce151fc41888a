//! What a key holds, told from nothing but the set of operations that a state has received.
//!
//! The naive specification: a put or an increment is there unless an operation that was received kills it, and
//! an operation kills what its writer saw of the element. No dots, no shares, no merging but that of sets.

use std::collections::BTreeMap;

use bytes::Bytes;
use rumour_crdt::{
    Body, Contents, Counter, Data, Entry, ExpiryPolicy, Field, Fields, Kind, Payload, Score, Stamp, Sum,
};

/// A set of operations, by their place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids([u64; Ids::WORDS]);

impl Ids {
    const WORDS: usize = 8;

    pub(crate) fn of(ids: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }

    pub(crate) fn insert(&mut self, id: usize) {
        self.0[id / 64] |= 1 << (id % 64);
    }

    pub(crate) fn contains(&self, id: usize) -> bool {
        self.0[id / 64] & (1 << (id % 64)) != 0
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(ours, theirs)| *ours |= theirs);
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(ours, theirs)| ours & !theirs == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..Self::WORDS).flat_map(move |word| {
            let bits = self.0[word];
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit)
        })
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// The epoch that it belongs to or begins.
    pub(crate) epoch: Stamp,
    pub(crate) stamp: Stamp,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Replaces the whole key; `None` deletes it.
    Write { body: Option<Bytes>, at_ms: Option<u64> },
    /// Changes the end of the key, which then held contributions of that type. `known` are the changes that it replaces.
    Expiry { at_ms: Option<u64>, kind: Option<Kind>, policy: ExpiryPolicy, known: Ids },
    /// The end that this write set took effect.
    Expired { by: Stamp },
    /// Contributes to the type.
    Contribution { kind: Kind, change: Change },
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put {
        name: u8,
        value: u8,
        at_ms: Option<u64>,
    },
    /// `birth` is the first of the uninterrupted row of increments that it is in.
    Add {
        name: u8,
        integer: i64,
        float: f64,
        birth: usize,
    },
    /// What it kills is gone.
    Kill(Ids),
    /// Changes the end of one put.
    PutExpiry {
        put: usize,
        at_ms: Option<u64>,
    },
}

/// What a key holds.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) epoch: Stamp,
    pub(crate) body: Body,
    pub(crate) at_ms: Option<u64>,
    pub(crate) expiry_stamp: Stamp,
    /// How many ends were set concurrently, not counting all but one of last writers.
    pub(crate) rivals: usize,
    pub(crate) kind: Option<Kind>,
    pub(crate) elements: BTreeMap<u8, Element>,
}

/// An element of a collection; a counter is the element 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Element {
    /// By their stamps.
    pub(crate) puts: BTreeMap<Stamp, SeenPut>,
    pub(crate) adds: Vec<usize>,
    pub(crate) total: Sum,
}

#[derive(Clone, Debug)]
pub(crate) struct SeenPut {
    pub(crate) op: usize,
    pub(crate) value: u8,
    pub(crate) at_ms: Option<u64>,
}

impl Element {
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.puts.last_key_value().is_some_and(|(_, put)| put.at_ms.is_some_and(|at_ms| at_ms <= now_ms))
    }

    /// All operations that make it up.
    pub(crate) fn ops(&self) -> impl Iterator<Item = usize> + '_ {
        self.puts.values().map(|put| put.op).chain(self.adds.iter().copied())
    }
}

/// What a state holds that has received these operations.
pub(crate) fn seen(log: &[Op], ids: &Ids) -> Seen {
    let epoch = ids.iter().map(|id| log[id].epoch).max().unwrap_or(Stamp::ZERO);
    let ops = || ids.iter().map(|id| (id, &log[id])).filter(|(_, op)| op.epoch == epoch);
    let (mut value, mut at_ms, mut expiry_stamp) = (None, None, epoch);
    for (_, op) in ops() {
        if let What::Write { body, at_ms: first } = &op.what {
            value.clone_from(body);
            at_ms = *first;
        }
    }
    // The last writer's end, if none replaced it that was set under another policy; and those that none replaced.
    let ends = || {
        ops().filter_map(|(id, op)| match &op.what {
            What::Expiry { at_ms, policy, known, .. } => Some((id, op.stamp, *at_ms, *policy, known)),
            _ => None,
        })
    };
    let is_last = |policy: &ExpiryPolicy| *policy == ExpiryPolicy::LastWriter;
    let last = ends().filter(|(.., policy, _)| is_last(policy)).max_by_key(|(_, stamp, ..)| *stamp);
    if let Some((_, stamp, changed, ..)) = last {
        (at_ms, expiry_stamp) = (changed, stamp);
    }
    let replaced_last = |(_, _, _, policy, known): &(usize, Stamp, Option<u64>, ExpiryPolicy, &Ids)| {
        !is_last(policy) && last.is_none_or(|(id, ..)| known.contains(id))
    };
    let others = ends()
        .filter(|(id, _, _, policy, _)| !is_last(policy) && !ends().any(|(.., known)| known.contains(*id)));
    let mut candidates: Vec<_> = others.map(|(_, stamp, at_ms, policy, _)| (stamp, at_ms, policy)).collect();
    if !ends().any(|end| replaced_last(&end)) {
        candidates.push((expiry_stamp, at_ms, ExpiryPolicy::LastWriter));
    }
    let length = |at_ms: Option<u64>| at_ms.unwrap_or(u64::MAX);
    candidates.sort_by_key(|(stamp, ..)| *stamp);
    let rivals = candidates.len();
    let end = match candidates
        .iter()
        .map(|(.., policy)| *policy)
        .max()
        .expect("the highest was replaced by none")
    {
        ExpiryPolicy::LastWriter => candidates.last(),
        ExpiryPolicy::Longest => candidates.iter().max_by_key(|(_, at_ms, _)| length(*at_ms)),
        ExpiryPolicy::Shortest => candidates.iter().rev().min_by_key(|(_, at_ms, _)| length(*at_ms)),
    };
    if let Some((stamp, end, _)) = end {
        (at_ms, expiry_stamp) = (*end, *stamp);
    }
    let expired = ops().any(|(_, op)| matches!(&op.what, What::Expired { by } if *by == expiry_stamp));
    let kind_of = |what: &What| match what {
        What::Contribution { kind, .. } => Some(*kind),
        What::Expiry { kind, .. } => *kind,
        _ => None,
    };
    let kind = ops().filter_map(|(_, op)| kind_of(&op.what)).max();
    let changes = || {
        ops().filter_map(|(id, op)| match &op.what {
            What::Contribution { kind: of, change } if Some(*of) == kind => Some((id, op.stamp, change)),
            _ => None,
        })
    };
    let mut killed = Ids::default();
    for (_, _, change) in changes() {
        if let Change::Kill(kills) = change {
            killed.join(kills);
        }
    }
    let mut elements: BTreeMap<u8, Element> = BTreeMap::new();
    for (id, stamp, change) in changes().filter(|(id, ..)| !killed.contains(*id)) {
        match change {
            Change::Put { name, value, at_ms } => {
                let ends = changes().filter_map(|(_, stamp, change)| match change {
                    Change::PutExpiry { put, at_ms } if *put == id => Some((stamp, *at_ms)),
                    _ => None,
                });
                let at_ms = ends.max().map_or(*at_ms, |(_, at_ms)| at_ms);
                let put = SeenPut { op: id, value: *value, at_ms };
                elements.entry(*name).or_default().puts.insert(stamp, put);
            }
            Change::Add { name, integer, float, .. } => {
                let element = elements.entry(*name).or_default();
                element.adds.push(id);
                element.total.integer += i128::from(*integer);
                element.total.float += float;
            }
            Change::Kill(_) | Change::PutExpiry { .. } => {}
        }
    }
    let body = match value {
        _ if expired => Body::Expired,
        Some(value) => Body::Value(value),
        None => Body::Tombstone,
    };
    Seen { epoch, body, at_ms, expiry_stamp, rivals, kind, elements }
}

impl Seen {
    pub(crate) fn is_visible(&self) -> bool {
        match self.body {
            Body::Value(_) => true,
            Body::Tombstone => !self.elements.is_empty(),
            Body::Expired => false,
        }
    }

    /// Compares all that an entry tells with it.
    pub(crate) fn assert_is(&self, entry: &Entry) {
        assert_eq!(entry.stamp(), self.epoch);
        assert_eq!(*entry.body(), self.body);
        assert_eq!((entry.expiry().at_ms, entry.expiry().stamp), (self.at_ms, self.expiry_stamp));
        assert_eq!(entry.is_visible(), self.is_visible());
        assert_eq!(entry.contents().map(Contents::kind), self.kind);
        assert_eq!(entry.live_value(0), self.text(), "{self:?}");
        let Some(contents) = entry.contents() else { return };
        assert_eq!(contents.data().len(), self.elements.len());
        match contents.data() {
            Data::Counter(counter) => {
                let element = self.elements.get(&0);
                assert_eq!(counter.total(), element.map(|element| element.total).unwrap_or_default());
                assert_eq!(counter.is_active(), element.is_some());
            }
            Data::Set(fields) => self.assert_fields(fields, |_| ()),
            Data::Values(fields) | Data::Map(fields) => self.assert_fields(fields, text),
            Data::SortedSet(fields) => {
                self.assert_fields(fields, score);
                let mut order: Vec<_> =
                    self.elements.iter().map(|(name, element)| (element.score(), name)).collect();
                order.sort_by(|one, two| one.partial_cmp(two).expect("scores are numbers"));
                let order = order.into_iter().map(|(score, name)| (score, vec![*name]));
                assert!(fields.index().iter().map(|(score, name)| (score, name.to_vec())).eq(order));
            }
        }
    }

    fn text(&self) -> Option<Bytes> {
        let counted = (self.kind == Some(Kind::String)).then(|| self.elements.get(&0)).flatten();
        let base: i128 = match &self.body {
            Body::Value(value) => match counted {
                None => return Some(value.clone()),
                Some(_) => std::str::from_utf8(value).ok()?.parse().ok()?,
            },
            Body::Tombstone => 0,
            Body::Expired => return None,
        };
        let Sum { integer, float } = counted?.total;
        let text = if float == 0.0 {
            (base + integer).to_string()
        } else {
            ((base + integer) as f64 + float).to_string()
        };
        Some(text.into())
    }

    fn assert_fields<P: Payload>(&self, fields: &Fields<P>, value: impl Fn(u8) -> P) {
        assert!(!fields.is_delta());
        assert_eq!(fields.iter(0).count(), self.elements.len());
        let ends = |element: &Element| element.puts.values().any(|put| put.at_ms.is_some());
        assert_eq!(fields.has_expiries(), self.elements.values().any(ends));
        for (name, element) in &self.elements {
            let field: &Field<P> = fields.get(&[*name], 0).expect("the element is there");
            assert_eq!(field.puts().len(), element.puts.len());
            for put in field.puts() {
                let expected = &element.puts[&put.stamp];
                assert_eq!(put.value, value(expected.value));
                assert_eq!(put.expires_at_ms(), expected.at_ms);
            }
            assert_eq!(
                field.top().map(|top| top.stamp),
                element.puts.last_key_value().map(|(stamp, _)| *stamp)
            );
            let counter = field.counter();
            assert_eq!(counter.map(Counter::total).unwrap_or_default(), element.total);
            assert_eq!(counter.is_some_and(Counter::is_active), !element.adds.is_empty());
        }
    }
}

impl Element {
    fn score(&self) -> f64 {
        let put = self.puts.last_key_value().map_or(0.0, |(_, put)| score(put.value).0);
        put + self.total.integer as f64 + self.total.float
    }
}

pub(crate) fn text(value: u8) -> Bytes {
    Bytes::from(value.to_string())
}

/// Quarters, of both signs, are summed exactly.
pub(crate) fn score(value: u8) -> Score {
    Score((f64::from(value) - 100.0) / 4.0)
}
