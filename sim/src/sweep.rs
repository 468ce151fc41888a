//! Many seeds of one scenario, on as many threads as asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::report::{Report, seconds, speed};
use crate::runner::{RunError, Settings};
use crate::scenario::Scenario;

/// What to sweep.
#[derive(Debug)]
pub struct SweepSettings<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Nodes in each run.
    pub nodes: usize,
    /// Seeds, the end excluded.
    pub seeds: Range<u64>,
    /// Runs at a time, at least 1.
    pub jobs: usize,
    /// Real time that each run may take.
    pub wall_budget: Duration,
}

/// What a sweep came to. Its JSON form is what `rumour-sim sweep --json` prints.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SweepReport {
    /// The scenario's name.
    pub scenario: &'static str,
    /// Nodes in each run.
    pub nodes: usize,
    /// The first seed.
    pub seed_first: u64,
    /// The seed after the last.
    pub seed_end: u64,
    /// Runs that ended by themselves.
    pub runs: u64,
    /// Hash over all seeds and trace hashes, in the order of seeds. Sixteen hexadecimal digits.
    pub trace_hash: String,
    /// Deliveries, timers and merges of all runs.
    pub events: u64,
    /// Virtual seconds of all runs.
    pub virtual_s: f64,
    /// Real seconds of all runs, those of runs beside each other added.
    pub wall_s: f64,
    /// Virtual seconds per real second of one run.
    pub virtual_per_wall: f64,
    /// The slowest convergence. Virtual seconds.
    pub converged_after_s_max: f64,
    /// Datagrams that never arrived, of all runs.
    pub dropped_messages: u64,
    /// Seeds that broke a rule.
    pub failures: Vec<Failure>,
    /// What no run met, so that the sweep tested less than it should.
    pub never_met: Vec<&'static str>,
}

/// A seed that broke a rule.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The broken rules.
    pub violations: Vec<String>,
    /// The arguments of `rumour-sim` that repeat the run.
    pub replay: String,
}

/// How far a sweep is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Seeds done.
    pub done: u64,
    /// Seeds in all.
    pub total: u64,
    /// Seeds that broke a rule so far.
    pub failed: u64,
    /// The seed that is done now, if it broke a rule.
    pub failure: Option<&'a Failure>,
}

impl SweepReport {
    /// Whether every run kept all rules and, together, the runs met what the scenario exists to provoke.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.never_met.is_empty()
    }
}

/// Runs every seed and tells `progress` after each.
///
/// # Errors
/// What would stop every run alike (see [`RunError`]). A run that hangs is a failure of its seed, no error.
pub fn sweep(
    settings: &SweepSettings<'_>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<SweepReport, RunError> {
    let next = AtomicU64::new(settings.seeds.start);
    let stopped = AtomicBool::new(false);
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            let (next, stopped, done) = (&next, &stopped, done.clone());
            scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= settings.seeds.end {
                        break;
                    }
                    let run = Settings { wall_budget: settings.wall_budget, ..Settings::new(seed) };
                    if done.send((seed, settings.scenario.run(settings.nodes, run))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut tally = Tally::new(settings);
        for (seed, result) in &results {
            if let Err(error) = tally.add(seed, result) {
                stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
            progress(tally.progress(seed));
        }
        Ok(tally.finish())
    })
}

struct Tally<'a> {
    settings: &'a SweepSettings<'a>,
    hashes: BTreeMap<u64, String>,
    failures: BTreeMap<u64, Failure>,
    met: Vec<bool>,
    done: u64,
    events: u64,
    dropped_messages: u64,
    virtual_time: Duration,
    wall_time: Duration,
    converged_after_s_max: f64,
}

impl<'a> Tally<'a> {
    fn new(settings: &'a SweepSettings<'a>) -> Self {
        Self {
            settings,
            hashes: BTreeMap::new(),
            failures: BTreeMap::new(),
            met: vec![false; settings.scenario.evidence.len()],
            done: 0,
            events: 0,
            dropped_messages: 0,
            virtual_time: Duration::ZERO,
            wall_time: Duration::ZERO,
            converged_after_s_max: 0.0,
        }
    }

    fn add(&mut self, seed: u64, result: Result<Report, RunError>) -> Result<(), RunError> {
        self.done += 1;
        match result {
            Ok(report) => self.add_report(&report),
            Err(error @ RunError::Hung { .. }) => {
                let SweepSettings { scenario, nodes, .. } = self.settings;
                let replay = format!("replay {} --seed {seed} --nodes {nodes}", scenario.name);
                self.failures.insert(seed, Failure { seed, violations: vec![error.to_string()], replay });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add_report(&mut self, report: &Report) {
        for (met, evidence) in self.met.iter_mut().zip(self.settings.scenario.evidence) {
            *met |= (evidence.met)(report);
        }
        if !report.violations.is_empty() {
            let violations = report.violations.iter().map(ToString::to_string).collect();
            let failure = Failure { seed: report.seed, violations, replay: report.replay_arguments() };
            self.failures.insert(report.seed, failure);
        }
        self.hashes.insert(report.seed, report.trace_hash.clone());
        self.events += report.events;
        self.dropped_messages += report.dropped_messages;
        self.virtual_time += Duration::from_secs_f64(report.virtual_s);
        self.wall_time += Duration::from_secs_f64(report.wall_s);
        self.converged_after_s_max =
            self.converged_after_s_max.max(report.figures.converged_after_s.unwrap_or_default());
    }

    fn progress(&self, seed: u64) -> Progress<'_> {
        let Range { start, end } = self.settings.seeds;
        let (total, failed) = (end.saturating_sub(start), self.failures.len() as u64);
        Progress { done: self.done, total, failed, failure: self.failures.get(&seed) }
    }

    fn finish(self) -> SweepReport {
        let mut hash = Xxh3::new();
        for (seed, run_hash) in &self.hashes {
            hash.update(&seed.to_le_bytes());
            hash.update(run_hash.as_bytes());
        }
        let scenario = self.settings.scenario;
        let unmet = scenario.evidence.iter().zip(&self.met).filter(|(_, met)| !**met);
        SweepReport {
            scenario: scenario.name,
            nodes: self.settings.nodes,
            seed_first: self.settings.seeds.start,
            seed_end: self.settings.seeds.end,
            runs: self.hashes.len() as u64,
            trace_hash: format!("{:016x}", hash.digest()),
            events: self.events,
            virtual_s: seconds(self.virtual_time),
            wall_s: seconds(self.wall_time),
            virtual_per_wall: speed(self.virtual_time, self.wall_time),
            converged_after_s_max: self.converged_after_s_max,
            dropped_messages: self.dropped_messages,
            never_met: unmet.map(|(evidence, _)| evidence.what).collect(),
            failures: self.failures.into_values().collect(),
        }
    }
}
