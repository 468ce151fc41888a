//! Commands about all keys at once.

use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn dbsize(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(session.door.engine.len());
    Ok(())
}

/// `FLUSHDB` and `FLUSHALL`: there is one database. `ASYNC` and `SYNC` make no difference.
pub(crate) fn flush(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let how = args.get(1).unwrap_or(b"sync");
    let known = how.eq_ignore_ascii_case(b"sync") || how.eq_ignore_ascii_case(b"async");
    if args.len() > 2 || !known {
        return Err(CommandError::Syntax);
    }
    session.door.engine.flush()?;
    reply.ok();
    Ok(())
}
