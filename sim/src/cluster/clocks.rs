//! Making the nodes' wall clocks wrong, and right again.

use std::sync::atomic::Ordering;

use super::{Cluster, node_name};

impl Cluster {
    /// Moves the wall clock of a node by `ms`, backwards if negative. Clocks outlive restarts.
    pub fn jump_clock(&self, node: usize, ms: i64) {
        self.world().trace().note(format_args!("clock of {} jumps by {ms} ms", node_name(node)));
        self.shared.clocks_were_wrong.store(true, Ordering::Relaxed);
        self.shared.members.lock()[node].clock.jump(ms);
    }

    /// Lets the wall clock of a node run fast, or slow if negative, by this many millionths from now on.
    pub fn drift_clock(&self, node: usize, ppm: i32) {
        self.world().trace().note(format_args!("clock of {} drifts by {ppm} ppm", node_name(node)));
        self.shared.clocks_were_wrong.store(true, Ordering::Relaxed);
        self.shared.members.lock()[node].clock.set_drift(ppm);
    }

    /// Demands that however wrong clocks are, no expiry takes effect earlier than this, in milliseconds.
    pub fn forbid_early_expiry(&self, early_ms_max: u64) {
        // Asked for once, by the scenario.
        let _ = self.shared.early_ms_max.set(early_ms_max);
    }

    /// Sets all clocks right.
    pub fn correct_clocks(&self) {
        self.world().trace().note(format_args!("all clocks are set right"));
        for member in &*self.shared.members.lock() {
            member.clock.correct();
        }
    }
}
