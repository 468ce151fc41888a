//! How this node's wall clock compares with those of its peers, and whether it can be trusted.
//!
//! Every clock is kept as an *offset*: what must be added to this process's monotonic time to get what that clock shows.
//! So a reading of a peer's clock stays good when this node's own wall clock is set, and that is noticed without asking
//! anybody. Plain state: monotonic milliseconds and readings are passed in.

use std::collections::{BTreeMap, VecDeque};

use rumour_transport::NodeId;

/// Readings kept of one peer's clock.
const SAMPLES_LIMIT: usize = 8;
/// Peers whose clocks are remembered at most; the median of so many is good enough.
const PEERS_LIMIT: usize = 1024;
/// How long a reading counts while the peer cannot be asked again.
const SAMPLE_KEPT_MS: u64 = 300_000;
/// Judgements that must agree before a clock is called faulty, or right again.
const JUDGEMENTS_NEEDED: u8 = 2;
/// Honest clocks drift against each other by less: a reading grows uncertain by a millisecond in so many.
const DRIFT_MS_PER_MS: u64 = 2_000;
/// The latest time that a stamp can hold; what is beyond is no reading of a clock.
const WALL_MS_MAX: u64 = (1 << 48) - 1;

/// The clocks of this node and its peers.
pub(crate) struct Skew {
    limit_ms: u64,
    own: Trust,
    peers: BTreeMap<NodeId, PeerClock>,
    /// What this node goes by: added to monotonic time it gives the present time.
    offset_ms: i64,
    /// Whether the peers' clocks were heard, so that a verdict counts.
    settled: bool,
    /// Whether `offset_ms` has ever been in accord with the peers, or there were none.
    anchored: bool,
}

/// One answer of a peer, in this node's monotonic milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// When it was asked.
    pub(crate) sent_ms: u64,
    /// When the answer came.
    pub(crate) received_ms: u64,
    /// What its wall clock showed in between.
    pub(crate) wall_ms: u64,
}

/// What follows from all clocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Judgement {
    /// What to go by: the offset of the present time.
    pub(crate) offset_ms: i64,
    /// The offset of the peers' median, if a peer's clock is known.
    pub(crate) median_ms: Option<i64>,
    /// How far this node's clock is off, when it is not to be trusted.
    pub(crate) fault: Option<Off>,
    /// Peers and this node (`None`) whose clocks became faulty (with how far they are off) or right again.
    pub(crate) changes: Vec<(Option<NodeId>, Option<i64>)>,
}

/// How far a clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Off {
    /// Ahead of its peers' median if positive, behind it if negative.
    pub(crate) off_ms: i64,
    /// How many peers that is the median of.
    pub(crate) peers: usize,
}

struct PeerClock {
    incarnation: u64,
    samples: VecDeque<Sample>,
    trust: Trust,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    taken_ms: u64,
    offset_ms: i64,
    error_ms: u64,
}

/// One clock's standing. It changes only when several judgements agree.
#[derive(Default)]
struct Trust {
    faulty: bool,
    against: u8,
}

/// A clock as an interval that it surely lies in.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    offset_ms: i64,
    error_ms: i64,
}

/// All clocks, sorted, to take medians from.
struct Sorted {
    low: Vec<i64>,
    middle: Vec<i64>,
    high: Vec<i64>,
}

/// How far off a clock seems to be, and how far it is at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deviation {
    seeming_ms: i64,
    certain_ms: u64,
}

impl Skew {
    /// A clock that is more than `limit_ms` off its peers' median is faulty. `wall_offset_ms`: this node's own clock.
    pub(crate) fn new(limit_ms: u64, wall_offset_ms: i64) -> Self {
        Self {
            limit_ms,
            own: Trust::default(),
            peers: BTreeMap::new(),
            offset_ms: wall_offset_ms,
            settled: false,
            anchored: false,
        }
    }

