//! The stamp of a write, and what mints it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActorId, Clock, Dot, Hlc};

/// When and by whom a write was made. Stamps are totally ordered: by time, then actor, then sequence.
///
/// Because a write is minted above the state that it replaces, this order extends causal order: whatever
/// saw another write lies above it. So the greater of two stamps may always win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the clock of the node that minted it.
    pub time: Hlc,
    /// By whom.
    pub actor: ActorId,
    /// Which of that actor's writes, from 1.
    pub seq: u64,
}

impl Stamp {
    /// Below every stamp that is minted.
    pub const ZERO: Self = Self { time: Hlc::ZERO, actor: ActorId::new(0), seq: 0 };

    /// Marks the sequence of a stamp that no write has.
    const DERIVED: u64 = 1 << 63;

    /// A stamp at `time` that follows from this one and is the same wherever it is derived. No write has it, and its
    /// actor is none that writes: a vector that covers it says nothing about the writes of this stamp's actor.
    pub(crate) const fn derive(self, time: Hlc) -> Self {
        Self { time, actor: ActorId::new(!self.actor.get()), seq: self.seq | Self::DERIVED }
    }

    /// Whether it follows from another stamp, so that no write has it.
    pub const fn is_derived(self) -> bool {
        self.seq & Self::DERIVED != 0
    }

    /// Whose write it is, or follows from.
    pub const fn writer(self) -> ActorId {
        if self.is_derived() { ActorId::new(!self.actor.get()) } else { self.actor }
    }

    /// The name of the write, without its time.
    pub const fn dot(self) -> Dot {
        Dot { actor: self.actor, seq: self.seq }
    }
}

impl fmt::Display for Stamp {
    /// `millis.counter@actor#seq`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.time, self.dot())
    }
}

/// Mints the stamps of one incarnation of one node: its actor, a dense sequence and its clock.
///
/// There must be one minter per actor, never a copy of it: two would give one name to two writes.
#[derive(Debug)]
pub struct Minter {
    actor: ActorId,
    seq: u64,
    clock: Clock,
}

impl Minter {
    /// A minter whose first stamp has sequence 1. `actor` must never have been used before.
    pub const fn new(actor: ActorId) -> Self {
        Self { actor, seq: 0, clock: Clock::new() }
    }

    /// Mints a stamp strictly above all stamps that it minted, all times that its clock observed and
    /// `above`: the newest stamp of the state that is being replaced ([`Entry::newest`](crate::Entry::newest))
    /// or of the context that the client sent. `wall_ms` is Unix milliseconds.
    pub fn mint(&mut self, wall_ms: u64, above: Option<Stamp>) -> Stamp {
        let floor = above.map_or(Hlc::ZERO, |stamp| stamp.time);
        self.seq += 1;
        Stamp { time: self.clock.tick_above(wall_ms, floor), actor: self.actor, seq: self.seq }
    }

    /// The incarnation that it mints for.
    pub const fn actor(&self) -> ActorId {
        self.actor
    }

    /// Its clock, whose time messages to other nodes carry.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its clock, to move it past what other nodes sent.
    pub const fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_time_then_actor_then_sequence() {
        let stamp = |ms, actor, seq| Stamp { time: Hlc::from_parts(ms, 0), actor: ActorId::new(actor), seq };
        assert!(Stamp::ZERO < stamp(1, 0, 0));
        assert!(stamp(1, 9, 9) < stamp(2, 1, 1));
        assert!(stamp(1, 1, 9) < stamp(1, 2, 1));
        assert!(stamp(1, 1, 1) < stamp(1, 1, 2));
        assert_eq!(stamp(3, 1, 2).to_string(), "3.0@0000000000000001#2");
    }

    #[test]
    fn sequences_are_dense_from_one() {
        let mut minter = Minter::new(ActorId::new(4));
        let seqs: Vec<u64> = (0..4).map(|_| minter.mint(5, None).seq).collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
        assert_eq!(minter.actor(), ActorId::new(4));
    }

    #[test]
    fn mints_above_what_it_replaces_also_when_the_wall_clock_is_far_behind() {
        let seen = Stamp { time: Hlc::from_parts(900, u16::MAX), actor: ActorId::new(u64::MAX), seq: 1 };
        let mut minter = Minter::new(ActorId::new(0));
        let stamp = minter.mint(3, Some(seen));
        assert!(stamp > seen);
        assert_eq!(stamp.time, Hlc::from_parts(901, 0));
        minter.clock_mut().observe(Hlc::from_parts(950, 0), 940, 10).unwrap();
        assert!(minter.mint(3, None).time > minter.clock().now().min(Hlc::from_parts(950, 0)));
    }
}
