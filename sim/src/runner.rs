//! One run: a fresh thread, a paused clock, everything random drawn from the seed.
//!
//! [`run`] gives a script a [`World`] to act in and returns what came of it. What the script does in that
//! world is not decided here.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::runtime::{Builder, RngSeed};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::entropy::{self, EntropyError};
use crate::net::{Network, Traffic};
use crate::trace::{Trace, TraceSummary};
use crate::{panics, seed};

/// Violations kept of one run; the rest is counted only.
const VIOLATIONS_LIMIT: usize = 100;
/// Characters kept of what was seen: values may be long.
const DETAIL_CHARS_LIMIT: usize = 1_000;
/// How long a run that was told to stop may take to notice, before its thread is given up.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The stack of a run's thread: debug builds of the TLS stack nest deeply.
const STACK_BYTES: usize = 8 << 20;

/// How to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Real time after which the run is stopped and counted as a violation. Default 300 s.
    pub wall_budget: Duration,
    /// File to write a readable trace to.
    pub trace_file: Option<PathBuf>,
}

impl Settings {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, wall_budget: Duration::from_secs(300), trace_file: None }
    }
}

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Short name of the broken rule.
    pub rule: String,
    /// Virtual milliseconds since the run began.
    pub at_ms: u64,
    /// What was seen.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ms: {}", self.rule, self.at_ms, self.detail)
    }
}

/// What a script acts in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct World {
    seed: u64,
    started: Instant,
    network: Network,
    trace: Trace,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Debug, Default)]
struct Notes {
    violations: Vec<Violation>,
    violations_beyond_limit: u64,
    parameters: BTreeMap<String, serde_json::Value>,
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let network = Network::start(seed::stream(seed, "network"), trace.clone());
        Self { seed, started: Instant::now(), network, trace, notes: Arc::default() }
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The network between the nodes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The trace of the run.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// A new wall clock, right until told otherwise.
    pub fn clock(&self) -> SimClock {
        SimClock::new(self.started)
    }

    /// Random numbers for one purpose, independent of those of other purposes.
    pub fn rng(&self, purpose: &str) -> SmallRng {
        seed::stream(self.seed, purpose)
    }

    /// Records a parameter that was drawn from the seed, to be printed with the outcome.
    ///
    /// What cannot be written as JSON is recorded as null.
    pub fn parameter(&self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
        self.trace.note(format_args!("parameter {name} = {value}"));
        self.notes.lock().parameters.insert(name.to_owned(), value);
    }

    /// Reports a broken rule. The run goes on.
    pub fn violation(&self, rule: &str, detail: impl Into<String>) {
        let mut detail = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(DETAIL_CHARS_LIMIT) {
            detail.truncate(cut);
            detail.push('…');
        }
        let violation = Violation { rule: rule.to_owned(), at_ms: self.trace.elapsed_ms(), detail };
        self.trace.note(format_args!("VIOLATION {violation}"));
        self.notes.lock().push(violation);
    }
}

impl Notes {
    fn push(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_LIMIT {
            self.violations.push(violation);
        } else {
            self.violations_beyond_limit += 1;
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What the script returned; `None` when it panicked or was stopped.
    pub output: Option<T>,
    /// Broken rules in order of time, panics and an exceeded budget among them; at most 100.
    pub violations: Vec<Violation>,
    /// How many more there were.
    pub violations_beyond_limit: u64,
    /// Parameters drawn from the seed.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Hash and length of the trace.
    pub trace: TraceSummary,
    /// What the network did.
    pub traffic: Traffic,
    /// Virtual time that passed.
    pub virtual_time: Duration,
    /// Real time that passed.
    pub wall_time: Duration,
}

/// Why a run could not even begin, or its trace not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The run could not be repeated, so it is refused.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The trace file cannot be written; name another place for it.
    #[error("cannot write the trace to {path}: {source}; name another file")]
    TraceFile {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread or no runtime could be had.
    #[error("cannot start a simulation thread: {0}; run fewer at once")]
    Thread(#[from] io::Error),
    /// The thread hung without ever waiting, and was given up.
    #[error(
        "seed {seed} used up its {budget_s} s of real time and does not stop: a task loops without waiting; \
         replay it under a debugger"
    )]
    Hung {
        /// The seed that hangs.
        seed: u64,
        /// The real time it was given, seconds.
        budget_s: u64,
    },
}

/// Runs `script` in a world of its own, on a thread of its own, and waits for it.
///
/// Panics anywhere on that thread, in tasks too, end the run and are violations.
///
/// # Errors
/// See [`RunError`]. No outcome is returned then, also when only the trace file failed.
pub fn run<F, Fut, T>(settings: Settings, script: F) -> Result<Outcome<T>, RunError>
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = T>,
    T: Send + 'static,
{
    let budget = settings.wall_budget;
    let seed = settings.seed;
    let stop = Arc::new(Notify::new());
    let (done, outcome) = mpsc::channel();
    let told = stop.clone();
    thread::Builder::new().name(format!("seed-{seed}")).stack_size(STACK_BYTES).spawn(move || {
        // The receiver is gone only when this run was given up.
        let _ = done.send(run_here(&settings, &told, script));
    })?;
    if let Ok(outcome) = outcome.recv_timeout(budget) {
        return outcome;
    }
    stop.notify_one();
    let hung = RunError::Hung { seed, budget_s: budget.as_secs() };
    outcome.recv_timeout(STOP_GRACE).unwrap_or(Err(hung))
}

fn run_here<F, Fut, T>(settings: &Settings, stop: &Notify, script: F) -> Result<Outcome<T>, RunError>
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = T>,
{
    entropy::seed_thread(settings.seed);
    entropy::check()?;
    let panicked = Arc::new(Notify::new());
    panics::collect(panicked.clone());
    let wall_started = wall_now();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&settings.seed.to_le_bytes()))
        .build()?;
    let trace_file =
        |source| RunError::TraceFile { path: settings.trace_file.clone().unwrap_or_default(), source };
    let guard = runtime.enter();
    let trace = Trace::new(settings.trace_file.as_deref()).map_err(trace_file)?;
    let world = World::new(settings.seed, trace.clone());
    let started = Instant::now();
    let output =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(unless_stopped(&world, stop, &panicked, script))))
            .ok()
            .flatten();
    let virtual_time = started.elapsed();
    drop(guard);
    // Dropping the runtime drops what its tasks held, which may panic as well.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
    for panic in panics::take() {
        world.notes.lock().push(Violation {
            rule: "no panic".to_owned(),
            at_ms: u64::try_from(virtual_time.as_millis()).unwrap_or(u64::MAX),
            detail: panic,
        });
    }
    trace.flush().map_err(trace_file)?;
    let traffic = world.network.traffic();
    let notes = std::mem::take(&mut *world.notes.lock());
    Ok(Outcome {
        output,
        violations: notes.violations,
        violations_beyond_limit: notes.violations_beyond_limit,
        parameters: notes.parameters,
        trace: trace.summary(),
        traffic,
        virtual_time,
        wall_time: wall_started.elapsed(),
    })
}

async fn unless_stopped<F, Fut, T>(world: &World, stop: &Notify, panicked: &Notify, script: F) -> Option<T>
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = T>,
{
    tokio::select! {
        biased;
        () = panicked.notified() => None,
        () = stop.notified() => {
            world.violation("wall time budget", "the run took too much real time and was stopped");
            None
        }
        output = script(world.clone()) => Some(output),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the simulator itself, never seen by what it simulates"
)]
fn wall_now() -> std::time::Instant {
    std::time::Instant::now()
}
