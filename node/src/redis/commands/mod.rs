//! The commands, by what they are about. A handler finds its arity checked by the command table.

pub(super) mod client;
pub(super) mod config;
pub(super) mod connection;
pub(super) mod consistency;
pub(super) mod counters;
pub(super) mod expiry;
pub(super) mod hash_expiry;
pub(super) mod hashes;
pub(super) mod help;
pub(super) mod info;
pub(super) mod introspection;
pub(super) mod keys;
mod numkeys;
pub(super) mod object;
mod random;
pub(super) mod ranges;
pub(super) mod scan;
pub(super) mod server;
pub(super) mod sets;
pub(super) mod sorted_sets;
pub(super) mod strings;
pub(super) mod transactions;
pub(super) mod transfer;
mod value_options;
pub(super) mod wait;

use bytes::Bytes;

use super::error::CommandError;
use super::number::parse_i64;
use crate::Kind;
use crate::engine::{View, check_name};

/// An integer argument.
fn integer(argument: &[u8]) -> Result<i64, CommandError> {
    parse_i64(argument).ok_or(CommandError::NotAnInteger)
}

/// A number with a fraction, read as widely as Redis reads it: infinities pass, what is no number does not.
fn float(argument: &[u8]) -> Result<f64, CommandError> {
    let number = std::str::from_utf8(argument).ok().and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| !number.is_nan()).ok_or(CommandError::NotAFloat)
}

/// How many elements to choose by chance; negative: the same one perhaps several times.
fn element_count(argument: &[u8]) -> Result<i64, CommandError> {
    match integer(argument)? {
        i64::MIN => Err(CommandError::NotA64BitCount),
        count => Ok(count),
    }
}

/// How many elements to take away.
fn positive_count(argument: &[u8]) -> Result<usize, CommandError> {
    parse_i64(argument).and_then(|count| usize::try_from(count).ok()).ok_or(CommandError::NotPositive)
}

/// The name of an element that may be put.
fn name(argument: &[u8]) -> Result<&[u8], CommandError> {
    check_name(argument.len())?;
    Ok(argument)
}

/// A client's words, for an error to repeat.
fn text(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
}

/// A value or a name that outlives its request. Copied: a part of the read buffer would keep all of that buffer.
fn owned(value: &[u8]) -> Bytes {
    Bytes::copy_from_slice(value)
}

/// The value of a key that must be a string.
fn string(view: Option<View<'_>>) -> Result<Option<Bytes>, CommandError> {
    view.map(|view| view.text().ok_or(CommandError::WrongType)).transpose()
}

/// What Redis calls the types; it has no multi-value registers.
const KINDS: [(Kind, &str); 5] = [
    (Kind::String, "string"),
    (Kind::Set, "set"),
    (Kind::SortedSet, "zset"),
    (Kind::Map, "hash"),
    (Kind::Values, "values"),
];

/// The type that Redis calls so.
fn kind_of(name: &[u8]) -> Option<Kind> {
    KINDS.into_iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(kind, _)| kind)
}

/// How a time of expiry was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeUnit {
    /// In one unit.
    milliseconds: i64,
    /// Counted from now, not from the Unix epoch.
    relative: bool,
}

impl TimeUnit {
    const SECONDS: Self = Self { milliseconds: 1000, relative: true };
    const MILLISECONDS: Self = Self { milliseconds: 1, relative: true };
    const UNIX_SECONDS: Self = Self { milliseconds: 1000, relative: false };
    const UNIX_MILLISECONDS: Self = Self { milliseconds: 1, relative: false };

    /// The time in milliseconds since the Unix epoch; may lie before it. `None`: it cannot be told.
    fn resolve(self, value: i64, now_ms: u64) -> Option<i64> {
        let milliseconds = value.checked_mul(self.milliseconds)?;
        let base = if self.relative { i64::try_from(now_ms).ok()? } else { 0 };
        milliseconds.checked_add(base)
    }

    /// The time in milliseconds since the Unix epoch, of a value that must be positive.
    fn resolve_later(self, value: i64, now_ms: u64, command: &'static str) -> Result<u64, CommandError> {
        let at_ms = (value > 0).then(|| self.resolve(value, now_ms)).flatten();
        at_ms.and_then(|at_ms| u64::try_from(at_ms).ok()).ok_or(CommandError::ExpireTime { command })
    }
}
