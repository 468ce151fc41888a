//! Commands about keys, whatever their values.

use super::{ALL_SHARDS, MULTI_SHARD, PER_KEY, SUM, UNORDERED, UNSTABLE, help};
use crate::redis::command::category::{DANGEROUS, KEYSPACE};
use crate::redis::command::flag::{DENYOOM, FAST, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::{expiry, keys, object, scan, transfer};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("copy", -3, WRITE | DENYOOM, KEYSPACE)
        .doc(
            "generic",
            "6.2.0",
            "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
            "Copies the value of a key to another.",
        )
        .keys(Keys::TWO)
        .alone()
        .run(transfer::copy),
    Command::new("del", -2, WRITE, KEYSPACE)
        .doc("generic", "1.0.0", PER_KEY, "Deletes keys; returns how many had a value.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .deletes()
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
    Command::new("expireat", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "1.2.0", "O(1)", "Makes a key expire at a time in seconds.")
        .keys(Keys::ONE)
        .run(expiry::expireat),
    Command::new("expiretime", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "7.0.0", "O(1)", "Returns at what time in seconds a key expires.")
        .keys(Keys::ONE)
        .run(expiry::expiretime),
    Command::new("keys", 2, READONLY, KEYSPACE | DANGEROUS)
        .doc(
            "generic",
            "1.0.0",
            "O(N) where N is the number of keys.",
            "Returns all keys that match a pattern.",
        )
        .tips(&[ALL_SHARDS, UNORDERED])
        .run(scan::keys),
    Command::new("object", -2, 0, 0)
        .doc(
            "generic",
            "2.2.3",
            "Depends on subcommand.",
            "A container for commands about how values are held.",
        )
        .containing(OBJECT),
    Command::new("persist", 2, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.2.0", "O(1)", "Takes a key's expiry away.")
        .keys(Keys::ONE)
        .run(expiry::persist),
    Command::new("pexpire", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Makes a key expire after so many milliseconds.")
        .keys(Keys::ONE)
        .run(expiry::pexpire),
    Command::new("pexpireat", -3, WRITE | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Makes a key expire at a time in milliseconds.")
        .keys(Keys::ONE)
        .run(expiry::pexpireat),
    Command::new("pexpiretime", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "7.0.0", "O(1)", "Returns at what time in milliseconds a key expires.")
        .keys(Keys::ONE)
        .run(expiry::pexpiretime),
    Command::new("pttl", 2, READONLY | FAST, KEYSPACE)
        .doc("generic", "2.6.0", "O(1)", "Returns in how many milliseconds a key expires.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(expiry::pttl),
    Command::new("randomkey", 1, READONLY, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Returns any key.")
        .tips(&[ALL_SHARDS, UNSTABLE])
        .run(keys::randomkey),
    Command::new("rename", 3, WRITE, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Renames a key, whatever the new name held.")
        .keys(Keys::TWO)
        .alone()
        .run(transfer::rename),
    Command::new("renamenx", 3, WRITE | FAST, KEYSPACE)
        .doc("generic", "1.0.0", "O(1)", "Renames a key if the new name holds nothing.")
        .keys(Keys::TWO)
        .alone()
        .run(transfer::renamenx),
    Command::new("scan", -2, READONLY, KEYSPACE)
        .doc("generic", "2.8.0", "O(1) a call, O(N) for all.", "Walks over the keys.")
        .tips(&[UNSTABLE, "request_policy:special"])
        .run(scan::scan),
    Command::new("touch", -2, READONLY | FAST, KEYSPACE)
        .doc(
            "generic",
            "3.2.1",
            "O(N) where N is the number of keys that will be touched.",
            "Counts the keys that have a value.",
        )
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD, SUM])
        .run(keys::exists),
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
        .deletes()
        .run(keys::del),
];

const OBJECT: &[Command] = &[
    Command::new("object|encoding", 3, READONLY, KEYSPACE)
        .doc("generic", "2.2.3", "O(1)", "Returns how Redis would hold the value of a key.")
        .keys(Keys::SECOND)
        .tips(&[UNSTABLE])
        .run(object::encoding),
    Command::new("object|freq", 3, READONLY, KEYSPACE)
        .doc("generic", "2.2.3", "O(1)", "Returns how often a key is used, if eviction goes by that.")
        .keys(Keys::SECOND)
        .tips(&[UNSTABLE])
        .run(object::freq),
    help("object|help", KEYSPACE),
    Command::new("object|idletime", 3, READONLY, KEYSPACE)
        .doc("generic", "2.2.3", "O(1)", "Returns how many seconds ago a key was used.")
        .keys(Keys::SECOND)
        .tips(&[UNSTABLE])
        .run(object::idletime),
    Command::new("object|refcount", 3, READONLY, KEYSPACE)
        .doc("generic", "2.2.3", "O(1)", "Returns how many keys share the value: one.")
        .keys(Keys::SECOND)
        .tips(&[UNSTABLE])
        .run(object::refcount),
];
