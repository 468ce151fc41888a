//! The two ends of a replication channel: batches one way, acknowledgements back.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::{Dot, Entry};
use rumour_transport::codec::{self, CodecError};
use rumour_transport::{FrameReceiver, FrameSender, NodeId, Peer};
use tokio::time::{Instant, sleep_until};

use super::change::{Change, Delta};
use super::fanout::PeerQueue;
use super::outbox::{Acknowledged, Taken};
use super::parts::{Cut, JoinError, Joiner, Piece, TRANSFER_BYTES_LIMIT};
use super::patience::Patience;
use crate::engine::EngineState;
use crate::message::{Ack, Batch, kind};
use crate::store::{Applied, Brought};

/// Batches under way and not acknowledged at most. While all are out, changes gather in the outbox.
const BATCHES_IN_FLIGHT: usize = 8;
const BATCH_KEYS_LIMIT: usize = 512;
/// A batch is closed once it holds this much; one entry may exceed it.
const BATCH_BYTES_LIMIT: usize = 256 * 1024;
/// A write that a peer refused is offered to it again after so long, or later if its stamp says so.
const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(2);

const STALLED: &str = "the peer stopped acknowledging";

/// Sends a peer's outbox until the connection breaks. There is no timer: a change on an idle link leaves at once.
pub(crate) async fn send(engine: &EngineState, peer: &Peer) -> Result<(), String> {
    let queue = engine.fanout.queue(&peer.info().node);
    let (tx, rx) = peer.open_channel().await.map_err(|error| error.to_string())?;
    let link = queue.outbox.lock().connected();
    let incarnation = peer.info().incarnation;
    let answers = Answers { engine, queue: &queue, incarnation, link, rx, patience: Patience::default() };
    let ended = Pump { tx, answers }.run().await;
    queue.outbox.lock().disconnected(link);
    // A newer link may have found nothing to send while this one held it.
    queue.wake.notify_one();
    ended
}

/// One link at work.
struct Pump<'a> {
    tx: FrameSender,
    answers: Answers<'a>,
}

/// The way back of a link.
struct Answers<'a> {
    engine: &'a EngineState,
    queue: &'a PeerQueue,
    /// The peer's.
    incarnation: u64,
    link: u64,
    rx: FrameReceiver,
    patience: Patience,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), String> {
        let Answers { engine, queue, link, .. } = self.answers;
        loop {
            // Before its entries are read.
            let began = Instant::now();
            if let Some(batch) = next_batch(engine, queue, link) {
                let cut = cut(engine, batch, TRANSFER_BYTES_LIMIT)?;
                let _transfer = cut.is_in_parts().then(|| Transfer::begin(engine, began));
                self.deliver(cut).await?;
                continue;
            }
            tokio::select! {
                biased;
                taken = self.answers.take() => taken?,
                () = queue.wake.notified() => {}
            }
        }
    }

    /// Sends a batch, piece by piece, and takes in meanwhile what the peer answers.
    async fn deliver(&mut self, mut cut: Cut) -> Result<(), String> {
        let engine = self.answers.engine;
        while let Some(piece) = cut.next(|| engine.clock.send_time()) {
            let (kind, body) = match piece {
                Piece::Part(body) => {
                    engine.counters.replication_parts_sent.add(1);
                    (kind::PART, body)
                }
                Piece::Last(body) => (kind::BATCH, body),
            };
            self.answers.patience.sent(Instant::now());
            let mut sending = pin!(self.tx.send(kind, body));
            loop {
                tokio::select! {
                    biased;
                    taken = self.answers.take() => taken?,
                    sent = &mut sending => break sent.map_err(|error| error.to_string())?,
                }
            }
        }
        Ok(())
    }
}

impl Answers<'_> {
    /// Waits for the next answer and takes it in. Fails when the peer is silent for too long.
    async fn take(&mut self) -> Result<(), String> {
        let overdue = self.patience.deadline();
        let received = tokio::select! {
            biased;
            received = self.rx.recv() => received.map_err(|error| error.to_string())?,
            () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => None,
        };
        let frame = received.ok_or(STALLED)?;
        self.patience.answered(Instant::now());
        if frame.kind == kind::GOT {
            return Ok(());
        }
        acknowledge(self.engine, self.queue, (self.link, self.incarnation), frame.kind, &frame.body)
    }
}

/// A batch that takes a while to send. What it brings may be deleted meanwhile, and its tombstone must stay.
struct Transfer<'a> {
    engine: &'a EngineState,
    began: Instant,
}

