//! Commands about sets.

use super::{UNORDERED, UNSTABLE};
use crate::redis::command::category::SET;
use crate::redis::command::flag::{DENYOOM, FAST, MOVABLE_KEYS, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::sets::{self, algebra, random};

const GROUP: &str = "set";
const PER_MEMBER: &str = "O(N) where N is the number of members named.";
const WHOLE: &str = "O(N) where N is the number of members.";
const PICKED: &str = "O(1) without a count, otherwise O(N) where N is the number of members.";
const ALL_SETS: &str = "O(N log N) where N is the number of members of all sets.";
const FIRST_SET: &str = "O(N*M) where N is the number of members of the first set and M the number of sets.";
const SMALLEST_SET: &str =
    "O(N*M) where N is the number of members of the smallest set and M the number of sets.";

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("sadd", -3, WRITE | DENYOOM | FAST, SET)
        .doc(GROUP, "1.0.0", PER_MEMBER, "Adds members to a set; returns how many were not there.")
        .keys(Keys::ONE)
        .run(sets::sadd),
    Command::new("scard", 2, READONLY | FAST, SET)
        .doc(GROUP, "1.0.0", "O(1)", "Returns how many members a set has.")
        .keys(Keys::ONE)
        .run(sets::scard),
    Command::new("sdiff", -2, READONLY, SET)
        .doc(GROUP, "1.0.0", FIRST_SET, "Returns the members of the first set that no other has.")
        .keys(Keys::ALL)
        .tips(&[UNORDERED])
        .run(algebra::sdiff),
    Command::new("sdiffstore", -3, WRITE | DENYOOM, SET)
        .doc(GROUP, "1.0.0", FIRST_SET, "Stores the members of the first set that no other has.")
        .keys(Keys::ALL)
        .alone()
        .run(algebra::sdiffstore),
    Command::new("sinter", -2, READONLY, SET)
        .doc(GROUP, "1.0.0", SMALLEST_SET, "Returns the members that all sets have.")
        .keys(Keys::ALL)
        .tips(&[UNORDERED])
        .run(algebra::sinter),
    Command::new("sintercard", -3, READONLY | MOVABLE_KEYS, SET)
        .doc(GROUP, "7.0.0", SMALLEST_SET, "Returns how many members all sets have.")
        .run(algebra::sintercard),
    Command::new("sinterstore", -3, WRITE | DENYOOM, SET)
        .doc(GROUP, "1.0.0", SMALLEST_SET, "Stores the members that all sets have.")
        .keys(Keys::ALL)
        .alone()
        .run(algebra::sinterstore),
    Command::new("sismember", 3, READONLY | FAST, SET)
        .doc(GROUP, "1.0.0", "O(1)", "Says whether a set has a member.")
        .keys(Keys::ONE)
        .run(sets::sismember),
    Command::new("smembers", 2, READONLY, SET)
        .doc(GROUP, "1.0.0", WHOLE, "Returns all members of a set.")
        .keys(Keys::ONE)
        .tips(&[UNORDERED])
        .run(sets::smembers),
    Command::new("smismember", -3, READONLY | FAST, SET)
        .doc(GROUP, "6.2.0", PER_MEMBER, "Says of each of several members whether a set has it.")
        .keys(Keys::ONE)
        .run(sets::smismember),
    Command::new("smove", 4, WRITE | FAST, SET)
        .doc(GROUP, "1.0.0", "O(1)", "Moves a member from one set to another.")
        .keys(Keys { first: 1, last: 2, step: 1 })
        .alone()
        .run(sets::smove),
    Command::new("spop", -2, WRITE | FAST, SET)
        .doc(GROUP, "1.0.0", PICKED, "Removes members that are chosen by chance, and returns them.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(random::spop),
    Command::new("srandmember", -2, READONLY, SET)
        .doc(GROUP, "1.0.0", PICKED, "Returns members that are chosen by chance.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(random::srandmember),
    Command::new("srem", -3, WRITE | FAST, SET)
        .doc(GROUP, "1.0.0", PER_MEMBER, "Removes members from a set; returns how many were there.")
        .keys(Keys::ONE)
        .run(sets::srem),
    Command::new("sscan", -3, READONLY, SET)
        .doc(GROUP, "2.8.0", "O(1) a call, O(N) for all.", "Walks over the members of a set.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(sets::sscan),
    Command::new("sunion", -2, READONLY, SET)
        .doc(GROUP, "1.0.0", ALL_SETS, "Returns the members that any of the sets has.")
        .keys(Keys::ALL)
        .tips(&[UNORDERED])
        .run(algebra::sunion),
    Command::new("sunionstore", -3, WRITE | DENYOOM, SET)
        .doc(GROUP, "1.0.0", ALL_SETS, "Stores the members that any of the sets has.")
        .keys(Keys::ALL)
        .alone()
        .run(algebra::sunionstore),
];
