//! Up to when all owners hold the same: what decides which tombstones may go.
//!
//! A node *holds* an owner up to a time of that owner's clock if it has seen all that the owner held when its clock read that
//! time. Complete sync sessions say so ([`Watermarks::completed`]). The lowest of these is the node's own *watermark*, which it
//! tells everybody together with the set of owners that it knows; once all owners have told theirs for the same set, the
//! lowest of all is *agreed*: a record that was dead at one of them by then is known to every owner.
//!
//! A watermark is told only after it has held for [`RIPENING`], and messages older than [`MESSAGE_AGE_LIMIT`] are turned away: what
//! an owner sent before it knew of a tombstone is no longer under way when the tombstone goes. What takes long to send carries the
//! time when the last of it left, and holds back what was learned since it began ([`Watermarks::transfer_began`]).
//!
//! Every member owns every key for now, so that there is one table for all; with placement there will be one for each slot. No
//! store and no clock lives here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rumour_crdt::{ActorId, Entry, Hlc, Stamp};
use rumour_transport::NodeId;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::message::{OwnerRow, OwnerTable};

/// How long a watermark must have held before it is told.
pub(crate) const RIPENING: Duration = Duration::from_secs(30);
/// Messages with entries are turned away when their sender's clock lies further behind than this. Longer than replication waits for
/// an acknowledgement, and shorter than [`RIPENING`] by more than clocks may differ.
pub(crate) const MESSAGE_AGE_LIMIT: Duration = Duration::from_secs(25);
/// Time between two watermarks that ripen at the same time.
const RIPENING_STEP: Duration = Duration::from_secs(2);
/// Owners, and incarnations that are gone, that are remembered at most.
const OWNERS_LIMIT: usize = 1024;
/// Incarnations of which it is known how much of theirs is held, at most.
const HELD_LIMIT: usize = 2 * OWNERS_LIMIT;

/// What one node knows of how far all owners have come.
///
/// Order of calls: [`met`](Self::met), [`away`](Self::away) and [`retire`](Self::retire) as the membership changes;
/// [`tell`](Self::tell) and [`hear`](Self::hear) with every sync session; [`advance`](Self::advance) before [`agreed`](Self::agreed) is
/// acted on.
pub(crate) struct Watermarks {
    node: NodeId,
    me: ActorId,
    /// Up to which time of its clock everything that an incarnation held is held here, present incarnations and past ones.
    held: BTreeMap<ActorId, Hlc>,
    /// Up to which time of its clock an owner was asked for all that it had not evicted.
    asked: BTreeMap<ActorId, Hlc>,
    /// The other owners, with what they told last.
    owners: BTreeMap<ActorId, OwnerRow>,
    /// Whom this node saw last under each name, and whether it is within sight.
    present: BTreeMap<NodeId, (ActorId, bool)>,
    /// Incarnations that have ended, and this node's clock when it learned that.
    ended: BTreeMap<ActorId, Hlc>,
    /// Whether all nodes that this one was told to begin with were met: before, it may not know of an owner.
    acquainted: bool,
    alone: bool,
    own: Ripening,
    agreed: Hlc,
    collected: Hlc,
    released: Hlc,
    forced: Hlc,
}

/// A watermark that rises only after a while.
#[derive(Default)]
struct Ripening {
    ripe: Hlc,
    waiting: VecDeque<Unripe>,
    /// When each transfer began that is under way.
    transfers: Vec<Instant>,
}

struct Unripe {
    /// When it was learned.
    learned: Instant,
    /// When nothing that was sent before that was left to send.
    since: Instant,
    watermark: Hlc,
}

impl Watermarks {
    pub(crate) fn new(node: NodeId, me: ActorId) -> Self {
        Self {
            node,
            me,
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            owners: BTreeMap::new(),
            present: BTreeMap::new(),
            ended: BTreeMap::new(),
            acquainted: false,
            alone: true,
            own: Ripening::default(),
            agreed: Hlc::ZERO,
            collected: Hlc::ZERO,
            released: Hlc::ZERO,
            forced: Hlc::ZERO,
        }
    }

