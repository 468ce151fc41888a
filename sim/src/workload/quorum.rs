//! Clients that read and write with a quorum, and are never shown less than what was acknowledged before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rumour::{Cache, Consistency, WriteError};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;

/// Registers, sets and counters that all clients share: so many of each.
const KEYS: usize = 3;
/// The longest pause of a client between two operations.
const PAUSE_MS_MAX: u64 = 100;

/// What clients got done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuorumTally {
    /// Writes that a quorum acknowledged.
    pub acknowledged: u64,
    /// Writes of which it is not known whether they took effect.
    pub unconfirmed: u64,
    /// Reads that a quorum answered.
    pub reads: u64,
    /// Operations that found no quorum, and did nothing.
    pub refused: u64,
}

impl QuorumTally {
    /// Takes note of how a write ended; gives whether a quorum has it.
    pub(crate) fn ended<R>(&mut self, outcome: &Result<R, WriteError>) -> bool {
        let count = match outcome {
            Ok(_) => &mut self.acknowledged,
            Err(WriteError::Unconfirmed { .. }) => &mut self.unconfirmed,
            Err(_) => &mut self.refused,
        };
        *count += 1;
        outcome.is_ok()
    }
}

/// Clients at work at whatever nodes run.
pub struct QuorumClients {
    clients: Vec<JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    registers: BTreeMap<usize, Vec<Written>>,
    added: BTreeMap<usize, Vec<Written>>,
    /// Of each counter what was acknowledged, with when, and what was tried.
    counted: BTreeMap<usize, (Vec<Instant>, i64)>,
    writes: u64,
    tally: QuorumTally,
}

/// A write, which holds a value that no other has.
#[derive(Debug)]
struct Written {
    value: Bytes,
    began: Instant,
    acknowledged: Option<Instant>,
}

impl Written {
    fn was_acknowledged_before(&self, time: Instant) -> bool {
        self.acknowledged.is_some_and(|acknowledged| acknowledged < time)
    }
}

struct Client {
    cluster: Cluster,
    rng: SmallRng,
    state: Arc<Mutex<State>>,
}

impl QuorumClients {
    /// Sets so many to work.
    pub fn start(cluster: &Cluster, clients: usize) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let client = |number: usize| {
            let rng = cluster.world().rng(&format!("quorum client {number}"));
            tokio::spawn(Client { cluster: cluster.clone(), rng, state: state.clone() }.work())
        };
        Self { clients: (0..clients).map(client).collect(), state }
    }

    /// Stops all of them; what was under way may take effect or not.
    pub async fn stop(self) -> QuorumTally {
        for client in &self.clients {
            client.abort();
        }
        for client in self.clients {
            let _ = client.await;
        }
        self.state.lock().tally
    }
}

impl Client {
    async fn work(mut self) {
        loop {
            sleep(Duration::from_millis(self.rng.random_range(1..=PAUSE_MS_MAX))).await;
            let Some(&node) = self.cluster.running().choose(&mut self.rng) else { continue };
            let Some(cache) = self.cluster.cache(node) else { continue };
            let (cache, key) = (cache.with(Consistency::Quorum), self.rng.random_range(0..KEYS));
            match self.rng.random_range(0..6) {
                0 => self.set(&cache, key).await,
                1 => self.get(&cache, key).await,
                2 => self.add(&cache, key).await,
                3 => self.list(&cache, key).await,
                4 => self.count(&cache, key).await,
                _ => self.total(&cache, key).await,
            }
        }
    }

    fn value(&self) -> Bytes {
        let mut state = self.state.lock();
        state.writes += 1;
        Bytes::from(format!("quorum write {}", state.writes))
    }

    /// Takes note of how a write ended; gives when, if a quorum has it.
    fn ended<R>(&self, outcome: &Result<R, WriteError>) -> Option<Instant> {
        self.state.lock().tally.ended(outcome).then(Instant::now)
    }

