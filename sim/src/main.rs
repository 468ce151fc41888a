//! The binary `rumour-sim`: lists, runs, sweeps and replays scenarios.
//!
//! Exit codes: 0 done, 1 a rule was broken or the run could not be made, 2 wrong usage.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

rumour_sim::entropy_hook!();

fn main() -> ExitCode {
    cli::Arguments::parse().execute()
}
