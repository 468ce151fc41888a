//! Which members a range is about.

use std::ops::{Bound, Range, RangeBounds};

use rumour_crdt::{FieldName, Fields, Score};

use super::Scored;
use crate::redis::commands::integer;
use crate::redis::error::CommandError;
use crate::redis::number::parse_end;

/// Bounds of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bounds<'a> {
    /// From the first to the last rank; negative ones count from the end.
    Rank(i64, i64),
    Score(Bound<f64>, Bound<f64>),
    Name(Bound<&'a [u8]>, Bound<&'a [u8]>),
    /// No member can lie within.
    Nowhere,
}

/// What the bounds of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

impl<'a> Bounds<'a> {
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        match by {
            By::Rank => Ok(Self::Rank(integer(min)?, integer(max)?)),
            By::Score => Ok(Self::Score(score_bound(min)?, score_bound(max)?)),
            By::Name => Ok(match (NameEnd::parse(min)?, NameEnd::parse(max)?) {
                (NameEnd::Highest, _) | (_, NameEnd::Lowest) => Self::Nowhere,
                (min, max) => Self::Name(min.bound(), max.bound()),
            }),
        }
    }

    /// Calls `visit` with the members from the lowest or, if `reverse`, from the highest on.
    pub(super) fn visit<R>(
        self,
        fields: &Fields<Score>,
        reverse: bool,
        visit: impl FnOnce(&mut dyn Iterator<Item = (f64, &FieldName)>) -> R,
    ) -> R {
        let order = fields.index();
        match (self, reverse) {
            (Self::Nowhere, _) => visit(&mut std::iter::empty()),
            (Self::Score(min, max), false) => visit(&mut order.by_score(min, max)),
            (Self::Score(min, max), true) => visit(&mut order.by_score(min, max).rev()),
            (Self::Name(min, max), _) => {
                // Where there are several scores, other names stand between the bounds.
                let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (min, max);
                let within = |member: &(f64, &FieldName)| RangeBounds::<[u8]>::contains(&bounds, &**member.1);
                let mut members = order.by_name(min, max).filter(within);
                if reverse { visit(&mut members.rev()) } else { visit(&mut members) }
            }
            (Self::Rank(start, stop), _) => {
                let ranks = ranks(start, stop, fields.len());
                let mut members = by_rank(fields, ranks, reverse);
                visit(&mut members.drain(..))
            }
        }
    }

    /// How many members lie within.
    pub(super) fn count(self, fields: &Fields<Score>) -> usize {
        self.visit(fields, false, |members| members.count())
    }

    /// The members within, without the first `skip` and not more than `limit`.
    pub(super) fn select(
        self,
        fields: &Fields<Score>,
        reverse: bool,
        skip: usize,
        limit: usize,
    ) -> Vec<Scored> {
        self.visit(fields, reverse, |members| {
            members.skip(skip).take(limit).map(|(score, name)| (name.clone(), score)).collect()
        })
    }
}

fn score_bound(end: &[u8]) -> Result<Bound<f64>, CommandError> {
    let (end, open) = match end {
        [b'(', end @ ..] => (end, true),
        end => (end, false),
    };
    let end = parse_end(end).ok_or(CommandError::ScoreRange)?;
    Ok(if open { Bound::Excluded(end) } else { Bound::Included(end) })
}

/// One end of a range of names.
enum NameEnd<'a> {
    Lowest,
    Highest,
    At(Bound<&'a [u8]>),
}

impl<'a> NameEnd<'a> {
    fn parse(end: &'a [u8]) -> Result<Self, CommandError> {
        match end {
            b"-" => Ok(Self::Lowest),
            b"+" => Ok(Self::Highest),
            [b'[', name @ ..] => Ok(Self::At(Bound::Included(name))),
            [b'(', name @ ..] => Ok(Self::At(Bound::Excluded(name))),
            _ => Err(CommandError::NameRange),
        }
    }

    fn bound(self) -> Bound<&'a [u8]> {
        match self {
            Self::Lowest | Self::Highest => Bound::Unbounded,
            Self::At(bound) => bound,
        }
    }
}

/// The ranks that there are of those that were asked for.
fn ranks(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop {
        return 0..0;
    }
    usize::try_from(start).unwrap_or(0)..usize::try_from(stop).map_or(0, |stop| stop + 1)
}

/// The members of these ranks; `reverse`: ranks count from the highest. Walks from the nearer end.
fn by_rank(fields: &Fields<Score>, ranks: Range<usize>, reverse: bool) -> Vec<(f64, &FieldName)> {
    let (order, count) = (fields.index(), ranks.len());
    let behind = fields.len() - ranks.end.min(fields.len());
    let from_front = ranks.start <= behind;
    let skip = if from_front { ranks.start } else { behind };
    let mut members: Vec<_> = match from_front == reverse {
        true => order.iter().rev().skip(skip).take(count).collect(),
        false => order.iter().skip(skip).take(count).collect(),
    };
    if !from_front {
        members.reverse();
    }
    members
}

#[cfg(test)]
mod tests {
    use super::ranks;

    #[test]
    fn ranks_count_from_both_ends_and_stay_within() {
        for (start, stop, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 1, 0..2),
            (3, 100, 3..5),
            (2, 1, 0..0),
            (5, 6, 0..0),
            (-1, -2, 0..0),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(ranks(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(ranks(0, -1, 0), 0..0);
    }
}
