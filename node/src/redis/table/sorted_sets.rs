//! Commands about sorted sets.

use super::UNSTABLE;
use crate::redis::command::category::SORTED_SET;
use crate::redis::command::flag::{DENYOOM, FAST, MOVABLE_KEYS, READONLY, WRITE};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::sorted_sets::{self, add, algebra, random, range, remove};

const GROUP: &str = "sorted-set";
const NAMED: &str = "O(M log N) where M is the number of members named and N of those that there are.";
const POPPED: &str = "O(M log N) where M is the number of members removed and N of those that there are.";
const IN_RANGE: &str = "O(log N + M) where N is the number of members and M of those in the range.";
const RANK: &str = "O(N) where N is the rank, counted from the nearer end.";
const RANGE: &str =
    "O(log N + M) where N is the number of members and M of those in the range; O(N) by rank.";
const ALL_SETS: &str = "O(N log N) where N is the number of members of all sets.";
const FIRST_SET: &str = "O(N*M) where N is the number of members of the first set and M the number of sets.";
const SMALLEST_SET: &str =
    "O(N*M) where N is the number of members of the smallest set and M the number of sets.";

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("zadd", -4, WRITE | DENYOOM | FAST, SORTED_SET)
        .doc(GROUP, "1.2.0", NAMED, "Gives members scores; returns how many members were not there.")
        .keys(Keys::ONE)
        .run(add::zadd),
    Command::new("zcard", 2, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "1.2.0", "O(1)", "Returns how many members a sorted set has.")
        .keys(Keys::ONE)
        .run(sorted_sets::zcard),
    Command::new("zcount", 4, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "2.0.0", IN_RANGE, "Counts the members within a range of scores.")
        .keys(Keys::ONE)
        .run(range::zcount),
    Command::new("zdiff", -3, READONLY | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "6.2.0", FIRST_SET, "Returns the members of the first sorted set that no other has.")
        .run(algebra::zdiff),
    Command::new("zdiffstore", -4, WRITE | DENYOOM | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "6.2.0", FIRST_SET, "Stores the members of the first sorted set that no other has.")
        .keys(Keys::ONE)
        .alone()
        .run(algebra::zdiffstore),
    Command::new("zincrby", 4, WRITE | DENYOOM | FAST, SORTED_SET)
        .doc(GROUP, "1.2.0", "O(log N) where N is the number of members.", "Adds to the score of a member.")
        .keys(Keys::ONE)
        .run(add::zincrby),
    Command::new("zinter", -3, READONLY | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "6.2.0", SMALLEST_SET, "Returns the members that all sorted sets have.")
        .run(algebra::zinter),
    Command::new("zintercard", -3, READONLY | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "7.0.0", SMALLEST_SET, "Returns how many members all sorted sets have.")
        .run(algebra::zintercard),
    Command::new("zinterstore", -4, WRITE | DENYOOM | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "2.0.0", SMALLEST_SET, "Stores the members that all sorted sets have.")
        .keys(Keys::ONE)
        .alone()
        .run(algebra::zinterstore),
    Command::new("zlexcount", 4, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "2.8.9", IN_RANGE, "Counts the members within a range of names.")
        .keys(Keys::ONE)
        .run(range::zlexcount),
    Command::new("zmscore", -3, READONLY | FAST, SORTED_SET)
        .doc(
            GROUP,
            "6.2.0",
            "O(N) where N is the number of members named.",
            "Returns the scores of several members.",
        )
        .keys(Keys::ONE)
        .run(sorted_sets::zmscore),
    Command::new("zpopmax", -2, WRITE | FAST, SORTED_SET)
        .doc(GROUP, "5.0.0", POPPED, "Removes the members with the highest scores, and returns them.")
        .keys(Keys::ONE)
        .run(remove::zpopmax),
    Command::new("zpopmin", -2, WRITE | FAST, SORTED_SET)
        .doc(GROUP, "5.0.0", POPPED, "Removes the members with the lowest scores, and returns them.")
        .keys(Keys::ONE)
        .run(remove::zpopmin),
    Command::new("zrandmember", -2, READONLY, SORTED_SET)
        .doc(
            GROUP,
            "6.2.0",
            "O(1) without a count, otherwise O(N) where N is the number of members.",
            "Returns members that are chosen by chance.",
        )
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(random::zrandmember),
    Command::new("zrange", -4, READONLY, SORTED_SET)
        .doc(GROUP, "1.2.0", RANGE, "Returns the members within a range of ranks, scores or names.")
        .keys(Keys::ONE)
        .run(range::zrange),
    Command::new("zrangebylex", -4, READONLY, SORTED_SET)
        .doc(GROUP, "2.8.9", IN_RANGE, "Returns the members within a range of names.")
        .keys(Keys::ONE)
        .run(range::zrangebylex),
    Command::new("zrangebyscore", -4, READONLY, SORTED_SET)
        .doc(GROUP, "1.0.5", IN_RANGE, "Returns the members within a range of scores.")
        .keys(Keys::ONE)
        .run(range::zrangebyscore),
    Command::new("zrangestore", -5, WRITE | DENYOOM, SORTED_SET)
        .doc(GROUP, "6.2.0", RANGE, "Stores the members within a range of ranks, scores or names.")
        .keys(Keys { first: 1, last: 2, step: 1 })
        .alone()
        .run(range::zrangestore),
    Command::new("zrank", -3, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "2.0.0", RANK, "Returns the rank of a member, counted from the lowest score.")
        .keys(Keys::ONE)
        .run(sorted_sets::zrank),
    Command::new("zrem", -3, WRITE | FAST, SORTED_SET)
        .doc(GROUP, "1.2.0", NAMED, "Removes members; returns how many were there.")
        .keys(Keys::ONE)
        .run(remove::zrem),
    Command::new("zremrangebylex", 4, WRITE, SORTED_SET)
        .doc(GROUP, "2.8.9", POPPED, "Removes the members within a range of names.")
        .keys(Keys::ONE)
        .run(remove::zremrangebylex),
    Command::new("zremrangebyrank", 4, WRITE, SORTED_SET)
        .doc(GROUP, "2.0.0", RANK, "Removes the members within a range of ranks.")
        .keys(Keys::ONE)
        .run(remove::zremrangebyrank),
    Command::new("zremrangebyscore", 4, WRITE, SORTED_SET)
        .doc(GROUP, "1.2.0", POPPED, "Removes the members within a range of scores.")
        .keys(Keys::ONE)
        .run(remove::zremrangebyscore),
    Command::new("zrevrange", -4, READONLY, SORTED_SET)
        .doc(GROUP, "1.2.0", RANK, "Returns the members within a range of ranks, from the highest score on.")
        .keys(Keys::ONE)
        .run(range::zrevrange),
    Command::new("zrevrangebylex", -4, READONLY, SORTED_SET)
        .doc(GROUP, "2.8.9", IN_RANGE, "Returns the members within a range of names, from the highest on.")
        .keys(Keys::ONE)
        .run(range::zrevrangebylex),
    Command::new("zrevrangebyscore", -4, READONLY, SORTED_SET)
        .doc(GROUP, "2.2.0", IN_RANGE, "Returns the members within a range of scores, from the highest on.")
        .keys(Keys::ONE)
        .run(range::zrevrangebyscore),
    Command::new("zrevrank", -3, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "2.0.0", RANK, "Returns the rank of a member, counted from the highest score.")
        .keys(Keys::ONE)
        .run(sorted_sets::zrevrank),
    Command::new("zscan", -3, READONLY, SORTED_SET)
        .doc(GROUP, "2.8.0", "O(1) a call, O(N) for all.", "Walks over the members of a sorted set.")
        .keys(Keys::ONE)
        .tips(&[UNSTABLE])
        .run(sorted_sets::zscan),
    Command::new("zscore", 3, READONLY | FAST, SORTED_SET)
        .doc(GROUP, "1.2.0", "O(1)", "Returns the score of a member.")
        .keys(Keys::ONE)
        .run(sorted_sets::zscore),
    Command::new("zunion", -3, READONLY | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "6.2.0", ALL_SETS, "Returns the members that any of the sorted sets has.")
        .run(algebra::zunion),
    Command::new("zunionstore", -4, WRITE | DENYOOM | MOVABLE_KEYS, SORTED_SET)
        .doc(GROUP, "2.0.0", ALL_SETS, "Stores the members that any of the sorted sets has.")
        .keys(Keys::ONE)
        .alone()
        .run(algebra::zunionstore),
];
