//! Counters and collections that are contributed to on both sides of cuts, one type a scenario: in the end each must
//! show exactly what was contributed to it.

use std::time::Duration;

use rand::Rng;
use rumour::Kind;

use super::common::{cut_for_a_while, draw_cluster, draw_links, draw_workload_of, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::runner::World;

pub(super) const COUNTERS: Scenario = Scenario {
    name: "counters",
    summary: "both sides of a cut count up, down and from nothing; no increment may be lost or count twice",
    script: |world, nodes| -> Script { Box::pin(script(world, nodes, Kind::String)) },
    ..BASE
};

pub(super) const SETS: Scenario = Scenario {
    name: "sets",
    summary: "both sides of a cut add to sets and remove from them; what was added and not removed must be there",
    script: |world, nodes| -> Script { Box::pin(script(world, nodes, Kind::Set)) },
    ..BASE
};

pub(super) const MAPS: Scenario = Scenario {
    name: "maps",
    summary: "both sides of a cut put, count and remove fields of maps, which must show exactly that",
    script: |world, nodes| -> Script { Box::pin(script(world, nodes, Kind::Map)) },
    ..BASE
};

pub(super) const SORTED_SETS: Scenario = Scenario {
    name: "sorted-sets",
    summary: "both sides of a cut put, raise and remove members of sorted sets, which must show exactly that",
    script: |world, nodes| -> Script { Box::pin(script(world, nodes, Kind::SortedSet)) },
    ..BASE
};

const BASE: Scenario = Scenario {
    name: "",
    summary: "",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence {
            what: "acknowledged writes on both sides of a cut",
            met: |report| report.figures.acked_writes_by_side.iter().all(|writes| *writes > 0),
        },
        Evidence { what: "a contribution", met: |report| report.figures.contributions > 0 },
        Evidence { what: "a datagram stopped by a cut", met: |report| report.traffic.cut > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes, Kind::Set)) },
};

async fn script(world: World, nodes: usize, kind: Kind) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload_of(&cluster, |settings, rng| {
        settings.collections.kind = Some(kind);
        settings.collections.permille = rng.random_range(600..=1000);
        settings.pause_ms_max = rng.random_range(20..=150);
    });
    let mut rng = world.rng("cuts");
    let cuts = rng.random_range(1..=3);
    world.parameter("cuts", cuts);
    for _ in 0..cuts {
        pass(&cluster, Duration::from_millis(rng.random_range(500..5_000))).await;
        cut_for_a_while(&cluster, &mut rng, Duration::from_secs(15)).await;
    }
    heal_and_check(&cluster, workload, settings, Duration::ZERO).await
}
