//! Agreeing on the next configuration: single-decree Paxos for each number, among the members of the configuration before it
//! (Lamport, "Paxos Made Simple", 2001).
//!
//! A majority of those decides. Before a proposer asks for that, a majority of the members that its configuration would have must
//! have answered as well: nothing is begun that leaves too few to go on. To wait for them later would be worse: what somebody
//! accepted already has to be proposed by whoever comes next, also if the newcomer has died since. A side without a majority
//! changes nothing.
//!
//! When so many members have died that no majority is left, nothing could be agreed on ever again. Then the survivors may recover: all
//! of them, in the same two steps, go on alone under the next generation. What a majority that died as a whole had agreed on
//! without telling any of them belongs to the generation before, and gives way. Where no member survives, those that bear their names now
//! do the same, if some member lived long enough to tell them. That is sound only if the others are dead for certain: silence
//! proves nothing.
//!
//! Members have nothing but memory. One that starts anew has lost its promises, so it is another incarnation, and votes only
//! once a configuration names that one: every request says which incarnation it is for.

mod acceptor;
mod proposal;

use serde::{Deserialize, Serialize};

use crate::placement::Configuration;

pub(crate) use acceptor::{Acceptor, Learned};
pub(crate) use proposal::{Progress, Proposal};

/// Rounds that one attempt may be ahead of all that were heard of: nobody raises them so far in earnest.
const ROUNDS_AHEAD_LIMIT: u64 = 1 << 32;

/// An attempt to have something agreed. Later ones are greater. [`Acceptor::next_ballot`] makes them; none is made twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Ballot {
    round: u64,
    /// The incarnation that makes the attempt.
    proposer: u64,
}

/// What a proposer asks of one incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The incarnation that is asked, and no other of its name.
    pub(crate) to: u64,
    /// The latest configuration that is agreed, as far as the proposer knows.
    pub(crate) base: Configuration,
    /// Its attempt.
    pub(crate) ballot: Ballot,
    /// What is asked.
    pub(crate) ask: Ask,
}

/// A step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Promise to take part in no earlier attempt, and say what you accepted. This is what the proposer would have agreed on.
    Promise(Configuration),
    /// Accept this as the next configuration.
    Accept(Configuration),
}

/// An answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// No earlier attempt will be taken part in. What was accepted in one, if anything.
    Promised(Option<(Ballot, Configuration)>),
    /// It is accepted.
    Accepted,
    /// A later attempt has the promise.
    Refused(Ballot),
    /// The number was agreed on already: this is the latest configuration that is known here.
    Agreed(Configuration),
    /// This incarnation has no say in that, or the request makes no sense.
    NoSay,
}

#[cfg(test)]
mod tests;
