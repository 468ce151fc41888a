//! One seed is one run: what everything else here rests on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::process::Command;
use std::time::Duration;

use rumour_sim::net::node_address;
use rumour_sim::runner::{Settings, World, run};
use rumour_sim::scenario;

rumour_sim::entropy_hook!();

fn hash_in_this_process(name: &str, seed: u64) -> String {
    let scenario = scenario::find(name).unwrap();
    scenario.run(scenario.nodes_default, Settings::new(seed)).unwrap().trace_hash
}

fn hash_in_another_process(name: &str, seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rumour-sim"))
        .args(["run", name, "--json", "--seed", &seed.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    report["trace_hash"].as_str().unwrap().to_owned()
}

fn assert_repeats(name: &str, seed: u64) {
    let hash = hash_in_another_process(name, seed);
    assert_eq!(hash, hash_in_another_process(name, seed), "two processes, {name}, seed {seed}");
    assert_eq!(hash, hash_in_this_process(name, seed), "this process and another, {name}, seed {seed}");
    assert_eq!(hash, hash_in_this_process(name, seed), "twice in this process, {name}, seed {seed}");
}

#[test]
fn one_seed_gives_one_trace_in_one_process_and_in_two() {
    for seed in 0..4 {
        assert_repeats("network", seed);
    }
}

#[test]
fn the_same_holds_with_real_nodes() {
    for name in ["partition", "crash", "join"] {
        assert_repeats(name, 7);
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let mut hashes: Vec<_> = (0..8).map(|seed| hash_in_this_process("network", seed)).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 8);
}

/// Sends one datagram to each peer, in the order of a map whose keys come from outside the run: the planted
/// fault. A hash that did not cover order, or a check that compared too little, would not notice.
#[expect(clippy::disallowed_types, clippy::iter_over_hash_type, reason = "the planted fault")]
async fn send_in_map_order(world: World, map_key: u64) {
    use std::collections::HashSet;
    use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

    let socket = world.network().bind(node_address(0)).unwrap();
    let receivers: Vec<_> = (1..20).map(|node| world.network().bind(node_address(node)).unwrap()).collect();
    let shuffle = |address: &std::net::SocketAddr| {
        let mut hasher = DefaultHasher::new();
        (map_key, address).hash(&mut hasher);
        (hasher.finish(), *address)
    };
    let peers: HashSet<_, BuildHasherDefault<DefaultHasher>> =
        receivers.iter().map(|receiver| shuffle(&receiver.address())).collect();
    for (_, peer) in &peers {
        socket.send(*peer, b"hello".as_slice().into());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[test]
fn a_planted_iteration_over_a_randomly_seeded_map_is_noticed() {
    let hash =
        |map_key| run(Settings::new(1), move |world| send_in_map_order(world, map_key)).unwrap().trace.hash;
    let random_key = || {
        use std::hash::BuildHasher;
        // This thread is no simulation thread: its map keys are truly random.
        std::hash::RandomState::new().hash_one(0)
    };
    let fixed = random_key();
    assert_eq!(hash(fixed), hash(fixed), "the plant alone must be able to spoil the run");
    assert_ne!(hash(random_key()), hash(random_key()));
}
