//! Real nodes on the simulated network: starting them, ending them in every way, cutting them apart.
//!
//! Each start of a node is watched from its first write to long after its end. What is checked while nodes run
//! and once they have been healed is in `inspect`.

mod clocks;
mod configuration;
mod inspect;
mod outcome;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use rumour::placement::{Configuration, Lineage, RingEpoch};
use rumour::{
    Cache, ClusterKey, Engine, Environment, MemoryLimit, MemoryStatus, Node, NodeError, Status, Tuning,
    WallClock,
};
use rumour_crdt::Stamp;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Ledger, Removals, Replica, Watch};
use crate::clock::SimClock;
use crate::net::node_address;
use crate::runner::World;

/// How many nodes everybody is told to begin with.
const SEEDS: usize = 3;
/// How often something that is waited for is looked at.
const POLL: Duration = Duration::from_millis(25);

/// The nodes of one run. Cheap to clone; all clones are the same cluster.
///
/// Nodes are known by their number, from zero. A node that was stopped can be started again: same name, same
/// address, no memory.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    world: World,
    nodes: usize,
    key: ClusterKey,
    tuning: Tuning,
    ledger: Arc<Mutex<Ledger>>,
    members: Mutex<Vec<Member>>,
    rng: Mutex<SmallRng>,
    sides: Mutex<Option<Vec<usize>>>,
    /// Entries that were in the memory of nodes that crashed, or left without handing all over.
    lost_entries: Mutex<u64>,
    /// Conflicts counted by nodes that are gone.
    past_conflicts: Mutex<u64>,
    clocks_were_wrong: AtomicBool,
    /// What each node may hold; none: no limit.
    memory: Mutex<Vec<MemoryLimit>>,
    early_ms_max: Arc<OnceLock<u64>>,
    /// Every configuration that any node was seen to know.
    configurations: Mutex<BTreeMap<(Lineage, RingEpoch), Configuration>>,
}

/// One name, with the incarnation that bears it now.
struct Member {
    clock: SimClock,
    starts: u32,
    running: Option<Running>,
}

struct Running {
    node: Node,
    watch: Arc<Watch>,
}

impl WallClock for SimClock {
    fn now_ms(&self) -> u64 {
        Self::now_ms(self)
    }
}

