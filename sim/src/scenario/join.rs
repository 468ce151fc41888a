//! Nodes that start one by one while clients write at those that are there.

use std::time::Duration;

use rand::Rng;

use super::common::{draw_cluster, draw_links, draw_workload, heal_and_check, pass, start};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "join",
    summary: "nodes start one by one while clients write",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 }],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let mut rng = world.rng("joins");
    for node in 0..nodes {
        let held = cluster.held_by_all();
        start(&cluster, node).await;
        if cluster.wait_until_serving(node).await {
            cluster.check_filled(node, &held);
        }
        pass(&cluster, Duration::from_millis(rng.random_range(0..8_000))).await;
    }
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