impl<'a> Transfer<'a> {
    fn begin(engine: &'a EngineState, began: Instant) -> Self {
        engine.watermarks.lock().transfer_began(began);
        Self { engine, began }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        self.engine.watermarks.lock().transfer_ended(self.began, Instant::now());
    }
}

/// Cuts a batch for sending. What can never travel is left out of it, said and counted: it must not keep the rest.
fn cut(engine: &EngineState, mut batch: Batch, bytes_limit: usize) -> Result<Cut, String> {
    let piece_bytes = engine.fanout.whole_entry_bytes();
    let mut cut = Cut::new(&batch, piece_bytes, bytes_limit);
    if let Err(CodecError::TooLarge { limit }) = cut {
        let before = batch.entries.len();
        // But for its last entry a batch is small.
        batch.entries.retain(|(_, entry)| entry.payload_bytes() <= BATCH_BYTES_LIMIT.min(bytes_limit / 2));
        let left_out = before - batch.entries.len();
        engine.counters.replication_too_large.add(left_out as u64);
        tracing::error!(left_out, limit, "a key holds too much to be sent to a peer: remove some of it");
        cut = Cut::new(&batch, piece_bytes, bytes_limit);
    }
    cut.map_err(|error| error.to_string())
}

/// Fills the next batch, if something waits and the link has room for it.
fn next_batch(engine: &EngineState, queue: &PeerQueue, link: u64) -> Option<Batch> {
    let mut outbox = queue.outbox.lock();
    if outbox.in_flight() >= BATCHES_IN_FLIGHT {
        return None;
    }
    let mut entries: Vec<(Bytes, Entry)> = Vec::new();
    let mut bytes = 0;
    let now_ms = engine.clock.due_ms();
    // Read before the entries are, so that it does not make them look younger than they are.
    let clock = engine.clock.send_time();
    let number = outbox.next_batch(link, BATCH_KEYS_LIMIT, |key, change| {
        let entry = to_send(engine, key, change, now_ms);
        let lost = entry.is_none() && engine.store.is_evicted(key);
        if let Some(entry) = entry {
            bytes += key.len() + entry.payload_bytes() + 64;
            entries.push((key.clone(), entry));
        }
        Taken { lost, room: bytes < BATCH_BYTES_LIMIT }
    })?;
    drop(outbox);
    Some(Batch { number, clock, flushed: engine.store.flushed(), entries })
}

/// What is sent of a key: `None` if it was removed meanwhile, by a flush, as the watermark in the batch's head covers it, or because it was
/// deleted.
fn to_send(engine: &EngineState, key: &Bytes, change: &Change, now_ms: u64) -> Option<Entry> {
    let store = &engine.store;
    let Change::Delta(delta) = change else { return store.peek(key, now_ms, Entry::clone) };
    // Contributions to an epoch that has ended are void: what ended it is sent, or what began when that was removed. Those that were
    // evicted here are not, whatever has come back of their key.
    // Asked after the key was looked up, or while it is: it may be evicted now.
    let may_be_void = || delta.since > store.unacknowledged_until();
    let instead = |present: &Entry| {
        let is_void = match present.stamp().cmp(&delta.entry.stamp()) {
            Ordering::Greater => true,
            Ordering::Less => may_be_void() && !present.is_delta(),
            Ordering::Equal => may_be_void() && has_lost(engine, present, delta),
        };
        is_void.then(|| present.clone())
    };
    match store.peek(key, now_ms, instead) {
        Some(instead) => Some(instead.unwrap_or_else(|| delta.entry.clone())),
        // What ended it is removed already.
        None if may_be_void() || !store.may_be_evicted(key) => None,
        None => Some(delta.entry.clone()),
    }
}

/// Whether a key of the same epoch does not hold these contributions any more.
fn has_lost(engine: &EngineState, present: &Entry, delta: &Delta) -> bool {
    !present.is_delta()
        && delta.since <= engine.watermarks.lock().collected()
        && present.clone().merge(&delta.entry).changed
}

