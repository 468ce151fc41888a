//! The node's clock: it mints stamps for local writes, follows the clocks of peers, and knows when its own is wrong.
//!
//! The present time is monotonic time plus an offset that [`judge`](NodeClock::judge) keeps in line with the wall clock
//! for as long as that agrees with the peers. A wall clock that jumps therefore moves nothing before it was compared
//! with theirs: no stamp is minted by it and no value expires.

mod skew;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use parking_lot::Mutex;
use rumour_crdt::{ActorId, FutureTime, Hlc, Minter, Stamp};
use rumour_transport::{NodeId, PeerInfo};
use tokio::time::Instant;

use crate::env::WallClock;
use crate::error::WriteError;
use skew::{Judgement, Reading, Skew};

/// One incarnation's source of stamps. Shared by every task of the node.
pub(crate) struct NodeClock {
    wall: Arc<dyn WallClock>,
    /// Where monotonic time is counted from.
    began: Instant,
    minter: Mutex<Minter>,
    max_skew_ms: u64,
    skew: Mutex<Skew>,
    /// Added to monotonic time it gives the present time.
    offset_ms: AtomicI64,
    /// The same for the peers' median, if that is later.
    latest_offset_ms: AtomicI64,
    standing: AtomicU8,
    fault: Mutex<Option<WriteError>>,
}

/// The clocks of peers were not heard yet.
const UNSETTLED: u8 = 0;
const RIGHT: u8 = 1;
const FAULTY: u8 = 2;

/// How long reading both clocks may take before it is done again: a process may be stopped between the two.
const READING_MS_MAX: u64 = 5;
const READINGS_MAX: usize = 3;

/// A clock's standing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockChange {
    /// Whose; `None` is this node.
    pub(crate) node: Option<NodeId>,
    /// How far it is off its peers' median now that it is faulty; `None` when it is right again.
    pub(crate) fault_ms: Option<i64>,
}

/// How far a clock is off the median of its peers'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockOff {
    /// Whose; `None` is this node.
    pub(crate) node: Option<NodeId>,
    /// Ahead if positive.
    pub(crate) off_ms: i64,
    pub(crate) faulty: bool,
}

impl NodeClock {
    pub(crate) fn new(wall: Arc<dyn WallClock>, actor: ActorId, max_skew_ms: u64) -> Self {
        let began = Instant::now();
        let offset_ms = signed(wall.now_ms());
        Self {
            wall,
            began,
            minter: Mutex::new(Minter::new(actor)),
            max_skew_ms,
            skew: Mutex::new(Skew::new(max_skew_ms, offset_ms)),
            offset_ms: AtomicI64::new(offset_ms),
            latest_offset_ms: AtomicI64::new(offset_ms),
            standing: AtomicU8::new(UNSETTLED),
            fault: Mutex::new(None),
        }
    }

