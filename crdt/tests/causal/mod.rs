//! Random causal histories of one key that holds contributions, each state beside the operations that it has
//! received.
//!
//! Replicas write whatever they like, forget, restart, and send each other whole states and deltas, which get
//! lost, arrive twice, late, or joined with each other. [`World`] compares every state with what [`oracle`] says.

pub(crate) mod oracle;
mod steps;

use std::collections::BTreeMap;

use bytes::Bytes;
use crdts::CvRDT;
use oracle::{Change, Element, Ids, Op, Seen, What, score, seen, text};
use rumour_crdt::{
    ActorId, Amount, Body, Contents, Data, Dot, Entry, ExpiryPolicy, Fields, Kind, Lattice, Merged, Minter,
    Origin, Payload, Stamp,
};
pub(crate) use steps::{Action, Step, steps};

/// A state or a delta, and the operations that it tells of.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) entry: Entry,
    pub(crate) ids: Ids,
    /// Of what its vector may know: all that its writer had received.
    pub(crate) known: Ids,
}

struct Replica {
    minter: Minter,
    /// The last sequence that it used.
    seq: u64,
    /// See [`Origin::unbroken_since`].
    unbroken_since: u64,
    flushed: Stamp,
    clock_offset_ms: i64,
    state: Option<State>,
}

/// How often something came about, so that a test can tell whether it tested anything.
pub(crate) type Happened = BTreeMap<&'static str, u32>;

/// The replicas, and every message that was ever sent.
pub(crate) struct World {
    replicas: Vec<Replica>,
    now_ms: u64,
    next_actor: u64,
    pub(crate) log: Vec<Op>,
    /// Whole states and deltas as writes made them: together they tell of every operation.
    pub(crate) messages: Vec<State>,
    /// Every state that a replica was ever in.
    pub(crate) states: Vec<State>,
    /// The epoch that followed the expiry of an epoch.
    after: BTreeMap<(Stamp, Stamp), Stamp>,
    evicted: bool,
    pub(crate) happened: Happened,
}

