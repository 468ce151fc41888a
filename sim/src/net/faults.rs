//! What a link does to a datagram: pure decisions, with the random numbers passed in.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use serde::Serialize;

/// How badly a link behaves. Shares are probabilities per datagram, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LinkFaults {
    /// Time every datagram takes at least.
    pub latency_ms: u64,
    /// Up to this is added, evenly. Order on the link is kept all the same: see `reorder_share`.
    pub jitter_ms: u64,
    /// Datagrams that vanish.
    pub loss_share: f64,
    /// Datagrams that arrive twice, the second one late.
    pub duplicate_share: f64,
    /// Datagrams that are held back, so that later ones overtake them.
    pub reorder_share: f64,
    /// The longest time that a duplicate or a datagram out of order is held back.
    pub hold_back_ms_max: u64,
    /// Datagrams in which a few bits flip.
    pub corrupt_share: f64,
}

impl LinkFaults {
    /// Two milliseconds each way and nothing else.
    pub const NONE: Self = Self {
        latency_ms: 2,
        jitter_ms: 0,
        loss_share: 0.0,
        duplicate_share: 0.0,
        reorder_share: 0.0,
        hold_back_ms_max: 0,
        corrupt_share: 0.0,
    };

    /// Draws a network that is bad in every way, but lets most datagrams through.
    pub fn draw(rng: &mut SmallRng) -> Self {
        // Whole thousandths, so that what is printed is what was used.
        let mut share = |most_permille: u32| f64::from(rng.random_range(0..=most_permille)) / 1000.0;
        let (loss_share, duplicate_share) = (share(100), share(50));
        let (reorder_share, corrupt_share) = (share(50), share(20));
        Self {
            latency_ms: rng.random_range(1..=40),
            jitter_ms: rng.random_range(0..=40),
            loss_share,
            duplicate_share,
            reorder_share,
            hold_back_ms_max: rng.random_range(10..=400),
            corrupt_share,
        }
    }

    /// Decides what becomes of one datagram.
    pub(crate) fn fate(&self, rng: &mut SmallRng) -> Fate {
        if rng.random_bool(self.loss_share) {
            return Fate::Lost;
        }
        let delay_ms = self.latency_ms + rng.random_range(0..=self.jitter_ms);
        let held_back = rng.random_bool(self.reorder_share);
        let extra_ms = if held_back { rng.random_range(0..=self.hold_back_ms_max) } else { 0 };
        let duplicate = rng.random_bool(self.duplicate_share);
        Fate::Arrives(Arrival {
            delay: Duration::from_millis(delay_ms + extra_ms),
            in_order: !held_back,
            duplicate_delay: duplicate
                .then(|| Duration::from_millis(delay_ms + rng.random_range(0..=self.hold_back_ms_max))),
            corrupt: rng.random_bool(self.corrupt_share),
        })
    }
}

impl Default for LinkFaults {
    fn default() -> Self {
        Self::NONE
    }
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Arrives(Arrival),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) delay: Duration,
    /// Whether it must not overtake what was sent on the same link before.
    pub(crate) in_order: bool,
    pub(crate) duplicate_delay: Option<Duration>,
    pub(crate) corrupt: bool,
}

/// Flips one to three bits, as a faulty card behind a good checksum would.
pub(crate) fn corrupt(payload: &mut [u8], rng: &mut SmallRng) {
    if payload.is_empty() {
        return;
    }
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(0..payload.len());
        payload[at] ^= 1 << rng.random_range(0..8);
    }
}
