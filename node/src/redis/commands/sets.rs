//! Commands about sets.

pub(crate) mod algebra;
pub(crate) mod random;

use rumour_crdt::{FieldName, Fields};

use super::name;
use super::scan::{ScanOptions, cursor, walk};
use crate::engine::{View, Writer, element_bytes};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// The members of a key that must be a set.
fn members(view: Option<View<'_>>) -> Result<Option<&Fields<()>>, CommandError> {
    view.map(|view| view.members().ok_or(CommandError::WrongType)).transpose()
}

fn contains(fields: Option<&Fields<()>>, member: &[u8], now_ms: u64) -> bool {
    fields.is_some_and(|fields| fields.get(member, now_ms).is_some())
}

/// Adds members that are not there yet. Returns how many.
fn add<'a>(
    key: &mut Writer<'_>,
    added: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<usize, CommandError> {
    let now_ms = key.now_ms();
    let present = members(key.view())?;
    for member in added.clone() {
        name(member)?;
    }
    if added.clone().all(|member| contains(present, member, now_ms)) {
        return Ok(0);
    }
    let new = added.clone().filter(|member| !contains(present, member, now_ms));
    key.check_room(new.map(|member| element_bytes(member, 0)).sum())?;
    let mut elements = key.members()?;
    let mut count = 0;
    for member in added {
        if !contains(elements.fields(), member, now_ms) {
            elements.put(member, (), None);
            count += 1;
        }
    }
    Ok(count)
}

/// Removes members. Returns how many were there.
fn remove<'a>(
    key: &mut Writer<'_>,
    removed: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<usize, CommandError> {
    let now_ms = key.now_ms();
    let present = members(key.view())?;
    if !removed.clone().any(|member| contains(present, member, now_ms)) {
        return Ok(0);
    }
    let mut elements = key.members()?;
    Ok(removed.filter(|member| elements.remove(member)).count())
}

pub(crate) fn sadd(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(session.engine.write(args.at(1), |key| add(key, args.from(2)))??);
    Ok(())
}

pub(crate) fn srem(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(session.engine.write(args.at(1), |key| remove(key, args.from(2)))??);
    Ok(())
}

pub(crate) fn sismember(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.integer(i64::from(is_member(session, args.at(1), args.at(2))?));
    Ok(())
}

fn is_member(session: &Session, key: &[u8], member: &[u8]) -> Result<bool, CommandError> {
    session.engine.read(key, |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        Ok(contains(members(view)?, member, now_ms))
    })
}

pub(crate) fn smismember(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let fields = members(view)?;
        reply.array(args.len() - 2);
        for member in args.from(2) {
            reply.integer(i64::from(contains(fields, member, now_ms)));
        }
        Ok(())
    })
}

pub(crate) fn scard(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = session
        .door
        .engine
        .read(args.at(1), |view| members(view).map(|fields| fields.map_or(0, Fields::len)));
    reply.count(count?);
    Ok(())
}

/// All names, to be used without the lock of their shard.
fn names(session: &Session, key: &[u8]) -> Result<Vec<FieldName>, CommandError> {
    session.engine.read(key, |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let fields = members(view)?;
        Ok(fields.into_iter().flat_map(|fields| fields.iter(now_ms)).map(|(name, _)| name.clone()).collect())
    })
}

/// Answers with a set of names.
fn write_set(reply: &mut Reply<'_>, names: &[FieldName]) {
    reply.set(names.len());
    for name in names {
        reply.bulk(name);
        if reply.overflowed() {
            break;
        }
    }
}

pub(crate) fn smembers(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    write_set(reply, &names(session, args.at(1))?);
    Ok(())
}

/// Adds before it removes, so that what a peer writes in between loses no member.
pub(crate) fn smove(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let engine = &session.engine;
    let (source, destination, member) = (args.at(1), args.at(2), args.at(3));
    let there = engine.read(source, |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        members(view).map(|fields| fields.map(|fields| fields.get(member, now_ms).is_some()))
    })?;
    let moved = match there {
        None => false,
        Some(there) => {
            engine.read(destination, |view| members(view).map(|_| ()))?;
            if there && source != destination {
                engine.write(destination, |key| add(key, std::iter::once(member)))??;
                engine.write(source, |key| remove(key, std::iter::once(member)))??;
            }
            there
        }
    };
    reply.integer(i64::from(moved));
    Ok(())
}

pub(crate) fn sscan(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let cursor = cursor(args.at(2))?;
    let (next, found) = session.engine.read(args.at(1), |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let Some(fields) = members(view)? else { return Ok((0, Vec::new())) };
        let options = ScanOptions::parse(args, 3)?.only(false, false)?;
        let (next, found) = walk(fields, cursor, &options, now_ms);
        Ok::<_, CommandError>((next, found.into_iter().map(|(name, _)| name.clone()).collect()))
    })?;
    reply.array(2);
    reply.bulk(next.to_string());
    reply.array(found.len());
    for name in found {
        reply.bulk(name);
    }
    Ok(())
}
