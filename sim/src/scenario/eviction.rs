//! Nodes with little memory, each with another limit, and one with much, under more writes than fit, cut apart meanwhile.

use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rumour::{EvictionPolicy, MemoryLimit};

use super::common::{draw_cluster, draw_links, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, Cut};
use crate::runner::World;
use crate::workload::{Workload, WorkloadSettings};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "eviction",
    summary: "nodes with little memory evict under more writes than fit; nothing comes back by sync and all end alike",
    nodes_default: 4,
    nodes_min: 2,
    evidence: &[
        Evidence { what: "an eviction", met: |report| report.figures.evicted > 0 },
        Evidence {
            what: "the version of an evicted value, known to the end",
            met: |report| report.figures.stubs > 0,
        },
        Evidence {
            what: "a key that one node shows and another one has evicted",
            met: |report| report.figures.evicted_elsewhere > 0,
        },
        Evidence { what: "an evicted key fetched from a peer", met: |report| report.figures.recalled > 0 },
        Evidence { what: "a datagram stopped by a cut", met: |report| report.traffic.cut > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

/// How long nodes may take to agree, also on what is dead, and to remove that.
const FORGET_BOUND: Duration = Duration::from_secs(400);

/// What the tables of a store take, however few keys it has.
const TABLES_BYTES: u64 = 40_000;
/// Memory for each key.
const KEY_BYTES: std::ops::Range<u64> = 160..260;

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    let mut rng = world.rng("memory");
    // What the first node has heard of is never lost: all that peers acknowledged has to be there in the end.
    let keys = rng.random_range(200..400);
    // So much that the versions of all keys fit, as the documentation asks for, and by far not all values.
    let limits: Vec<u64> =
        (1..nodes).map(|_| TABLES_BYTES + keys as u64 * rng.random_range(KEY_BYTES)).collect();
    let policies = [EvictionPolicy::AllKeysLru, EvictionPolicy::AllKeysLfu];
    let policy = policies.choose(&mut rng).copied().unwrap_or_default();
    world.parameter("limits", &limits);
    world.parameter("policy", policy);
    for (node, bytes) in limits.iter().enumerate() {
        cluster.limit_memory(node + 1, MemoryLimit { bytes: Some(*bytes), policy });
    }
    cluster.start_all().await;
    draw_links(&world);
    let mut settings = WorkloadSettings {
        clients: 4,
        keys,
        pause_ms_max: 80,
        ..WorkloadSettings::draw(&mut world.rng("workload"))
    };
    settings.collections.permille = rng.random_range(100..400);
    settings.collections.keys = 20;
    world.parameter("workload", settings);
    let workload = Workload::start(&cluster, settings);
    pass(&cluster, Duration::from_secs(15)).await;
    let mut shuffled: Vec<_> = (0..nodes).collect();
    shuffled.shuffle(&mut rng);
    let (left, right) = shuffled.split_at(nodes / 2);
    cluster.cut(Cut::BothWays, left, right);
    pass(&cluster, Duration::from_millis(rng.random_range(1_000..20_000))).await;
    cluster.join_sides();
    pass(&cluster, Duration::from_secs(10)).await;
    finish(&cluster, workload, settings).await
}

/// Heals everything, demands that the nodes agree also on what they have evicted, and that sync then is at rest.
async fn finish(cluster: &Cluster, workload: Workload, settings: WorkloadSettings) -> Figures {
    let tally = workload.stop().await;
    cluster.inspect();
    cluster.heal();
    let sync_interval = cluster.tuning().sync_interval;
    let converged = cluster.converge(FORGET_BOUND).await;
    // Until every expiry has taken effect everywhere, and what is dead was removed: an evicted value that would have expired
    // comes once more meanwhile, without its value.
    pass(cluster, Duration::from_millis(settings.ttl_ms_max) + sync_interval * 2).await;
    cluster.forget_the_dead(FORGET_BOUND).await;
    cluster.converge(Duration::ZERO).await;
    cluster.check_outcome();
    let brought = || cluster.sync_entries_sent() + cluster.entries_handed();
    let (evicted, sent) = (evictions(cluster), brought());
    pass(cluster, sync_interval * 4).await;
    let (evicted_since, sent_since) = (evictions(cluster) - evicted, brought() - sent);
    if evicted_since + sent_since > 0 {
        let detail = format!("{sent_since} entries sent and {evicted_since} evicted by nodes that agree");
        cluster.world().violation("what was evicted is not pulled back", detail);
    }
    let figures = Figures {
        acked_writes: tally.acked_writes,
        acked_writes_during_cut: tally.acked_writes_by_side.iter().sum(),
        acked_writes_by_side: tally.acked_writes_by_side,
        refused_writes: tally.refused,
        reads: tally.reads,
        conflicts: cluster.conflicts(),
        evicted,
        recalled: cluster.memory().iter().map(|memory| memory.recalled).sum(),
        stubs: cluster.memory().iter().map(|memory| memory.stubs).sum(),
        evicted_elsewhere: cluster.shown_by_some(),
        converged_after_s: converged.map(|took| took.as_secs_f64()),
        ..Figures::default()
    };
    cluster.end().await;
    figures
}

fn evictions(cluster: &Cluster) -> u64 {
    cluster.memory().iter().map(|memory| memory.evicted).sum()
}
