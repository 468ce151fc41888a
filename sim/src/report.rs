//! What one run of a scenario came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::net::Traffic;
use crate::runner::{Outcome, Violation};
use crate::scenario::Figures;

/// The outcome of one run of a scenario. Its JSON form is what `rumour-sim run --json` prints.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed that decided everything.
    pub seed: u64,
    /// How many nodes took part.
    pub nodes: usize,
    /// What was drawn from the seed.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Sixteen hexadecimal digits; equal hashes mean equal runs.
    pub trace_hash: String,
    /// Deliveries, timers and merges that the hash covers.
    pub events: u64,
    /// Virtual seconds that passed.
    pub virtual_s: f64,
    /// Real seconds that passed.
    pub wall_s: f64,
    /// Virtual seconds per real second.
    pub virtual_per_wall: f64,
    /// What the scenario measured.
    #[serde(flatten)]
    pub figures: Figures,
    /// Datagrams that never arrived.
    pub dropped_messages: u64,
    /// What the network did with all of them.
    pub traffic: Traffic,
    /// Broken rules in order of time.
    pub violations: Vec<Violation>,
    /// How many more there were than are listed.
    pub violations_beyond_limit: u64,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, seed: u64, nodes: usize, outcome: Outcome<Figures>) -> Self {
        Self {
            scenario,
            seed,
            nodes,
            parameters: outcome.parameters,
            trace_hash: format!("{:016x}", outcome.trace.hash),
            events: outcome.trace.events,
            virtual_s: seconds(outcome.virtual_time),
            wall_s: seconds(outcome.wall_time),
            virtual_per_wall: speed(outcome.virtual_time, outcome.wall_time),
            figures: outcome.output.unwrap_or_default(),
            dropped_messages: outcome.traffic.dropped(),
            traffic: outcome.traffic,
            violations: outcome.violations,
            violations_beyond_limit: outcome.violations_beyond_limit,
        }
    }

    /// The arguments of `rumour-sim` that repeat this run and say whether it was repeated.
    pub fn replay_arguments(&self) -> String {
        let Self { scenario, seed, nodes, trace_hash, .. } = self;
        format!("replay {scenario} --seed {seed} --nodes {nodes} --expect-hash {trace_hash}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} with {} nodes, seed {}", self.scenario, self.nodes, self.seed)?;
        for (name, value) in &self.parameters {
            writeln!(f, "  {name} = {value}")?;
        }
        let Self { virtual_s, wall_s, virtual_per_wall, events, trace_hash, .. } = self;
        writeln!(f, "{virtual_s:.1} virtual s in {wall_s:.2} s ({virtual_per_wall:.0} per s)")?;
        writeln!(f, "{events} events, trace hash {trace_hash}")?;
        let Traffic { delivered, .. } = self.traffic;
        writeln!(f, "{delivered} datagrams delivered, {} dropped", self.dropped_messages)?;
        match self.figures.converged_after_s {
            Some(seconds) => writeln!(f, "converged {seconds:.1} s after healing")?,
            None => writeln!(f, "did not converge")?,
        }
        write!(f, "{} violations", self.violations.len() as u64 + self.violations_beyond_limit)
    }
}

/// Seconds with three decimals: what JSON shows is what was measured.
pub(crate) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

pub(crate) fn speed(virtual_time: Duration, wall_time: Duration) -> f64 {
    (virtual_time.as_secs_f64() / wall_time.as_secs_f64().max(1e-6)).round()
}
