//! Commands about maps of fields. Each field is merged by itself.

use bytes::Bytes;
use rumour_crdt::{Field, Fields};

use super::random::{Picked, Urn, generator};
use super::scan::{ScanOptions, cursor, walk};
use super::{float, integer, name, owned};
use crate::Kind;
use crate::engine::{View, Writer, element_bytes};
use crate::error::WriteError;
use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// The fields of a key that must be a map, `None` if there is none, and the time to look at them.
pub(super) fn fields(view: Option<View<'_>>) -> Result<Option<(&Fields<Bytes>, u64)>, CommandError> {
    let Some(view) = view else { return Ok(None) };
    match (view.kind(), view.map()) {
        (Kind::Map, Some(fields)) => Ok(Some((fields, view.now_ms()))),
        _ => Err(CommandError::WrongType),
    }
}

/// Has `read` look at the fields of a map; at none if there is no such key.
fn read<R: Default>(
    session: &Session,
    key: &[u8],
    read: impl FnOnce(&Fields<Bytes>, u64) -> R,
) -> Result<R, CommandError> {
    session
        .door
        .engine
        .read(key, |view| Ok(fields(view)?.map(|(fields, now_ms)| read(fields, now_ms)).unwrap_or_default()))
}

/// Has `write` change a key that is a map or nothing.
fn write<R>(
    session: &Session,
    key: &[u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    session.engine.write(key, |key| {
        key.expect(Kind::Map)?;
        write(key)
    })?
}

/// What a field shows.
fn present(key: &Writer<'_>, field: &[u8]) -> Option<Bytes> {
    let view = key.view()?;
    view.map()?.get(field, view.now_ms()).map(Field::text)
}

/// Puts the pairs from the third argument on; returns how many are new.
fn put(session: &Session, args: Args<'_>, command: &'static str) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Arity { command });
    }
    for field in args.from(2).step_by(2) {
        name(field)?;
    }
    write(session, args.at(1), |key| {
        let now_ms = key.now_ms();
        let pairs = (2..args.len()).step_by(2).map(|at| element_bytes(args.at(at), args.at(at + 1).len()));
        key.check_room(pairs.sum())?;
        let mut map = key.map()?;
        let mut new = 0;
        for at in (2..args.len()).step_by(2) {
            let field = args.at(at);
            new += usize::from(map.fields().is_none_or(|fields| fields.get(field, now_ms).is_none()));
            map.put(field, owned(args.at(at + 1)), None);
        }
        Ok(new)
    })
}

pub(crate) fn hset(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(put(session, args, "hset")?);
    Ok(())
}

pub(crate) fn hmset(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    put(session, args, "hmset")?;
    reply.ok();
    Ok(())
}

pub(crate) fn hsetnx(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let field = name(args.at(2))?;
    let written = write(session, args.at(1), |key| {
        let absent = present(key, field).is_none();
        if absent {
            key.check_room(element_bytes(field, args.at(3).len()))?;
            key.map()?.put(field, owned(args.at(3)), None);
        }
        Ok(absent)
    })?;
    reply.integer(i64::from(written));
    Ok(())
}

pub(crate) fn hget(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let text = read(session, args.at(1), |fields, now_ms| fields.get(args.at(2), now_ms).map(Field::text))?;
    reply.bulk_or_null(text);
    Ok(())
}

pub(crate) fn hmget(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| {
        let found = fields(view)?;
        reply.array(args.len() - 2);
        for field in args.from(2) {
            let field = found.and_then(|(fields, now_ms)| fields.get(field, now_ms));
            reply.bulk_or_null(field.map(Field::text));
            if reply.overflowed() {
                break;
            }
        }
        Ok(())
    })
}

pub(crate) fn hdel(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let removed = write(session, args.at(1), |key| {
        if key.kind().is_none() {
            return Ok(0);
        }
        let mut map = key.map()?;
        Ok(args.from(2).filter(|field| map.remove(field)).count())
    })?;
    reply.count(removed);
    Ok(())
}

pub(crate) fn hexists(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let there = read(session, args.at(1), |fields, now_ms| fields.get(args.at(2), now_ms).is_some())?;
    reply.integer(i64::from(there));
    Ok(())
}

fn count(fields: &Fields<Bytes>, now_ms: u64) -> usize {
    if fields.has_expiries() { fields.iter(now_ms).count() } else { fields.len() }
}

pub(crate) fn hlen(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(read(session, args.at(1), count)?);
    Ok(())
}

pub(crate) fn hstrlen(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let text = read(session, args.at(1), |fields, now_ms| fields.get(args.at(2), now_ms).map(Field::text))?;
    reply.count(text.map_or(0, |text| text.len()));
    Ok(())
}

