//! Asking peers for what was evicted here, and answering those who ask.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use rand::seq::SliceRandom;
use rumour_crdt::Stamp;
use rumour_transport::{NodeId, Peer, PeerInfo, Transport, codec};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Runtime;
use crate::consistency::{Consistency, Tally};
use crate::council::Seat;
use crate::engine::{EngineState, Recalled, Recaller};
use crate::message::{KeyAsked, RecallReply, RecallRequest, Wanted, kind};
use crate::replication::Ticket;
use crate::store::{Brought, Found};

/// Keys asked for in one request at most.
const KEYS_LIMIT: usize = 1024;
/// A request is closed once its keys take this many bytes.
const REQUEST_BYTES_LIMIT: usize = 1024 * 1024;
/// A reply is closed once its entries hold this much. An entry that is larger comes by replication.
const REPLY_BYTES_LIMIT: usize = 1024 * 1024;
/// How long a peer may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a recall may take, over all peers.
const RECALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one looks for what a peer has announced to come by replication.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Keys that are being asked for: whoever wants one of them as well waits for the same answer.
pub(super) type Recalls = BTreeMap<Bytes, watch::Receiver<Option<Recalled>>>;

/// The engine's way to the peers. Holds the node weakly: the node owns the engine.
pub(super) struct Recall(pub(super) Weak<Runtime>);

impl Recaller for Recall {
    fn recall(&self, keys: Vec<Bytes>) -> Pin<Box<dyn Future<Output = Recalled> + Send>> {
        let runtime = self.0.upgrade();
        Box::pin(async move {
            match runtime {
                Some(runtime) => runtime.recall(keys).await,
                None => Recalled { unsure: keys.into_iter().collect(), absent: BTreeSet::new() },
            }
        })
    }

    fn consult(
        &self,
        keys: Vec<Bytes>,
        level: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<BTreeSet<Bytes>, Tally>> + Send>> {
        let runtime = self.0.upgrade();
        Box::pin(async move {
            match runtime {
                Some(runtime) => runtime.consult(keys, level).await,
                None => Err(Tally::default()),
            }
        })
    }
}

/// Keys that this recall asks for, and those that others ask for already. Dropped midway, it leaves nothing behind.
struct Asking<'a> {
    runtime: &'a Runtime,
    keys: BTreeSet<Bytes>,
    answer: watch::Sender<Option<Recalled>>,
    others: Vec<(Bytes, watch::Receiver<Option<Recalled>>)>,
}

impl<'a> Asking<'a> {
    fn begin(runtime: &'a Runtime, keys: Vec<Bytes>) -> Self {
        let (answer, answered) = watch::channel(None);
        let mut asking = Self { runtime, keys: BTreeSet::new(), answer, others: Vec::new() };
        let mut recalls = runtime.recalls.lock();
        for key in keys {
            match recalls.get(&key) {
                Some(other) => asking.others.push((key, other.clone())),
                None => {
                    recalls.insert(key.clone(), answered.clone());
                    asking.keys.insert(key);
                }
            }
        }
        asking
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut recalls = self.runtime.recalls.lock();
        self.keys.iter().for_each(|key| {
            recalls.remove(key);
        });
    }
}

/// What a peer said of the keys that it was asked for.
pub(super) struct Given {
    /// Where it stood when it had given the last.
    pub(super) seat: Seat,
    /// Nothing of them may have been evicted there.
    pub(super) whole: bool,
    /// Which version it had of each.
    pub(super) versions: Vec<Option<u64>>,
}

impl Runtime {
    /// Asks one peer after the other until none of the keys is lacking.
    async fn recall(&self, keys: Vec<Bytes>) -> Recalled {
        let deadline = Instant::now() + RECALL_TIMEOUT;
        let mut asking = Asking::begin(self, keys);
        let mut recalled = self.ask(&asking.keys, deadline).await;
        // Nobody may wait for it.
        let _ = asking.answer.send(Some(recalled.clone()));
        let others = std::mem::take(&mut asking.others);
        // Others need not wait for what this one waits for.
        drop(asking);
        for (key, mut answered) in others {
            // Where the other one was dropped midway there is no answer.
            let answer = match timeout_at(deadline, answered.wait_for(Option::is_some)).await {
                Ok(Ok(answer)) => answer.clone(),
                Ok(Err(_)) | Err(_) => None,
            };
            let unanswered = || Recalled { unsure: BTreeSet::from([key.clone()]), absent: BTreeSet::new() };
            let answer = answer.unwrap_or_else(unanswered);
            if answer.unsure.contains(&key) {
                recalled.unsure.insert(key);
            } else if answer.absent.contains(&key) {
                recalled.absent.insert(key);
            }
        }
        recalled
    }

    async fn ask(&self, keys: &BTreeSet<Bytes>, deadline: Instant) -> Recalled {
        let mut peers = self.transport().map(Transport::peers).unwrap_or_default();
        peers.retain(|peer| self.is_met(peer.node()));
        peers.shuffle(&mut *self.rng.lock());
        let mut lacking = keys.clone();
        let mut silent: BTreeSet<NodeId> = self.view.lock().peers().map(|member| member.node).collect();
        for peer in peers {
            if lacking.is_empty() || Instant::now() >= deadline {
                break;
            }
            let asked = lacking.iter().map(|key| KeyAsked { key: key.clone(), held: None });
            match self.ask_peer(&peer, asked.collect(), Wanted::Evicted, deadline).await {
                Ok(_) => {
                    silent.remove(peer.node());
                }
                Err(error) => tracing::debug!(peer = %peer.node(), error, "recalling evicted keys failed"),
            }
            lacking.retain(|key| self.engine.store.may_be_evicted(key));
        }
        match silent.is_empty() {
            true => Recalled { unsure: BTreeSet::new(), absent: lacking },
            false => Recalled { unsure: lacking, absent: BTreeSet::new() },
        }
    }

