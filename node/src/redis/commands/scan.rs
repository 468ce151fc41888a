//! Walking over the keys.

use super::integer;
use crate::redis::error::CommandError;
use crate::redis::glob;
use crate::redis::parser::Args;
use crate::redis::reply::{REPLY_BYTES_LIMIT, Reply};
use crate::redis::session::Session;

/// Keys looked at by one `SCAN` that names no `COUNT`.
const SCAN_COUNT_DEFAULT: usize = 10;
/// Keys looked at by one `SCAN` at most, so that no call holds up others for long.
const SCAN_COUNT_LIMIT: usize = 10_000;
/// Bytes of framing around one key in a reply, about.
const FRAMING_BYTES: usize = 8;

/// `*` is common and needs no look at the keys.
fn pattern_of(pattern: &[u8]) -> Option<&[u8]> {
    (pattern != b"*").then_some(pattern)
}

fn fits(pattern: Option<&[u8]>, key: &[u8]) -> bool {
    pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
}

pub(crate) fn scan(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let cursor = std::str::from_utf8(args.at(1)).ok().and_then(|text| text.parse().ok());
    let cursor: u64 = cursor.ok_or(CommandError::Cursor)?;
    let (mut pattern, mut count, mut of_our_type) = (None, SCAN_COUNT_DEFAULT, true);
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
        at += 2;
        if option.eq_ignore_ascii_case(b"match") {
            pattern = pattern_of(value);
        } else if option.eq_ignore_ascii_case(b"count") {
            let wanted = usize::try_from(integer(value)?).unwrap_or(0);
            if wanted == 0 {
                return Err(CommandError::Syntax);
            }
            count = wanted.min(SCAN_COUNT_LIMIT);
        } else if option.eq_ignore_ascii_case(b"type") {
            // Every value is a string: a walk over any other type ends at once.
            of_our_type = value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let (next, mut keys) =
        if of_our_type { session.door.engine.scan(cursor, count) } else { (0, Vec::new()) };
    keys.retain(|key| fits(pattern, key));
    reply.array(2);
    reply.bulk(next.to_string());
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
    Ok(())
}

pub(crate) fn keys(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let pattern = pattern_of(args.at(1));
    let (mut found, mut bytes, mut cursor) = (Vec::new(), 0, 0);
    loop {
        let (next, mut keys) = session.door.engine.scan(cursor, SCAN_COUNT_LIMIT);
        keys.retain(|key| fits(pattern, key));
        bytes += keys.iter().map(|key| key.len() + FRAMING_BYTES).sum::<usize>();
        if bytes > REPLY_BYTES_LIMIT {
            return Err(CommandError::ReplyTooLong { limit: REPLY_BYTES_LIMIT });
        }
        found.append(&mut keys);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    reply.array(found.len());
    for key in found {
        reply.bulk(key);
    }
    Ok(())
}
