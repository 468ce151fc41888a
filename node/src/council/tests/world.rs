//! Nodes in one place, and what they say to each other.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::*;
use crate::placement::{Lineage, RingEpoch};

pub(super) const SOON: Duration = Duration::from_secs(15);
pub(super) const TICK: Duration = Duration::from_millis(250);
pub(super) const REBALANCE_AFTER: Duration = Duration::from_secs(30);

pub(super) fn name(node: usize) -> NodeId {
    format!("n{node}").parse().expect("a name")
}

/// Nodes in one place: what they send arrives at once or is lost.
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    /// Between which nodes nothing passes.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// One message in so many is lost; none if zero.
    pub(super) loss: u32,
    pub(super) now: Instant,
    now_ms: u64,
    starts: u64,
    clock: u64,
    pub(super) rng: SmallRng,
    /// What was ever the latest anywhere.
    pub(super) seen: BTreeMap<(Lineage, RingEpoch), Configuration>,
    pub(super) foreign: u32,
}

pub(super) struct Node {
    pub(super) founding: Founding,
    pub(super) council: Option<Council>,
    /// With which incarnation of which node a connection stands.
    pub(super) connected: BTreeMap<usize, u64>,
    /// What it holds: writes, of which only their numbers matter.
    pub(super) data: BTreeSet<u64>,
    /// Up to which time of its clock an incarnation has given it all that it held.
    given: BTreeMap<u64, Hlc>,
}

impl World {
    pub(super) fn new(founding: Vec<Founding>) -> Self {
        let node = |founding| Node {
            founding,
            council: None,
            connected: BTreeMap::new(),
            data: BTreeSet::new(),
            given: BTreeMap::new(),
        };
        let nodes: Vec<Node> = founding.into_iter().map(node).collect();
        let mut world = Self {
            nodes,
            cut: BTreeSet::new(),
            loss: 0,
            now: Instant::now(),
            now_ms: 1_000_000,
            starts: 0,
            clock: 0,
            rng: SmallRng::seed_from_u64(7),
            seen: BTreeMap::new(),
            foreign: 0,
        };
        (0..world.nodes.len()).for_each(|node| world.start(node));
        world
    }

    /// One node without seeds, and others.
    pub(super) fn seeded(nodes: usize) -> Self {
        let others = std::iter::repeat_n(Founding::Others, nodes - 1);
        Self::new([Founding::Alone].into_iter().chain(others).collect())
    }

    pub(super) fn start(&mut self, node: usize) {
        self.starts += 1;
        let share = Share {
            node: name(node),
            incarnation: self.starts,
            weight: NonZeroU16::MIN,
            zone: String::new(),
        };
        let founding = self.nodes[node].founding;
        let settings =
            CouncilSettings { founding, replicas: Replicas::All, rebalance_after: REBALANCE_AFTER };
        self.nodes[node].council = Some(Council::new(share, settings));
    }

    pub(super) fn stop(&mut self, node: usize) {
        self.nodes[node].council = None;
        self.nodes[node].connected.clear();
        self.nodes[node].data.clear();
        self.nodes[node].given.clear();
    }

    pub(super) fn leave(&mut self, node: usize) {
        let incarnation = self.incarnation(node).expect("it runs");
        self.stop(node);
        for other in self.nodes.iter_mut().filter_map(|node| node.council.as_mut()) {
            other.left(incarnation);
        }
    }

    pub(super) fn incarnation(&self, node: usize) -> Option<u64> {
        self.nodes[node].council.as_ref().map(|council| council.me.incarnation)
    }