    /// Has a peer give what it holds of these keys, beyond what this node holds, and merges it.
    pub(super) async fn ask_peer(
        &self,
        peer: &Peer,
        mut asked: VecDeque<KeyAsked>,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Given, String> {
        let (mut seat, mut whole, mut versions) = (None, true, Vec::with_capacity(asked.len()));
        while !asked.is_empty() {
            if wanted == Wanted::Evicted && !self.engine.store.has_room() {
                return Err("what came back already fills the memory".to_owned());
            }
            let mut bytes = 0;
            let fits = |asked: &&KeyAsked| {
                let fits = bytes < REQUEST_BYTES_LIMIT;
                bytes += asked.key.len();
                fits
            };
            let keys: Vec<KeyAsked> = asked.iter().take(KEYS_LIMIT).take_while(fits).cloned().collect();
            let request = RecallRequest { clock: self.engine.clock.send_time(), keys: keys.clone(), wanted };
            let body = codec::encode(&request).map_err(|error| error.to_string())?;
            let limit = ANSWER_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
            let body = peer.request(kind::RECALL, body, limit).await.map_err(|error| error.to_string())?;
            let reply: RecallReply = codec::decode(&body).map_err(|error| error.to_string())?;
            let answered = reply.versions.len();
            if answered == 0 || answered > keys.len() {
                return Err("answers something else than what was asked".to_owned());
            }
            if self.engine.is_stale(reply.clock) {
                return Err("answered too long ago".to_owned());
            }
            self.engine.follow(reply.clock, Stamp::ZERO);
            for (key, entry) in reply.entries {
                if self.engine.apply(&key, entry, Brought::AsHeld).is_none() {
                    return Err("gave what lies in the future".to_owned());
                }
            }
            while reply.coming.iter().any(|key| self.engine.store.may_be_evicted(key)) {
                if Instant::now() >= deadline {
                    return Err("what was to come by replication did not come in time".to_owned());
                }
                sleep(LOOK_AGAIN).await;
            }
            asked.drain(..answered);
            // All that it gave it gave as one who had caught up with that, and who did not know of a later one.
            let first = *seat.get_or_insert(reply.seat);
            seat = Some(Seat { known: reply.seat.known, caught_up: first.caught_up });
            whole &= reply.whole;
            versions.extend(reply.versions);
        }
        Ok(Given { seat: seat.unwrap_or_default(), whole, versions })
    }
}

/// Answers a peer that asks for keys, once it holds what it wants.
pub(super) async fn answer(
    engine: &EngineState,
    peer: &PeerInfo,
    request: &RecallRequest,
) -> Result<RecallReply, &'static str> {
    let ticket = Arc::<Ticket>::default();
    let mut reply = give(engine, &peer.node, request, &ticket)?;
    if request.wanted == Wanted::Latest && ticket.has_changes() {
        let arrived = async {
            while !ticket.holders().contains_key(&peer.incarnation) {
                ticket.news().await;
            }
        };
        timeout(ANSWER_TIMEOUT, arrived)
            .await
            .map_err(|_| "what is too large for a reply did not arrive in time")?;
    }
    // Looked at last: what is taken in from now on is acknowledged by one who stands there at least.
    reply.seat.known = engine.council.lock().seat().known;
    Ok(reply)
}

/// What a peer is given of the keys that it asks for. `ticket` hears when it has what does not fit a reply, but has to be there by then.
fn give(
    engine: &EngineState,
    peer: &NodeId,
    request: &RecallRequest,
    ticket: &Arc<Ticket>,
) -> Result<RecallReply, &'static str> {
    let mut reply = RecallReply {
        clock: engine.clock.send_time(),
        entries: Vec::new(),
        coming: Vec::new(),
        versions: Vec::new(),
        whole: true,
        seat: engine.council.lock().seat(),
    };
    engine.follow(request.clock, Stamp::ZERO);
    let mut bytes = 0;
    let whole_bytes = engine.fanout.whole_entry_bytes().min(REPLY_BYTES_LIMIT);
    for KeyAsked { key, held: theirs } in request.keys.iter().take(KEYS_LIMIT) {
        if bytes >= REPLY_BYTES_LIMIT {
            break;
        }
        let version = engine.store.version(key);
        reply.versions.push(version);
        reply.whole &= !engine.store.may_be_evicted(key);
        if theirs.is_some() && *theirs == version {
            continue;
        }
        match engine.store.entries_at(engine.store.position(key), whole_bytes) {
            Found::Entries(held) => {
                for (key, entry) in held.into_iter().filter(|(held, _)| held == key) {
                    bytes += key.len() + entry.payload_bytes();
                    reply.entries.push((key, entry));
                }
            }
            // Should the queue be full, the peer waits in vain and asks another one.
            Found::TooLarge(held) if held.contains(key) => match request.wanted {
                Wanted::Latest if engine.fanout.hand_over_anew(peer, key, ticket) => {}
                // It will not come: the peer asks another one.
                Wanted::Latest => return Err("there is no room to send what is too large for a reply"),
                Wanted::Evicted => {
                    engine.fanout.hand_over(peer, key);
                    reply.coming.push(key.clone());
                }
            },
            Found::TooLarge(_) | Found::Evicted(_) => {}
        }
    }
    Ok(reply)
}
