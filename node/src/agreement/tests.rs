use std::collections::BTreeMap;
use std::num::NonZeroU16;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::placement::{Lineage, Replicas, RingEpoch, Share};

fn share(incarnation: u64, weight: u16) -> Share {
    Share {
        // Of every ten incarnations those of one unit digit are the same node, started anew.
        node: format!("n{}", incarnation % 10).parse().expect("a name"),
        incarnation,
        weight: NonZeroU16::new(weight).expect("a weight"),
        zone: String::new(),
    }
}

fn lineage(founder: u64) -> Lineage {
    Lineage { founded_ms: 1, founder, alone: false }
}

fn first(members: u64) -> Configuration {
    changed(1, (1..=members).map(|incarnation| share(incarnation, 1)).collect())
}

/// The latest of these numbers, in its first generation.
fn changed(number: u64, members: Vec<Share>) -> Configuration {
    of_lineage(7, number, members)
}

fn of_lineage(founder: u64, number: u64, members: Vec<Share>) -> Configuration {
    let epoch = RingEpoch { number, ..RingEpoch::FIRST };
    Configuration::new(lineage(founder), epoch, Replicas::All, members).expect("it is one")
}

/// What a random schedule does.
#[derive(Debug, Clone)]
enum Event {
    /// An incarnation proposes a change of this member.
    Propose {
        by: u8,
        member: u8,
    },
    /// An incarnation recovers what a majority has died of.
    Recover(u8),
    /// A message arrives, or is lost, or arrives and may do so again.
    Deliver(prop::sample::Index),
    Lose(prop::sample::Index),
    Repeat(prop::sample::Index),
    /// An incarnation dies; the node starts anew, knowing nothing.
    Restart(u8),
    /// An incarnation tells another what it knows to be agreed.
    Tell {
        from: u8,
        to: u8,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (0..7_u8, 0..7_u8).prop_map(|(by, member)| Event::Propose { by, member }),
        2 => (0..7_u8).prop_map(Event::Recover),
        30 => index().prop_map(Event::Deliver),
        3 => index().prop_map(Event::Lose),
        4 => index().prop_map(Event::Repeat),
        1 => (0..7_u8).prop_map(Event::Restart),
        2 => (0..7_u8, 0..7_u8).prop_map(|(from, to)| Event::Tell { from, to }),
    ]
}

#[derive(Debug, Clone)]
enum Message {
    /// From this incarnation, to whoever runs under the name of the one that is meant.
    Request(u64, Request),
    /// To this incarnation.
    Reply(u64, Request, Reply),
}

/// One running incarnation.
struct Node {
    acceptor: Acceptor,
    proposal: Option<Proposal>,
}

/// Seven nodes and what is under way between them.
struct World {
    /// The running incarnation of each.
    nodes: Vec<u64>,
    running: BTreeMap<u64, Node>,
    messages: Vec<Message>,
    /// Of each epoch what was agreed on, whoever came to know it.
    agreed: BTreeMap<RingEpoch, Configuration>,
}

impl World {
    fn new(members: u64) -> Self {
        let mut world = Self {
            nodes: (1..=7).collect(),
            running: BTreeMap::new(),
            messages: Vec::new(),
            agreed: BTreeMap::new(),
        };
        for incarnation in 1..=7 {
            world.start(incarnation);
        }
        for incarnation in 1..=members {
            world.learn(incarnation, &first(members));
        }
        world
    }

    fn start(&mut self, incarnation: u64) {
        self.running.insert(incarnation, Node { acceptor: Acceptor::new(incarnation), proposal: None });
    }

    fn learn(&mut self, incarnation: u64, configuration: &Configuration) {
        let known = self.agreed.entry(configuration.epoch()).or_insert_with(|| configuration.clone());
        assert_eq!(known, configuration, "one configuration for each epoch");
        if let Some(node) = self.running.get_mut(&incarnation) {
            assert_ne!(node.acceptor.learn(configuration), Learned::Foreign);
        }
    }

    /// Has a running node propose to take this incarnation in, or out if it is in.
    fn propose(&mut self, by: u64, member: u64) {
        let Some(node) = self.running.get_mut(&by) else { return };
        let Some(base) = node.acceptor.agreed().cloned() else { return };
        let named = base.names(member);
        let mut members = base.members().to_vec();
        members.retain(|present| present.node != share(member, 1).node);
        if !named || members.is_empty() {
            members.push(share(member, if named { 2 } else { 1 }));
        }
        let wish = base.followed_by(members).expect("it is one");
        node.proposal = Proposal::new(&mut node.acceptor, wish);
        self.ask(by);
    }

