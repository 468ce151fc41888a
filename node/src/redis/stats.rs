//! What the door has counted since it opened.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of the Redis door; shared, and readable at any time.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RedisStats {
    /// Connections that were accepted.
    pub connections: AtomicU64,
    /// Connections that are open now.
    pub connections_open: AtomicU64,
    /// Commands that were answered, errors included.
    pub commands: AtomicU64,
    /// Connections that were closed because what they sent was not the protocol.
    pub protocol_errors: AtomicU64,
    /// Connections that were turned away because too many were open.
    pub rejected_connections: AtomicU64,
    /// Passwords that were wrong.
    pub wrong_passwords: AtomicU64,
}

impl RedisStats {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// One connection less is open.
    pub(super) fn close_one(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