impl World {
    pub(crate) fn run(replicas: usize, steps: &[Step]) -> Self {
        let mut world = Self {
            replicas: Vec::new(),
            now_ms: 1_000_000,
            next_actor: 0,
            log: Vec::new(),
            messages: Vec::new(),
            states: Vec::new(),
            after: BTreeMap::new(),
            evicted: false,
            happened: Happened::new(),
        };
        for _ in 0..replicas {
            let minter = world.new_minter();
            let replica = Replica {
                minter,
                seq: 0,
                unbroken_since: 0,
                flushed: Stamp::ZERO,
                clock_offset_ms: 0,
                state: None,
            };
            world.replicas.push(replica);
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

    fn count(&mut self, what: &'static str, times: bool) {
        *self.happened.entry(what).or_default() += u32::from(times);
    }

    fn step(&mut self, step: &Step) {
        let count = self.replicas.len();
        match *step {
            Step::Contribute { at, kind, action } => self.contribute(at % count, kind, action),
            Step::Set { at, value, ttl_ms } => {
                self.write(at % count, Some(Bytes::from(value.to_string())), ttl_ms);
            }
            Step::Delete { at } => self.write(at % count, None, None),
            Step::SetExpiry { at, ttl_ms, policy } => self.set_expiry(at % count, ttl_ms, policy),
            Step::Drop { at } => {
                self.drop_due(at % count);
            }
            Step::Send { from, to } => {
                if let Some(state) = self.replicas[from % count].state.clone() {
                    self.hear(to % count, from % count);
                    self.receive(to % count, &state);
                }
            }
            Step::Deliver { message, to } => {
                if !self.messages.is_empty() {
                    let message = message.get(&self.messages).clone();
                    self.count("stray deltas", message.entry.is_delta());
                    self.receive(to % count, &message);
                }
            }
            Step::DeliverLatest { to } => {
                if let Some(message) = self.messages.last().cloned() {
                    self.receive(to % count, &message);
                }
            }
            Step::Queue { one, two } => {
                if !self.messages.is_empty() {
                    let mut one = one.get(&self.messages).clone();
                    let two = two.get(&self.messages).clone();
                    self.count("joined deltas", one.entry.is_delta() && two.entry.is_delta());
                    self.merge(&mut one, &two);
                    self.messages.push(one);
                }
            }
            Step::Evict { at } => {
                let replica = &mut self.replicas[at % count];
                replica.unbroken_since = replica.seq;
                let there = replica.state.take().is_some();
                self.evicted |= there;
                self.count("evictions", there);
            }
            Step::Restart { at, keeps_memory } => {
                let minter = self.new_minter();
                let replica = &mut self.replicas[at % count];
                (replica.minter, replica.seq, replica.unbroken_since) = (minter, 0, 0);
                if !keeps_memory {
                    let there = replica.state.take().is_some();
                    self.count("amnesias", there);
                }
                (0..count).for_each(|from| self.hear(at % count, from));
            }
            Step::Flush { at } => {
                let stamp = self.mint(at % count, Stamp::ZERO);
                self.flush(at % count, stamp);
            }
            Step::Pass { ms } => self.now_ms += u64::from(ms),
            Step::ClockJump { at, ms } => self.replicas[at % count].clock_offset_ms += i64::from(ms),
        }
    }

    fn wall_ms(&self, at: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.replicas[at].clock_offset_ms)
    }

    fn mint(&mut self, at: usize, above: Stamp) -> Stamp {
        let wall_ms = self.wall_ms(at);
        let stamp = self.replicas[at].minter.mint(wall_ms, Some(above));
        self.replicas[at].seq = stamp.seq;
        stamp
    }

    /// The clock and the flushes of the sender.
    fn hear(&mut self, at: usize, from: usize) {
        let (time, flushed) = (self.replicas[from].minter.clock().now(), self.replicas[from].flushed);
        self.observe(at, time);
        if flushed > self.replicas[at].flushed {
            self.flush(at, flushed);
        }
    }

    fn observe(&mut self, at: usize, time: rumour_crdt::Hlc) {
        let wall_ms = self.wall_ms(at);
        self.replicas[at].minter.clock_mut().observe(time, wall_ms, u64::MAX).expect("no limit");
    }

    fn flush(&mut self, at: usize, stamp: Stamp) {
        let replica = &mut self.replicas[at];
        replica.flushed = stamp;
        if replica.state.as_ref().is_some_and(|state| state.entry.stamp() < stamp) {
            replica.state = None;
            replica.unbroken_since = replica.seq;
            self.evicted = true;
            self.count("flushes of something", true);
        }
    }

    fn record(&mut self, op: Op) -> usize {
        self.log.push(op);
        self.log.len() - 1
    }

    /// What a header of the present epoch tells of.
    fn header(&self, ids: &Ids) -> Ids {
        let epoch = seen(&self.log, ids).epoch;
        let header = |id: &usize| {
            let op = &self.log[*id];
            op.epoch == epoch && !matches!(op.what, What::Contribution { .. })
        };
        Ids::of(ids.iter().filter(header))
    }

    fn send_delta(&mut self, at: usize, contents: Contents, ops: &[usize]) {
        let Some(state) = self.replicas[at].state.clone() else { return };
        let mut ids = self.header(&state.ids);
        ops.iter().for_each(|op| ids.insert(*op));
        self.messages.push(State { entry: state.entry.with_contents(contents), ids, known: state.known });
    }

    fn send_whole(&mut self, at: usize) {
        self.messages.extend(self.replicas[at].state.clone());
    }

    fn write(&mut self, at: usize, body: Option<Bytes>, ttl_ms: Option<u16>) {
        let at_ms = ttl_ms.map(|ttl_ms| self.wall_ms(at) + u64::from(ttl_ms));
        let over = self.replicas[at].state.clone();
        let stamp = self.mint(at, over.as_ref().map_or(Stamp::ZERO, |state| state.entry.newest()));
        let under = over.as_ref().map(|state| &state.entry);
        let entry = match &body {
            Some(body) => Entry::value(body.clone(), at_ms, stamp, under),
            None => Entry::tombstone(stamp, under),
        };
        let id = self.record(Op { epoch: stamp, stamp, what: What::Write { body, at_ms } });
        let (mut ids, known) = over.map_or_else(Default::default, |state| (state.ids, state.known));
        ids.insert(id);
        self.count("contents replaced", under_contents(&ids, &self.log));
        self.store(at, State { entry, ids, known });
        self.send_whole(at);
    }

    fn set_expiry(&mut self, at: usize, ttl_ms: Option<u16>, policy: ExpiryPolicy) {
        self.drop_due(at);
        let at_ms = ttl_ms.map(|ttl_ms| self.wall_ms(at) + u64::from(ttl_ms));
        let Some(mut state) = self.replicas[at].state.clone() else { return };
        let now = seen(&self.log, &state.ids);
        let stamp = self.mint(at, state.entry.newest());
        assert_eq!(state.entry.set_expiry_by(policy, at_ms, stamp), now.is_visible());
        if !now.is_visible() {
            return;
        }
        let known = self.header(&state.ids);
        let what = What::Expiry { at_ms, kind: now.kind, policy, known };
        let id = self.record(Op { epoch: now.epoch, stamp, what });
        state.ids.insert(id);
        self.store(at, state);
        match now.kind {
            Some(kind) => self.send_delta(at, Contents::delta(kind), &[id]),
            None => self.send_whole(at),
        }
    }

    /// Drops what is due, and tells of it by a whole state.
    fn drop_due(&mut self, at: usize) {
        let wall_ms = self.wall_ms(at);
        let Some(mut state) = self.replicas[at].state.clone() else { return };
        let now = seen(&self.log, &state.ids);
        let expires = now.body != Body::Expired && now.at_ms.is_some_and(|at_ms| at_ms <= wall_ms);
        let version = state.entry.version();
        assert_eq!(state.entry.expire(wall_ms), expires);
        assert_eq!(state.entry.version(), version);
        if expires {
            let what = What::Expired { by: now.expiry_stamp };
            let id = self.record(Op { epoch: now.epoch, stamp: now.expiry_stamp, what });
            state.ids.insert(id);
            self.count("expired contents", !now.elements.is_empty());
        }
        let mut kills = Ids::default();
        if now.kind == Some(Kind::Map) {
            for element in now.elements.values().filter(|element| element.is_due(wall_ms)) {
                let end_ms = element.puts.last_key_value().and_then(|(_, put)| put.at_ms);
                for op in self.rows_of(element, &state.ids).iter() {
                    let begun = match &self.log[op].what {
                        What::Contribution { change: Change::Add { birth, .. }, .. } => *birth,
                        _ => op,
                    };
                    let is_put = begun == op
                        && !matches!(
                            &self.log[op].what,
                            What::Contribution { change: Change::Add { .. }, .. }
                        );
                    if is_put || Some(self.log[begun].stamp.time.millis()) < end_ms {
                        kills.insert(op);
                    }
                }
            }
        }
        let purges = kills != Ids::default();
        assert_eq!(state.entry.purge(wall_ms), purges);
        if purges {
            let what = What::Contribution { kind: Kind::Map, change: Change::Kill(kills) };
            let id = self.record(Op { epoch: now.epoch, stamp: now.epoch, what });
            state.ids.insert(id);
            self.count("elements purged", true);
        }
        if expires || purges {
            self.store(at, state);
            self.send_whole(at);
        }
    }

    fn ground(&mut self, at: usize, kind: Kind) -> State {
        let present = self.replicas[at].state.clone();
        let nothing = self.replicas[at].flushed;
        let before = present.as_ref().map(|state| (seen(&self.log, &state.ids), state.entry.clone()));
        let wall_ms = self.wall_ms(at);
        let replica = &mut self.replicas[at];
        let mut minted = None;
        let entry =
            Entry::ground(present.as_ref().map(|state| state.entry.clone()), kind, nothing, |above| {
                let stamp = replica.minter.mint(wall_ms, Some(above));
                replica.seq = stamp.seq;
                minted = Some(stamp);
                stamp
            });
        let (mut ids, known) = present.map_or_else(Default::default, |state| (state.ids, state.known));
        let Some((before, old)) = before else {
            assert_eq!((entry.stamp(), minted), (nothing, None));
            return State { entry, ids, known };
        };
        if before.body == Body::Expired {
            assert!(minted.is_none() && entry.stamp() > old.stamp() && entry.stamp() > before.expiry_stamp);
            assert!(Some(entry.stamp().time.millis()) >= before.at_ms, "above the end");
            let after = *self.after.entry((before.epoch, before.expiry_stamp)).or_insert(entry.stamp());
            assert_eq!(after, entry.stamp(), "who saw the same expiry comes to the same epoch");
            let same = self.after.values().filter(|stamp| **stamp == after).count();
            assert_eq!(same, 1, "and to no other's");
            self.count("epochs after an expiry", true);
        } else if before.kind.is_some_and(|before| before != kind) {
            assert_eq!(Some(entry.stamp()), minted);
            self.count("types changed", true);
        } else {
            assert_eq!(entry.stamp(), old.stamp());
            if let Some(stamp) = minted {
                assert!(!before.is_visible() && before.at_ms.is_some());
                let known = self.header(&ids);
                let policy = ExpiryPolicy::LastWriter;
                let what = What::Expiry { at_ms: None, kind: Some(kind), policy, known };
                let id = self.record(Op { epoch: before.epoch, stamp, what });
                ids.insert(id);
                self.count("ends of emptied collections lifted", true);
            }
        }
        State { entry, ids, known }
    }

    fn contribute(&mut self, at: usize, kind: Kind, action: Action) {
        self.drop_due(at);
        let wall_ms = self.wall_ms(at);
        let held = self.replicas[at].state.as_ref().and_then(|state| state.entry.kind(wall_ms));
        let kind = held.unwrap_or(kind);
        let mut state = self.ground(at, kind);
        let now = seen(&self.log, &state.ids);
        // After an expiry the operations begin another epoch.
        let epoch = state.entry.stamp();
        let element = match action {
            _ if matches!(kind, Kind::String | Kind::Values) => 0,
            Action::Put { name, .. }
            | Action::Add { name, .. }
            | Action::Remove { name }
            | Action::Expire { name, .. } => name,
        };
        let present = now.elements.get(&element).filter(|_| now.epoch == epoch).cloned().unwrap_or_default();
        let kills = self.rows_of(&present, &state.ids);
        let stamp = self.mint(at, state.entry.newest());
        let origin = Origin { stamp, unbroken_since: self.replicas[at].unbroken_since };
        let mut delta = Contents::delta(kind);
        let Some(contents) = state.entry.contents_mut() else { panic!("it was grounded") };
        let act = Act { element, action, wall_ms, origin };
        let changed = match (contents.data_mut(stamp), delta.data_mut(stamp)) {
            (Data::Counter(counter), Data::Counter(delta)) => match action {
                Action::Remove { .. } => counter.clear().map(|cleared| delta.join(&cleared)).is_some(),
                Action::Put { value, .. } => {
                    delta.join(&counter.add(Amount::Integer(i64::from(value)), origin));
                    true
                }
                Action::Add { quarters, .. } => {
                    delta.join(&counter.add(amount(quarters), origin));
                    true
                }
                Action::Expire { .. } => false,
            },
            (Data::Values(fields), Data::Values(delta)) => act.on(fields, delta, text),
            (Data::Map(fields), Data::Map(delta)) => act.on(fields, delta, text),
            (Data::Set(fields), Data::Set(delta)) => act.on(fields, delta, |_| ()),
            (Data::SortedSet(fields), Data::SortedSet(delta)) => act.on(fields, delta, score),
            _ => panic!("it was grounded as {kind:?}"),
        };
        let there = !present.puts.is_empty() || !present.adds.is_empty();
        let expected = match action {
            Action::Remove { .. } => there,
            Action::Expire { .. } => kind != Kind::String && !present.puts.is_empty(),
            Action::Put { .. } | Action::Add { .. } => true,
        };
        assert_eq!(changed, expected, "{action:?} of {present:?}");
        if !changed {
            return;
        }
        let mut ops = Vec::new();
        let mut record = |world: &mut Self, change| {
            let what = What::Contribution { kind, change };
            let id = world.record(Op { epoch, stamp, what });
            ops.push(id);
            id
        };
        match action {
            Action::Put { value, .. } if kind == Kind::String => {
                let add =
                    self.increment(&state.ids, epoch, kind, element, Amount::Integer(value.into()), origin);
                record(self, add);
            }
            Action::Add { quarters, .. } => {
                let add = self.increment(&state.ids, epoch, kind, element, amount(quarters), origin);
                record(self, add);
            }
            Action::Put { value, .. } => {
                record(self, Change::Kill(kills));
                record(self, Change::Put { name: element, value, at_ms: act.at_ms() });
            }
            Action::Remove { .. } => {
                record(self, Change::Kill(kills));
            }
            Action::Expire { .. } => {
                let (_, top) = present.puts.last_key_value().expect("there is a put");
                record(self, Change::PutExpiry { put: top.op, at_ms: act.at_ms() });
                ops.push(top.op);
            }
        }
        ops.iter().for_each(|id| state.ids.insert(*id));
        // A delta of a counter tells of all that its share holds.
        if let Some(What::Contribution { change: Change::Add { birth, .. }, .. }) =
            ops.first().map(|id| &self.log[*id].what)
        {
            let birth = *birth;
            let in_share = |id: &usize| {
                matches!(&self.log[*id].what,
                    What::Contribution { change: Change::Add { birth: other, .. }, .. } if *other == birth)
            };
            ops.extend(state.ids.iter().filter(in_share));
        }
        self.count("contributions to hidden or nothing", held.is_none());
        self.count("concurrent puts replaced", present.puts.len() > 1);
        self.store(at, state);
        self.send_delta(at, delta, &ops);
    }

    /// What a removal of the element takes away: its puts, and rows of increments as a whole, also where another
    /// removal took a part of them away before.
    fn rows_of(&self, element: &Element, ids: &Ids) -> Ids {
        let birth_of = |id: usize| match &self.log[id].what {
            What::Contribution { change: Change::Add { birth, .. }, .. } => Some(*birth),
            _ => None,
        };
        let births: Vec<_> = element.adds.iter().map(|id| birth_of(*id)).collect();
        Ids::of(
            element
                .ops()
                .chain(ids.iter().filter(|id| birth_of(*id).is_some() && births.contains(&birth_of(*id)))),
        )
    }

    /// An increment continues the row of its actor's last one, if the actor remembers that, and nothing that the
    /// actor has seen took away from the row.
    fn increment(
        &mut self,
        ids: &Ids,
        epoch: Stamp,
        kind: Kind,
        element: u8,
        by: Amount,
        origin: Origin,
    ) -> Change {
        let change_of = |id: usize| match &self.log[id].what {
            What::Contribution { kind: of, change } if self.log[id].epoch == epoch && *of == kind => {
                Some(change)
            }
            _ => None,
        };
        let rows = ids.iter().filter_map(|id| match change_of(id)? {
            Change::Add { name, birth, .. } if *name == element => Some((id, *birth)),
            _ => None,
        });
        let rows: Vec<(usize, usize)> = rows.collect();
        let own = |id: usize| self.log[id].stamp.actor == origin.stamp.actor;
        let last = rows.iter().filter(|(id, _)| own(*id)).max_by_key(|(id, _)| self.log[*id].stamp.seq);
        let killed = |birth: usize| {
            ids.iter().any(|id| match change_of(id) {
                Some(Change::Kill(kills)) => kills.iter().any(
                    |id| matches!(change_of(id), Some(Change::Add { birth: other, .. }) if *other == birth),
                ),
                _ => false,
            })
        };
        let last = last.filter(|(id, _)| self.log[*id].stamp.seq > origin.unbroken_since);
        let last = last.filter(|(_, birth)| !killed(*birth));
        let birth = last.map_or(self.log.len(), |(_, birth)| *birth);
        let (integer, float) = match by {
            Amount::Integer(by) => (by, 0.0),
            Amount::Float(by) => (0, by),
        };
        Change::Add { name: element, integer, float, birth }
    }

    /// Merges and checks all that is promised of one merge.
    pub(crate) fn merge(&mut self, into: &mut State, from: &State) {
        let before = into.clone();
        assert_eq!(into.entry.validate_merge(&from.entry), Ok(()));
        let merged = into.entry.merge(&from.entry);
        into.ids.join(&from.ids);
        into.known.join(&from.known);
        assert_eq!(merged.changed, into.entry != before.entry, "{:?} and {:?}", before.entry, from.entry);
        self.check_conflicts(&before, from, &merged);
        if into.entry.is_delta() {
            return;
        }
        if from.entry.is_delta() {
            let (mut whole, mut settled) = (before.entry.clone(), from.entry.clone());
            settled.settle();
            let _ = whole.merge(&settled);
            assert!(
                whole.equivalent(&into.entry),
                "a delta says what the state of its operations alone says"
            );
        }
    }

    fn check_conflicts(&mut self, before: &State, from: &State, merged: &Merged) {
        let (one, two) = (seen(&self.log, &before.ids), seen(&self.log, &from.ids));
        let epochs_differ = one.epoch != two.epoch;
        let lower = if (one.epoch, one.kind) < (two.epoch, two.kind) {
            (&one, before, from)
        } else {
            (&two, from, before)
        };
        let (loser, losing, winning) = lower;
        let known = |id: usize| winning.known.contains(id);
        // An actor's later write, also one that is only known to be gone, counts as having seen its earlier ones.
        let mut met: Vec<Dot> = Vec::new();
        for id in winning.known.iter() {
            let op = &self.log[id];
            met.extend([op.stamp.dot(), op.epoch.dot()]);
            if let What::Contribution { change: Change::Kill(kills), .. } = &op.what {
                met.extend(kills.iter().map(|id| self.log[id].stamp.dot()));
            }
        }
        let outdone = |id: usize| {
            let dot = self.log[id].stamp.dot();
            met.iter().any(|other| other.actor == dot.actor && other.seq >= dot.seq)
        };
        let written = losing.ids.iter().filter(|id| self.log[*id].epoch == loser.epoch);
        let written = written.filter(|id| matches!(self.log[*id].what, What::Write { .. }));
        let live = loser.elements.values().flat_map(Element::ops);
        let mut lost =
            written.filter(|_| epochs_differ).chain(live).filter(|id| !known(*id) && !outdone(*id));
        if (epochs_differ || one.kind != two.kind) && !self.evicted && lost.next().is_some() {
            assert!(merged.conflicts > 0, "a loss was missed: {:?} {:?}", before.entry, from.entry);
            self.count("conflicts between epochs", epochs_differ);
            self.count("conflicts between types", !epochs_differ);
        }
        if !epochs_differ && one.kind == two.kind {
            assert!(merged.conflicts == 0 || matches!(one.kind, Some(Kind::Map | Kind::SortedSet)));
            self.count("conflicts of elements", merged.conflicts > 0);
        }
        let mut actors: Vec<_> = met.iter().map(|dot| dot.actor).collect();
        actors.sort_unstable();
        actors.dedup();
        let forgets = actors.len() > rumour_crdt::ENTRY_DOTS_LIMIT;
        if losing.ids.is_subset(&winning.ids) && !epochs_differ && !forgets {
            assert_eq!(merged.conflicts, 0, "nothing was lost that the winner had not seen");
        }
    }

    fn receive(&mut self, at: usize, incoming: &State) {
        if incoming.entry.stamp() < self.replicas[at].flushed {
            return;
        }
        // What is received is not ahead of the receiver's clock afterwards.
        self.observe(at, incoming.entry.newest().time.max(incoming.entry.stamp().time));
        let state = match self.replicas[at].state.clone() {
            Some(mut state) => {
                let revived = *state.entry.body() == Body::Expired;
                self.merge(&mut state, incoming);
                let revived = revived && *state.entry.body() != Body::Expired;
                self.count("hidden contents shown again", revived && state.entry.contents().is_some());
                state
            }
            None => {
                let mut state = incoming.clone();
                state.entry.settle();
                state
            }
        };
        self.store(at, state);
    }

    fn store(&mut self, at: usize, mut state: State) {
        let ids = state.ids;
        state.known.join(&ids);
        let now = seen(&self.log, &state.ids);
        now.assert_is(&state.entry);
        self.count("rival ends", now.rivals > 1);
        self.count(
            "elements with concurrent puts",
            now.elements.values().any(|element| element.puts.len() > 1),
        );
        self.count(
            "elements put and counted",
            now.elements.values().any(|e| !e.puts.is_empty() && !e.adds.is_empty()),
        );
        self.replicas[at].state = Some(state.clone());
        self.states.push(state);
    }

    /// Whether ends were set under other policies than the last writer's.
    pub(crate) fn has_rivals(&self, ids: &Ids) -> bool {
        ids.iter().any(|id| match self.log[id].what {
            What::Expiry { policy, .. } => policy != ExpiryPolicy::LastWriter,
            _ => false,
        })
    }

    /// What a state that has received these operations holds.
    pub(crate) fn seen(&self, ids: &Ids) -> Seen {
        seen(&self.log, ids)
    }
}

fn under_contents(ids: &Ids, log: &[Op]) -> bool {
    ids.iter().any(|id| matches!(log[id].what, What::Contribution { .. }))
}

fn amount(quarters: i8) -> Amount {
    if quarters % 3 == 0 {
        Amount::Float(f64::from(quarters) / 4.0)
    } else {
        Amount::Integer(quarters.into())
    }
}

struct Act {
    element: u8,
    action: Action,
    wall_ms: u64,
    origin: Origin,
}

impl Act {
    fn at_ms(&self) -> Option<u64> {
        match self.action {
            Action::Put { ttl_ms, .. } | Action::Expire { ttl_ms, .. } => {
                ttl_ms.map(|ttl_ms| self.wall_ms + u64::from(ttl_ms))
            }
            _ => None,
        }
    }

    fn on<P: Payload>(&self, fields: &mut Fields<P>, delta: &mut Fields<P>, value: impl Fn(u8) -> P) -> bool {
        let name = [self.element];
        match self.action {
            Action::Put { value: put, .. } => {
                fields.put(&name, value(put), self.at_ms(), self.origin, delta);
                true
            }
            Action::Add { quarters, .. } => {
                fields.add(&name, amount(quarters), self.origin, delta);
                true
            }
            Action::Remove { .. } => fields.remove(&name, delta),
            Action::Expire { .. } => fields.set_expiry(&name, self.at_ms(), self.origin.stamp, delta),
        }
    }
}
