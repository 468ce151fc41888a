//! Commands about parts of values. They replace the value: beside a concurrent write the later one stays whole.

use bytes::{Bytes, BytesMut};

use super::{integer, string};
use crate::VALUE_BYTES_LIMIT;
use crate::engine::SetExpiry;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

pub(crate) fn strlen(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.count(session.engine.read(args.at(1), string)?.map_or(0, |value| value.len()));
    Ok(())
}

fn check_length(bytes: usize) -> Result<(), CommandError> {
    if bytes > VALUE_BYTES_LIMIT { Err(CommandError::StringTooLong) } else { Ok(()) }
}

/// The range of `len` bytes or elements from `start` to `end`, both included and negative from the end; empty if
/// there is nothing.
pub(super) fn range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end || len == 0 {
        return 0..0;
    }
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    index(start)..index(end + 1)
}

/// `GETRANGE` and `SUBSTR`.
pub(crate) fn getrange(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (start, end) = (integer(args.at(2))?, integer(args.at(3))?);
    let value = session.engine.read(args.at(1), string)?.unwrap_or_default();
    reply.bulk(&value[range(start, end, value.len())]);
    Ok(())
}

/// Replaces a string by what `change` makes of it, expiry kept; answers its length. `None`: it stays.
fn edit(
    session: &Session,
    key: &[u8],
    reply: &mut Reply<'_>,
    change: impl FnOnce(&[u8]) -> Result<Option<Bytes>, CommandError>,
) -> Result<(), CommandError> {
    let len = session.engine.write(key, |key| {
        let present = string(key.view())?.unwrap_or_default();
        let Some(value) = change(&present)? else { return Ok(present.len()) };
        let len = value.len();
        key.set(value, SetExpiry::Keep);
        Ok::<_, CommandError>(len)
    })??;
    reply.count(len);
    Ok(())
}

pub(crate) fn append(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    edit(session, args.at(1), reply, |present| {
        check_length(present.len() + args.at(2).len())?;
        Ok(Some([present, args.at(2)].concat().into()))
    })
}

pub(crate) fn setrange(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (offset, part) = (integer(args.at(2))?, args.at(3));
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetRange)?;
    edit(session, args.at(1), reply, |present| {
        if part.is_empty() {
            return Ok(None);
        }
        let end = offset.saturating_add(part.len());
        check_length(end)?;
        let mut value = BytesMut::zeroed(present.len().max(end));
        value[..present.len()].copy_from_slice(present);
        value[offset..end].copy_from_slice(part);
        Ok(Some(value.freeze()))
    })
}
