//! The two ends of a replication channel: batches one way, acknowledgements back.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rumour_crdt::{Dot, Entry};
use rumour_transport::{FrameReceiver, FrameSender, Peer, codec};
use tokio::time::{Instant, sleep_until, timeout};

use super::change::Change;
use super::fanout::PeerQueue;
use crate::engine::EngineState;
use crate::message::{Ack, Batch, kind};
use crate::store::Applied;

/// Batches under way and not acknowledged at most. While all are out, changes gather in the outbox.
const BATCHES_IN_FLIGHT: usize = 8;
const BATCH_KEYS_LIMIT: usize = 512;
/// A batch is closed once it holds this much; one entry may exceed it.
const BATCH_BYTES_LIMIT: usize = 256 * 1024;
/// A peer that does not acknowledge for so long is taken for gone; its connection is closed.
const ACK_TIMEOUT: Duration = Duration::from_secs(15);
/// A write that a peer refused is offered to it again after so long, or later if its stamp says so.
const OFFER_AGAIN_AFTER: Duration = Duration::from_secs(2);

const STALLED: &str = "the peer stopped acknowledging";

/// Sends a peer's outbox until the connection breaks. There is no timer: a change on an idle link leaves at once.
pub(crate) async fn send(engine: &EngineState, peer: &Peer) -> Result<(), String> {
    let queue = engine.fanout.queue(&peer.info().node);
    let (tx, rx) = peer.open_channel().await.map_err(|error| error.to_string())?;
    let link = queue.outbox.lock().connected();
    let ended = Pump { engine, queue: &queue, link, tx, rx, sent: VecDeque::new() }.run().await;
    queue.outbox.lock().disconnected(link);
    // A newer link may have found nothing to send while this one held it.
    queue.wake.notify_one();
    ended
}

/// One link at work.
struct Pump<'a> {
    engine: &'a EngineState,
    queue: &'a PeerQueue,
    link: u64,
    tx: FrameSender,
    rx: FrameReceiver,
    /// When each batch left that is not acknowledged.
    sent: VecDeque<Instant>,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), String> {
        loop {
            while let Some(batch) = next_batch(self.engine, self.queue, self.link) {
                let body = codec::encode(&batch).map_err(|error| error.to_string())?;
                self.sent.push_back(Instant::now());
                let sending = timeout(ACK_TIMEOUT, self.tx.send(kind::BATCH, body));
                sending.await.map_err(|_| STALLED.to_owned())?.map_err(|error| error.to_string())?;
            }
            let overdue = self.sent.front().map(|sent| *sent + ACK_TIMEOUT);
            tokio::select! {
                biased;
                received = self.rx.recv() => match received.map_err(|error| error.to_string())? {
                    Some(frame) => {
                        acknowledge(self.engine, self.queue, self.link, frame.kind, &frame.body)?;
                        self.sent.pop_front();
                    }
                    None => return Err(STALLED.to_owned()),
                },
                () = self.queue.wake.notified() => {}
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    return Err(STALLED.to_owned());
                }
            }
        }
    }
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
        if let Some(entry) = to_send(engine, key, change, now_ms) {
            bytes += key.len() + entry.payload_bytes() + 64;
            entries.push((key.clone(), entry));
        }
        bytes < BATCH_BYTES_LIMIT
    })?;
    drop(outbox);
    Some(Batch { number, clock, flushed: engine.store.flushed(), entries })
}

/// What is sent of a key: `None` if a flush removed it meanwhile, as the watermark in the batch's head covers it.
fn to_send(engine: &EngineState, key: &Bytes, change: &Change, now_ms: u64) -> Option<Entry> {
    match change {
        Change::Whole => engine.store.peek(key, now_ms, Entry::clone),
        Change::Delta(delta) => {
            // Contributions to an epoch that has ended are void: what ended it is sent.
            let newer = |entry: &Entry| (entry.stamp() > delta.stamp()).then(|| entry.clone());
            let newer = engine.store.peek(key, now_ms, newer).flatten();
            Some(newer.unwrap_or_else(|| Entry::clone(delta)))
        }
    }
}

