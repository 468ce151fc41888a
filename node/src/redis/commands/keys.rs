//! Commands about keys, whatever their values.

use rand::Rng;

use super::KINDS;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// `DEL` and `UNLINK`. A failure leaves those that were named before it deleted.
pub(crate) fn del(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut deleted = 0;
    for key in args.from(1) {
        deleted += usize::from(session.engine.delete(key)?);
    }
    reply.count(deleted);
    Ok(())
}

/// `EXISTS` and `TOUCH`: both count as use.
pub(crate) fn exists(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.count(args.from(1).filter(|key| session.engine.exists(key)).count());
    Ok(())
}

/// Any key; none if none has a value.
pub(crate) fn randomkey(
    session: &mut Session,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let chance = session.door.rng.lock().random();
    reply.bulk_or_null(session.engine.random_key(chance));
    Ok(())
}

/// `TYPE`.
pub(crate) fn kind(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let kind = session.engine.read(args.at(1), |view| view.map(|view| view.kind()));
    let name = KINDS.into_iter().find(|(known, _)| Some(*known) == kind);
    reply.simple(name.map_or("none", |(_, name)| name));
    Ok(())
}
