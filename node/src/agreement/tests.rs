use std::collections::BTreeMap;
use std::num::NonZeroU16;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::placement::{Replicas, Share};

fn share(incarnation: u64, weight: u16) -> Share {
    Share {
        // Of every ten incarnations those of one unit digit are the same node, started anew.
        node: format!("n{}", incarnation % 10).parse().expect("a name"),
        incarnation,
        weight: NonZeroU16::new(weight).expect("a weight"),
        zone: String::new(),
    }
}

fn first(members: u64) -> Configuration {
    let members = (1..=members).map(|incarnation| share(incarnation, 1)).collect();
    Configuration::new(1, Replicas::All, members).expect("it is one")
}

/// What a random schedule does.
#[derive(Debug, Clone)]
enum Event {
    /// An incarnation proposes a change of this member.
    Propose {
        by: u8,
        member: u8,
    },
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
        30 => index().prop_map(Event::Deliver),
        3 => index().prop_map(Event::Lose),
        4 => index().prop_map(Event::Repeat),
        1 => (0..7_u8).prop_map(Event::Restart),
        2 => (0..7_u8, 0..7_u8).prop_map(|(from, to)| Event::Tell { from, to }),
    ]
}

#[derive(Debug, Clone)]
enum Message {
    Request { from: u64, to: u64, request: Request },
    Reply { from: u64, to: u64, ballot: Ballot, ask: Ask, reply: Reply },
}

/// One running incarnation.
struct Node {
    acceptor: Acceptor,
    proposal: Option<(Ballot, Proposal)>,
    round: u64,
}

