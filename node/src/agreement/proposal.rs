//! The side of an agreement that proposes.

use std::collections::BTreeSet;

use super::{Ask, Ballot, Reply, Request};
use crate::placement::Configuration;

/// One attempt to have a configuration agreed on. Plain state: requests out, replies in.
///
/// [`request`](Self::request) goes to all of [`asked`](Self::asked), again whenever [`Progress::Asks`] says so; a reply that was lost
/// may be asked for again. An attempt that stays without answers is given up for one of a later round.
#[derive(Debug, Clone)]
pub struct Proposal {
    base: Configuration,
    ballot: Ballot,
    /// What is to be agreed on: the proposer's wish, until it hears of something that may have been agreed on already.
    next: Configuration,
    step: Step,
    /// Incarnations that promised or accepted in this step.
    votes: BTreeSet<u64>,
    /// The latest attempt in which something was accepted, as far as was heard.
    latest: Ballot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Promises,
    Acceptances,
    Over,
}

/// What came of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More replies are needed.
    Waits,
    /// The next request goes out.
    Asks,
    /// This is agreed: tell everybody. It need not be what was wished for.
    Agreed(Configuration),
    /// Somebody has the promises of a later attempt. Try again above its round, after a random while.
    Outbid(Ballot),
}

impl Proposal {
    /// Proposes `wish` as what follows `base`. `round` lies above all that this incarnation has used or heard of for that number.
    ///
    /// # Panics
    /// If the wish does not [follow](Configuration::precedes) the base.
    #[must_use]
    pub fn new(base: Configuration, wish: Configuration, ballot: Ballot) -> Self {
        assert!(base.precedes(&wish), "one change at a time");
        let (step, votes, latest) = (Step::Promises, BTreeSet::new(), Ballot::default());
        Self { base, ballot, next: wish, step, votes, latest }
    }

    /// What is asked now.
    #[must_use]
    pub fn request(&self) -> Request {
        let ask = match self.step {
            Step::Promises => Ask::Promise(self.next.clone()),
            Step::Acceptances | Step::Over => Ask::Accept(self.next.clone()),
        };
        Request { base: self.base.clone(), ballot: self.ballot, ask }
    }

    /// The incarnations that are asked now.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<u64> {
        let base = self.base.members().iter().map(|member| member.incarnation);
        let next = self.next.members().iter().filter(|_| self.step == Step::Promises);
        base.chain(next.map(|member| member.incarnation)).collect()
    }

    /// Takes in the reply of an incarnation to the [`request`](Self::request) of `ballot` and of this step: `ask` says of which.
    pub fn hear(&mut self, from: u64, ask: &Ask, reply: Reply) -> Progress {
        if self.step == Step::Over {
            return Progress::Waits;
        }
        match reply {
            Reply::Agreed(agreed) => {
                self.step = Step::Over;
                Progress::Agreed(agreed)
            }
            Reply::Refused(ballot) if ballot > self.ballot => {
                self.step = Step::Over;
                Progress::Outbid(ballot)
            }
            Reply::Promised(accepted) if self.step == Step::Promises && matches!(ask, Ask::Promise(_)) => {
                if let Some((ballot, next)) = accepted
                    && ballot > self.latest
                    && self.base.precedes(&next)
                {
                    // It may be agreed on already: nothing else may be proposed.
                    (self.latest, self.next) = (ballot, next);
                }
                self.votes.insert(from);
                // What may be agreed on already needs nobody's consent any more.
                let is_wish = self.latest == Ballot::default();
                if !self.base.is_majority(&self.votes) || is_wish && !self.next.is_majority(&self.votes) {
                    return Progress::Waits;
                }
                self.step = Step::Acceptances;
                self.votes.clear();
                Progress::Asks
            }
            Reply::Accepted if self.step == Step::Acceptances && matches!(ask, Ask::Accept(_)) => {
                self.votes.insert(from);
                if !self.base.is_majority(&self.votes) {
                    return Progress::Waits;
                }
                self.step = Step::Over;
                Progress::Agreed(self.next.clone())
            }
            Reply::Promised(_) | Reply::Accepted | Reply::Refused(_) | Reply::NoMember => Progress::Waits,
        }
    }
}
