//! The side of a sync session that began it.

use std::collections::{BTreeSet, VecDeque};

use rumour_crdt::{ActorId, Hlc, Stamp};
use rumour_transport::NodeId;
use tokio::time::Instant;

use super::repeats::Repeats;
use super::side::Side;
use super::{Collected, SETTLED_AFTER, STALE, Taken, WANT_LIMIT, collect, merge};
use crate::engine::EngineState;
use crate::message::{GoneItem, OwnerTable, SyncReply, SyncRequest};
use crate::slot::SLOTS;
use crate::store::{GROUPS, Position, SLOTS_PER_GROUP, VersionItem};

/// Slots asked for in one listing at most.
const SLOTS_LIMIT: usize = 1024;

/// One session, from the root to the last entry.
///
/// [`start`](Self::start) gives the first request; each reply goes to [`reply`](Self::reply), which gives the next request
/// or the end. Dropping a session midway is safe.
pub(crate) struct Session {
    node: NodeId,
    peer: ActorId,
    salt: u64,
    skip_young: bool,
    differing: VecDeque<u16>,
    listing: Option<Listing>,
    want: VecDeque<VersionItem>,
    give: VecDeque<Position>,
    asked: usize,
    repeats: Repeats,
    /// This node's clock then.
    began: Hlc,
    /// Of theirs, what must go with the next request.
    gone: Vec<GoneItem>,
    /// Owners that they named and that have ended.
    ended: Vec<ActorId>,
    mine: Side,
    theirs: Side,
    report: Report,
    expects: Expects,
}

/// A listing under way: the slots it was asked for, and from where on.
struct Listing {
    slots: Vec<u16>,
    from: Position,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Root,
    Slots,
    Versions,
    Exchange,
    Done,
}

/// What a session did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Report {
    /// Slots that differed.
    pub(crate) slots: u64,
    /// Entries that came and changed something here.
    pub(crate) received: u64,
    /// Entries that were sent.
    pub(crate) sent: u64,
    /// Keys that were left to replication, in either direction: they are too large for a message.
    pub(crate) handed: u64,
    /// Something of this node's was left out: it is young, or the peer refused it.
    pub(crate) left_out: bool,
    /// Requests made.
    pub(crate) round_trips: u64,
}

/// What to do after a reply.
pub(crate) enum Step {
    /// Send this and bring the reply.
    Send(SyncRequest),
    /// The session is over.
    Done(Report),
}

impl Session {
    /// `peer` is the node at the other end and its incarnation. `salt` should differ from session to session, so that fingerprints that collide
    /// once do not do so again. `skip_young` leaves entries that replication is bringing already to it.
    pub(crate) fn new((node, peer): (NodeId, ActorId), salt: u64, skip_young: bool) -> Self {
        Self {
            node,
            peer,
            salt,
            skip_young,
            differing: VecDeque::new(),
            listing: None,
            want: VecDeque::new(),
            give: VecDeque::new(),
            asked: 0,
            repeats: Repeats::default(),
            began: Hlc::ZERO,
            gone: Vec::new(),
            ended: Vec::new(),
            mine: Side::default(),
            theirs: Side::default(),
            report: Report::default(),
            expects: Expects::Root,
        }
    }

    pub(crate) fn start(&mut self, engine: &EngineState, now: Instant) -> SyncRequest {
        self.report.round_trips = 1;
        engine.collect(now);
        let clock = engine.clock.send_time();
        let owners = engine.watermarks.lock().tell(now, clock);
        self.began = clock;
        self.mine = Side::new(clock, owners.held.clone());
        SyncRequest::Root {
            clock,
            flushed: engine.store.flushed(),
            owners,
            salt: self.salt,
            root: engine.store.root_cell().fingerprint(self.salt),
        }
    }

