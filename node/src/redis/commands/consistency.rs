//! `RUMOUR.CONSISTENCY`: how many owners take part in what a connection reads and writes.

use crate::consistency::Consistency;
use crate::engine::Levels;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// In place of a level: as the namespace of a key has it.
const DEFAULT: &str = "default";

pub(crate) fn consistency(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut levels = session.engine.levels();
    if args.len() == 1 {
        reply.map(2);
        for (kind, level) in [("read", levels.read), ("write", levels.write)] {
            reply.bulk(kind);
            reply.bulk(level.map_or_else(|| DEFAULT.to_owned(), |level| level.to_string()));
        }
        return Ok(());
    }
    let mut at = 1;
    while let Some(kind) = args.get(at) {
        let level = level(args.get(at + 1).unwrap_or_default())?;
        match kind {
            kind if kind.eq_ignore_ascii_case(b"read") => levels.read = level,
            kind if kind.eq_ignore_ascii_case(b"write") => levels.write = level,
            _ => return Err(CommandError::Consistency),
        }
        at += 2;
    }
    set(session, levels);
    reply.ok();
    Ok(())
}

fn level(name: &[u8]) -> Result<Option<Consistency>, CommandError> {
    if name.eq_ignore_ascii_case(DEFAULT.as_bytes()) {
        return Ok(None);
    }
    let level = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    level.map(Some).ok_or(CommandError::Consistency)
}

/// What the connection reads and writes from now on takes so many owners.
pub(crate) fn set(session: &mut Session, levels: Levels) {
    session.engine = session.door.engine.at(levels);
}
