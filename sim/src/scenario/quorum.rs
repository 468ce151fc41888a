//! Clients that read and write with a quorum while nodes are cut apart, start without their memory, and disagree on the time.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rumour::Consistency;
use tokio::time::{Instant, sleep};

use super::common::{
    all_count, cut_for_a_while, draw_cluster, draw_links, draw_workload_of, end, heal, pass, start,
};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, node_name};
use crate::runner::World;
use crate::workload::{QuorumClients, QuorumTally};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "quorum",
    summary: "what a quorum acknowledged every later quorum reads, while nodes are cut apart and start without their memory",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence {
            what: "a write that was not confirmed",
            met: |report| report.figures.quorum.unconfirmed > 0,
        },
        Evidence { what: "an operation without a quorum", met: |report| report.figures.quorum.refused > 0 },
        Evidence { what: "entries lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

pub(super) const SKEWED: Scenario = Scenario {
    name: "skewed-quorum",
    summary: "clocks apart, and quorums at one coordinator after the other: what came later stays",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(skewed(world, nodes)) },
};

pub(super) const AMNESIA: Scenario = Scenario {
    name: "amnesia-quorum",
    summary: "owners start empty between a quorum's write and its reads",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence { what: "a quorum's write", met: |report| report.figures.quorum.acknowledged > 0 },
        Evidence { what: "a quorum's read", met: |report| report.figures.quorum.reads > 0 },
        Evidence { what: "entries lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(amnesia(world, nodes)) },
};

/// Clocks may be off by so much that two nodes with such clocks get along.
const CLOCK_MS_MAX: i64 = 240;
/// How long it may take until a node has a quorum again.
const READ_BOUND: Duration = Duration::from_secs(90);

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("faults");
    set_clocks_apart(&cluster, &mut rng);
    cluster.start_all().await;
    draw_links(&world);
    let clients = QuorumClients::start(&cluster, rng.random_range(1..=4));
    let (workload, settings) = draw_workload_of(&cluster, |settings, _| settings.flush_permille = 0);
    let all: Vec<usize> = (0..nodes).collect();
    for _ in 0..rng.random_range(2..=5) {
        // As many may be lost at once as a quorum does without, and none while another one catches up.
        if !all_count(&cluster, &all).await {
            break;
        }
        pass(&cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
        if rng.random() {
            cut_for_a_while(&cluster, &mut rng, Duration::from_secs(25)).await;
            continue;
        }
        lose_some(&cluster, &mut rng, Duration::from_secs(20)).await;
    }
    let quorum = clients.stop().await;
    let healed = heal(&cluster, workload, settings, Duration::from_millis(2 * CLOCK_MS_MAX as u64)).await;
    Figures { quorum, ..end(&cluster, healed).await }
}

/// Sets all clocks wrong, and no two further apart than they may be.
fn set_clocks_apart(cluster: &Cluster, rng: &mut SmallRng) {
    cluster.correct_clocks();
    for node in 0..cluster.len() {
        cluster.jump_clock(node, rng.random_range(-CLOCK_MS_MAX..=CLOCK_MS_MAX));
    }
}

/// Clocks apart, and one coordinator after the other; nothing else is wrong.
async fn skewed(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("clocks");
    set_clocks_apart(&cluster, &mut rng);
    cluster.start_all().await;
    draw_links(&world);
    let clients = QuorumClients::start(&cluster, 4);
    let (workload, settings) = draw_workload_of(&cluster, |settings, _| settings.flush_permille = 0);
    for _ in 0..rng.random_range(2..=6) {
        pass(&cluster, Duration::from_millis(rng.random_range(1_000..8_000))).await;
        set_clocks_apart(&cluster, &mut rng);
    }
    let quorum = clients.stop().await;
    let healed = heal(&cluster, workload, settings, Duration::from_millis(2 * CLOCK_MS_MAX as u64)).await;
    Figures { quorum, ..end(&cluster, healed).await }
}

/// Owners that start empty just after a quorum acknowledged a write, and before it is read.
async fn amnesia(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload_of(&cluster, |settings, _| settings.flush_permille = 0);
    let mut rng = world.rng("amnesia");
    let mut quorum = QuorumTally::default();
    let all: Vec<usize> = (0..nodes).collect();
    for round in 0..rng.random_range(2..=6_u32) {
        if !all_count(&cluster, &all).await {
            break;
        }
        let Some(cache) = all.choose(&mut rng).and_then(|writer| cluster.cache(*writer)) else { break };
        let (key, value) = (format!("amnesia {round}"), Bytes::from(format!("written in round {round}")));
        cluster.ledger().lock().issue(key.as_bytes(), &value);
        let written = cache.set(key.clone(), value.clone()).consistency(Consistency::Quorum).await;
        let acknowledged = quorum.ended(&written);
        lose_some(&cluster, &mut rng, Duration::from_millis(1_500)).await;
        for reader in all.iter().filter(|_| acknowledged) {
            quorum.reads += u64::from(reads(&cluster, *reader, &key, &value).await);
        }
    }
    let healed = heal(&cluster, workload, settings, Duration::ZERO).await;
    Figures { quorum, ..end(&cluster, healed).await }
}

/// Kills as many nodes as a quorum does without, and starts them after a while.
async fn lose_some(cluster: &Cluster, rng: &mut SmallRng, away_max: Duration) {
    let lost = rng.random_range(1..=(cluster.len() - 1) / 2);
    let all: Vec<usize> = (0..cluster.len()).collect();
    let victims: Vec<usize> = all.choose_multiple(rng, lost).copied().collect();
    victims.iter().for_each(|victim| cluster.crash(*victim));
    pass(cluster, away_max.mul_f64(rng.random_range(0.0..1.0))).await;
    for victim in victims {
        start(cluster, victim).await;
    }
}

/// Reads with a quorum at a node as soon as there is one, and demands a value; gives whether there was one.
async fn reads(cluster: &Cluster, node: usize, key: &str, value: &Bytes) -> bool {
    let deadline = Instant::now() + READ_BOUND;
    while Instant::now() < deadline {
        if let Some(cache) = cluster.cache(node)
            && let Ok(shown) = cache.with(Consistency::Quorum).get(key).await
        {
            if shown.as_ref() != Some(value) {
                let detail = format!("{key} at {}: {shown:?}", node_name(node));
                cluster.world().violation("a quorum reads what a quorum has acknowledged", detail);
            }
            return true;
        }
        sleep(Duration::from_millis(200)).await;
    }
    cluster
        .world()
        .violation("a quorum is had again", format!("{}: not within {READ_BOUND:?}", node_name(node)));
    false
}
