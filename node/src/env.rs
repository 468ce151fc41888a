//! What a node takes from the world around it, so that the simulator can put another world there.

use std::sync::Arc;

use rumour_crdt::Entry;
use rumour_transport::{Binding, NodeId};

/// Wall time, for stamps and expiry. Timers do not use it: they follow `tokio::time`.
pub trait WallClock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch. May jump and may be wrong.
    fn now_ms(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where wall time enters a real node")]
    fn now_ms(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Why a record was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was dead, and every owner knows that.
    Collected,
    /// It was dead, and there were too many of its kind.
    Forced,
    /// A peer that had removed it already said that it is dead.
    Gone,
}

/// Sees every change of a node's state as it happens, under the lock of the key's shard.
///
/// Implementations must be quick and must not call back into the node.
pub trait Observer: Send + Sync + 'static {
    /// A local write was minted and stored.
    fn minted(&self, node: &NodeId, key: &[u8], before: Option<&Entry>, after: &Entry);
    /// An entry from another node was merged.
    fn merged(&self, node: &NodeId, key: &[u8], before: Option<&Entry>, incoming: &Entry, after: &Entry);
    /// A value was dropped because its expiry took effect.
    fn expired(&self, node: &NodeId, key: &[u8], after: &Entry);
    /// What a key held was taken out of memory to make room. `entry` is what goes; the node keeps its version and shows nothing.
    /// `unacknowledged`: some peer may lack the latest change of it.
    fn evicted(&self, node: &NodeId, key: &[u8], entry: &Entry, unacknowledged: bool);
    /// The flush watermark rose; entries stamped at or below it are gone.
    fn flushed(&self, node: &NodeId, watermark: rumour_crdt::Stamp);
    /// A record was removed: nothing is held of its key any more.
    fn removed(&self, node: &NodeId, key: &[u8], entry: &Entry, why: Removal);
    /// A timer of the node fired.
    fn timer(&self, node: &NodeId, name: &'static str);
}

/// Everything that differs between a real node and a simulated one.
#[derive(Clone)]
pub struct Environment {
    /// Where wall time comes from.
    pub wall: Arc<dyn WallClock>,
    /// Who watches the node's state, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
    /// Seed of the node's random numbers; `None` takes one from the operating system.
    pub seed: Option<u64>,
    /// The datagram socket to use in place of one bound to the listen address.
    pub binding: Option<Binding>,
}

impl Default for Environment {
    fn default() -> Self {
        Self { wall: Arc::new(SystemClock), observer: None, seed: None, binding: None }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("seed", &self.seed).finish_non_exhaustive()
    }
}
