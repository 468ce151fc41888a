//! Commands about the connection itself.

use super::client::name_connection;
use super::{consistency, integer, text};
use crate::engine::Levels;
use crate::redis::REDIS_VERSION;
use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;
use crate::redis::reply::{Protocol, Reply};
use crate::redis::session::Session;
use crate::redis::stats::RedisStats;
use crate::redis::transaction::Watched;

/// The one user there is.
const USER: &[u8] = b"default";

pub(crate) fn ping(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match args.len() {
        1 => reply.simple("PONG"),
        2 => reply.bulk(args.at(1)),
        _ => return Err(CommandError::Arity { command: "ping" }),
    }
    Ok(())
}

pub(crate) fn echo(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk(args.at(1));
    Ok(())
}

pub(crate) fn select(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let index = i32::try_from(integer(args.at(1))?).map_err(|_| CommandError::NotA32BitInteger)?;
    if index != 0 {
        return Err(CommandError::DatabaseIndex);
    }
    reply.ok();
    Ok(())
}

pub(crate) fn quit(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.closing = true;
    reply.ok();
    Ok(())
}

pub(crate) fn reset(session: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.protocol = Protocol::default();
    session.transaction = None;
    session.watched = Watched::default();
    consistency::set(session, Levels::default());
    session.authenticated = session.door.password.is_none();
    session.client.update(|details| {
        details.name.clear();
        details.no_evict = false;
        details.no_touch = false;
    });
    reply.switch_to(session.protocol);
    reply.simple("RESET");
    Ok(())
}

pub(crate) fn auth(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match args.len() {
        2 if session.door.password.is_none() => return Err(CommandError::NoPasswordConfigured),
        2 => authenticate(session, USER, args.at(1))?,
        3 => authenticate(session, args.at(1), args.at(2))?,
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(())
}

/// Without a password of our own, any password will do. A wrong one changes nothing.
fn authenticate(session: &mut Session, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let right = session.door.password.as_ref().is_none_or(|expected| expected.is(password));
    if user != USER || !right {
        RedisStats::add(&session.door.stats.wrong_passwords, 1);
        tracing::debug!(client = session.client.id, "wrong password on a Redis connection");
        return Err(CommandError::WrongPassword);
    }
    session.authenticated = true;
    Ok(())
}

/// Options take effect one after the other: those before one that fails stay in effect, as in Redis.
pub(crate) fn hello(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let protocol = match args.get(1) {
        None => session.protocol,
        Some(version) => match parse_i64(version).ok_or(CommandError::ProtocolNotAnInteger)? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(CommandError::UnsupportedProtocol),
        },
    };
    let mut at = 2;
    while let Some(option) = args.get(at) {
        if let (true, Some(user), Some(password)) =
            (option.eq_ignore_ascii_case(b"auth"), args.get(at + 1), args.get(at + 2))
        {
            authenticate(session, user, password)?;
            at += 3;
        } else if let (true, Some(name)) = (option.eq_ignore_ascii_case(b"setname"), args.get(at + 1)) {
            name_connection(session, name)?;
            at += 2;
        } else {
            return Err(CommandError::HelloOption(text(option)));
        }
    }
    if !session.authenticated {
        return Err(CommandError::HelloBeforeAuth);
    }
    session.protocol = protocol;
    reply.switch_to(protocol);
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field);
        reply.bulk(value);
    }
    reply.bulk("proto");
    reply.integer(protocol.number());
    reply.bulk("id");
    reply.integer(session.client.number());
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field);
        reply.bulk(value);
    }
    reply.bulk("modules");
    reply.array(0);
    Ok(())
}
