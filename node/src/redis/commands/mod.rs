//! The commands, by what they are about. A handler finds its arity checked by the command table.

pub(super) mod client;
pub(super) mod config;
pub(super) mod connection;
pub(super) mod expiry;
pub(super) mod help;
pub(super) mod info;
pub(super) mod introspection;
pub(super) mod keys;
pub(super) mod scan;
pub(super) mod server;
pub(super) mod strings;

use super::error::CommandError;
use super::number::parse_i64;

/// An integer argument.
fn integer(argument: &[u8]) -> Result<i64, CommandError> {
    parse_i64(argument).ok_or(CommandError::NotAnInteger)
}

/// A client's words, for an error to repeat.
fn text(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
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
}
