//! Commands that read or replace whole values.

use bytes::Bytes;

use super::value_options::{Options, Verb};
use super::{TimeUnit, integer, owned, string};
use crate::engine::{Condition, SetExpiry, SetOptions, Writer};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn get(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk_or_null(session.engine.read(args.at(1), string)?);
    Ok(())
}

pub(crate) fn getdel(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let removed = session.engine.write(args.at(1), |key| {
        let removed = string(key.view())?;
        key.delete();
        Ok::<_, CommandError>(removed)
    })??;
    reply.bulk_or_null(removed);
    Ok(())
}

pub(crate) fn getset(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let replaced = session.engine.write(args.at(1), |key| {
        let replaced = string(key.view())?;
        key.set(owned(args.at(2)), SetExpiry::Clear);
        Ok::<_, CommandError>(replaced)
    })??;
    reply.bulk_or_null(replaced);
    Ok(())
}

pub(crate) fn getex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let options = Options::parse(args, 2, Verb::Get)?;
    let value = session.engine.write(args.at(1), |key| {
        let Some(value) = string(key.view())? else { return Ok(None) };
        if options.persist {
            key.expire_at(None);
        } else if let SetExpiry::At(at_ms) = options.expiry(key.now_ms(), "getex")? {
            key.expire_at(Some(at_ms));
        }
        Ok::<_, CommandError>(Some(value))
    })??;
    reply.bulk_or_null(value);
    Ok(())
}

pub(crate) fn mget(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.array(args.len() - 1);
    for key in args.from(1) {
        reply.bulk_or_null(session.engine.get(key));
        if reply.overflowed() {
            break;
        }
    }
    Ok(())
}

/// The keys and values of `MSET` and `MSETNX`.
fn pairs<'a>(
    args: Args<'a>,
    command: &'static str,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, CommandError> {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command });
    }
    Ok((1..args.len()).step_by(2).map(move |key| (args.at(key), args.at(key + 1))))
}

/// Runs alone, so that no other connection sees some of the keys. A failure leaves those before it set.
pub(crate) fn mset(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    for (key, value) in pairs(args, "mset")? {
        session.engine.set(key, owned(value), SetOptions::default())?;
    }
    reply.ok();
    Ok(())
}

/// Runs alone. A failure leaves the pairs before it set.
pub(crate) fn msetnx(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let engine = &session.engine;
    let free = !pairs(args, "msetnx")?.any(|(key, _)| engine.exists(key));
    if free {
        for (key, value) in pairs(args, "msetnx")? {
            engine.set(key, owned(value), SetOptions::default())?;
        }
    }
    reply.integer(i64::from(free));
    Ok(())
}

pub(crate) fn setnx(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let options = SetOptions { condition: Condition::IfAbsent, ..SetOptions::default() };
    let outcome = session.engine.set(args.at(1), owned(args.at(2)), options)?;
    reply.integer(i64::from(outcome.written));
    Ok(())
}

fn set_for(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: TimeUnit,
    command: &'static str,
) -> Result<(), CommandError> {
    let engine = &session.engine;
    let at_ms = unit.resolve_later(integer(args.at(2))?, engine.now_ms(), command)?;
    let options = SetOptions { expiry: SetExpiry::At(at_ms), ..SetOptions::default() };
    engine.set(args.at(1), owned(args.at(3)), options)?;
    reply.ok();
    Ok(())
}

pub(crate) fn setex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_for(session, args, reply, TimeUnit::SECONDS, "setex")
}

pub(crate) fn psetex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_for(session, args, reply, TimeUnit::MILLISECONDS, "psetex")
}

/// Whether a `SET` asks for nothing that depends on the present value.
pub(crate) fn sets_blindly(args: Args<'_>) -> bool {
    const DEPENDING: [&[u8]; 4] = [b"nx", b"xx", b"get", b"keepttl"];
    !args.from(3).any(|option| DEPENDING.iter().any(|depending| option.eq_ignore_ascii_case(depending)))
}

pub(crate) fn set(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let engine = &session.engine;
    let options = Options::parse(args, 3, Verb::Set)?;
    let expiry = options.expiry(engine.now_ms(), "set")?;
    let write = |key: &mut Writer<'_>| {
        // Only who asks for the previous value minds what it is.
        let previous: Option<Bytes> = if options.get { string(key.view())? } else { None };
        let written = match options.condition {
            Condition::Always => true,
            Condition::IfAbsent => key.kind().is_none(),
            Condition::IfPresent => key.kind().is_some(),
        };
        if written {
            key.set(owned(args.at(2)), expiry);
        }
        Ok::<_, CommandError>((written, previous))
    };
    let (written, previous) = match sets_blindly(args) {
        true => engine.overwrite(args.at(1), write),
        false => engine.write(args.at(1), write),
    }??;
    match (options.get, written) {
        (true, _) => reply.bulk_or_null(previous),
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}
