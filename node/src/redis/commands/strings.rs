//! Commands about values.

use bytes::Bytes;

use super::{TimeUnit, integer};
use crate::engine::{Condition, SetExpiry, SetOptions, View};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn get(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk_or_null(session.door.engine.read(args.at(1), text)?);
    Ok(())
}

pub(crate) fn getdel(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let removed = session.door.engine.write(args.at(1), |key| {
        let removed = text(key.view())?;
        key.delete();
        Ok::<_, CommandError>(removed)
    })??;
    reply.bulk_or_null(removed);
    Ok(())
}

pub(crate) fn mget(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.array(args.len() - 1);
    for key in args.from(1) {
        reply.bulk_or_null(session.door.engine.get(key));
        if reply.overflowed() {
            break;
        }
    }
    Ok(())
}

/// Sets the pairs one after the other: others may see some of them set, and a failure leaves those before it.
pub(crate) fn mset(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command: "mset" });
    }
    for key in (1..args.len()).step_by(2) {
        session.door.engine.set(args.at(key), owned(args.at(key + 1)), SetOptions::default())?;
    }
    reply.ok();
    Ok(())
}

/// The value of a key that must be a string.
fn text(view: Option<View<'_>>) -> Result<Option<Bytes>, CommandError> {
    view.map(|view| view.text().ok_or(CommandError::WrongType)).transpose()
}

/// A value that outlives its request. Copied: a part of the read buffer would keep all of that buffer.
fn owned(value: &[u8]) -> Bytes {
    Bytes::copy_from_slice(value)
}

/// The options of `SET`.
#[derive(Debug, Clone, Copy, Default)]
struct Options<'a> {
    condition: Condition,
    keep_ttl: bool,
    expiry: Option<(TimeUnit, &'a [u8])>,
    /// Answer with the previous value.
    get: bool,
}

impl<'a> Options<'a> {
    /// Repeating an option is allowed, naming two that exclude each other is not.
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 3;
        while let Some(option) = args.get(at) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            at += 1;
            if is("nx") && options.condition != Condition::IfPresent {
                options.condition = Condition::IfAbsent;
            } else if is("xx") && options.condition != Condition::IfAbsent {
                options.condition = Condition::IfPresent;
            } else if is("get") {
                options.get = true;
            } else if is("keepttl") && options.expiry.is_none() {
                options.keep_ttl = true;
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
                if options.keep_ttl || other_unit {
                    return Err(CommandError::Syntax);
                }
                options.expiry = Some((unit, value));
                at += 1;
            }
        }
        Ok(options)
    }

    fn expiry(&self, now_ms: u64) -> Result<SetExpiry, CommandError> {
        let Some((unit, value)) = self.expiry else {
            return Ok(if self.keep_ttl { SetExpiry::Keep } else { SetExpiry::Clear });
        };
        let value = integer(value)?;
        let at_ms = (value > 0).then(|| unit.resolve(value, now_ms)).flatten();
        let at_ms = at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
        at_ms.map(SetExpiry::At).ok_or(CommandError::ExpireTime { command: "set" })
    }
}

pub(crate) fn set(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let engine = &session.door.engine;
    let options = Options::parse(args)?;
    let expiry = options.expiry(engine.now_ms())?;
    let set = SetOptions { expiry, condition: options.condition };
    let outcome = engine.set(args.at(1), owned(args.at(2)), set)?;
    match (options.get, outcome.written) {
        (true, _) => reply.bulk_or_null(outcome.previous),
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}
