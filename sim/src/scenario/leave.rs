//! Nodes that leave in good order with much to hand on, while clients write, and come back.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::common::{draw_cluster, draw_links, draw_workload, heal_and_check, pass, start};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;
use crate::workload::burst;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "leave",
    summary: "nodes leave right after many writes and come back; what they say they handed over must be there",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 },
        Evidence { what: "a node that handed all over", met: |report| report.figures.lost_from_memory == 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

const BURST_KEYS_MAX: usize = 200;

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let mut rng = world.rng("leaves");
    let leaves = rng.random_range(1..=3);
    world.parameter("leaves", leaves);
    for _ in 0..leaves {
        pass(&cluster, Duration::from_millis(rng.random_range(500..8_000))).await;
        let Some(&node) = cluster.running().choose(&mut rng) else { continue };
        burst(&cluster, node, rng.random_range(0..=BURST_KEYS_MAX));
        // What it says it could not hand over may be lost with it; the books allow for that.
        let _ = cluster.leave(node).await;
        pass(&cluster, Duration::from_millis(rng.random_range(0..10_000))).await;
        start(&cluster, node).await;
        cluster.wait_until_serving(node).await;
    }
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
