//! Reading with other owners: what a majority, or all, hold of some keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rumour_crdt::Entry;
use rumour_transport::{NodeId, Peer, Transport};
use tokio::time::{Instant, timeout_at};

use super::Runtime;
use super::recall::Given;
use crate::consistency::{Consistency, Tally};
use crate::council::Seat;
use crate::message::{KeyAsked, Wanted};

/// Owners that answered without counting, because they are still catching up, are asked again after so long, and then after twice as
/// long each time.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ASK_AGAIN_MAX: Duration = Duration::from_millis(400);
/// What takes more memory is left to sync where a read finds an owner behind: most often replication is bringing it what it lacks.
const REPAIR_BYTES_LIMIT: usize = 64 * 1024;

/// What a peer answered: who it is, where it stood, and which version it had of each key.
struct Answer {
    node: NodeId,
    incarnation: u64,
    given: Given,
}

impl Runtime {
    /// Brings in what so many owners hold of these keys. Those that turn out to lack something are sent it. Gives the keys of which there
    /// was something to send.
    pub(super) async fn consult(
        &self,
        keys: Vec<Bytes>,
        level: Consistency,
    ) -> Result<BTreeSet<Bytes>, Tally> {
        let deadline = Instant::now() + self.tuning.consistency_patience;
        let (mut best, mut pause) = (Tally::default(), ASK_AGAIN);
        loop {
            let (tally, differing) = self.ask_owners(&keys, level, deadline, pause).await;
            if tally.is_reached() {
                return Ok(differing);
            }
            if tally.answered >= best.answered {
                best = tally;
            }
            // Who catches up, or is heard of, may count the next time.
            let changed = self.engine.seats_changed.notified();
            let _ = timeout_at((Instant::now() + pause).min(deadline), changed).await;
            if Instant::now() >= deadline {
                return Err(best);
            }
            pause = (2 * pause).min(ASK_AGAIN_MAX);
        }
    }

    /// Asks all owners once. Who has not answered when enough others have is waited for no longer than `pause`: some of those may count
    /// when they are asked again.
    async fn ask_owners(
        &self,
        keys: &[Bytes],
        level: Consistency,
        deadline: Instant,
        pause: Duration,
    ) -> (Tally, BTreeSet<Bytes>) {
        let store = &self.engine.store;
        let mut answers: Vec<Answer> = Vec::new();
        let mut tally = self.tally(keys, level, &answers);
        if tally.is_reached() {
            return (tally, BTreeSet::new());
        }
        let asked: VecDeque<KeyAsked> = keys
            .iter()
            .map(|key| KeyAsked {
                key: key.clone(),
                held: store.version(key).filter(|_| !store.is_evicted(key)),
            })
            .collect();
        let mut peers = self.transport().map(Transport::peers).unwrap_or_default();
        peers.retain(|peer| self.is_owner(peer));
        let mut asking: FuturesUnordered<_> =
            peers.iter().map(|peer| self.ask_owner(peer, asked.clone(), deadline)).collect();
        let mut until = deadline;
        while let Ok(Some(answer)) = timeout_at(until, asking.next()).await {
            let Some(answer) = answer else { continue };
            answers.push(answer);
            tally = self.tally(keys, level, &answers);
            if tally.is_reached() {
                break;
            }
            // This node answers itself.
            if answers.len() + 1 >= tally.needed {
                until = until.min(Instant::now() + pause);
            }
        }
        (tally, self.repair(keys, &answers))
    }

    /// How far the read has come. Where something was evicted an owner does not count, unless all have answered: more is not to be had then.
    fn tally(&self, keys: &[Bytes], level: Consistency, answers: &[Answer]) -> Tally {
        let lacks = keys.iter().any(|key| self.engine.store.may_be_evicted(key));
        let seats = |of: &mut dyn Iterator<Item = &Answer>| -> BTreeMap<u64, Seat> {
            of.map(|answer| (answer.incarnation, answer.given.seat)).collect()
        };
        let (all, whole) =
            (seats(&mut answers.iter()), seats(&mut answers.iter().filter(|answer| answer.given.whole)));
        let council = self.engine.council.lock();
        let everyone = council.tally_told(Consistency::All, &all, true);
        if everyone.is_reached() { everyone } else { council.tally_told(level, &whole, !lacks) }
    }

    async fn ask_owner(&self, peer: &Peer, asked: VecDeque<KeyAsked>, deadline: Instant) -> Option<Answer> {
        let (node, incarnation) = (peer.node().clone(), peer.info().incarnation);
        match self.ask_peer(peer, asked, Wanted::Latest, deadline).await {
            Ok(given) => Some(Answer { node, incarnation, given }),
            Err(error) => {
                tracing::debug!(peer = %node, error, "an owner did not answer");
                None
            }
        }
    }

    fn is_owner(&self, peer: &Peer) -> bool {
        let council = self.engine.council.lock();
        let named = council.configuration().is_some_and(|known| known.names(peer.info().incarnation));
        named && council.is_met(peer.node())
    }

    /// Queues what is known now for owners that answered with something else. Gives the keys of which any did.
    fn repair(&self, keys: &[Bytes], answers: &[Answer]) -> BTreeSet<Bytes> {
        let mut differing = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let merged = self.engine.store.version(key);
            let mut behind =
                answers.iter().filter(|answer| answer.given.versions.get(index) != Some(&merged)).peekable();
            if behind.peek().is_none() {
                continue;
            }
            differing.insert(key.clone());
            let now_ms = self.engine.clock.due_ms();
            let bytes = |entry: &Entry| entry.payload_bytes();
            if self.engine.store.peek(key, now_ms, bytes).is_none_or(|bytes| bytes > REPAIR_BYTES_LIMIT) {
                continue;
            }
            for answer in behind {
                self.engine.counters.read_repairs.add(1);
                self.engine.fanout.hand_over(&answer.node, key);
            }
        }
        differing
    }
}
