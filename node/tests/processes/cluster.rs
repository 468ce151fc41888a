//! Nodes find each other, notice a death, and fill whoever returns.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{
    Contents, Node, PATIENCE, Reply, Spec, TempDir, cluster, keygen, local, run, wait_for, write_keys,
    written,
};

/// How long nodes may take to list each other as healthy.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a killed node may go unnoticed.
const DEATH_LIMIT: Duration = Duration::from_secs(15);
/// How long a node without its memory may take to have everything again.
const REFILL_LIMIT: Duration = Duration::from_secs(20);

const ALL_HEALTHY: [&str; 3] = ["a healthy", "b healthy", "c healthy"];

/// Writes 10,000 keys, half at each of two nodes, with an overlap that both write.
fn write_at_both(first: &Node, second: &Node) -> Contents {
    let (one, two) = (local(first.spec.redis()), local(second.spec.redis()));
    std::thread::scope(|threads| {
        threads.spawn(|| write_keys(one, 0..5_000, "meanwhile"));
        threads.spawn(|| write_keys(two, 4_500..10_000, "meanwhile"));
    });
    written(0..10_000, "meanwhile")
}

#[test]
fn three_nodes_find_each_other_and_a_killed_one_returns_to_everything_written_meanwhile() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let first = Spec::new(&dir, "a", &key).start();
    let seed = first.spec.peer();
    let mut nodes = vec![first];
    nodes.extend(["b", "c"].map(|name| Spec::new(&dir, name, &key).seed(seed).start()));
    let (last, _) = nodes.split_last().expect("three");
    let started = last.started;
    for node in &nodes {
        node.wait_members(&ALL_HEALTHY, JOIN_LIMIT.saturating_sub(started.elapsed()));
    }
    write_keys(local(nodes[2].spec.redis()), 0..1_000, "before");
    for node in &nodes {
        node.wait_contents(&written(0..1_000, "before"), PATIENCE);
    }

    nodes[2].kill();
    let killed = std::time::Instant::now();
    let expected = write_at_both(&nodes[0], &nodes[1]);
    for node in &nodes[..2] {
        let left = DEATH_LIMIT.saturating_sub(killed.elapsed());
        node.wait_members(&["a healthy", "b healthy", "c down"], left);
    }
    for node in &nodes[..2] {
        node.wait_contents(&expected, PATIENCE);
    }

    nodes[2] = nodes[2].spec.start();
    wait_for("the Redis door of c is open", PATIENCE, || nodes[2].try_status());
    nodes[2].wait_contents(&expected, REFILL_LIMIT.saturating_sub(nodes[2].started.elapsed()));
    for node in &nodes {
        node.wait_members(&ALL_HEALTHY, PATIENCE);
    }
}

#[test]
fn a_node_restarted_before_its_death_is_noticed_replaces_its_old_incarnation() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 3);
    let old = nodes[0].incarnation_of("c");
    write_keys(local(nodes[2].spec.redis()), 0..10_000, "lost from memory");
    for node in &nodes[..2] {
        node.wait_contents(&written(0..10_000, "lost from memory"), PATIENCE);
    }
    nodes[2].kill();
    assert_eq!(nodes[0].members().expect("it answers"), ALL_HEALTHY, "the death was noticed too soon");
    nodes[2] = nodes[2].spec.start();
    // Written at one survivor while the newcomer joins.
    write_keys(local(nodes[0].spec.redis()), 0..2_000, "while it joins");
    let mut expected = written(0..10_000, "lost from memory");
    expected.extend(written(0..2_000, "while it joins"));
    let left = REFILL_LIMIT.saturating_sub(nodes[2].started.elapsed());
    nodes[2].wait_ready(left);
    for node in &nodes {
        node.wait_contents(&expected, REFILL_LIMIT.saturating_sub(nodes[2].started.elapsed()));
        node.wait_members(&ALL_HEALTHY, PATIENCE);
    }
    let new = nodes[2].incarnation_of("c");
    assert_ne!(new, old);
    for node in &nodes[..2] {
        assert_eq!(node.incarnation_of("c"), new);
        assert_eq!(node.refused("name_taken"), 0);
    }
}

