//! Which nodes own which slots: a pure function of the numbered configuration, equal on every node.
//!
//! Each slot ranks the members by weighted rendezvous hashing: every member draws an exponentially distributed number for the
//! slot, at a rate that is its weight, and the lowest come first, those of zones that have none of the slot's copies before others.
//! (Thaler and Ravishankar 1998; with weights: Schindelhauer and Schomaker 2005, the logarithmic method.) A member's draws are a
//! permutation of the same 16384 quantiles for every member, which leaves less to chance than independent ones.
//!
//! Chance still loads some of fifty members 5 % too much. So those that are further off their fair share than 2.8 % have their rates
//! moved until they are not. Members that were near enough stay as they are, so that a join moves little beyond its own share.
//!
//! All arithmetic is on IEEE doubles in one order, and the logarithm is `libm`'s: no table depends on the machine.

mod configuration;
mod fair;
mod spread;

use std::collections::BTreeSet;

use rumour_transport::NodeId;

use crate::slot::SLOTS;
pub use configuration::{
    Configuration, InvalidConfiguration, Lineage, MEMBERS_LIMIT, Replicas, RingEpoch, Share,
};
use spread::{Field, Spread};

/// The owners of every slot under one configuration.
///
/// ```
/// use std::num::NonZeroU16;
/// use rumour::placement::{Configuration, Lineage, Replicas, RingEpoch, Share, Table};
///
/// let one = NonZeroU16::MIN;
/// let member = |incarnation| Share {
///     node: format!("cache-{incarnation}").parse().unwrap(),
///     incarnation,
///     weight: one,
///     zone: String::new(),
/// };
/// let members = (1..=4).map(member).collect();
/// let two = Replicas::Count(NonZeroU16::new(2).unwrap());
/// let lineage = Lineage { founded_ms: 1_700_000_000_000, founder: 1, alone: true };
/// let table = Table::new(&Configuration::new(lineage, RingEpoch::FIRST, two, members)?);
/// assert_eq!(table.owners(rumour::slot_of(b"user:1")).count(), 2);
/// # Ok::<(), rumour::placement::InvalidConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    epoch: RingEpoch,
    nodes: Vec<NodeId>,
    /// Indices into `nodes`: of each slot in turn its owners, the first one first.
    owners: Vec<u8>,
    per_slot: usize,
    spread: Spread,
}

impl Table {
    /// Takes some 100 ms for fifty members, and more in proportion: not to be done where others wait.
    #[must_use]
    pub fn new(configuration: &Configuration) -> Self {
        let members = configuration.members();
        let per_slot = configuration.owners_per_slot();
        let zones: BTreeSet<&str> = members.iter().map(|member| &*member.zone).collect();
        let zone_of = |member: &Share| zones.iter().position(|zone| *zone == member.zone).unwrap_or_default();
        let field = Field {
            weights: members.iter().map(|member| f64::from(member.weight.get())).collect(),
            zones: members.iter().map(zone_of).collect(),
        };
        let nodes: Vec<NodeId> = members.iter().map(|member| member.node.clone()).collect();
        let spread = Spread::even(field, &nodes, per_slot);
        let mut owners = Vec::with_capacity(SLOTS * per_slot);
        for slot in 0..SLOTS {
            owners.extend(spread.choose(slot, per_slot));
        }
        Self { epoch: configuration.epoch(), nodes, owners, per_slot, spread }
    }

    /// The epoch of its configuration.
    #[must_use]
    pub fn epoch(&self) -> RingEpoch {
        self.epoch
    }

    /// The owners of a slot, the first one first.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn owners(&self, slot: u16) -> impl ExactSizeIterator<Item = &NodeId> {
        let first = usize::from(slot) * self.per_slot;
        self.owners[first..first + self.per_slot].iter().map(|owner| &self.nodes[usize::from(*owner)])
    }

    /// All members in the order in which they would own a slot: its owners, then those that stand in for them.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn ranking(&self, slot: u16) -> impl Iterator<Item = &NodeId> {
        assert!(usize::from(slot) < SLOTS, "there is no slot {slot}");
        let ranked = self.spread.choose(usize::from(slot), self.nodes.len());
        ranked.into_iter().map(|member| &self.nodes[usize::from(member)])
    }

    /// Whether a node owns a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn owns(&self, node: &NodeId, slot: u16) -> bool {
        self.owners(slot).any(|owner| owner == node)
    }

    /// The slots that a node owns, in order.
    pub fn slots_of<'a>(&'a self, node: &'a NodeId) -> impl Iterator<Item = u16> + 'a {
        (0..SLOTS as u16).filter(|slot| self.owns(node, *slot))
    }
}

#[cfg(test)]
mod tests;
