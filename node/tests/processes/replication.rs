//! What is written at one node is so at all.

use std::time::{Duration, Instant};

use crate::support::{Contents, PATIENCE, Reply, TempDir, cluster, local, wait_for, write_keys, written};

/// How long a write may take to reach everybody: less than the time between two sync sessions, which would repair what
/// replication has lost.
const REPLICATION_LIMIT: Duration = Duration::from_secs(6);

#[test]
fn fifty_thousand_pipelined_keys_reach_all_and_all_hold_the_same() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 3);
    std::thread::scope(|threads| {
        for (turn, node) in (0_u32..).zip(&nodes) {
            let numbers = turn * 16_000..turn * 16_000 + 18_000;
            threads.spawn(move || write_keys(local(node.spec.redis()), numbers, "same"));
        }
    });
    for node in &nodes {
        node.wait_contents(&written(0..50_000, "same"), REPLICATION_LIMIT);
    }
}

#[test]
fn concurrent_writes_of_the_same_keys_end_in_the_same_values() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 3);
    std::thread::scope(|threads| {
        for node in &nodes {
            threads.spawn(|| write_keys(local(node.spec.redis()), 0..5_000, &node.spec.name));
        }
    });
    wait_for("all hold the same", REPLICATION_LIMIT, || {
        let mut held = Vec::new();
        for node in &nodes {
            held.push(node.contents()?);
        }
        let differing =
            |one: &Contents| one.iter().filter(|(key, value)| held[0].get(*key) != Some(value)).count();
        match held.iter().map(differing).sum() {
            0 if held.iter().all(|one| one.len() == 5_000) => Ok(()),
            differing => Err(format!("{differing} values differ")),
        }
    });
    let conflicts: u64 = nodes.iter().filter_map(|node| node.status()["conflicts"].as_u64()).sum();
    assert!(conflicts > 0, "nothing was written concurrently");
}

#[test]
fn a_delete_and_an_expiry_are_seen_elsewhere_within_a_second() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 3);
    let mut doors: Vec<_> = nodes.iter().map(crate::support::Node::client).collect();
    assert_eq!(doors[0].say("SET k v EX 60"), Reply::ok());
    let limit = Duration::from_secs(1);
    wait_for("k is at c", limit, || match doors[2].say("GET k") {
        Reply::Bulk(value) if value == b"v" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let Reply::Number(ttl) = doors[2].say("TTL k") else { panic!("no number") };
    assert!((55..=60).contains(&ttl), "{ttl}");
    assert_eq!(doors[1].say("DEL k"), Reply::Number(1));
    for door in [0, 2] {
        wait_for("k is gone", limit, || match doors[door].say("GET k") {
            Reply::Nil => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    assert_eq!(doors[0].say("SET short-lived v PX 1500"), Reply::ok());
    let written = Instant::now();
    wait_for("it is at b", limit, || match doors[1].say("EXISTS short-lived") {
        Reply::Number(1) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    std::thread::sleep(Duration::from_millis(1600).saturating_sub(written.elapsed()));
    for door in &mut doors {
        assert_eq!(door.say("GET short-lived"), Reply::Nil);
        assert_eq!(door.say("DBSIZE"), Reply::Number(0));
    }
}

#[test]
fn a_flush_empties_all_and_what_is_written_afterwards_stays() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 3);
    write_keys(local(nodes[0].spec.redis()), 0..2_000, "before");
    for node in &nodes {
        node.wait_contents(&written(0..2_000, "before"), REPLICATION_LIMIT);
    }
    nodes[2].kill();
    assert_eq!(nodes[1].client().say("FLUSHALL"), Reply::ok());
    write_keys(local(nodes[1].spec.redis()), 1_900..2_100, "after");
    let expected = written(1_900..2_100, "after");
    for node in &nodes[..2] {
        node.wait_contents(&expected, REPLICATION_LIMIT);
    }
    nodes[2] = nodes[2].spec.serve();
    for node in &nodes {
        node.wait_contents(&expected, PATIENCE);
    }
    assert_eq!(nodes[2].client().say("FLUSHALL"), Reply::ok());
    for node in &nodes {
        node.wait_contents(&Contents::new(), REPLICATION_LIMIT);
    }
}

#[test]
fn the_largest_value_reaches_all_also_one_that_was_away() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    let value: Vec<u8> = (0_u32..2 * 1024 * 1024).flat_map(u32::to_le_bytes).collect();
    assert_eq!(nodes[0].client().call(&[b"SET", b"large", &value]), Reply::ok());
    let expected = Contents::from([(b"large".to_vec(), value)]);
    nodes[1].wait_contents(&expected, REPLICATION_LIMIT);
    nodes[1].kill();
    nodes[1] = nodes[1].spec.serve();
    nodes[1].wait_contents(&expected, PATIENCE);
    assert_eq!(nodes[0].client().say("DEL large"), Reply::Number(1));
    nodes[1].wait_contents(&Contents::new(), REPLICATION_LIMIT);
}

#[test]
fn increments_at_several_nodes_at_once_add_up() {
    const INCREMENTS: i64 = 500;
    let dir = TempDir::new();
    let nodes = cluster(&dir, 3);
    std::thread::scope(|threads| {
        for node in &nodes {
            threads.spawn(|| {
                let mut door = node.client();
                for _ in 0..INCREMENTS {
                    assert!(matches!(door.say("INCR hits"), Reply::Number(1..)));
                    assert!(matches!(door.say("HINCRBY page hits 2"), Reply::Number(1..)));
                }
            });
        }
    });
    let total = |factor: i64| Reply::bulk(&(INCREMENTS * nodes.len() as i64 * factor).to_string());
    for node in &nodes {
        let mut door = node.client();
        wait_for("all increments are there", REPLICATION_LIMIT, || {
            let shown = (door.say("GET hits"), door.say("HGET page hits"));
            if shown == (total(1), total(2)) { Ok(()) } else { Err(format!("{shown:?}")) }
        });
    }
}

#[test]
fn a_transaction_does_nothing_if_a_watched_key_was_changed_at_another_node() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 2);
    let (mut here, mut there) = (nodes[0].client(), nodes[1].client());
    let mut other = nodes[0].client();
    for (elsewhere, expected) in
        [("SET watched theirs", Reply::Nil), ("SET unwatched theirs", Reply::Many(vec![Reply::ok()]))]
    {
        assert_eq!(here.say("SET watched mine"), Reply::ok());
        assert_eq!(here.say("SET unwatched mine"), Reply::ok());
        for key in ["watched", "unwatched"] {
            wait_for("it is there", REPLICATION_LIMIT, || match there.say(&format!("GET {key}")) {
                reply if reply == Reply::bulk("mine") => Ok(()),
                reply => Err(format!("{reply:?}")),
            });
        }
        assert_eq!(here.say("WATCH watched"), Reply::ok());
        assert_eq!(there.say(elsewhere), Reply::ok());
        let changed = elsewhere.split(' ').nth(1).expect("a key");
        wait_for("the change is here", REPLICATION_LIMIT, || match other.say(&format!("GET {changed}")) {
            reply if reply == Reply::bulk("theirs") => Ok(()),
            reply => Err(format!("{reply:?}")),
        });
        assert_eq!(here.say("MULTI"), Reply::ok());
        here.say("SET result done");
        assert_eq!(here.say("EXEC"), expected, "{elsewhere}");
    }
}
