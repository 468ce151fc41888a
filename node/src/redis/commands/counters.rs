//! Commands that count. Each is a contribution: what two nodes count at the same time adds up.

use super::{float, integer};
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

fn add(session: &Session, key: &[u8], by: i64, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.integer(session.engine.write(key, |key| key.add(by))??);
    Ok(())
}

pub(crate) fn incr(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    add(session, args.at(1), 1, reply)
}

pub(crate) fn decr(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    add(session, args.at(1), -1, reply)
}

pub(crate) fn incrby(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    add(session, args.at(1), integer(args.at(2))?, reply)
}

pub(crate) fn decrby(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let by = integer(args.at(2))?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    add(session, args.at(1), by, reply)
}

pub(crate) fn incrbyfloat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let total = session.engine.write(args.at(1), |key| {
        // Of another type: that is what Redis complains about first.
        key.expect(crate::Kind::String)?;
        let by = float(args.at(2))?;
        Ok::<_, CommandError>(key.add_float(by)?)
    })??;
    reply.bulk(total);
    Ok(())
}
