//! The side of an agreement that proposes.

use std::collections::BTreeSet;

use super::{Acceptor, Ask, Ballot, Reply, Request};
use crate::placement::Configuration;

/// One attempt to have a configuration agreed on. Plain state: requests out, replies in.
///
/// The [`requests`](Self::requests) go out, again whenever [`Progress::Asks`] says so; one whose reply was lost may be sent again. An
/// attempt that stays without answers is given up for a new one.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    base: Configuration,
    ballot: Ballot,
    quorum: Quorum,
    /// What is to be agreed on: the proposer's wish, until it hears of something that may have been agreed on already.
    next: Configuration,
    step: Step,
    /// Incarnations that promised or accepted in this step.
    votes: BTreeSet<u64>,
    /// The latest attempt in which something was accepted, as far as was heard.
    latest: Option<Ballot>,
}

/// Who has to answer.
#[derive(Debug, Clone)]
enum Quorum {
    /// More than half of the members.
    Majority,
    /// All of these, because all others are dead.
    All(BTreeSet<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Promises,
    Acceptances,
    Over,
}

/// What came of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More replies are needed.
    Waits,
    /// The next requests go out.
    Asks,
    /// This is agreed: tell everybody. It need not be what was wished for.
    Agreed(Configuration),
    /// Somebody has the promises of a later attempt: tell the [acceptor](Acceptor::outbid), and try again after a random while.
    Outbid(Ballot),
}

impl Proposal {
    /// Proposes `wish` as what follows the latest configuration that this incarnation knows. `None` if it does
    /// not [follow](Configuration::precedes) that one, which may have changed since the wish was made.
    ///
    /// A wish that [recovers](Configuration::recovers) is agreed on by all its members and nobody else: only to be made while every
    /// other member of the latest configuration is dead for certain.
    #[must_use]
    pub(crate) fn new(acceptor: &mut Acceptor, wish: Configuration) -> Option<Self> {
        let base = acceptor.agreed().filter(|base| base.precedes(&wish))?.clone();
        let ballot = acceptor.next_ballot();
        let quorum = match wish.recovers(&base) {
            true => Quorum::All(wish.members().iter().map(|member| member.incarnation).collect()),
            false => Quorum::Majority,
        };
        Some(Self {
            base,
            ballot,
            quorum,
            next: wish,
            step: Step::Promises,
            votes: BTreeSet::new(),
            latest: None,
        })
    }

    /// What is asked now, of each incarnation that has a say and has not said yes: this one too.
    #[must_use]
    pub(crate) fn requests(&self) -> Vec<Request> {
        let (newcomers, ask) = match self.step {
            Step::Promises => (self.next.members(), Ask::Promise(self.next.clone())),
            Step::Acceptances | Step::Over => (&[][..], Ask::Accept(self.next.clone())),
        };
        let voters = match &self.quorum {
            Quorum::Majority => self.base.members().iter().map(|member| member.incarnation).collect(),
            Quorum::All(survivors) => survivors.clone(),
        };
        let newcomers = newcomers.iter().map(|member| member.incarnation);
        let asked: BTreeSet<u64> =
            voters.into_iter().chain(newcomers).filter(|to| !self.votes.contains(to)).collect();
        let request = |to| Request { to, base: self.base.clone(), ballot: self.ballot, ask: ask.clone() };
        asked.into_iter().map(request).collect()
    }

    /// Takes in the reply to one of the requests. Those to another attempt or step count for nothing.
    pub(crate) fn hear(&mut self, request: &Request, reply: Reply) -> Progress {
        let is_step = match request.ask {
            Ask::Promise(_) => self.step == Step::Promises,
            Ask::Accept(_) => self.step == Step::Acceptances,
        };
        if !is_step || request.ballot != self.ballot || request.base != self.base {
            return Progress::Waits;
        }
        match reply {
            Reply::Agreed(agreed) if agreed.is_later_than(&self.base) => {
                self.step = Step::Over;
                Progress::Agreed(agreed)
            }
            Reply::Refused(ballot) if ballot > self.ballot => {
                self.step = Step::Over;
                Progress::Outbid(ballot)
            }
            Reply::Promised(accepted) if self.step == Step::Promises => self.promised(request.to, accepted),
            Reply::Accepted if self.step == Step::Acceptances => {
                self.votes.insert(request.to);
                if !self.is_quorum() {
                    return Progress::Waits;
                }
                self.step = Step::Over;
                Progress::Agreed(self.next.clone())
            }
            _ => Progress::Waits,
        }
    }

    fn promised(&mut self, from: u64, accepted: Option<(Ballot, Configuration)>) -> Progress {
        if let Some((ballot, next)) = accepted {
            if !self.base.precedes(&next) {
                // What it may stand for is not known.
                return Progress::Waits;
            }
            // What a majority may have agreed on gives way to what a recovery agrees on; and another recovery has another epoch.
            let counts = matches!(self.quorum, Quorum::Majority);
            if counts && self.latest.is_none_or(|latest| ballot > latest) {
                // It may be agreed on already: nothing else may be proposed.
                (self.latest, self.next) = (Some(ballot), next);
            }
        }
        self.votes.insert(from);
        // What may be agreed on already needs no newcomer's consent any more.
        let consent = self.latest.is_some() || self.next.is_majority(&self.votes);
        if !consent || !self.is_quorum() {
            return Progress::Waits;
        }
        self.step = Step::Acceptances;
        self.votes.clear();
        Progress::Asks
    }

    fn is_quorum(&self) -> bool {
        match &self.quorum {
            Quorum::Majority => self.base.is_majority(&self.votes),
            Quorum::All(survivors) => survivors.is_subset(&self.votes),
        }
    }
}
