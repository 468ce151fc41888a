//! `WAIT`: until other members hold what was written.

use std::time::Duration;

use super::integer;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::{Session, Wait};

/// Has the connection wait, which replies when that is over. In a transaction nobody waits: it replies how many there are.
pub(crate) fn wait(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let members = integer(args.at(1))?;
    let patience_ms = u64::try_from(integer(args.at(2))?).map_err(|_| CommandError::NegativeTimeout)?;
    if session.in_transaction {
        reply.integer(i64::try_from(session.engine.up_to_date()).unwrap_or(i64::MAX));
        return Ok(());
    }
    session.wait = Some(Wait {
        members: usize::try_from(members).unwrap_or(0),
        patience: (patience_ms > 0).then(|| Duration::from_millis(patience_ms)),
    });
    Ok(())
}