    /// Every node that this one was told to begin with has been met once.
    pub(crate) fn acquainted(&mut self) {
        self.acquainted = true;
    }

    /// An incarnation is within sight: it owns whatever it is given from now on. `clock` is this node's.
    pub(crate) fn met(&mut self, node: &NodeId, actor: ActorId, clock: Hlc) {
        if let Some((before, _)) = self.present.insert(node.clone(), (actor, true))
            && before != actor
        {
            self.retire(before, clock);
        }
        if self.ended.remove(&actor).is_some() {
            self.held.remove(&actor);
        }
        self.own_too(OwnerRow { node: node.clone(), actor, at: Hlc::ZERO, watermark: Hlc::ZERO, owners: 0 });
    }

    /// A node is out of sight; it stays an owner.
    pub(crate) fn away(&mut self, node: &NodeId) {
        if let Some((_, within_sight)) = self.present.get_mut(node) {
            *within_sight = false;
        }
    }

    /// The incarnations of a name that own and are out of sight.
    pub(crate) fn lost(&self, node: &NodeId) -> Vec<ActorId> {
        let lost = |row: &&OwnerRow| row.node == *node && !self.is_within_sight(row.actor);
        self.owners.values().filter(lost).map(|row| row.actor).collect()
    }

    /// Takes an incarnation for ended if it is out of sight.
    pub(crate) fn forget(&mut self, actor: ActorId, clock: Hlc) {
        if !self.is_within_sight(actor) {
            self.retire(actor, clock);
        }
    }

    /// An incarnation has ended for good: what it held is lost or elsewhere.
    pub(crate) fn retire(&mut self, actor: ActorId, clock: Hlc) {
        self.owners.remove(&actor);
        self.present.retain(|_, (present, _)| *present != actor);
        self.ended.entry(actor).or_insert(clock);
        if self.ended.len() > OWNERS_LIMIT
            && let Some(oldest) = self.ended.iter().min_by_key(|(_, at)| **at).map(|(actor, _)| *actor)
        {
            self.ended.remove(&oldest);
            self.held.remove(&oldest);
        }
    }

    /// What to tell a peer. `now` and `clock` are this node's.
    pub(crate) fn tell(&mut self, now: Instant, clock: Hlc) -> OwnerTable {
        self.advance(now, clock);
        let own = OwnerRow {
            node: self.node.clone(),
            actor: self.me,
            at: clock,
            watermark: self.own.ripe,
            owners: self.fingerprint(),
        };
        OwnerTable {
            rows: std::iter::once(own).chain(self.owners.values().cloned()).collect(),
            held: self.held.iter().map(|(actor, held)| (*actor, *held)).collect(),
            ended: Vec::new(),
        }
    }

    /// Takes in what a peer told; gives those of its owners that have ended, which the peer should learn.
    pub(crate) fn hear(&mut self, told: &OwnerTable, clock: Hlc) -> Vec<ActorId> {
        for actor in told.ended.iter().take(OWNERS_LIMIT) {
            // What is within sight has not ended.
            if *actor != self.me && !self.is_within_sight(*actor) {
                self.retire(*actor, clock);
            }
        }
        let mut ended = Vec::new();
        for row in told.rows.iter().take(OWNERS_LIMIT) {
            if row.actor == self.me {
                continue;
            }
            if self.ended.contains_key(&row.actor) {
                ended.push(row.actor);
                continue;
            }
            self.own_too(row.clone());
        }
        ended
    }

    fn is_within_sight(&self, actor: ActorId) -> bool {
        self.present.values().any(|present| *present == (actor, true))
    }

    fn own_too(&mut self, row: OwnerRow) {
        self.alone = false;
        // Past the limit nothing is collected any more: sets of owners do not agree.
        let room = self.owners.len() < OWNERS_LIMIT;
        match self.owners.get_mut(&row.actor) {
            Some(known) if row.at > known.at => *known = row,
            None if room => {
                self.owners.insert(row.actor, row);
            }
            _ => {}
        }
    }

