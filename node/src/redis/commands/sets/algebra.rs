//! Unions, intersections and differences of sets.
//!
//! Keys are looked at one after the other, each in one step. Only the names of the smallest set of an intersection and
//! of the first of a difference are copied; the others are asked for them.

use rumour_crdt::{FieldName, Fields};

use super::{contains, members, names, write_set};
use crate::engine::{check_payload, element_bytes};
use crate::redis::commands::numkeys;
use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

impl Operation {
    /// The names that the sets give.
    fn of(self, session: &Session, keys: &[&[u8]]) -> Result<Vec<FieldName>, CommandError> {
        // A wrong type is told even where another key decides what comes out.
        let size = |key: &&[u8]| {
            session.engine.read(key, |view| members(view).map(|fields| fields.map_or(0, Fields::len)))
        };
        let sizes = keys.iter().map(size).collect::<Result<Vec<_>, _>>()?;
        match self {
            Self::Union => {
                let mut all = Vec::new();
                for key in keys {
                    all.append(&mut names(session, key)?);
                }
                all.sort_unstable();
                all.dedup();
                Ok(all)
            }
            Self::Intersection => {
                let smallest = (0..keys.len()).min_by_key(|at| sizes[*at]).unwrap_or(0);
                sieve(session, keys, smallest, true)
            }
            Self::Difference => sieve(session, keys, 0, false),
        }
    }
}

/// The names of one set that all others contain, or that none of them does.
fn sieve(session: &Session, keys: &[&[u8]], of: usize, wanted: bool) -> Result<Vec<FieldName>, CommandError> {
    let Some(first) = keys.get(of) else { return Ok(Vec::new()) };
    let mut left = names(session, first)?;
    for (_, key) in keys.iter().enumerate().filter(|(at, _)| *at != of) {
        if left.is_empty() {
            break;
        }
        session.engine.read(key, |view| {
            let now_ms = view.map_or(0, |view| view.now_ms());
            let fields = members(view)?;
            left.retain(|name| contains(fields, name, now_ms) == wanted);
            Ok::<_, CommandError>(())
        })?;
    }
    Ok(left)
}

fn answer(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let keys: Vec<_> = args.from(1).collect();
    write_set(reply, &operation.of(session, &keys)?);
    Ok(())
}

/// Replaces the destination by what comes out, whatever it held; by nothing if that is nothing.
fn store(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let keys: Vec<_> = args.from(2).collect();
    let names = operation.of(session, &keys)?;
    session.engine.overwrite(args.at(1), |key| {
        if names.is_empty() {
            key.delete();
            return Ok(());
        }
        check_payload(names.iter().map(|name| element_bytes(name, 0)).sum())?;
        key.replace();
        let mut elements = key.members()?;
        for name in &names {
            elements.put(name, (), None);
        }
        Ok::<_, CommandError>(())
    })??;
    reply.count(names.len());
    Ok(())
}

pub(crate) fn sunion(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Union)
}

pub(crate) fn sinter(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Intersection)
}

pub(crate) fn sdiff(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Difference)
}

pub(crate) fn sunionstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Union)
}

pub(crate) fn sinterstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Intersection)
}

pub(crate) fn sdiffstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Difference)
}

pub(crate) fn sintercard(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = parse_i64(args.at(1)).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(CommandError::NumkeysNotPositive)?;
    if count > args.len() - 2 {
        return Err(CommandError::NumkeysTooMany);
    }
    let limit = numkeys::limit(args, 2 + count)?;
    let keys: Vec<_> = args.from(2).take(count).collect();
    reply.count(Operation::Intersection.of(session, &keys)?.len().min(limit));
    Ok(())
}
