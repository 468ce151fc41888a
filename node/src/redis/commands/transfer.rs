//! `RENAME`, `RENAMENX` and `COPY`: a key's value under another name. They run alone.

use super::integer;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

fn rename_to(session: &Session, args: Args<'_>, replace: bool) -> Result<bool, CommandError> {
    let (engine, source, target) = (&session.engine, args.at(1), args.at(2));
    let Some(image) = engine.image(source) else { return Err(CommandError::NoSuchKey) };
    if source == target {
        return Ok(replace);
    }
    if !replace && engine.exists(target) {
        return Ok(false);
    }
    engine.restore(target, image)?;
    engine.delete(source)?;
    Ok(true)
}

pub(crate) fn rename(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    rename_to(session, args, true)?;
    reply.ok();
    Ok(())
}

pub(crate) fn renamenx(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.integer(i64::from(rename_to(session, args, false)?));
    Ok(())
}

pub(crate) fn copy(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (engine, source, target) = (&session.engine, args.at(1), args.at(2));
    let (mut replace, mut at) = (false, 3);
    while let Some(option) = args.get(at) {
        match args.get(at + 1) {
            _ if option.eq_ignore_ascii_case(b"replace") => replace = true,
            Some(index) if option.eq_ignore_ascii_case(b"db") => {
                if i32::try_from(integer(index)?).map_err(|_| CommandError::NotA32BitInteger)? != 0 {
                    return Err(CommandError::DatabaseIndex);
                }
                at += 1;
            }
            _ => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    if source == target {
        return Err(CommandError::SameObject);
    }
    let copied = match engine.image(source) {
        Some(image) if replace || !engine.exists(target) => {
            engine.restore(target, image)?;
            true
        }
        _ => false,
    };
    reply.integer(i64::from(copied));
    Ok(())
}
