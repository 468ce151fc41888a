//! Hybrid logical time: wall time where clocks agree, a counter where they do not.
//!
//! Wall time is always a parameter. Which peers' clocks deserve trust is decided by the node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in hybrid logical time: 48 bits of Unix milliseconds over 16 bits of counter, so that comparing
/// the number compares the time. Good until the year 10889.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(u64);

/// The hybrid logical clock of one node.
///
/// It never goes back, whatever the wall clock does, and what it issues lies strictly above everything
/// that it has issued or observed. At [`Hlc::MAX`], which only a caller that admits any remote time
/// can reach, there is nothing above and it stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    last: Hlc,
}

/// A remote time lies too far ahead of this node's wall clock to be followed. The clock that was asked
/// to follow it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the time is {ahead_ms} ms ahead of this node's clock: check the clocks of both nodes, then send it again"
)]
pub struct FutureTime {
    /// How far ahead of the wall clock, in milliseconds.
    pub ahead_ms: u64,
}

const COUNTER_BITS: u32 = 16;
const MILLIS_MAX: u64 = (1 << (64 - COUNTER_BITS)) - 1;

impl Hlc {
    /// Before every time that a clock issues.
    pub const ZERO: Self = Self(0);
    /// The last representable time.
    pub const MAX: Self = Self(u64::MAX);

    /// The time at `millis` Unix milliseconds and `counter`. Milliseconds beyond 48 bits count as the
    /// greatest that fit.
    pub const fn from_parts(millis: u64, counter: u16) -> Self {
        let millis = if millis > MILLIS_MAX { MILLIS_MAX } else { millis };
        Self((millis << COUNTER_BITS) | counter as u64)
    }

    /// The time of that number, as [`Hlc::bits`] gave it.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The whole time as one number that orders as the time does.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Unix milliseconds, without the counter.
    pub const fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// The counter that orders times within one millisecond.
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for Hlc {
    /// `millis.counter`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.counter())
    }
}

impl Clock {
    /// A clock that has neither issued nor observed anything.
    pub const fn new() -> Self {
        Self { last: Hlc::ZERO }
    }

    /// The latest time that was issued or observed, which is what messages to other nodes carry.
    pub const fn now(&self) -> Hlc {
        self.last
    }

    /// Issues a time strictly above everything issued or observed, and at or above `wall_ms` (Unix
    /// milliseconds). A full counter carries into the milliseconds.
    pub fn tick(&mut self, wall_ms: u64) -> Hlc {
        self.tick_above(wall_ms, Hlc::ZERO)
    }

    /// Like [`Clock::tick`], and also strictly above `floor`. The clock follows `floor` however far ahead
    /// it lies: admit remote times by [`Clock::observe`] before one becomes a floor.
    pub fn tick_above(&mut self, wall_ms: u64, floor: Hlc) -> Hlc {
        let after = Hlc(self.last.max(floor).0.saturating_add(1));
        self.last = after.max(Hlc::from_parts(wall_ms, 0));
        self.last
    }

    /// Moves past a time that another node sent, so that later ticks lie above it.
    ///
    /// # Errors
    /// [`FutureTime`] when `remote` is more than `max_ahead_ms` ahead of `wall_ms`. The clock is untouched
    /// then: one wrong clock must not drag the whole cluster into the future.
    pub fn observe(&mut self, remote: Hlc, wall_ms: u64, max_ahead_ms: u64) -> Result<(), FutureTime> {
        let ahead_ms = remote.millis().saturating_sub(wall_ms);
        if ahead_ms > max_ahead_ms {
            return Err(FutureTime { ahead_ms });
        }
        self.last = self.last.max(remote);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_order_by_time_then_counter() {
        let time = Hlc::from_parts(1_790_000_000_123, 7);
        assert_eq!((time.millis(), time.counter()), (1_790_000_000_123, 7));
        assert_eq!(Hlc::from_bits(time.bits()), time);
        assert!(Hlc::from_parts(5, u16::MAX) < Hlc::from_parts(6, 0));
        assert_eq!(Hlc::from_parts(u64::MAX, u16::MAX), Hlc::MAX);
        assert_eq!(time.to_string(), "1790000000123.7");
    }

    #[test]
    fn follows_the_wall_clock_when_it_is_ahead() {
        let mut clock = Clock::new();
        assert_eq!(clock.tick(100), Hlc::from_parts(100, 0));
        assert_eq!(clock.tick(100), Hlc::from_parts(100, 1));
        assert_eq!(clock.tick(101), Hlc::from_parts(101, 0));
        assert_eq!(clock.now(), Hlc::from_parts(101, 0));
    }

    #[test]
    fn never_goes_back_with_the_wall_clock() {
        let mut clock = Clock::new();
        let before = clock.tick(1_000_000);
        assert_eq!(clock.tick(0), Hlc::from_bits(before.bits() + 1));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = Clock::new();
        clock.observe(Hlc::from_parts(50, u16::MAX), 50, 0).unwrap();
        assert_eq!(clock.tick(50), Hlc::from_parts(51, 0));
    }

    #[test]
    fn goes_above_a_floor_and_what_it_observed() {
        let mut clock = Clock::new();
        assert_eq!(clock.tick_above(10, Hlc::from_parts(20, 3)), Hlc::from_parts(20, 4));
        clock.observe(Hlc::from_parts(25, 9), 24, 1).unwrap();
        assert_eq!(clock.tick(11), Hlc::from_parts(25, 10));
    }

    #[test]
    fn refuses_the_far_future_and_stays_as_it_was() {
        let mut clock = Clock::new();
        clock.tick(1_000);
        let before = clock.clone();
        assert_eq!(clock.observe(Hlc::from_parts(1_502, 0), 1_001, 500), Err(FutureTime { ahead_ms: 501 }));
        assert_eq!(clock.observe(Hlc::MAX, 1_001, 500).map_err(|e| e.ahead_ms > 500), Err(true));
        assert_eq!(clock, before);
        clock.observe(Hlc::from_parts(1_501, u16::MAX), 1_001, 500).unwrap();
    }

    #[test]
    fn stays_at_the_end_of_time() {
        let mut clock = Clock::new();
        assert_eq!(clock.tick_above(0, Hlc::MAX), Hlc::MAX);
        assert_eq!(clock.tick(u64::MAX), Hlc::MAX);
    }
}