    /// What the wall clock shows, right or wrong: milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall.now_ms()
    }

    /// The present time, milliseconds since the Unix epoch: what expiries are judged by. The wall clock's while that is
    /// right, the peers' while it is not.
    pub(crate) fn now_ms(&self) -> u64 {
        self.at_offset(&self.offset_ms)
    }

    /// The time by which expiries take effect: the present, but none takes effect before the peers' clocks were heard.
    pub(crate) fn due_ms(&self) -> u64 {
        if self.standing.load(Ordering::Acquire) == UNSETTLED { 0 } else { self.now_ms() }
    }

    /// A new stamp above everything this node has minted or heard of, and above `above`.
    pub(crate) fn mint(&self, above: Option<Stamp>) -> Stamp {
        self.minter.lock().mint(self.now_ms(), above)
    }

    /// The time to put on an outgoing message: at or above all that this node has minted. A clock that may be wrong is not
    /// passed on.
    pub(crate) fn send_time(&self) -> Hlc {
        let mut minter = self.minter.lock();
        if self.standing.load(Ordering::Acquire) == RIGHT {
            minter.clock_mut().tick(self.now_ms())
        } else {
            minter.clock().now()
        }
    }

    /// Moves this clock past a peer's.
    ///
    /// # Errors
    /// A time further ahead than the allowed skew, of this node's clock and of the peers' median, is not followed.
    pub(crate) fn observe(&self, remote: Hlc) -> Result<(), FutureTime> {
        let latest_ms = self.at_offset(&self.latest_offset_ms);
        self.minter.lock().clock_mut().observe(remote, latest_ms, self.max_skew_ms)
    }

    /// Moves this clock past both stamps of an entry; an entry with a stamp too far ahead is refused.
    pub(crate) fn observe_entry(&self, entry: &rumour_crdt::Entry) -> Result<(), FutureTime> {
        self.observe(entry.newest().time)
    }

    /// Whether stamps may be minted for clients.
    ///
    /// # Errors
    /// [`WriteError::ClockFault`] and [`WriteError::StampsAhead`].
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        if self.standing.load(Ordering::Acquire) != FAULTY {
            return Ok(());
        }
        self.fault.lock().clone().map_or(Ok(()), Err)
    }

    /// Takes a reading of a peer's clock in; gives whether it was of use.
    pub(crate) fn read(&self, peer: &PeerInfo, sent: Instant, received: Instant, wall_ms: u64) -> bool {
        let reading =
            Reading { sent_ms: self.monotonic_ms(sent), received_ms: self.monotonic_ms(received), wall_ms };
        self.skew.lock().read(&peer.node, peer.incarnation, reading)
    }

    /// Whether this peer's clock was read.
    pub(crate) fn knows(&self, peer: &PeerInfo) -> bool {
        self.skew.lock().knows(&peer.node, peer.incarnation)
    }

    /// Forgets the clock of a peer that has left.
    pub(crate) fn forget(&self, peer: &NodeId) {
        self.skew.lock().forget(peer);
    }

    /// From now on the peers' clocks decide: those of all within reach were read.
    pub(crate) fn settle(&self) -> Vec<ClockChange> {
        self.skew.lock().settle();
        // Before the first verdict nobody writes: the node does not serve yet.
        let _ = self.standing.compare_exchange(UNSETTLED, RIGHT, Ordering::AcqRel, Ordering::Acquire);
        self.judge()
    }

    /// Compares the wall clock with the peers', and goes by the one or by the others. Call it several times a second.
    pub(crate) fn judge(&self) -> Vec<ClockChange> {
        let mut skew = self.skew.lock();
        let (wall_offset_ms, now_ms) = self.wall_offset();
        let Judgement { offset_ms, median_ms, fault, changes } = skew.judge(wall_offset_ms, now_ms);
        let latest_ms = median_ms.map_or(offset_ms, |median_ms| median_ms.max(offset_ms));
        self.offset_ms.store(offset_ms, Ordering::Release);
        self.latest_offset_ms.store(latest_ms, Ordering::Release);
        if self.standing.load(Ordering::Acquire) != UNSETTLED {
            let limit_ms = self.max_skew_ms;
            let fault = match fault {
                Some(off) => Some(WriteError::ClockFault { off_ms: off.off_ms, peers: off.peers, limit_ms }),
                // A node by itself writes into nobody's future.
                None => median_ms.and_then(|_| self.stamps_ahead()),
            };
            let standing = if fault.is_some() { FAULTY } else { RIGHT };
            *self.fault.lock() = fault;
            self.standing.store(standing, Ordering::Release);
        }
        drop(skew);
        changes.into_iter().map(|(node, fault_ms)| ClockChange { node, fault_ms }).collect()
    }

    /// How far the clocks of this node and its peers are off; empty while no peer's is known.
    pub(crate) fn offs(&self) -> Vec<ClockOff> {
        let skew = self.skew.lock();
        let (wall_offset_ms, now_ms) = self.wall_offset();
        let offs = skew.offs(wall_offset_ms, now_ms);
        offs.into_iter().map(|(node, off_ms, faulty)| ClockOff { node, off_ms, faulty }).collect()
    }

    /// Whether the next stamp would lie so far ahead that peers refuse it.
    fn stamps_ahead(&self) -> Option<WriteError> {
        let latest_ms = self.at_offset(&self.latest_offset_ms);
        let ahead_ms = self.minter.lock().clock().now().millis().saturating_sub(latest_ms);
        (ahead_ms > self.max_skew_ms)
            .then_some(WriteError::StampsAhead { ahead_ms, limit_ms: self.max_skew_ms })
    }

    /// What must be added to monotonic time to get what the wall clock shows, and the monotonic time.
    fn wall_offset(&self) -> (i64, u64) {
        let mut reading = (0, 0);
        for _ in 0..READINGS_MAX {
            let before_ms = self.monotonic_ms(Instant::now());
            let wall_ms = self.wall.now_ms();
            let after_ms = self.monotonic_ms(Instant::now());
            reading = (signed(wall_ms) - signed(before_ms), before_ms);
            if after_ms - before_ms <= READING_MS_MAX {
                break;
            }
        }
        reading
    }

    fn at_offset(&self, offset_ms: &AtomicI64) -> u64 {
        self.monotonic_ms(Instant::now()).saturating_add_signed(offset_ms.load(Ordering::Acquire))
    }

    fn monotonic_ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
