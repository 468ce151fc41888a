//! What a node does about the configuration of its cluster: takes part in agreeing on the next one, proposes what it finds
//! needful, and keeps the history.
//!
//! Plain state: who is met and lost, messages and the time go in, requests come out. The rules of agreement are
//! [`crate::agreement`]'s; here is decided what to wish for and when.
//!
//! A member is certainly dead when it said goodbye, when its operator says so, or when a later start of the same name was met:
//! the certificate proves the name, and who holds a living node's name is not admitted. Silence is none of these. It takes a member out
//! after a while, if a majority agrees.

mod catch_up;
mod ended;
mod founding;
mod history;
mod tally;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use rumour_crdt::Hlc;
use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agreement::{Acceptor, Learned, Progress, Proposal, Reply, Request};
use crate::placement::{Configuration, Replicas, RingEpoch, Share};
pub(crate) use catch_up::Seat;
use catch_up::Seats;
use ended::{End, Ended};
pub(crate) use founding::{Campaign, Candidacy, Founding};
pub use history::ConfigurationChange;
use history::History;

/// How long an attempt waits before it asks again who has not answered.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long it waits in all.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(3);
/// Pause after an attempt that failed, doubled with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest such pause.
const PAUSE_LONGEST: Duration = Duration::from_secs(15);
/// Peers that are out of reach and no members are remembered up to so many.
const PEERS_LIMIT: usize = 1024;

/// How a node takes part.
#[derive(Debug, Clone)]
pub(crate) struct CouncilSettings {
    pub(crate) founding: Founding,
    /// Copies of each slot, if this node founds the cluster.
    pub(crate) replicas: Replicas,
    /// How long a member is out of reach before it is taken out.
    pub(crate) rebalance_after: Duration,
}

/// What two nodes tell each other when they meet, and whenever what they know of has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The sender.
    pub(crate) share: Share,
    /// The latest configuration it knows.
    pub(crate) configuration: Option<Configuration>,
    /// A node of the receiver's name was a member of the sender's cluster.
    pub(crate) knows_you: bool,
    /// An operator had the sender's cluster forget this start of the receiver.
    pub(crate) forgot_you: bool,
    /// Whether the sender would found a cluster together with others, and asks for their consent.
    pub(crate) campaign: Option<Campaign>,
    /// The latest configuration that the sender has caught up with.
    pub(crate) caught_up: Option<RingEpoch>,
    /// The sender's clock when it stood there.
    pub(crate) clock: Hlc,
}

/// What came of hearing of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is the latest now: others are to be told.
    News,
    /// Nothing has changed.
    Nothing,
    /// The two belong to clusters that were founded apart and stay apart.
    Foreign,
    /// The peer's cluster was told to forget this node.
    Forgotten,
}

pub(crate) struct Council {
    me: Share,
    settings: CouncilSettings,
    acceptor: Acceptor,
    /// The latest start of each name that was met.
    peers: BTreeMap<NodeId, Peer>,
    ended: Ended,
    /// Since when members have been out of reach.
    away: BTreeMap<u64, Instant>,
    /// What this node would have agreed on, and since when.
    wished: Option<(Configuration, Instant)>,
    attempt: Option<Attempt>,
    failures: u32,
    paused_until: Option<Instant>,
    candidacy: founding::Votes,
    history: History,
    seats: Seats,
    /// The node stops: it has no say any more.
    closed: bool,
}

struct Peer {
    share: Share,
    connected: bool,
    /// It knows no configuration, and would found a cluster together with others.
    may_elect: bool,
}

struct Attempt {
    proposal: Proposal,
    began: Instant,
    asked: Instant,
}

impl Council {
    pub(crate) fn new(me: Share, settings: CouncilSettings) -> Self {
        Self {
            acceptor: Acceptor::new(me.incarnation),
            me,
            settings,
            peers: BTreeMap::new(),
            ended: Ended::default(),
            away: BTreeMap::new(),
            wished: None,
            attempt: None,
            failures: 0,
            paused_until: None,
            candidacy: founding::Votes::default(),
            history: History::default(),
            seats: Seats::default(),
            closed: false,
        }
    }

    /// The latest configuration that is known here.
    pub(crate) fn configuration(&self) -> Option<&Configuration> {
        self.acceptor.agreed()
    }

    /// Whether the latest configuration names this incarnation.
    pub(crate) fn is_member(&self) -> bool {
        self.configuration().is_some_and(|configuration| configuration.names(self.me.incarnation))
    }