    /// Has a running node recover, if it has to: who does not run any more is dead for certain.
    fn recover(&mut self, by: u64) {
        let Some(node) = self.running.get(&by) else { return };
        let Some(base) = node.acceptor.agreed().cloned() else { return };
        let alive = self.running.keys().copied().collect();
        if base.is_majority(&alive) {
            return;
        }
        let survives = |member: &&Share| alive.contains(&member.incarnation);
        let wish = if base.members().iter().any(|member| survives(&member)) {
            if !base.names(by) {
                return;
            }
            base.survived_by(&alive)
        } else {
            let successors = self.nodes.iter().map(|running| share(*running, 1));
            let successors: Vec<Share> =
                successors.filter(|running| base.incarnation_of(&running.node).is_some()).collect();
            if !successors.iter().any(|running| running.incarnation == by) {
                return;
            }
            base.succeeded_by(successors)
        };
        let wish = wish.expect("it is one");
        let Some(node) = self.running.get_mut(&by) else { return };
        node.proposal = Proposal::new(&mut node.acceptor, wish);
        self.ask(by);
    }

    fn ask(&mut self, by: u64) {
        let proposal = self.running.get(&by).and_then(|node| node.proposal.as_ref());
        let requests = proposal.map(Proposal::requests).unwrap_or_default();
        self.messages.extend(requests.into_iter().map(|request| Message::Request(by, request)));
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Request(from, request) => {
                // Nodes reach each other by their names.
                let running = self.nodes.iter().find(|running| **running % 10 == request.to % 10);
                let Some(node) = running.and_then(|running| self.running.get_mut(running)) else { return };
                let reply = node.acceptor.answer(from, &request);
                self.messages.push(Message::Reply(from, request, reply));
            }
            Message::Reply(to, request, reply) => {
                let Some(node) = self.running.get_mut(&to) else { return };
                let Some(proposal) = &mut node.proposal else { return };
                match proposal.hear(&request, reply) {
                    Progress::Waits => {}
                    Progress::Asks => self.ask(to),
                    Progress::Agreed(configuration) => self.learn(to, &configuration),
                    Progress::Outbid(by) => node.acceptor.outbid(by),
                }
            }
        }
    }

    fn take(&mut self, index: prop::sample::Index) -> Option<Message> {
        (!self.messages.is_empty()).then(|| self.messages.swap_remove(index.index(self.messages.len())))
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Propose { by, member } => {
                self.propose(self.nodes[usize::from(by)], self.nodes[usize::from(member)]);
            }
            Event::Recover(by) => self.recover(self.nodes[usize::from(by)]),
            Event::Deliver(index) => {
                if let Some(message) = self.take(index) {
                    self.deliver(message);
                }
            }
            Event::Lose(index) => drop(self.take(index)),
            Event::Repeat(index) => {
                if let Some(message) = self.take(index) {
                    self.messages.push(message.clone());
                    self.deliver(message);
                }
            }
            Event::Restart(node) => {
                let incarnation = &mut self.nodes[usize::from(node)];
                self.running.remove(incarnation);
                // It knows nothing, and goes by the same name.
                *incarnation += 10;
                let incarnation = *incarnation;
                self.start(incarnation);
            }
            Event::Tell { from, to } => {
                let (from, to) = (self.nodes[usize::from(from)], self.nodes[usize::from(to)]);
                let told = self.running.get(&from).and_then(|node| node.acceptor.agreed().cloned());
                if let Some(told) = told {
                    self.learn(to, &told);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_configuration_is_agreed_on_for_each_number(
        members in 1..=5_u64,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut world = World::new(members);
        events.iter().for_each(|event| world.happen(event));
        for next in world.agreed.values().skip(1) {
            prop_assert!(world.agreed.values().any(|base| base.precedes(next)), "{:?}", world.agreed);
        }
        // While one of the latest members runs that knows of it, those that run go on once messages arrive.
        let latest = world.agreed.values().next_back().expect("the first").clone();
        let alive: Vec<u64> = latest.members().iter().map(|member| member.incarnation)
            .filter(|incarnation| world.running.contains_key(incarnation)).collect();
        let successors = world.nodes.iter().copied().filter(|running| {
            latest.members().iter().any(|member| member.incarnation % 10 == running % 10)
        });
        // Or one of those that bear their names.
        let alive = if alive.is_empty() { successors.collect() } else { alive };
        {
            world.learn(alive[0], &latest);
            let newcomer = world.nodes.iter().find(|node| !latest.names(**node)).copied();
            for turn in 0..30 {
                let by = alive[turn % alive.len()];
                world.propose(by, newcomer.unwrap_or(alive[alive.len() - 1]));
                world.recover(by);
                let mut under_way = std::mem::take(&mut world.messages);
                while !under_way.is_empty() {
                    let message = under_way.remove(0);
                    world.deliver(message);
                    under_way.append(&mut world.messages);
                }
            }
            let last = world.agreed.keys().next_back();
            prop_assert!(last > Some(&latest.epoch()), "nothing more is agreed on");
        }
    }
}

#[test]
fn random_schedules_agree_on_something() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut agreed, mut contested) = (0, 0);
    for _ in 0..200 {
        let events = prop::collection::vec(event(), 400).new_tree(&mut runner).expect("a tree").current();
        let mut world = World::new(3);
        events.iter().for_each(|event| world.happen(event));
        agreed += world.agreed.len() - 1;
        contested +=
            usize::from(world.running.values_mut().any(|node| node.acceptor.next_ballot().round > 8));
    }
    assert!(agreed > 200 && contested > 20, "{agreed} agreed, {contested} contested");
}

