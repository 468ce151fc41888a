//! Whether enough owners have answered.

use std::collections::BTreeMap;

use super::{Council, Seat};
use crate::consistency::{Consistency, Tally};
use crate::placement::{Configuration, RingEpoch};

/// The latest configurations of this cluster that a member knows, and that it has caught up with.
type Stands = (Option<RingEpoch>, Option<RingEpoch>);

impl Council {
    /// How far a write is that this node holds and these incarnations, with where each stood when it took it in. Who catches up later,
    /// holding the write, counts then.
    pub(crate) fn tally_held(&self, level: Consistency, by: &BTreeMap<u64, Seat>) -> Tally {
        self.tally(level, |incarnation| match incarnation == self.me.incarnation {
            true => Some(self.own()),
            false => by.get(&incarnation).map(|seat| {
                // One that was no member yet when it said so was not listened to.
                let said = self.here(*seat).map(|known| (Some(known), seat.caught_up)).unwrap_or_default();
                (self.seats.known(incarnation).max(said.0), self.seats.caught_up(incarnation).max(said.1))
            }),
        })
    }

    /// How far a read is to which these incarnations have answered, with where each stood then, and this node if it `holds` all that
    /// it ever took in.
    pub(crate) fn tally_told(&self, level: Consistency, by: &BTreeMap<u64, Seat>, holds: bool) -> Tally {
        self.tally(level, |incarnation| match incarnation == self.me.incarnation {
            true => holds.then(|| self.own()),
            // Who answers for another cluster has not answered.
            false => by.get(&incarnation).and_then(|seat| Some((Some(self.here(*seat)?), seat.caught_up))),
        })
    }

    fn own(&self) -> Stands {
        (self.configuration().map(Configuration::epoch), self.seats.mine)
    }

    fn tally(&self, level: Consistency, stands: impl Fn(u64) -> Option<Stands>) -> Tally {
        let Some(configuration) = self.configuration() else { return Tally::default() };
        let (epoch, owners) = (Some(configuration.epoch()), configuration.members().len());
        let members = configuration.members().iter();
        let seats: Vec<Stands> = members.filter_map(|member| stands(member.incarnation)).collect();
        // Under a later configuration others count: this node is about to learn it.
        if seats.iter().any(|(known, _)| *known > epoch) {
            return Tally { answered: 0, needed: level.needed(owners), owners };
        }
        let counts = |(_, caught_up): &&Stands| level == Consistency::All || *caught_up == epoch;
        Tally { answered: seats.iter().filter(counts).count(), needed: level.needed(owners), owners }
    }
}
