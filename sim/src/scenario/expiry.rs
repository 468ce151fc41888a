//! Keys of all types that end soon, on nodes whose clocks differ, while the network is cut: nothing that has ended
//! shows again, and nodes do not disagree for ever about what has.

use std::time::Duration;

use rand::Rng;

use super::common::{cut_for_a_while, draw_cluster, draw_links, draw_workload_of, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "expiry",
    summary: "keys of all types end soon on nodes whose clocks differ, while the network is cut",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 },
        Evidence { what: "a contribution", met: |report| report.figures.contributions > 0 },
        Evidence { what: "an expiry that took effect", met: |report| report.figures.expired > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// Half of what nodes follow without question, so that any two of them get along.
const SKEW_MS_MAX: i64 = 240;

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("clocks");
    for node in 0..nodes {
        cluster.jump_clock(node, rng.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX));
    }
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload_of(&cluster, |settings, rng| {
        settings.ttl_ms_max = rng.random_range(200..=3_000);
        settings.keys = rng.random_range(5..=40);
        settings.collections.permille = rng.random_range(200..=600);
        settings.collections.expires = true;
    });
    let cuts = rng.random_range(1..=3);
    world.parameter("cuts", cuts);
    for _ in 0..cuts {
        pass(&cluster, Duration::from_millis(rng.random_range(500..5_000))).await;
        cut_for_a_while(&cluster, &mut rng, Duration::from_secs(12)).await;
    }
    let skew = Duration::from_millis(SKEW_MS_MAX.unsigned_abs() * 2);
    heal_and_check(&cluster, workload, settings, skew).await
}
