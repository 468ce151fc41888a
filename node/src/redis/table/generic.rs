//! Commands about keys, whatever their values.

use super::{ALL_SHARDS, MULTI_SHARD, PER_KEY, SUM, UNORDERED, UNSTABLE};
use crate::redis::command::category::{DANGEROUS, KEYSPACE};
use crate::redis::command::flag::{FAST, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::{expiry, keys, scan};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("del", -2, WRITE, KEYSPACE)
        .doc("generic", "1.0.0", PER_KEY, "Deletes keys; returns how many had a value.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .run(keys::del),
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
    Command::new("keys", 2, READONLY, KEYSPACE | DANGEROUS)
        .doc(
            "generic",
            "1.0.0",
            "O(N) where N is the number of keys.",
            "Returns all keys that match a pattern.",
        )
        .tips(&[ALL_SHARDS, UNORDERED])
        .run(scan::keys),
    Command::new("persist", 2, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.2.0", "O(1)", "Takes a key's expiry away.")
        .keys(Keys::ONE)
        .run(expiry::persist),
    Command::new("pexpire", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Makes a key expire after so many milliseconds.")
        .keys(Keys::ONE)
        .run(expiry::pexpire),
    Command::new("pttl", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Returns in how many milliseconds a key expires.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(expiry::pttl),
    Command::new("scan", -2, READONLY, KEYSPACE)
        .doc("generic", "2.8.0", "O(1) a call, O(N) for all.", "Walks over the keys.")
        .tips(&[UNSTABLE, "request_policy:special"])
        .run(scan::scan),
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
