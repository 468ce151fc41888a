//! Starting a node: identity, socket, gossip, tasks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rumour_crdt::{ActorId, DigestKey};
use rumour_transport::{Binding, Identity, Transport, TransportConfig};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::Inbox;
use super::recall::Recall;
use super::sync::SESSIONS_LIMIT;
use super::{Outcome, Runtime, Seed, SyncState};
use crate::clock::NodeClock;
use crate::config::{Config, Credentials};
use crate::conflicts::ConflictLog;
use crate::council::{Council, CouncilSettings, Founding};
use crate::counters::Counters;
use crate::engine::{EngineState, Phase};
use crate::env::Environment;
use crate::error::{ForgetError, NodeError};
use crate::events::{EVENTS_LIMIT, Event, EventLog};
use crate::membership::{GossipTransport, Joining, Reported, SendGossip, View, facts, gossip_config};
use crate::namespace::Namespaces;
use crate::placement::{Replicas, Share};
use crate::replication::Fanout;
use crate::status::StatusSource;
use crate::store::Store;
use crate::sync::Watermarks;

/// Gossip messages waiting to be read at most; what comes beyond is lost, as datagrams may be.
const GOSSIP_INBOX_LIMIT: usize = 1024;
/// Sync sessions asked for and not begun at most.
const SYNC_KICKS_LIMIT: usize = 64;

impl Runtime {
    /// Opens the peer port and starts all tasks.
    pub(crate) async fn launch(config: Config, environment: Environment) -> Result<Arc<Self>, NodeError> {
        let mut rng = match environment.seed {
            Some(seed) => SmallRng::seed_from_u64(seed),
            None => SmallRng::from_os_rng(),
        };
        let incarnation: u64 = rng.random();
        let started_ms = environment.wall.now_ms();
        let identity = identity(&config, incarnation)?;
        let digest_key = DigestKey::new(&identity.digest_secret());
        let binding = environment.binding.clone().unwrap_or(Binding::Udp(config.listen));
        let advertise = advertised(&config);
        let transport_config = TransportConfig::new(identity, config.cluster.clone(), advertise, binding)
            .started(incarnation, started_ms);
        let inbox = Arc::new(Inbox::default());
        let transport = Transport::open(transport_config, inbox.clone())
            .map_err(|error| NodeError::Transport(error.to_string()))?;

        let me = transport.info().clone();
        let (gossip_in, gossip_out) = mpsc::channel(GOSSIP_INBOX_LIMIT);
        let (sync_kicks, kicked) = mpsc::channel(SYNC_KICKS_LIMIT);
        let events = broadcast::channel(EVENTS_LIMIT).0;
        let engine = engine(&config, &environment, digest_key, incarnation, events.clone());
        let now = Instant::now();
        let seeds: Vec<Seed> = config.seeds.iter().map(|text| Seed::new(text)).collect();
        let runtime = Arc::new(Self {
            view: Mutex::new(View::new(me.clone(), config.tuning.suspicion)),
            joining: Mutex::new(Joining::new([], now, config.tuning.join_patience)),
            me,
            engine,
            seeds_met: Mutex::new(vec![false; seeds.len()]),
            seeds,
            observer: environment.observer,
            transport: OnceLock::from(transport),
            gossip: OnceLock::new(),
            gossip_in,
            dial_plan: Mutex::default(),
            own_addrs: Mutex::default(),
            serving_peers: Mutex::default(),
            recalls: Mutex::default(),
            syncing: Mutex::new(SyncState::default()),
            sync_kicks,
            sync_turns: Semaphore::new(SESSIONS_LIMIT),
            rng: Mutex::new(rng),
            events,
            outcome: watch::channel(Outcome::Joining).0,
            progress: Notify::new(),
            started: now,
            stop: CancellationToken::new(),
            tuning: config.tuning,
        });
        inbox.connect(&runtime);
        // Set once, here.
        let _ = runtime.engine.recaller.set(Box::new(Recall(Arc::downgrade(&runtime))));
        let weak = Arc::downgrade(&runtime);
        let _ = runtime
            .engine
            .forget
            .set(Box::new(move |node| weak.upgrade().ok_or(ForgetError::Stopped)?.forget(node)));
        runtime.register_status();
        runtime.start_gossip(config.cluster.as_str(), gossip_out).await?;
        runtime.resolve_seeds().await;
        runtime.spawn(runtime.clone().members_loop());
        runtime.spawn(runtime.clone().seed_loop());
        runtime.spawn(runtime.clone().dial_loop());
        runtime.spawn(runtime.clone().sync_loop(kicked));
        runtime.spawn(runtime.clone().clock_loop());
        runtime.spawn(runtime.clone().council_loop());
        runtime.spawn(runtime.clone().expiry_loop());
        runtime.spawn(runtime.clone().collect_loop());
        runtime.spawn(runtime.clone().join_task());
        Ok(runtime)
    }