    /// Takes a reply in and says what follows, or what is wrong with the reply.
    pub(crate) fn reply(
        &mut self,
        engine: &EngineState,
        reply: SyncReply,
        now: Instant,
    ) -> Result<Step, &'static str> {
        let request = match (self.expects, reply) {
            (Expects::Root, SyncReply::Root { clock, flushed, owners, groups }) => {
                engine.follow(clock, flushed);
                self.ended = engine.watermarks.lock().hear(&owners, engine.clock.send_time());
                self.theirs = Side::new(clock, owners.held);
                match groups {
                    // The peer knows by itself what equal roots mean.
                    None if self.ended.is_empty() => None,
                    None => Some(self.done()),
                    Some(groups) => {
                        engine.collect(now);
                        Some(self.compare_groups(engine, &groups)?)
                    }
                }
            }
            (Expects::Slots, SyncReply::Slots { differing }) => {
                if differing.len() > SLOTS || differing.iter().any(|slot| usize::from(*slot) >= SLOTS) {
                    return Err("names slots that do not exist");
                }
                self.report.slots = differing.len() as u64;
                self.differing = differing.into();
                Some(self.next_request(engine))
            }
            (Expects::Versions, SyncReply::Versions { items, next }) => {
                self.compare_versions(engine, &items, next)?;
                Some(self.next_request(engine))
            }
            (
                Expects::Exchange,
                SyncReply::Exchange { clock, entries, answered, refused, gone, handed, evicted, again },
            ) => {
                let answered = answered as usize;
                // A reply that answers nothing of what was asked would keep the session going for ever.
                if answered > self.asked || (answered == 0 && self.asked > 0) {
                    return Err("answers something else than what was asked");
                }
                if engine.is_stale(clock) {
                    return Err(STALE);
                }
                let asked: BTreeSet<_> = self.want.drain(..answered).map(|item| item.at).collect();
                if evicted.iter().any(|evicted| !asked.contains(&evicted.item.at)) {
                    return Err("names what was not asked for as evicted");
                }
                if again.iter().any(|item| !self.repeats.was_given(item.at)) {
                    return Err("asks again for what it was not given");
                }
                engine.follow(clock, Stamp::ZERO);
                engine.remove_gone(&gone);
                if let Some(refused) = refused {
                    self.mine.leave_out(refused);
                    self.report.left_out = true;
                }
                self.give_again(&again);
                let Taken { changed, refused, gone, late } =
                    merge(engine, entries, |at| self.repeats.left(at));
                for item in late {
                    // Asked for now, it is not older than what was evicted here.
                    match self.repeats.ask_again(item.at) {
                        true => self.want.push_back(item),
                        false => self.theirs.leave_out(Hlc::ZERO),
                    }
                }
                if let Some(refused) = refused {
                    self.theirs.leave_out(refused);
                }
                if !handed.is_empty() {
                    self.theirs.hand_over();
                    self.report.handed += handed.len() as u64;
                    engine.await_arrival(handed);
                }
                self.report.received += changed;
                let asked_all = engine.watermarks.lock().asked_all();
                for evicted in &evicted {
                    let is_known = engine.store.evicted_elsewhere(evicted, self.began, asked_all);
                    // What came of it before was not taken.
                    if !is_known || self.repeats.was_asked_again(evicted.item.at) {
                        self.theirs.evicted();
                    }
                }
                self.gone.extend(gone);
                Some(self.next_request(engine))
            }
            (Expects::Done, SyncReply::Done) => None,
            _ => return Err("is not the reply to what was asked"),
        };
        let Some(request) = request else {
            let Side { until, asked, held } = &self.theirs;
            engine.watermarks.lock().asked(self.peer, *asked);
            engine.watermarks.lock().completed(self.peer, *until, held);
            return Ok(Step::Done(self.report));
        };
        self.report.round_trips += 1;
        Ok(Step::Send(request))
    }

    /// The last request: the peer does not know otherwise that it has seen everything.
    fn done(&mut self) -> SyncRequest {
        self.expects = Expects::Done;
        let held = std::mem::take(&mut self.mine.held);
        let owners = OwnerTable { rows: Vec::new(), held, ended: std::mem::take(&mut self.ended) };
        SyncRequest::Done { until: self.mine.until, owners, gone: std::mem::take(&mut self.gone) }
    }

    fn compare_groups(&mut self, engine: &EngineState, theirs: &[u64]) -> Result<SyncRequest, &'static str> {
        if theirs.len() != GROUPS {
            return Err("has the wrong number of groups");
        }
        let mut groups = Vec::new();
        let mut fingerprints = Vec::new();
        for (group, theirs) in theirs.iter().enumerate() {
            if engine.store.group_cell(group).fingerprint(self.salt) != *theirs {
                groups.push(group as u8);
                fingerprints
                    .extend(engine.store.slot_cells(group).iter().map(|cell| cell.fingerprint(self.salt)));
            }
        }
        debug_assert_eq!(fingerprints.len(), groups.len() * SLOTS_PER_GROUP);
        if groups.is_empty() {
            return Ok(self.done());
        }
        self.expects = Expects::Slots;
        Ok(SyncRequest::Slots { salt: self.salt, groups, fingerprints })
    }

    /// Goes through two sorted listings of the same slots side by side.
    fn compare_versions(
        &mut self,
        engine: &EngineState,
        theirs: &[VersionItem],
        next: Option<Position>,
    ) -> Result<(), &'static str> {
        let Some(listing) = self.listing.take() else { return Err("no listing was asked for") };
        if theirs.iter().any(|item| usize::from(item.at.slot) >= SLOTS) {
            return Err("names slots that do not exist");
        }
        if !theirs.is_sorted() || next.is_some_and(|next| next <= listing.from) {
            return Err("the listing is out of order");
        }
        let covered = |at: Position| at >= listing.from && next.is_none_or(|next| at < next);
        let now_ms = engine.clock.due_ms();
        let settled_before_ms = engine.clock.now_ms().saturating_sub(SETTLED_AFTER.as_millis() as u64);
        let mut theirs = theirs.iter().copied().filter(|item| covered(item.at)).peekable();
        for slot in listing.slots.iter().copied().filter(|slot| *slot >= listing.from.slot) {
            let first = if slot == listing.from.slot { listing.from.hash } else { 0 };
            for mine in engine.store.versions(slot, first, now_ms).into_iter().filter(|item| covered(item.at))
            {
                while let Some(item) = theirs.next_if(|item| item.at < mine.at) {
                    self.want.push_back(item);
                }
                let same = theirs.next_if(|item| item.at == mine.at);
                if same.is_some_and(|item| item.version == mine.version) {
                    continue;
                }
                if let Some(theirs) = same {
                    self.want.push_back(theirs);
                }
                let newest = engine.store.newest_at(mine.at);
                if newest.is_empty() {
                    // It was evicted here: there is nothing to give.
                    if same.is_none() {
                        self.mine.evicted();
                    }
                    continue;
                }
                let young = lowest_if_young(&newest, settled_before_ms).filter(|_| self.skip_young);
                match young {
                    Some(stamp) => {
                        self.mine.leave_out(stamp);
                        self.report.left_out = true;
                    }
                    None => self.give.push_back(mine.at),
                }
            }
        }
        self.want.extend(theirs);
        if let Some(from) = next {
            self.listing = Some(Listing { slots: listing.slots, from });
        }
        Ok(())
    }

    /// The peer has evicted these, and what it was given may be older than what went: collected from now on it is not.
    fn give_again(&mut self, again: &[VersionItem]) {
        // At once: what the peer has left changes with whatever comes to it meanwhile.
        for item in again.iter().rev() {
            if self.repeats.give_again(*item) {
                self.give.push_front(item.at);
            } else {
                // Its oldest part may be of any time.
                self.mine.leave_out(Hlc::ZERO);
                self.report.left_out = true;
            }
        }
    }

    /// Entries first, then the rest of the listing, then further slots.
    fn next_request(&mut self, engine: &EngineState) -> SyncRequest {
        if !self.want.is_empty() || !self.give.is_empty() {
            self.expects = Expects::Exchange;
            let want: Vec<_> = self.want.iter().map(|item| item.at).take(WANT_LIMIT).collect();
            self.asked = want.len();
            self.repeats.asking(&engine.store, &want);
            let clock = engine.clock.send_time();
            let Collected { entries, answered, handed, evicted } =
                collect(engine, &self.node, self.give.make_contiguous());
            let again = self.repeats.giving(self.give.drain(..answered));
            self.report.sent += entries.len() as u64;
            if !evicted.is_empty() {
                // Between its turn in the listing and here.
                self.mine.evicted();
            }
            if !handed.is_empty() {
                self.mine.hand_over();
                self.report.handed += handed.len() as u64;
            }
            let gone = std::mem::take(&mut self.gone);
            return SyncRequest::Exchange { clock, entries, again, want, gone };
        }
        let listing = self.listing.take().or_else(|| {
            let count = self.differing.len().min(SLOTS_LIMIT);
            let slots: Vec<u16> = self.differing.drain(..count).collect();
            let from = Position { slot: *slots.first()?, hash: 0 };
            Some(Listing { slots, from })
        });
        let Some(listing) = listing else { return self.done() };
        self.expects = Expects::Versions;
        let request = SyncRequest::Versions { slots: listing.slots.clone(), from: listing.from };
        self.listing = Some(listing);
        request
    }
}

/// The lowest of the newest stamps of some entries if all of them were written after `settled_before_ms`.
fn lowest_if_young(newest: &[Stamp], settled_before_ms: u64) -> Option<Hlc> {
    let lowest = newest.iter().map(|stamp| stamp.time).min()?;
    (lowest.millis() > settled_before_ms).then_some(lowest)
}
