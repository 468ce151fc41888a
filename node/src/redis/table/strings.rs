//! Commands about values and numbers.

use super::{ALL_SUCCEED, MULTI_SHARD, PER_KEY};
use crate::redis::command::category::STRING;
use crate::redis::command::flag::{DENYOOM, FAST, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::strings;

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("get", 2, READONLY | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Returns the value of a key.")
        .keys(Keys::ONE)
        .run(strings::get),
    Command::new("getdel", 2, WRITE | FAST, STRING)
        .doc("string", "6.2.0", "O(1)", "Returns the value of a key and deletes the key.")
        .keys(Keys::ONE)
        .run(strings::getdel),
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
    Command::new("set", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.0", "O(1)", "Sets the value of a key.")
        .keys(Keys::ONE)
        .run(strings::set),
];