fn acknowledge(
    engine: &EngineState,
    queue: &PeerQueue,
    link: u64,
    kind: u8,
    body: &[u8],
) -> Result<(), String> {
    if kind != kind::ACK {
        return Err(format!("a frame of kind {kind} where an acknowledgement was due"));
    }
    let ack: Ack = codec::decode(body).map_err(|error| error.to_string())?;
    engine.follow(ack.clock, rumour_crdt::Stamp::ZERO);
    let keys = queue.outbox.lock().acknowledge(link, ack.number).ok_or("an acknowledgement out of order")?;
    let refused = ack.refused.len().min(keys.len());
    engine.counters.replication_sent.add((keys.len() - refused) as u64);
    if refused > 0 {
        engine.counters.replication_refused.add(refused as u64);
        tracing::warn!(refused, first = ?ack.refused.first(), "a peer refused writes whose stamps lie in its future: check both clocks");
        keep_refused(engine, queue, keys, &ack.refused);
    }
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
            Change::Delta(delta) => Some(delta.newest()),
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

/// Applies a peer's batches until it closes the channel.
pub(crate) async fn receive(
    engine: &EngineState,
    mut tx: FrameSender,
    mut rx: FrameReceiver,
) -> Result<(), String> {
    while let Some(frame) = rx.recv().await.map_err(|error| error.to_string())? {
        if frame.kind != kind::BATCH {
            engine.counters.refused_messages.add(1);
            return Err(format!("a frame of kind {} where a batch was due", frame.kind));
        }
        let batch: Batch = codec::decode(&frame.body).map_err(|error| {
            engine.counters.refused_messages.add(1);
            error.to_string()
        })?;
        check_age(engine, &batch)?;
        let ack = apply(engine, batch);
        let body = codec::encode(&ack).map_err(|error| error.to_string())?;
        tx.send(kind::ACK, body).await.map_err(|error| error.to_string())?;
    }
    Ok(())
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
    let mut refused = Vec::new();
    for (key, entry) in batch.entries {
        let dot = entry.newest().dot();
        match engine.apply(&key, entry) {
            Some(Applied::Merged(_) | Applied::Flushed) => engine.counters.replication_applied.add(1),
            Some(Applied::Collected) => {}
            None => refused.push(dot),
        }
    }
    Ack { number: batch.number, clock: engine.clock.send_time(), refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::testing::engine_at;

    /// A set as one peer has it and another one contributes to it.
    const MEMBERS: u32 = 100_000;
    const DELTA_BYTES_MAX: usize = 300;

    fn add(engine: &Engine, members: std::ops::Range<u32>) {
        let added = engine.write(b"a set with a key of some length", |key| {
            let mut set = key.members().expect("it is a set or nothing");
            for member in members {
                set.put(format!("member-{member:09}").as_bytes(), (), None);
            }
        });
        added.expect("the node serves");
    }

    /// The frames that bring a peer what waits for it, and their bytes.
    fn send(from: &EngineState, to: &EngineState) -> usize {
        let queue = from.fanout.queue(&"peer".parse().expect("a name"));
        let mut sent = 0;
        while let Some(batch) = next_batch(from, &queue, 0) {
            let body = codec::encode(&batch).expect("it fits");
            sent += body.len();
            let ack = apply(to, codec::decode(&body).expect("own bytes"));
            let ack = codec::encode(&ack).expect("it fits");
            acknowledge(from, &queue, 0, kind::ACK, &ack).expect("in order");
        }
        sent
    }

    #[test]
    fn entries_that_were_sent_too_long_ago_are_refused_and_announcements_never() {
        let engine = engine_at(1, 1_000_000);
        let batch = |clock, entries| Batch { number: 1, clock, flushed: rumour_crdt::Stamp::ZERO, entries };
        let clock = rumour_crdt::Hlc::default();
        assert_eq!(check_age(&engine, &batch(clock, Vec::new())), Ok(()), "its sender heard no clock yet");
        let writer = engine_at(2, 1_000_000);
        let stamp = writer.clock.mint(None);
        let entries = vec![(Bytes::from_static(b"k"), Entry::value(Bytes::new(), None, stamp, None))];
        assert!(check_age(&engine, &batch(clock, entries.clone())).is_err());
        assert_eq!(check_age(&engine, &batch(stamp.time, entries)), Ok(()));
    }

    #[test]
    fn adding_a_member_to_a_large_set_sends_that_member_alone() {
        let (a, b) = (engine_at(1, 1_000_000), engine_at(2, 1_000_000));
        a.fanout.queue(&"peer".parse().expect("a name"));
        let (here, there) = (Engine::new(a.clone()), Engine::new(b.clone()));
        add(&here, 0..MEMBERS);
        let whole = send(&a, &b);
        assert!(whole > 1_000_000, "{whole}");
        add(&there, MEMBERS..MEMBERS + 10);
        add(&here, MEMBERS + 10..MEMBERS + 11);
        let delta = send(&a, &b);
        println!("{MEMBERS} members: {whole} bytes, one more: {delta} bytes");
        assert!(delta < DELTA_BYTES_MAX, "{delta} bytes for one member");
        let members = |engine: &Engine| {
            engine.read(b"a set with a key of some length", |view| {
                view?.members().map(rumour_crdt::Fields::len)
            })
        };
        assert_eq!(members(&here), Some(MEMBERS as usize + 1));
        assert_eq!(members(&there), Some(MEMBERS as usize + 11));
    }
}
