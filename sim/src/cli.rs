//! The command line: arguments in, reports out. Decides nothing about runs.

use std::io::{IsTerminal, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use rumour_sim::report::Report;
use rumour_sim::runner::{RunError, Settings};
use rumour_sim::scenario::{self, Scenario};
use rumour_sim::sweep::{Failure, Progress, SweepReport, SweepSettings, sweep};
use serde::Serialize;

const VIOLATED: u8 = 1;

/// Runs real rumour nodes in virtual time on a simulated network. One seed is one run, always the same.
#[derive(Debug, Parser)]
#[command(name = "rumour-sim", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the scenarios.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs one seed of a scenario.
    Run(RunArguments),
    /// Runs a range of seeds and reports every one that breaks a rule.
    Sweep(SweepArguments),
    /// Runs a seed again and says whether it went the same way.
    Replay(ReplayArguments),
}

#[derive(Debug, Args)]
struct Common {
    /// A scenario of `rumour-sim list`.
    #[arg(value_parser = parse_scenario)]
    scenario: &'static Scenario,
    /// How many nodes take part; each scenario has its own default.
    #[arg(long)]
    nodes: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Real seconds that one run may take.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    wall_budget_s: u64,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    common: Common,
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Write what happens to this file, a line an event.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    #[command(flatten)]
    run: RunArguments,
    /// The trace hash of the run to repeat; a different one is an error.
    #[arg(long, value_name = "HASH")]
    expect_hash: Option<String>,
}

#[derive(Debug, Args)]
struct SweepArguments {
    #[command(flatten)]
    common: Common,
    /// The seeds, the end excluded.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Runs at a time; as many as there are processors unless given.
    #[arg(long, value_parser = parse_jobs)]
    jobs: Option<usize>,
}

impl Arguments {
    /// Does what was asked and says how it went. Ends the process on wrong usage.
    pub(crate) fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::List { json } => {
                list(json);
                Ok(ExitCode::SUCCESS)
            }
            Command::Run(arguments) => run(&arguments, None),
            Command::Replay(arguments) => run(&arguments.run, arguments.expect_hash.as_deref()),
            Command::Sweep(arguments) => sweep_seeds(&arguments),
        };
        done.unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::from(VIOLATED)
        })
    }
}

impl Common {
    /// The number of nodes asked for. Ends the process when the scenario cannot do with so few.
    fn nodes(&self) -> usize {
        let Scenario { name, nodes_min, nodes_default, .. } = *self.scenario;
        let nodes = self.nodes.unwrap_or(nodes_default);
        if nodes < nodes_min {
            let message = format!("{name} needs at least {nodes_min} nodes");
            Arguments::command().error(ErrorKind::ValueValidation, message).exit();
        }
        nodes
    }

    fn wall_budget(&self) -> Duration {
        Duration::from_secs(self.wall_budget_s)
    }
}

fn parse_scenario(name: &str) -> Result<&'static Scenario, String> {
    scenario::find(name).ok_or_else(|| {
        let names: Vec<_> = scenario::all().iter().map(|scenario| scenario.name).collect();
        format!("there is no such scenario; there are: {}", names.join(", "))
    })
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong =
        || format!("`{text}` is no range of seeds; write two numbers, the smaller first, like 0..200");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let range = first.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|jobs| *jobs > 0).ok_or_else(|| "a number from 1 is needed".to_owned())
}

fn list(json: bool) {
    #[derive(Serialize)]
    struct Line {
        name: &'static str,
        nodes: usize,
        summary: &'static str,
    }
    let lines =
        scenario::all().iter().map(|s| Line { name: s.name, nodes: s.nodes_default, summary: s.summary });
    if json {
        print_json(&lines.collect::<Vec<_>>());
        return;
    }
    for Line { name, nodes, summary } in lines {
        println!("{name:<12} {nodes:>3} nodes  {summary}");
    }
}

