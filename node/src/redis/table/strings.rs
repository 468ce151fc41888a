//! Commands about values and numbers.

use super::{ALL_SUCCEED, MULTI_SHARD, PER_KEY};
use crate::redis::command::category::STRING;
use crate::redis::command::flag::{DENYOOM, FAST, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::{counters, ranges, strings};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("append", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "2.0.0", "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already present value is of any size, since the dynamic string library used by Redis will double the free space available on every reallocation.", "Appends to the value of a key; returns its length.")
        .keys(Keys::ONE)
        .run(ranges::append),
    Command::new("decr", 2, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Takes one from the number that a key holds.")
        .keys(Keys::ONE)
        .run(counters::decr),
    Command::new("decrby", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Takes from the number that a key holds.")
        .keys(Keys::ONE)
        .run(counters::decrby),
    Command::new("get", 2, READONLY | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Returns the value of a key.")
        .keys(Keys::ONE)
        .run(strings::get),
    Command::new("getdel", 2, WRITE | FAST, STRING)
        .doc("string", "6.2.0", "O(1)", "Returns the value of a key and deletes the key.")
        .keys(Keys::ONE)
        .run(strings::getdel),
    Command::new("getex", -2, WRITE | FAST, STRING)
        .doc("string", "6.2.0", "O(1)", "Returns the value of a key and may change its expiry.")
        .keys(Keys::ONE)
        .run(strings::getex),
    Command::new("getrange", 4, READONLY, STRING)
        .doc("string", "2.4.0", "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.", "Returns a part of the value of a key.")
        .keys(Keys::ONE)
        .run(ranges::getrange),
    Command::new("getset", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Sets the value of a key; returns the one before.")
        .keys(Keys::ONE)
        .run(strings::getset),
    Command::new("incr", 2, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Adds one to the number that a key holds; what two nodes add adds up.")
        .keys(Keys::ONE)
        .run(counters::incr),
    Command::new("incrby", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Adds to the number that a key holds.")
        .keys(Keys::ONE)
        .run(counters::incrby),
    Command::new("incrbyfloat", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "2.6.0", "O(1)", "Adds a number with a fraction to the number that a key holds.")
        .keys(Keys::ONE)
        .run(counters::incrbyfloat),
    Command::new("mget", -2, READONLY | FAST, STRING)
        .doc("string", "1.0.0", PER_KEY, "Returns the values of several keys.")
        .keys(Keys::ALL)
        .tips(&[MULTI_SHARD])
        .run(strings::mget),
    Command::new("mset", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.1", PER_KEY, "Sets several keys in one step.")
        .keys(Keys::PAIRS)
        .tips(&[MULTI_SHARD, ALL_SUCCEED])
        .alone()
        .blind(|_| true)
        .run(strings::mset),
    Command::new("msetnx", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.1", "O(N) where N is the number of keys to set.", "Sets several keys in one step if none has a value.")
        .keys(Keys::PAIRS)
        .tips(&[MULTI_SHARD, "response_policy:agg_min"])
        .alone()
        .run(strings::msetnx),
    Command::new("psetex", 4, WRITE | DENYOOM, STRING)
        .doc("string", "2.6.0", "O(1)", "Sets the value of a key and its expiry in milliseconds.")
        .keys(Keys::ONE)
        .blind(|_| true)
        .run(strings::psetex),
    Command::new("set", -3, WRITE | DENYOOM, STRING)
        .doc("string", "1.0.0", "O(1)", "Sets the value of a key.")
        .keys(Keys::ONE)
        .blind(strings::sets_blindly)
        .run(strings::set),
    Command::new("setex", 4, WRITE | DENYOOM, STRING)
        .doc("string", "2.0.0", "O(1)", "Sets the value of a key and its expiry in seconds.")
        .keys(Keys::ONE)
        .blind(|_| true)
        .run(strings::setex),
    Command::new("setnx", 3, WRITE | DENYOOM | FAST, STRING)
        .doc("string", "1.0.0", "O(1)", "Sets the value of a key if it has none.")
        .keys(Keys::ONE)
        .run(strings::setnx),
    Command::new("setrange", 4, WRITE | DENYOOM, STRING)
        .doc("string", "2.2.0", "O(1), not counting the time taken to copy the new string in place. Usually, this string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value argument.", "Replaces a part of the value of a key; returns its length.")
        .keys(Keys::ONE)
        .run(ranges::setrange),
    Command::new("strlen", 2, READONLY | FAST, STRING)
        .doc("string", "2.2.0", "O(1)", "Returns the length of the value of a key.")
        .keys(Keys::ONE)
        .run(ranges::strlen),
    Command::new("substr", 4, READONLY, STRING)
        .doc("string", "1.0.0", "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.", "Returns a part of the value of a key, as GETRANGE does.")
        .keys(Keys::ONE)
        .run(ranges::getrange),
];