    /// Takes note of how a read ended.
    fn read<R>(&self, outcome: Result<R, WriteError>) -> Option<R> {
        let tally = &mut self.state.lock().tally;
        match &outcome {
            Ok(_) => tally.reads += 1,
            Err(_) => tally.refused += 1,
        }
        outcome.ok()
    }

    fn missed(&self, what: &str, key: usize, cache: &Cache, detail: &str) {
        let node = cache.engine().node();
        let detail = format!("{what} {key} at {node}: {detail}");
        self.cluster.world().violation("a quorum reads what a quorum has acknowledged", detail);
    }

    async fn set(&self, cache: &Cache, key: usize) {
        let (name, value) = (format!("quorum-{key}"), self.value());
        self.cluster.ledger().lock().issue(name.as_bytes(), &value);
        let written = Written { value: value.clone(), began: Instant::now(), acknowledged: None };
        let at = {
            let mut state = self.state.lock();
            let writes = state.registers.entry(key).or_default();
            writes.push(written);
            writes.len() - 1
        };
        let acknowledged = self.ended(&cache.set(name, value).await);
        if let Some(written) = self.state.lock().registers.get_mut(&key).and_then(|writes| writes.get_mut(at))
        {
            written.acknowledged = acknowledged;
        }
    }

    async fn get(&self, cache: &Cache, key: usize) {
        let began = Instant::now();
        let Some(shown) = self.read(cache.get(format!("quorum-{key}")).await) else { return };
        let state = self.state.lock();
        let writes = state.registers.get(&key).map(Vec::as_slice).unwrap_or_default();
        let shown_write = writes.iter().find(|write| Some(&write.value) == shown.as_ref());
        // What was acknowledged before the read began and began after the shown one was acknowledged.
        let missed = writes.iter().find(|write| {
            write.was_acknowledged_before(began)
                && shown_write.is_none_or(|shown| shown.was_acknowledged_before(write.began))
        });
        let missed = missed.map(|missed| format!("shown {shown:?} and not {:?}", missed.value));
        drop(state);
        if let Some(missed) = missed {
            self.missed("register", key, cache, &missed);
        }
    }

    async fn add(&self, cache: &Cache, key: usize) {
        let value = self.value();
        let began = Instant::now();
        let acknowledged = self.ended(&cache.set_of(format!("+quorum-set-{key}")).insert(&value).await);
        self.state.lock().added.entry(key).or_default().push(Written { value, began, acknowledged });
    }

    async fn list(&self, cache: &Cache, key: usize) {
        let began = Instant::now();
        let Some(shown) = self.read(cache.set_of(format!("+quorum-set-{key}")).members().await) else {
            return;
        };
        let shown: BTreeSet<Bytes> = shown.into_iter().collect();
        let state = self.state.lock();
        let added = state.added.get(&key).map(Vec::as_slice).unwrap_or_default();
        let missed =
            added.iter().find(|add| add.was_acknowledged_before(began) && !shown.contains(&add.value));
        let missed = missed.map(|missed| format!("not shown {:?}", missed.value));
        drop(state);
        if let Some(missed) = missed {
            self.missed("set", key, cache, &missed);
        }
    }

    async fn count(&self, cache: &Cache, key: usize) {
        self.state.lock().counted.entry(key).or_default().1 += 1;
        let outcome = cache.counter(format!("+quorum-counter-{key}")).add(1).await;
        if let Some(acknowledged) = self.ended(&outcome) {
            self.state.lock().counted.entry(key).or_default().0.push(acknowledged);
        }
    }

    async fn total(&self, cache: &Cache, key: usize) {
        let began = Instant::now();
        let counter = format!("+quorum-counter-{key}");
        let Some(shown) = self.read(cache.counter(counter).get().await) else { return };
        let state = self.state.lock();
        let (acknowledged, tried) = state.counted.get(&key).map_or((0, 0), |(acknowledged, tried)| {
            (acknowledged.iter().filter(|at| **at < began).count() as i64, *tried)
        });
        drop(state);
        if !(acknowledged..=tried).contains(&shown) {
            let detail = format!("{shown} is not between {acknowledged} and {tried}");
            self.missed("counter", key, cache, &detail);
        }
    }
}
