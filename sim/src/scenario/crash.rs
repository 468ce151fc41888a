//! Nodes killed with their memory and started again under the same name, at once or after a while.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::common::{draw_cluster, draw_links, draw_workload, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, node_name};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "crash",
    summary: "nodes are killed with all they held and started again under the same name",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
        Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let mut rng = world.rng("crashes");
    let crashes = rng.random_range(1..=4);
    world.parameter("crashes", crashes);
    let mut restarts = Vec::new();
    for _ in 0..crashes {
        pass(&cluster, Duration::from_millis(rng.random_range(200..10_000))).await;
        // One node always stays up: what nobody remembers cannot be checked.
        let running = cluster.running();
        if running.len() < 2 {
            continue;
        }
        let Some(&victim) = running.choose(&mut rng) else { continue };
        cluster.crash(victim);
        // Some come back while the others still think that they never went.
        let away_ms = if rng.random() { rng.random_range(0..1_000) } else { rng.random_range(1_000..25_000) };
        restarts.push(tokio::spawn(restart(cluster.clone(), victim, Duration::from_millis(away_ms))));
    }
    for restart in restarts {
        // A panic in a task ends the whole run.
        let _ = restart.await;
    }
    pass(&cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}

async fn restart(cluster: Cluster, node: usize, away: Duration) {
    sleep(away).await;
    let held = cluster.held_by_all();
    if let Err(error) = cluster.start(node).await {
        cluster.world().violation("a node starts", format!("{}: {error}", node_name(node)));
        return;
    }
    if cluster.wait_until_serving(node).await {
        cluster.check_filled(node, &held);
    }
}