    /// A session that this node began with an owner ended in which it was given all that the owner had when its clock read `until`, what it
    /// had evicted before excepted.
    pub(crate) fn asked(&mut self, owner: ActorId, until: Hlc) {
        if self.owners.contains_key(&owner) {
            let asked = self.asked.entry(owner).or_default();
            *asked = (*asked).max(until);
        }
    }

    /// A session with an owner ended in which all was seen that it held when its clock read `until`. `held` is what that owner held
    /// of others when the session began.
    pub(crate) fn completed(&mut self, owner: ActorId, until: Hlc, held: &[(ActorId, Hlc)]) {
        for (actor, until) in held.iter().take(HELD_LIMIT).copied().chain([(owner, until)]) {
            if actor == self.me || until == Hlc::ZERO {
                continue;
            }
            let room = self.held.len() < HELD_LIMIT;
            match self.held.get_mut(&actor) {
                Some(known) => *known = (*known).max(until),
                None if room => {
                    self.held.insert(actor, until);
                }
                None => {}
            }
        }
    }

    /// Brings everything up to the present; gives up to when all is agreed. `clock` is this node's.
    pub(crate) fn advance(&mut self, now: Instant, clock: Hlc) -> Hlc {
        let seen = self.watermark(clock);
        if self.alone {
            self.own.ripe = seen;
        } else {
            self.own.rise(seen, now);
        }
        let owners = self.fingerprint();
        if self.owners.values().all(|row| row.owners == owners) {
            let lowest = self.owners.values().map(|row| row.watermark).fold(self.own.ripe, Hlc::min);
            self.agreed = self.agreed.max(lowest);
        }
        for (actor, at) in &self.ended {
            // Whatever such an incarnation passed on had arrived at an owner soon after its end.
            if self.agreed > later(*at, RIPENING) {
                self.held.insert(*actor, Hlc::MAX);
            }
        }
        self.agreed
    }

    /// Entries that were read at `began` are being sent, which may take longer than messages may be old. What is learned from then
    /// on ripens when that has ended.
    pub(crate) fn transfer_began(&mut self, began: Instant) {
        self.own.transfers.push(began);
    }

    /// A transfer that began at `began` has ended: all is sent, or will not be.
    pub(crate) fn transfer_ended(&mut self, began: Instant, now: Instant) {
        self.own.transfer_ended(began, now);
    }

    /// Up to which time of its clock each owner was asked for all that it held.
    pub(crate) fn asked_until(&self) -> BTreeMap<ActorId, Hlc> {
        self.asked.clone()
    }

    /// Every owner was asked itself for all that it held at this time of its clock.
    pub(crate) fn asked_all(&mut self) -> Hlc {
        self.asked.retain(|actor, _| self.owners.contains_key(actor));
        match self.asked.len() < self.owners.len() {
            true => Hlc::ZERO,
            false => self.asked.values().copied().min().unwrap_or(Hlc::ZERO),
        }
    }

    /// Up to when this node has seen all that every owner held.
    fn watermark(&self, clock: Hlc) -> Hlc {
        if !self.acquainted {
            return Hlc::ZERO;
        }
        let held = |actor| self.held.get(actor).copied().unwrap_or(Hlc::ZERO);
        self.owners.keys().map(held).min().unwrap_or(clock)
    }

    /// Stands for the set of owners: nodes agree only on what they worked out for the same set.
    fn fingerprint(&self) -> u64 {
        let mut actors: Vec<ActorId> = self.owners.keys().copied().chain([self.me]).collect();
        actors.sort_unstable();
        let mut hash = Xxh3::new();
        actors.iter().for_each(|actor| hash.update(&actor.get().to_le_bytes()));
        hash.digest()
    }

    /// What died at an owner at or before this time of its clock is known to all.
    pub(crate) fn agreed(&self) -> Hlc {
        self.agreed
    }

    /// Records are being removed that died at or before `floor`, as all owners know of them.
    pub(crate) fn releasing(&mut self, floor: Hlc) {
        self.released = self.released.max(floor);
        self.collecting(floor);
    }

