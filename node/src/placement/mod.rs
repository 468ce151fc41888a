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

mod fair;
mod spread;

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use crate::slot::SLOTS;
use spread::{Field, Spread};

/// Members that a configuration may have at most.
pub const MEMBERS_LIMIT: usize = 256;
/// The highest number of a configuration.
const NUMBER_LIMIT: u64 = u64::MAX >> 1;
/// The longest name of a zone, in bytes.
const ZONE_BYTES_LIMIT: usize = 64;

/// How many owners each slot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// Every member owns every slot.
    All,
    /// So many, or all members while there are fewer.
    Count(NonZeroU16),
}

/// One member of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// Its name: a node that starts anew under its name owns what it owned.
    pub node: NodeId,
    /// Which start of it is meant. Placement does not look at it.
    pub incarnation: u64,
    /// How much it takes beside others.
    pub weight: NonZeroU16,
    /// What it may fail together with. Copies of a slot go to different zones while there are enough.
    pub zone: String,
}

/// Who owns the slots, as a majority agreed. What is no configuration is not decoded as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Configuration {
    lineage: u64,
    number: u64,
    replicas: Replicas,
    members: Vec<Share>,
}

/// As it came from a peer.
#[derive(Deserialize)]
struct Unchecked {
    lineage: u64,
    number: u64,
    replicas: Replicas,
    members: Vec<Share>,
}

impl TryFrom<Unchecked> for Configuration {
    type Error = InvalidConfiguration;

    fn try_from(came: Unchecked) -> Result<Self, InvalidConfiguration> {
        Self::new(came.lineage, came.number, came.replicas, came.members)
    }
}

/// No configuration can be like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// Its number is none that one comes to by counting.
    #[error("{0} is no number of a configuration")]
    Number(u64),
    /// It has no members.
    #[error("a configuration needs a member")]
    Empty,
    /// It has too many.
    #[error("{members} members are more than {MEMBERS_LIMIT}")]
    TooMany {
        /// How many it has.
        members: usize,
    },
    /// Two members have one name, or are one incarnation.
    #[error("{0} is listed twice")]
    Twice(NodeId),
    /// A zone's name is too long.
    #[error("the zone of {0} has a name of more than {ZONE_BYTES_LIMIT} bytes")]
    ZoneTooLong(NodeId),
}

impl Configuration {
    /// The order of `members` does not matter. `lineage` is drawn at random for the first one of a cluster, and those that follow have the
    /// same.
    ///
    /// # Errors
    /// See [`InvalidConfiguration`].
    pub fn new(
        lineage: u64,
        number: u64,
        replicas: Replicas,
        mut members: Vec<Share>,
    ) -> Result<Self, InvalidConfiguration> {
        members.sort_unstable();
        if number > NUMBER_LIMIT {
            return Err(InvalidConfiguration::Number(number));
        }
        if members.is_empty() {
            return Err(InvalidConfiguration::Empty);
        }
        if members.len() > MEMBERS_LIMIT {
            return Err(InvalidConfiguration::TooMany { members: members.len() });
        }
        let (mut nodes, mut incarnations) = (BTreeSet::new(), BTreeSet::new());
        let mut is_first =
            |member: &Share| nodes.insert(member.node.clone()) && incarnations.insert(member.incarnation);
        if let Some(twice) = members.iter().find(|member| !is_first(member)) {
            return Err(InvalidConfiguration::Twice(twice.node.clone()));
        }
        if let Some(long) = members.iter().find(|member| member.zone.len() > ZONE_BYTES_LIMIT) {
            return Err(InvalidConfiguration::ZoneTooLong(long.node.clone()));
        }
        Ok(Self { lineage, number, replicas, members })
    }

    /// Which cluster it belongs to.
    #[must_use]
    pub fn lineage(&self) -> u64 {
        self.lineage
    }

    /// Whether it comes after another one of the same cluster.
    #[must_use]
    pub fn is_later_than(&self, other: &Self) -> bool {
        self.lineage == other.lineage && self.number > other.number
    }

    /// Its number; the next one has one more.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its members by name.
    #[must_use]
    pub fn members(&self) -> &[Share] {
        &self.members
    }

    /// Whether this incarnation is one of its members.
    #[must_use]
    pub fn names(&self, incarnation: u64) -> bool {
        self.members.iter().any(|member| member.incarnation == incarnation)
    }

    /// Whether these incarnations, with others or not, are more than half of its members.
    #[must_use]
    pub fn is_majority(&self, incarnations: &BTreeSet<u64>) -> bool {
        let members = self.members.iter().filter(|member| incarnations.contains(&member.incarnation));
        2 * members.count() > self.members.len()
    }

    /// Whether the other one has the next number of the same cluster and differs in one member at most: added, removed, or changed.
    #[must_use]
    pub fn precedes(&self, next: &Self) -> bool {
        let changed = |from: &Self, to: &Self| -> BTreeSet<NodeId> {
            let others = from.members.iter().filter(|member| !to.members.contains(member));
            others.map(|member| member.node.clone()).collect()
        };
        let changes = changed(self, next).union(&changed(next, self)).count();
        self.lineage == next.lineage && self.number + 1 == next.number && changes <= 1
    }

    /// How many owners each slot has under it.
    #[must_use]
    pub fn owners_per_slot(&self) -> usize {
        match self.replicas {
            Replicas::All => self.members.len(),
            Replicas::Count(count) => usize::from(count.get()).min(self.members.len()),
        }
    }
}

/// The owners of every slot under one configuration.
///
/// ```
/// use std::num::NonZeroU16;
/// use rumour::placement::{Configuration, Replicas, Share, Table};
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
/// let table = Table::new(&Configuration::new(7, 1, two, members)?);
/// assert_eq!(table.owners(rumour::slot_of(b"user:1")).count(), 2);
/// # Ok::<(), rumour::placement::InvalidConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    number: u64,
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
        Self { number: configuration.number(), nodes, owners, per_slot, spread }
    }

    /// The number of its configuration: the ring epoch.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
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