/// What `from` is asked by a proposal.
fn asked(proposal: &Proposal, from: u64) -> Request {
    proposal.requests().into_iter().find(|request| request.to == from).expect("it is asked")
}

fn member_of(configuration: &Configuration, incarnation: u64) -> Acceptor {
    let mut acceptor = Acceptor::new(incarnation);
    assert_eq!(acceptor.learn(configuration), Learned::News);
    acceptor
}

#[test]
fn a_side_without_a_majority_changes_nothing() {
    let base = first(4);
    let wish = changed(2, first(3).members().to_vec());
    let mut proposal = Proposal::new(&mut member_of(&base, 1), wish.clone()).expect("it follows");
    let promises = [1, 2, 1, 2].map(|from| asked(&proposal, from));
    for asked in promises {
        assert_eq!(proposal.hear(&asked, Reply::Promised(None)), Progress::Waits);
    }
    let promise = asked(&proposal, 3);
    assert_eq!(proposal.hear(&promise, Reply::Promised(None)), Progress::Asks);
    let acceptances = [1, 2, 1, 2].map(|from| asked(&proposal, from));
    for asked in acceptances {
        assert_eq!(proposal.hear(&asked, Reply::Accepted), Progress::Waits);
    }
    assert_eq!(proposal.hear(&promise, Reply::Accepted), Progress::Waits, "of another step");
    let accept = asked(&proposal, 3);
    assert_eq!(proposal.hear(&accept, Reply::Accepted), Progress::Agreed(wish));
}

#[test]
fn a_newcomer_is_asked_before_and_votes_only_afterwards() {
    let base = first(3);
    let mut members = base.members().to_vec();
    members.push(share(4, 1));
    let next = changed(2, members);
    let mut proposer = member_of(&base, 1);
    let mut proposal = Proposal::new(&mut proposer, next.clone()).expect("it follows");
    let mut newcomer = Acceptor::new(4);
    let request = asked(&proposal, 4);
    assert_eq!(newcomer.answer(1, &request), Reply::Promised(None));
    assert_eq!(
        newcomer.answer(1, &Request { ask: Ask::Accept(next.clone()), ..request.clone() }),
        Reply::NoSay
    );
    assert_eq!(newcomer.agreed(), Some(&base));
    for (from, progress) in [(1, Progress::Waits), (2, Progress::Waits), (4, Progress::Asks)] {
        let asked = asked(&proposal, from);
        assert_eq!(proposal.hear(&asked, Reply::Promised(None)), progress);
    }
    assert_eq!((newcomer.learn(&next), newcomer.learn(&base)), (Learned::News, Learned::Known));
    assert_eq!(newcomer.answer(1, &request), Reply::Agreed(next));
}

#[test]
fn who_started_anew_does_not_promise_for_who_it_was() {
    let base = first(3);
    let wish = changed(2, vec![share(1, 1), share(12, 1), share(3, 1)]);
    let proposal = Proposal::new(&mut member_of(&base, 1), wish).expect("it follows");
    let mut anew = Acceptor::new(12);
    assert_eq!(anew.answer(1, &asked(&proposal, 2)), Reply::NoSay);
    assert_eq!(anew.answer(1, &asked(&proposal, 12)), Reply::Promised(None));
}

