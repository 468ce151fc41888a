//! Commands about all keys at once.

use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn dbsize(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(session.engine.len());
    Ok(())
}

/// Seconds since 1970 and microseconds, in whole milliseconds: the cluster's time while this node's own clock is wrong.
pub(crate) fn time(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let now_ms = session.engine.now_ms();
    reply.array(2);
    reply.bulk((now_ms / 1000).to_string());
    reply.bulk((now_ms % 1000 * 1000).to_string());
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
    session.engine.flush()?;
    reply.ok();
    Ok(())
}