fn acknowledge(
    engine: &EngineState,
    queue: &PeerQueue,
    (link, incarnation): (u64, u64),
    kind: u8,
    body: &[u8],
) -> Result<(), String> {
    if kind != kind::ACK {
        return Err(format!("a frame of kind {kind} where an acknowledgement was due"));
    }
    let ack: Ack = codec::decode(body).map_err(|error| error.to_string())?;
    engine.follow(ack.clock, rumour_crdt::Stamp::ZERO);
    let acknowledged = queue.outbox.lock().acknowledge(link, ack.number);
    let Acknowledged { keys, tickets } = acknowledged.ok_or("an acknowledgement out of order")?;
    engine.seated(incarnation, ack.seat, ack.clock);
    engine.remove_gone(&ack.gone);
    let refused = ack.refused.len().min(keys.len());
    engine.counters.replication_sent.add((keys.len() - refused) as u64);
    if refused > 0 {
        engine.counters.replication_refused.add(refused as u64);
        tracing::warn!(refused, first = ?ack.refused.first(), "a peer refused writes whose stamps lie in its future: check both clocks");
        keep_refused(engine, queue, keys, &ack.refused);
    }
    if !ack.complete {
        // Whoever waits for one of the batch waits in vain: which it is does not always show.
        return Ok(());
    }
    tickets.iter().filter_map(Weak::upgrade).for_each(|ticket| ticket.acknowledge(incarnation, ack.seat));
    Ok(())
}

/// Keeps the keys of refused writes, to be offered again once their stamps are no longer in the future.
fn keep_refused(engine: &EngineState, queue: &PeerQueue, keys: Vec<(Bytes, Change)>, refused: &[Dot]) {
    let refused: BTreeSet<Dot> = refused.iter().copied().collect();
    let now_ms = engine.clock.now_ms();
    let newest = |key: &Bytes| engine.store.peek(key, engine.clock.due_ms(), Entry::newest);
    let is_refused = |(key, change): &(Bytes, Change)| {
        let sent = match change {
            Change::Whole => None,
            Change::Delta(delta) => Some(delta.entry.newest()),
        };
        newest(key).into_iter().chain(sent).any(|stamp| refused.contains(&stamp.dot()))
    };
    // A write that was overwritten since cannot be told by what its key holds: then all are offered again, which is harmless.
    let all = keys.iter().filter(|key| is_refused(key)).count() < refused.len();
    for item in keys {
        if all || is_refused(&item) {
            let stamped_ms = newest(&item.0).map_or(0, |stamp| stamp.time.millis());
            let ahead = Duration::from_millis(stamped_ms.saturating_sub(now_ms));
            queue.outbox.lock().refuse(item.0, Instant::now() + ahead.max(OFFER_AGAIN_AFTER));
        }
    }
}

