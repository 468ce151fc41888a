//! Who may execute commands at the same time: everybody, or one connection alone.
//!
//! A batch of requests is executed on the shared side, which is taken once for all of it. `EXEC`, and commands that
//! change several keys in one step, take the other side: no command of another connection runs meanwhile. Peers and
//! the embedding service are not kept out.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The lock of one door.
#[derive(Debug, Default)]
pub(super) struct Gate(RwLock<()>);

/// A connection's turn: it is inside for as long as this lives.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    /// `None` only while the turn is exchanged.
    shared: Option<RwLockReadGuard<'a, ()>>,
}

impl Gate {
    pub(super) fn enter(&self) -> Turn<'_> {
        Turn { gate: self, shared: Some(self.0.read()) }
    }
}

impl Turn<'_> {
    /// Waits until no other connection is inside and keeps them out while `run` runs.
    pub(super) fn alone<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.shared = None;
        let alone = self.gate.0.write();
        let result = run();
        self.shared = Some(RwLockWriteGuard::downgrade(alone));
        result
    }
}