#[test]
fn a_node_that_stood_still_takes_deletes_and_flushes_over_and_brings_nothing_back() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 3);
    write_keys(local(nodes[2].spec.redis()), 0..2_000, "before");
    for node in &nodes {
        node.wait_contents(&written(0..2_000, "before"), PATIENCE);
    }
    nodes[2].signal("STOP");
    nodes[0].wait_members(&["a healthy", "b healthy", "c down"], DEATH_LIMIT);
    // Half by a flush, and of what was written anew some by deletes.
    assert_eq!(nodes[0].client().say("FLUSHALL"), Reply::ok());
    write_keys(local(nodes[1].spec.redis()), 1_900..2_100, "while c stood still");
    let mut door = nodes[1].client();
    for number in 1_950..2_000 {
        assert_eq!(door.say(&format!("DEL key:{number}")), Reply::Number(1));
    }
    nodes[2].signal("CONT");
    write_keys(local(nodes[2].spec.redis()), 5_000..5_010, "awake again");
    let mut expected = written(1_900..1_950, "while c stood still");
    expected.extend(written(2_000..2_100, "while c stood still"));
    expected.extend(written(5_000..5_010, "awake again"));
    for node in &nodes {
        node.wait_contents(&expected, REFILL_LIMIT);
        node.wait_members(&ALL_HEALTHY, PATIENCE);
    }
}

#[test]
fn a_first_node_without_seeds_is_found_by_the_others_when_it_returns() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    write_keys(local(nodes[0].spec.redis()), 0..1_000, "of the seed");
    nodes[1].wait_contents(&written(0..1_000, "of the seed"), PATIENCE);
    nodes[0].kill();
    nodes[0] = nodes[0].spec.start();
    wait_for("the Redis door of a is open", PATIENCE, || nodes[0].try_status());
    let left = REFILL_LIMIT.saturating_sub(nodes[0].started.elapsed());
    nodes[0].wait_contents(&written(0..1_000, "of the seed"), left);
    for node in &nodes {
        node.wait_members(&["a healthy", "b healthy"], PATIENCE);
    }
}

#[test]
fn a_seed_may_be_a_host_name() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let first = Spec::new(&dir, "a", &key).serve();
    write_keys(local(first.spec.redis()), 0..1_000, "there before");
    let seed = format!("localhost:{}", first.spec.peer());
    let second = Spec::new(&dir, "b", &key).with("--seed", &seed).serve();
    // Once: a node that serves has been filled.
    assert_eq!(second.contents(), Ok(written(0..1_000, "there before")));
    second.wait_members(&["a healthy", "b healthy"], JOIN_LIMIT);
}

#[test]
fn a_node_takes_no_write_while_a_seed_has_yet_to_answer() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    // It is there and says nothing.
    let silent = UdpSocket::bind(local(0)).expect("a socket");
    let port = silent.local_addr().expect("its port").port();
    for seed in [local(port).to_string(), format!("localhost:{port}")] {
        let node = Spec::new(&dir, "a", &key).with("--seed", &seed).start();
        let status = wait_for("its admin door is open", PATIENCE, || node.try_status());
        assert_eq!(status["state"], "joining", "with {seed}");
        for command in ["SET k v", "GET k", "DBSIZE", "FLUSHALL"] {
            let refused = node.client().say(command);
            assert!(
                matches!(&refused, Reply::Error(text) if text.starts_with("LOADING ")),
                "{command}: {refused:?}"
            );
        }
        node.wait_ready(PATIENCE);
        assert_eq!(node.client().say("SET k v"), Reply::ok());
    }
}

#[test]
fn status_reports_what_operators_and_programs_look_for() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 2);
    write_keys(local(nodes[0].spec.redis()), 0..100, "x");
    nodes[1].wait_contents(&written(0..100, "x"), PATIENCE);
    let status = wait_for("a's writes are acknowledged", PATIENCE, || {
        let status = nodes[0].status();
        if status["replication"]["sent"] == 100 { Ok(status) } else { Err(status.to_string()) }
    });
    assert_eq!(status["node"], "a");
    assert_eq!(status["cluster"], "rumour");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["state"], "healthy");
    assert_eq!(status["keys"], 100);
    assert_eq!(status["replication"]["queued"], 0);
    assert_eq!(status["conflicts"], 0);
    assert!(status["uptime_s"].as_f64().is_some_and(|uptime| uptime > 0.0), "{status}");
    assert!(status["sync"]["sessions"].is_u64() && status["sync"]["entries_received"].is_u64(), "{status}");
    assert!(status["sync"].get("last_s").is_some(), "{status}");
    assert_eq!(status["members"][1]["node"], "b");
    assert_eq!(status["members"][1]["addr"], local(nodes[1].spec.peer()).to_string());
    assert!(status["members"][1]["incarnation"].as_str().is_some_and(|text| text.len() == 16), "{status}");
    let applied = &nodes[1].status()["replication"]["applied"];
    assert!(applied.as_u64().is_some_and(|applied| applied >= 100), "{applied}");

    let url = format!("http://{}", local(nodes[1].spec.admin()));
    let output = run(dir.path(), &["status", "--admin", &url]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("b in cluster rumour: healthy, up 0:00:"), "{text}");
    assert!(text.contains("keys 100,") && text.lines().any(|line| line.starts_with("a  ")), "{text}");
}
