//! Nodes whose wall clocks differ, drift and jump, some of them far beyond what the others follow.

use std::time::Duration;

use rand::Rng;

use super::common::{draw_cluster, draw_links, draw_workload, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::Cut;
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "skew",
    summary: "wall clocks differ, drift and jump, also further than the others follow",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence {
            what: "a stamp from too far in the future",
            met: |report| report.figures.refused_future > 0,
        },
        Evidence {
            what: "a write refused because of the clock",
            met: |report| report.figures.refused_for_clock > 0,
        },
        Evidence { what: "a conflict", met: |report| report.figures.conflicts > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// Half of what nodes follow without question, so that two nodes with such clocks get along.
const MILD_MS_MAX: i64 = 240;
const WILD_MS_MAX: i64 = 20_000;
const DRIFT_PPM_MAX: i32 = 500;

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("clocks");
    for node in 0..nodes {
        cluster.jump_clock(node, rng.random_range(-MILD_MS_MAX..=MILD_MS_MAX));
        cluster.drift_clock(node, rng.random_range(-DRIFT_PPM_MAX..=DRIFT_PPM_MAX));
    }
    let jumps = rng.random_range(1..=5);
    let wild = rng.random_ratio(2, 3);
    world.parameter("jumps", jumps);
    world.parameter("wild", wild);
    // A node that starts out of everybody's reach cannot know that its clock is wrong, and writes into their future.
    let loner = (wild && rng.random_ratio(1, 2)).then(|| rng.random_range(0..nodes));
    world.parameter("loner", loner);
    if let Some(loner) = loner {
        let others: Vec<usize> = (0..nodes).filter(|node| *node != loner).collect();
        cluster.cut(Cut::BothWays, &[loner], &others);
        cluster.jump_clock(loner, rng.random_range(-WILD_MS_MAX + MILD_MS_MAX..=WILD_MS_MAX - MILD_MS_MAX));
    }
    cluster.start_all().await;
    if loner.is_none() {
        draw_links(&world);
    }
    let (workload, settings) = draw_workload(&cluster);
    if loner.is_some() {
        pass(&cluster, Duration::from_millis(rng.random_range(100..5_000))).await;
        cluster.join_sides();
        draw_links(&world);
    }
    for _ in 0..jumps {
        pass(&cluster, Duration::from_millis(rng.random_range(500..10_000))).await;
        let reach = if wild { WILD_MS_MAX } else { MILD_MS_MAX };
        let node = rng.random_range(0..nodes);
        let ms = rng.random_range(-reach..=reach);
        // One jump at a time, so that errors do not add up.
        cluster.correct_clocks();
        cluster.jump_clock(node, ms);
    }
    pass(&cluster, Duration::from_millis(rng.random_range(500..10_000))).await;
    heal_and_check(&cluster, workload, settings, Duration::from_millis(WILD_MS_MAX.unsigned_abs())).await
}
