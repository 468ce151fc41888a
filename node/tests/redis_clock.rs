//! The Redis door of a node whose clock goes wrong.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::disallowed_methods, reason = "real time: nothing is simulated here")]

mod redis_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis_support::{Client, Door, Reply};
use rumour::{ClusterKey, Environment, Node, SystemClock, WallClock};

/// How long a node may take to notice.
const PATIENCE: Duration = Duration::from_secs(20);

/// The system's clock, ahead by some milliseconds.
struct Ahead(Arc<AtomicU64>);

impl WallClock for Ahead {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.0.load(Ordering::Relaxed)
    }
}

/// Writes again and again until the reply begins like this.
#[track_caller]
fn wait_for_reply(client: &mut Client, begins: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Reply::Line(line) = client.say("SET k v") else { panic!("no line") };
        if line.starts_with(begins) {
            return;
        }
        assert!(Instant::now() < deadline, "still {line}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn writes_are_refused_while_the_clock_is_wrong_and_reads_are_not() {
    let key = ClusterKey::generate().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = |name: &str, seed: Option<String>| {
        let node = Node::builder().name(name).cluster_key(key.clone()).listen("127.0.0.1:0");
        let node = seed.into_iter().fold(node, rumour::NodeBuilder::seed);
        runtime.block_on(node.start()).unwrap()
    };
    let first = start("first", None);
    let second = start("second", Some(first.addr().to_string()));
    let ahead_ms = Arc::new(AtomicU64::new(0));
    let wall = Arc::new(Ahead(Arc::clone(&ahead_ms)));
    let settings = |node: rumour::NodeBuilder| {
        let environment = Environment { wall, ..Environment::default() };
        node.cluster_key(key.clone()).seed(first.addr().to_string()).environment(environment)
    };
    let door = Door::open_on(settings, |_| {});
    let mut client = door.client();
    wait_for_reply(&mut client, "+OK");
    ahead_ms.store(5_000, Ordering::Relaxed);
    wait_for_reply(&mut client, "-CLOCKSKEW ");
    assert_eq!(client.say("GET k"), Reply::Text('$', "v".to_owned()));
    let Reply::Line(refused) = client.say("SADD set member") else { panic!("no line") };
    assert!(refused.starts_with("-CLOCKSKEW ") && refused.contains("ahead"), "{refused}");
    assert!(door.node.status().refused["clock_fault_writes"] > 0);
    ahead_ms.store(0, Ordering::Relaxed);
    wait_for_reply(&mut client, "+OK");
    drop(second);
}