    /// Takes a reading of a peer's clock in; gives whether it was of use. It is not when the round trip took so long that
    /// it would tell nothing.
    pub(crate) fn read(&mut self, peer: &NodeId, incarnation: u64, reading: Reading) -> bool {
        let round_trip_ms = reading.received_ms.saturating_sub(reading.sent_ms);
        if round_trip_ms > self.limit_ms.saturating_mul(2) || reading.wall_ms > WALL_MS_MAX {
            return false;
        }
        if !self.peers.contains_key(peer) && self.peers.len() >= PEERS_LIMIT {
            return false;
        }
        let sample = Sample {
            taken_ms: reading.received_ms,
            offset_ms: signed(reading.wall_ms) - signed(reading.sent_ms + round_trip_ms / 2),
            // Clocks are read in whole milliseconds.
            error_ms: round_trip_ms / 2 + 1,
        };
        let fresh = || PeerClock { incarnation, samples: VecDeque::new(), trust: Trust::default() };
        let clock = self.peers.entry(peer.clone()).or_insert_with(fresh);
        if clock.incarnation != incarnation {
            *clock = fresh();
        }
        // Where two readings cannot both be right, the clock was set between them.
        clock.samples.retain(|old| !old.contradicts(&sample));
        clock.samples.push_back(sample);
        if clock.samples.len() > SAMPLES_LIMIT {
            clock.samples.pop_front();
        }
        true
    }

    /// Forgets a peer that has left.
    pub(crate) fn forget(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }

    /// Whether this incarnation's clock was read.
    pub(crate) fn knows(&self, peer: &NodeId, incarnation: u64) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|clock| clock.incarnation == incarnation && !clock.samples.is_empty())
    }

    /// From now on verdicts count: the clocks of all peers within reach were read. The next judgement is final at once.
    pub(crate) fn settle(&mut self) {
        if !self.settled {
            self.settled = true;
            self.own.against = JUDGEMENTS_NEEDED;
        }
    }

    /// Judges all clocks. `wall_offset_ms` is this node's own; call it several times a second.
    pub(crate) fn judge(&mut self, wall_offset_ms: i64, now_ms: u64) -> Judgement {
        for clock in self.peers.values_mut() {
            clock.samples.retain(|sample| now_ms.saturating_sub(sample.taken_ms) <= SAMPLE_KEPT_MS);
        }
        self.peers.retain(|_, clock| !clock.samples.is_empty());
        if !self.settled {
            self.offset_ms = wall_offset_ms;
            return Judgement { offset_ms: wall_offset_ms, ..Judgement::default() };
        }
        let own = Estimate { offset_ms: wall_offset_ms, error_ms: 0 };
        let sorted = self.sorted(own, now_ms);
        let mut changes = Vec::new();
        for (node, clock) in &mut self.peers {
            let Some(estimate) = clock.estimate(now_ms) else { continue };
            let deviation = sorted.deviation(estimate);
            if clock.trust.weigh(deviation, self.limit_ms) {
                changes.push((Some(node.clone()), clock.trust.faulty.then_some(deviation.seeming_ms)));
            }
        }
        if self.peers.is_empty() {
            self.anchored = true;
            if std::mem::take(&mut self.own).faulty {
                changes.push((None, None));
            }
            self.offset_ms = wall_offset_ms;
            return Judgement { offset_ms: wall_offset_ms, changes, ..Judgement::default() };
        }
        let deviation = sorted.deviation(own);
        let median_ms = wall_offset_ms - deviation.seeming_ms;
        if self.own.weigh(deviation, self.limit_ms) {
            changes.push((None, self.own.faulty.then_some(deviation.seeming_ms)));
        }
        if self.own.faulty {
            // Of two clocks nobody knows which is wrong: what was right until now goes on.
            if self.peers.len() > 1 || !self.anchored {
                self.offset_ms = median_ms;
            }
        } else if deviation.certain_ms <= self.limit_ms {
            self.offset_ms = wall_offset_ms;
            self.anchored = true;
        }
        let fault = self.own.faulty.then_some(Off { off_ms: deviation.seeming_ms, peers: self.peers.len() });
        Judgement { offset_ms: self.offset_ms, median_ms: Some(median_ms), fault, changes }
    }

    /// How far each known clock is off the median of all others', this node's own (`None`) included, and whether that is a
    /// fault.
    pub(crate) fn offs(&self, wall_offset_ms: i64, now_ms: u64) -> Vec<(Option<NodeId>, i64, bool)> {
        if self.peers.is_empty() {
            return Vec::new();
        }
        let own = Estimate { offset_ms: wall_offset_ms, error_ms: 0 };
        let sorted = self.sorted(own, now_ms);
        let peers = self.peers.iter().filter_map(|(node, clock)| {
            let deviation = sorted.deviation(clock.estimate(now_ms)?);
            Some((Some(node.clone()), deviation.seeming_ms, clock.trust.faulty))
        });
        std::iter::once((None, sorted.deviation(own).seeming_ms, self.own.faulty)).chain(peers).collect()
    }

    fn sorted(&self, own: Estimate, now_ms: u64) -> Sorted {
        let peers = self.peers.values().filter_map(|clock| clock.estimate(now_ms));
        let clocks: Vec<Estimate> = std::iter::once(own).chain(peers).collect();
        let sort = |edge: fn(&Estimate) -> i64| {
            let mut edges: Vec<i64> = clocks.iter().map(edge).collect();
            edges.sort_unstable();
            edges
        };
        Sorted { low: sort(Estimate::low), middle: sort(|clock| clock.offset_ms), high: sort(Estimate::high) }
    }
}

