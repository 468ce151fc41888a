//! Whether a member holds what was acknowledged before the latest configuration.
//!
//! A member that has *caught up* with a configuration holds every write that a quorum acknowledged under those before it, as long as
//! no more crash than a quorum survives. Majorities count only those that have: so a quorum of one configuration sees what a quorum of
//! an earlier one wrote, although members came, went and started without their memory in between. It has caught up once it was
//! given all that these held, each at a time when that one knew the configuration already, and so acknowledged nothing more under
//! an earlier one without saying so:
//!
//! - a majority of the members that had caught up with the configuration before, itself included if it had: as one member at
//!   most differs, every earlier quorum has one of these in it;
//! - or else all other members, whatever they hold: so the survivors of a recovery go on, and those that have changed faster than
//!   anybody could catch up.
//!
//! With the first configuration of all nothing was written before.

use std::collections::{BTreeMap, BTreeSet};

use rumour_crdt::Hlc;
use serde::{Deserialize, Serialize};

use super::Council;
use crate::placement::{Configuration, Lineage, RingEpoch, Share};

/// Where a node stands with the configurations of its cluster: it says so with whatever others count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    /// The latest that it knows, and of which cluster.
    pub(crate) known: Option<(Lineage, RingEpoch)>,
    /// The latest that it has caught up with, if it was a member then.
    pub(crate) caught_up: Option<RingEpoch>,
}

/// What is known of the others' seats.
#[derive(Debug, Default)]
pub(super) struct Seats {
    pub(super) mine: Option<RingEpoch>,
    others: BTreeMap<u64, Told>,
}

#[derive(Debug, Default)]
struct Told {
    known: Option<RingEpoch>,
    caught_up: Option<RingEpoch>,
    /// Its clock when it first said that it knows the configuration of its seat.
    since: Hlc,
}

impl Seats {
    /// An incarnation said where it stands when its clock read this; gives whether that is news. Messages may overtake each other.
    fn hear(&mut self, incarnation: u64, known: RingEpoch, caught_up: Option<RingEpoch>, clock: Hlc) -> bool {
        let told = self.others.entry(incarnation).or_default();
        let before = (told.known, told.caught_up);
        if Some(known) > told.known {
            (told.known, told.since) = (Some(known), clock);
        }
        told.caught_up = told.caught_up.max(caught_up);
        (told.known, told.caught_up) != before
    }

    /// Only members are remembered.
    pub(super) fn retain(&mut self, configuration: &Configuration) {
        self.others.retain(|incarnation, _| configuration.names(*incarnation));
    }

    /// This node goes over to another cluster.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The latest configuration that an incarnation knew when it was last heard of.
    pub(super) fn known(&self, incarnation: u64) -> Option<RingEpoch> {
        self.others.get(&incarnation).and_then(|told| told.known)
    }

    /// The latest configuration that it had caught up with.
    pub(super) fn caught_up(&self, incarnation: u64) -> Option<RingEpoch> {
        self.others.get(&incarnation).and_then(|told| told.caught_up)
    }
}

impl Council {
    /// Where this node stands.
    pub(crate) fn seat(&self) -> Seat {
        let known = self.configuration().map(|known| (known.lineage(), known.epoch()));
        Seat { known, caught_up: self.seats.mine }
    }

    /// Whether this node has caught up with the latest configuration.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.configuration().is_some_and(|known| Some(known.epoch()) == self.seats.mine)
    }

    /// An incarnation said where it stands when its clock read this; gives whether that is news.
    pub(crate) fn seated(&mut self, incarnation: u64, seat: Seat, clock: Hlc) -> bool {
        let is_member = self.configuration().is_some_and(|known| known.names(incarnation));
        match self.here(seat) {
            Some(known) if is_member => self.seats.hear(incarnation, known, seat.caught_up, clock),
            _ => false,
        }
    }

    /// What a seat says of this cluster: the latest configuration that is known there.
    pub(super) fn here(&self, seat: Seat) -> Option<RingEpoch> {
        let (lineage, known) = seat.known?;
        (self.configuration()?.lineage() == lineage).then_some(known)
    }

    /// Looks whether this node has caught up; gives whether that is news. `given` says up to which time of its clock an
    /// incarnation was asked for all that it held.
    pub(crate) fn catch_up(&mut self, given: impl Fn(u64) -> Hlc) -> bool {
        let Some(configuration) = self.acceptor.agreed() else { return false };
        let epoch = configuration.epoch();
        if self.seats.mine == Some(epoch) || !configuration.names(self.me.incarnation) {
            return false;
        }
        let others =
            || configuration.members().iter().filter(|member| member.incarnation != self.me.incarnation);
        let has_given = |member: &&Share| {
            let told = self.seats.others.get(&member.incarnation);
            told.is_some_and(|told| told.known >= Some(epoch) && given(member.incarnation) > told.since)
        };
        let had_caught_up = |of: Option<RingEpoch>| of.is_some_and(|of| of.is_at_most_one_before(epoch));
        let mut majority: BTreeSet<u64> = others()
            .filter(has_given)
            .map(|member| member.incarnation)
            .filter(|incarnation| had_caught_up(self.seats.caught_up(*incarnation)))
            .collect();
        if had_caught_up(self.seats.mine) {
            majority.insert(self.me.incarnation);
        }
        let has = epoch == RingEpoch::FIRST
            || configuration.is_majority(&majority)
            || others().all(|member| has_given(&member));
        if has {
            self.seats.mine = Some(epoch);
        }
        has
    }

    /// The members that this node may catch up from and was not given everything by yet.
    pub(crate) fn to_catch_up_from(&self, given: impl Fn(u64) -> Hlc) -> Vec<Share> {
        let Some(configuration) = self.configuration() else { return Vec::new() };
        if self.has_caught_up() || !configuration.names(self.me.incarnation) {
            return Vec::new();
        }
        let knows = |member: &&Share| {
            let told = self.seats.others.get(&member.incarnation);
            told.is_some_and(|told| {
                told.known >= Some(configuration.epoch()) && given(member.incarnation) <= told.since
            })
        };
        configuration.members().iter().filter(knows).cloned().collect()
    }

    /// Whether a member has caught up with the latest configuration, as far as this node knows.
    pub(crate) fn counts(&self, incarnation: u64) -> bool {
        let known = self.configuration().map(Configuration::epoch);
        known.is_some() && self.seats.caught_up(incarnation) >= known
    }

    /// Whether a majority of the members has caught up with a configuration, as far as this node knows.
    pub(super) fn most_have_caught_up(&self, with: &Configuration) -> bool {
        let members = with.members().iter().map(|member| member.incarnation);
        let has = |incarnation: &u64| match *incarnation == self.me.incarnation {
            true => self.seats.mine >= Some(with.epoch()),
            false => self.seats.caught_up(*incarnation) >= Some(with.epoch()),
        };
        with.is_majority(&members.filter(has).collect())
    }
}
