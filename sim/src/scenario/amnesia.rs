//! Nodes that lose their memory while they count, and come back under the same name: what reached a survivor stays,
//! nothing counts twice, and no part of a counter is taken for an earlier one.

use rand::Rng;

use super::common::{crash_now_and_then, draw_cluster, draw_links, draw_workload_of, heal_and_check};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "amnesia",
    summary: "nodes that count and collect are killed with all they held and come back under the same name",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
        Evidence { what: "a contribution", met: |report| report.figures.contributions > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload_of(&cluster, |settings, rng| {
        settings.collections.permille = rng.random_range(600..=1000);
        settings.collections.only_grows = true;
        settings.flush_permille = 0;
        settings.pause_ms_max = rng.random_range(20..=150);
    });
    crash_now_and_then(&cluster, &mut world.rng("crashes")).await;
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
