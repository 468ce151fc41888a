//! The side of a sync session that began it.

use std::collections::VecDeque;

use super::{SETTLED_AFTER, WANT_LIMIT, collect, merge};
use crate::engine::EngineState;
use crate::message::{SyncReply, SyncRequest};
use crate::slot::SLOTS;
use crate::store::{GROUPS, Position, SLOTS_PER_GROUP, VersionItem};

/// Slots asked for in one listing at most.
const SLOTS_LIMIT: usize = 1024;

/// One session, from the root to the last entry.
///
/// [`start`](Self::start) gives the first request; each reply goes to [`reply`](Self::reply), which gives the next request
/// or the end. Dropping a session midway is safe.
pub(crate) struct Session {
    salt: u64,
    skip_young: bool,
    differing: VecDeque<u16>,
    listing: Option<Listing>,
    want: VecDeque<Position>,
    give: VecDeque<Position>,
    asked: usize,
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
    /// `salt` should differ from session to session, so that fingerprints that collide once do not do so again.
    /// `skip_young` leaves entries that replication is bringing already to it.
    pub(crate) fn new(salt: u64, skip_young: bool) -> Self {
        Self {
            salt,
            skip_young,
            differing: VecDeque::new(),
            listing: None,
            want: VecDeque::new(),
            give: VecDeque::new(),
            asked: 0,
            report: Report::default(),
            expects: Expects::Root,
        }
    }

    pub(crate) fn start(&mut self, engine: &EngineState) -> SyncRequest {
        self.report.round_trips = 1;
        SyncRequest::Root {
            clock: engine.clock.send_time(),
            flushed: engine.store.flushed(),
            salt: self.salt,
            root: engine.store.root_cell().fingerprint(self.salt),
        }
    }

    /// Takes a reply in and says what follows, or what is wrong with the reply.
    pub(crate) fn reply(&mut self, engine: &EngineState, reply: SyncReply) -> Result<Step, &'static str> {
        let request = match (self.expects, reply) {
            (Expects::Root, SyncReply::Root { clock, flushed, groups }) => {
                engine.follow(clock, flushed);
                match groups {
                    None => None,
                    Some(groups) => self.compare_groups(engine, &groups)?,
                }
            }
            (Expects::Slots, SyncReply::Slots { differing }) => {
                if differing.len() > SLOTS || differing.iter().any(|slot| usize::from(*slot) >= SLOTS) {
                    return Err("names slots that do not exist");
                }
                self.report.slots = differing.len() as u64;
                self.differing = differing.into();
                self.next_request(engine)
            }
            (Expects::Versions, SyncReply::Versions { items, next }) => {
                self.compare_versions(engine, &items, next)?;
                self.next_request(engine)
            }
            (Expects::Exchange, SyncReply::Exchange { clock, entries, answered }) => {
                let answered = answered as usize;
                // A reply that answers nothing of what was asked would keep the session going for ever.
                if answered > self.asked || (answered == 0 && self.asked > 0) {
                    return Err("answers something else than what was asked");
                }
                self.want.drain(..answered);
                engine.follow(clock, rumour_crdt::Stamp::ZERO);
                self.report.received += merge(engine, entries);
                self.next_request(engine)
            }
            _ => return Err("is not the reply to what was asked"),
        };
        self.report.round_trips += u64::from(request.is_some());
        Ok(request.map_or(Step::Done(self.report), Step::Send))
    }

    fn compare_groups(
        &mut self,
        engine: &EngineState,
        theirs: &[u64],
    ) -> Result<Option<SyncRequest>, &'static str> {
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
        self.expects = Expects::Slots;
        Ok((!groups.is_empty()).then_some(SyncRequest::Slots { salt: self.salt, groups, fingerprints }))
    }

    /// Goes through two sorted listings of the same slots side by side.
    fn compare_versions(
        &mut self,
        engine: &EngineState,
        theirs: &[VersionItem],
        next: Option<Position>,
    ) -> Result<(), &'static str> {
        let Some(listing) = self.listing.take() else { return Err("no listing was asked for") };
        if !theirs.is_sorted() || next.is_some_and(|next| next <= listing.from) {
            return Err("the listing is out of order");
        }
        let covered = |at: Position| at >= listing.from && next.is_none_or(|next| at < next);
        let settled_before_ms = engine.clock.now_ms().saturating_sub(SETTLED_AFTER.as_millis() as u64);
        let mut theirs = theirs.iter().copied().filter(|item| covered(item.at)).peekable();
        for slot in listing.slots.iter().copied().filter(|slot| *slot >= listing.from.slot) {
            let first = if slot == listing.from.slot { listing.from.hash } else { 0 };
            for mine in engine.store.versions(slot, first).into_iter().filter(|item| covered(item.at)) {
                while let Some(item) = theirs.next_if(|item| item.at < mine.at) {
                    self.want.push_back(item.at);
                }
                let same = theirs.next_if(|item| item.at == mine.at);
                if same.is_some_and(|item| item.version == mine.version) {
                    continue;
                }
                let young =
                    |(_, entry): &(_, rumour_crdt::Entry)| entry.newest().time.millis() > settled_before_ms;
                if self.skip_young && engine.store.entries_at(mine.at).iter().all(young) {
                    continue;
                }
                self.give.push_back(mine.at);
                if same.is_some() {
                    self.want.push_back(mine.at);
                }
            }
        }
        self.want.extend(theirs.map(|item| item.at));
        if let Some(from) = next {
            self.listing = Some(Listing { slots: listing.slots, from });
        }
        Ok(())
    }

    /// Entries first, then the rest of the listing, then further slots.
    fn next_request(&mut self, engine: &EngineState) -> Option<SyncRequest> {
        if !self.want.is_empty() || !self.give.is_empty() {
            self.expects = Expects::Exchange;
            let want: Vec<_> = self.want.iter().copied().take(WANT_LIMIT).collect();
            self.asked = want.len();
            let (entries, answered) = collect(engine, self.give.make_contiguous());
            self.give.drain(..answered);
            self.report.sent += entries.len() as u64;
            engine.counters.sync_entries_sent.add(entries.len() as u64);
            return Some(SyncRequest::Exchange { clock: engine.clock.send_time(), entries, want });
        }
        self.expects = Expects::Versions;
        let listing = match self.listing.take() {
            Some(listing) => listing,
            None => {
                let count = self.differing.len().min(SLOTS_LIMIT);
                let slots: Vec<u16> = self.differing.drain(..count).collect();
                let from = Position { slot: *slots.first()?, hash: 0 };
                Listing { slots, from }
            }
        };
        let request = SyncRequest::Versions { slots: listing.slots.clone(), from: listing.from };
        self.listing = Some(listing);
        Some(request)
    }
}
