//! The running node: the tasks that move bytes and timers around the plain structs that decide.
//!
//! `handler` takes what the transport brings, `peers` dials and greets, `members` reads gossip and moves the view on,
//! `clocks` measures the peers' clocks, `council` takes part in agreeing on the configuration, `join` brings a starting node to serving, `sync` runs anti-entropy,
//! `graves` removes what is dead, `forget` whoever will not come back, `recall` brings back what was evicted, `consult` reads with other owners, `stop` ends it all.

mod clocks;
mod consult;
mod council;
mod forget;
mod graves;
mod handler;
mod housekeeping;
mod join;
mod members;
mod open;
mod peers;
mod recall;
mod report;
mod seeds;
mod stop;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chitchat::ChitchatHandle;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rumour_transport::{NodeId, PeerInfo, Transport};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Tuning;
use crate::engine::EngineState;
use crate::env::Observer;
use crate::error::NodeError;
use crate::events::{Event, Events};
use crate::membership::{DialPlan, Joining, Member, View};

/// Everything the tasks of one node share.
pub(crate) struct Runtime {
    pub(crate) me: PeerInfo,
    pub(crate) engine: Arc<EngineState>,
    tuning: Tuning,
    seeds: Vec<Seed>,
    observer: Option<Arc<dyn Observer>>,
    transport: OnceLock<Transport>,
    gossip: OnceLock<ChitchatHandle>,
    gossip_in: mpsc::Sender<(SocketAddr, Bytes)>,
    view: Mutex<View>,
    joining: Mutex<Joining>,
    dial_plan: Mutex<DialPlan>,
    /// Addresses that lead back to this node.
    own_addrs: Mutex<BTreeSet<SocketAddr>>,
    /// Peers that said whether they serve, in their greetings.
    serving_peers: Mutex<BTreeMap<NodeId, bool>>,
    recalls: Mutex<recall::Recalls>,
    syncing: Mutex<SyncState>,
    sync_kicks: mpsc::Sender<NodeId>,
    sync_turns: Semaphore,
    /// Which seeds were met since the start.
    seeds_met: Mutex<Vec<bool>>,
    rng: Mutex<SmallRng>,
    events: broadcast::Sender<Event>,
    outcome: watch::Sender<Outcome>,
    /// Wakes the join and dial tasks when something they wait for may have happened.
    progress: Notify,
    started: Instant,
    stop: CancellationToken,
}

/// A seed as it was given, with the address it was last resolved to.
struct Seed {
    text: String,
    addr: Mutex<Option<SocketAddr>>,
    error: Mutex<Option<String>>,
}

/// Sessions under way, and when the last one ended well.
#[derive(Default)]
struct SyncState {
    peers: BTreeSet<NodeId>,
    last: Option<Instant>,
}

/// How far the node has come.
#[derive(Debug, Clone)]
enum Outcome {
    Joining,
    Serving,
    Failed(NodeError),
    Stopped,
}

impl Runtime {
    /// The transport. Only the moments before `open` has finished have none; nothing runs then.
    fn transport(&self) -> Option<&Transport> {
        self.transport.get()
    }

    /// Runs a task until it ends or the node stops.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            // The stop is looked at first: a task that a timer wakes in the same moment does nothing any more.
            tokio::select! {
                biased;
                () = stop.cancelled_owned() => {}
                () = task => {}
            }
        });
    }

    fn emit(&self, event: Event) {
        self.engine.event_log.note(self.engine.clock.now_ms(), event.clone());
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn timer(&self, name: &'static str) {
        if let Some(observer) = &self.observer {
            observer.timer(&self.me.node, name);
        }
    }

    pub(crate) fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self.view.lock().peers().collect();
        members.push(Member {
            node: self.me.node.clone(),
            addr: self.me.addr,
            incarnation: self.me.incarnation,
            started_ms: self.me.started_ms,
            state: self.engine.phase.state(),
        });
        members.sort_by(|a, b| a.node.cmp(&b.node));
        members
    }
}
