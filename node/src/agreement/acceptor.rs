//! The side of an agreement that votes, which every member is.

use super::{Ask, Ballot, ROUNDS_AHEAD_LIMIT, Reply, Request};
use crate::placement::Configuration;

/// What one incarnation has promised and accepted for what follows the latest configuration that it knows. Plain state.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    incarnation: u64,
    agreed: Option<Configuration>,
    promised: Ballot,
    accepted: Option<(Ballot, Configuration)>,
    /// The highest round that was used or heard of, for whatever number.
    round: u64,
}

/// What became of a configuration that was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    /// It is the latest now.
    News,
    /// One at least as late was known.
    Known,
    /// It goes back to another founding, or contradicts the one of its epoch: nothing has changed.
    Foreign,
}

impl Acceptor {
    /// An incarnation that knows of no configuration yet.
    #[must_use]
    pub(crate) fn new(incarnation: u64) -> Self {
        Self { incarnation, agreed: None, promised: Ballot::default(), accepted: None, round: 0 }
    }

    /// The latest configuration that is agreed, as far as is known here.
    #[must_use]
    pub(crate) fn agreed(&self) -> Option<&Configuration> {
        self.agreed.as_ref()
    }

    /// A ballot above all that were used here or heard of.
    pub(crate) fn next_ballot(&mut self) -> Ballot {
        self.round += 1;
        Ballot { round: self.round, proposer: self.incarnation }
    }

    /// Somebody else has promises for this attempt: the [next ballot](Self::next_ballot) lies above it. One that is too far ahead to be
    /// true is not followed.
    pub(crate) fn outbid(&mut self, by: Ballot) {
        if self.is_near(by) {
            self.round = self.round.max(by.round);
        }
    }

    /// Takes in a configuration that was agreed on. Promises for its number and those before are void then: nothing else can be agreed
    /// on under them any more.
    pub(crate) fn learn(&mut self, agreed: &Configuration) -> Learned {
        if let Some(known) = &self.agreed {
            let contradicts = known.epoch() == agreed.epoch() && known != agreed;
            if known.lineage() != agreed.lineage() || contradicts {
                return Learned::Foreign;
            }
            if known.epoch() >= agreed.epoch() {
                return Learned::Known;
            }
        }
        self.agreed = Some(agreed.clone());
        (self.promised, self.accepted) = (Ballot::default(), None);
        Learned::News
    }

    /// Goes over to a cluster that was founded apart from this one. In the former this incarnation has no say any more.
    pub(crate) fn convert(&mut self, agreed: &Configuration) {
        self.agreed = Some(agreed.clone());
        (self.promised, self.accepted) = (Ballot::default(), None);
    }

    /// Answers an incarnation that proposes.
    pub(crate) fn answer(&mut self, from: u64, request: &Request) -> Reply {
        let Request { to, base, ballot, ask } = request;
        let (Ask::Promise(next) | Ask::Accept(next)) = ask;
        let makes_sense = *to == self.incarnation
            && ballot.proposer == from
            && self.is_near(*ballot)
            && base.precedes(next);
        if !makes_sense || self.learn(base) == Learned::Foreign {
            return Reply::NoSay;
        }
        if let Some(agreed) = self.agreed.as_ref().filter(|agreed| agreed.epoch() > base.epoch()) {
            return Reply::Agreed(agreed.clone());
        }
        let may_be_new = matches!(ask, Ask::Promise(_)) || next.recovers(base);
        let is_newcomer = may_be_new && next.names(self.incarnation);
        if !base.names(self.incarnation) && !is_newcomer {
            return Reply::NoSay;
        }
        if *ballot < self.promised {
            return Reply::Refused(self.promised);
        }
        self.promised = *ballot;
        self.round = self.round.max(ballot.round);
        match ask {
            Ask::Promise(_) => Reply::Promised(self.accepted.clone()),
            Ask::Accept(next) => {
                self.accepted = Some((*ballot, next.clone()));
                Reply::Accepted
            }
        }
    }

    fn is_near(&self, ballot: Ballot) -> bool {
        ballot.round > 0 && ballot.round <= self.round.saturating_add(ROUNDS_AHEAD_LIMIT)
    }
}
