//! The scenarios that the binary offers, each with what it must have met to have tested anything.

mod amnesia;
mod churn;
mod clock_jump;
mod collections;
mod common;
mod crash;
mod deletes;
mod divergent_views;
mod eviction;
mod expiry;
mod join;
mod large;
mod leave;
mod minority;
mod network;
mod partition;
mod quorum;
mod rewind;
mod skew;

use std::pin::Pin;

use serde::Serialize;

use crate::check::Removals;
use crate::report::Report;
use crate::runner::{RunError, Settings, World, run};
pub use minority::SideTally;

use crate::workload::QuorumTally;

/// A script for a world of some nodes.
pub struct Scenario {
    /// What the command line calls it.
    pub name: &'static str,
    /// One line for `rumour-sim list`.
    pub summary: &'static str,
    /// Nodes when nothing else is asked for.
    pub nodes_default: usize,
    /// Fewest nodes that it makes sense with.
    pub nodes_min: usize,
    /// What at least one run of a sweep must have met; a sweep without it tested nothing and fails.
    pub evidence: &'static [Evidence],
    /// The script. It gets the number of nodes.
    pub script: fn(World, usize) -> Script,
}

/// A scenario under way. It stays on the thread that it was started on.
pub type Script = Pin<Box<dyn Future<Output = Figures>>>;

/// Something that a scenario exists to provoke.
pub struct Evidence {
    /// What it is, to end the sentence "no run of this sweep met …".
    pub what: &'static str,
    /// Whether a run met it.
    pub met: fn(&Report) -> bool,
}

/// What a scenario measured.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Operations that changed something and were acknowledged.
    pub acked_writes: u64,
    /// Those of them that were done while nodes were cut apart.
    pub acked_writes_during_cut: u64,
    /// The same by the side of the node.
    pub acked_writes_by_side: [u64; 2],
    /// Those of them that contributed to counters and collections.
    pub contributions: u64,
    /// Expiries that took effect, counted at every node.
    pub expired: u64,
    /// Writes refused by nodes that did not serve, or whose clock was wrong.
    pub refused_writes: u64,
    /// Those of them that were refused because of the clock.
    pub refused_for_clock: u64,
    /// Times that a node named another one whose clock was wrong, and that this was looked for.
    pub clock_faults_named: u64,
    /// Reads, each compared with what the node must hold.
    pub reads: u64,
    /// Concurrent writes that lost, as counted by all nodes.
    pub conflicts: u64,
    /// Entries and clocks that nodes refused for lying too far in their future; counted by those that ran last.
    pub refused_future: u64,
    /// Entries in the memory of nodes when they crashed.
    pub lost_from_memory: u64,
    /// Evicted keys that peers gave back when they were needed; counted by those that ran last.
    pub recalled: u64,
    /// Values that nodes evicted; counted by those that ran last.
    pub evicted: u64,
    /// Versions of evicted values that nodes knew in the end.
    pub stubs: u64,
    /// Keys that in the end some node showed and another had evicted.
    pub evicted_elsewhere: u64,
    /// Parts of long batches that arrived; counted by nodes that ran last.
    pub parts_received: u64,
    /// Entries too large for sync that nodes left to replication; counted by those that ran last.
    pub entries_handed: u64,
    /// Dead records that nodes removed.
    pub removed: Removals,
    /// Entries that nodes turned away because they had removed them before; counted by those that ran last.
    pub collected_again: u64,
    /// The number of the latest configuration, where that matters.
    pub configurations: u64,
    /// How often survivors recovered the cluster by then.
    pub recoveries: u64,
    /// What was done with a quorum.
    pub quorum: QuorumTally,
    /// What was tried on the two sides of a cut that leaves one without quorums.
    pub sides: SideTally,
    /// How long the longest cut lasted, virtual seconds; measured where that matters.
    pub cut_s_max: f64,
    /// Virtual seconds from healing until everything was as it must be; none if it never was.
    pub converged_after_s: Option<f64>,
}

/// Every scenario, in the order of `rumour-sim list`.
pub fn all() -> &'static [Scenario] {
    &[
        partition::SCENARIO,
        crash::SCENARIO,
        large::SCENARIO,
        deletes::SCENARIO,
        join::SCENARIO,
        leave::SCENARIO,
        rewind::SCENARIO,
        skew::SCENARIO,
        eviction::SCENARIO,
        collections::COUNTERS,
        collections::SETS,
        collections::MAPS,
        collections::SORTED_SETS,
        divergent_views::SCENARIO,
        quorum::SCENARIO,
        quorum::SKEWED,
        quorum::AMNESIA,
        minority::SCENARIO,
        churn::ROLLING,
        churn::REPLACE,
        churn::FLAPPING,
        churn::ASYMMETRIC,
        amnesia::SCENARIO,
        expiry::SCENARIO,
        clock_jump::SCENARIO,
        network::SCENARIO,
    ]
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Runs it once.
    ///
    /// # Errors
    /// See [`RunError`]; broken rules are no error but part of the report.
    pub fn run(&self, nodes: usize, settings: Settings) -> Result<Report, RunError> {
        let (seed, script) = (settings.seed, self.script);
        let outcome = run(settings, move |world| script(world, nodes))?;
        Ok(Report::new(self.name, seed, nodes, outcome))
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}
