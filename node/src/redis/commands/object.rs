//! `OBJECT`: how a value is held, as far as that means anything here.

use bytes::Bytes;
use rumour_crdt::{Fields, Payload};

use crate::engine::View;
use crate::redis::error::CommandError;
use crate::redis::number::parse_i64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;
use crate::{KeyUse, Kind};

/// Sizes up to which Redis holds values in its compact ways.
const EMBEDDED_BYTES_LIMIT: usize = 44;
pub(super) const COMPACT_ELEMENTS_LIMIT: usize = 128;
pub(super) const COMPACT_BYTES_LIMIT: usize = 64;
pub(super) const INTEGERS_LIMIT: usize = 512;

/// What Redis would call its way to hold such a value; clients look at it to tell small from large.
fn encoding_of(view: View<'_>) -> &'static str {
    let now_ms = view.now_ms();
    match view.kind() {
        Kind::String => encoding_of_string(&view.text().unwrap_or_default()),
        Kind::Map if view.map().is_some_and(|map| is_compact(map, now_ms, Bytes::len)) => "listpack",
        Kind::Map | Kind::Values => "hashtable",
        Kind::SortedSet if view.sorted().is_some_and(|members| is_compact(members, now_ms, |_| 0)) => {
            "listpack"
        }
        Kind::SortedSet => "skiplist",
        Kind::Set => {
            let Some(members) = view.members() else { return "hashtable" };
            let integers = || members.iter(now_ms).all(|(name, _)| parse_i64(name).is_some());
            match members.len() <= INTEGERS_LIMIT && integers() {
                true => "intset",
                false if is_compact(members, now_ms, |()| 0) => "listpack",
                false => "hashtable",
            }
        }
    }
}

fn encoding_of_string(text: &[u8]) -> &'static str {
    if parse_i64(text).is_some() {
        "int"
    } else if text.len() <= EMBEDDED_BYTES_LIMIT {
        "embstr"
    } else {
        "raw"
    }
}

fn is_compact<P: Payload>(fields: &Fields<P>, now_ms: u64, bytes: impl Fn(&P) -> usize) -> bool {
    let fits = |value: usize| value <= COMPACT_BYTES_LIMIT;
    fields.len() <= COMPACT_ELEMENTS_LIMIT
        && fields
            .iter(now_ms)
            .all(|(name, field)| fits(name.len()) && field.top().is_none_or(|put| fits(bytes(&put.value))))
}

pub(crate) fn encoding(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.bulk_or_null(session.engine.read(args.at(2), |view| view.map(encoding_of)));
    Ok(())
}

/// How often a key was used, where eviction goes by that.
pub(crate) fn freq(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match session.engine.key_use(args.at(2)) {
        Some(KeyUse::Frequency(count)) => reply.integer(count.into()),
        Some(KeyUse::Idle(_)) => return Err(CommandError::FrequencyNotTracked),
        None => reply.null(),
    }
    Ok(())
}

/// Seconds since a key was used, unless eviction goes by how often that was.
pub(crate) fn idletime(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    match session.engine.key_use(args.at(2)) {
        Some(KeyUse::Idle(time)) => reply.integer(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
        Some(KeyUse::Frequency(_)) => return Err(CommandError::IdleTimeNotTracked),
        None => reply.null(),
    }
    Ok(())
}

/// Always one: values are not shared between keys.
pub(crate) fn refcount(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    match session.engine.key_use(args.at(2)) {
        Some(_) => reply.integer(1),
        None => reply.null(),
    }
    Ok(())
}
