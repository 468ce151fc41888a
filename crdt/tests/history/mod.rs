//! Random causal histories of one key on a few replicas, each state beside what an oracle says of it.
//!
//! The oracle is built on `crdts::LWWReg` and `crdts::VClock` and forgets nothing. Where an entry must agree
//! with it, [`World`] checks that after every step.

use std::collections::BTreeSet;

use bytes::Bytes;
use crdts::{CmRDT, CvRDT, LWWReg, VClock};
use proptest::prelude::*;
use proptest::sample::Index;
use rumour_crdt::{ActorId, Body, ENTRY_DOTS_LIMIT, Entry, Minter, Stamp, Written};

/// One step of a history. Replicas are numbered modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Set {
        at: usize,
        value: u8,
        ttl_ms: Option<u16>,
    },
    Delete {
        at: usize,
    },
    SetExpiry {
        at: usize,
        ttl_ms: Option<u16>,
    },
    /// The replica drops its value if that is due by its own clock.
    Drop {
        at: usize,
    },
    /// The present state of one replica reaches another.
    Send {
        from: usize,
        to: usize,
    },
    /// Some state that existed at some time arrives late, again or out of order.
    Stray {
        state: Index,
        to: usize,
    },
    /// A new incarnation, which has lost its memory or kept it.
    Restart {
        at: usize,
        keeps_memory: bool,
    },
    Pass {
        ms: u16,
    },
    ClockJump {
        at: usize,
        ms: i32,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let at = || 0..5_usize;
    let ttl_ms = |max_ms: u16| prop::option::weighted(0.8, 0..max_ms);
    let step = prop_oneof![
        3 => (at(), any::<u8>(), ttl_ms(100)).prop_map(|(at, value, ttl_ms)| Step::Set { at, value, ttl_ms }),
        1 => at().prop_map(|at| Step::Delete { at }),
        4 => (at(), ttl_ms(1_000)).prop_map(|(at, ttl_ms)| Step::SetExpiry { at, ttl_ms }),
        4 => at().prop_map(|at| Step::Drop { at }),
        12 => (at(), at()).prop_map(|(from, to)| Step::Send { from, to }),
        4 => (any::<Index>(), at()).prop_map(|(state, to)| Step::Stray { state, to }),
        2 => (at(), any::<bool>()).prop_map(|(at, keeps_memory)| Step::Restart { at, keeps_memory }),
        2 => (0..100_u16).prop_map(|ms| Step::Pass { ms }),
        2 => (at(), -1_000..1_000_i32).prop_map(|(at, ms)| Step::ClockJump { at, ms }),
    ];
    (2..=5_usize, prop::collection::vec(step, 1..100))
}

/// What is true of a state, with nothing forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    /// `None` is a delete.
    pub(crate) value: LWWReg<Option<Bytes>, Stamp>,
    /// Marked by the value's stamp before its own: it never outlives its value.
    pub(crate) expiry: LWWReg<Option<u64>, (Stamp, Stamp)>,
    /// Under which stamps the value was dropped somewhere.
    dropped: BTreeSet<(Stamp, Stamp)>,
    /// All writes of values and deletes that it has seen.
    pub(crate) history: BTreeSet<Stamp>,
    /// The same, as `crdts` tells it.
    pub(crate) clock: VClock<u64>,
}

impl Oracle {
    fn written(value: Option<Bytes>, at_ms: Option<u64>, stamp: Stamp, over: Option<&Self>) -> Self {
        let mut history = over.map_or_else(BTreeSet::new, |over| over.history.clone());
        let mut clock = over.map_or_else(VClock::new, |over| over.clock.clone());
        history.insert(stamp);
        clock.apply(crdts::Dot::new(stamp.actor.get(), stamp.seq));
        Self {
            value: LWWReg { val: value, marker: stamp },
            expiry: LWWReg { val: at_ms, marker: (stamp, stamp) },
            dropped: over.map_or_else(BTreeSet::new, |over| over.dropped.clone()),
            history,
            clock,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        assert_eq!(self.value.validate_merge(&other.value), Ok(()));
        assert_eq!(self.expiry.validate_merge(&other.expiry), Ok(()));
        CvRDT::merge(&mut self.value, other.value.clone());
        CvRDT::merge(&mut self.expiry, other.expiry.clone());
        self.dropped.extend(&other.dropped);
        self.history.extend(&other.history);
        CvRDT::merge(&mut self.clock, other.clock.clone());
    }

    pub(crate) fn body(&self) -> Body {
        match &self.value.val {
            None => Body::Tombstone,
            Some(_) if self.dropped.contains(&self.expiry.marker) => Body::Expired,
            Some(value) => Body::Value(value.clone()),
        }
    }

    fn is_concurrent(&self, other: &Self) -> bool {
        !self.history.contains(&other.value.marker) && !other.history.contains(&self.value.marker)
    }
}

fn written(body: &Body) -> Written {
    match body {
        Body::Value(value) => Written::Value(value.clone()),
        Body::Tombstone => Written::Deleted,
        Body::Expired => Written::Expired,
    }
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) entry: Entry,
    pub(crate) oracle: Oracle,
}