fn run(arguments: &RunArguments, expect_hash: Option<&str>) -> Result<ExitCode, RunError> {
    let RunArguments { common, seed, trace } = arguments;
    let settings =
        Settings { wall_budget: common.wall_budget(), trace_file: trace.clone(), ..Settings::new(*seed) };
    let report = common.scenario.run(common.nodes(), settings)?;
    if common.json {
        print_json(&report);
    } else {
        println!("{report}");
    }
    let repeated = expect_hash.is_none_or(|expected| repeated(&report, expected));
    for violation in &report.violations {
        eprintln!("violation: {violation}");
    }
    if report.violations.is_empty() {
        return Ok(if repeated { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) });
    }
    eprintln!("replay with: {} {}", program(), report.replay_arguments());
    Ok(ExitCode::from(VIOLATED))
}

fn repeated(report: &Report, expected: &str) -> bool {
    let same = report.trace_hash.eq_ignore_ascii_case(expected);
    if same {
        eprintln!("the run was repeated exactly");
    } else {
        eprintln!(
            "error: the run went another way: its trace hash is {}, expected was {expected}; build the same \
             commit with the same Cargo.lock",
            report.trace_hash
        );
    }
    same
}

fn sweep_seeds(arguments: &SweepArguments) -> Result<ExitCode, RunError> {
    let common = &arguments.common;
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = SweepSettings {
        scenario: common.scenario,
        nodes: common.nodes(),
        seeds: arguments.seeds.clone(),
        jobs: arguments.jobs.unwrap_or_else(processors),
        wall_budget: common.wall_budget(),
    };
    let mut bar = Bar::new();
    let report = sweep(&settings, |progress| bar.show(progress));
    bar.clear();
    let report = report?;
    if common.json {
        print_json(&report);
    } else {
        print_sweep(&report);
    }
    for what in &report.never_met {
        eprintln!("error: no run of this sweep met {what}; it tested less than it should");
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
}

fn print_sweep(report: &SweepReport) {
    let SweepReport { scenario, nodes, seed_first, seed_end, runs, trace_hash, events, .. } = report;
    println!("{scenario} with {nodes} nodes, seeds {seed_first}..{seed_end}: {runs} runs, {events} events");
    let SweepReport { virtual_s, wall_s, virtual_per_wall, converged_after_s_max, .. } = report;
    println!("{virtual_s:.0} virtual s in {wall_s:.1} s ({virtual_per_wall:.0} per s)");
    println!("slowest convergence {converged_after_s_max:.1} s after healing, trace hash {trace_hash}");
    println!("{} seeds broke a rule", report.failures.len());
}

fn print_failure(failure: &Failure) {
    for violation in &failure.violations {
        eprintln!("violation: seed {}: {violation}", failure.seed);
    }
    eprintln!("replay with: {} {}", program(), failure.replay);
}

fn print_json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(json) => println!("{json}"),
        Err(error) => eprintln!("error: the report has no JSON form: {error}"),
    }
}

/// The way this program was called, so that the command it prints can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "rumour-sim".to_owned())
}

/// The progress of a sweep on standard error: one line redrawn on a terminal, a line now and then elsewhere.
struct Bar {
    terminal: bool,
    shown: Option<Instant>,
}

impl Bar {
    const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
    const LOG_PERIOD: Duration = Duration::from_secs(10);
    const CELLS: u64 = 30;

    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            shown: (!std::io::stderr().is_terminal()).then(now),
        }
    }

    fn show(&mut self, progress: Progress<'_>) {
        if let Some(failure) = progress.failure {
            self.clear();
            print_failure(failure);
        }
        let period = if self.terminal { Self::TERMINAL_PERIOD } else { Self::LOG_PERIOD };
        if self.shown.is_some_and(|shown| shown.elapsed() < period) {
            return;
        }
        self.shown = Some(now());
        let Progress { done, total, failed, .. } = progress;
        let line = format!("{done}/{total} seeds, {failed} broke a rule");
        if self.terminal {
            let filled = usize::try_from(Self::CELLS * done / total.max(1)).unwrap_or_default();
            let bar = "#".repeat(filled);
            eprint!("\r[{bar:<width$}] {line}", width = Self::CELLS as usize);
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "paces what a person sees; no run is under way on this thread")]
fn now() -> Instant {
    Instant::now()
}
