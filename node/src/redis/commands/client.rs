//! `CLIENT`: what connections tell about themselves.

use std::sync::Arc;

use tokio::time::Instant;

use super::text;
use crate::redis::clients::Client;
use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// Longest name of a connection or of a client's library, in bytes.
const NAME_BYTES_LIMIT: usize = 4096;

/// What a connection may be called: printable ASCII without spaces. It is shown in lists with spaces between.
fn printable(name: &[u8]) -> Option<String> {
    let fits = name.len() <= NAME_BYTES_LIMIT && name.iter().all(u8::is_ascii_graphic);
    fits.then(|| text(name))
}

/// Names the connection; an empty name takes the name away.
pub(super) fn name_connection(session: &Session, name: &[u8]) -> Result<(), CommandError> {
    let name = printable(name).ok_or(CommandError::ClientName)?;
    session.client.update(|details| details.name = name);
    Ok(())
}

pub(crate) fn id(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.integer(session.client.number());
    Ok(())
}

pub(crate) fn get_name(
    session: &mut Session,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let name = session.client.update(|details| details.name.clone());
    reply.bulk_or_null(Some(name).filter(|name| !name.is_empty()));
    Ok(())
}

pub(crate) fn set_name(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    name_connection(session, args.at(2))?;
    reply.ok();
    Ok(())
}

pub(crate) fn set_info(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let value = printable(args.at(3));
    match args.at(2) {
        name if name.eq_ignore_ascii_case(b"lib-name") => {
            let value = value.ok_or(CommandError::ClientAttribute("lib-name"))?;
            session.client.update(|details| details.library = value);
        }
        name if name.eq_ignore_ascii_case(b"lib-ver") => {
            let value = value.ok_or(CommandError::ClientAttribute("lib-ver"))?;
            session.client.update(|details| details.library_version = value);
        }
        other => return Err(CommandError::UnrecognizedOption(text(other))),
    }
    reply.ok();
    Ok(())
}

fn on_or_off(argument: &[u8]) -> Result<bool, CommandError> {
    match argument {
        on if on.eq_ignore_ascii_case(b"on") => Ok(true),
        off if off.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

pub(crate) fn no_evict(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let on = on_or_off(args.at(2))?;
    session.client.update(|details| details.no_evict = on);
    reply.ok();
    Ok(())
}

pub(crate) fn no_touch(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let on = on_or_off(args.at(2))?;
    session.client.update(|details| details.no_touch = on);
    reply.ok();
    Ok(())
}

pub(crate) fn info(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    describe(session, &[Arc::clone(&session.client)], reply);
    Ok(())
}

pub(crate) fn list(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let clients = &session.door.clients;
    let chosen = match (args.get(2), args.get(3)) {
        (None, _) => clients.list(),
        (Some(option), Some(kind)) if option.eq_ignore_ascii_case(b"type") && args.len() == 4 => {
            let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
            match is("normal") {
                true => clients.list(),
                // Connections that other servers would have; here there are none.
                false if ["master", "slave", "replica", "pubsub"].into_iter().any(is) => Vec::new(),
                false => return Err(CommandError::ClientType(text(kind))),
            }
        }
        (Some(option), Some(_)) if option.eq_ignore_ascii_case(b"id") => {
            let mut chosen = Vec::new();
            for id in args.from(3) {
                let id = parse_i64(id).ok_or(CommandError::ClientId)?;
                chosen.extend(u64::try_from(id).ok().and_then(|id| clients.get(id)));
            }
            chosen
        }
        _ => return Err(CommandError::Syntax),
    };
    describe(session, &chosen, reply);
    Ok(())
}

fn describe(session: &Session, clients: &[Arc<Client>], reply: &mut Reply<'_>) {
    session.publish();
    let now = Instant::now();
    let mut lines = String::new();
    for client in clients {
        client.describe(now, &mut lines);
    }
    reply.verbatim(&lines);
}