impl State {
    /// Merges both and checks all that is promised of one merge.
    pub(crate) fn merge(&mut self, other: &Self) -> Happened {
        let before = self.clone();
        assert_eq!(self.entry.validate_merge(&other.entry), Ok(()));
        let merged = self.entry.merge(&other.entry);
        self.oracle.merge(&other.oracle);
        self.check();
        before.check_no_return(self);
        assert_eq!(merged.changed, self.entry != before.entry);

        let concurrent = before.oracle.is_concurrent(&other.oracle);
        if concurrent || self.oracle.clock.dots.len() <= ENTRY_DOTS_LIMIT {
            assert_eq!(merged.conflicts == 1, concurrent, "conflicts are missed or made up");
        }
        let (winner, loser) =
            if before.entry.stamp() > other.entry.stamp() { (&before, other) } else { (other, &before) };
        if let Some(conflict) = merged.described.first() {
            let stamps = (winner.entry.stamp(), loser.entry.stamp());
            assert_eq!((conflict.winning.stamp, conflict.losing.stamp), stamps);
            assert_eq!(conflict.losing.written, written(loser.entry.body()));
        }
        Happened {
            conflicts: u32::from(concurrent),
            false_conflicts: u32::from(merged.conflicts > 0 && !concurrent),
            revived: u32::from(
                before.entry.stamp() == self.entry.stamp()
                    && *before.entry.body() == Body::Expired
                    && *self.entry.body() != Body::Expired,
            ),
            absorbed: u32::from(
                before.entry.version() == other.entry.version() && before.entry.body() != other.entry.body(),
            ),
            ..Happened::default()
        }
    }

    /// Checks all that is promised of one state.
    pub(crate) fn check(&self) {
        let (entry, oracle) = (&self.entry, &self.oracle);
        assert_eq!(entry.stamp(), oracle.value.marker);
        assert_eq!((entry.stamp(), entry.expiry().stamp), oracle.expiry.marker);
        assert_eq!(entry.expiry().at_ms, oracle.expiry.val);
        assert_eq!(*entry.body(), oracle.body());
        assert_eq!(oracle.history.last(), Some(&entry.stamp()), "the order of stamps extends causality");

        let seen: Vec<_> = entry.seen().iter().collect();
        assert!(seen.len() <= ENTRY_DOTS_LIMIT);
        assert_eq!(seen.first(), Some(&entry.stamp().dot()));
        for dot in seen {
            assert!(oracle.history.iter().any(|stamp| stamp.dot() == dot), "{dot} was never seen");
        }
        if oracle.clock.dots.len() <= ENTRY_DOTS_LIMIT {
            assert_eq!(entry.seen().to_vclock(), oracle.clock, "nothing had to be forgotten");
        }
    }

    /// What was deleted or dropped does not come back by anything that lies below.
    fn check_no_return(&self, later: &Self) {
        let stamps = |state: &Self| (state.entry.stamp(), state.entry.newest());
        assert!(stamps(self) <= stamps(later));
        if stamps(self) == stamps(later) && !matches!(self.entry.body(), Body::Value(_)) {
            assert_eq!(self.entry.body(), later.entry.body());
        }
    }
}

struct Replica {
    minter: Minter,
    clock_offset_ms: i64,
    state: Option<State>,
}

/// How often something came about, so that a test can tell whether it tested anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) conflicts: u32,
    pub(crate) false_conflicts: u32,
    /// A dropped value came back by a newer expiry, as it must.
    pub(crate) revived: u32,
    /// Only one of two equal versions was dropped.
    pub(crate) absorbed: u32,
    pub(crate) forgotten: u32,
    pub(crate) deletes: u32,
    pub(crate) amnesias: u32,
}

impl std::ops::AddAssign for Happened {
    fn add_assign(&mut self, other: Self) {
        self.conflicts += other.conflicts;
        self.false_conflicts += other.false_conflicts;
        self.revived += other.revived;
        self.absorbed += other.absorbed;
        self.forgotten += other.forgotten;
        self.deletes += other.deletes;
        self.amnesias += other.amnesias;
    }
}

/// The replicas, and every state that was ever to be had.
pub(crate) struct World {
    replicas: Vec<Replica>,
    now_ms: u64,
    next_actor: u64,
    pub(crate) states: Vec<State>,
    pub(crate) happened: Happened,
}

