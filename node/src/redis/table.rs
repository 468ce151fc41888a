//! The command table: dispatch, arity errors, `COMMAND` and every `HELP` follow from it.
//!
//! Rows are sorted by name. Arity, flags, keys, categories and tips are those of Redis.

use super::command::category::{CONNECTION, DANGEROUS, KEYSPACE, STRING};
use super::command::flag::{
    ADMIN, ALLOW_BUSY, DENYOOM, FAST, LOADING, NO_AUTH, NOSCRIPT, READONLY, STALE, WRITE,
};
use super::command::{Command, Keys};
use super::commands::{
    client, config, connection, expiry, help, info, introspection, keys, scan, server, strings,
};

/// Longest name of a command, in bytes.
const NAME_BYTES_LIMIT: usize = 16;

const ANYWHERE: u16 = NOSCRIPT | LOADING | STALE;
const GREETING: u16 = ANYWHERE | FAST | NO_AUTH | ALLOW_BUSY;
const PER_KEY: &str = "O(N) where N is the number of keys.";
const ALL_SHARDS: &str = "request_policy:all_shards";
const MULTI_SHARD: &str = "request_policy:multi_shard";
const ALL_SUCCEED: &str = "response_policy:all_succeeded";
const SUM: &str = "response_policy:agg_sum";
const UNSTABLE: &str = "nondeterministic_output";
const UNORDERED: &str = "nondeterministic_output_order";

