//! The command table: dispatch, arity errors, `COMMAND` and every `HELP` follow from it.
//!
//! Arity, flags, keys, categories and tips are those of Redis.

mod connection;
mod generic;
mod hashes;
mod server;
mod sets;
mod sorted_sets;
mod strings;
mod transactions;

use std::sync::LazyLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::command::Command;
use super::command::flag::{ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE};
use super::commands::help;

/// Longest name of a command, in bytes.
const NAME_BYTES_LIMIT: usize = 32;

const ANYWHERE: u32 = NOSCRIPT | LOADING | STALE;
const GREETING: u32 = ANYWHERE | FAST | NO_AUTH | ALLOW_BUSY;
const PER_KEY: &str = "O(N) where N is the number of keys.";
const ALL_SHARDS: &str = "request_policy:all_shards";
const MULTI_SHARD: &str = "request_policy:multi_shard";
const ALL_SUCCEED: &str = "response_policy:all_succeeded";
const SUM: &str = "response_policy:agg_sum";
const UNSTABLE: &str = "nondeterministic_output";
const UNORDERED: &str = "nondeterministic_output_order";

/// The commands by what they are about.
static TOPICS: [&[Command]; 8] = [
    connection::COMMANDS,
    generic::COMMANDS,
    hashes::COMMANDS,
    server::COMMANDS,
    sets::COMMANDS,
    sorted_sets::COMMANDS,
    strings::COMMANDS,
    transactions::COMMANDS,
];

/// All commands, in both ways that they are asked for.
struct Table {
    by_name: HashTable<&'static Command>,
    sorted: Vec<&'static Command>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut sorted: Vec<_> = TOPICS.into_iter().flatten().collect();
    sorted.sort_unstable_by_key(|command| command.name);
    let mut by_name = HashTable::with_capacity(sorted.len());
    for command in &sorted {
        let hash = |command: &&Command| xxh3_64(command.name.as_bytes());
        by_name.insert_unique(hash(command), *command, hash);
    }
    Table { by_name, sorted }
});

const fn help(name: &'static str, categories: u16) -> Command {
    Command::new(name, 2, LOADING | STALE, categories)
        .doc("server", "5.0.0", "O(1)", "Prints this help.")
        .run(help::help)
}

/// Every command, by name.
pub(super) fn all() -> &'static [&'static Command] {
    &TABLE.sorted
}

/// The command of that name, whatever its case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; NAME_BYTES_LIMIT];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    TABLE.by_name.find(xxh3_64(lower), |command| command.name.as_bytes() == lower).copied()
}

/// The command or, written as `container|name`, the subcommand of that name, whatever its case.
pub(super) fn find_full(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|&byte| byte == b'|') {
        None => find(name),
        Some(bar) => find(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_complete_and_found_in_any_case() {
        assert!(all().is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(all().len(), TOPICS.iter().map(|rows| rows.len()).sum::<usize>());
        for &command in all() {
            assert!(command.name.len() <= NAME_BYTES_LIMIT);
            for name in [command.name.to_uppercase(), command.name.to_lowercase()] {
                assert!(std::ptr::eq(find(name.as_bytes()).unwrap(), command), "{name}");
            }
            assert!(command.run.is_some() || !command.subcommands.is_empty(), "{}", command.name);
            for row in std::iter::once(command).chain(command.subcommands) {
                assert!(
                    !row.summary.is_empty() && !row.group.is_empty() && !row.since.is_empty(),
                    "{}",
                    row.name
                );
                assert!(std::ptr::eq(find_full(row.name.as_bytes()).unwrap(), row), "{}", row.name);
            }
            for sub in command.subcommands {
                assert!(
                    sub.name.starts_with(&format!("{}|", command.name)) && sub.run.is_some(),
                    "{}",
                    sub.name
                );
            }
        }
        for unknown in ["", "gett", "ge", "client|", "client|nothing", "averyveryverylongcommandname"] {
            assert!(find_full(unknown.as_bytes()).is_none(), "{unknown}");
        }
    }
}
