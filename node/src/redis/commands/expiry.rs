//! Commands about when keys expire.

use super::{TimeUnit, integer, text};
use crate::engine::Ttl;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn expire(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire_in(session, args, reply, TimeUnit::SECONDS, "expire")
}

pub(crate) fn pexpire(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    expire_in(session, args, reply, TimeUnit::MILLISECONDS, "pexpire")
}

/// When `EXPIRE` takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct When {
    /// `NX`: only without a present expiry.
    absent: bool,
    /// `XX`: only with one.
    present: bool,
    /// `GT`: only later than it; no expiry is later than any.
    later: bool,
    /// `LT`: only earlier than it.
    earlier: bool,
}

impl When {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut when = Self::default();
        for option in args.from(3) {
            match option {
                nx if nx.eq_ignore_ascii_case(b"nx") => when.absent = true,
                xx if xx.eq_ignore_ascii_case(b"xx") => when.present = true,
                gt if gt.eq_ignore_ascii_case(b"gt") => when.later = true,
                lt if lt.eq_ignore_ascii_case(b"lt") => when.earlier = true,
                other => return Err(CommandError::UnsupportedOption(text(other))),
            }
        }
        if when.absent && (when.present || when.later || when.earlier) {
            return Err(CommandError::ExpireNxWithOthers);
        }
        if when.later && when.earlier {
            return Err(CommandError::ExpireGtWithLt);
        }
        Ok(when)
    }

    /// Whether an expiry at `at_ms` may replace the present one.
    fn holds(self, present_ms: Option<u64>, at_ms: u64) -> bool {
        match present_ms {
            None => !self.present && !self.later,
            Some(present_ms) => {
                !self.absent && (!self.later || at_ms > present_ms) && (!self.earlier || at_ms < present_ms)
            }
        }
    }
}

fn expire_in(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: TimeUnit,
    command: &'static str,
) -> Result<(), CommandError> {
    let engine = &session.door.engine;
    let when = When::parse(args)?;
    let value = integer(args.at(2))?;
    let at_ms = unit.resolve(value, engine.now_ms()).ok_or(CommandError::ExpireTime { command })?;
    // A time before the epoch has passed like any other.
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    let key = args.at(1);
    let wanted = when == When::default()
        || match engine.expiry(key) {
            Ttl::Missing => false,
            Ttl::Persistent => when.holds(None, at_ms),
            Ttl::At(present_ms) => when.holds(Some(present_ms), at_ms),
        };
    let changed = wanted && engine.expire_at(key, Some(at_ms))?;
    reply.integer(i64::from(changed));
    Ok(())
}

pub(crate) fn persist(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.integer(i64::from(session.door.engine.expire_at(args.at(1), None)?));
    Ok(())
}

pub(crate) fn ttl(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    // To the nearest second, so that a key set to expire in ten seconds says ten.
    time_left(session, args, reply, |milliseconds| milliseconds.saturating_add(500) / 1000);
    Ok(())
}

pub(crate) fn pttl(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    time_left(session, args, reply, |milliseconds| milliseconds);
    Ok(())
}

fn time_left(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, unit: impl Fn(u64) -> u64) {
    let engine = &session.door.engine;
    reply.integer(match engine.expiry(args.at(1)) {
        Ttl::Missing => -2,
        Ttl::Persistent => -1,
        Ttl::At(at_ms) => i64::try_from(unit(at_ms.saturating_sub(engine.now_ms()))).unwrap_or(i64::MAX),
    });
}
