//! Commands about when fields of maps expire, as Redis 7.4 has them.

use super::expiry::When;
use super::hashes::fields;
use super::{TimeUnit, integer};
use crate::engine::Writer;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// The last time that a field may end at, milliseconds since the Unix epoch, as in Redis.
const FIELD_EXPIRY_MS_LIMIT: i64 = ((1 << 48) - 2) >> 2;

/// No such field, or no such key.
const NO_FIELD: i64 = -2;
/// The field does not expire.
const NO_EXPIRY: i64 = -1;
/// The condition does not hold.
const NOT_SET: i64 = 0;
const SET: i64 = 1;
/// The time has passed, so that the field is gone.
const DELETED: i64 = 2;

/// Where the fields begin that are named after `FIELDS <count>` at `at`.
fn named(args: Args<'_>, at: usize, count: CommandError) -> Result<usize, CommandError> {
    if !args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"fields")) {
        return Err(CommandError::FieldsMissing);
    }
    let wanted = args.get(at + 1).and_then(|wanted| integer(wanted).ok()).filter(|wanted| *wanted >= 1);
    let wanted = wanted.ok_or(count)?;
    if usize::try_from(wanted).ok() != args.len().checked_sub(at + 2) {
        return Err(CommandError::FieldsMismatch);
    }
    Ok(at + 2)
}

/// When the field ends; `None`: there is no such field.
fn end(key: &Writer<'_>, field: &[u8]) -> Option<Option<u64>> {
    let view = key.view()?;
    view.map()?.get(field, view.now_ms()).map(rumour_crdt::Field::expires_at_ms)
}

/// Has `change` see to each field that is there, in one step, and answers what it returns.
fn each(
    session: &Session,
    args: Args<'_>,
    first: usize,
    reply: &mut Reply<'_>,
    change: impl Fn(&mut Writer<'_>, &[u8], Option<u64>) -> Result<i64, CommandError>,
) -> Result<(), CommandError> {
    let codes = session.engine.write(args.at(1), |key| {
        key.expect(crate::Kind::Map)?;
        let mut codes = Vec::with_capacity(args.len() - first);
        for field in args.from(first) {
            let code = match end(key, field) {
                Some(present) => change(key, field, present)?,
                None => NO_FIELD,
            };
            codes.push(code);
        }
        Ok::<_, CommandError>(codes)
    })??;
    reply.array(codes.len());
    codes.into_iter().for_each(|code| reply.integer(code));
    Ok(())
}

fn expire(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: TimeUnit,
    command: &'static str,
) -> Result<(), CommandError> {
    let engine = &session.engine;
    engine.read(args.at(1), |view| fields(view).map(|_| ()))?;
    let value = integer(args.at(2))?;
    if value < 0 {
        return Err(CommandError::NegativeExpireTime);
    }
    let at_ms = unit.resolve(value, engine.now_ms()).filter(|at_ms| *at_ms <= FIELD_EXPIRY_MS_LIMIT);
    let at_ms = at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
    let at_ms = at_ms.ok_or(CommandError::ExpireTime { command })?;
    let when = args.get(3).and_then(When::option);
    let from = if when.is_some() { 4 } else { 3 };
    let first = named(args, from, CommandError::FieldsNotPositive)?;
    let when = when.unwrap_or_default();
    each(session, args, first, reply, |key, field, present| {
        if !when.holds(present, at_ms) {
            return Ok(NOT_SET);
        }
        if at_ms <= key.now_ms() {
            key.map()?.remove(field);
            return Ok(DELETED);
        }
        if !key.map()?.expire_at(field, Some(at_ms)) {
            // Only counted so far: what ends is a value.
            let view = key.view();
            let total = view.and_then(|view| Some(view.map()?.get(field, view.now_ms())?.text()));
            key.map()?.put(field, total.unwrap_or_default(), Some(at_ms));
        }
        Ok(SET)
    })
}

pub(crate) fn hexpire(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire(session, args, reply, TimeUnit::SECONDS, "hexpire")
}

pub(crate) fn hpexpire(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire(session, args, reply, TimeUnit::MILLISECONDS, "hpexpire")
}

pub(crate) fn hexpireat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire(session, args, reply, TimeUnit::UNIX_SECONDS, "hexpireat")
}

pub(crate) fn hpexpireat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire(session, args, reply, TimeUnit::UNIX_MILLISECONDS, "hpexpireat")
}

pub(crate) fn hpersist(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| fields(view).map(|_| ()))?;
    let first = named(args, 2, CommandError::FieldCount)?;
    each(session, args, first, reply, |key, field, present| {
        if present.is_none() {
            return Ok(NO_EXPIRY);
        }
        key.map()?.expire_at(field, None);
        Ok(SET)
    })
}

/// Answers when each field ends, as `told` makes it of the end and of now.
fn tell(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    told: impl Fn(u64, u64) -> u64,
) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| {
        let found = fields(view)?;
        let first = named(args, 2, CommandError::FieldCount)?;
        reply.array(args.len() - first);
        for field in args.from(first) {
            let field = found.and_then(|(fields, now_ms)| Some((fields.get(field, now_ms)?, now_ms)));
            reply.integer(match field.map(|(field, now_ms)| (field.expires_at_ms(), now_ms)) {
                None => NO_FIELD,
                Some((None, _)) => NO_EXPIRY,
                Some((Some(at_ms), now_ms)) => i64::try_from(told(at_ms, now_ms)).unwrap_or(i64::MAX),
            });
        }
        Ok(())
    })
}

pub(crate) fn httl(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, now_ms| at_ms.saturating_sub(now_ms).div_ceil(1000))
}

pub(crate) fn hpttl(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    tell(session, args, reply, u64::saturating_sub)
}

pub(crate) fn hexpiretime(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, _| at_ms.div_ceil(1000))
}

pub(crate) fn hpexpiretime(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, _| at_ms)
}
