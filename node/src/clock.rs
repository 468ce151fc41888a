//! The node's clock: it mints stamps for local writes and follows the clocks of peers.

use std::sync::Arc;

use parking_lot::Mutex;
use rumour_crdt::{ActorId, FutureTime, Hlc, Minter, Stamp};

use crate::env::WallClock;

/// One incarnation's source of stamps. Shared by every task of the node.
pub(crate) struct NodeClock {
    wall: Arc<dyn WallClock>,
    minter: Mutex<Minter>,
    max_skew_ms: u64,
}

impl NodeClock {
    pub(crate) fn new(wall: Arc<dyn WallClock>, actor: ActorId, max_skew_ms: u64) -> Self {
        Self { wall, minter: Mutex::new(Minter::new(actor)), max_skew_ms }
    }

    /// Wall time, milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall.now_ms()
    }

    /// A new stamp above everything this node has minted or heard of, and above `above`.
    pub(crate) fn mint(&self, above: Option<Stamp>) -> Stamp {
        self.minter.lock().mint(self.wall.now_ms(), above)
    }

    /// The time to put on an outgoing message: at or above all that this node has minted.
    pub(crate) fn send_time(&self) -> Hlc {
        self.minter.lock().clock_mut().tick(self.wall.now_ms())
    }

    /// Moves this clock past a peer's.
    ///
    /// # Errors
    /// A time further ahead of the wall clock than the allowed skew is not followed.
    pub(crate) fn observe(&self, remote: Hlc) -> Result<(), FutureTime> {
        self.minter.lock().clock_mut().observe(remote, self.wall.now_ms(), self.max_skew_ms)
    }

    /// Moves this clock past both stamps of an entry; an entry with a stamp too far ahead is refused.
    pub(crate) fn observe_entry(&self, entry: &rumour_crdt::Entry) -> Result<(), FutureTime> {
        self.observe(entry.newest().time)
    }
}
