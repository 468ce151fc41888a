//! The wall clock of a simulated node: virtual time, made wrong on purpose.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::net::FixedTime;

/// One node's wall clock. Cheap to clone; all clones are the same clock.
///
/// It follows tokio's paused clock from a common beginning, plus an offset that [`jump`](Self::jump) changes
/// and an error that grows by [`set_drift`](Self::set_drift).
#[derive(Debug, Clone)]
pub struct SimClock {
    started: Instant,
    error: Arc<Mutex<ClockError>>,
}

/// The error of a clock as a function of the true time since the run began. Plain numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct ClockError {
    /// Error at `since_ms`, in thousandths of a millisecond.
    error_us: i64,
    since_ms: u64,
    drift_ppm: i32,
}

impl ClockError {
    fn at_us(&self, elapsed_ms: u64) -> i64 {
        let drifted_ms = i64::try_from(elapsed_ms.saturating_sub(self.since_ms)).unwrap_or(i64::MAX);
        // One part per million of a millisecond is a nanosecond.
        self.error_us.saturating_add(drifted_ms.saturating_mul(i64::from(self.drift_ppm)) / 1000)
    }

    fn settle(&mut self, elapsed_ms: u64) {
        *self = Self { error_us: self.at_us(elapsed_ms), since_ms: elapsed_ms, drift_ppm: self.drift_ppm };
    }
}

impl SimClock {
    /// A right clock. `started` is when the run began, so that all clocks of a run agree.
    pub fn new(started: Instant) -> Self {
        Self { started, error: Arc::default() }
    }

    /// What the clock shows: milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        let elapsed_ms = self.elapsed_ms();
        let right_ms = FixedTime::UNIX_SECONDS * 1000 + elapsed_ms;
        right_ms.saturating_add_signed(self.error.lock().at_us(elapsed_ms).div_euclid(1000))
    }

    /// What a right clock shows.
    pub fn right_ms(&self) -> u64 {
        FixedTime::UNIX_SECONDS * 1000 + self.elapsed_ms()
    }

    /// Moves the clock by `ms`, backwards if negative.
    pub fn jump(&self, ms: i64) {
        let mut error = self.error.lock();
        error.settle(self.elapsed_ms());
        error.error_us = error.error_us.saturating_add(ms.saturating_mul(1000));
    }

    /// Lets the clock run fast (or slow, if negative) by this many millionths from now on.
    pub fn set_drift(&self, ppm: i32) {
        let mut error = self.error.lock();
        error.settle(self.elapsed_ms());
        error.drift_ppm = ppm;
    }

    /// Sets the clock right and lets it run evenly.
    pub fn correct(&self) {
        *self.error.lock() = ClockError::default();
    }

    /// How far the clock is ahead of the truth; behind it if negative. Milliseconds.
    pub fn error_ms(&self) -> i64 {
        self.error.lock().at_us(self.elapsed_ms()).div_euclid(1000)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_virtual_time_and_its_own_errors() {
        let clock = SimClock::new(Instant::now());
        let begin = clock.now_ms();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clock.now_ms() - begin, 10_000);

        clock.jump(-3_000);
        assert_eq!((clock.now_ms() - begin, clock.error_ms()), (7_000, -3_000));

        clock.set_drift(-100);
        tokio::time::advance(Duration::from_secs(20_000)).await;
        assert_eq!(clock.error_ms(), -5_000);
        clock.set_drift(0);
        tokio::time::advance(Duration::from_secs(20_000)).await;
        assert_eq!(clock.error_ms(), -5_000);

        clock.correct();
        assert_eq!(clock.now_ms() - begin, 40_010_000);
    }
}