impl PeerClock {
    /// The most certain reading.
    fn estimate(&self, now_ms: u64) -> Option<Estimate> {
        let best = self.samples.iter().min_by_key(|sample| sample.error_at(now_ms))?;
        Some(Estimate { offset_ms: best.offset_ms, error_ms: signed(best.error_at(now_ms)) })
    }
}

impl Sample {
    fn error_at(&self, now_ms: u64) -> u64 {
        self.error_ms + now_ms.saturating_sub(self.taken_ms) / DRIFT_MS_PER_MS
    }

    fn contradicts(&self, later: &Self) -> bool {
        self.offset_ms.abs_diff(later.offset_ms) > self.error_at(later.taken_ms) + later.error_ms
    }
}

impl Trust {
    /// Takes one judgement in; gives whether the clock's standing changed.
    fn weigh(&mut self, deviation: Deviation, limit_ms: u64) -> bool {
        let disagrees = match self.faulty {
            false => deviation.certain_ms > limit_ms,
            // A little less than what makes a fault, so that a clock at the edge does not go back and forth.
            true => deviation.seeming_ms.unsigned_abs() <= limit_ms - limit_ms / 5,
        };
        self.against = if disagrees { self.against.saturating_add(1) } else { 0 };
        let changes = self.against >= JUDGEMENTS_NEEDED;
        if changes {
            *self = Self { faulty: !self.faulty, against: 0 };
        }
        changes
    }
}

impl Estimate {
    fn low(&self) -> i64 {
        self.offset_ms - self.error_ms
    }

    fn high(&self) -> i64 {
        self.offset_ms + self.error_ms
    }
}

impl Sorted {
    /// How far one of the clocks is off the median of the others. Between the two middle ones of an even number every time
    /// is a median.
    fn deviation(&self, clock: Estimate) -> Deviation {
        let (lower, upper) = middle_without(&self.middle, clock.offset_ms);
        let seeming_ms = clock.offset_ms - clock.offset_ms.clamp(lower, upper);
        let (lowest, _) = middle_without(&self.low, clock.low());
        let (_, highest) = middle_without(&self.high, clock.high());
        let ahead_ms = clock.low().saturating_sub(highest).max(0);
        let behind_ms = lowest.saturating_sub(clock.high()).max(0);
        Deviation { seeming_ms, certain_ms: ahead_ms.max(behind_ms).unsigned_abs() }
    }
}

/// The two middle values of all but one occurrence of `value`; they are the same for an odd number. There must be another.
fn middle_without(sorted: &[i64], value: i64) -> (i64, i64) {
    let at = sorted.partition_point(|other| *other < value);
    let count = sorted.len() - 1;
    let nth = |index: usize| sorted[if index < at { index } else { index + 1 }];
    (nth((count - 1) / 2), nth(count / 2))
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
