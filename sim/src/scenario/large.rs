//! Entries that no message can carry whole: they travel in parts, through cuts and crashes that break links midway.

use std::time::Duration;

use rand::Rng;
use rumour::Tuning;

use super::common::{
    crash_now_and_then, cut_for_a_while, draw_cluster_tuned, draw_links, draw_workload_of, heal_and_check,
    pass,
};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "large",
    summary: "nearly every entry is too large for a message and travels in parts, while nodes crash and links break",
    nodes_default: 4,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "a part of an entry that arrived", met: |report| report.figures.parts_received > 0 },
        Evidence {
            what: "an entry that sync left to replication",
            met: |report| report.figures.entries_handed > 0,
        },
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
        Evidence { what: "a contribution", met: |report| report.figures.contributions > 0 },
        Evidence { what: "a datagram stopped by a cut", met: |report| report.traffic.cut > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let mut rng = world.rng("large");
    let whole_entry_bytes = rng.random_range(100..=1_500);
    world.parameter("whole_entry_bytes", whole_entry_bytes);
    let cluster = draw_cluster_tuned(&world, nodes, &Tuning { whole_entry_bytes, ..Tuning::default() });
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload_of(&cluster, |settings, rng| {
        settings.collections.permille = rng.random_range(300..=700);
        settings.keys = rng.random_range(10..=60);
    });
    for _ in 0..rng.random_range(1..=2) {
        pass(&cluster, Duration::from_millis(rng.random_range(500..4_000))).await;
        cut_for_a_while(&cluster, &mut rng, Duration::from_secs(15)).await;
    }
    crash_now_and_then(&cluster, &mut world.rng("crashes")).await;
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
