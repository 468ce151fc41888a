//! Orders of elements that are kept up to date beside them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Field, FieldName, Payload};

/// Follows the elements of a collection as they change.
pub trait Index<P> {
    /// The element is about to change.
    fn leaves(&mut self, name: &FieldName, field: &Field<P>);

    /// The element has changed.
    fn enters(&mut self, name: &FieldName, field: &Field<P>);
}

impl<P> Index<P> for () {
    fn leaves(&mut self, _: &FieldName, _: &Field<P>) {}

    fn enters(&mut self, _: &FieldName, _: &Field<P>) {}
}

/// A score of a sorted set: any number but NaN. Totally ordered, -0 before 0.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(pub f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        // Both zeros are one score.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl Payload for Score {
    type Index = ScoreOrder;

    fn heap_bytes(&self) -> usize {
        // Each member stands in the order as well.
        size_of::<(Score, FieldName)>()
    }
}

impl Field<Score> {
    /// The score: what was put, or zero, and what was added to that. Infinities of both signs make zero.
    pub fn score(&self) -> f64 {
        let put = self.top().map_or(0.0, |put| put.value.0);
        let sum = put + self.counter().map_or(0.0, |counter| counter.total().to_f64());
        if sum.is_nan() { 0.0 } else { sum }
    }
}

/// The members of a sorted set by score, then by name.
#[derive(Clone, Debug, Default)]
pub struct ScoreOrder {
    members: BTreeSet<(Score, FieldName)>,
}

impl ScoreOrder {
    /// From the lowest score on.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (f64, &FieldName)> {
        self.members.iter().map(|(score, name)| (score.0, name))
    }

    /// From this score on, whatever the name.
    pub fn from_score(&self, score: f64) -> impl DoubleEndedIterator<Item = (f64, &FieldName)> {
        self.members.range((Score(score), FieldName::from(&[][..]))..).map(|(score, name)| (score.0, name))
    }
}

impl Index<Score> for ScoreOrder {
    fn leaves(&mut self, name: &FieldName, field: &Field<Score>) {
        if field.is_visible() {
            self.members.remove(&(Score(field.score()), name.clone()));
        }
    }

    fn enters(&mut self, name: &FieldName, field: &Field<Score>) {
        if field.is_visible() {
            self.members.insert((Score(field.score()), name.clone()));
        }
    }
}
