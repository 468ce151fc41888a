//! Deletes, expiries and re-creations beside cuts that last longer than it takes to forget what is dead, while nodes crash, stall
//! and leave: nothing that was deleted comes back, and in the end nothing dead is remembered.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rumour::Tuning;

use super::common::{draw_cluster_tuned, draw_links, end, heal, pass, start};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, Cut};
use crate::runner::World;
use crate::workload::{Workload, WorkloadSettings};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "deletes",
    summary: "cuts that last longer than tombstones are kept; what was deleted stays deleted, and is forgotten in the end",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "a collected tombstone", met: |report| report.figures.removed.collected > 0 },
        Evidence {
            what: "a cut longer than collection takes",
            met: |report| report.figures.cut_s_max > COLLECTION_S,
        },
        Evidence {
            what: "acknowledged writes on both sides of a cut",
            met: |report| report.figures.acked_writes_by_side.iter().all(|writes| *writes > 0),
        },
        Evidence {
            what: "an entry turned away at the fence",
            met: |report| report.figures.collected_again > 0,
        },
        Evidence { what: "a tombstone forced out", met: |report| report.figures.removed.forced > 0 },
        Evidence { what: "an entry gone by a peer's word", met: |report| report.figures.removed.gone > 0 },
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// What it takes a cluster that is well to forget what is dead, about.
const COLLECTION_S: f64 = 90.0;
/// What it may take after healing.
const FORGET_BOUND: Duration = Duration::from_secs(240);
const ROUNDS_MAX: usize = 3;

/// What happens to a node of one side during a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    Nothing,
    Crash,
    Stall,
}

async fn script(world: World, nodes: usize) -> Figures {
    let mut rng = world.rng("deletes");
    let pressed = rng.random_ratio(1, 4);
    let tombstones_limit =
        if pressed { rng.random_range(4..=20) } else { Tuning::default().tombstones_limit };
    world.parameter("tombstones_limit", tombstones_limit);
    let tuning = Tuning { tombstones_limit, ..Tuning::default() };
    let cluster = draw_cluster_tuned(&world, nodes, &tuning);
    cluster.start_all().await;
    draw_links(&world);
    let settings = WorkloadSettings {
        clients: rng.random_range(2..=4),
        keys: rng.random_range(10..=60),
        pause_ms_max: rng.random_range(300..=1_500),
        flush_permille: if rng.random_ratio(1, 5) { 1 } else { 0 },
        ..WorkloadSettings::draw(&mut rng)
    };
    world.parameter("workload", settings);
    let workload = Workload::start(&cluster, settings);
    let rounds = rng.random_range(1..=ROUNDS_MAX);
    world.parameter("rounds", rounds);
    let mut cut_s_max: f64 = 0.0;
    for _ in 0..rounds {
        pass(&cluster, Duration::from_millis(rng.random_range(5_000..150_000))).await;
        let cut = round(&cluster, &mut rng, pressed).await;
        cut_s_max = cut_s_max.max(cut.as_secs_f64());
        if rng.random_ratio(1, 4) {
            leave_and_return(&cluster, &mut rng).await;
        }
    }
    let healed = heal(&cluster, workload, settings, Duration::ZERO).await;
    if healed.converged.is_some() {
        cluster.forget_the_dead(FORGET_BOUND).await;
        cluster.check_outcome();
    }
    Figures { cut_s_max, ..end(&cluster, healed).await }
}

/// Cuts the nodes in two for long; gives how long.
async fn round(cluster: &Cluster, rng: &mut SmallRng, pressed: bool) -> Duration {
    let mut shuffled = cluster.running();
    if shuffled.len() < 2 {
        return Duration::ZERO;
    }
    shuffled.shuffle(rng);
    let at = rng.random_range(1..shuffled.len());
    let (left, right) = shuffled.split_at(at);
    let cut = if rng.random_ratio(1, 6) { Cut::OneWay } else { Cut::BothWays };
    cluster.cut(cut, left, right);
    let (before, after) = (
        Duration::from_millis(rng.random_range(100..40_000)),
        Duration::from_millis(rng.random_range(1_000..200_000)),
    );
    // Whether values of a node that crashed had been seen cannot be told where tombstones are forced out.
    let beside = match rng.random_range(0..3) {
        0 if !pressed => Beside::Crash,
        1 => Beside::Stall,
        _ => Beside::Nothing,
    };
    pass(cluster, before).await;
    let node = shuffled.choose(rng).copied().unwrap_or(0);
    match beside {
        Beside::Nothing => pass(cluster, after).await,
        Beside::Stall => {
            cluster.stall(node);
            pass(cluster, after).await;
            cluster.resume(node);
        }
        Beside::Crash => {
            cluster.crash(node);
            let away = after.mul_f64(rng.random_range(0.0..1.0));
            pass(cluster, away).await;
            start(cluster, node).await;
            pass(cluster, after - away).await;
        }
    }
    cluster.check_tombstones().await;
    cluster.join_sides();
    before + after
}

async fn leave_and_return(cluster: &Cluster, rng: &mut SmallRng) {
    // A node that meets nobody when it starts again would write without having heard of any delete.
    pass(cluster, Duration::from_millis(rng.random_range(20_000..60_000))).await;
    let Some(&node) = cluster.running().choose(rng) else { return };
    // What it says it could not hand over may be lost with it; the books allow for that.
    let _ = cluster.leave(node).await;
    pass(cluster, Duration::from_millis(rng.random_range(0..100_000))).await;
    start(cluster, node).await;
    cluster.wait_until_serving(node).await;
}