/// What of the fields a command answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    Names,
    Values,
    Both,
}

fn write_field(reply: &mut Reply<'_>, parts: Parts, field: (&rumour_crdt::FieldName, &Field<Bytes>)) {
    if parts != Parts::Values {
        reply.bulk(field.0);
    }
    if parts != Parts::Names {
        reply.bulk(field.1.text());
    }
}

fn all(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, parts: Parts) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| {
        let found = fields(view)?;
        let len = found.map_or(0, |(fields, now_ms)| count(fields, now_ms));
        match parts {
            Parts::Both => reply.map(len),
            Parts::Names | Parts::Values => reply.array(len),
        }
        for field in found.into_iter().flat_map(|(fields, now_ms)| fields.iter(now_ms)) {
            write_field(reply, parts, field);
            if reply.overflowed() {
                break;
            }
        }
        Ok(())
    })
}

pub(crate) fn hgetall(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    all(session, args, reply, Parts::Both)
}

pub(crate) fn hkeys(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    all(session, args, reply, Parts::Names)
}

pub(crate) fn hvals(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    all(session, args, reply, Parts::Values)
}

pub(crate) fn hincrby(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (field, by) = (name(args.at(2))?, integer(args.at(3))?);
    let total = write(session, args.at(1), |key| {
        let present = present(key, field).map_or(Some(0), |text| parse_i64(&text));
        let total = present.ok_or(CommandError::HashNotAnInteger)?.checked_add(by);
        let total = total.ok_or(WriteError::Overflow)?;
        key.check_room(element_bytes(field, 0))?;
        key.map()?.add(field, rumour_crdt::Amount::Integer(by));
        Ok(total)
    })?;
    reply.integer(total);
    Ok(())
}

pub(crate) fn hincrbyfloat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (field, by) = (name(args.at(2))?, float(args.at(3))?);
    if !by.is_finite() {
        return Err(CommandError::NotANumberOrInfinite);
    }
    let total = write(session, args.at(1), |key| {
        let number = present(key, field).map_or(Ok(0.0), |text| float(&text));
        let number = number.map_err(|_| CommandError::HashNotAFloat)?;
        if !(number + by).is_finite() {
            return Err(WriteError::NotFinite.into());
        }
        key.check_room(element_bytes(field, 0))?;
        key.map()?.add(field, rumour_crdt::Amount::Float(by));
        Ok(present(key, field).unwrap_or_default())
    })?;
    reply.bulk(total);
    Ok(())
}

pub(crate) fn hscan(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let cursor = cursor(args.at(2))?;
    session.engine.read(args.at(1), |view| {
        let Some((fields, now_ms)) = fields(view)? else {
            reply.array(2);
            reply.bulk("0");
            reply.array(0);
            return Ok(());
        };
        let options = ScanOptions::parse(args, 3)?.only(false, true)?;
        let (next, found) = walk(fields, cursor, &options, now_ms);
        let parts = if options.names_only { Parts::Names } else { Parts::Both };
        reply.array(2);
        reply.bulk(next.to_string());
        reply.array(if options.names_only { found.len() } else { found.len() * 2 });
        for field in found {
            write_field(reply, parts, field);
        }
        Ok(())
    })
}

pub(crate) fn hrandfield(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let wanted = args.get(2).map(super::element_count).transpose()?;
    let with_values = match (args.get(3), args.len()) {
        (None, _) => false,
        (Some(option), 4) if option.eq_ignore_ascii_case(b"withvalues") => true,
        _ => return Err(CommandError::Syntax),
    };
    if with_values && wanted.is_some_and(|wanted| wanted.unsigned_abs() > i64::MAX.unsigned_abs() / 2) {
        return Err(CommandError::OutOfRange);
    }
    let mut rng = generator(session);
    let picked = session.engine.read(args.at(1), |view| {
        let Some((fields, now_ms)) = fields(view)? else { return Ok(Picked::none()) };
        let urn = Urn::new(fields, now_ms);
        Ok::<_, CommandError>(Picked::choose(&urn, wanted.unwrap_or(1), &mut rng, |(name, field)| {
            (name.clone(), with_values.then(|| field.text()))
        }))
    })?;
    if wanted.is_some() {
        reply.pairs(picked.len(), with_values);
    } else if picked.len() == 0 {
        reply.null();
    }
    picked.tell(&mut rng, |(name, value)| {
        reply.pair(with_values);
        reply.bulk(name);
        if let Some(value) = value {
            reply.bulk(value);
        }
        !reply.overflowed()
    });
    Ok(())
}
