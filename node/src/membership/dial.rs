//! When to dial whom: one attempt at a time per address, with a backoff that grows and is jittered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Addresses remembered at most; past it, new ones are not dialed until old ones are forgotten.
const ADDRESSES_LIMIT: usize = 4096;

/// Attempts per address. Plain state; `now` and randomness are passed in.
#[derive(Debug, Default)]
pub(crate) struct DialPlan {
    attempts: BTreeMap<SocketAddr, Attempt>,
}

#[derive(Debug, Clone)]
struct Attempt {
    dialing: bool,
    failures: u32,
    not_before: Instant,
    last_error: Option<String>,
}

impl DialPlan {
    /// Whether to dial now; if so, the attempt counts as begun.
    pub(crate) fn begin(&mut self, addr: SocketAddr, now: Instant) -> bool {
        if !self.attempts.contains_key(&addr) && self.attempts.len() >= ADDRESSES_LIMIT {
            self.attempts.retain(|_, attempt| attempt.dialing || attempt.not_before > now);
            if self.attempts.len() >= ADDRESSES_LIMIT {
                return false;
            }
        }
        let attempt = self.attempts.entry(addr).or_insert(Attempt {
            dialing: false,
            failures: 0,
            not_before: now,
            last_error: None,
        });
        if attempt.dialing || now < attempt.not_before {
            return false;
        }
        attempt.dialing = true;
        true
    }

    /// The attempt led to a connection.
    pub(crate) fn succeeded(&mut self, addr: SocketAddr) {
        self.attempts.remove(&addr);
    }

    /// The attempt failed; the next one waits longer.
    pub(crate) fn failed(&mut self, addr: SocketAddr, error: String, now: Instant, rng: &mut impl Rng) {
        let Some(attempt) = self.attempts.get_mut(&addr) else { return };
        let pause = FIRST_PAUSE.saturating_mul(1 << attempt.failures.min(8)).min(LONGEST_PAUSE);
        attempt.dialing = false;
        attempt.failures += 1;
        attempt.not_before = now + pause.mul_f64(rng.random_range(0.5..1.0));
        attempt.last_error = Some(error);
    }

    /// A connection stood, but who is there does not belong here: the next attempt waits as long as any.
    pub(crate) fn estranged(&mut self, addr: SocketAddr, error: String, now: Instant, rng: &mut impl Rng) {
        let pause = LONGEST_PAUSE.mul_f64(rng.random_range(0.5..1.0));
        let failures = self.attempts.get(&addr).map_or(0, |attempt| attempt.failures) + 1;
        let attempt = Attempt { dialing: false, failures, not_before: now + pause, last_error: Some(error) };
        self.attempts.insert(addr, attempt);
    }

    /// How many attempts failed in a row, and how the last one did.
    pub(crate) fn trouble(&self, addr: SocketAddr) -> Option<(u32, String)> {
        let attempt = self.attempts.get(&addr)?;
        Some((attempt.failures, attempt.last_error.clone()?))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_single_and_pause_longer_after_each_failure() {
        let (mut plan, mut rng) = (DialPlan::default(), SmallRng::seed_from_u64(1));
        let addr = SocketAddr::from(([10, 0, 0, 1], 7400));
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(plan.begin(addr, now));
            assert!(!plan.begin(addr, now), "one at a time");
            plan.failed(addr, "no answer".into(), now, &mut rng);
            assert!(!plan.begin(addr, now), "not at once");
            let pause = plan.attempts[&addr].not_before - now;
            pauses.push(pause);
            now += pause;
        }
        assert!(pauses[0] < pauses[4] && pauses.iter().all(|pause| *pause <= LONGEST_PAUSE), "{pauses:?}");
        assert_eq!(plan.trouble(addr), Some((8, "no answer".into())));
        assert!(plan.begin(addr, now));
        plan.succeeded(addr);
        assert_eq!(plan.trouble(addr), None);
    }
}
