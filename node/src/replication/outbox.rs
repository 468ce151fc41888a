//! The queue of keys that a peer has not acknowledged yet.
//!
//! It holds keys, not values: what is sent is the entry as it is when its batch leaves, so a key that is
//! written a thousand times while the link is busy is sent once. Of counters and collections it holds the join
//! of the deltas that wait. For a peer that is away the queue is its hint list.

use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry as Queued;
use tokio::time::Instant;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::change::Change;
use super::ticket::Ticket;
use crate::config::HANDED_KEYS_LIMIT;

/// Keys waiting for one peer. Plain state: the task that owns the link drives it.
///
/// Order of calls: [`push`](Self::push) whenever a key changed; [`connected`](Self::connected) when a link stands, which puts
/// back whatever an earlier one left unacknowledged; then, with the link's number, [`next_batch`](Self::next_batch) while it has
/// room, [`acknowledge`](Self::acknowledge) for each answer and [`disconnected`](Self::disconnected) when it broke. A link that another
/// one has replaced can do nothing any more.
pub(crate) struct Outbox {
    waiting: VecDeque<Bytes>,
    queued: HashMap<Bytes, Change, BuildHasherDefault<Xxh3Default>>,
    in_flight: VecDeque<Flight>,
    /// Keys whose writes the peer refused for lying in its future, and when to offer them again.
    refused: BTreeMap<Bytes, Instant>,
    /// Who waits for keys that are queued or in flight.
    awaited: HashMap<Bytes, Vec<Awaited>, BuildHasherDefault<Xxh3Default>>,
    next_batch: u64,
    keys_limit: usize,
    /// A session has made up for whatever the peer lacked before there was this queue.
    acquainted: bool,
    overflowed: bool,
    /// A session is under way that is to make up for what overflowed before, or broke off.
    making_up: bool,
    announce: bool,
    link: u64,
    bytes: usize,
}

/// Somebody waits for the peer to take in what a key holds now.
struct Awaited {
    /// The first batch that can bring it.
    from: u64,
    /// Whoever waits may give up.
    ticket: Weak<Ticket>,
}

/// What a peer has not taken in of all that changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing.
    Nothing,
    /// What was queued: a ticket tells when it has.
    Awaited,
    /// Something was left to sync, or refused.
    Unknown,
}

/// A batch that the peer has taken in.
pub(crate) struct Acknowledged {
    /// Its keys with what was sent of them.
    pub(crate) keys: Vec<(Bytes, Change)>,
    /// Of each change in it that somebody waits for.
    pub(crate) tickets: Vec<Weak<Ticket>>,
}

/// What became of a key that was taken for a batch.
pub(crate) struct Taken {
    /// What changed is not here any more: it was evicted.
    pub(crate) lost: bool,
    /// The batch has room for another key.
    pub(crate) room: bool,
}

struct Flight {
    batch: u64,
    keys: Vec<(Bytes, Change)>,
    /// Hashes of the keys, in order, once somebody asked: only who evicts does.
    hashes: OnceCell<Vec<u64>>,
}

impl Flight {
    fn new(batch: u64, keys: Vec<(Bytes, Change)>) -> Self {
        Self { batch, keys, hashes: OnceCell::new() }
    }

    /// Whether the key is in it, or one of the same hash.
    fn holds(&self, key: &[u8]) -> bool {
        let hashes = self.hashes.get_or_init(|| {
            let mut hashes: Vec<u64> = self.keys.iter().map(|(key, _)| xxh3_64(key)).collect();
            hashes.sort_unstable();
            hashes
        });
        hashes.binary_search(&xxh3_64(key)).is_ok()
    }

    fn bytes(&self) -> usize {
        self.keys.iter().map(|(key, change)| key.len() + change.heap_bytes()).sum()
    }
}

/// Bytes of keys and deltas in one outbox at most; past it, as past the limit in keys, what changed is left to sync.
const BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// What [`Outbox::push`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The key waits for the next batch.
    Queued,
    /// It was waiting already.
    Waiting,
    /// The queue is full: the key is left to sync.
    Overflowed,
}

