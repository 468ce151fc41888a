//! Ranges of members.

use super::select::{Bounds, By};
use super::{look, replace, write_members};
use crate::redis::commands::integer;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// What a command's name says of its range; options say the rest.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    /// Members are stored, not told: there are no scores to ask for.
    store: bool,
}

/// A range that was asked for.
#[derive(Debug, Clone, Copy)]
struct Request<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    scores: bool,
    skip: usize,
    limit: usize,
}

impl<'a> Request<'a> {
    /// Both bounds stand from `at` on, options after them.
    fn parse(form: Form, args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let Form { mut by, mut reverse, store } = form;
        let (mut scores, mut skip, mut limit) = (false, 0, -1);
        let mut option_at = at + 2;
        while let Some(option) = args.get(option_at) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if !store && is("withscores") {
                scores = true;
            } else if is("limit")
                && let (Some(offset), Some(count)) = (args.get(option_at + 1), args.get(option_at + 2))
            {
                (skip, limit) = (integer(offset)?, integer(count)?);
                option_at += 2;
            } else if reverse.is_none() && is("rev") {
                reverse = Some(true);
            } else if by.is_none() && is("bylex") {
                by = Some(By::Name);
            } else if by.is_none() && is("byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            option_at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::LimitByRank);
        }
        if scores && by == By::Name {
            return Err(CommandError::ScoresByName);
        }
        // From the highest on, the upper bound comes first.
        let (min, max) = if reverse && by != By::Rank { (at + 1, at) } else { (at, at + 1) };
        Ok(Self {
            bounds: Bounds::parse(by, args.at(min), args.at(max))?,
            reverse,
            scores,
            // By rank, an offset that goes with no limit means nothing; a negative one skips all.
            skip: if by == By::Rank { 0 } else { usize::try_from(skip).unwrap_or(usize::MAX) },
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }
}

fn answer(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    by: Option<By>,
    reverse: Option<bool>,
) -> Result<(), CommandError> {
    let Request { bounds, reverse, scores, skip, limit } =
        Request::parse(Form { by, reverse, store: false }, args, 2)?;
    let members =
        look(session, args.at(1), Vec::new(), |fields, _| bounds.select(fields, reverse, skip, limit))?;
    write_members(reply, &members, scores);
    Ok(())
}

pub(crate) fn zrange(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, None, None)
}

pub(crate) fn zrevrange(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Some(By::Rank), Some(true))
}

pub(crate) fn zrangebyscore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Some(By::Score), Some(false))
}

pub(crate) fn zrevrangebyscore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Some(By::Score), Some(true))
}

pub(crate) fn zrangebylex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Some(By::Name), Some(false))
}

pub(crate) fn zrevrangebylex(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Some(By::Name), Some(true))
}

pub(crate) fn zrangestore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let Request { bounds, reverse, skip, limit, .. } =
        Request::parse(Form { store: true, ..Form::default() }, args, 3)?;
    let members =
        look(session, args.at(2), Vec::new(), |fields, _| bounds.select(fields, reverse, skip, limit))?;
    session.engine.overwrite(args.at(1), |key| replace(key, &members))??;
    reply.count(members.len());
    Ok(())
}

pub(crate) fn zcount(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    count(session, args, reply, By::Score)
}

pub(crate) fn zlexcount(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    count(session, args, reply, By::Name)
}

fn count(session: &Session, args: Args<'_>, reply: &mut Reply<'_>, by: By) -> Result<(), CommandError> {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    reply.count(look(session, args.at(1), 0, |fields, _| bounds.count(fields))?);
    Ok(())
}
