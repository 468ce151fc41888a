//! A cluster that is cut in two, with new nodes on the smaller side: quorums are had on the larger side alone, and `One` on both.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rumour::{Cache, Consistency, WriteError};
use tokio::time::{Instant, sleep};

use super::common::{all_count, draw_cluster, draw_links, draw_workload_of, end, heal, pass, start};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, Cut, node_name};
use crate::runner::World;
use crate::workload::QuorumClients;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "minority",
    summary: "a cut leaves the smaller side without quorums, also when new nodes start there; both sides go on with one",
    nodes_default: 7,
    nodes_min: 5,
    evidence: &[
        Evidence {
            what: "a quorum refused on the smaller side",
            met: |report| report.figures.sides.refused_on_smaller > 0,
        },
        Evidence {
            what: "a quorum refused at a node that started on the smaller side",
            met: |report| report.figures.sides.refused_at_newcomers > 0,
        },
        Evidence {
            what: "a write for one on the smaller side",
            met: |report| report.figures.sides.one_on_smaller > 0,
        },
        Evidence {
            what: "a quorum on the larger side",
            met: |report| report.figures.sides.quorums_on_larger > 0,
        },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// Nodes that start during the cut.
const NEWCOMERS: usize = 2;
/// How long the larger side may take to have quorums again at each of its nodes.
const QUORUM_BOUND: Duration = Duration::from_secs(15);

/// What was tried on the two sides of a cut.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SideTally {
    /// Operations of the smaller side's members that found no quorum.
    pub refused_on_smaller: u64,
    /// The same of nodes that started there.
    pub refused_at_newcomers: u64,
    /// Writes for one that were acknowledged there.
    pub one_on_smaller: u64,
    /// Writes that a quorum on the larger side acknowledged.
    pub quorums_on_larger: u64,
}

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("sides");
    let mut members: Vec<usize> = (0..nodes - NEWCOMERS).collect();
    for member in &members {
        start(&cluster, *member).await;
    }
    draw_links(&world);
    let clients = QuorumClients::start(&cluster, 2);
    let (workload, settings) = draw_workload_of(&cluster, |settings, _| settings.flush_permille = 0);
    let mut tally = SideTally::default();
    if all_count(&cluster, &members).await {
        pass(&cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
        members.shuffle(&mut rng);
        let (smaller, larger) = members.split_at(rng.random_range(1..=(members.len() - 1) / 2));
        let newcomers: Vec<usize> = (nodes - NEWCOMERS..nodes).collect();
        cluster.cut(Cut::BothWays, &[smaller, &newcomers].concat(), larger);
        for newcomer in &newcomers {
            start(&cluster, *newcomer).await;
        }
        tally = try_both(&cluster, &mut rng, smaller, &newcomers, larger).await;
        cluster.join_sides();
    }
    let quorum = clients.stop().await;
    let healed = heal(&cluster, workload, settings, Duration::ZERO).await;
    Figures { quorum, sides: tally, ..end(&cluster, healed).await }
}

/// Works on both sides for a while, longer than it takes to have the others taken out of the cluster.
async fn try_both(
    cluster: &Cluster,
    rng: &mut SmallRng,
    smaller: &[usize],
    newcomers: &[usize],
    larger: &[usize],
) -> SideTally {
    let mut tally = SideTally::default();
    let rounds = rng.random_range(1..=12);
    for round in 0..rounds {
        for (side, refused) in
            [(smaller, &mut tally.refused_on_smaller), (newcomers, &mut tally.refused_at_newcomers)]
        {
            let Some(&node) = side.choose(rng) else { continue };
            let Some(cache) = cluster.cache(node) else { continue };
            match write(cluster, &cache, Consistency::Quorum, &format!("smaller {round}")).await {
                Err(WriteError::NoQuorum { .. }) => *refused += 1,
                Err(_) => {}
                Ok(()) => cluster
                    .world()
                    .violation("no quorum on the smaller side", format!("{} had one", node_name(node))),
            }
        }
        let one = smaller.choose(rng).and_then(|node| cluster.cache(*node));
        if let Some(one) = one
            && write(cluster, &one, Consistency::One, &format!("one {round}")).await.is_ok()
        {
            tally.one_on_smaller += 1;
        }
        pass(cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
    }
    for node in larger {
        let deadline = Instant::now() + QUORUM_BOUND;
        loop {
            let Some(cache) = cluster.cache(*node) else { break };
            if write(cluster, &cache, Consistency::Quorum, "larger").await.is_ok() {
                tally.quorums_on_larger += 1;
                break;
            }
            if Instant::now() >= deadline {
                let detail = format!("{}: none within {QUORUM_BOUND:?}", node_name(*node));
                cluster.world().violation("the larger side has quorums", detail);
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
    tally
}

async fn write(cluster: &Cluster, cache: &Cache, level: Consistency, what: &str) -> Result<(), WriteError> {
    let (key, value) = (format!("side {what}"), Bytes::from(format!("at {} {what}", cache.engine().node())));
    cluster.ledger().lock().issue(key.as_bytes(), &value);
    cache.set(key, value).consistency(level).await.map(|_| ())
}
