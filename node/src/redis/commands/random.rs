//! Elements that are chosen by chance.

use rand::Rng;
use rand::seq::index;
use rumour_crdt::{Field, FieldName, Fields, Payload};

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
