//! Making the first configuration of a cluster.
//!
//! A node without seeds founds a cluster by itself. Nodes that start together with the same seeds found one when so many
//! are there as they were told to expect: the first by name asks the others, each of which says yes to one founder only. So
//! two clusters cannot come of it where more than half of all nodes are expected and none starts anew meanwhile; should it happen all
//! the same, the younger one joins the older.

use std::collections::BTreeSet;

use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use super::{Council, Heard};
use crate::placement::{Configuration, Lineage, RingEpoch, Share};

/// Who may found a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Founding {
    /// This node, at once: it has no seeds.
    Alone,
    /// So many nodes together, this one included.
    Together(usize),
    /// Others: this node waits for them.
    Others,
}

/// Asked of nodes that know no configuration: may I found the cluster?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidacy {
    /// The incarnation that asks.
    pub(crate) founder: u64,
    /// How often it has stood.
    pub(crate) round: u64,
}

/// What a node that would found a cluster together with others says of that in its standing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Campaign {
    /// How often it has stood.
    pub(crate) round: u64,
    /// It stands now.
    pub(crate) stands: bool,
}

/// Whom this node lets found the cluster, and who lets this node.
#[derive(Debug, Default)]
pub(super) struct Votes {
    given: Option<Candidacy>,
    round: u64,
    received: BTreeSet<u64>,
}

impl Votes {
    /// An incarnation is dead: what was given to it may be given anew.
    pub(super) fn release(&mut self, incarnation: u64) {
        self.received.remove(&incarnation);
        self.given = self.given.filter(|given| given.founder != incarnation);
    }

    /// A node says whether it stands: a vote for a candidacy that it has given up is free again.
    pub(super) fn heard(&mut self, node: u64, Campaign { round, stands }: Campaign) {
        let is_over = |given: &Candidacy| given.round < round || (given.round == round && !stands);
        self.given = self.given.filter(|given| given.founder != node || !is_over(given));
    }

    fn stands(&self, me: u64) -> bool {
        self.given.is_some_and(|given| given.founder == me)
    }
}

impl Council {
    pub(super) fn found_alone(&mut self, now_ms: u64) -> Heard {
        match self.settings.founding {
            Founding::Alone => self.found(vec![self.me.clone()], now_ms),
            Founding::Together(_) | Founding::Others => Heard::Nothing,
        }
    }

    /// What to say of founding in this node's standing: nothing, if it is not to found a cluster together with others.
    pub(super) fn campaign(&self) -> Option<Campaign> {
        let stands = self.candidacy.stands(self.me.incarnation);
        let may_found = matches!(self.settings.founding, Founding::Together(_)) && !self.closed;
        may_found.then_some(Campaign { round: self.candidacy.round, stands })
    }

    /// Whom to ask for their consent now, and how. Call it now and then: who said no may say yes later.
    pub(crate) fn electors(&mut self) -> Option<(Candidacy, Vec<Share>)> {
        let Founding::Together(expected) = self.settings.founding else { return None };
        let stands = self.candidacy.stands(self.me.incarnation);
        let is_free = stands || self.candidacy.given.is_none();
        if self.closed || !is_free || self.configuration().is_some() {
            return None;
        }
        let electors = self.peers.values().filter(|peer| peer.connected && peer.may_elect);
        let others: Vec<Share> = electors.map(|peer| peer.share.clone()).collect();
        let is_first = others.iter().all(|other| self.me.node < other.node);
        if !is_first || others.len() + 1 < expected {
            return None;
        }
        if !stands {
            self.candidacy.round += 1;
            self.candidacy.received.clear();
        }
        let candidacy = Candidacy { founder: self.me.incarnation, round: self.candidacy.round };
        self.candidacy.given = Some(candidacy);
        Some((candidacy, others))
    }

    /// Whether this node lets a peer found the cluster. A yes binds it until that incarnation gives its candidacy up, or is dead
    /// for certain.
    pub(crate) fn consent(&mut self, from: &NodeId, candidacy: Candidacy) -> bool {
        let me = self.me.incarnation;
        let known = self.peers.get(from).is_some_and(|peer| peer.share.incarnation == candidacy.founder);
        let may_found = matches!(self.settings.founding, Founding::Together(_));
        if self.closed || !known || self.configuration().is_some() || !may_found {
            return false;
        }
        let is_free = match self.candidacy.given {
            None => true,
            // It has founded nothing, and gives way to the first by name.
            Some(given) if given.founder == me => *from < self.me.node,
            Some(given) => given.founder == candidacy.founder && given.round <= candidacy.round,
        };
        if is_free {
            self.candidacy.given = Some(candidacy);
        }
        is_free
    }

    /// A peer's answer to a candidacy of this node.
    pub(crate) fn consented(&mut self, candidacy: Candidacy, by: u64, yes: bool, now_ms: u64) -> Heard {
        let Founding::Together(expected) = self.settings.founding else { return Heard::Nothing };
        let is_present = self.candidacy.given == Some(candidacy);
        if self.closed || !yes || !is_present || self.configuration().is_some() || self.ended.contains(by) {
            return Heard::Nothing;
        }
        self.candidacy.received.insert(by);
        let voters = self.peers.values().map(|peer| &peer.share);
        let mut members: Vec<Share> =
            voters.filter(|voter| self.candidacy.received.contains(&voter.incarnation)).cloned().collect();
        if members.len() + 1 < expected {
            return Heard::Nothing;
        }
        members.push(self.me.clone());
        self.found(members, now_ms)
    }

    fn found(&mut self, members: Vec<Share>, now_ms: u64) -> Heard {
        let alone = self.settings.founding == Founding::Alone;
        let lineage = Lineage { founded_ms: now_ms, founder: self.me.incarnation, alone };
        match Configuration::new(lineage, RingEpoch::FIRST, self.settings.replicas, members) {
            Ok(first) => self.learn(&first, now_ms),
            Err(error) => {
                tracing::error!(%error, "the cluster cannot be founded");
                Heard::Nothing
            }
        }
    }
}
