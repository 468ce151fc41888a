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
    set_expiry(session, args, reply, TimeUnit::SECONDS, "expire")
}

pub(crate) fn pexpire(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_expiry(session, args, reply, TimeUnit::MILLISECONDS, "pexpire")
}

pub(crate) fn expireat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_expiry(session, args, reply, TimeUnit::UNIX_SECONDS, "expireat")
}

pub(crate) fn pexpireat(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_expiry(session, args, reply, TimeUnit::UNIX_MILLISECONDS, "pexpireat")
}

/// When `EXPIRE` takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct When {
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
    /// What one word stands for; `None`: it is none of them.
    pub(super) fn option(word: &[u8]) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let when = Self { absent: is("nx"), present: is("xx"), later: is("gt"), earlier: is("lt") };
        (when != Self::default()).then_some(when)
    }

    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut when = Self::default();
        for word in args.from(3) {
            let option = Self::option(word).ok_or_else(|| CommandError::UnsupportedOption(text(word)))?;
            when.absent |= option.absent;
            when.present |= option.present;
            when.later |= option.later;
            when.earlier |= option.earlier;
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
    pub(super) fn holds(self, present_ms: Option<u64>, at_ms: u64) -> bool {
        match present_ms {
            None => !self.present && !self.later,
            Some(present_ms) => {
                !self.absent && (!self.later || at_ms > present_ms) && (!self.earlier || at_ms < present_ms)
            }
        }
    }
}

fn set_expiry(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: TimeUnit,
    command: &'static str,
) -> Result<(), CommandError> {
    let engine = &session.engine;
    let when = When::parse(args)?;
    let value = integer(args.at(2))?;
    let at_ms = unit.resolve(value, engine.now_ms()).ok_or(CommandError::ExpireTime { command })?;
    // A time before the epoch has passed like any other.
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    let changed = engine.write(args.at(1), |key| match key.view().map(|view| view.ttl()) {
        Some(Ttl::Persistent) if when.holds(None, at_ms) => key.expire_at(Some(at_ms)),
        Some(Ttl::At(present_ms)) if when.holds(Some(present_ms), at_ms) => key.expire_at(Some(at_ms)),
        _ => false,
    })?;
    reply.integer(i64::from(changed));
    Ok(())
}

pub(crate) fn persist(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.integer(i64::from(session.engine.expire_at(args.at(1), None)?));
    Ok(())
}

/// To the nearest second, so that a key set to expire in ten seconds says ten.
fn to_seconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_add(500) / 1000
}

pub(crate) fn ttl(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, now_ms| to_seconds(at_ms.saturating_sub(now_ms)));
    Ok(())
}

pub(crate) fn pttl(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    tell(session, args, reply, u64::saturating_sub);
    Ok(())
}

pub(crate) fn expiretime(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, _| to_seconds(at_ms));
    Ok(())
}

pub(crate) fn pexpiretime(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    tell(session, args, reply, |at_ms, _| at_ms);
    Ok(())
}

/// Answers when a key ends, as `told` makes it of the end and of now.
fn tell(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, told: impl Fn(u64, u64) -> u64) {
    let engine = &session.engine;
    reply.integer(match engine.expiry(args.at(1)) {
        Ttl::Missing => -2,
        Ttl::Persistent => -1,
        Ttl::At(at_ms) => i64::try_from(told(at_ms, engine.now_ms())).unwrap_or(i64::MAX),
    });
}
