//! A node that is told to stop says goodbye and leaves nothing behind.

use std::time::Duration;

use crate::support::{
    Contents, PATIENCE, Reply, Spec, TempDir, cluster, free_ports, keygen, local, write_keys, written,
};

/// How long a node may take to stop once it is told to.
const STOP_LIMIT: Duration = Duration::from_secs(25);

#[test]
fn a_node_that_leaves_is_no_longer_listed_and_its_last_writes_stay() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 3);
    write_keys(local(nodes[2].spec.redis()), 0..5_000, "last words");
    nodes[2].signal("TERM");
    assert_eq!(nodes[2].wait_end(STOP_LIMIT).code(), Some(0));
    for node in &nodes[..2] {
        node.wait_members(&["a healthy", "b healthy"], Duration::from_secs(5));
        node.wait_contents(&written(0..5_000, "last words"), PATIENCE);
    }
    // It may come back under its name, and need not wait for anything.
    nodes[2] = nodes[2].spec.serve();
    for node in &nodes {
        node.wait_members(&["a healthy", "b healthy", "c healthy"], PATIENCE);
    }
    nodes[2].wait_contents(&written(0..5_000, "last words"), PATIENCE);
}

#[test]
fn what_a_slow_peer_has_not_taken_yet_is_handed_over_before_the_node_stops() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    nodes[0].signal("STOP");
    // More than the sockets between the two would hold.
    let value = vec![b'x'; 100_000];
    let mut expected = Contents::new();
    let mut door = nodes[1].client();
    for number in 0..400 {
        let key = format!("key:{number}").into_bytes();
        assert_eq!(door.call(&[b"SET", &key, &value]), Reply::ok());
        expected.insert(key, value.clone());
    }
    nodes[1].signal("TERM");
    std::thread::sleep(Duration::from_secs(1));
    nodes[0].signal("CONT");
    assert_eq!(nodes[1].wait_end(STOP_LIMIT).code(), Some(0));
    nodes[0].wait_contents(&expected, PATIENCE);
}

#[test]
fn writes_that_nobody_has_taken_are_owned_up_to() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    nodes[0].signal("STOP");
    write_keys(local(nodes[1].spec.redis()), 0..1_000, "alone");
    nodes[1].signal("TERM");
    assert_eq!(nodes[1].wait_end(STOP_LIMIT).code(), Some(1));
    let log = nodes[1].log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("1000 keys that no peer had acknowledged"), "{last}");
    assert!(!log.contains('\x1b'), "a file has no colours");
}

#[test]
fn a_node_leaves_in_time_although_a_peer_has_just_died() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 3);
    nodes[1].kill();
    write_keys(local(nodes[2].spec.redis()), 0..1_000, "x");
    nodes[0].wait_contents(&written(0..1_000, "x"), PATIENCE);
    nodes[2].signal("TERM");
    assert_eq!(nodes[2].wait_end(STOP_LIMIT).code(), Some(0), "a living peer has everything");
}

#[test]
fn a_node_stops_while_it_still_looks_for_its_seeds() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let mut node = Spec::new(&dir, "a", &key).seed(free_ports(1)).start();
    crate::support::wait_for("its admin door is open", PATIENCE, || node.try_status());
    node.signal("INT");
    assert_eq!(node.wait_end(STOP_LIMIT).code(), Some(0));
}
