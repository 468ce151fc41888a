//! Walking over the keys, and over the elements of a key.

use bytes::Bytes;
use rumour_crdt::{Field, FieldName, Fields, Payload};

use super::{integer, kind_of};
use crate::engine::Engine;
use crate::redis::error::CommandError;
use crate::redis::glob;
use crate::redis::parser::Args;
use crate::redis::reply::{REPLY_BYTES_LIMIT, Reply};
use crate::redis::session::Session;

/// Keys looked at by one `SCAN` that names no `COUNT`.
const SCAN_COUNT_DEFAULT: usize = 10;
/// Keys looked at by one `SCAN` at most, so that no call holds up others for long.
const SCAN_COUNT_LIMIT: usize = 10_000;
/// Elements of a collection that are always returned at once, as Redis does with small ones.
const ELEMENTS_AT_ONCE: usize = 128;
/// Bytes of framing around one key in a reply, about.
const FRAMING_BYTES: usize = 8;

/// `*` is common and needs no look at the keys.
fn pattern_of(pattern: &[u8]) -> Option<&[u8]> {
    (pattern != b"*").then_some(pattern)
}

fn fits(pattern: Option<&[u8]>, key: &[u8]) -> bool {
    pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
}

/// Where a walk goes on; 0 starts and ends it.
pub(super) fn cursor(argument: &[u8]) -> Result<u64, CommandError> {
    let cursor = std::str::from_utf8(argument).ok().and_then(|text| text.parse().ok());
    cursor.ok_or(CommandError::Cursor)
}

/// The options of `SCAN` and of its like for elements.
#[derive(Debug)]
pub(super) struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// `TYPE`.
    kind: Option<&'a [u8]>,
    /// `NOVALUES`.
    pub(super) names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// The options from the argument `at` on.
    pub(super) fn parse(args: Args<'a>, mut at: usize) -> Result<Self, CommandError> {
        let mut options = Self { pattern: None, count: SCAN_COUNT_DEFAULT, kind: None, names_only: false };
        while let Some(option) = args.get(at) {
            if option.eq_ignore_ascii_case(b"novalues") {
                options.names_only = true;
                at += 1;
                continue;
            }
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            at += 2;
            if option.eq_ignore_ascii_case(b"match") {
                options.pattern = pattern_of(value);
            } else if option.eq_ignore_ascii_case(b"count") {
                let wanted = usize::try_from(integer(value)?).unwrap_or(0);
                if wanted == 0 {
                    return Err(CommandError::Syntax);
                }
                options.count = wanted.min(SCAN_COUNT_LIMIT);
            } else if option.eq_ignore_ascii_case(b"type") {
                options.kind = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// Fails if an option was given that the command does not have.
    pub(super) fn only(self, kind: bool, names_only: bool) -> Result<Self, CommandError> {
        match (self.kind.is_some() && !kind) || (self.names_only && !names_only) {
            true => Err(CommandError::Syntax),
            false => Ok(self),
        }
    }
}

/// Elements of a collection that fit, and where to go on. An element that is there all the while is met; one
/// may be met twice.
pub(super) fn walk<'a, P: Payload>(
    fields: &'a Fields<P>,
    cursor: u64,
    options: &ScanOptions<'_>,
    now_ms: u64,
) -> (u64, Vec<(&'a FieldName, &'a Field<P>)>) {
    // Down from the last place: that is the direction in which removals let nobody slip through.
    let from = match usize::try_from(cursor).unwrap_or(usize::MAX) {
        0 => fields.places(),
        place => place.min(fields.places()),
    };
    let to = from.saturating_sub(options.count.max(ELEMENTS_AT_ONCE));
    let found = (to..from).rev().filter_map(|place| fields.at(place, now_ms));
    let found = found.filter(|(name, _)| fits(options.pattern, name));
    let mut found: Vec<_> = found.collect();
    // As they were put, which is what people expect of a small collection.
    found.reverse();
    (to as u64, found)
}

/// Up to about `count` keys from the cursor on: a walk over few keys does not take many calls.
fn keys_from(engine: &Engine, cursor: u64, count: usize) -> (u64, Vec<Bytes>) {
    let (mut next, mut keys) = engine.scan(cursor, count);
    while next != 0 && keys.len() < count {
        let (after, more) = engine.scan(next, count - keys.len());
        next = after;
        keys.extend(more);
    }
    (next, keys)
}

pub(crate) fn scan(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let cursor = cursor(args.at(1))?;
    let options = ScanOptions::parse(args, 2)?.only(true, false)?;
    let engine = &session.engine;
    let kind = options.kind.map(kind_of);
    let (next, mut keys) = match kind {
        // No key is of a type that there is not: the walk ends at once.
        Some(None) => (0, Vec::new()),
        _ => keys_from(engine, cursor, options.count),
    };
    keys.retain(|key| fits(options.pattern, key));
    if let Some(kind) = kind {
        keys.retain(|key| engine.read(key, |view| view.map(|view| view.kind())) == kind);
    }
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
        let (next, mut keys) = session.engine.scan(cursor, SCAN_COUNT_LIMIT);
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