impl Outbox {
    pub(crate) fn new(keys_limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            queued: HashMap::default(),
            in_flight: VecDeque::new(),
            refused: BTreeMap::new(),
            awaited: HashMap::default(),
            next_batch: 1,
            keys_limit,
            acquainted: false,
            overflowed: false,
            making_up: false,
            announce: false,
            link: 0,
            bytes: 0,
        }
    }

    pub(crate) fn push(&mut self, key: &Bytes, change: &Change) -> Pushed {
        self.push_within(self.keys_limit, key, change)
    }

    fn push_within(&mut self, keys_limit: usize, key: &Bytes, change: &Change) -> Pushed {
        if self.refused.remove(key).is_some() {
            self.bytes -= key.len();
            // The peer lacks more of the key than what changes now.
            return self.push_within(keys_limit, key, &Change::Whole);
        }
        let len = self.len();
        match self.queued.entry(key.clone()) {
            Queued::Occupied(mut waiting) => {
                self.bytes -= waiting.get().heap_bytes();
                waiting.get_mut().join(change);
                if self.bytes + waiting.get().heap_bytes() > BYTES_LIMIT {
                    *waiting.get_mut() = Change::Whole;
                }
                self.bytes += waiting.get().heap_bytes();
                Pushed::Waiting
            }
            Queued::Vacant(_) if len >= keys_limit || self.bytes + key.len() > BYTES_LIMIT => {
                self.overflowed = true;
                Pushed::Overflowed
            }
            Queued::Vacant(free) => {
                let fits = self.bytes + key.len() + change.heap_bytes() <= BYTES_LIMIT;
                let change = if fits { change } else { &Change::Whole };
                self.bytes += key.len() + change.heap_bytes();
                free.insert(change.clone());
                self.waiting.push_back(key.clone());
                Pushed::Queued
            }
        }
    }

    /// Has a ticket acknowledged when the peer has taken in what was just [pushed](Self::push). Not to be asked for what overflowed.
    pub(crate) fn await_ack(&mut self, key: &Bytes, ticket: &Arc<Ticket>) {
        self.await_batch(key, self.next_batch, ticket);
    }

    fn await_batch(&mut self, key: &Bytes, from: u64, ticket: &Arc<Ticket>) {
        let awaited = self.awaited.entry(key.clone()).or_default();
        // Of those who gave up nothing is kept: a peer may be away for long.
        awaited.retain(|awaited| awaited.ticket.strong_count() > 0);
        awaited.push(Awaited { from, ticket: Arc::downgrade(ticket) });
    }

    /// Has all of a key sent, as sync cannot, also by a queue that is full of what clients write. Not again while all of it is on its way:
    /// what changes here meanwhile waits behind it.
    pub(crate) fn hand_over(&mut self, key: &Bytes) -> Pushed {
        let whole = |(sent, change): &(Bytes, Change)| sent == key && *change == Change::Whole;
        if self.in_flight.iter().any(|flight| flight.keys.iter().any(whole)) {
            return Pushed::Waiting;
        }
        self.hand_over_anew(key)
    }

    /// The same for all that it holds now, though all that it held before may be on its way.
    pub(crate) fn hand_over_anew(&mut self, key: &Bytes) -> Pushed {
        self.push_within(self.keys_limit + HANDED_KEYS_LIMIT, key, &Change::Whole)
    }

    /// Has a ticket acknowledged when the peer has taken in all that waits or is under way.
    pub(crate) fn await_all(&mut self, ticket: &Arc<Ticket>) -> Behind {
        if !self.is_all_queued() {
            return Behind::Unknown;
        }
        // Batches are acknowledged in their order, so that the last key comes last.
        if let Some(last) = self.waiting.back().cloned() {
            self.await_ack(&last, ticket);
            return Behind::Awaited;
        }
        let mut flights = self.in_flight.iter().rev();
        let last = flights.find_map(|flight| Some((flight.keys.last()?.0.clone(), flight.batch)));
        let Some((last, from)) = last else { return Behind::Nothing };
        self.await_batch(&last, from, ticket);
        Behind::Awaited
    }

    /// Whether the peer lacks nothing but what waits or is under way.
    pub(crate) fn is_all_queued(&self) -> bool {
        self.acquainted && !self.overflowed() && self.refused.is_empty()
    }

    /// Whether the peer may lack the latest change of the key: it waits, is under way, was refused, or may have been left to sync.
    pub(crate) fn is_queued(&self, key: &[u8]) -> bool {
        self.overflowed()
            || self.queued.contains_key(key)
            || self.refused.contains_key(key)
            || self.in_flight.iter().any(|flight| flight.holds(key))
    }

    /// Asks for a batch even if no key waits: its header carries the flush watermark.
    pub(crate) fn announce(&mut self) {
        self.announce = true;
    }

    /// The keys of the next batch and its number, or `None` when nothing waits.
    ///
    /// `take` is called for each key in turn.
    pub(crate) fn next_batch(
        &mut self,
        link: u64,
        keys_limit: usize,
        mut take: impl FnMut(&Bytes, &Change) -> Taken,
    ) -> Option<u64> {
        if link != self.link || self.waiting.is_empty() && !self.announce {
            return None;
        }
        self.announce = false;
        let mut keys = Vec::with_capacity(self.waiting.len().min(keys_limit));
        while keys.len() < keys_limit
            && let Some(key) = self.waiting.pop_front()
        {
            // Whatever waits is queued with its change.
            let change = self.queued.remove(&key).unwrap_or(Change::Whole);
            let Taken { lost, room } = take(&key, &change);
            if lost {
                // Nobody is told that the peer has it.
                self.awaited.remove(&key);
            }
            keys.push((key, change));
            if !room {
                break;
            }
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.in_flight.push_back(Flight::new(batch, keys));
        Some(batch)
    }

    /// Takes a batch as done and says what was in it; `None` if it was not the oldest in flight.
    pub(crate) fn acknowledge(&mut self, link: u64, batch: u64) -> Option<Acknowledged> {
        if link != self.link || self.in_flight.front()?.batch != batch {
            return None;
        }
        let flight = self.in_flight.pop_front()?;
        self.bytes -= flight.bytes();
        let mut tickets = Vec::new();
        if !self.awaited.is_empty() {
            flight.keys.iter().for_each(|(key, _)| self.brought(key, batch, &mut tickets));
        }
        Some(Acknowledged { keys: flight.keys, tickets })
    }

    fn brought(&mut self, key: &Bytes, batch: u64, tickets: &mut Vec<Weak<Ticket>>) {
        let Queued::Occupied(mut awaited) = self.awaited.entry(key.clone()) else { return };
        let brought = awaited.get_mut().extract_if(.., |awaited| awaited.from <= batch);
        tickets.extend(brought.map(|awaited| awaited.ticket));
        if awaited.get().is_empty() {
            awaited.remove();
        }
    }

    /// The peer refused what was written under this key for lying in its future: all of it is offered again at `again`.
    pub(crate) fn refuse(&mut self, key: Bytes, again: Instant) {
        if let Some(waiting) = self.queued.get_mut(&key) {
            self.bytes -= waiting.heap_bytes();
            *waiting = Change::Whole;
            return;
        }
        if let Some(due) = self.refused.get_mut(&key) {
            *due = again;
            return;
        }
        if self.len() >= self.keys_limit || self.bytes + key.len() > BYTES_LIMIT {
            self.overflowed = true;
            return;
        }
        self.bytes += key.len();
        self.refused.insert(key, again);
    }

    /// Lets refused keys wait for the next batch once more whose time has come; gives whether there are any.
    pub(crate) fn offer_refused(&mut self, now: Instant) -> bool {
        let before = self.waiting.len();
        self.refused.retain(|key, again| {
            if *again <= now {
                self.queued.insert(key.clone(), Change::Whole);
                self.waiting.push_back(key.clone());
            }
            *again > now
        });
        self.waiting.len() > before
    }

    /// Batches sent and not yet acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// A new link takes over from any other; gives its number.
    pub(crate) fn connected(&mut self) -> u64 {
        self.put_back();
        self.link += 1;
        self.link
    }

    /// The link broke: what was in flight on it waits again.
    pub(crate) fn disconnected(&mut self, link: u64) {
        if link == self.link {
            self.put_back();
        }
    }

    /// Puts what was in flight back in front of the queue. Sending twice is harmless: merging is idempotent.
    fn put_back(&mut self) {
        while let Some(flight) = self.in_flight.pop_back() {
            self.bytes -= flight.bytes();
            for (key, mut change) in flight.keys.into_iter().rev() {
                match self.queued.entry(key.clone()) {
                    Queued::Occupied(mut waiting) => {
                        self.bytes -= waiting.get().heap_bytes();
                        change.join(waiting.get());
                        self.bytes += change.heap_bytes();
                        waiting.insert(change);
                    }
                    Queued::Vacant(free) => {
                        self.bytes += key.len() + change.heap_bytes();
                        free.insert(change);
                        self.waiting.push_front(key);
                    }
                }
            }
        }
        // A lost batch may have been the one that carried the watermark.
        self.announce = true;
    }

    /// Forgets everything: the peer came back without its memory and is filled by sync.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.queued.clear();
        self.in_flight.clear();
        self.refused.clear();
        self.awaited.clear();
        self.bytes = 0;
        (self.acquainted, self.overflowed, self.making_up) = (false, false, false);
    }

    /// Whether keys were left to sync that no session has made up for.
    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed || self.making_up
    }

    /// A session begins: it makes up for what was left to sync before, if it [ends well](Self::made_up).
    pub(crate) fn make_up(&mut self) {
        self.making_up |= std::mem::take(&mut self.overflowed);
    }

    /// The session ended well. Keys that were left to sync since it began wait for the next one.
    pub(crate) fn made_up(&mut self) {
        (self.acquainted, self.making_up) = (true, false);
    }

    /// Keys waiting, in flight or refused.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
            + self.refused.len()
            + self.in_flight.iter().map(|flight| flight.keys.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rumour_crdt::{ActorId, Contents, Data, Entry, Fields, Hlc, Kind, Origin, Stamp};

    use super::*;

    const ROOM: Taken = Taken { lost: false, room: true };

    fn acknowledged(outbox: &mut Outbox, link: u64, batch: u64) -> Option<Vec<(Bytes, Change)>> {
        outbox.acknowledge(link, batch).map(|acknowledged| acknowledged.keys)
    }

    fn key(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    fn whole(name: &'static str) -> (Bytes, Change) {
        (key(name), Change::Whole)
    }

    fn drain(outbox: &mut Outbox) -> (u64, Vec<Bytes>) {
        let mut keys = Vec::new();
        let link = outbox.link;
        let batch = outbox.next_batch(link, 10, |key, _| {
            keys.push(key.clone());
            ROOM
        });
        (batch.expect("something waits"), keys)
    }

    #[test]
    fn a_key_written_often_is_sent_once_and_again_when_written_in_flight() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.push(&key("a"), &Change::Whole), Pushed::Queued);
        assert_eq!(outbox.push(&key("a"), &Change::Whole), Pushed::Waiting);
        let (first, keys) = drain(&mut outbox);
        assert_eq!(keys, [key("a")]);
        assert_eq!(
            outbox.push(&key("a"), &Change::Whole),
            Pushed::Queued,
            "the copy in flight is already old"
        );
        assert_eq!(acknowledged(&mut outbox, 0, first), Some(vec![whole("a")]));
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn a_key_counts_as_queued_until_the_peer_has_acknowledged_all_of_it() {
        let mut outbox = Outbox::new(1);
        outbox.push(&key("a"), &Change::Whole);
        assert!(outbox.is_queued(b"a") && !outbox.is_queued(b"b"));
        let (batch, _) = drain(&mut outbox);
        assert!(outbox.is_queued(b"a") && !outbox.is_queued(b"b"), "it may get lost on its way");
        assert!(acknowledged(&mut outbox, 0, batch).is_some());
        assert!(!outbox.is_queued(b"a"));
        outbox.refuse(key("a"), Instant::now());
        assert!(outbox.is_queued(b"a"), "the peer lacks what it refused");
        assert_eq!(outbox.push(&key("b"), &Change::Whole), Pushed::Overflowed);
        assert!(outbox.is_queued(b"b"), "what was left to sync may be any key");
    }

    #[test]
    fn deltas_of_a_key_are_joined_while_they_wait_and_when_a_link_breaks() {
        let delta = |seq: u64| {
            let stamp = Stamp { time: Hlc::from_parts(seq, 0), actor: ActorId::new(1), seq };
            let mut delta = Contents::delta(Kind::Set);
            if let Data::Set(fields) = delta.data_mut(stamp) {
                let origin = Origin { stamp, unbroken_since: 0 };
                fields.put(&seq.to_le_bytes(), (), None, origin, &mut Fields::delta());
            }
            let entry = Entry::ground(None, Kind::Set, Stamp::ZERO, |above| above);
            Change::contributed(entry.with_contents(delta), false)
        };
        let members = |change: &Change| match change {
            Change::Delta(delta) => delta.entry.members().map(Fields::len),
            Change::Whole => None,
        };
        let mut outbox = Outbox::new(10);
        outbox.push(&key("a"), &delta(1));
        outbox.push(&key("a"), &delta(2));
        let mut sent = None;
        outbox.next_batch(0, 10, |_, change| {
            sent = members(change);
            ROOM
        });
        assert_eq!(sent, Some(2));
        outbox.push(&key("a"), &delta(3));
        outbox.disconnected(0);
        assert_eq!(members(&outbox.queued[&key("a")]), Some(3));
        assert_eq!(outbox.len(), 1);
        outbox.push(&key("a"), &Change::Whole);
        assert_eq!(members(&outbox.queued[&key("a")]), None, "a replaced key is sent whole");
        let (batch, _) = drain(&mut outbox);
        acknowledged(&mut outbox, 0, batch);
        assert_eq!(outbox.bytes, 0);
        outbox.bytes = BYTES_LIMIT - 10;
        assert_eq!(outbox.push(&key("a"), &delta(4)), Pushed::Queued, "its key fits");
        assert_eq!((&outbox.queued[&key("a")], outbox.bytes), (&Change::Whole, BYTES_LIMIT - 9));
    }

    #[test]
    fn a_broken_link_loses_nothing_and_keeps_the_order() {
        let mut outbox = Outbox::new(10);
        for name in ["a", "b", "c"] {
            outbox.push(&key(name), &Change::Whole);
        }
        outbox.next_batch(0, 1, |_, _| ROOM).expect("a");
        outbox.next_batch(0, 1, |_, _| ROOM).expect("b");
        outbox.push(&key("a"), &Change::Whole);
        outbox.disconnected(0);
        assert_eq!(drain(&mut outbox).1, [key("b"), key("c"), key("a")]);
        assert_eq!(outbox.in_flight(), 1);
    }

    #[test]
    fn past_the_bound_keys_are_left_to_sync_and_that_is_said_once() {
        let mut outbox = Outbox::new(2);
        outbox.push(&key("a"), &Change::Whole);
        outbox.push(&key("b"), &Change::Whole);
        assert_eq!(outbox.push(&key("c"), &Change::Whole), Pushed::Overflowed);
        assert_eq!(outbox.push(&key("a"), &Change::Whole), Pushed::Waiting);
        assert_eq!(outbox.len(), 2);
        assert!(outbox.overflowed());
    }

    #[test]
    fn what_was_left_to_sync_is_lacking_until_a_session_has_ended() {
        let mut outbox = Outbox::new(1);
        outbox.push(&key("a"), &Change::Whole);
        outbox.push(&key("left to sync"), &Change::Whole);
        let (batch, _) = drain(&mut outbox);
        acknowledged(&mut outbox, 0, batch);
        outbox.make_up();
        assert!(outbox.is_queued(b"left to sync") && outbox.overflowed(), "the session may bring it last");
        outbox.make_up();
        assert!(outbox.is_queued(b"left to sync"), "the one before broke off");
        outbox.push(&key("a"), &Change::Whole);
        outbox.push(&key("left to the next"), &Change::Whole);
        outbox.made_up();
        assert!(outbox.overflowed(), "it came after the session began");
        outbox.make_up();
        outbox.made_up();
        assert!(!outbox.overflowed());
    }

    #[test]
    fn acknowledgements_out_of_order_are_refused() {
        let mut outbox = Outbox::new(10);
        outbox.push(&key("a"), &Change::Whole);
        outbox.push(&key("b"), &Change::Whole);
        let first = outbox.next_batch(0, 1, |_, _| ROOM).expect("a");
        let second = outbox.next_batch(0, 1, |_, _| ROOM).expect("b");
        assert_eq!(acknowledged(&mut outbox, 0, second), None);
        assert_eq!(acknowledged(&mut outbox, 0, first), Some(vec![whole("a")]));
        assert_eq!(acknowledged(&mut outbox, 0, second), Some(vec![whole("b")]));
    }

    #[test]
    fn what_sync_hands_over_is_not_sent_again_while_all_of_it_is_on_its_way() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.hand_over(&key("a")), Pushed::Queued);
        assert_eq!(outbox.hand_over(&key("a")), Pushed::Waiting);
        let (batch, _) = drain(&mut outbox);
        assert_eq!(outbox.hand_over(&key("a")), Pushed::Waiting, "it is on its way");
        assert_eq!(outbox.len(), 1);
        acknowledged(&mut outbox, 0, batch);
        assert_eq!(outbox.hand_over(&key("a")), Pushed::Queued, "the peer has it and still differs");
    }

    #[test]
    fn a_full_queue_has_room_for_what_sync_hands_over_and_not_for_all_of_it() {
        let mut outbox = Outbox::new(1);
        assert_eq!(outbox.push(&key("written"), &Change::Whole), Pushed::Queued);
        for n in 0..HANDED_KEYS_LIMIT {
            assert_eq!(outbox.hand_over(&Bytes::from(format!("large {n}"))), Pushed::Queued);
        }
        assert!(!outbox.overflowed());
        assert_eq!(outbox.hand_over(&key("one more")), Pushed::Overflowed);
        assert_eq!(outbox.push(&key("another"), &Change::Whole), Pushed::Overflowed);
    }

    #[test]
    fn an_announcement_goes_out_without_keys() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.next_batch(0, 10, |_, _| ROOM), None);
        outbox.announce();
        assert!(outbox.next_batch(0, 10, |_, _| ROOM).is_some());
        assert_eq!(outbox.next_batch(0, 10, |_, _| ROOM), None);
    }

    #[test]
    fn a_link_that_was_replaced_disturbs_nothing() {
        let mut outbox = Outbox::new(10);
        outbox.push(&key("a"), &Change::Whole);
        let old = outbox.connected();
        let first = outbox.next_batch(old, 10, |_, _| ROOM).expect("a");
        let new = outbox.connected();
        assert_eq!(outbox.next_batch(old, 10, |_, _| ROOM), None);
        let again = outbox.next_batch(new, 10, |_, _| ROOM).expect("a once more");
        assert_eq!(acknowledged(&mut outbox, old, first), None);
        outbox.disconnected(old);
        assert_eq!(acknowledged(&mut outbox, new, again), Some(vec![whole("a")]), "it is still in flight");
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn the_bytes_of_keys_are_bounded_and_given_back() {
        let mut outbox = Outbox::new(usize::MAX);
        let long = |n: u8| Bytes::from(vec![n; BYTES_LIMIT / 4]);
        for n in 0..4 {
            assert_eq!(outbox.push(&long(n), &Change::Whole), Pushed::Queued);
        }
        assert_eq!(outbox.push(&key("a"), &Change::Whole), Pushed::Overflowed);
        let link = outbox.connected();
        outbox.next_batch(link, 2, |_, _| ROOM).expect("two");
        outbox.disconnected(link);
        let link = outbox.connected();
        while let Some(batch) = outbox.next_batch(link, 1, |_, _| ROOM) {
            acknowledged(&mut outbox, link, batch);
        }
        assert_eq!((outbox.len(), outbox.bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_peer_refused_counts_as_queued_until_it_is_offered_again_and_taken() {
        let (mut outbox, now) = (Outbox::new(2), Instant::now());
        let again = now + Duration::from_secs(5);
        outbox.push(&key("a"), &Change::Whole);
        let (batch, _) = drain(&mut outbox);
        for (refused, _) in acknowledged(&mut outbox, 0, batch).expect("in flight") {
            outbox.refuse(refused.clone(), again);
            outbox.refuse(refused, again);
        }
        assert_eq!((outbox.len(), outbox.bytes), (1, 1));
        assert!(!outbox.offer_refused(now));
        assert_eq!(outbox.next_batch(0, 10, |_, _| ROOM), None);
        assert!(outbox.offer_refused(again));
        let (batch, keys) = drain(&mut outbox);
        assert_eq!(keys, [key("a")]);
        acknowledged(&mut outbox, 0, batch);
        assert_eq!((outbox.len(), outbox.bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_that_is_written_again_is_sent_at_once() {
        let mut outbox = Outbox::new(1);
        outbox.refuse(key("a"), Instant::now() + Duration::from_secs(5));
        assert_eq!(outbox.push(&key("a"), &Change::Whole), Pushed::Queued);
        assert_eq!((outbox.len(), outbox.bytes), (1, 1));
        outbox.refuse(key("b"), Instant::now());
        assert!(outbox.overflowed(), "past the bound refused keys are left to sync, too");
        assert_eq!(outbox.len(), 1);
    }
}
