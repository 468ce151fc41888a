//! Orders of elements that are kept up to date beside them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

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
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Score(pub f64);

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let score = f64::deserialize(deserializer)?;
        if score.is_nan() { Err(D::Error::custom("a score is no number")) } else { Ok(Self(score)) }
    }
}

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

    /// Those whose scores lie within the bounds, from the lowest on.
    pub fn by_score(
        &self,
        min: Bound<f64>,
        max: Bound<f64>,
    ) -> impl DoubleEndedIterator<Item = (f64, &FieldName)> {
        // Below all names of that score, or of the next one.
        let below = |score: f64| (Score(score), FieldName::from(&[][..]));
        let min = match min {
            Bound::Excluded(f64::INFINITY) => None,
            Bound::Excluded(score) => Some(Bound::Included(below(score.next_up()))),
            Bound::Included(score) => Some(Bound::Included(below(score))),
            Bound::Unbounded => Some(Bound::Unbounded),
        };
        let max = match max {
            Bound::Included(f64::INFINITY) | Bound::Unbounded => Bound::Unbounded,
            Bound::Included(score) => Bound::Excluded(below(score.next_up())),
            Bound::Excluded(score) => Bound::Excluded(below(score)),
        };
        min.and_then(|min| self.between(min, max)).into_iter().flatten()
    }

    /// Those whose names lie within the bounds, from the lowest on. Of use where all have one score; otherwise the
    /// bounds hold for the names at the lowest and at the highest score.
    pub fn by_name(
        &self,
        min: Bound<&[u8]>,
        max: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (f64, &FieldName)> {
        let ends = self.members.first().zip(self.members.last());
        let range = ends.and_then(|(first, last)| {
            self.between(min.map(|name| (first.0, name.into())), max.map(|name| (last.0, name.into())))
        });
        range.into_iter().flatten()
    }

    /// How many stand before the member of that score and name. Takes time in proportion to that.
    pub fn rank(&self, score: f64, name: &FieldName) -> usize {
        self.members.range(..(Score(score), name.clone())).count()
    }

    /// `None` where the bounds leave no room, for which the tree itself would panic.
    fn between(
        &self,
        min: Bound<(Score, FieldName)>,
        max: Bound<(Score, FieldName)>,
    ) -> Option<impl DoubleEndedIterator<Item = (f64, &FieldName)>> {
        let room = match (&min, &max) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
            (Bound::Included(min), Bound::Included(max)) => min <= max,
            (Bound::Included(min) | Bound::Excluded(min), Bound::Included(max) | Bound::Excluded(max)) => {
                min < max
            }
        };
        room.then(|| self.members.range((min, max)).map(|(score, name)| (score.0, name)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;
    use crate::{ActorId, Hlc, Origin, Stamp};

    fn sorted(members: &[(f64, &str)]) -> Fields<Score> {
        let mut fields = Fields::default();
        for (score, name) in members {
            put(&mut fields, name, *score);
        }
        fields
    }

    fn put(fields: &mut Fields<Score>, name: &str, score: f64) {
        let seq = fields.tops().map(|dot| dot.seq).max().unwrap_or(0) + 1;
        let stamp = Stamp { time: Hlc::from_parts(seq, 0), actor: ActorId::new(1), seq };
        let origin = Origin { stamp, unbroken_since: 0 };
        fields.put(name.as_bytes(), Score(score), None, origin, &mut Fields::delta());
    }

    fn names<'a>(members: impl Iterator<Item = (f64, &'a FieldName)>) -> String {
        members.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn bounds_of_score_count_every_name_of_a_score() {
        use Bound::{Excluded, Included, Unbounded};
        let members = [(f64::NEG_INFINITY, "a"), (-0.0, "b"), (0.0, ""), (1.0, "c"), (f64::INFINITY, "d")];
        let fields = sorted(&members);
        let order = fields.index();
        for (min, max, expected) in [
            (Unbounded, Unbounded, "abcd"),
            (Included(f64::NEG_INFINITY), Included(f64::INFINITY), "abcd"),
            (Excluded(f64::NEG_INFINITY), Excluded(f64::INFINITY), "bc"),
            (Excluded(f64::INFINITY), Unbounded, ""),
            (Unbounded, Excluded(f64::NEG_INFINITY), ""),
            (Included(0.0), Included(-0.0), "b"),
            (Excluded(0.0), Included(1.0), "c"),
            (Excluded(0.0), Excluded(0.0), ""),
            (Included(1.0), Excluded(1.0), ""),
            (Included(1.0), Included(0.0), ""),
        ] {
            assert_eq!(names(order.by_score(min, max)), expected, "{min:?} {max:?}");
        }
        assert_eq!(order.by_score(Included(0.0), Included(0.0)).count(), 2);
        assert_eq!(names(order.by_score(Unbounded, Unbounded).rev()), "dcba");
        assert_eq!(order.rank(1.0, &b"c"[..].into()), 3);
    }

    #[test]
    fn bounds_of_name_hold_within_one_score() {
        use Bound::{Excluded, Included, Unbounded};
        let fields = sorted(&[(2.0, "a"), (2.0, "b"), (2.0, "c")]);
        for (min, max, expected) in [
            (Unbounded, Unbounded, "abc"),
            (Included(&b"b"[..]), Unbounded, "bc"),
            (Excluded(&b"a"[..]), Excluded(&b"c"[..]), "b"),
            (Excluded(&b"b"[..]), Excluded(&b"b"[..]), ""),
            (Included(&b"c"[..]), Included(&b"a"[..]), ""),
            (Unbounded, Excluded(&b"a"[..]), ""),
        ] {
            assert_eq!(names(fields.index().by_name(min, max)), expected, "{min:?} {max:?}");
        }
        assert_eq!(names(sorted(&[]).index().by_name(Unbounded, Unbounded)), "");
    }

    #[test]
    fn an_element_that_is_put_again_keeps_its_place() {
        let mut fields = sorted(&[(1.0, "a"), (2.0, "b"), (3.0, "c")]);
        put(&mut fields, "a", 9.0);
        assert_eq!(fields.at(0, 0).map(|(name, field)| (&name[..], field.score())), Some((&b"a"[..], 9.0)));
        assert_eq!(names(fields.index().iter()), "bca");
    }
}
