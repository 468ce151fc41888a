//! Taking members away.

use super::select::{Bounds, By};
use super::{Scored, score, sorted, write_members};
use crate::engine::Writer;
use crate::redis::commands::positive_count;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// Removes the members of a range, `limit` at most. Returns them.
fn remove_range(
    key: &mut Writer<'_>,
    bounds: Bounds<'_>,
    reverse: bool,
    limit: usize,
) -> Result<Vec<Scored>, CommandError> {
    let Some(fields) = sorted(key.view())? else { return Ok(Vec::new()) };
    let removed = bounds.select(fields, reverse, 0, limit);
    if !removed.is_empty() {
        let mut elements = key.sorted()?;
        for (name, _) in &removed {
            elements.remove(name);
        }
    }
    Ok(removed)
}

pub(crate) fn zrem(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let removed = session.engine.write(args.at(1), |key| {
        let now_ms = key.now_ms();
        let fields = sorted(key.view())?;
        if !args.from(2).any(|member| score(fields, member, now_ms).is_some()) {
            return Ok(0);
        }
        let mut elements = key.sorted()?;
        Ok::<_, CommandError>(args.from(2).filter(|member| elements.remove(member)).count())
    })??;
    reply.count(removed);
    Ok(())
}

pub(crate) fn zremrangebyrank(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    remove_by(session, args, reply, By::Rank)
}

pub(crate) fn zremrangebyscore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    remove_by(session, args, reply, By::Score)
}

pub(crate) fn zremrangebylex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    remove_by(session, args, reply, By::Name)
}

fn remove_by(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, by: By) -> Result<(), CommandError> {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let removed = session.engine.write(args.at(1), |key| remove_range(key, bounds, false, usize::MAX))??;
    reply.count(removed.len());
    Ok(())
}

pub(crate) fn zpopmin(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    pop(session, args, reply, false)
}

pub(crate) fn zpopmax(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    pop(session, args, reply, true)
}

fn pop(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, highest: bool) -> Result<(), CommandError> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = args.get(2).map(positive_count).transpose()?;
    let limit = count.unwrap_or(1);
    // No more are collected than are taken, but for a limit of none, which selects all and takes none.
    let first = Bounds::Rank(0, i64::try_from(limit).unwrap_or(i64::MAX) - 1);
    let popped = session.engine.write(args.at(1), |key| remove_range(key, first, highest, limit))??;
    match (count, popped.first()) {
        // Without a count the pair is told flat in both protocols.
        (None, Some((name, score))) => {
            reply.array(2);
            reply.bulk(name);
            reply.double(*score);
        }
        _ => write_members(reply, &popped, true),
    }
    Ok(())
}