/// Seven nodes and what is under way between them.
struct World {
    nodes: Vec<u64>,
    running: BTreeMap<u64, Node>,
    messages: Vec<Message>,
    /// Of each number what was agreed on, whoever came to know it.
    agreed: BTreeMap<u64, Configuration>,
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
        let node = Node { acceptor: Acceptor::new(incarnation), proposal: None, round: 0 };
        self.running.insert(incarnation, node);
    }

    fn learn(&mut self, incarnation: u64, configuration: &Configuration) {
        let known = self.agreed.entry(configuration.number()).or_insert_with(|| configuration.clone());
        assert_eq!(known, configuration, "one configuration for each number");
        if let Some(node) = self.running.get_mut(&incarnation) {
            node.acceptor.learn(configuration);
        }
    }

    fn propose(&mut self, by: u64, member: u64) {
        let Some(node) = self.running.get_mut(&by) else { return };
        let Some(base) = node.acceptor.agreed().cloned() else { return };
        let present = base.members().iter().find(|share| share.node == self::share(member, 1).node);
        let mut members = base.members().to_vec();
        match present {
            Some(present) if present.incarnation == member && members.len() > 1 => {
                members.retain(|share| share.incarnation != member);
            }
            Some(present) => {
                let gone = present.clone();
                members.retain(|share| *share != gone);
                members.push(share(member, 1));
            }
            None => members.push(share(member, 1)),
        }
        let Ok(wish) = Configuration::new(base.number() + 1, Replicas::All, members) else { return };
        if !base.precedes(&wish) {
            return;
        }
        node.round = node.round.max(node.acceptor.promised().round) + 1;
        let ballot = Ballot { round: node.round, proposer: by };
        let proposal = Proposal::new(base, wish, ballot);
        node.proposal = Some((ballot, proposal));
        self.ask(by);
    }

    fn ask(&mut self, by: u64) {
        let Some((_, proposal)) = self.running.get(&by).and_then(|node| node.proposal.as_ref()) else {
            return;
        };
        let request = proposal.request();
        for to in proposal.asked() {
            self.messages.push(Message::Request { from: by, to, request: request.clone() });
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Request { from, to, request } => {
                let Some(node) = self.running.get_mut(&to) else { return };
                let reply = node.acceptor.answer(&request);
                let (ballot, ask) = (request.ballot, request.ask);
                self.messages.push(Message::Reply { from: to, to: from, ballot, ask, reply });
            }
            Message::Reply { from, to, ballot, ask, reply } => {
                let Some(node) = self.running.get_mut(&to) else { return };
                let Some((of, proposal)) = node.proposal.as_mut().filter(|(of, _)| *of == ballot) else {
                    return;
                };
                let _ = of;
                match proposal.hear(from, &ask, reply) {
                    Progress::Waits => {}
                    Progress::Asks => self.ask(to),
                    Progress::Agreed(configuration) => self.learn(to, &configuration),
                    Progress::Outbid(ballot) => node.round = node.round.max(ballot.round),
                }
            }
        }
    }

    fn take(&mut self, index: prop::sample::Index) -> Option<Message> {
        (!self.messages.is_empty()).then(|| self.messages.swap_remove(index.index(self.messages.len())))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Propose { by, member } => {
                self.propose(self.nodes[usize::from(by)], self.nodes[usize::from(member)]);
            }
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
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn one_configuration_is_agreed_on_for_each_number(
        members in 1..=5_u64,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut world = World::new(members);
        events.into_iter().for_each(|event| world.happen(event));
        let agreed: Vec<&Configuration> = world.agreed.values().collect();
        prop_assert!(agreed.windows(2).all(|pair| pair[0].precedes(pair[1])), "{agreed:?}");
        // While a majority of the latest members runs, they go on once messages arrive.
        let latest = agreed[agreed.len() - 1].clone();
        let alive: Vec<u64> = latest.members().iter().map(|member| member.incarnation)
            .filter(|incarnation| world.running.contains_key(incarnation)).collect();
        if alive.len() * 2 > latest.members().len() {
            world.messages.clear();
            for incarnation in &alive {
                world.learn(*incarnation, &latest);
            }
            for _ in 0..20 {
                let weightless = world.nodes.iter().find(|node| !latest.names(**node)).copied();
                world.propose(alive[0], weightless.unwrap_or(alive[alive.len() - 1]));
                while !world.messages.is_empty() {
                    let message = world.messages.remove(0);
                    world.deliver(message);
                }
            }
            prop_assert!(world.agreed.len() > latest.number() as usize, "nothing more is agreed on");
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
        events.into_iter().for_each(|event| world.happen(event));
        agreed += world.agreed.len() - 1;
        contested += usize::from(world.running.values().any(|node| node.round > 3));
    }
    assert!(agreed > 200 && contested > 20, "{agreed} agreed, {contested} contested");
}

#[test]
fn a_side_without_a_majority_changes_nothing() {
    let base = first(4);
    let wish = Configuration::new(2, Replicas::All, first(3).members().to_vec()).expect("it is one");
    let ballot = Ballot { round: 1, proposer: 1 };
    let mut proposal = Proposal::new(base, wish.clone(), ballot);
    let mut promises = |from| proposal.hear(from, &Ask::Promise(wish.clone()), Reply::Promised(None));
    for from in [1, 2, 1, 2] {
        assert_eq!(promises(from), Progress::Waits);
    }
    assert_eq!(promises(3), Progress::Asks);
}

#[test]
fn a_newcomer_is_asked_before_and_votes_only_afterwards() {
    let base = first(3);
    let mut members = base.members().to_vec();
    members.push(share(4, 1));
    let next = Configuration::new(2, Replicas::All, members).expect("it is one");
    let mut newcomer = Acceptor::new(4);
    let ballot = Ballot { round: 1, proposer: 1 };
    let request = |ask| Request { base: base.clone(), ballot, ask };
    assert_eq!(newcomer.answer(&request(Ask::Promise(base.clone()))), Reply::NoMember);
    assert_eq!(newcomer.answer(&request(Ask::Promise(next.clone()))), Reply::Promised(None));
    assert_eq!(newcomer.answer(&request(Ask::Accept(next.clone()))), Reply::NoMember);
    assert_eq!(newcomer.agreed(), Some(&base));
    assert!(newcomer.learn(&next) && !newcomer.learn(&base));
    assert_eq!(newcomer.answer(&request(Ask::Promise(next.clone()))), Reply::Agreed(next.clone()));

    let mut proposal = Proposal::new(base, next.clone(), ballot);
    let mut promises = |from| proposal.hear(from, &Ask::Promise(next.clone()), Reply::Promised(None));
    assert_eq!([promises(1), promises(2), promises(3)], [Progress::Waits, Progress::Waits, Progress::Asks]);
}
