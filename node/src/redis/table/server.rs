//! Commands about the server.

use super::{ALL_SHARDS, ALL_SUCCEED, ANYWHERE, SUM, UNORDERED, UNSTABLE, help};
use crate::redis::command::Command;
use crate::redis::command::category::{CONNECTION, DANGEROUS, KEYSPACE};
use crate::redis::command::flag::{ADMIN, FAST, LOADING, READONLY, STALE, WRITE};
use crate::redis::commands::{config, info, introspection, server};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
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
    Command::new("flushall", -1, WRITE, KEYSPACE | DANGEROUS)
        .doc("server", "1.0.0", "O(N) where N is the number of keys.", "Removes every key of the cluster.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(server::flush),
    Command::new("flushdb", -1, WRITE, KEYSPACE | DANGEROUS)
        .doc("server", "1.0.0", "O(N) where N is the number of keys.", "Removes every key of the cluster.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(server::flush),
    Command::new("info", -1, LOADING | STALE, DANGEROUS)
        .doc("server", "1.0.0", "O(1)", "Returns facts and statistics about the server.")
        .tips(&[UNSTABLE, ALL_SHARDS, "response_policy:special"])
        .run(info::info),
    Command::new("time", 1, LOADING | STALE | FAST, 0)
        .doc("server", "2.6.0", "O(1)", "Returns the time by which this node's keys end.")
        .tips(&[UNSTABLE])
        .run(server::time),
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