#[test]
fn what_was_accepted_is_proposed_again_by_whoever_comes_next() {
    let base = first(3);
    let (one, two) = (changed(2, first(2).members().to_vec()), changed(2, vec![share(1, 1), share(3, 1)]));
    let mut first_proposer = member_of(&base, 1);
    let mut proposal = Proposal::new(&mut first_proposer, one.clone()).expect("it follows");
    for from in [1, 2] {
        let asked = asked(&proposal, from);
        proposal.hear(&asked, Reply::Promised(None));
    }
    let mut witness = member_of(&base, 3);
    assert_eq!(witness.answer(1, &asked(&proposal, 3)), Reply::Accepted);
    let mut other = Proposal::new(&mut witness, two.clone()).expect("it follows");
    let promise = asked(&other, 3);
    let promised = witness.answer(3, &promise);
    assert!(matches!(&promised, Reply::Promised(Some((_, accepted))) if *accepted == one), "{promised:?}");
    other.hear(&promise, promised);
    let promise = asked(&other, 2);
    assert_eq!(other.hear(&promise, Reply::Promised(None)), Progress::Asks);
    assert_eq!(asked(&other, 2).ask, Ask::Accept(one), "and not its own wish");
    // Replies to the attempt before count for nothing.
    let mut again = Proposal::new(&mut witness, two).expect("it follows");
    assert_eq!(again.hear(&promise, Reply::Promised(None)), Progress::Waits);
}

#[test]
fn of_several_that_were_accepted_the_latest_is_proposed() {
    let base = first(3);
    let (early, late) = (changed(2, first(2).members().to_vec()), changed(2, vec![share(1, 1), share(3, 1)]));
    let accepted =
        |round, next: &Configuration| Reply::Promised(Some((Ballot { round, proposer: 2 }, next.clone())));
    for replies in [[accepted(1, &early), accepted(2, &late)], [accepted(2, &late), accepted(1, &early)]] {
        let wish = changed(2, vec![share(2, 1), share(3, 1)]);
        let mut proposal = Proposal::new(&mut member_of(&base, 1), wish).expect("it follows");
        for (from, reply) in [2, 3].into_iter().zip(replies) {
            let asked = asked(&proposal, from);
            proposal.hear(&asked, reply);
        }
        assert_eq!(asked(&proposal, 1).ask, Ask::Accept(late.clone()));
    }
}

#[test]
fn a_recovery_passes_over_what_others_accepted() {
    let base = first(3);
    let wish = base.survived_by(&[1, 2].into()).expect("two survive");
    let ballot = Ballot { round: 1, proposer: 3 };
    // Of the dead member, and of survivors that took another one for alive.
    let others =
        [changed(2, first(2).members().to_vec()), base.survived_by(&[2].into()).expect("one survives")];
    for accepted in others {
        let mut proposal = Proposal::new(&mut member_of(&base, 1), wish.clone()).expect("it follows");
        for (from, progress) in [(1, Progress::Waits), (2, Progress::Asks)] {
            let asked = asked(&proposal, from);
            let promised = Reply::Promised(Some((ballot, accepted.clone())));
            assert_eq!(proposal.hear(&asked, promised), progress);
        }
        assert_eq!(asked(&proposal, 2).ask, Ask::Accept(wish.clone()));
    }
}

#[test]
fn two_clusters_do_not_mix() {
    let (ours, theirs) = (first(3), of_lineage(8, 5, first(3).members().to_vec()));
    let mut member = member_of(&ours, 1);
    assert_eq!(member.learn(&theirs), Learned::Foreign);
    assert_eq!(
        member.learn(&changed(1, first(2).members().to_vec())),
        Learned::Foreign,
        "it contradicts ours"
    );
    assert_eq!(member.agreed(), Some(&ours));
    let wish = of_lineage(8, 6, first(2).members().to_vec());
    let proposal = Proposal::new(&mut member_of(&theirs, 2), wish.clone()).expect("it follows");
    assert_eq!(member.answer(2, &asked(&proposal, 1)), Reply::NoSay);
    assert!(Proposal::new(&mut member, wish).is_none());
}

#[test]
fn attempts_that_cannot_be_true_stop_nobody() {
    let base = first(3);
    let wish = changed(2, first(2).members().to_vec());
    let mut member = member_of(&base, 2);
    let proposal = Proposal::new(&mut member_of(&base, 1), wish.clone()).expect("it follows");
    let request = asked(&proposal, 2);
    let far = Ballot { round: u64::MAX, proposer: 1 };
    assert_eq!(member.answer(1, &Request { ballot: far, ..request.clone() }), Reply::NoSay);
    assert_eq!(member.answer(3, &request), Reply::NoSay, "under the name of another");
    member.outbid(far);
    assert_eq!(member.next_ballot(), Ballot { round: 1, proposer: 2 });
    assert_eq!(member.answer(1, &request), Reply::Promised(None));
    assert_eq!(member.next_ballot(), Ballot { round: 2, proposer: 2 });
}
