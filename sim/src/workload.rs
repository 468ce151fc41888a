//! Clients: they read and write at any node, write each value once, and compare what they are shown with what
//! the node must hold.

mod collections;
mod quorum;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rumour::{Condition, Engine, Kept, Purpose, SetExpiry, SetOptions, WriteError};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::check::Shown;
use crate::cluster::Cluster;
pub use collections::CollectionSettings;
pub use quorum::{QuorumClients, QuorumTally};

/// Longest value that clients write, in bytes; most are far shorter.
const VALUE_BYTES_MAX: usize = 30_000;
/// Keys that a client asks for at a time when it walks them all.
const SCAN_COUNT: usize = 16;

/// What clients do. Drawn from the seed by [`draw`](Self::draw).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WorkloadSettings {
    /// Clients, each doing one thing after the other.
    pub clients: usize,
    /// Keys that they share.
    pub keys: usize,
    /// The longest that a client rests between two operations.
    pub pause_ms_max: u64,
    /// The longest that a value lives that is written with an expiry.
    pub ttl_ms_max: u64,
    /// Flushes in a thousand operations.
    pub flush_permille: u32,
    /// Counters and collections.
    pub collections: CollectionSettings,
}

impl WorkloadSettings {
    /// Draws a workload that keeps a few keys busy.
    pub fn draw(rng: &mut SmallRng) -> Self {
        Self {
            clients: rng.random_range(2..=8),
            keys: rng.random_range(10..=200),
            pause_ms_max: rng.random_range(20..=300),
            ttl_ms_max: rng.random_range(500..=15_000),
            flush_permille: if rng.random_bool(0.3) { rng.random_range(1..=3) } else { 0 },
            collections: CollectionSettings::draw(rng),
        }
    }
}

/// What clients got done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Operations that changed something and were acknowledged.
    pub acked_writes: u64,
    /// Those of them that were done while the nodes were cut apart, by the side of the node.
    pub acked_writes_by_side: [u64; 2],
    /// Those of them that contributed to counters and collections.
    pub contributions: u64,
    /// Operations refused by nodes that do not serve, whose clock is wrong, or that cannot fetch what they evicted.
    pub refused: u64,
    /// Those of them that were refused because of the clock.
    pub refused_for_clock: u64,
    /// Reads.
    pub reads: u64,
}

/// Clients at work.
pub struct Workload {
    clients: Vec<JoinHandle<()>>,
    tally: Arc<Mutex<Tally>>,
}

impl Workload {
    /// Sets clients to work at whatever nodes run.
    pub fn start(cluster: &Cluster, settings: WorkloadSettings) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let client = |number: usize| {
            let rng = cluster.world().rng(&format!("client {number}"));
            let client =
                Client { number, rng, settings, written: 0, cluster: cluster.clone(), tally: tally.clone() };
            tokio::spawn(client.work())
        };
        Self { clients: (0..settings.clients).map(client).collect(), tally }
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        *self.tally.lock()
    }

    /// Stops all clients. No operation is cut short: they wait only before one.
    pub async fn stop(self) -> Tally {
        for client in &self.clients {
            client.abort();
        }
        for client in self.clients {
            // Being aborted is how a client ends; a panic in one ends the whole run.
            let _ = client.await;
        }
        *self.tally.lock()
    }
}

/// Writes that many keys at a node in one go, so that it has much to hand on.
pub fn burst(cluster: &Cluster, node: usize, writes: usize) {
    let Some(engine) = cluster.engine(node) else { return };
    for write in 0..writes {
        let (key, value) =
            (key_name(write), Bytes::from(format!("burst of {} write {write}", engine.node())));
        cluster.ledger().lock().issue(key.as_bytes(), &value);
        // A node that takes no writes now has nothing to hand on.
        let _ = engine.set(key.as_bytes(), value, SetOptions::default());
    }
}

/// Every third key has a tag, so that one slot holds many.
fn key_name(key: usize) -> String {
    if key.is_multiple_of(3) { format!("{{tag}}-{key}") } else { format!("key-{key}") }
}

struct Client {
    number: usize,
    rng: SmallRng,
    settings: WorkloadSettings,
    written: u64,
    cluster: Cluster,
    tally: Arc<Mutex<Tally>>,
}

/// What a client can do, with how often it does so.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Set,
    SetExpiring,
    SetConditionally,
    Delete,
    Expire,
    Persist,
    Get,
    Scan,
    Flush,
}

impl Operation {
    const ALL: [(Self, u32); 9] = [
        (Self::Set, 350),
        (Self::SetExpiring, 120),
        (Self::SetConditionally, 60),
        (Self::Delete, 110),
        (Self::Expire, 70),
        (Self::Persist, 30),
        (Self::Get, 250),
        (Self::Scan, 10),
        (Self::Flush, 0),
    ];

    fn draw(rng: &mut SmallRng, flush_permille: u32) -> Self {
        let weight = |(operation, weight): &(Self, u32)| match operation {
            Self::Flush => flush_permille,
            _ => *weight,
        };
        // The weights are constants above zero, so there is always a choice.
        WeightedIndex::new(Self::ALL.iter().map(weight))
            .map_or(Self::Get, |index| Self::ALL[index.sample(rng)].0)
    }
}

impl Client {
    async fn work(mut self) {
        loop {
            sleep(Duration::from_millis(self.rng.random_range(1..=self.settings.pause_ms_max))).await;
            let Some(&node) = self.cluster.running().choose(&mut self.rng) else { continue };
            if let Some(engine) = self.cluster.engine(node)
                && engine.is_serving()
            {
                if self.rng.random_ratio(self.settings.collections.permille.min(1000), 1000) {
                    self.contribute(node, &engine).await;
                } else {
                    self.operate(node, &engine).await;
                }
            }
        }
    }

