//! The options of `SET` and `GETEX`.

use super::{TimeUnit, integer};
use crate::engine::{Condition, SetExpiry};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;

/// Which of them a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Set,
    Get,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options<'a> {
    pub(super) condition: Condition,
    keep_ttl: bool,
    expiry: Option<(TimeUnit, &'a [u8])>,
    /// Take the expiry away.
    pub(super) persist: bool,
    /// Answer with the previous value.
    pub(super) get: bool,
}

impl<'a> Options<'a> {
    /// The options from the argument `at` on. Repeating one is allowed, naming two that exclude each other is not.
    pub(super) fn parse(args: Args<'a>, mut at: usize, verb: Verb) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let set = verb == Verb::Set;
        while let Some(option) = args.get(at) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            at += 1;
            if set && is("nx") && options.condition != Condition::IfPresent {
                options.condition = Condition::IfAbsent;
            } else if set && is("xx") && options.condition != Condition::IfAbsent {
                options.condition = Condition::IfPresent;
            } else if set && is("get") {
                options.get = true;
            } else if set && is("keepttl") && options.expiry.is_none() {
                options.keep_ttl = true;
            } else if !set && is("persist") && options.expiry.is_none() {
                options.persist = true;
            } else {
                let unit = match option.to_ascii_lowercase().as_slice() {
                    b"ex" => TimeUnit::SECONDS,
                    b"px" => TimeUnit::MILLISECONDS,
                    b"exat" => TimeUnit::UNIX_SECONDS,
                    b"pxat" => TimeUnit::UNIX_MILLISECONDS,
                    _ => return Err(CommandError::Syntax),
                };
                let value = args.get(at).ok_or(CommandError::Syntax)?;
                let other_unit = options.expiry.is_some_and(|(present, _)| present != unit);
                if options.keep_ttl || options.persist || other_unit {
                    return Err(CommandError::Syntax);
                }
                options.expiry = Some((unit, value));
                at += 1;
            }
        }
        Ok(options)
    }

    pub(super) fn expiry(&self, now_ms: u64, command: &'static str) -> Result<SetExpiry, CommandError> {
        match self.expiry {
            Some((unit, value)) => unit.resolve_later(integer(value)?, now_ms, command).map(SetExpiry::At),
            None if self.keep_ttl => Ok(SetExpiry::Keep),
            None => Ok(SetExpiry::Clear),
        }
    }
}