/// Every command, by name.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("auth", -2, GREETING, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Authenticates the connection by the password of this server.")
        .run(connection::auth),
    Command::new("client", -2, 0, 0)
        .doc("connection", "2.4.0", "Depends on subcommand.", "A container for client connection commands.")
        .containing(CLIENT),
    Command::new("command", -1, LOADING | STALE, CONNECTION)
        .doc("server", "2.8.13", "O(N) where N is the number of commands.", "Describes all commands.")
        .tips(&[UNORDERED])
        .run(introspection::command)
        .containing(COMMAND),
    Command::new("config", -2, 0, 0)
        .doc("server", "2.0.0", "Depends on subcommand.", "A container for server configuration commands.")
        .containing(CONFIG),
    Command::new("dbsize", 1, READONLY | FAST, KEYSPACE)
        .doc("server", "1.0.0", "O(1)", "Returns how many keys have a value on this node.")
        .tips(&[ALL_SHARDS, SUM])
        .run(server::dbsize),
    Command::new("del", -2, WRITE, KEYSPACE)
        .doc("generic", "1.0.0", PER_KEY, "Deletes keys; returns how many had a value.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .run(keys::del),
    Command::new("echo", 2, LOADING | STALE | FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Returns its argument.")
        .run(connection::echo),
    Command::new("exists", -2, READONLY | FAST, KEYSPACE)
        .doc(
            "generic",
            "1.0.0",
            PER_KEY,
            "Counts the keys that have a value; a key named twice counts twice.",
        )
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .run(keys::exists),
    Command::new("expire", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Makes a key expire after so many seconds.")
        .keys(Keys::ONE)
        .run(expiry::expire),
    Command::new("flushall", -1, WRITE, KEYSPACE | DANGEROUS)
        .doc("server", "1.0.0", "O(N) where N is the number of keys.", "Removes every key of the cluster.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(server::flush),
    Command::new("flushdb", -1, WRITE, KEYSPACE | DANGEROUS)
        .doc("server", "1.0.0", "O(N) where N is the number of keys.", "Removes every key of the cluster.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(server::flush),
    Command::new("get", 2, READONLY | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Returns the value of a key.")
        .keys(Keys::ONE)
        .run(strings::get),
    Command::new("getdel", 2, WRITE | FAST, STRING)
        .doc("string", "6.2.0", "O(1)", "Returns the value of a key and deletes the key.")
        .keys(Keys::ONE)
        .run(strings::getdel),
    Command::new("hello", -1, GREETING, CONNECTION)
        .doc("connection", "6.0.0", "O(1)", "Greets the server: chooses the protocol, may authenticate.")
        .run(connection::hello),
    Command::new("info", -1, LOADING | STALE, DANGEROUS)
        .doc("server", "1.0.0", "O(1)", "Returns facts and statistics about the server.")
        .tips(&[UNSTABLE, ALL_SHARDS, "response_policy:special"])
        .run(info::info),
    Command::new("keys", 2, READONLY, KEYSPACE | DANGEROUS)
        .doc(
            "generic",
            "1.0.0",
            "O(N) where N is the number of keys.",
            "Returns all keys that match a pattern.",
        )
        .tips(&[ALL_SHARDS, UNORDERED])
        .run(scan::keys),
    Command::new("mget", -2, READONLY | FAST, STRING)
        .doc("string", "1.0.0", PER_KEY, "Returns the values of several keys.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD])
        .run(strings::mget),
    Command::new("mset", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.1", PER_KEY, "Sets several keys, one after the other.")
        .keys(Keys::PAIRS)
        .tips(&[MULTI_SHARD, ALL_SUCCEED])
        .run(strings::mset),
    Command::new("persist", 2, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.2.0", "O(1)", "Takes a key's expiry away.")
        .keys(Keys::ONE)
        .run(expiry::persist),
    Command::new("pexpire", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Makes a key expire after so many milliseconds.")
        .keys(Keys::ONE)
        .run(expiry::pexpire),
    Command::new("ping", -1, FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Returns PONG, or its argument.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(connection::ping),
    Command::new("pttl", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Returns in how many milliseconds a key expires.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(expiry::pttl),
    Command::new("quit", -1, GREETING, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Closes the connection.")
        .run(connection::quit),
    Command::new("reset", 1, GREETING, CONNECTION)
        .doc("connection", "6.2.0", "O(1)", "Makes the connection as if it were new.")
        .run(connection::reset),
    Command::new("scan", -2, READONLY, KEYSPACE)
        .doc("generic", "2.8.0", "O(1) a call, O(N) for all.", "Walks over the keys.")
        .tips(&[UNSTABLE, "request_policy:special"])
        .run(scan::scan),
    Command::new("select", 2, LOADING | STALE | FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Selects a database; there is one, number 0.")
        .run(connection::select),
    Command::new("set", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.0", "O(1)", "Sets the value of a key.")
        .keys(Keys::ONE)
        .run(strings::set),
    Command::new("ttl", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Returns in how many seconds a key expires.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(expiry::ttl),
    Command::new("type", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Returns the type of a key's value.")
        .keys(Keys::ONE)
        .run(keys::kind),
    Command::new("unlink", -2, WRITE | FAST, KEYSPACE)
        .doc("generic", "4.0.0", PER_KEY, "Deletes keys, as DEL does; returns how many had a value.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .run(keys::del),
];

const CLIENT: &[Command] = &[
    Command::new("client|getname", 2, ANYWHERE, CONNECTION)
        .doc("connection", "2.6.9", "O(1)", "Returns the name of the connection.")
        .run(client::get_name),
    help("client|help", CONNECTION),
    Command::new("client|id", 2, ANYWHERE, CONNECTION)
        .doc("connection", "5.0.0", "O(1)", "Returns the number of the connection.")
        .run(client::id),
    Command::new("client|info", 2, ANYWHERE, CONNECTION)
        .doc("connection", "6.2.0", "O(1)", "Describes the connection.")
        .tips(&[UNSTABLE])
        .run(client::info),
    Command::new("client|list", -2, ADMIN | ANYWHERE, CONNECTION)
        .doc(
            "connection",
            "2.4.0",
            "O(N) where N is the number of connections.",
            "Describes open connections.",
        )
        .tips(&[UNSTABLE])
        .run(client::list),
    Command::new("client|no-evict", 3, ADMIN | ANYWHERE, CONNECTION)
        .doc("connection", "7.0.0", "O(1)", "Noted only: this server evicts no connection.")
        .run(client::no_evict),
    Command::new("client|no-touch", 3, ANYWHERE, CONNECTION)
        .doc("connection", "7.2.0", "O(1)", "Noted only: reads do not change what is kept.")
        .run(client::no_touch),
    Command::new("client|setinfo", 4, ANYWHERE, CONNECTION)
        .doc("connection", "7.2.0", "O(1)", "Tells the name or the version of the client's library.")
        .tips(&["request_policy:all_nodes", ALL_SUCCEED])
        .run(client::set_info),
    Command::new("client|setname", 3, ANYWHERE, CONNECTION)
        .doc("connection", "2.6.9", "O(1)", "Names the connection.")
        .run(client::set_name),
];

const COMMAND: &[Command] = &[
    Command::new("command|count", 2, LOADING | STALE, CONNECTION)
        .doc("server", "2.8.13", "O(1)", "Returns how many commands there are.")
        .run(introspection::count),
    Command::new("command|docs", -2, LOADING | STALE, CONNECTION)
        .doc(
            "server",
            "7.0.0",
            "O(N) where N is the number of commands.",
            "Returns documentation of commands.",
        )
        .tips(&[UNORDERED])
        .run(introspection::docs),
    help("command|help", CONNECTION),
    Command::new("command|info", -2, LOADING | STALE, CONNECTION)
        .doc("server", "2.8.13", "O(N) where N is the number of commands.", "Describes commands.")
        .tips(&[UNORDERED])
        .run(introspection::info),
];

const CONFIG: &[Command] = &[
    Command::new("config|get", -3, ADMIN | ANYWHERE, 0)
        .doc(
            "server",
            "2.0.0",
            "O(N) where N is the number of settings.",
            "Returns settings by name or pattern.",
        )
        .run(config::get),
    help("config|help", 0),
];

const fn help(name: &'static str, categories: u8) -> Command {
    Command::new(name, 2, LOADING | STALE, categories)
        .doc("server", "5.0.0", "O(1)", "Prints this help.")
        .run(help::help)
}

/// The command of that name, whatever its case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; NAME_BYTES_LIMIT];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(lower)).ok()?;
    COMMANDS.get(found)
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
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in COMMANDS {
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