    /// Has the node fetch what it evicted, as doors do. The node to go on with, if it still runs, and what keeps the key there.
    async fn recall(&self, node: usize, engine: &Engine, key: &[u8]) -> Option<(Engine, Option<Kept>)> {
        let kept = match engine.lacks(key, Purpose::Write) {
            true => Some(engine.recall([key], Purpose::Write).await),
            false => None,
        };
        self.cluster.engine(node).map(|engine| (engine, kept))
    }

    async fn operate(&mut self, node: usize, engine: &Engine) {
        let operation = Operation::draw(&mut self.rng, self.settings.flush_permille);
        let key = key_name(self.rng.random_range(0..self.settings.keys));
        let key = key.as_bytes();
        let Some((engine, _kept)) = &self.recall(node, engine, key).await else { return };
        let changed = match operation {
            Operation::Set => self.set(engine, key, SetExpiry::Clear, Condition::Always),
            Operation::SetExpiring => {
                let at_ms = self.expiry_ms(engine);
                self.set(engine, key, SetExpiry::At(at_ms), Condition::Always)
            }
            Operation::SetConditionally => {
                let condition = if self.rng.random() { Condition::IfAbsent } else { Condition::IfPresent };
                self.set(engine, key, SetExpiry::Keep, condition)
            }
            Operation::Delete => engine.delete(key),
            Operation::Expire => {
                let at_ms = self.expiry_ms(engine);
                engine.expire_at(key, Some(at_ms))
            }
            Operation::Persist => engine.expire_at(key, None),
            Operation::Flush => engine.flush().map(|()| true),
            Operation::Get => Ok(false),
            Operation::Scan => {
                self.scan(node, engine);
                Ok(false)
            }
        };
        self.read(node, engine, key);
        self.count(node, &changed);
    }

    /// Uses a counter or a collection.
    async fn contribute(&mut self, node: usize, engine: &Engine) {
        self.written += 1;
        let unique = (self.number * 1_000_000) as i64 + self.written as i64;
        let operation = self.settings.collections.operation(&mut self.rng, unique);
        let Some((engine, _kept)) = &self.recall(node, engine, &operation.key).await else { return };
        let expires_at_ms = self.expiry_ms(engine);
        let changed = operation.perform(engine, expires_at_ms);
        if let Some(watch) = self.cluster.watch(node) {
            watch.shown_collection(&operation.key, &shown(engine, &operation.key));
        }
        self.tally.lock().contributions += u64::from(changed == Ok(true));
        self.count(node, &changed);
    }

    /// Writes a value that nobody has written before.
    fn set(
        &mut self,
        engine: &Engine,
        key: &[u8],
        expiry: SetExpiry,
        condition: Condition,
    ) -> Result<bool, WriteError> {
        self.written += 1;
        let mut value = format!("client {} write {} ", self.number, self.written).into_bytes();
        let long = self.rng.random_bool(0.01);
        let bytes = self.rng.random_range(0..if long { VALUE_BYTES_MAX } else { 200 });
        value.resize(value.len() + bytes, b'.');
        let value = Bytes::from(value);
        self.cluster.ledger().lock().issue(key, &value);
        engine.set(key, value, SetOptions { expiry, condition }).map(|outcome| outcome.written)
    }

    fn expiry_ms(&mut self, engine: &Engine) -> u64 {
        engine.now_ms() + self.rng.random_range(1..=self.settings.ttl_ms_max)
    }

    /// Reads what was just written, or whatever is there.
    fn read(&self, node: usize, engine: &Engine, key: &[u8]) {
        if let Some(watch) = self.cluster.watch(node) {
            watch.shown(key, engine.get(key).as_ref());
        }
    }

    /// Walks all keys in one go: each visible key must come up, and no other.
    fn scan(&self, node: usize, engine: &Engine) {
        let mut keys = std::collections::BTreeSet::new();
        let mut cursor = 0;
        loop {
            let (next, found) = engine.scan(cursor, SCAN_COUNT);
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        if let Some(watch) = self.cluster.watch(node) {
            watch.walked(&keys);
        }
    }

    fn count(&self, node: usize, changed: &Result<bool, WriteError>) {
        let mut tally = self.tally.lock();
        tally.reads += 1;
        match changed {
            Ok(true) => {
                tally.acked_writes += 1;
                if let Some(side) = self.cluster.side(node) {
                    tally.acked_writes_by_side[side] += 1;
                }
            }
            Ok(false) => {}
            Err(error) => {
                tally.refused += 1;
                let clock = matches!(error, WriteError::ClockFault { .. } | WriteError::StampsAhead { .. });
                tally.refused_for_clock += u64::from(clock);
            }
        }
    }
}

/// What a counter or a collection shows to a client.
fn shown(engine: &Engine, key: &[u8]) -> Shown {
    engine.read(key, |view| {
        let Some(view) = view else { return Shown::new() };
        let now_ms = view.now_ms();
        let name = |name: &rumour::FieldName| Bytes::copy_from_slice(name);
        let fields = view.map().or_else(|| view.values()).into_iter().flat_map(|fields| fields.iter(now_ms));
        let members = view.members().into_iter().flat_map(|members| members.iter(now_ms));
        let sorted = view.sorted().into_iter().flat_map(|sorted| sorted.iter(now_ms));
        (view.text().into_iter().map(|text| (Bytes::new(), text)))
            .chain(fields.map(|(field, value)| (name(field), value.text())))
            .chain(members.map(|(member, _)| (name(member), Bytes::new())))
            .chain(sorted.map(|(member, score)| (name(member), score.score().to_string().into())))
            .collect()
    })
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").field("tally", &self.tally()).finish_non_exhaustive()
    }
}