/// Applies the batches of the peer `from` until it closes the channel.
pub(crate) async fn receive(
    engine: &EngineState,
    from: &NodeId,
    mut tx: FrameSender,
    mut rx: FrameReceiver,
) -> Result<(), String> {
    let mut joiner = Joiner::default();
    while let Some(frame) = rx.recv().await.map_err(|error| error.to_string())? {
        let (kind, body) = match frame.kind {
            kind::PART => {
                joiner.part(frame.body).map_err(|error| refuse(engine, from, &error))?;
                engine.counters.replication_parts_received.add(1);
                (kind::GOT, Bytes::new())
            }
            kind::BATCH => {
                let batch = joiner.last(frame.body).map_err(|error| refuse(engine, from, &error))?;
                check_age(engine, &batch)?;
                let ack = apply(engine, batch);
                (kind::ACK, codec::encode(&ack).map_err(|error| error.to_string())?)
            }
            other => {
                engine.counters.refused_messages.add(1);
                return Err(format!("a frame of kind {other} where a batch was due"));
            }
        };
        tx.send(kind, body).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Counts what is no batch. Gives the reason for which the link ends.
fn refuse(engine: &EngineState, from: &NodeId, error: &JoinError) -> String {
    engine.counters.refused_messages.add(1);
    if *error == JoinError::TooLong {
        engine.counters.refused_oversized.add(1);
    }
    tracing::warn!(peer = %from, %error, "refused a batch and ended the link");
    error.to_string()
}

/// Refuses entries that were sent too long ago. An announcement brings none, and comes without a time from a node that has not
/// heard its peers' clocks yet.
fn check_age(engine: &EngineState, batch: &Batch) -> Result<(), String> {
    if !batch.entries.is_empty() && engine.is_stale(batch.clock) {
        return Err("a batch that was sent too long ago: a process stalled, or the clocks differ".to_owned());
    }
    Ok(())
}

fn apply(engine: &EngineState, batch: Batch) -> Ack {
    engine.follow(batch.clock, batch.flushed);
    let (mut refused, mut gone, mut complete) = (Vec::new(), Vec::new(), true);
    for (key, entry) in batch.entries {
        let (newest, whole) = (entry.newest(), !entry.is_delta());
        match engine.apply(&key, entry, Brought::ByReplication) {
            Some(Applied::Merged(_) | Applied::Flushed) => engine.counters.replication_applied.add(1),
            Some(Applied::Collected(dead)) => gone.extend(engine.gone(key.clone(), &dead)),
            Some(Applied::Late) => {}
            Some(Applied::Evicted) => complete = false,
            None => {
                refused.push(newest.dot());
                complete = false;
                continue;
            }
        }
        if whole {
            engine.has_arrived(&key);
        }
    }
    // Looked at after all was taken in: what is acknowledged under a configuration is there when that is said.
    let seat = engine.council.lock().seat();
    Ack { number: batch.number, clock: engine.clock.send_time(), refused, gone, complete, seat }
}

/// Links without a network.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Brings a node what another one has queued for it; gives the bytes and the frames that took.
    pub(crate) fn carry(from: &EngineState, to: &EngineState) -> (usize, usize) {
        let queue = from.fanout.queue(&to.node);
        let link = queue.outbox.lock().connected();
        let (mut bytes, mut frames, mut joiner) = (0, 0, Joiner::default());
        while let Some(batch) = next_batch(from, &queue, link) {
            let mut cut = cut(from, batch, TRANSFER_BYTES_LIMIT).expect("it encodes");
            while let Some(piece) = cut.next(|| from.clock.send_time()) {
                frames += 1;
                match piece {
                    Piece::Part(body) => {
                        bytes += body.len();
                        joiner.part(body).expect("there is room");
                    }
                    Piece::Last(body) => {
                        bytes += body.len();
                        let ack = apply(to, joiner.last(body).expect("own bytes"));
                        let ack = codec::encode(&ack).expect("it fits");
                        acknowledge(from, &queue, (link, to.incarnation), kind::ACK, &ack).expect("in order");
                    }
                }
            }
        }
        (bytes, frames)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rumour_crdt::Hlc;

    use super::testing::carry;
    use super::*;
    use crate::consistency::Consistency;
    use crate::engine::testing::{engine_at, engine_with, engine_within, evict};
    use crate::engine::{Engine, SetOptions};
    use crate::replication::Ticket;

    /// A set as one peer has it and another one contributes to it.
    const MEMBERS: u32 = 100_000;
    const DELTA_BYTES_MAX: usize = 300;

    const KEY: &[u8] = b"a set with a key of some length";

    fn members(engine: &Engine) -> Option<usize> {
        engine.read(KEY, |view| view?.members().map(rumour_crdt::Fields::len))
    }

    fn add(engine: &Engine, members: std::ops::Range<u32>) {
        let added = engine.write(KEY, |key| {
            let mut set = key.members().expect("it is a set or nothing");
            for member in members {
                set.put(format!("member-{member:09}").as_bytes(), (), None);
            }
        });
        added.expect("the node serves");
    }

    #[test]
    fn entries_that_were_sent_too_long_ago_are_refused_and_announcements_never() {
        let engine = engine_at(1, 1_000_000);
        let batch = |clock, entries| Batch { number: 1, clock, flushed: rumour_crdt::Stamp::ZERO, entries };
        let clock = Hlc::default();
        assert_eq!(check_age(&engine, &batch(clock, Vec::new())), Ok(()), "its sender heard no clock yet");
        let writer = engine_at(2, 1_000_000);
        let stamp = writer.clock.mint(None);
        let entries = vec![(Bytes::from_static(b"k"), Entry::value(Bytes::new(), None, stamp, None))];
        assert!(check_age(&engine, &batch(clock, entries.clone())).is_err());
        assert_eq!(check_age(&engine, &batch(stamp.time, entries)), Ok(()));
    }

    /// A node that has contributions waiting for an absent one, to a key that a third one has deleted and that was removed since.
    fn waiting_in_vain() -> (Arc<EngineState>, Arc<EngineState>) {
        let (a, b, absent) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000), engine_at(3, 1_000_000));
        a.fanout.queue(&b.node);
        let (here, there) = (Engine::new(a.clone()), Engine::new(b.clone()));
        add(&here, 0..2);
        a.fanout.queue(&absent.node);
        add(&here, 2..3);
        carry(&a, &b);
        assert_eq!(there.delete(KEY), Ok(true));
        b.fanout.queue(&a.node).outbox.lock().hand_over(&Bytes::from_static(KEY));
        carry(&b, &a);
        assert_eq!(a.force_out(0).map(|forced| forced.records), Some(1));
        (a, absent)
    }

    #[test]
    fn contributions_to_what_was_deleted_and_removed_since_are_not_sent() {
        let (a, absent) = waiting_in_vain();
        carry(&a, &absent);
        assert_eq!(absent.export(), vec![]);
    }

    #[test]
    fn nor_do_they_come_along_with_what_began_since() {
        let (a, absent) = waiting_in_vain();
        add(&Engine::new(a.clone()), 3..4);
        carry(&a, &absent);
        assert_eq!(members(&Engine::new(absent)), Some(1));
    }

    #[test]
    fn nor_in_place_of_what_another_node_began_since() {
        let (a, absent) = waiting_in_vain();
        let other = engine_at(4, 1_000_000);
        other.fanout.queue(&a.node);
        add(&Engine::new(other.clone()), 3..5);
        carry(&other, &a);
        carry(&a, &absent);
        assert_eq!(members(&Engine::new(absent)), Some(2));
    }

    #[test]
    fn nor_where_the_absent_one_still_has_what_they_were_added_to() {
        let (a, b, absent) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000), engine_at(3, 1_000_000));
        let [here, there, away] = [&a, &b, &absent].map(|engine| Engine::new(engine.clone()));
        for node in [&b, &absent] {
            a.fanout.queue(&node.node);
        }
        add(&here, 0..2);
        assert_eq!(here.delete(KEY), Ok(true));
        carry(&a, &b);
        carry(&a, &absent);
        add(&here, 2..3);
        carry(&a, &b);
        assert_eq!(there.delete(KEY), Ok(true));
        b.fanout.queue(&a.node).outbox.lock().hand_over(&Bytes::from_static(KEY));
        carry(&b, &a);
        // The graves of both tombstones.
        let forced = (0..2).filter_map(|_| a.force_out(0)).count();
        assert_eq!((forced, a.store.tombstones()), (1, 0));
        // It goes on from the first tombstone.
        absent.fanout.queue(&a.node);
        add(&away, 3..5);
        carry(&absent, &a);
        carry(&a, &absent);
        assert_eq!(members(&away), Some(2));
    }

    #[test]
    fn what_was_evicted_while_it_waited_is_sent_though_the_key_came_back_without_it() {
        let remove = |engine: &Engine| {
            let removed =
                engine.write(KEY, |key| key.members().map(|mut set| set.remove(b"member-000000000")));
            removed.expect("it serves").expect("a set");
        };
        let count = |engine: &Engine| {
            engine.write(KEY, |key| key.add(2)).expect("it serves").expect("a number");
        };
        let put = |engine: &Engine| {
            engine.set(KEY, "5".into(), SetOptions::default()).expect("it serves");
        };
        let members = |engine: &Engine| members(engine).expect("a set") as i64;
        let number = |engine: &Engine| {
            let value = engine.get(KEY).expect("a number");
            std::str::from_utf8(&value).expect("text").parse().expect("a number")
        };
        type Does<'a> = &'a dyn Fn(&Engine);
        type Shows<'a> = &'a dyn Fn(&Engine) -> i64;
        let begin: Does<'_> = &|engine| add(engine, 0..2);
        let cases: [(Does<'_>, Does<'_>, Shows<'_>, i64); 3] = [
            (begin, &|engine| add(engine, 2..3), &members, 3),
            (begin, &remove, &members, 1),
            (&put, &count, &number, 7),
        ];
        for (first, then, shown, expected) in cases {
            let (a, b) = (engine_within(1, 1_000_000, 60_000), engine_at(2, 1_000_000));
            let here = Engine::new(a.clone());
            a.fanout.queue(&b.node);
            first(&here);
            carry(&a, &b);
            let before = b.export().remove(0).1;
            then(&here);
            evict(&here, KEY);
            a.apply(KEY, before, Brought::AsHeld);
            a.watermarks.lock().collecting(Hlc::MAX);
            carry(&a, &b);
            assert_eq!(shown(&Engine::new(b)), expected);
        }
    }

    #[test]
    fn who_waits_is_not_told_of_what_was_evicted_before_it_left() {
        let (a, b) = (engine_within(1, 1_000_000, 60_000), engine_at(2, 1_000_000));
        let here = Engine::new(a.clone());
        here.set(KEY, "v".into(), SetOptions::default()).expect("it serves");
        evict(&here, KEY);
        a.fanout.queue(&b.node);
        let [kept, lost] = [b"kept", KEY].map(|key| {
            let ticket = Arc::<Ticket>::default();
            a.fanout.dirty(key, &Change::Whole, Some(&ticket));
            ticket
        });
        carry(&a, &b);
        assert_eq!([kept, lost].map(|ticket| ticket.holders().len()), [1, 0]);
    }

    #[test]
    fn who_waits_is_not_told_of_what_its_receiver_had_evicted() {
        let (a, b) = (engine_at(1, 1_000_000), engine_within(2, 1_000_000, 60_000));
        let (here, there) = (Engine::new(a.clone()), Engine::new(b.clone()));
        a.fanout.queue(&b.node);
        add(&here, 0..2);
        carry(&a, &b);
        evict(&there, KEY);
        let here = here.at(Consistency::Quorum.into());
        let remove = |member: &[u8]| {
            let removed = here.write(KEY, |key| key.members().map(|mut set| set.remove(member)));
            assert_eq!(removed, Ok(Ok(true)));
        };
        remove(b"member-000000000");
        carry(&a, &b);
        assert!(here.held_by().is_empty(), "a removal by itself says nothing of the rest");
    }

    #[test]
    fn what_changes_nothing_is_sent_where_others_lack_it() {
        let (a, b) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000));
        add(&Engine::new(a.clone()), 0..2);
        a.fanout.queue(&b.node);
        let here = Engine::new(a.clone()).at(Consistency::Quorum.into());
        let keep = || assert_eq!(here.expire_at(KEY, None), Ok(false), "it has no end");
        keep();
        assert!(!here.is_unconfirmed(), "as far as is known all have it");
        here.doubt(KEY);
        keep();
        assert!(here.is_unconfirmed());
        carry(&a, &b);
        assert_eq!(members(&Engine::new(b.clone())), Some(2));
        assert_eq!(here.held_by().into_iter().collect::<Vec<_>>(), [b.incarnation]);
    }

    #[test]
    fn adding_many_members_at_once_sends_those_alone() {
        let (a, b) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000));
        a.fanout.queue(&b.node);
        let here = Engine::new(a.clone());
        add(&here, 0..MEMBERS);
        carry(&a, &b);
        add(&here, MEMBERS..MEMBERS + 1_000);
        let (delta, _) = carry(&a, &b);
        assert!(delta < 50_000, "{delta} bytes for a thousand members");
        assert_eq!(members(&Engine::new(b)), Some(MEMBERS as usize + 1_000));
    }

    #[test]
    fn adding_a_member_to_a_large_set_sends_that_member_alone() {
        let (a, b) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000));
        a.fanout.queue(&b.node);
        let (here, there) = (Engine::new(a.clone()), Engine::new(b.clone()));
        add(&here, 0..MEMBERS);
        let (whole, frames) = carry(&a, &b);
        assert_eq!(frames, whole.div_ceil(256 * 1024), "none is longer than it should be");
        assert!(whole > 1_000_000, "{whole}");
        add(&there, MEMBERS..MEMBERS + 10);
        add(&here, MEMBERS + 10..MEMBERS + 11);
        let (delta, _) = carry(&a, &b);
        println!("{MEMBERS} members: {whole} bytes, one more: {delta} bytes");
        assert!(delta < DELTA_BYTES_MAX, "{delta} bytes for one member");
        assert_eq!(members(&here), Some(MEMBERS as usize + 1));
        assert_eq!(members(&there), Some(MEMBERS as usize + 11));
    }

    #[test]
    fn what_is_too_long_to_travel_is_counted_and_keeps_nothing_else() {
        let (a, b) = (engine_with(1, 1_000_000, 100), engine_at(2, 1_000_000));
        let (here, queue) = (Engine::new(a.clone()), a.fanout.queue(&b.node));
        for (key, bytes) in [("small", 10), ("large", 5_000), ("another", 10)] {
            here.set(key.as_bytes(), vec![b'v'; bytes].into(), SetOptions::default()).expect("serves");
        }
        let batch = next_batch(&a, &queue, 0).expect("three keys wait");
        assert_eq!(batch.entries.len(), 3);
        let mut cut = cut(&a, batch, 1_000).expect("the rest encodes");
        assert_eq!(a.counters.replication_too_large.get(), 1);
        let mut joiner = Joiner::default();
        let arrived = loop {
            match cut.next(|| a.clock.send_time()).expect("it has an end") {
                Piece::Part(body) => joiner.part(body).expect("there is room"),
                Piece::Last(body) => break joiner.last(body).expect("own bytes"),
            }
        };
        let keys: Vec<_> = arrived.entries.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["small", "another"]);
    }
}
