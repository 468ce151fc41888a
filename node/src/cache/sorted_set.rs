//! A set of names by score.

use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;
use rumour_crdt::{Amount, Field, FieldName, Fields, Kind, Score};

use super::{grow, read, write};
use crate::engine::{Engine, check_name, element_bytes};
use crate::error::WriteError;

/// Members in the order of their scores, then of their names, which have at most
/// [`KEY_BYTES_LIMIT`](crate::KEY_BYTES_LIMIT) bytes.
///
/// **Concurrent use:** each member is merged by itself. Of two puts of one member the later score stays; a put beside a
/// removal stays; what is added to a score adds up. A sorted set whose last member goes is no key any more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = rumour::Node::builder()
/// #     .name("doc").cluster_key(rumour::ClusterKey::generate()?).listen("127.0.0.1:0").start().await?;
/// # let cache = node.cache();
/// let board = cache.sorted_set("board");
/// board.put("ada", 10.0).await?;
/// assert_eq!(board.add("bob", 2.5).await?, 2.5);
/// assert_eq!(board.score("ada").await?, Some(10.0));
/// assert_eq!(board.range_by_rank(0..=0).await?, [("bob".into(), 2.5)]);
/// assert_eq!(board.range_by_score(5.0..=f64::INFINITY).await?, [("ada".into(), 10.0)]);
/// assert!(board.remove("bob").await?);
/// assert_eq!(board.len().await?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens until one of its methods is awaited"]
pub struct SortedSet<'a> {
    engine: &'a Engine,
    key: Bytes,
}

impl<'a> SortedSet<'a> {
    pub(super) fn new(engine: &'a Engine, key: Bytes) -> Self {
        Self { engine, key }
    }

    /// Puts a member at a score, any but NaN; gives whether it is new.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn put(&self, member: impl AsRef<[u8]>, score: f64) -> Result<bool, WriteError> {
        let member = member.as_ref();
        check_name(member.len())?;
        if score.is_nan() {
            return Err(WriteError::NotANumber);
        }
        grow(self.engine, &self.key, Kind::SortedSet, |key| {
            let now_ms = key.now_ms();
            key.check_room(element_bytes(member, 0))?;
            let mut members = key.sorted()?;
            let new = members.fields().is_none_or(|members| members.get(member, now_ms).is_none());
            members.put(member, Score(score), None);
            Ok(new)
        })
        .await
    }

    /// Adds to the score of a member, zero if there is none; gives the score as this node then sees it.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn add(&self, member: impl AsRef<[u8]>, by: f64) -> Result<f64, WriteError> {
        let member = member.as_ref();
        check_name(member.len())?;
        grow(self.engine, &self.key, Kind::SortedSet, |key| {
            let present =
                key.view().and_then(|view| Some(view.sorted()?.get(member, view.now_ms())?.score()));
            if !by.is_finite() || !(present.unwrap_or(0.0) + by).is_finite() {
                return Err(WriteError::NotFinite);
            }
            let now_ms = key.now_ms();
            key.check_room(element_bytes(member, 0))?;
            let mut members = key.sorted()?;
            members.add(member, Amount::Float(by));
            let score = members.fields().and_then(|members| members.get(member, now_ms));
            Ok(score.map_or(by, Field::score))
        })
        .await
    }

    /// The score of a member.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn score(&self, member: impl AsRef<[u8]>) -> Result<Option<f64>, WriteError> {
        let score = read(self.engine, &self.key, Kind::SortedSet, |view| {
            Some(view.sorted()?.get(member.as_ref(), view.now_ms())?.score())
        })
        .await?;
        Ok(score.flatten())
    }

    /// Removes a member; gives whether it was there.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was changed then.
    pub async fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        write(self.engine, &self.key, Kind::SortedSet, |key| match key.kind() {
            None => Ok(false),
            Some(_) => Ok(key.sorted()?.remove(member.as_ref())),
        })
        .await
    }

    /// The members from one rank to another, the lowest score being rank 0, with their scores. Takes time in
    /// proportion to the last rank.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn range_by_rank(&self, ranks: RangeInclusive<usize>) -> Result<Vec<(Bytes, f64)>, WriteError> {
        let members = read(self.engine, &self.key, Kind::SortedSet, |view| {
            let order = view.sorted().into_iter().flat_map(|members| members.index().iter());
            let wanted = ranks.end().saturating_add(1).saturating_sub(*ranks.start());
            order.skip(*ranks.start()).take(wanted).map(owned).collect()
        })
        .await?;
        Ok(members.unwrap_or_default())
    }

    /// The members from one score to another, with their scores.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn range_by_score(&self, scores: RangeInclusive<f64>) -> Result<Vec<(Bytes, f64)>, WriteError> {
        let members = read(self.engine, &self.key, Kind::SortedSet, |view| {
            let (min, max) = (Bound::Included(*scores.start()), Bound::Included(*scores.end()));
            let order = view.sorted().into_iter().flat_map(|members| members.index().by_score(min, max));
            order.map(owned).collect()
        })
        .await?;
        Ok(members.unwrap_or_default())
    }

    /// How many members it has; zero if there is no such key.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn len(&self) -> Result<usize, WriteError> {
        let len = read(self.engine, &self.key, Kind::SortedSet, |view| view.sorted().map_or(0, Fields::len))
            .await?;
        Ok(len.unwrap_or(0))
    }

    /// Whether it has no member.
    ///
    /// # Errors
    /// While the node joins, after it stopped, and [`WriteError::WrongType`].
    pub async fn is_empty(&self) -> Result<bool, WriteError> {
        Ok(self.len().await? == 0)
    }
}

fn owned((score, name): (f64, &FieldName)) -> (Bytes, f64) {
    (Bytes::copy_from_slice(name), score)
}
