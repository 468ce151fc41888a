//! Whoever does not belong to the cluster: refused, counted, and of no harm to those who do.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::{Client, Node, PATIENCE, Reply, Spec, TempDir, keygen, local, wait_for};

/// What a node may grow by while strangers pester it: half of what ten thousand datagrams hold.
const GROWTH_LIMIT_KIB: u64 = 4 * 1024;
/// What it may grow by for handshakes under way, of which it has some dozens at most at a time.
const HANDSHAKES_LIMIT_KIB: u64 = 16 * 1024;

/// A node that holds one key.
fn victim(dir: &TempDir) -> Node {
    let key = keygen(dir, "cluster.key");
    let node = Spec::new(dir, "victim", &key).serve();
    assert_eq!(node.client().say("SET secret treasure"), Reply::ok());
    node
}

fn assert_unharmed(node: &mut Node, resident_before_kib: u64, growth_limit_kib: u64) {
    assert!(node.is_running());
    assert_eq!(node.members().expect("it answers"), ["victim healthy"]);
    assert_eq!(node.client().say("GET secret"), Reply::bulk("treasure"));
    let grown = node.resident_kib().saturating_sub(resident_before_kib);
    assert!(grown < growth_limit_kib, "grew by {grown} KiB");
}

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below the limit")
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Starts a stranger and checks that it neither gets in nor reads, and that both ends say what is wrong.
fn is_turned_away(stranger: &Spec, node: &mut Node, reason: &str, told: &str) {
    let resident = node.resident_kib();
    let stranger = stranger.clone().seed(node.spec.peer()).serve();
    wait_for("the refusal is counted", PATIENCE, || match node.refused(reason) {
        0 => Err(node.status().to_string()),
        _ => Ok(()),
    });
    let seeds = wait_for("the stranger says what is wrong", PATIENCE, || {
        let seed = stranger.status()["seeds"][0].clone();
        if seed["error"].as_str().is_some_and(|error| error.contains(told)) {
            Ok(seed)
        } else {
            Err(seed.to_string())
        }
    });
    assert_eq!(seeds["reached"], false);
    assert_eq!(stranger.members().expect("it answers"), ["stranger healthy"]);
    assert_eq!(stranger.client().say("GET secret"), Reply::Nil);
    assert_unharmed(node, resident, GROWTH_LIMIT_KIB);
}

#[test]
fn a_node_with_another_key_neither_joins_nor_reads() {
    let dir = TempDir::new();
    let mut node = victim(&dir);
    let key = keygen(&dir, "other.key");
    let stranger = Spec::new(&dir, "stranger", &key);
    is_turned_away(&stranger, &mut node, "unknown_certificate", "check the cluster key");
}

#[test]
fn a_node_of_another_cluster_name_neither_joins_nor_reads() {
    let dir = TempDir::new();
    let mut node = victim(&dir);
    let key = dir.path().join("cluster.key");
    let stranger = Spec::new(&dir, "stranger", &key).with("--cluster", "elsewhere");
    is_turned_away(&stranger, &mut node, "wrong_cluster", "another cluster name");
}

