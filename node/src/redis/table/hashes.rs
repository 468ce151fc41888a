//! Commands about maps of fields.

use super::{UNORDERED, UNSTABLE};
use crate::redis::command::category::HASH;
use crate::redis::command::flag::{DENYOOM, FAST, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::{hash_expiry, hashes};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("hdel", -3, WRITE | FAST, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the number of fields to be removed.", "Deletes fields of a map; returns how many there were.")
        .keys(Keys::ONE)
        .run(hashes::hdel),
    Command::new("hexists", 3, READONLY | FAST, HASH)
        .doc("hash", "2.0.0", "O(1)", "Tells whether a map has a field.")
        .keys(Keys::ONE)
        .run(hashes::hexists),
    Command::new("hexpire", -6, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Makes fields expire after so many seconds.")
        .keys(Keys::ONE)
        .run(hash_expiry::hexpire),
    Command::new("hexpireat", -6, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Makes fields expire at a time in seconds.")
        .keys(Keys::ONE)
        .run(hash_expiry::hexpireat),
    Command::new("hexpiretime", -5, READONLY | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Returns at what time in seconds fields expire.")
        .keys(Keys::ONE)
        .run(hash_expiry::hexpiretime),
    Command::new("hget", 3, READONLY | FAST, HASH)
        .doc("hash", "2.0.0", "O(1)", "Returns a field of a map.")
        .keys(Keys::ONE)
        .run(hashes::hget),
    Command::new("hgetall", 2, READONLY, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the size of the hash.", "Returns all fields of a map with their values.")
        .keys(Keys::ONE)
        .tips(&[UNORDERED])
        .run(hashes::hgetall),
    Command::new("hincrby", 4, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "2.0.0", "O(1)", "Adds to the number that a field holds; what two nodes add adds up.")
        .keys(Keys::ONE)
        .run(hashes::hincrby),
    Command::new("hincrbyfloat", 4, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "2.6.0", "O(1)", "Adds a number with a fraction to the number that a field holds.")
        .keys(Keys::ONE)
        .run(hashes::hincrbyfloat),
    Command::new("hkeys", 2, READONLY, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the size of the hash.", "Returns the names of all fields of a map.")
        .keys(Keys::ONE)
        .tips(&[UNORDERED])
        .run(hashes::hkeys),
    Command::new("hlen", 2, READONLY | FAST, HASH)
        .doc("hash", "2.0.0", "O(1)", "Returns how many fields a map has.")
        .keys(Keys::ONE)
        .run(hashes::hlen),
    Command::new("hmget", -3, READONLY | FAST, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the number of fields being requested.", "Returns several fields of a map.")
        .keys(Keys::ONE)
        .run(hashes::hmget),
    Command::new("hmset", -4, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the number of fields being set.", "Sets fields of a map.")
        .keys(Keys::ONE)
        .run(hashes::hmset),
    Command::new("hpersist", -5, WRITE | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Takes the expiry of fields away.")
        .keys(Keys::ONE)
        .run(hash_expiry::hpersist),
    Command::new("hpexpire", -6, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Makes fields expire after so many milliseconds.")
        .keys(Keys::ONE)
        .run(hash_expiry::hpexpire),
    Command::new("hpexpireat", -6, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Makes fields expire at a time in milliseconds.")
        .keys(Keys::ONE)
        .run(hash_expiry::hpexpireat),
    Command::new("hpexpiretime", -5, READONLY | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Returns at what time in milliseconds fields expire.")
        .keys(Keys::ONE)
        .run(hash_expiry::hpexpiretime),
    Command::new("hpttl", -5, READONLY | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Returns in how many milliseconds fields expire.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(hash_expiry::hpttl),
    Command::new("hrandfield", -2, READONLY, HASH)
        .doc("hash", "6.2.0", "O(N) where N is the number of fields returned", "Returns fields of a map that are chosen by chance.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(hashes::hrandfield),
    Command::new("hscan", -3, READONLY, HASH)
        .doc("hash", "2.8.0", "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..", "Walks over the fields of a map.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(hashes::hscan),
    Command::new("hset", -4, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "2.0.0", "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.", "Sets fields of a map; returns how many are new.")
        .keys(Keys::ONE)
        .run(hashes::hset),
    Command::new("hsetnx", 4, WRITE | DENYOOM | FAST, HASH)
        .doc("hash", "2.0.0", "O(1)", "Sets a field of a map if it is not there.")
        .keys(Keys::ONE)
        .run(hashes::hsetnx),
    Command::new("hstrlen", 3, READONLY | FAST, HASH)
        .doc("hash", "3.2.0", "O(1)", "Returns the length of the value of a field.")
        .keys(Keys::ONE)
        .run(hashes::hstrlen),
    Command::new("httl", -5, READONLY | FAST, HASH)
        .doc("hash", "7.4.0", "O(N) where N is the number of fields.", "Returns in how many seconds fields expire.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(hash_expiry::httl),
    Command::new("hvals", 2, READONLY, HASH)
        .doc("hash", "2.0.0", "O(N) where N is the size of the hash.", "Returns the values of all fields of a map.")
        .keys(Keys::ONE)
        .tips(&[UNORDERED])
        .run(hashes::hvals),
];
