//! An entry in many parts, whose link breaks midway.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use rumour::{Tuning, Writer};
use rumour_sim::Simulation;
use rumour_sim::cluster::{Cluster, Cut};
use rumour_sim::net::LinkFaults;
use tokio::time::{sleep, timeout};

rumour_sim::entropy_hook!();

/// Of a set, as the checks know by its first letter.
const KEY: &[u8] = b"+set-large";
const MEMBERS: usize = 1_000;
/// Of each member's name.
const NAME_BYTES: usize = 2_500;
const WHOLE_ENTRY_BYTES: usize = 20_000;
/// Pieces that the set is cut into, at least.
const PARTS_MIN: u64 = 100;

/// Two nodes, and a set that is far too large for a message.
fn simulation(seed: u64) -> Simulation {
    let tuning = Tuning { whole_entry_bytes: WHOLE_ENTRY_BYTES, ..Tuning::default() };
    Simulation::new(seed).nodes(2).tuning(tuning)
}

fn fill(cluster: &Cluster, node: usize) {
    let engine = cluster.engine(node).unwrap();
    for member in 0..MEMBERS {
        let put = |key: &mut Writer<'_>| {
            key.members().map(|mut set| set.put(format!("{member:0NAME_BYTES$}").as_bytes(), (), None))
        };
        engine.write(KEY, put).unwrap().unwrap();
    }
}

fn members(cluster: &Cluster, node: usize) -> usize {
    let engine = cluster.engine(node).unwrap();
    engine.read(KEY, |view| view.and_then(|view| view.members().map(rumour::Fields::len)).unwrap_or(0))
}

fn parts(cluster: &Cluster, node: usize) -> u64 {
    cluster.engine(node).unwrap().status().replication.parts_received
}

/// Waits until some parts are there, and not all.
async fn midway(cluster: &Cluster, node: usize, before: u64) {
    while parts(cluster, node) < before + 3 {
        sleep(Duration::from_micros(200)).await;
    }
    assert!(parts(cluster, node) < before + PARTS_MIN / 2, "it came all at once");
    assert_eq!(members(cluster, node), 0, "parts show nothing");
}

async fn arrives(cluster: &Cluster, node: usize) {
    let there = async {
        while members(cluster, node) < MEMBERS {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), there).await.unwrap();
}

#[test]
fn a_link_that_is_cut_midway_sends_everything_anew() {
    let outcome = simulation(5).run(|cluster| async move {
        fill(&cluster, 0);
        midway(&cluster, 1, 0).await;
        cluster.cut(Cut::BothWays, &[0], &[1]);
        // Until both have given the connection up.
        sleep(Duration::from_secs(30)).await;
        let before = parts(&cluster, 1);
        assert!(before < PARTS_MIN);
        cluster.join_sides();
        arrives(&cluster, 1).await;
        parts(&cluster, 1) - before
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.violations, []);
    assert!(outcome.output.unwrap() >= PARTS_MIN, "from the first part on");
}

#[test]
fn a_node_that_joins_has_it_before_it_serves_also_when_it_is_killed_midway() {
    let outcome = simulation(6).run(|cluster| async move {
        cluster.crash(1);
        sleep(Duration::from_secs(1)).await;
        fill(&cluster, 0);
        cluster.start(1).await.unwrap();
        midway(&cluster, 1, 0).await;
        assert!(!cluster.engine(1).unwrap().is_serving());
        cluster.crash(1);
        sleep(Duration::from_secs(3)).await;
        cluster.start(1).await.unwrap();
        cluster.wait_until_serving(1).await;
        members(&cluster, 1)
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.output, Some(MEMBERS));
}

#[test]
fn a_node_that_joins_waits_for_what_sync_leaves_to_replication() {
    let tuning = Tuning { whole_entry_bytes: WHOLE_ENTRY_BYTES, outbox_keys_limit: 1, ..Tuning::default() };
    let outcome = Simulation::new(7).nodes(2).tuning(tuning).run(|cluster| async move {
        // So slow that the set takes longer than the rest of the session.
        cluster.world().network().set_faults(LinkFaults { latency_ms: 100, ..LinkFaults::NONE });
        cluster.crash(1);
        // The queue for the dead node takes this key and no other.
        cluster.cache(0).unwrap().set("small", "v").await.unwrap();
        fill(&cluster, 0);
        cluster.start(1).await.unwrap();
        while !cluster.engine(1).unwrap().is_serving() {
            sleep(Duration::from_millis(1)).await;
        }
        (members(&cluster, 1), cluster.entries_handed())
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.violations, []);
    let (members, handed) = outcome.output.unwrap();
    assert_eq!(members, MEMBERS);
    assert!(handed > 0, "it came otherwise");
}
