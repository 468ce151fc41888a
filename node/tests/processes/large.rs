//! Entries larger than any frame.

use std::time::Duration;

use crate::support::{Node, PATIENCE, Reply, Spec, TempDir, cluster, wait_for};

const FIELDS: u8 = 6;
const FIELD_BYTES: usize = 5 * 1024 * 1024;

/// Puts more into one key than a frame takes.
fn fill(node: &Node, key: &[u8]) {
    let mut client = node.client();
    for field in 0..FIELDS {
        let value = vec![field; FIELD_BYTES];
        assert_eq!(client.call(&[b"HSET", key, &[field], &value]), Reply::Number(1));
    }
}

/// Waits until the node has the key, to the last byte.
#[track_caller]
fn wait_filled(node: &Node, key: &[u8]) {
    let mut client = node.client();
    wait_for("the large key is there", PATIENCE, || match client.call(&[b"HLEN", key]) {
        Reply::Number(fields) if fields == i64::from(FIELDS) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    for field in 0..FIELDS {
        assert!(client.call(&[b"HGET", key, &[field]]) == Reply::Bulk(vec![field; FIELD_BYTES]), "{field}");
    }
}

fn parts_received(node: &Node) -> u64 {
    node.try_status().ok().and_then(|status| status["replication"]["parts_received"].as_u64()).unwrap_or(0)
}

#[test]
fn an_entry_larger_than_a_frame_reaches_all_live_and_when_they_join_also_after_a_kill_midway() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 2);
    fill(&nodes[0], b"live");
    wait_filled(&nodes[1], b"live");
    assert!(parts_received(&nodes[1]) > 0);

    let key_file = dir.path().join("cluster.key");
    let spec = Spec::new(&dir, "c", &key_file).seed(nodes[0].spec.peer());
    let mut late = spec.start();
    wait_for("a part is there", PATIENCE, || match parts_received(&late) {
        0 => Err("none".to_owned()),
        parts => Ok(parts),
    });
    late.kill();
    let late = spec.serve();
    // It serves only with all of it.
    let fields = late.client().call(&[b"HLEN", b"live"]);
    assert_eq!(fields, Reply::Number(i64::from(FIELDS)));
    wait_filled(&late, b"live");
    let handed: u64 = nodes.iter().filter_map(|node| node.status()["sync"]["entries_handed"].as_u64()).sum();
    assert!(handed > 0, "sync brought it itself");
    assert!(parts_received(&late) >= u64::from(FIELDS) * FIELD_BYTES as u64 / (256 * 1024));

    fill(&late, b"from the late one");
    for node in &nodes {
        wait_filled(node, b"from the late one");
    }
    // Sync is at rest then: nothing is sent again.
    let sent = parts_received(&nodes[0]) + parts_received(&nodes[1]);
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(parts_received(&nodes[0]) + parts_received(&nodes[1]), sent);
}
