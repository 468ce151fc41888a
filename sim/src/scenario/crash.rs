//! Nodes killed with their memory and started again under the same name, at once or after a while.

use std::time::Duration;

use super::common::{crash_now_and_then, draw_cluster, draw_links, draw_workload, heal_and_check};
use super::{Evidence, Figures, Scenario, Script};
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
    crash_now_and_then(&cluster, &mut world.rng("crashes")).await;
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
