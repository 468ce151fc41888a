//! Unions, intersections and differences of sorted sets, plain sets among them.
//!
//! Keys are looked at one after the other, each in one step. Only the smallest set of an intersection and the first of a
//! difference are copied; the others are asked for their members.

use std::collections::BTreeMap;

use rumour_crdt::{Field, FieldName, Fields};

use super::{Scored, replace, write_members};
use crate::Kind;
use crate::engine::View;
use crate::redis::commands::{integer, numkeys};
use crate::redis::error::CommandError;
use crate::redis::number::parse_f64;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of one member become one.
#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn join(self, score: f64, other: f64) -> f64 {
        match self {
            Self::Sum => number_or_zero(score + other),
            Self::Min if other < score => other,
            Self::Max if other > score => other,
            Self::Min | Self::Max => score,
        }
    }
}

/// Infinities of both signs make zero, and so does an infinity zero times.
fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A key that is read.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    key: &'a [u8],
    members: usize,
    weight: f64,
}

/// The score of a member; those of plain sets have the score 1.
fn score(view: Option<View<'_>>, member: &[u8]) -> Option<f64> {
    let view = view?;
    match (view.sorted(), view.members()) {
        (Some(fields), _) => fields.get(member, view.now_ms()).map(Field::score),
        (None, Some(fields)) => fields.get(member, view.now_ms()).map(|_| 1.0),
        (None, None) => None,
    }
}

impl<'a> Source<'a> {
    /// Counts the members of a key that must be a set of either type.
    fn of(session: &Session, key: &'a [u8]) -> Result<Self, CommandError> {
        let members = session.engine.read(key, |view| {
            let Some(view) = view else { return Ok(0) };
            match view.kind() {
                Kind::Set => Ok(view.members().map_or(0, Fields::len)),
                Kind::SortedSet => Ok(view.sorted().map_or(0, Fields::len)),
                _ => Err(CommandError::WrongType),
            }
        })?;
        Ok(Self { key, members, weight: 1.0 })
    }

    /// All members, their scores weighted.
    fn scored(&self, session: &Session) -> Vec<Scored> {
        let weighted = |score: f64| number_or_zero(score * self.weight);
        session.engine.read(self.key, |view| {
            let Some(view) = view else { return Vec::new() };
            let now_ms = view.now_ms();
            match (view.sorted(), view.members()) {
                (Some(fields), _) => {
                    fields.index().iter().map(|(score, name)| (name.clone(), weighted(score))).collect()
                }
                (None, Some(fields)) => {
                    fields.iter(now_ms).map(|(name, _)| (name.clone(), weighted(1.0))).collect()
                }
                (None, None) => Vec::new(),
            }
        })
    }
}

/// A request of this family.
#[derive(Debug)]
struct Request<'a> {
    operation: Operation,
    sources: Vec<Source<'a>>,
    aggregate: Aggregate,
    /// Where the options begin.
    options: usize,
}

impl<'a> Request<'a> {
    /// `at`: where the number of keys stands.
    fn parse(
        session: &Session,
        operation: Operation,
        command: &'static str,
        args: Args<'a>,
        at: usize,
    ) -> Result<Self, CommandError> {
        let count = integer(args.at(at))?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0);
        let count = count.ok_or(CommandError::NoInputKey { command })?;
        if count > args.len() - at - 1 {
            return Err(CommandError::Syntax);
        }
        let sources = args.from(at + 1).take(count).map(|key| Source::of(session, key));
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { operation, sources, aggregate: Aggregate::Sum, options: at + 1 + count })
    }

    /// Reads weights and the aggregate, and `WITHSCORES` where members are told. Returns whether it was there.
    fn parse_options(&mut self, args: Args<'_>, told: bool) -> Result<bool, CommandError> {
        let (mut at, mut scores) = (self.options, false);
        let weighted = self.operation != Operation::Difference;
        while let Some(option) = args.get(at) {
            let left = args.len() - at;
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if weighted && left > self.sources.len() && is("weights") {
                for (source, weight) in self.sources.iter_mut().zip(args.from(at + 1)) {
                    source.weight = parse_f64(weight).ok_or(CommandError::WeightNotAFloat)?;
                }
                at += self.sources.len();
            } else if weighted && left > 1 && is("aggregate") {
                at += 1;
                self.aggregate = match args.at(at).to_ascii_lowercase().as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
            } else if told && is("withscores") {
                scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(scores)
    }

    /// The members that come out, in their order.
    fn execute(mut self, session: &Session) -> Vec<Scored> {
        if self.operation != Operation::Difference {
            self.sources.sort_by_key(|source| source.members);
        }
        let mut members = match self.operation {
            Operation::Union => self.union(session),
            Operation::Intersection => self.sieve(session, true),
            Operation::Difference => self.sieve(session, false),
        };
        members.sort_unstable_by(|(a_name, a), (b_name, b)| {
            (a + 0.0).total_cmp(&(b + 0.0)).then_with(|| a_name.cmp(b_name))
        });
        members
    }

    fn union(&self, session: &Session) -> Vec<Scored> {
        let mut all: BTreeMap<FieldName, f64> = BTreeMap::new();
        for (name, score) in self.sources.iter().flat_map(|source| source.scored(session)) {
            all.entry(name).and_modify(|sum| *sum = self.aggregate.join(*sum, score)).or_insert(score);
        }
        all.into_iter().collect()
    }

    /// The members of the first set that all others have, or that none of them has.
    fn sieve(&self, session: &Session, wanted: bool) -> Vec<Scored> {
        let Some((first, others)) = self.sources.split_first() else { return Vec::new() };
        let mut left = first.scored(session);
        for source in others {
            if left.is_empty() {
                break;
            }
            session.engine.read(source.key, |view| {
                left.retain_mut(|(name, sum)| match score(view, name) {
                    Some(score) if wanted => {
                        *sum = self.aggregate.join(*sum, score * source.weight);
                        true
                    }
                    found => found.is_some() == wanted,
                });
            });
        }
        left
    }
}

fn answer(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
    command: &'static str,
) -> Result<(), CommandError> {
    let mut request = Request::parse(session, operation, command, args, 1)?;
    let scores = request.parse_options(args, true)?;
    write_members(reply, &request.execute(session), scores);
    Ok(())
}

fn store(
    session: &Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    operation: Operation,
    command: &'static str,
) -> Result<(), CommandError> {
    let mut request = Request::parse(session, operation, command, args, 2)?;
    request.parse_options(args, false)?;
    let members = request.execute(session);
    session.engine.overwrite(args.at(1), |key| replace(key, &members))??;
    reply.count(members.len());
    Ok(())
}

pub(crate) fn zunion(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Union, "zunion")
}

pub(crate) fn zinter(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Intersection, "zinter")
}

pub(crate) fn zdiff(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    answer(session, args, reply, Operation::Difference, "zdiff")
}

pub(crate) fn zunionstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Union, "zunionstore")
}

pub(crate) fn zinterstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Intersection, "zinterstore")
}

pub(crate) fn zdiffstore(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    store(session, args, reply, Operation::Difference, "zdiffstore")
}

pub(crate) fn zintercard(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let request = Request::parse(session, Operation::Intersection, "zintercard", args, 1)?;
    let limit = numkeys::limit(args, request.options)?;
    reply.count(request.execute(session).len().min(limit));
    Ok(())
}
