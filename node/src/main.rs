//! The `rumour` command: runs nodes and asks them how they are.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
