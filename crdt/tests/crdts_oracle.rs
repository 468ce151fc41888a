//! Our counter, set and multi-value register beside those of `crdts`, as far as these hold up; and what keeps the
//! others from being used.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use crdts::{CmRDT, CvRDT, LWWReg, MVReg, Map, Orswot, PNCounter, ResetRemove, VClock};
use proptest::prelude::*;
use rumour_crdt::{ActorId, Amount, Counter, Fields, Hlc, Lattice, Origin, Stamp};

const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Add { at: usize, name: u8, by: i8 },
    Remove { at: usize, name: u8 },
    Write { at: usize, value: u8 },
    Merge { from: usize, to: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..REPLICAS;
    let step = prop_oneof![
        3 => (at(), 0..4_u8, any::<i8>()).prop_map(|(at, name, by)| Step::Add { at, name, by }),
        2 => (at(), 0..4_u8).prop_map(|(at, name)| Step::Remove { at, name }),
        2 => (at(), any::<u8>()).prop_map(|(at, value)| Step::Write { at, value }),
        3 => (at(), at()).prop_map(|(from, to)| Step::Merge { from, to }),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Clone, Default)]
struct Ours {
    counter: Counter,
    members: Fields<()>,
    values: Fields<Bytes>,
}

#[derive(Clone)]
struct Theirs {
    counter: PNCounter<u64>,
    members: Orswot<u8, u64>,
    values: MVReg<u8, u64>,
}

impl Ours {
    fn assert_is(&self, theirs: &Theirs) {
        assert_eq!(self.counter.total().integer.to_string(), theirs.counter.read().to_string());
        let members: BTreeSet<u8> = self.members.iter(0).map(|(name, _)| name[0]).collect();
        assert_eq!(members, theirs.members.read().val.into_iter().collect());
        let mut values: BTreeMap<u8, usize> = BTreeMap::new();
        for value in theirs.values.read().val {
            *values.entry(value).or_default() += 1;
        }
        for put in self.values.get(b"", 0).into_iter().flat_map(rumour_crdt::Field::puts) {
            let left = values.get_mut(&put.value[0]).expect("they have it too");
            *left -= 1;
        }
        assert!(values.values().all(|left| *left == 0), "they have no more");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_crdts_does(steps in steps()) {
        let theirs = Theirs { counter: PNCounter::new(), members: Orswot::new(), values: MVReg::new() };
        let mut ours: [Ours; REPLICAS] = Default::default();
        let mut theirs: [Theirs; REPLICAS] = std::array::from_fn(|_| theirs.clone());
        for (seq, step) in (1..).zip(steps) {
            let origin = |at: usize| {
                let actor = ActorId::new(at as u64);
                Origin { stamp: Stamp { time: Hlc::from_bits(seq), actor, seq }, unbroken_since: 0 }
            };
            match step {
                Step::Add { at, name, by } => {
                    ours[at].counter.add(Amount::Integer(by.into()), origin(at));
                    ours[at].members.put(&[name], (), None, origin(at), &mut Fields::delta());
                    let (actor, theirs) = (at as u64, &mut theirs[at]);
                    let op = if by < 0 {
                        theirs.counter.dec_many(actor, by.unsigned_abs().into())
                    } else {
                        theirs.counter.inc_many(actor, by.unsigned_abs().into())
                    };
                    theirs.counter.apply(op);
                    let context = theirs.members.read_ctx().derive_add_ctx(actor);
                    theirs.members.apply(theirs.members.add(name, context));
                }
                Step::Remove { at, name } => {
                    ours[at].members.remove(&[name], &mut Fields::delta());
                    let context = theirs[at].members.contains(&name).derive_rm_ctx();
                    let op = theirs[at].members.rm(name, context);
                    theirs[at].members.apply(op);
                }
                Step::Write { at, value } => {
                    let value_bytes = Bytes::copy_from_slice(&[value]);
                    ours[at].values.put(b"", value_bytes, None, origin(at), &mut Fields::delta());
                    let context = theirs[at].values.read_ctx().derive_add_ctx(at as u64);
                    let op = theirs[at].values.write(value, context);
                    theirs[at].values.apply(op);
                }
                Step::Merge { from, to } => {
                    let (our, their) = (ours[from].clone(), theirs[from].clone());
                    ours[to].counter.join(&our.counter);
                    ours[to].members.join(&our.members);
                    ours[to].values.join(&our.values);
                    theirs[to].counter.merge(their.counter);
                    theirs[to].members.merge(their.members);
                    theirs[to].values.merge(their.values);
                }
            }
            for (ours, theirs) in ours.iter().zip(&theirs) {
                ours.assert_is(theirs);
            }
        }
    }
}

/// Why maps are ours: theirs refuses an actor's second key, as it wants the key's own clock to have no gap.
#[test]
fn their_map_refuses_a_second_key() {
    let mut map: Map<&str, MVReg<u8, u64>, u64> = Map::new();
    let set = |map: &Map<&'static str, MVReg<u8, u64>, u64>, key: &'static str| {
        let context = map.read_ctx().derive_add_ctx(1);
        map.update(key, context, |register, context| register.write(7, context))
    };
    let first = set(&map, "a");
    assert!(map.validate_op(&first).is_ok());
    map.apply(first);
    assert!(map.validate_op(&set(&map, "b")).is_err());
}

/// Why multi-value registers are ours: after a reset, theirs shows a value beside the one that it was replaced by.
#[test]
fn their_register_shows_a_dominated_value_after_a_reset() {
    let mut old = MVReg::<u8, u64>::new();
    old.apply(old.write(1, old.read_ctx().derive_add_ctx(1)));
    let mut new = old.clone();
    new.apply(new.write(2, new.read_ctx().derive_add_ctx(2)));
    let mut merged = old.clone();
    merged.merge(new.clone());
    assert_eq!(merged.read().val, [2], "the second was written over the first");
    let reset: VClock<u64> = [crdts::Dot::new(1, 1)].into_iter().collect();
    new.reset_remove(&reset);
    old.merge(new);
    let mut values = old.read().val;
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
}

/// Why registers are ours: under one marker each keeps its own.
#[test]
fn their_last_writer_register_diverges_on_a_contradiction() {
    let (mut one, mut two) = (LWWReg { val: 1, marker: 7 }, LWWReg { val: 2, marker: 7 });
    assert!(one.validate_merge(&two).is_err());
    let before = one.clone();
    CvRDT::merge(&mut one, two.clone());
    CvRDT::merge(&mut two, before);
    assert_ne!(one, two);
}

/// Why sets are ours: theirs keeps each removal that comes before what it removes.
#[test]
fn their_set_keeps_early_removals() {
    let mut set: Orswot<u8, u64> = Orswot::new();
    let mut removals: BTreeSet<usize> = BTreeSet::new();
    for counter in 1..=50 {
        let clock: VClock<u64> = [crdts::Dot::new(1, counter)].into_iter().collect();
        set.apply(crdts::orswot::Op::Rm { clock, members: vec![0] });
        removals.insert(format!("{set:?}").len());
    }
    assert_eq!(removals.len(), 50, "it grows with each");
}