    pub(super) fn separate(&mut self, left: &[usize], right: &[usize]) {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
            self.cut.extend([(a, b), (b, a)]);
        }
    }

    pub(super) fn reaches(&self, a: usize, b: usize) -> bool {
        a != b && !self.cut.contains(&(a, b)) && self.nodes[b].council.is_some()
    }

    pub(super) fn is_lost(&mut self) -> bool {
        self.loss > 0 && self.rng.random_ratio(1, self.loss)
    }

    pub(super) fn council(&mut self, node: usize) -> &mut Council {
        self.nodes[node].council.as_mut().expect("it runs")
    }

    pub(super) fn connect(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                let (reached, stands) = (self.reaches(a, b), self.nodes[a].connected.get(&b).copied());
                let running = self.nodes[a].council.is_some();
                let incarnation = self.incarnation(b);
                if let Some(stands) = stands.filter(|stands| !reached || Some(*stands) != incarnation) {
                    self.nodes[a].connected.remove(&b);
                    if running {
                        self.council(a).lost(&name(b), stands);
                    }
                }
                if running && reached && !self.nodes[a].connected.contains_key(&b) && self.exchange(a, b) {
                    self.nodes[a].connected.insert(b, incarnation.expect("it is reached"));
                }
            }
        }
    }

    /// One node tells another where it stands, and hears the answer.
    pub(super) fn exchange(&mut self, a: usize, b: usize) -> bool {
        if self.is_lost() {
            return false;
        }
        let (from, to) = (self.incarnation(a).expect("it runs"), self.incarnation(b).expect("it is reached"));
        let (ours, now_ms) = {
            let clock = self.clock();
            (Standing { clock, ..self.council(a).standing(&name(b), to) }, self.now_ms)
        };
        let heard = self.council(b).met(ours, now_ms);
        self.heard(b, heard);
        if self.is_lost() {
            return false;
        }
        let clock = self.clock();
        let theirs = Standing { clock, ..self.council(b).standing(&name(a), from) };
        let heard = self.council(a).met(theirs, now_ms);
        self.heard(a, heard);
        heard != Heard::Foreign
    }

    pub(super) fn heard(&mut self, node: usize, heard: Heard) {
        self.foreign += u32::from(heard == Heard::Foreign);
        let Some(latest) = self.council(node).configuration().cloned() else { return };
        let known = self.seen.entry((latest.lineage(), latest.epoch())).or_insert_with(|| latest.clone());
        assert_eq!(*known, latest, "one configuration of each epoch");
        if heard == Heard::News {
            for peer in self.nodes[node].connected.keys().copied().collect::<Vec<_>>() {
                if self.reaches(node, peer) {
                    self.exchange(node, peer);
                }
            }
        }
    }

    pub(super) fn send(&mut self, from: usize, requests: Vec<Request>) {
        let mut requests = VecDeque::from(requests);
        while let Some(request) = requests.pop_front() {
            let to = (0..self.nodes.len()).find(|node| self.incarnation(*node) == Some(request.to));
            let Some(to) = to.filter(|to| self.reaches(from, *to)) else { continue };
            if self.is_lost() {
                continue;
            }
            let (proposer, now, now_ms) = (self.incarnation(from).expect("it runs"), self.now, self.now_ms);
            let (reply, heard) = self.council(to).answer(proposer, &request, now_ms);
            self.heard(to, heard);
            if self.is_lost() {
                continue;
            }
            let mut rng = self.rng.clone();
            let (next, heard) = self.council(from).hear(&request, reply, now, now_ms, &mut rng);
            self.rng = rng;
            self.heard(from, heard);
            requests.extend(next);
        }
    }

    pub(super) fn tick(&mut self) {
        self.now += TICK;
        self.now_ms += 250;
        self.connect();
        for node in 0..self.nodes.len() {
            if self.nodes[node].council.is_none() {
                continue;
            }
            let alive = (0..self.nodes.len()).filter(|other| self.reaches(node, *other));
            let alive: BTreeSet<u64> = alive.filter_map(|other| self.incarnation(other)).collect();
            let (now, now_ms) = (self.now, self.now_ms);
            let mut rng = self.rng.clone();
            let (requests, heard) = self.council(node).tick(&alive, now, now_ms, &mut rng);
            self.rng = rng;
            self.heard(node, heard);
            self.send(node, requests);
            self.campaign(node);
            self.catch_up(node);
            // Now and then one peer is told again, in case that what told it was lost.
            let peers: Vec<usize> = self.nodes[node].connected.keys().copied().collect();
            let peer = peers.choose(&mut self.rng).copied().filter(|peer| self.reaches(node, *peer));
            if let Some(peer) = peer.filter(|_| self.rng.random_ratio(1, 8)) {
                self.exchange(node, peer);
            }
        }
    }

    /// A clock that all nodes share and that never shows one time twice.
    pub(super) fn clock(&mut self) -> Hlc {
        self.clock += 1;
        Hlc::from_bits(self.clock)
    }

    /// Has those give a node all that they hold from which it may catch up.
    fn catch_up(&mut self, node: usize) {
        let given = self.nodes[node].given.clone();
        let given_by = |incarnation| given.get(&incarnation).copied().unwrap_or_default();
        for member in self.council(node).to_catch_up_from(given_by) {
            let from =
                (0..self.nodes.len()).find(|other| self.incarnation(*other) == Some(member.incarnation));
            let Some(from) = from.filter(|from| self.reaches(node, *from) && self.reaches(*from, node))
            else {
                continue;
            };
            if !self.is_lost() {
                let (clock, data) = (self.clock(), self.nodes[from].data.clone());
                self.nodes[node].data.extend(data);
                self.nodes[node].given.insert(member.incarnation, clock);
            }
        }
        let given = self.nodes[node].given.clone();
        if self.council(node).catch_up(|incarnation| given.get(&incarnation).copied().unwrap_or_default()) {
            let peers: Vec<usize> = self.nodes[node].connected.keys().copied().collect();
            for peer in peers.into_iter().filter(|peer| self.reaches(node, *peer)).collect::<Vec<_>>() {
                self.exchange(node, peer);
            }
        }
    }

    pub(super) fn campaign(&mut self, node: usize) {
        let Some((candidacy, electors)) = self.council(node).electors() else { return };
        for elector in electors {
            let to =
                (0..self.nodes.len()).find(|other| self.incarnation(*other) == Some(elector.incarnation));
            let Some(to) = to.filter(|to| self.reaches(node, *to)) else { continue };
            let yes = self.council(to).consent(&name(node), candidacy);
            if !self.is_lost() {
                let now_ms = self.now_ms;
                let heard = self.council(node).consented(candidacy, elector.incarnation, yes, now_ms);
                self.heard(node, heard);
            }
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.tick();
        }
    }

    /// What a node knows, if it knows anything.
    pub(super) fn epoch(&mut self, node: usize) -> Option<RingEpoch> {
        self.council(node).configuration().map(Configuration::epoch)
    }

    /// Waits until all that run know one configuration, which names them and nobody else.
    pub(super) fn settle(&mut self, within: Duration) {
        let until = self.now + within;
        while self.now < until {
            if self.is_settled() {
                return;
            }
            self.tick();
        }
        let running = self.nodes.iter().filter_map(|node| node.council.as_ref());
        let shown = running.map(|council| {
            let members = council.configuration().map(Configuration::members).unwrap_or_default();
            let members: Vec<u64> = members.iter().map(|member| member.incarnation).collect();
            let epoch =
                council.configuration().map(|known| (known.lineage().founded_ms, known.epoch().to_string()));
            let (ended, wished) = (&council.ended, &council.wished.is_some());
            let (me, present) = (council.me.incarnation, council.present());
            format!("{me}: {epoch:?} {members:?} present {present:?} ended {ended:?} wishes {wished}")
        });
        panic!("not settled:\n{}", shown.collect::<Vec<_>>().join("\n"));
    }

    /// Waits until these know one configuration, which names them and nobody else.
    pub(super) fn settle_among(&mut self, nodes: &[usize]) {
        let until = self.now + SOON;
        while self.now < until && !self.is_settled_among(nodes) {
            self.tick();
        }
        assert!(self.is_settled_among(nodes), "not settled: {nodes:?}");
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_settled_among(&(0..self.nodes.len()).collect::<Vec<_>>())
    }

    pub(super) fn is_settled_among(&self, nodes: &[usize]) -> bool {
        let councils: Vec<&Council> =
            nodes.iter().filter_map(|node| self.nodes[*node].council.as_ref()).collect();
        let running: BTreeSet<u64> = councils.iter().map(|council| council.me.incarnation).collect();
        let named = |configuration: &Configuration| {
            configuration.members().iter().map(|member| member.incarnation).collect::<BTreeSet<u64>>()
        };
        let same = councils.windows(2).all(|pair| pair[0].configuration() == pair[1].configuration());
        let caught_up = councils.iter().all(|council| council.has_caught_up());
        same && caught_up
            && councils
                .first()
                .and_then(|council| council.configuration())
                .is_some_and(|all| named(all) == running)
    }
}