    /// The configurations that were the latest here, the oldest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = &ConfigurationChange> {
        self.history.changes()
    }

    /// What to tell an incarnation of a peer, but for this node's clock.
    pub(crate) fn standing(&self, to: &NodeId, incarnation: u64) -> Standing {
        Standing {
            share: self.me.clone(),
            configuration: self.configuration().cloned(),
            knows_you: self.history.knows(to),
            forgot_you: self.ended.is_forgotten(incarnation),
            campaign: self.campaign(),
            caught_up: self.seat().caught_up,
            clock: Hlc::ZERO,
        }
    }

    /// A peer that is connected said where it stands; `now_ms` is the wall clock's.
    pub(crate) fn met(&mut self, standing: Standing, now_ms: u64) -> Heard {
        let Standing { share, configuration, knows_you, forgot_you, campaign, caught_up, clock } = standing;
        if forgot_you && self.is_outdated_by(configuration.as_ref()) {
            return Heard::Forgotten;
        }
        let heard = match &configuration {
            Some(configuration) => self.hear_of(configuration, &share, knows_you, now_ms),
            None => Heard::Nothing,
        };
        // Every other start of its name is over.
        let named = self.configuration().and_then(|known| known.incarnation_of(&share.node));
        let met = self.peers.get(&share.node).map(|peer| peer.share.incarnation);
        for other in named.into_iter().chain(met).filter(|other| *other != share.incarnation) {
            self.end(other, End::Replaced);
        }
        if heard == Heard::Foreign {
            // If it was a member here, it has gone over, and votes here no more.
            self.end(share.incarnation, End::Replaced);
            self.peers.remove(&share.node);
            return heard;
        }
        self.ended.lives(share.incarnation);
        if let Some(campaign) = campaign {
            self.candidacy.heard(share.incarnation, campaign);
        }
        let known = configuration.as_ref().map(|known| (known.lineage(), known.epoch()));
        self.seated(share.incarnation, Seat { known, caught_up }, clock);
        let may_elect = configuration.is_none() && campaign.is_some();
        self.peers.insert(share.node.clone(), Peer { share, connected: true, may_elect });
        heard
    }

    /// Whether a peer's configuration is later than the one that is known here. Of two sides that forgot each other one goes on.
    fn is_outdated_by(&self, theirs: Option<&Configuration>) -> bool {
        match (self.configuration(), theirs) {
            (Some(ours), Some(theirs)) => theirs.is_later_than(ours) || theirs.lineage() < ours.lineage(),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }

    /// The connection to an incarnation is gone.
    pub(crate) fn lost(&mut self, node: &NodeId, incarnation: u64) {
        if let Some(peer) = self.peers.get_mut(node).filter(|peer| peer.share.incarnation == incarnation) {
            peer.connected = false;
        }
        if self.peers.len() > PEERS_LIMIT {
            let members = self.configuration().map(Configuration::members).unwrap_or_default();
            let members: BTreeSet<NodeId> = members.iter().map(|member| member.node.clone()).collect();
            self.peers.retain(|node, peer| peer.connected || members.contains(node));
        }
    }

    /// An incarnation said goodbye.
    pub(crate) fn left(&mut self, incarnation: u64) {
        self.end(incarnation, End::Left);
    }

    /// An incarnation is dead for certain.
    fn end(&mut self, incarnation: u64, end: End) {
        if incarnation != self.me.incarnation {
            self.ended.insert(incarnation, end);
            self.candidacy.release(incarnation);
        }
    }

    /// Whether a peer is connected and said where it stands.
    pub(crate) fn is_met(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.connected)
    }

    /// An operator says that these incarnations do not run any more, whatever becomes of them.
    pub(crate) fn forget(&mut self, incarnations: &BTreeSet<u64>) {
        incarnations.iter().for_each(|incarnation| self.end(*incarnation, End::Forgotten));
        self.peers.retain(|_, peer| peer.connected || !incarnations.contains(&peer.share.incarnation));
    }

    /// The incarnations of a name that are known here: the one that is a member, and the latest that was met.
    pub(crate) fn incarnations_of(&self, node: &NodeId) -> BTreeSet<u64> {
        let named = self.configuration().and_then(|known| known.incarnation_of(node));
        let met = self.peers.get(node).map(|peer| peer.share.incarnation);
        named.into_iter().chain(met).collect()
    }

    /// This node stops: from now on it promises and proposes nothing.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.attempt = None;
    }

    /// Answers a proposer.
    pub(crate) fn answer(&mut self, from: u64, request: &Request, now_ms: u64) -> (Reply, Heard) {
        if self.closed || self.ended.contains(from) {
            return (Reply::NoSay, Heard::Nothing);
        }
        let before = self.configuration().map(Configuration::epoch);
        let reply = self.acceptor.answer(from, request);
        let heard = match self.configuration().map(Configuration::epoch) == before {
            true => Heard::Nothing,
            false => self.adopted(now_ms),
        };
        (reply, heard)
    }

    /// Takes in a reply to one of this node's requests; gives what goes out next.
    pub(crate) fn hear(
        &mut self,
        request: &Request,
        reply: Reply,
        now: Instant,
        now_ms: u64,
        rng: &mut impl Rng,
    ) -> (Vec<Request>, Heard) {
        let Some(attempt) = &mut self.attempt else { return (Vec::new(), Heard::Nothing) };
        match attempt.proposal.hear(request, reply) {
            Progress::Waits => (Vec::new(), Heard::Nothing),
            Progress::Asks => self.ask(now, now_ms, rng),
            Progress::Agreed(configuration) => {
                self.attempt = None;
                (Vec::new(), self.learn(&configuration, now_ms))
            }
            Progress::Outbid(ballot) => {
                self.acceptor.outbid(ballot);
                self.fail(now, rng);
                (Vec::new(), Heard::Nothing)
            }
        }
    }

    /// Moves time on: gives the requests that are to go out. `alive` are the incarnations that this node's view takes for alive. Call it
    /// some times a second.
    pub(crate) fn tick(
        &mut self,
        alive: &BTreeSet<u64>,
        now: Instant,
        now_ms: u64,
        rng: &mut impl Rng,
    ) -> (Vec<Request>, Heard) {
        if self.closed {
            return (Vec::new(), Heard::Nothing);
        }
        if self.configuration().is_none() {
            return (Vec::new(), self.found_alone(now_ms));
        }
        self.note_away(alive, now);
        if let Some(attempt) = &self.attempt {
            if now >= attempt.began + ATTEMPT_PATIENCE {
                self.fail(now, rng);
            } else if now >= attempt.asked + ASK_AGAIN {
                return self.ask(now, now_ms, rng);
            }
        }
        if self.attempt.is_some() || self.paused_until.is_some_and(|until| now < until) {
            return (Vec::new(), Heard::Nothing);
        }
        let Some(wish) = self.due_wish(now) else { return (Vec::new(), Heard::Nothing) };
        let Some(proposal) = Proposal::new(&mut self.acceptor, wish) else {
            return (Vec::new(), Heard::Nothing);
        };
        self.attempt = Some(Attempt { proposal, began: now, asked: now });
        self.ask(now, now_ms, rng)
    }

    /// Sends the requests of the present attempt; this node answers its own at once.
    fn ask(&mut self, now: Instant, now_ms: u64, rng: &mut impl Rng) -> (Vec<Request>, Heard) {
        let Some(attempt) = &mut self.attempt else { return (Vec::new(), Heard::Nothing) };
        attempt.asked = now;
        let requests = attempt.proposal.requests();
        let (own, mut others): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|request| request.to == self.me.incarnation);
        let mut heard = Heard::Nothing;
        for request in own {
            let (reply, _) = self.answer(self.me.incarnation, &request, now_ms);
            let (next, news) = self.hear(&request, reply, now, now_ms, rng);
            others.extend(next);
            heard = news;
        }
        (others, heard)
    }

    fn fail(&mut self, now: Instant, rng: &mut impl Rng) {
        self.attempt = None;
        let pause = PAUSE_LONGEST.min(PAUSE_FIRST * 2_u32.saturating_pow(self.failures.min(16)));
        self.failures += 1;
        // Those that outbid each other draw apart.
        self.paused_until = Some(now + pause.mul_f64(rng.random_range(0.5..1.5)));
    }

    fn hear_of(&mut self, configuration: &Configuration, from: &Share, knows_me: bool, now_ms: u64) -> Heard {
        let (theirs, known) = (configuration.lineage(), self.configuration().map(Configuration::lineage));
        let Some(ours) = known.filter(|ours| *ours != theirs) else {
            return self.learn(configuration, now_ms);
        };
        let goes_over = !ours.alone || knows_me || from.incarnation == ours.founder;
        if theirs < ours && goes_over {
            tracing::warn!(peer = %from.node, "joining the older cluster of a peer, and giving up the one founded apart from it");
            self.acceptor.convert(configuration);
            self.history.names_end();
            self.ended.forget_replaced();
            self.seats.clear();
            return self.adopted(now_ms);
        }
        let they_go_over = !theirs.alone || self.history.knows(&from.node);
        if ours < theirs && they_go_over { Heard::Nothing } else { Heard::Foreign }
    }

    fn learn(&mut self, configuration: &Configuration, now_ms: u64) -> Heard {
        match self.acceptor.learn(configuration) {
            Learned::News => self.adopted(now_ms),
            Learned::Known => Heard::Nothing,
            Learned::Foreign => {
                tracing::error!(epoch = %configuration.epoch(), "a peer knows another configuration of the same epoch");
                Heard::Nothing
            }
        }
    }

    /// Another configuration is the latest now.
    fn adopted(&mut self, now_ms: u64) -> Heard {
        (self.attempt, self.wished, self.paused_until, self.failures) = (None, None, None, 0);
        if let Some(configuration) = self.acceptor.agreed() {
            self.history.note(configuration, now_ms);
            self.seats.retain(configuration);
        }
        Heard::News
    }

    fn note_away(&mut self, alive: &BTreeSet<u64>, now: Instant) {
        let members = self.configuration().map(Configuration::members).unwrap_or_default();
        let others =
            members.iter().map(|member| member.incarnation).filter(|member| *member != self.me.incarnation);
        let silent: BTreeSet<u64> = others.filter(|member| !alive.contains(member)).collect();
        self.away.retain(|member, _| silent.contains(member));
        for member in silent {
            self.away.entry(member).or_insert(now);
        }
    }
}
