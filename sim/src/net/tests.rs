use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep, timeout};

use super::*;

fn network() -> Network {
    Network::start(SmallRng::seed_from_u64(1), Trace::new(None).unwrap())
}

fn pair(network: &Network) -> (SimSocket, SimSocket) {
    (network.bind(node_address(0)).unwrap(), network.bind(node_address(1)).unwrap())
}

fn numbered(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Everything that arrives until nothing has arrived for ten seconds.
async fn drain(socket: &SimSocket) -> Vec<Bytes> {
    let mut arrived = Vec::new();
    while let Ok((_, payload)) = timeout(Duration::from_secs(10), socket.receive()).await {
        arrived.push(payload);
    }
    arrived
}

#[tokio::test(start_paused = true)]
async fn delivers_after_the_latency() {
    let network = network();
    let (a, b) = pair(&network);
    let sent = Instant::now();
    a.send(b.address(), numbered(1));
    assert_eq!(b.receive().await, (a.address(), numbered(1)));
    assert_eq!(sent.elapsed(), Duration::from_millis(LinkFaults::NONE.latency_ms));
}

#[tokio::test(start_paused = true)]
async fn jitter_alone_keeps_the_order_of_a_link() {
    let network = network();
    let (a, b) = pair(&network);
    network.set_faults(LinkFaults { jitter_ms: 100, ..LinkFaults::NONE });
    let sent: Vec<_> = (0..200).map(numbered).collect();
    for payload in &sent {
        a.send(b.address(), payload.clone());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(drain(&b).await, sent);
}

#[tokio::test(start_paused = true)]
async fn each_fault_happens_about_as_often_as_asked() {
    let network = network();
    let (a, b) = pair(&network);
    let share = 0.25;
    let cases = [
        LinkFaults { loss_share: share, ..LinkFaults::NONE },
        LinkFaults { duplicate_share: share, ..LinkFaults::NONE },
        LinkFaults { corrupt_share: share, ..LinkFaults::NONE },
        LinkFaults { reorder_share: share, hold_back_ms_max: 50, ..LinkFaults::NONE },
    ];
    let mut seen = Vec::new();
    for faults in cases {
        network.set_faults(faults);
        let sent: Vec<_> = (0..1000).map(numbered).collect();
        for payload in &sent {
            a.send(b.address(), payload.clone());
            sleep(Duration::from_millis(1)).await;
        }
        let arrived = drain(&b).await;
        let intact = arrived.iter().filter(|payload| sent.contains(payload)).count();
        let late = arrived.windows(2).filter(|pair| pair[0] > pair[1]).count();
        seen.push((arrived.len(), intact, late));
    }
    let near = |count: usize, expected: usize| count.abs_diff(expected) < 75;
    assert!(near(seen[0].0, 750), "loss: {seen:?}");
    assert!(near(seen[1].0, 1250), "duplication: {seen:?}");
    assert!(seen[2].0 == 1000 && near(seen[2].1, 750), "corruption: {seen:?}");
    // A datagram held back by no more than its neighbour's distance is not overtaken.
    assert!(seen[3].0 == 1000 && seen[3].2 > 150, "reordering: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_link_leave_the_way_back_alone() {
    let network = network();
    let (a, b) = pair(&network);
    network.set_link_faults(
        a.address(),
        b.address(),
        Some(LinkFaults { loss_share: 1.0, ..LinkFaults::NONE }),
    );
    a.send(b.address(), numbered(1));
    b.send(a.address(), numbered(2));
    assert_eq!((drain(&a).await.len(), drain(&b).await.len()), (1, 0));
    network.set_link_faults(a.address(), b.address(), None);
    a.send(b.address(), numbered(3));
    assert_eq!(drain(&b).await, [numbered(3)]);
}

#[tokio::test(start_paused = true)]
async fn partitions_stop_what_they_say_and_nothing_else() {
    let network = network();
    let sockets: Vec<_> = (0..3).map(|node| network.bind(node_address(node)).unwrap()).collect();
    let address = |node: usize| [sockets[node].address()];
    let reaches = async |from: usize, to: usize| {
        sockets[from].send(sockets[to].address(), numbered(0));
        !drain(&sockets[to]).await.is_empty()
    };
    network.partition(&address(0), &address(1));
    assert!(!reaches(0, 1).await && !reaches(1, 0).await);
    assert!(reaches(0, 2).await && reaches(2, 1).await, "the third node is a bridge");
    network.join_partitions();
    network.partition_one_way(&address(0), &address(1));
    assert!(!reaches(0, 1).await && reaches(1, 0).await);
    network.heal();
    network.set_black_hole(sockets[2].address(), true);
    assert!(reaches(0, 1).await && !reaches(0, 2).await && !reaches(2, 0).await);
    network.set_black_hole(sockets[2].address(), false);
    assert!(reaches(0, 2).await);
}

#[tokio::test(start_paused = true)]
async fn a_killed_socket_is_deaf_and_mute_and_its_address_free() {
    let network = network();
    let (a, old) = pair(&network);
    assert_eq!(network.bind(old.address()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    network.kill(old.address());
    let new = network.bind(old.address()).unwrap();
    a.send(new.address(), numbered(1));
    old.send(a.address(), numbered(2));
    assert_eq!(drain(&new).await, [numbered(1)]);
    assert_eq!(drain(&old).await, Vec::<Bytes>::new());
    assert_eq!(drain(&a).await, Vec::<Bytes>::new());
    drop(old);
    a.send(new.address(), numbered(3));
    assert_eq!(drain(&new).await, [numbered(3)], "dropping the dead socket must not unbind its successor");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_socket_goes_on_where_it_stopped() {
    let network = network();
    let (a, b) = pair(&network);
    network.stall(b.address());
    a.send(b.address(), numbered(1));
    b.send(a.address(), numbered(2));
    assert!(drain(&a).await.is_empty() && drain(&b).await.is_empty());
    network.resume(b.address());
    assert_eq!(drain(&b).await, [numbered(1)]);
    assert_eq!(drain(&a).await, [numbered(2)]);
}

#[tokio::test(start_paused = true)]
async fn queues_are_bounded_and_every_datagram_is_accounted_for() {
    let network = network();
    let (a, b) = pair(&network);
    for number in 0..10_000 {
        a.send(b.address(), numbered(number));
        a.send(node_address(9), numbered(number));
    }
    sleep(Duration::from_secs(1)).await;
    let traffic = network.traffic();
    assert_eq!(network.deepest_inbox(), 4_096);
    assert_eq!((traffic.delivered, traffic.unreachable), (4_096, 10_000));
    assert_eq!(traffic.sent + traffic.duplicated, traffic.delivered + traffic.dropped());
}