impl World {
    /// Runs a history.
    pub(crate) fn run(replicas: usize, steps: &[Step]) -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            now_ms: 1_000_000,
            next_actor: 0,
            states: Vec::new(),
            happened: Happened::default(),
        };
        for _ in 0..replicas {
            let minter = world.new_minter();
            world.replicas.push(Replica { minter, clock_offset_ms: 0, state: None });
        }
        for step in steps {
            world.step(step);
        }
        world
    }

    fn new_minter(&mut self) -> Minter {
        self.next_actor += 1;
        // Actors are random: their order says nothing about when they came.
        Minter::new(ActorId::new(self.next_actor.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn step(&mut self, step: &Step) {
        let count = self.replicas.len();
        match *step {
            Step::Set { at, value, ttl_ms } => {
                self.write(at % count, Some(Bytes::copy_from_slice(&[value])), ttl_ms);
            }
            Step::Delete { at } => {
                self.happened.deletes += 1;
                self.write(at % count, None, None);
            }
            Step::SetExpiry { at, ttl_ms } => self.set_expiry(at % count, ttl_ms),
            Step::Drop { at } => self.expire(at % count),
            Step::Send { from, to } => {
                let time = self.replicas[from % count].minter.clock().now();
                let state = self.replicas[from % count].state.clone();
                self.hear(to % count, time);
                if let Some(state) = state {
                    self.receive(to % count, &state);
                }
            }
            Step::Stray { state, to } => {
                if !self.states.is_empty() {
                    let state = state.get(&self.states).clone();
                    self.hear(to % count, state.entry.newest().time);
                    self.receive(to % count, &state);
                }
            }
            Step::Restart { at, keeps_memory } => self.restart(at % count, keeps_memory),
            Step::Pass { ms } => self.now_ms += u64::from(ms),
            Step::ClockJump { at, ms } => self.replicas[at % count].clock_offset_ms += i64::from(ms),
        }
    }

    fn wall_ms(&self, at: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.replicas[at].clock_offset_ms)
    }

    fn write(&mut self, at: usize, value: Option<Bytes>, ttl_ms: Option<u16>) {
        let wall_ms = self.wall_ms(at);
        let at_ms = ttl_ms.map(|ttl_ms| wall_ms + u64::from(ttl_ms));
        let replica = &mut self.replicas[at];
        let over = replica.state.as_ref();
        let stamp = replica.minter.mint(wall_ms, over.map(|state| state.entry.newest()));
        if let Some(state) = over {
            assert!(state.oracle.history.iter().all(|&seen| seen < stamp));
            assert!(state.oracle.expiry.marker < (stamp, stamp));
        }
        let entry = match &value {
            Some(value) => Entry::value(value.clone(), at_ms, stamp, over.map(|state| &state.entry)),
            None => Entry::tombstone(stamp, over.map(|state| &state.entry)),
        };
        let oracle = Oracle::written(value, at_ms, stamp, over.map(|state| &state.oracle));
        self.store(at, State { entry, oracle });
    }

    fn set_expiry(&mut self, at: usize, ttl_ms: Option<u16>) {
        self.expire(at);
        let wall_ms = self.wall_ms(at);
        let at_ms = ttl_ms.map(|ttl_ms| wall_ms + u64::from(ttl_ms));
        let replica = &mut self.replicas[at];
        let Some(mut state) = replica.state.clone() else { return };
        let stamp = replica.minter.mint(wall_ms, Some(state.entry.newest()));
        let has_value = matches!(state.oracle.body(), Body::Value(_));
        assert_eq!(state.entry.set_expiry(at_ms, stamp), has_value);
        if has_value {
            state.oracle.expiry.update(at_ms, (state.entry.stamp(), stamp));
        }
        self.store(at, state);
    }

    fn expire(&mut self, at: usize) {
        let wall_ms = self.wall_ms(at);
        let Some(mut state) = self.replicas[at].state.clone() else { return };
        let due = matches!(state.oracle.body(), Body::Value(_))
            && state.oracle.expiry.val.is_some_and(|at_ms| at_ms <= wall_ms);
        assert_eq!(state.entry.expire(wall_ms), due);
        if due {
            state.oracle.dropped.insert(state.oracle.expiry.marker);
        }
        self.store(at, state);
    }

    fn hear(&mut self, at: usize, time: rumour_crdt::Hlc) {
        let wall_ms = self.wall_ms(at);
        self.replicas[at].minter.clock_mut().observe(time, wall_ms, u64::MAX).expect("no limit");
    }

    fn receive(&mut self, at: usize, incoming: &State) {
        let mut state = self.replicas[at].state.clone();
        match &mut state {
            Some(state) => self.happened += state.merge(incoming),
            None => state = Some(incoming.clone()),
        }
        if let Some(state) = state {
            self.store(at, state);
        }
    }

    fn restart(&mut self, at: usize, keeps_memory: bool) {
        self.replicas[at].minter = self.new_minter();
        if !keeps_memory {
            self.happened.amnesias += u32::from(self.replicas[at].state.is_some());
            self.replicas[at].state = None;
        }
        // It serves nothing before it has heard its peers' clocks.
        let times: Vec<_> = self.replicas.iter().map(|replica| replica.minter.clock().now()).collect();
        for time in times {
            self.hear(at, time);
        }
    }

    fn store(&mut self, at: usize, state: State) {
        state.check();
        if let Some(before) = &self.replicas[at].state {
            before.check_no_return(&state);
        }
        self.happened.forgotten += u32::from(state.oracle.clock.dots.len() > ENTRY_DOTS_LIMIT);
        self.replicas[at].state = Some(state.clone());
        self.states.push(state);
    }
}
