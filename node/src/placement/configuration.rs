//! The numbered list of members that everything else is computed from.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

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

impl Share {
    /// Whether a configuration may have it as a member.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.zone.len() <= ZONE_BYTES_LIMIT
    }
}

/// Which founding of a cluster a configuration goes back to. Of two, the one that was founded earlier is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The founder's wall clock when it was founded, in milliseconds since the Unix epoch.
    pub founded_ms: u64,
    /// The incarnation that founded it.
    pub founder: u64,
    /// It was founded by a node without seeds, which asked nobody.
    pub alone: bool,
}

/// The place of a configuration among those of its lineage: the ring epoch. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RingEpoch {
    /// How often it was recovered by all survivors because a majority had died.
    pub generation: u64,
    /// Which survivors of what recovered it last; zero in generation zero. Should two sides that knew nothing of each other ever recover
    /// the same generation, they have different epochs all the same, and the lesser one gives way.
    pub branch: u64,
    /// Its number; the next one has one more.
    pub number: u64,
}

impl RingEpoch {
    /// That of the first configuration.
    pub const FIRST: Self = Self { generation: 0, branch: 0, number: 1 };

    /// Whether it is another one or the one right before it, with no recovery in between.
    pub(crate) fn is_at_most_one_before(self, other: Self) -> bool {
        self == other || self.next() == other
    }

    fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    fn recovered(self, branch: u64) -> Self {
        Self { generation: self.generation + 1, branch, ..self.next() }
    }
}

impl std::fmt::Display for RingEpoch {
    /// The number, and after a point the generation where it is not zero.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.number),
            generation => write!(f, "{}.{generation}", self.number),
        }
    }
}

/// Who owns the slots, as a majority agreed. What is no configuration is not decoded as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Configuration {
    lineage: Lineage,
    epoch: RingEpoch,
    replicas: Replicas,
    members: Vec<Share>,
}

/// As it came from a peer.
#[derive(Deserialize)]
struct Unchecked {
    lineage: Lineage,
    epoch: RingEpoch,
    replicas: Replicas,
    members: Vec<Share>,
}

impl TryFrom<Unchecked> for Configuration {
    type Error = InvalidConfiguration;

    fn try_from(came: Unchecked) -> Result<Self, InvalidConfiguration> {
        Self::new(came.lineage, came.epoch, came.replicas, came.members)
    }
}

/// No configuration can be like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfiguration {
    /// Its number is none that one comes to by counting.
    #[error("{0} is no epoch of a configuration")]
    Epoch(RingEpoch),
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
    /// The order of `members` does not matter.
    ///
    /// # Errors
    /// See [`InvalidConfiguration`].
    pub fn new(
        lineage: Lineage,
        epoch: RingEpoch,
        replicas: Replicas,
        mut members: Vec<Share>,
    ) -> Result<Self, InvalidConfiguration> {
        members.sort_unstable();
        if epoch.number > NUMBER_LIMIT || epoch.generation > epoch.number {
            return Err(InvalidConfiguration::Epoch(epoch));
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
        if let Some(long) = members.iter().find(|member| !member.is_valid()) {
            return Err(InvalidConfiguration::ZoneTooLong(long.node.clone()));
        }
        Ok(Self { lineage, epoch, replicas, members })
    }

    /// The next one, with these members.
    ///
    /// # Errors
    /// See [`InvalidConfiguration`].
    pub fn followed_by(&self, members: Vec<Share>) -> Result<Self, InvalidConfiguration> {
        Self::new(self.lineage, self.epoch.next(), self.replicas, members)
    }

    /// The one that these survivors of it agree on once all others are dead.
    ///
    /// # Errors
    /// See [`InvalidConfiguration`].
    pub fn survived_by(&self, incarnations: &BTreeSet<u64>) -> Result<Self, InvalidConfiguration> {
        let survivors = self.members.iter().filter(|member| incarnations.contains(&member.incarnation));
        self.succeeded_by(survivors.cloned().collect())
    }

    /// The one that those agree on who bear its members' names now, once all its members are dead.
    ///
    /// # Errors
    /// See [`InvalidConfiguration`].
    pub fn succeeded_by(&self, mut successors: Vec<Share>) -> Result<Self, InvalidConfiguration> {
        successors.sort_unstable();
        let epoch = self.epoch.recovered(self.branch_of(&successors));
        Self::new(self.lineage, epoch, self.replicas, successors)
    }

    /// The branch that these survivors or successors begin: a hash of who they are and of what they come from.
    fn branch_of(&self, survivors: &[Share]) -> u64 {
        let epoch = [self.epoch.generation, self.epoch.branch, self.epoch.number];
        let members = self.members.iter().chain(survivors).map(|member| member.incarnation);
        let mut hasher = Xxh3::new();
        for part in epoch.into_iter().chain([self.members.len() as u64]).chain(members) {
            hasher.update(&part.to_le_bytes());
        }
        hasher.digest()
    }

    /// Which founding it goes back to.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Its place among those of its lineage.
    #[must_use]
    pub fn epoch(&self) -> RingEpoch {
        self.epoch
    }

    /// How many owners each slot is to have.
    #[must_use]
    pub fn replicas(&self) -> Replicas {
        self.replicas
    }

    /// Whether it comes after another one of the same lineage.
    #[must_use]
    pub fn is_later_than(&self, other: &Self) -> bool {
        self.lineage == other.lineage && self.epoch > other.epoch
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

    /// The incarnation that bears a name in it.
    #[must_use]
    pub fn incarnation_of(&self, node: &NodeId) -> Option<u64> {
        self.members.iter().find(|member| member.node == *node).map(|member| member.incarnation)
    }

    /// Whether these incarnations, with others or not, are more than half of its members.
    #[must_use]
    pub fn is_majority(&self, incarnations: &BTreeSet<u64>) -> bool {
        let members = self.members.iter().filter(|member| incarnations.contains(&member.incarnation));
        2 * members.count() > self.members.len()
    }

    /// Whether the other one may follow it: the next number, and one member at most added, removed or changed; or the next
    /// [generation](RingEpoch::generation), and members only removed, or all of them replaced by others of their names.
    #[must_use]
    pub fn precedes(&self, next: &Self) -> bool {
        let changed = |from: &Self, to: &Self| -> BTreeSet<NodeId> {
            let others = from.members.iter().filter(|member| !to.members.contains(member));
            others.map(|member| member.node.clone()).collect()
        };
        let (gone, come) = (changed(self, next), changed(next, self));
        let fits = match next.epoch {
            epoch if epoch == self.epoch.next() => gone.union(&come).count() <= 1,
            epoch if epoch == self.epoch.recovered(self.branch_of(&next.members)) => {
                let succeeds = |member: &Share| self.incarnation_of(&member.node).is_some();
                let is_dead = |member: &Share| !next.names(member.incarnation);
                come.is_empty() || next.members.iter().all(succeeds) && self.members.iter().all(is_dead)
            }
            _ => false,
        };
        fits && self.lineage == next.lineage
    }

    /// Whether it followed another one by recovery: by [survivors](Self::survived_by) or [successors](Self::succeeded_by).
    #[must_use]
    pub fn recovers(&self, base: &Self) -> bool {
        self.epoch.generation > base.epoch.generation
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
