//! Commands about keys, whatever their values.

use crate::Kind;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// `DEL` and `UNLINK`. A failure leaves those that were named before it deleted.
pub(crate) fn del(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut deleted = 0;
    for key in args.from(1) {
        deleted += usize::from(session.door.engine.delete(key)?);
    }
    reply.count(deleted);
    Ok(())
}

pub(crate) fn exists(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.count(args.from(1).filter(|key| session.door.engine.exists(key)).count());
    Ok(())
}

/// `TYPE`.
pub(crate) fn kind(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let kind = session.door.engine.read(args.at(1), |view| view.map(|view| view.kind()));
    reply.simple(match kind {
        None => "none",
        Some(Kind::String) => "string",
        Some(Kind::Set) => "set",
        Some(Kind::SortedSet) => "zset",
        Some(Kind::Map) => "hash",
        // Redis has no such type.
        Some(Kind::Values) => "values",
    });
    Ok(())
}
