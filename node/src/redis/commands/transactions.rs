//! `MULTI`, `EXEC`, `DISCARD`, `WATCH` and `UNWATCH`.

use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;
use crate::redis::transaction::{Transaction, Watched};

pub(crate) fn multi(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if session.transaction.is_some() {
        return Err(CommandError::NestedMulti);
    }
    session.transaction = Some(Transaction::default());
    reply.ok();
    Ok(())
}

/// Runs alone; see the gate.
pub(crate) fn exec(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(transaction) = session.transaction.take() else {
        return Err(CommandError::WithoutMulti { command: "EXEC" });
    };
    let watched = std::mem::take(&mut session.watched);
    let Some(commands) = transaction.commands() else { return Err(CommandError::ExecAborted) };
    if watched.changed(&session.engine)? {
        reply.null_array();
        return Ok(());
    }
    reply.array(commands.len());
    for queued in commands {
        session.run_queued(&queued, reply.nested());
    }
    Ok(())
}

pub(crate) fn discard(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if session.transaction.take().is_none() {
        return Err(CommandError::WithoutMulti { command: "DISCARD" });
    }
    session.watched = Watched::default();
    reply.ok();
    Ok(())
}

/// The keys that were named before one that fails stay watched.
pub(crate) fn watch(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if session.transaction.is_some() {
        return Err(CommandError::WatchInsideMulti);
    }
    for key in args.from(1) {
        session.watched.watch(&session.engine, key)?;
    }
    reply.ok();
    Ok(())
}

pub(crate) fn unwatch(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.watched = Watched::default();
    reply.ok();
    Ok(())
}
