//! The command line. Exit codes: 0 done, 1 failed, 2 wrong usage; errors are one line on standard error.

mod args;
mod config_file;
mod configuration;
mod conflicts;
mod demo;
mod events;
mod keygen;
mod run;
mod server;
mod status;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};

/// Why a command did not end well.
enum Failure {
    /// It failed: exit code 1.
    Failed(String),
    /// It was called wrongly: exit code 2.
    Usage(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<rumour::NodeError> for Failure {
    fn from(error: rumour::NodeError) -> Self {
        match error {
            rumour::NodeError::Config(_) | rumour::NodeError::NoIdentity => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let outcome = match cli.command {
        Command::Keygen(args) => keygen::keygen(&args),
        Command::Status(args) => status::status(&args),
        Command::ConfigHistory(args) => configuration::history(&args),
        Command::Forget(args) => configuration::forget(&args),
        Command::Events(args) => events::events(&args),
        Command::Conflicts(args) => conflicts::conflicts(&args),
        Command::Run(args) => run::run(*args),
        Command::Demo(args) => demo::demo(&args),
    };
    let (code, message) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => (1, message),
        Err(Failure::Usage(message)) => (2, message),
    };
    eprintln!("rumour: {message}");
    ExitCode::from(code)
}

/// Help and version go out as clap writes them; an error is cut to the line that says what is wrong.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is no failure of ours.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let text = error.to_string();
            let mut lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
            let line = lines.by_ref().collect::<Vec<_>>().join(" ");
            eprintln!("rumour: {} (see `rumour --help`)", line.trim_start_matches("error: "));
            ExitCode::from(2)
        }
    }
}

/// Log lines go to standard error; `RUMOUR_LOG` overrides the level, in the syntax of `RUST_LOG`.
fn start_logging(default_level: &str, json: bool) -> Result<(), Failure> {
    let filter = match std::env::var("RUMOUR_LOG") {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("RUMOUR_LOG {text:?}: {error}")))?,
        Err(_) => EnvFilter::new(default_level),
    };
    // Files and pipes get no colours.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = if json { subscriber.json().try_init() } else { subscriber.try_init() };
    started.map_err(Failure::failed)
}

/// The runtime that nodes run on.
fn tokio_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)
}
