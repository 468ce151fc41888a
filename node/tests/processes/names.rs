//! One name, one living node.

use std::time::Duration;

use crate::support::{Node, PATIENCE, Spec, TempDir, cluster, keygen, local, write_keys, written};

const SOON: Duration = Duration::from_secs(10);

/// Starts another node named `b`, sees it refused, and checks that the living one did not notice.
fn is_refused(dir: &TempDir, nodes: &mut [Node], seed: usize) {
    let key = dir.path().join("cluster.key");
    let incarnation = nodes[0].incarnation_of("b");
    let line = Spec::new(dir, "b", &key).seed(nodes[seed].spec.peer()).fails(1);
    let holder = local(nodes[1].spec.peer()).to_string();
    assert!(line.contains("the name b is taken by a living node at ") && line.contains(&holder), "{line}");
    // Longer than the living one waits before it looks whether the newcomer has gone.
    std::thread::sleep(Duration::from_secs(4));
    assert!(nodes[1].is_running());
    for node in nodes.iter() {
        assert_eq!(node.members().expect("it answers"), ["a healthy", "b healthy"]);
        assert_eq!(node.incarnation_of("b"), incarnation);
    }
    assert!(nodes[seed].refused("name_taken") >= 1);
    write_keys(local(nodes[1].spec.redis()), 0..100, "afterwards");
    nodes[0].wait_contents(&written(0..100, "afterwards"), SOON);
}

#[test]
fn a_second_node_of_a_name_is_refused_by_the_living_one_itself() {
    let dir = TempDir::new();
    is_refused(&dir, &mut cluster(&dir, 2), 1);
}

#[test]
fn a_second_node_of_a_name_is_refused_by_others_that_probe_the_living_one() {
    let dir = TempDir::new();
    is_refused(&dir, &mut cluster(&dir, 2), 0);
}

/// Two halves that knew nothing of each other each have an `a`; a newcomer that knows both halves brings them together.
#[test]
fn of_two_living_nodes_of_one_name_the_one_that_started_later_stops() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    // Two clusters that each thought itself the whole: the younger one gives way.
    let pair = |second: &str| {
        let first = Spec::new(&dir, "a", &key).with("--bootstrap-expect", "2");
        let second = Spec::new(&dir, second, &key).with("--bootstrap-expect", "2").seed(first.peer());
        let first = first.seed(second.peer()).start();
        let nodes = [first, second.start()];
        nodes.iter().for_each(|node| node.wait_member(PATIENCE));
        nodes
    };
    let mut elders = pair("b");
    let [mut later, friend] = pair("y");
    let bridge = Spec::new(&dir, "z", &key).seed(elders[1].spec.peer()).seed(friend.spec.peer()).serve();
    assert_eq!(later.wait_end(Duration::from_secs(40)).code(), Some(1));
    for node in [&elders[0], &elders[1], &friend, &bridge] {
        node.wait_members(&["a healthy", "b healthy", "y healthy", "z healthy"], Duration::from_secs(30));
        assert_eq!(node.incarnation_of("a"), elders[0].incarnation_of("a"));
    }
    assert!(elders[0].is_running());
}