impl Cluster {
    /// As many nodes, none of them started.
    pub fn new(world: World, nodes: usize, tuning: Tuning, writers: Writers) -> Self {
        let mut rng = world.rng("cluster");
        let clock = || world.clock();
        let member = |_| Member { clock: clock(), starts: 0, running: None };
        let members = Mutex::new((0..nodes).map(member).collect());
        let shared = Shared {
            // The key decides how the store's tables are laid out, so it must follow the seed.
            key: ClusterKey::from_bytes(rng.random()),
            world,
            nodes,
            tuning,
            ledger: Arc::new(Mutex::new(Ledger::new(writers))),
            members,
            rng: Mutex::new(rng),
            sides: Mutex::new(None),
            lost_entries: Mutex::new(0),
            past_conflicts: Mutex::new(0),
            clocks_were_wrong: AtomicBool::new(false),
            memory: Mutex::new(vec![MemoryLimit::default(); nodes]),
            early_ms_max: Arc::default(),
            configurations: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The world that the nodes live in.
    pub fn world(&self) -> &World {
        &self.shared.world
    }

    /// How every node is tuned.
    pub fn tuning(&self) -> &Tuning {
        &self.shared.tuning
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.shared.nodes
    }

    /// Whether there are no nodes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Limits what a node holds, from its next start on.
    pub fn limit_memory(&self, node: usize, limit: MemoryLimit) {
        self.shared.memory.lock()[node] = limit;
    }

    /// What running nodes say of the memory of their entries, by their number.
    pub fn memory(&self) -> Vec<MemoryStatus> {
        self.running().into_iter().filter_map(|node| Some(self.engine(node)?.memory())).collect()
    }

    /// Entries that sync has sent between running nodes.
    pub fn sync_entries_sent(&self) -> u64 {
        self.sum(|status| status.sync.entries_sent)
    }

    /// Entries too large for sync that running nodes left to replication.
    pub fn entries_handed(&self) -> u64 {
        self.sum(|status| status.sync.entries_handed)
    }

    /// Parts of long batches that running nodes received.
    pub fn parts_received(&self) -> u64 {
        self.sum(|status| status.replication.parts_received)
    }

    fn sum(&self, count: impl Fn(&Status) -> u64) -> u64 {
        let engines = self.running().into_iter().filter_map(|node| self.engine(node));
        engines.map(|engine| count(&engine.status())).sum()
    }

    /// Starts a node and does not wait until it serves.
    ///
    /// # Errors
    /// What the node says; and the panic-free refusal of a node that runs already, as an address in use.
    pub async fn start(&self, node: usize) -> Result<(), NodeError> {
        self.start_above(node, Stamp::ZERO).await
    }

    /// Starts a node that reaches its peers well: whatever it writes must lie above all that they know by now.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_hearing(&self, node: usize) -> Result<(), NodeError> {
        self.start_above(node, self.highest_stamp()).await
    }

    async fn start_above(&self, node: usize, floor: Stamp) -> Result<(), NodeError> {
        let shared = &self.shared;
        let (address, name) = (node_address(node), node_name(node));
        let (clock, starts) = {
            let mut members = shared.members.lock();
            let member = &mut members[node];
            member.starts += 1;
            (member.clock.clone(), member.starts)
        };
        shared.world.trace().note(format_args!("start {name}, start number {starts}"));
        let socket = shared.world.network().bind(address);
        let socket = socket.map_err(|error| NodeError::Transport(format!("{address}: {error}")))?;
        let label = format!("{name}#{starts}");
        let skew_ms_max = u64::try_from(shared.tuning.max_clock_skew.as_millis()).unwrap_or(u64::MAX);
        let watch =
            Watch::new(shared.world.clone(), label, clock.clone(), shared.ledger.clone(), skew_ms_max);
        let watch = Arc::new(watch.above(floor).expiring(shared.early_ms_max.clone()));
        let environment = Environment {
            wall: Arc::new(clock),
            observer: Some(watch.clone()),
            seed: Some(shared.rng.lock().random()),
            binding: Some(socket.into_binding()),
        };
        let mut builder = Node::builder()
            .name(name)
            .cluster_key(shared.key.clone())
            .listen(address.to_string())
            .tuning(shared.tuning.clone())
            .environment(environment);
        let memory = shared.memory.lock()[node];
        builder = builder.max_memory(memory.bytes.unwrap_or(0)).eviction(memory.policy);
        if let Some(most) = NonZeroUsize::new(self.len() / 2 + 1).filter(|_| self.len() > 1) {
            builder = builder.bootstrap_expect(most);
            for seed in 0..SEEDS.min(self.len()) {
                builder = builder.seed(node_address(seed).to_string());
            }
        }
        let node_started = builder.launch().await?;
        watch.attach(node_started.engine());
        shared.members.lock()[node].running = Some(Running { node: node_started, watch });
        Ok(())
    }

    /// Starts every node at once and waits until all serve; what does not is a violation.
    pub async fn start_all(&self) {
        for node in 0..self.len() {
            if let Err(error) = self.start(node).await {
                self.world().violation("a node starts", format!("{}: {error}", node_name(node)));
            }
        }
        for node in 0..self.len() {
            self.wait_until_serving(node).await;
        }
    }

    /// Waits until a node serves, and gives whether it does. One that does not within its patience is a violation, unless it
    /// is crashed before.
    pub async fn wait_until_serving(&self, node: usize) -> bool {
        let bound = self.shared.tuning.join_patience + Duration::from_secs(1);
        let running_as = || {
            let members = self.shared.members.lock();
            members[node].running.as_ref().map(|running| running.watch.label().to_owned())
        };
        let incarnation = running_as();
        let is_serving = || self.engine(node).is_some_and(|engine| engine.is_serving());
        let is_gone = || running_as() != incarnation;
        if self.wait_until(bound, || is_gone() || is_serving()).await.is_some() {
            return !is_gone() && is_serving();
        }
        let state = self.stopped_by_itself(node).unwrap_or_else(|| "it is still joining".to_owned());
        self.world().violation("a started node comes to serve", format!("{}: {state}", node_name(node)));
        false
    }

    /// The highest stamp that a running node holds, flushes included.
    fn highest_stamp(&self) -> Stamp {
        let members = self.shared.members.lock();
        let running = members.iter().filter_map(|member| member.running.as_ref());
        let highest = |running: &Running| running.watch.replica(Replica::highest_stamp);
        running.map(highest).max().unwrap_or(Stamp::ZERO)
    }

    /// The door to a node, while it runs. It is closed when the node ends.
    pub fn engine(&self, node: usize) -> Option<Engine> {
        self.shared.members.lock()[node].running.as_ref().map(|running| running.node.engine())
    }

    /// The cache of a node, while it runs.
    pub fn cache(&self, node: usize) -> Option<Cache> {
        self.shared.members.lock()[node].running.as_ref().map(|running| running.node.cache())
    }

    /// The wall clock of a node; it outlives restarts.
    pub fn clock(&self, node: usize) -> SimClock {
        self.shared.members.lock()[node].clock.clone()
    }

    /// Where a node is reached.
    pub fn address(&self, node: usize) -> SocketAddr {
        node_address(node)
    }

    /// The nodes that run now.
    pub fn running(&self) -> Vec<usize> {
        let members = self.shared.members.lock();
        (0..members.len()).filter(|node| members[*node].running.is_some()).collect()
    }

    /// Kills a node as a power cut does: its socket goes dead, its tasks end, its memory is gone, nobody is told.
    pub fn crash(&self, node: usize) {
        let Some(running) = self.take(node) else { return };
        self.world().trace().note(format_args!("crash {}", running.watch.label()));
        self.world().network().kill(self.address(node));
        running.watch.end();
        *self.shared.lost_entries.lock() += running.watch.replica(|replica| replica.entries().len()) as u64;
    }

    /// Has a node leave in good order.
    ///
    /// # Errors
    /// What the node says; it is gone all the same.
    pub async fn leave(&self, node: usize) -> Result<(), NodeError> {
        let Some(running) = self.take(node) else { return Ok(()) };
        self.world().trace().note(format_args!("{} leaves", running.watch.label()));
        let Running { node, watch } = running;
        let left = node.leave().await;
        watch.end();
        if left.is_err() {
            *self.shared.lost_entries.lock() += watch.replica(|replica| replica.entries().len()) as u64;
        }
        left
    }

    /// Freezes what a node sends and receives, as a long pause of its process looks from outside.
    pub fn stall(&self, node: usize) {
        self.world().network().stall(self.address(node));
    }

    /// Ends [`stall`](Self::stall).
    pub fn resume(&self, node: usize) {
        self.world().network().resume(self.address(node));
    }

    /// Cuts the nodes in two; in which way is up to `cut`. Nodes in neither group are a bridge.
    pub fn cut(&self, cut: Cut, left: &[usize], right: &[usize]) {
        let addresses = |nodes: &[usize]| nodes.iter().map(|node| self.address(*node)).collect::<Vec<_>>();
        let (from, to) = (addresses(left), addresses(right));
        match cut {
            Cut::BothWays => self.world().network().partition(&from, &to),
            Cut::OneWay => self.world().network().partition_one_way(&from, &to),
        }
        let side = |node: usize| usize::from(right.contains(&node));
        *self.shared.sides.lock() = Some((0..self.len()).map(side).collect());
    }

    /// Joins what was cut. The network stays as bad as it is.
    pub fn join_sides(&self) {
        self.world().network().join_partitions();
        *self.shared.sides.lock() = None;
    }

    /// Joins what was cut, makes the network faultless and sets all clocks right.
    pub fn heal(&self) {
        self.world().network().heal();
        self.correct_clocks();
        for node in 0..self.len() {
            self.resume(node);
        }
        *self.shared.sides.lock() = None;
    }

    /// On which side of the present cut a node is: 0 or 1, or none when there is no cut.
    pub fn side(&self, node: usize) -> Option<usize> {
        self.shared.sides.lock().as_ref().map(|sides| sides[node])
    }

    /// Entries that were in the memory of nodes when they crashed or left without handing all over, all crashes added.
    pub fn lost_entries(&self) -> u64 {
        *self.shared.lost_entries.lock()
    }

    /// Concurrent writes that lost, as counted by all nodes, past ones included.
    pub fn conflicts(&self) -> u64 {
        let members = self.shared.members.lock();
        let present = members.iter().filter_map(|member| member.running.as_ref());
        present.map(|running| running.node.status().conflicts).sum::<u64>()
            + *self.shared.past_conflicts.lock()
    }

    /// Entries and clocks that running nodes refused for lying too far in their future.
    pub fn refused_future(&self) -> u64 {
        let members = self.shared.members.lock();
        let running = members.iter().filter_map(|member| member.running.as_ref());
        running.filter_map(|running| running.node.status().refused.get("future_stamps").copied()).sum()
    }

    /// Dead records that all nodes removed so far, past ones included.
    pub fn removals(&self) -> Removals {
        self.ledger().lock().removals()
    }

    /// Entries that running nodes turned away because they had removed them before.
    pub fn collected_again(&self) -> u64 {
        let members = self.shared.members.lock();
        let running = members.iter().filter_map(|member| member.running.as_ref());
        running.map(|running| running.node.status().collection.collected_again).sum()
    }

    pub(crate) fn ledger(&self) -> &Mutex<Ledger> {
        &self.shared.ledger
    }

    pub(crate) fn watch(&self, node: usize) -> Option<Arc<Watch>> {
        self.shared.members.lock()[node].running.as_ref().map(|running| running.watch.clone())
    }

    fn take(&self, node: usize) -> Option<Running> {
        let running = self.shared.members.lock()[node].running.take()?;
        *self.shared.past_conflicts.lock() += running.node.status().conflicts;
        Some(running)
    }

    /// Why a node stopped that nobody stopped.
    fn stopped_by_itself(&self, node: usize) -> Option<String> {
        let members = self.shared.members.lock();
        let running = members[node].running.as_ref()?;
        let failed = pin!(running.node.failed());
        match failed.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => Some(error.to_string()),
            Poll::Pending => None,
        }
    }

    /// Ends every node at once.
    fn crash_all(&self) {
        for node in 0..self.len() {
            self.crash(node);
        }
    }

    /// Waits until `holds` or the time is up, and says how long it took.
    async fn wait_until(&self, within: Duration, holds: impl Fn() -> bool) -> Option<Duration> {
        let started = Instant::now();
        let held = async {
            while !holds() {
                sleep(POLL).await;
            }
        };
        timeout(within, held).await.ok().map(|()| started.elapsed())
    }
}

/// Who writes to the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Only [`Workload`](crate::workload::Workload), which says what it writes and never writes a value twice: any
    /// other value is a violation.
    Workload,
    /// Anybody, with any values.
    Anyone,
}

/// How a cut separates two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Nothing passes.
    BothWays,
    /// The first group is not heard by the second.
    OneWay,
}

/// The name of a node.
pub fn node_name(node: usize) -> String {
    format!("n{node}")
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.len()).field("running", &self.running()).finish()
    }
}