    async fn start_gossip(
        self: &Arc<Self>,
        cluster: &str,
        incoming: mpsc::Receiver<(SocketAddr, Bytes)>,
    ) -> Result<(), NodeError> {
        let runtime = Arc::downgrade(self);
        let send: SendGossip = Arc::new(move |to, message| {
            let peer = runtime.upgrade().and_then(|runtime| runtime.transport()?.peer_at(to));
            if let Some(peer) = peer {
                peer.gossip(message);
            }
        });
        let transport = GossipTransport::new(send, incoming, self.engine.counters.clone());
        let config = gossip_config(&self.me, cluster, self.tuning.gossip_interval);
        let facts = facts(Reported::Joining, self.me.started_ms);
        let handle = chitchat::spawn_chitchat(config, facts, &transport)
            .await
            .map_err(|error| NodeError::Gossip(error.to_string()))?;
        // Set once, here.
        let _ = self.gossip.set(handle);
        Ok(())
    }
}

fn engine(
    config: &Config,
    environment: &Environment,
    digest_key: DigestKey,
    incarnation: u64,
    events: broadcast::Sender<Event>,
) -> Arc<EngineState> {
    let counters = Arc::new(Counters::default());
    let max_skew_ms = u64::try_from(config.tuning.max_clock_skew.as_millis()).unwrap_or(u64::MAX);
    let namespaces = Arc::new(Namespaces::new(&config.namespaces));
    let conflicts = ConflictLog::new(namespaces.clone(), events);
    conflicts.name_writer(ActorId::new(incarnation), &config.name);
    let engine = Arc::new(EngineState {
        conflicts,
        namespaces,
        node: config.name.clone(),
        incarnation,
        store: Store::new(
            config.name.clone(),
            ActorId::new(incarnation),
            digest_key,
            environment.observer.clone(),
            config.memory,
        ),
        clock: NodeClock::new(environment.wall.clone(), ActorId::new(incarnation), max_skew_ms),
        fanout: Fanout::new(
            config.tuning.outbox_keys_limit,
            config.tuning.whole_entry_bytes,
            counters.clone(),
        ),
        counters,
        phase: Phase::default(),
        status: StatusSource::new(config.cluster.to_string()),
        event_log: EventLog::default(),
        forget: OnceLock::new(),
        recaller: OnceLock::new(),
        watermarks: Mutex::new(Watermarks::new(config.name.clone(), ActorId::new(incarnation))),
        council: Mutex::new(council(config, incarnation)),
        seats_changed: Notify::new(),
        consistency_patience: config.tuning.consistency_patience,
        awaited: Mutex::default(),
    });
    let weak = Arc::downgrade(&engine);
    engine.store.spare(move |key| weak.upgrade().is_some_and(|engine| engine.fanout.is_queued(key)));
    engine
}

fn council(config: &Config, incarnation: u64) -> Council {
    let founding = match config.bootstrap_expect {
        Some(nodes) if nodes.get() > 1 => Founding::Together(nodes.get()),
        _ if config.seeds.is_empty() => Founding::Alone,
        _ => Founding::Others,
    };
    let me = Share { node: config.name.clone(), incarnation, weight: NonZeroU16::MIN, zone: String::new() };
    let rebalance_after = config.tuning.rebalance_after;
    Council::new(me, CouncilSettings { founding, replicas: Replicas::All, rebalance_after })
}

fn identity(config: &Config, incarnation: u64) -> Result<Identity, NodeError> {
    let identity = match &config.credentials {
        Credentials::ClusterKey(key) => Identity::from_cluster_key(key, &config.name, incarnation),
        Credentials::Certificates { certificate, key, ca } => {
            Identity::from_pem(&config.name, certificate.as_bytes(), key.as_bytes(), ca.as_bytes())
        }
    };
    identity.map_err(|error| NodeError::Config(error.to_string()))
}

/// Where peers reach this node: as configured, or the listen address, or the interface that leads to the first seed.
fn advertised(config: &Config) -> SocketAddr {
    if let Some(addr) = config.advertise {
        return addr;
    }
    if !config.listen.ip().is_unspecified() {
        return config.listen;
    }
    let seed = config.seeds.iter().find_map(|seed| seed.parse::<SocketAddr>().ok());
    let ip = route_to(seed, config.listen.is_ipv6()).unwrap_or_else(|| {
        tracing::warn!("no route to anywhere: peers on other hosts cannot reach this node unless it advertises an address");
        if config.listen.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    });
    SocketAddr::new(ip, config.listen.port())
}

/// The local address that packets to `seed` leave from. Connecting a UDP socket sends nothing.
fn route_to(seed: Option<SocketAddr>, ipv6: bool) -> Option<IpAddr> {
    // Addresses set aside for documentation: they follow the default route.
    let elsewhere: SocketAddr = match ipv6 {
        true => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
        false => (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
    };
    let to = seed.unwrap_or(elsewhere);
    let any: IpAddr = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