/// Datagrams sent to the peer port, slowly enough that the kernel drops few.
fn pester(node: &Node, datagrams: impl Iterator<Item = Vec<u8>>) -> u64 {
    let socket = UdpSocket::bind(local(0)).expect("a socket");
    let mut sent = 0;
    for datagram in datagrams {
        socket.send_to(&datagram, local(node.spec.peer())).expect("loopback takes it");
        sent += 1;
        if sent % 20 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    sent
}

/// The first datagrams of as many true handshakes: what a node sends to seeds, which here are the test.
fn first_datagrams(dir: &TempDir, count: usize) -> Vec<Vec<u8>> {
    let seeds: Vec<UdpSocket> = (0..count).map(|_| UdpSocket::bind(local(0)).expect("a socket")).collect();
    let port = |seed: &UdpSocket| seed.local_addr().expect("its port").port();
    let key = dir.path().join("cluster.key");
    let newcomer = seeds.iter().fold(Spec::new(dir, "newcomer", &key), |spec, seed| spec.seed(port(seed)));
    let _newcomer = newcomer.start();
    let first = |seed: &UdpSocket| {
        seed.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut datagram = vec![0; 2_000];
        let length = seed.recv(&mut datagram).expect("the beginning of a handshake");
        datagram.truncate(length);
        assert!(length >= 1_200 && datagram[0] & 0xc0 == 0xc0, "no QUIC Initial: {:?}", &datagram[..8]);
        datagram
    };
    seeds.iter().map(first).collect()
}

fn refused_datagrams(node: &Node) -> u64 {
    node.refused("malformed_datagrams") + node.refused("stray_datagrams")
}

#[test]
fn random_datagrams_at_the_peer_port_are_counted_and_leave_nothing_behind() {
    let dir = TempDir::new();
    let mut node = victim(&dir);
    let resident = node.resident_kib();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let sent = pester(
        &node,
        (0..10_000).map(|_| {
            let length = random.below(1_500);
            random.bytes(length)
        }),
    );
    // The kernel may have dropped some.
    wait_for("the datagrams are counted", PATIENCE, || match refused_datagrams(&node) {
        counted if counted >= sent * 9 / 10 => Ok(()),
        counted => Err(format!("{counted} of {sent}")),
    });
    assert_unharmed(&mut node, resident, GROWTH_LIMIT_KIB);
}

#[test]
fn handshakes_cut_short_are_counted_and_leave_nothing_behind() {
    let dir = TempDir::new();
    let mut node = victim(&dir);
    let initials = first_datagrams(&dir, 40);
    let initial = &initials[0];
    let length = initial.len();

    let resident = node.resident_kib();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let short = pester(&node, (0..3_000).map(|turn| initial[..turn * 1_199 / 3_000].to_vec()));
    wait_for("what was cut short is counted", PATIENCE, || match node.refused("malformed_datagrams") {
        counted if counted >= short * 9 / 10 => Ok(()),
        counted => Err(format!("{counted} of {short}")),
    });
    // Long enough, but not whole: a byte changed anywhere, or noise behind a true head.
    pester(
        &node,
        (0..3_000).map(|turn| {
            let mut datagram = initial.clone();
            let from = if turn % 2 == 0 { random.below(length) } else { 30 };
            let to = if turn % 2 == 0 { from + 1 } else { length };
            let noise = random.bytes(to - from);
            datagram.splice(from..to, noise);
            datagram
        }),
    );
    // True beginnings that nobody goes on with. In a crowd, newcomers are asked to prove their address first, and that
    // leaves nothing to count.
    let before = node.refused("handshake_timeout");
    for initial in &initials {
        pester(&node, std::iter::once(initial.clone()));
    }
    wait_for("handshakes that went nowhere are counted", PATIENCE, || {
        let counted = node.refused("handshake_timeout") - before;
        if counted >= 20 { Ok(()) } else { Err(format!("{counted} of {}", initials.len())) }
    });
    assert_unharmed(&mut node, resident, HANDSHAKES_LIMIT_KIB);
    // Whoever belongs to the cluster still gets in.
    let key = dir.path().join("cluster.key");
    let friend = Spec::new(&dir, "friend", &key).seed(node.spec.peer()).serve();
    assert_eq!(friend.client().say("GET secret"), Reply::bulk("treasure"));
}

/// Sends bytes on a connection of their own and waits until the door closes it.
fn throw(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(local(port)).expect("the door is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // The door may close before it has taken all.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the door keeps a dead connection");
    }
}

#[test]
fn garbage_at_the_tcp_doors_is_counted_and_leaves_nothing_behind() {
    let dir = TempDir::new();
    let mut node = victim(&dir);
    let mut bystander: Client = node.client();
    let (redis, admin) = (node.spec.redis(), node.spec.admin());
    let resident = node.resident_kib();
    let mut random = Random(0xda94_2042_e4dd_58b5);
    for turn in 0..300 {
        let length = random.below(5_000);
        let mut bytes = random.bytes(length);
        if turn % 3 == 0 {
            bytes.splice(0..0, *b"*3\r\n$3\r\nSET\r\n$");
        }
        throw(redis, &bytes);
        if turn % 3 == 0 {
            throw(admin, &bytes);
        }
    }
    for _ in 0..50 {
        throw(redis, b"*1\r\n$4\r\nPING\r\n*zzz\r\n");
        throw(redis, b"*1048576\r\n$8388608\r\nnot that much");
    }
    assert!(node.refused("redis_protocol_errors") >= 100, "{}", node.status());
    assert_eq!(bystander.say("GET secret"), Reply::bulk("treasure"));
    assert_unharmed(&mut node, resident, GROWTH_LIMIT_KIB);
}
