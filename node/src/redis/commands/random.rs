//! Elements that are chosen by chance.

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rumour_crdt::{Field, FieldName, Fields, Payload};

use crate::redis::session::Session;

/// A generator of one's own, so that no other connection waits for it.
pub(super) fn generator(session: &Session) -> SmallRng {
    SmallRng::from_rng(&mut *session.door.rng.lock())
}

/// The elements of a collection to choose from.
pub(super) struct Urn<'a, P: Payload> {
    fields: &'a Fields<P>,
    now_ms: u64,
    /// The places where there is an element; `None` if that is so everywhere.
    places: Option<Vec<usize>>,
}

impl<'a, P: Payload> Urn<'a, P> {
    /// What is due by `now_ms` (Unix milliseconds) is left out.
    pub(super) fn new(fields: &'a Fields<P>, now_ms: u64) -> Self {
        let everywhere = !fields.has_expiries() && fields.len() == fields.places();
        let taken = || (0..fields.places()).filter(|place| fields.at(*place, now_ms).is_some()).collect();
        Self { fields, now_ms, places: (!everywhere).then(taken) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.as_ref().map_or(self.fields.places(), Vec::len)
    }

    /// Any one of them; `None` if there is none.
    pub(super) fn one(&self, rng: &mut impl Rng) -> Option<(&'a FieldName, &'a Field<P>)> {
        let len = self.len();
        if len == 0 { None } else { self.get(rng.random_range(0..len)) }
    }

    /// So many different ones, or all, in no order.
    pub(super) fn several(
        &self,
        count: usize,
        rng: &mut impl Rng,
    ) -> impl Iterator<Item = (&'a FieldName, &'a Field<P>)> {
        let chosen = index::sample(rng, self.len(), count.min(self.len()));
        chosen.into_iter().filter_map(|index| self.get(index))
    }

    fn get(&self, index: usize) -> Option<(&'a FieldName, &'a Field<P>)> {
        let place = match &self.places {
            Some(places) => *places.get(index)?,
            None => index,
        };
        self.fields.at(place, self.now_ms)
    }
}

/// Elements that were chosen, to be told without the lock of their shard.
pub(super) struct Picked<T> {
    items: Vec<T>,
    /// How many of `items` are to be chosen from them, each perhaps several times; `None`: all, in their order.
    chosen_later: Option<usize>,
}

impl<T> Picked<T> {
    pub(super) fn none() -> Self {
        Self { items: Vec::new(), chosen_later: None }
    }

    /// Chooses `wanted` different ones or, if that is negative, so many of which some may be the same. Never copies more
    /// elements than there are.
    pub(super) fn choose<P: Payload>(
        urn: &Urn<'_, P>,
        wanted: i64,
        rng: &mut impl Rng,
        copy: impl Fn((&FieldName, &Field<P>)) -> T,
    ) -> Self {
        let count = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
        if wanted >= 0 {
            return Self { items: urn.several(count, rng).map(copy).collect(), chosen_later: None };
        }
        if count > urn.len() {
            return Self { items: urn.several(count, rng).map(copy).collect(), chosen_later: Some(count) };
        }
        Self { items: (0..count).filter_map(|_| urn.one(rng)).map(copy).collect(), chosen_later: None }
    }

    pub(super) fn len(&self) -> usize {
        self.chosen_later.filter(|_| !self.items.is_empty()).unwrap_or(self.items.len())
    }

    /// Calls `tell` with one after the other for as long as it returns true.
    pub(super) fn tell(&self, rng: &mut impl Rng, mut tell: impl FnMut(&T) -> bool) {
        for at in 0..self.len() {
            let at = if self.chosen_later.is_some() { rng.random_range(0..self.items.len()) } else { at };
            if !self.items.get(at).is_some_and(&mut tell) {
                break;
            }
        }
    }
}
