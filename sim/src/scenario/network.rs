//! The simulated network by itself: sockets that shout at each other through every fault, no node involved.
//!
//! It draws on every source of chance that must follow the seed (map order, the thread's generator, the
//! order of `select!`), so it shows in a second whether this machine and build repeat a run.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::{Instant, sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::{Evidence, Figures, Scenario, Script};
use crate::net::{LinkFaults, SimSocket, node_address};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "network",
    summary: "no nodes, only datagrams: shows that this machine and build repeat a run",
    nodes_default: 8,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a datagram lost by chance", met: |report| report.traffic.lost > 0 },
        Evidence { what: "a datagram stopped by a cut", met: |report| report.traffic.cut > 0 },
        Evidence { what: "a duplicate", met: |report| report.traffic.duplicated > 0 },
        Evidence { what: "a corrupted datagram", met: |report| report.traffic.corrupted > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

const FAULTY_TIME: Duration = Duration::from_secs(20);
/// Nothing that a fault held back is later than this.
const SETTLE_TIME: Duration = Duration::from_secs(2);
const REACH_BOUND: Duration = Duration::from_secs(1);
const CHECKSUM_BYTES: usize = size_of::<u64>();

/// Payloads by sender and receiver.
type Log = Arc<Mutex<BTreeSet<(SocketAddr, SocketAddr, Bytes)>>>;

async fn script(world: World, nodes: usize) -> Figures {
    let addresses: Vec<_> = (0..nodes).map(node_address).collect();
    let faults = LinkFaults::draw(&mut world.rng("faults"));
    world.parameter("links", faults);
    world.network().set_faults(faults);
    let (sent, received) = (Log::default(), Log::default());
    let mut sockets = Vec::new();
    for &address in &addresses {
        let Ok(socket) = world.network().bind(address) else {
            world.violation("addresses are free at the start", address.to_string());
            return Figures::default();
        };
        sockets.push(Arc::new(socket));
    }
    for socket in &sockets {
        tokio::spawn(listen(world.clone(), socket.clone(), sent.clone(), received.clone()));
    }
    let shouting =
        sockets.iter().map(|socket| tokio::spawn(shout(socket.clone(), addresses.clone(), sent.clone())));
    let shouting: Vec<_> = shouting.collect();
    disturb(&world, &addresses).await;
    for task in shouting {
        task.abort();
    }
    world.network().heal();
    sleep(SETTLE_TIME).await;
    let converged_after_s = reach_everyone(&world, &sockets, &sent, &received).await;
    Figures { converged_after_s, ..Figures::default() }
}

/// Sends to peers in an order that only the seed explains.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::iter_over_hash_type,
    reason = "what must follow the seed is used on purpose"
)]
async fn shout(socket: Arc<SimSocket>, addresses: Vec<SocketAddr>, sent: Log) {
    let peers: std::collections::HashSet<_> = addresses.into_iter().collect();
    loop {
        for &peer in &peers {
            let pause = Duration::from_millis(rand::rng().random_range(1..100));
            tokio::select! {
                () = sleep(pause) => {}
                () = sleep(pause) => continue,
            }
            let bytes = rand::rng().random_range(0..1200);
            send(&socket, peer, &sent, (0..bytes).map(|_| rand::rng().random()).collect());
        }
    }
}

fn send(socket: &SimSocket, to: SocketAddr, sent: &Log, mut payload: Vec<u8>) {
    payload.extend(xxh3_64(&payload).to_le_bytes());
    let payload = Bytes::from(payload);
    sent.lock().insert((socket.address(), to, payload.clone()));
    socket.send(to, payload);
}

async fn listen(world: World, socket: Arc<SimSocket>, sent: Log, received: Log) {
    loop {
        let (from, payload) = socket.receive().await;
        let intact = payload
            .split_last_chunk::<CHECKSUM_BYTES>()
            .is_some_and(|(body, sum)| xxh3_64(body).to_le_bytes() == *sum);
        let datagram = (from, socket.address(), payload);
        if intact && !sent.lock().contains(&datagram) {
            world.violation("nothing arrives that nobody sent", format!("{from} > {}", socket.address()));
        }
        if intact {
            received.lock().insert(datagram);
        }
    }
}

/// Cuts, swallows and freezes until the time is up.
async fn disturb(world: &World, addresses: &[SocketAddr]) {
    let mut rng = world.rng("disturbance");
    let end = Instant::now() + FAULTY_TIME;
    while Instant::now() < end {
        disturb_once(world, addresses, &mut rng).await;
    }
}

async fn disturb_once(world: &World, addresses: &[SocketAddr], rng: &mut SmallRng) {
    let network = world.network();
    let mut shuffled = addresses.to_vec();
    shuffled.shuffle(rng);
    let (left, right) = shuffled.split_at(rng.random_range(1..addresses.len()));
    let Some(&victim) = addresses.choose(rng) else { return };
    let lasting = Duration::from_millis(rng.random_range(100..3000));
    match rng.random_range(0..4) {
        0 => network.partition(left, right),
        1 => network.partition_one_way(left, right),
        2 => {
            network.set_black_hole(victim, true);
            sleep(lasting).await;
            network.set_black_hole(victim, false);
        }
        _ => {
            network.stall(victim);
            sleep(lasting).await;
            network.resume(victim);
        }
    }
    sleep(lasting).await;
    network.join_partitions();
}

/// Once all is well, a datagram from each to each must arrive. Returns how long that took.
async fn reach_everyone(
    world: &World,
    sockets: &[Arc<SimSocket>],
    sent: &Log,
    received: &Log,
) -> Option<f64> {
    received.lock().clear();
    sent.lock().clear();
    let started = Instant::now();
    for socket in sockets {
        for peer in sockets {
            send(socket, peer.address(), sent, b"is anybody there?".to_vec());
        }
    }
    let all_arrived = async {
        while *received.lock() != *sent.lock() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    if timeout(REACH_BOUND, all_arrived).await.is_err() {
        let missing: Vec<_> =
            sent.lock().difference(&received.lock()).map(|(from, to, _)| (*from, *to)).collect();
        world.violation("a healed network delivers", format!("nothing arrived on {missing:?}"));
        return None;
    }
    Some(started.elapsed().as_secs_f64())
}
