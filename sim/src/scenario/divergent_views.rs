//! Nodes that disagree on who is there, because each is cut off from others, while members die, leave and come back: what they agree
//! on is one configuration after the other all the same.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rumour::Tuning;
use tokio::time::sleep;

use super::common::{
    crash_and_restart, cut_for_a_while, draw_cluster_tuned, draw_links, draw_workload, end, heal, pass, start,
};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::Cluster;
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "divergent-views",
    summary: "members are cut off, killed, leave and come back while their views of each other differ",
    nodes_default: 5,
    nodes_min: 2,
    evidence: &[
        Evidence {
            what: "six configurations of one cluster",
            met: |report| report.figures.configurations >= 6,
        },
        Evidence { what: "a cluster that survivors recovered", met: |report| report.figures.recoveries > 0 },
        Evidence { what: "an acknowledged write", met: |report| report.figures.acked_writes > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

async fn script(world: World, nodes: usize) -> Figures {
    let mut rng = world.rng("views");
    let rebalance_after = Duration::from_millis(rng.random_range(500..20_000));
    world.parameter("rebalance_after_ms", rebalance_after.as_millis());
    let cluster = draw_cluster_tuned(&world, nodes, &Tuning { rebalance_after, ..Tuning::default() });
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let cuts = tokio::spawn(cut_again_and_again(cluster.clone(), world.rng("cuts")));
    let leavers = tokio::spawn(leave_and_return(cluster.clone(), world.rng("leavers")));
    crash_and_restart(&cluster, &mut world.rng("crashes"), false).await;
    for task in [cuts, leavers] {
        // A panic in a task ends the whole run.
        let _ = task.await;
    }
    let healed = heal(&cluster, workload, settings, Duration::ZERO).await;
    let latest = cluster.latest_epoch();
    let figures = end(&cluster, healed).await;
    Figures {
        configurations: latest.map_or(0, |latest| latest.number),
        recoveries: latest.map_or(0, |latest| latest.generation),
        ..figures
    }
}

async fn cut_again_and_again(cluster: Cluster, mut rng: SmallRng) {
    for _ in 0..rng.random_range(1..=3) {
        cut_for_a_while(&cluster, &mut rng, Duration::from_secs(40)).await;
        pass(&cluster, Duration::from_millis(rng.random_range(0..8_000))).await;
    }
}

async fn leave_and_return(cluster: Cluster, mut rng: SmallRng) {
    for _ in 0..rng.random_range(0..=2) {
        sleep(Duration::from_millis(rng.random_range(0..20_000))).await;
        let running = cluster.running();
        if running.len() < 3 {
            continue;
        }
        let Some(&leaver) = running.choose(&mut rng) else { continue };
        // What only it held is counted as lost where it could not hand it over.
        let _ = cluster.leave(leaver).await;
        sleep(Duration::from_millis(rng.random_range(0..20_000))).await;
        start(&cluster, leaver).await;
    }
}
