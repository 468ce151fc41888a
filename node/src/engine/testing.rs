//! Engines without a network around them, for tests.

use std::sync::Arc;

use parking_lot::Mutex;
use rumour_crdt::{ActorId, DigestKey};

use super::{Engine, EngineState, Phase, Purpose, SetOptions};
use crate::clock::NodeClock;
use crate::config::Tuning;
use crate::conflicts::ConflictLog;
use crate::council::{Council, CouncilSettings, Founding};
use crate::env::WallClock;
use crate::namespace::Namespaces;
use crate::placement::{Replicas, Share};
use crate::replication::Fanout;
use crate::status::StatusSource;
use crate::store::{EvictionPolicy, MemoryLimit, Store};
use crate::sync::Watermarks;

/// A wall clock that stands still.
struct At(u64);

impl WallClock for At {
    fn now_ms(&self) -> u64 {
        self.0
    }
}

/// A node without a network. `now_ms` is its wall clock.
pub(crate) fn engine_at(actor: u64, now_ms: u64) -> Arc<EngineState> {
    engine_of(actor, now_ms, MemoryLimit::default(), Tuning::default().whole_entry_bytes)
}

/// The same for one that evicts what does not fit in so many bytes.
pub(crate) fn engine_within(actor: u64, now_ms: u64, bytes: u64) -> Arc<EngineState> {
    let limit = MemoryLimit { bytes: Some(bytes), policy: EvictionPolicy::AllKeysLru };
    engine_of(actor, now_ms, limit, Tuning::default().whole_entry_bytes)
}

/// The same for one whose messages carry no entry larger than that.
pub(crate) fn engine_with(actor: u64, now_ms: u64, whole_entry_bytes: usize) -> Arc<EngineState> {
    engine_of(actor, now_ms, MemoryLimit::default(), whole_entry_bytes)
}

fn engine_of(actor: u64, now_ms: u64, limit: MemoryLimit, whole_entry_bytes: usize) -> Arc<EngineState> {
    let name: rumour_transport::NodeId = format!("n{actor}").parse().expect("a name");
    let counters = Arc::default();
    let namespaces = Arc::new(Namespaces::new(&[]));
    let conflicts = ConflictLog::new(namespaces.clone(), tokio::sync::broadcast::channel(1).0);
    let me = Share {
        node: name.clone(),
        incarnation: actor,
        weight: std::num::NonZeroU16::MIN,
        zone: String::new(),
    };
    let rebalance_after = Tuning::default().rebalance_after;
    let settings = CouncilSettings { founding: Founding::Others, replicas: Replicas::All, rebalance_after };
    let council = Council::new(me, settings);
    let state = EngineState {
        conflicts,
        namespaces,
        node: name.clone(),
        incarnation: actor,
        store: Store::new(name.clone(), ActorId::new(actor), DigestKey::new(&[7; 32]), None, limit),
        clock: NodeClock::new(Arc::new(At(now_ms)), ActorId::new(actor), 500),
        fanout: Fanout::new(10, whole_entry_bytes, Arc::clone(&counters)),
        counters,
        phase: Phase::default(),
        status: StatusSource::new("test".into()),
        event_log: crate::events::EventLog::default(),
        forget: std::sync::OnceLock::new(),
        recaller: std::sync::OnceLock::new(),
        watermarks: Mutex::new(Watermarks::new(name, ActorId::new(actor))),
        council: Mutex::new(council),
        seats_changed: tokio::sync::Notify::new(),
        consistency_patience: Tuning::default().consistency_patience,
        awaited: Mutex::default(),
    };
    state.phase.serve();
    let state = Arc::new(state);
    let weak = Arc::downgrade(&state);
    state.store.spare(move |key| weak.upgrade().is_some_and(|state| state.fanout.is_queued(key)));
    state
}

/// Has a key evicted by writing others.
pub(crate) fn evict(engine: &Engine, key: &[u8]) {
    for n in 0..10_000 {
        if engine.lacks(key, Purpose::Read) {
            return;
        }
        let filler = format!("filler {n}");
        engine.set(filler.as_bytes(), vec![b'x'; 500].into(), SetOptions::default()).expect("it serves");
    }
    panic!("it was not evicted");
}
