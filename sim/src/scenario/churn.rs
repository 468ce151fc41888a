//! Members that come and go, while clients read and write with quorums: what was acknowledged stays.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::Instant;

use super::common::{all_count, draw_cluster, draw_links, draw_workload_of, end, heal, pass, start};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, Cut, node_name};
use crate::runner::World;
use crate::workload::QuorumClients;

pub(super) const ROLLING: Scenario = Scenario {
    name: "rolling-restart",
    summary: "every node is stopped and started, one after the other, each once the one before is ready",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence { what: "a node that handed all over", met: |report| report.figures.lost_from_memory == 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(rolling(world, nodes)) },
};

pub(super) const REPLACE: Scenario = Scenario {
    name: "replace",
    summary: "members die for good and others of new names take their places",
    nodes_default: 6,
    nodes_min: 4,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence { what: "entries lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(replace(world, nodes)) },
};

pub(super) const FLAPPING: Scenario = Scenario {
    name: "flapping",
    summary: "fewer than half of the nodes crash, leave and are cut off every few seconds",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence { what: "entries lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(flapping(world, nodes)) },
};

pub(super) const ASYMMETRIC: Scenario = Scenario {
    name: "asymmetric",
    summary: "cuts in one direction only, and nodes that reach both sides of a cut",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence {
            what: "an operation without a quorum",
            met: |report| report.figures.quorum.refused + report.figures.quorum.unconfirmed > 0,
        },
    ],
    script: |world, nodes| -> Script { Box::pin(asymmetric(world, nodes)) },
};

/// After so long a member that crashed is down for others.
const DOWN_MS_MAX: u64 = 10_000;
/// How long a member may be silent before others take it out, and some time to agree on that.
const TAKEN_OUT_MS_MAX: u64 = 45_000;
/// How long it may take until the others are sure of it.
const FORGET_BOUND: Duration = Duration::from_secs(30);

async fn rolling(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let all: Vec<usize> = (0..nodes).collect();
    let mut rng = world.rng("restarts");
    let in_good_order: bool = rng.random();
    world.parameter("in_good_order", in_good_order);
    work_through(&world, &cluster, &all, async |cluster| {
        for &node in &all {
            match in_good_order {
                // What it says it could not hand over may be lost with it; the books allow for that.
                true => drop(cluster.leave(node).await),
                false => cluster.crash(node),
            }
            pass(cluster, Duration::from_millis(rng.random_range(0..6_000))).await;
            start(cluster, node).await;
            if !all_count(cluster, &[node]).await {
                return;
            }
        }
    })
    .await
}

async fn replace(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("replacements");
    // A majority founds the cluster.
    let spares = rng.random_range(1..=(nodes - 1) / 2);
    let mut members: Vec<usize> = (0..nodes - spares).collect();
    let first = members.clone();
    work_through(&world, &cluster, &first, async |cluster| {
        for spare in nodes - spares..nodes {
            if !all_count(cluster, &members).await {
                return;
            }
            pass(cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
            let Some(victim) = members.choose(&mut rng).copied() else { return };
            members.retain(|member| *member != victim);
            // Some come before the one whose place they take is gone.
            if rng.random() {
                start(cluster, spare).await;
                pass(cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
            }
            cluster.crash(victim);
            pass(cluster, Duration::from_millis(rng.random_range(DOWN_MS_MAX..TAKEN_OUT_MS_MAX))).await;
            // At once, or when the others have taken it out by themselves: else it is listed as down for ever.
            forget(cluster, victim, &members).await;
            if !cluster.running().contains(&spare) {
                start(cluster, spare).await;
            }
            members.push(spare);
        }
        all_count(cluster, &members).await;
    })
    .await
}

/// Has some member forget one that will not come back, once it is sure that it is down.
async fn forget(cluster: &Cluster, victim: usize, members: &[usize]) {
    let start = Instant::now();
    let mut refused = None;
    while start.elapsed() < FORGET_BOUND {
        let name = node_name(victim).parse();
        let engine = members.iter().find_map(|member| cluster.engine(*member));
        match name.ok().zip(engine).map(|(name, engine)| engine.forget(&name)) {
            Some(Ok(())) => return,
            other => refused = other,
        }
        pass(cluster, Duration::from_secs(1)).await;
    }
    cluster.world().violation("a member is forgotten", format!("{}: {refused:?}", node_name(victim)));
}

async fn flapping(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let all: Vec<usize> = (0..nodes).collect();
    let mut rng = world.rng("flapping");
    let mut restless = all.clone();
    restless.shuffle(&mut rng);
    restless.truncate(rng.random_range(1..=(nodes - 1) / 2));
    world.parameter("restless", &restless);
    work_through(&world, &cluster, &all, async |cluster| {
        for _ in 0..rng.random_range(5..=25) {
            pass(cluster, Duration::from_millis(rng.random_range(500..5_000))).await;
            let Some(&node) = restless.choose(&mut rng) else { return };
            if !cluster.running().contains(&node) {
                start(cluster, node).await;
                continue;
            }
            match rng.random_range(0..4) {
                0 => drop(cluster.leave(node).await),
                1 => {
                    let others: Vec<usize> = all.iter().copied().filter(|other| *other != node).collect();
                    cluster.cut(Cut::BothWays, &[node], &others);
                    pass(cluster, Duration::from_millis(rng.random_range(500..6_000))).await;
                    cluster.join_sides();
                }
                _ => cluster.crash(node),
            }
        }
        for &node in restless.iter().filter(|node| !cluster.running().contains(node)) {
            start(cluster, node).await;
        }
    })
    .await
}

async fn asymmetric(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let all: Vec<usize> = (0..nodes).collect();
    let mut rng = world.rng("cuts");
    work_through(&world, &cluster, &all, async |cluster| {
        for _ in 0..rng.random_range(2..=6) {
            pass(cluster, Duration::from_millis(rng.random_range(0..4_000))).await;
            cut_askew(cluster, &mut rng);
            pass(cluster, Duration::from_millis(rng.random_range(1_000..40_000))).await;
            cluster.join_sides();
        }
    })
    .await
}

/// Cuts in one direction, with or without nodes that both sides reach, or both ways with such nodes.
fn cut_askew(cluster: &Cluster, rng: &mut SmallRng) {
    let mut all: Vec<usize> = (0..cluster.len()).collect();
    all.shuffle(rng);
    let bridges = rng.random_range(0..=cluster.len() - 2);
    let sides = &all[bridges..];
    let (left, right) = sides.split_at(rng.random_range(1..sides.len()));
    let cut = if bridges == 0 || rng.random() { Cut::OneWay } else { Cut::BothWays };
    cluster.cut(cut, left, right);
}

/// Starts these nodes and clients of all kinds, lets `happen` happen to them, and demands that all ends well.
async fn work_through(
    world: &World,
    cluster: &Cluster,
    first: &[usize],
    happen: impl AsyncFnOnce(&Cluster),
) -> Figures {
    for &node in first {
        start(cluster, node).await;
    }
    draw_links(world);
    let clients = QuorumClients::start(cluster, world.rng("clients").random_range(1..=3));
    let (workload, settings) = draw_workload_of(cluster, |settings, _| settings.flush_permille = 0);
    if all_count(cluster, first).await {
        happen(cluster).await;
    }
    let quorum = clients.stop().await;
    let healed = heal(cluster, workload, settings, Duration::ZERO).await;
    Figures { quorum, ..end(cluster, healed).await }
}
