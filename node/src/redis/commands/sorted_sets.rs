//! Commands about sorted sets.
//!
//! The order of members knows no ranks: what is asked for by rank takes time in proportion to it, during which the
//! key's shard is locked.

pub(crate) mod add;
pub(crate) mod algebra;
pub(crate) mod random;
pub(crate) mod range;
pub(crate) mod remove;
mod select;

use rumour_crdt::{Field, FieldName, Fields, Score};

use super::scan::{ScanOptions, cursor, walk};
use crate::engine::{View, Writer, check_payload, element_bytes};
use crate::redis::error::CommandError;
use crate::redis::number::format_f64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// A member with its score, to be used without the lock of its shard.
type Scored = (FieldName, f64);

/// The members of a key that must be a sorted set.
fn sorted(view: Option<View<'_>>) -> Result<Option<&Fields<Score>>, CommandError> {
    view.map(|view| view.sorted().ok_or(CommandError::WrongType)).transpose()
}

fn score(fields: Option<&Fields<Score>>, member: &[u8], now_ms: u64) -> Option<f64> {
    fields.and_then(|fields| fields.get(member, now_ms)).map(Field::score)
}

/// Looks at a key that must be a sorted set; `nothing` where there is none.
fn look<R>(
    session: &Session,
    key: &[u8],
    nothing: R,
    look: impl FnOnce(&Fields<Score>, u64) -> R,
) -> Result<R, CommandError> {
    session.engine.read(key, |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        Ok(sorted(view)?.map_or(nothing, |fields| look(fields, now_ms)))
    })
}

/// Replaces a key by these members, whatever it held; by nothing if there are none.
fn replace(key: &mut Writer<'_>, members: &[Scored]) -> Result<(), CommandError> {
    if members.is_empty() {
        key.delete();
        return Ok(());
    }
    check_payload(members.iter().map(|(name, _)| element_bytes(name, 0)).sum())?;
    key.replace();
    let mut elements = key.sorted()?;
    for (name, score) in members {
        elements.put(name, Score(*score), None);
    }
    Ok(())
}

/// Answers with members, each followed by its score if `scores`.
fn write_members(reply: &mut Reply<'_>, members: &[Scored], scores: bool) {
    reply.pairs(members.len(), scores);
    for (name, score) in members {
        write_member(reply, name, scores.then_some(*score));
        if reply.overflowed() {
            break;
        }
    }
}

/// Writes one member of an array, with its score if there is one.
fn write_member(reply: &mut Reply<'_>, name: &FieldName, score: Option<f64>) {
    reply.pair(score.is_some());
    reply.bulk(name);
    if let Some(score) = score {
        reply.double(score);
    }
}

pub(crate) fn zcard(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.count(look(session, args.at(1), 0, |fields, _| fields.len())?);
    Ok(())
}

pub(crate) fn zscore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.double_or_null(look(session, args.at(1), None, |fields, now_ms| {
        score(Some(fields), args.at(2), now_ms)
    })?);
    Ok(())
}

pub(crate) fn zmscore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.engine.read(args.at(1), |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let fields = sorted(view)?;
        reply.array(args.len() - 2);
        for member in args.from(2) {
            reply.double_or_null(score(fields, member, now_ms));
        }
        Ok(())
    })
}

pub(crate) fn zrank(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    rank(session, args, reply, "zrank", |before, _| before)
}

pub(crate) fn zrevrank(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    rank(session, args, reply, "zrevrank", |before, members| members - 1 - before)
}

fn rank(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    command: &'static str,
    told: impl FnOnce(usize, usize) -> usize,
) -> Result<(), CommandError> {
    let with_score = match (args.get(3), args.len()) {
        (None, _) => false,
        (Some(option), 4) if option.eq_ignore_ascii_case(b"withscore") => true,
        (Some(_), 4) => return Err(CommandError::Syntax),
        (Some(_), _) => return Err(CommandError::Arity { command }),
    };
    let found = look(session, args.at(1), None, |fields, now_ms| {
        let score = score(Some(fields), args.at(2), now_ms)?;
        Some((told(fields.index().rank(score, &args.at(2).into()), fields.len()), score))
    })?;
    match found {
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.count(rank);
            reply.double(score);
        }
        Some((rank, _)) => reply.count(rank),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(())
}

pub(crate) fn zscan(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let cursor = cursor(args.at(2))?;
    let (next, found) = session.engine.read(args.at(1), |view| {
        let now_ms = view.map_or(0, |view| view.now_ms());
        let Some(fields) = sorted(view)? else { return Ok((0, Vec::new())) };
        let options = ScanOptions::parse(args, 3)?.only(false, false)?;
        let (next, found) = walk(fields, cursor, &options, now_ms);
        let found = found.into_iter().map(|(name, field)| (name.clone(), field.score())).collect();
        Ok::<_, CommandError>((next, found))
    })?;
    let found: Vec<Scored> = found;
    reply.array(2);
    reply.bulk(next.to_string());
    reply.array(found.len() * 2);
    for (name, score) in found {
        reply.bulk(name);
        reply.bulk(format_f64(score));
    }
    Ok(())
}
