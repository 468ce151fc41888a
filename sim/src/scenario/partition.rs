//! Nodes cut in two, both sides writing the same and different keys, then healed.

use std::time::Duration;

use rand::Rng;

use super::common::{cut_for_a_while, draw_cluster, draw_links, draw_workload, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "partition",
    summary: "the network is cut in two again and again while both sides write, then healed",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence {
            what: "acknowledged writes on both sides of a cut",
            met: |report| report.figures.acked_writes_by_side.iter().all(|writes| *writes > 0),
        },
        Evidence { what: "a conflict", met: |report| report.figures.conflicts > 0 },
        Evidence { what: "a datagram stopped by a cut", met: |report| report.traffic.cut > 0 },
        Evidence { what: "a datagram lost by chance", met: |report| report.traffic.lost > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let mut rng = world.rng("cuts");
    let cuts = rng.random_range(1..=3);
    world.parameter("cuts", cuts);
    for _ in 0..cuts {
        pass(&cluster, Duration::from_millis(rng.random_range(500..8_000))).await;
        cut_for_a_while(&cluster, &mut rng, Duration::from_secs(30)).await;
    }
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
