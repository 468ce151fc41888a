//! Nodes that come back without their memory and with a clock behind what they wrote before: they must hear their peers'
//! clocks before they write.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::common::{draw_cluster, draw_workload, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, node_name};
use crate::net::LinkFaults;
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rewind",
    summary: "nodes with fast clocks are killed and come back empty, their clocks behind what they wrote",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
        Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// How far a clock is off the truth: two clocks stay within the 500 ms that nodes bear.
const ERROR_MS: i64 = 230;
/// Time for what a dead node sent last to arrive, so that its peers know of it when it comes back.
const LAST_WORDS: Duration = Duration::from_millis(100);

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("rewinds");
    // Quick links, so that a node serves before its wall clock has made up for what it is behind.
    let links = LinkFaults { latency_ms: rng.random_range(1..=3), ..LinkFaults::NONE };
    world.parameter("links", links);
    world.network().set_faults(links);
    cluster.start_all().await;
    let (workload, settings) = draw_workload(&cluster);
    let restarts = rng.random_range(3..=10);
    world.parameter("restarts", restarts);
    for _ in 0..restarts {
        pass(&cluster, Duration::from_millis(rng.random_range(200..3_000))).await;
        if let Some(&node) = cluster.running().choose(&mut rng) {
            rewind(&cluster, node).await;
        }
    }
    heal_and_check(&cluster, workload, settings, Duration::from_millis(ERROR_MS.unsigned_abs())).await
}

/// Kills a node whose clock is ahead and starts it again with its clock behind, then sets the clock right.
async fn rewind(cluster: &Cluster, node: usize) {
    cluster.jump_clock(node, ERROR_MS);
    pass(cluster, LAST_WORDS).await;
    cluster.crash(node);
    sleep(LAST_WORDS).await;
    cluster.jump_clock(node, -2 * ERROR_MS);
    if let Err(error) = cluster.start_hearing(node).await {
        cluster.world().violation("a node starts", format!("{}: {error}", node_name(node)));
        return;
    }
    cluster.wait_until_serving(node).await;
    pass(cluster, LAST_WORDS).await;
    cluster.jump_clock(node, ERROR_MS);
}
