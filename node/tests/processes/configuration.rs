//! Who belongs to the cluster: agreed on, never guessed.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Node, PATIENCE, Reply, Spec, TempDir, cluster, keygen, one_line, run, wait_for};

/// Runs a command against a node's admin door.
fn ask(dir: &TempDir, node: &Node, args: &[&str]) -> std::process::Output {
    let url = format!("http://{}", crate::support::local(node.spec.admin()));
    let mut args = args.to_vec();
    args.extend(["--admin", &url]);
    run(dir.path(), &args)
}

fn history(dir: &TempDir, node: &Node) -> Vec<Value> {
    let output = ask(dir, node, &["config-history", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The members of the latest configuration that a node knows, and its number and generation.
fn known(node: &Node) -> Result<(Value, u64, u64), String> {
    let configuration = &node.try_status()?["configuration"];
    let count = |name: &str| configuration[name].as_u64().ok_or_else(|| configuration.to_string());
    Ok((configuration["members"].clone(), count("number")?, count("generation")?))
}

#[track_caller]
fn wait_known(nodes: &[&Node], members: &[&str], within: Duration) {
    for node in nodes {
        wait_for("the members are agreed on", within, || match known(node)? {
            (known, ..) if known == serde_json::json!(members) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

#[test]
fn nodes_that_start_together_with_the_same_seeds_form_one_cluster() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let specs = ["a", "b", "c"].map(|name| Spec::new(&dir, name, &key).with("--bootstrap-expect", "2"));
    let ports = [0, 1, 2].map(|index: usize| specs[index].peer());
    let with_seeds = |spec: Spec| ports.iter().fold(spec, |spec, port| spec.seed(*port));
    let nodes = specs.map(|spec| with_seeds(spec).start());
    wait_known(&nodes.each_ref(), &["a", "b", "c"], PATIENCE);
    let founded = |node: &Node| node.status()["configuration"]["founded_ms"].clone();
    assert_eq!([founded(&nodes[1]), founded(&nodes[2])], [founded(&nodes[0]), founded(&nodes[0])]);
    let changes = history(&dir, &nodes[0]);
    assert_eq!(changes[0]["number"], 1, "{changes:?}");
    let text = ask(&dir, &nodes[0], &["config-history"]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.starts_with("number") && text.contains("+a") && text.contains("+b"), "{text}");
}

#[test]
fn clusters_that_were_founded_apart_turn_each_others_nodes_away() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let alone = ["a", "b"].map(|name| Spec::new(&dir, name, &key).serve());
    assert_eq!(alone[1].client().say("SET only b"), Reply::ok());
    assert_eq!(alone[0].client().say("FLUSHALL"), Reply::ok());
    let (first, second) = (alone[0].spec.peer(), alone[1].spec.peer());
    // It joins whichever it meets first, and then meets the other one.
    let between = Spec::new(&dir, "c", &key).seed(second).seed(first).start();
    wait_for("somebody is turned away", PATIENCE, || {
        let refused: u64 = [&alone[0], &alone[1], &between].map(|node| node.refused("clusters")).iter().sum();
        if refused > 0 { Ok(()) } else { Err("nobody".to_owned()) }
    });
    let trouble = wait_for("the seed is named with the cause", PATIENCE, || {
        let seeds = between.try_status()?["seeds"].clone();
        let errors = seeds.as_array().into_iter().flatten().filter_map(|seed| seed["error"].as_str());
        errors.map(str::to_owned).find(|error| error.contains("founded apart")).ok_or(seeds.to_string())
    });
    assert!(trouble.contains("with seeds"), "{trouble}");
    let members = |node: &Node| known(node).expect("it answers").0;
    assert!(members(&alone[0]) == serde_json::json!(["a"]) || members(&alone[1]) == serde_json::json!(["b"]));
    assert_eq!(alone[0].client().say("GET only"), Reply::Nil, "nothing of the other's comes over");
    assert_eq!(alone[1].client().say("GET only"), Reply::bulk("b"), "nor does a flush");
}

#[test]
fn one_of_two_restarts_and_takes_its_place_and_nothing_is_lost_as_they_take_turns() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
    assert_eq!(nodes[1].client().say("SET kept yes"), Reply::ok());
    let wait_kept = |node: &Node| {
        wait_for("the value is there", PATIENCE, || match node.client().say("GET kept") {
            reply if reply == Reply::bulk("yes") => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    wait_kept(&nodes[0]);
    let recovered = |node: &Node| known(node).map_or(0, |(.., generation)| generation);
    nodes[1].kill();
    nodes[1] = nodes[1].spec.start();
    nodes[1].wait_member(PATIENCE);
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
    assert_eq!(recovered(&nodes[0]), 1, "the survivor went on alone, then took it in");
    assert_eq!(nodes[1].client().say("GET kept"), Reply::bulk("yes"));
    // The first one was started without seeds, and is again.
    nodes[0].kill();
    nodes[0] = nodes[0].spec.start();
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
    nodes[0].wait_member(PATIENCE);
    wait_kept(&nodes[0]);
}

#[test]
fn who_never_comes_back_is_forgotten_when_an_operator_says_so() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
    let forget = |node: &Node, name: &str| ask(&dir, node, &["forget", name]);
    assert!(one_line(&forget(&nodes[0], "b"), 1).contains("b is healthy"));
    assert!(one_line(&forget(&nodes[0], "a"), 1).contains("cannot forget itself"));
    assert!(one_line(&forget(&nodes[0], "z"), 1).contains("z is no member"));
    assert!(one_line(&forget(&nodes[0], "Z!"), 2).contains("Z!"));
    nodes[1].kill();
    nodes[0].wait_members(&["a healthy", "b down"], PATIENCE);
    assert_eq!(
        known(&nodes[0]).expect("it answers").0,
        serde_json::json!(["a", "b"]),
        "one of two decides nothing"
    );
    let output = forget(&nodes[0], "b");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "b is forgotten", "{output:?}");
    wait_known(&[&nodes[0]], &["a"], PATIENCE);
    nodes[0].wait_members(&["a healthy"], PATIENCE);
    let output = ask(&dir, &nodes[0], &["forget", "b", "--json"]);
    assert!(one_line(&output, 1).contains("b is no member"));
    // The name is free for another start.
    nodes[1] = nodes[1].spec.start();
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
}

#[test]
fn who_was_forgotten_by_mistake_stops_and_joins_anew() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 3);
    wait_known(&[&nodes[0], &nodes[1], &nodes[2]], &["a", "b", "c"], PATIENCE);
    nodes[2].signal("STOP");
    nodes[0].wait_members(&["a healthy", "b healthy", "c down"], PATIENCE);
    nodes[1].wait_members(&["a healthy", "b healthy", "c down"], PATIENCE);
    assert!(ask(&dir, &nodes[0], &["forget", "c"]).status.success());
    wait_known(&[&nodes[0], &nodes[1]], &["a", "b"], PATIENCE);
    nodes[2].signal("CONT");
    assert_eq!(nodes[2].wait_end(PATIENCE).code(), Some(1));
    assert!(nodes[2].log().contains("was told to forget this node"), "{}", nodes[2].log());
    nodes[2] = nodes[2].spec.start();
    wait_known(&[&nodes[0], &nodes[1], &nodes[2]], &["a", "b", "c"], PATIENCE);
    for node in &nodes {
        node.wait_members(&["a healthy", "b healthy", "c healthy"], PATIENCE);
    }
}