    /// Up to when records were removed because all owners knew of them.
    pub(crate) fn released(&self) -> Hlc {
        self.released
    }

    /// Records are being removed that died at or before `floor`.
    pub(crate) fn collecting(&mut self, floor: Hlc) {
        self.collected = self.collected.max(floor);
    }

    /// Up to when records that had died were removed.
    pub(crate) fn collected(&self) -> Hlc {
        self.collected
    }

    /// Records that died at or before `floor` were removed although not all owners know of them.
    pub(crate) fn forced_out(&mut self, floor: Hlc) {
        self.forced = self.forced.max(floor);
        self.collecting(floor);
    }

    /// Up to when records were removed that not all owners know of; zero in good times.
    pub(crate) fn forced(&self) -> Hlc {
        self.forced
    }

    /// Whether an entry of a key of which nothing is held was seen here, and so has been removed as dead.
    pub(crate) fn is_collected(&self, entry: &Entry) -> bool {
        entry.newest().time <= self.collected && self.has_seen(entry)
    }

    /// Every part of an entry is as old as its newest stamp, at least.
    fn has_seen(&self, entry: &Entry) -> bool {
        let newest = entry.newest().time;
        let held = |actor: &ActorId| self.held.get(actor).is_some_and(|held| newest <= *held);
        let mut writers = match entry.contents() {
            // What a value or a tombstone replaced is not part of it.
            None => vec![entry.newest().actor],
            Some(_) => entry.writers().collect(),
        };
        writers.retain(|actor| *actor != self.me && *actor != Stamp::ZERO.actor);
        writers.iter().all(held)
    }

    /// The owners that keep the agreed time from rising: those that know of other owners than this node, or else those that
    /// are furthest behind.
    pub(crate) fn waiting_for(&self) -> Vec<NodeId> {
        let owners = self.fingerprint();
        let own = [(&self.node, self.own.ripe, true)];
        let others = self.owners.values().map(|row| (&row.node, row.watermark, row.owners == owners));
        let all: Vec<_> = own.into_iter().chain(others).collect();
        let agree = all.iter().all(|(_, _, agrees)| *agrees);
        let lowest = all.iter().map(|(_, watermark, _)| *watermark).min().unwrap_or_default();
        let late =
            |(_, watermark, agrees): &&(_, Hlc, bool)| if agree { *watermark == lowest } else { !agrees };
        let mut late: Vec<NodeId> = all.iter().filter(late).map(|(node, ..)| (*node).clone()).collect();
        late.sort_unstable();
        late.dedup();
        late
    }
}

impl Ripening {
    /// What falls falls at once; what rises waits until it has held for long enough.
    fn rise(&mut self, seen: Hlc, now: Instant) {
        self.ripe = self.ripe.min(seen);
        for unripe in &mut self.waiting {
            unripe.watermark = unripe.watermark.min(seen);
        }
        while let Some(front) = self.waiting.front()
            && now.saturating_duration_since(front.since) >= RIPENING
            && self.transfers.iter().all(|began| front.learned <= *began)
        {
            self.ripe = front.watermark;
            self.waiting.pop_front();
        }
        let last = self.waiting.back().map(|last| (last.learned, last.watermark));
        let due = last.is_none_or(|(learned, _)| now.saturating_duration_since(learned) >= RIPENING_STEP);
        if due && seen > last.map_or(self.ripe, |(_, watermark)| watermark) {
            self.waiting.push_back(Unripe { learned: now, since: now, watermark: seen });
        }
    }

    fn transfer_ended(&mut self, began: Instant, now: Instant) {
        if let Some(at) = self.transfers.iter().position(|other| *other == began) {
            self.transfers.swap_remove(at);
        }
        self.waiting.iter_mut().filter(|unripe| unripe.learned > began).for_each(|unripe| unripe.since = now);
    }
}

/// That much later by the same clock.
pub(crate) fn later(time: Hlc, by: Duration) -> Hlc {
    let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Hlc::from_parts(time.millis().saturating_add(by_ms), time.counter())
}

#[cfg(test)]
mod tests;
