//! What the scenarios with nodes share: the beginning and the end.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rumour::Tuning;
use tokio::time::{Instant, sleep};

use super::Figures;
use crate::cluster::{Cluster, Cut, Writers, node_name};
use crate::net::LinkFaults;
use crate::runner::World;
use crate::workload::{Tally, Workload, WorkloadSettings};

/// How often running nodes are looked into.
const INSPECTION_PERIOD: Duration = Duration::from_secs(3);

/// How long a write may take to every node of a cluster that is well: far less than the next sync.
const REPLICATION_BOUND: Duration = Duration::from_secs(1);

/// How long all nodes of a cluster that is well may take to count in quorums.
const READY_BOUND: Duration = Duration::from_secs(90);

/// A cluster with parameters drawn from the seed, none of its nodes started.
pub(super) fn draw_cluster(world: &World, nodes: usize) -> Cluster {
    draw_cluster_tuned(world, nodes, &Tuning::default())
}

/// The same, with what is not drawn as given.
pub(super) fn draw_cluster_tuned(world: &World, nodes: usize, tuning: &Tuning) -> Cluster {
    let mut rng = world.rng("tuning");
    // A third of the runs have queues so short that they overflow, which leaves the rest to sync.
    let outbox_keys_limit = if rng.random_ratio(1, 3) { rng.random_range(1..=20) } else { 100_000 };
    world.parameter("outbox_keys_limit", outbox_keys_limit);
    let mut tuning = Tuning { outbox_keys_limit, ..tuning.clone() };
    // And another third has messages so small that entries travel in parts.
    if tuning.whole_entry_bytes == Tuning::default().whole_entry_bytes && rng.random_ratio(1, 3) {
        tuning.whole_entry_bytes = rng.random_range(300..=20_000);
        world.parameter("whole_entry_bytes", tuning.whole_entry_bytes);
    }
    Cluster::new(world.clone(), nodes, tuning, Writers::Workload)
}

/// Makes the network bad in a way that is drawn from the seed.
pub(super) fn draw_links(world: &World) {
    let faults = LinkFaults::draw(&mut world.rng("links"));
    world.parameter("links", faults);
    world.network().set_faults(faults);
}

/// Sets clients to work in a way that is drawn from the seed.
pub(super) fn draw_workload(cluster: &Cluster) -> (Workload, WorkloadSettings) {
    draw_workload_of(cluster, |_, _| {})
}

/// The same, with settings that suit the scenario.
pub(super) fn draw_workload_of(
    cluster: &Cluster,
    suit: impl FnOnce(&mut WorkloadSettings, &mut SmallRng),
) -> (Workload, WorkloadSettings) {
    let mut rng = cluster.world().rng("workload");
    let mut settings = WorkloadSettings::draw(&mut rng);
    suit(&mut settings, &mut rng);
    cluster.world().parameter("workload", settings);
    (Workload::start(cluster, settings), settings)
}

/// Starts a node, which must succeed.
pub(super) async fn start(cluster: &Cluster, node: usize) {
    if let Err(error) = cluster.start(node).await {
        cluster.world().violation("a node starts", format!("{}: {error}", node_name(node)));
    }
}

/// Waits until each of these nodes runs, is a member and has caught up, so that quorums count it; gives whether that came to pass.
pub(super) async fn all_count(cluster: &Cluster, nodes: &[usize]) -> bool {
    let deadline = Instant::now() + READY_BOUND;
    let counts = |node: &usize| cluster.engine(*node).is_some_and(|engine| engine.check_ready().is_ok());
    while !nodes.iter().all(counts) {
        if Instant::now() >= deadline {
            cluster.world().violation("all members count", format!("not within {READY_BOUND:?}"));
            return false;
        }
        sleep(Duration::from_millis(100)).await;
    }
    true
}

/// Lets time pass and looks into the nodes all the while.
pub(super) async fn pass(cluster: &Cluster, time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(INSPECTION_PERIOD);
        sleep(step).await;
        cluster.inspect();
        left -= step;
    }
}

/// Kills a node now and then, with its memory, and starts it again under the same name, at once or after a while.
pub(super) async fn crash_now_and_then(cluster: &Cluster, rng: &mut SmallRng) {
    crash_and_restart(cluster, rng, true).await;
}

/// The same. `reaches_others`: a node that starts again finds those that serve, and fills itself before it serves.
pub(super) async fn crash_and_restart(cluster: &Cluster, rng: &mut SmallRng, reaches_others: bool) {
    let crashes = rng.random_range(1..=4);
    cluster.world().parameter("crashes", crashes);
    let mut restarts = Vec::new();
    for _ in 0..crashes {
        pass(cluster, Duration::from_millis(rng.random_range(200..10_000))).await;
        // One node always stays up: what nobody remembers cannot be checked.
        let running = cluster.running();
        if running.len() < 2 {
            continue;
        }
        let Some(&victim) = running.choose(rng) else { continue };
        cluster.crash(victim);
        // Some come back while the others still think that they never went.
        let away_ms = if rng.random() { rng.random_range(0..1_000) } else { rng.random_range(1_000..25_000) };
        let away = Duration::from_millis(away_ms);
        restarts.push(tokio::spawn(restart(cluster.clone(), victim, away, reaches_others)));
    }
    for restart in restarts {
        // A panic in a task ends the whole run.
        let _ = restart.await;
    }
    pass(cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
}

async fn restart(cluster: Cluster, node: usize, away: Duration, reaches_others: bool) {
    sleep(away).await;
    let held = cluster.held_by_all();
    if let Err(error) = cluster.start(node).await {
        cluster.world().violation("a node starts", format!("{}: {error}", node_name(node)));
        return;
    }
    if cluster.wait_until_serving(node).await && reaches_others {
        cluster.check_filled(node, &held);
    }
}

/// Cuts the nodes in two at random, one way or both, and joins them again after `longest` at most.
pub(super) async fn cut_for_a_while(cluster: &Cluster, rng: &mut SmallRng, longest: Duration) {
    let mut shuffled: Vec<_> = (0..cluster.len()).collect();
    shuffled.shuffle(rng);
    let (left, right) = shuffled.split_at((shuffled.len() * 2 / 5).max(1));
    // Sometimes one node of the larger side still reaches both.
    let bridge = right.len() > 1 && rng.random_ratio(1, 6);
    let cut = if rng.random_ratio(1, 5) { Cut::OneWay } else { Cut::BothWays };
    cluster.cut(cut, left, &right[usize::from(bridge)..]);
    let lasting = Duration::from_secs(1).max(longest.mul_f64(rng.random_range(0.0..1.0)));
    pass(cluster, lasting).await;
    cluster.join_sides();
}

/// The second phase: stops the clients, heals everything, demands that the nodes become one and hold what they must,
/// that this lasts, and that nothing of them outlives them.
///
/// Clocks may have been ahead of the truth by `clock_error_max`: what was written then lies in the others' future for
/// as long, and expires as much later.
pub(super) async fn heal_and_check(
    cluster: &Cluster,
    workload: Workload,
    settings: WorkloadSettings,
    clock_error_max: Duration,
) -> Figures {
    let healed = heal(cluster, workload, settings, clock_error_max).await;
    end(cluster, healed).await
}

/// What [`heal`] came to.
pub(super) struct Healed {
    tally: Tally,
    pub(super) converged: Option<Duration>,
}

/// The second phase but for the end of the nodes.
pub(super) async fn heal(
    cluster: &Cluster,
    workload: Workload,
    settings: WorkloadSettings,
    clock_error_max: Duration,
) -> Healed {
    let tally = workload.stop().await;
    cluster.inspect();
    cluster.heal();
    let sync_interval = cluster.tuning().sync_interval;
    let converged = cluster.converge(sync_interval * 3 + clock_error_max).await;
    if converged.is_some() {
        cluster.check_outcome();
        // Until every expiry has taken effect everywhere and sync has run once more.
        let ttl_max = Duration::from_millis(settings.ttl_ms_max);
        pass(cluster, ttl_max + clock_error_max + sync_interval * 2).await;
        cluster.converge(Duration::ZERO).await;
        cluster.check_configuration().await;
        cluster.check_replication(REPLICATION_BOUND).await;
        cluster.check_outcome();
    }
    Healed { tally, converged }
}

/// Ends all nodes; gives what was measured.
pub(super) async fn end(cluster: &Cluster, healed: Healed) -> Figures {
    let Healed { tally, converged } = healed;
    let collected_again = cluster.collected_again();
    let expired = cluster.expired();
    let (conflicts, refused_future) = (cluster.conflicts(), cluster.refused_future());
    let lost_from_memory = cluster.lost_entries();
    let (parts_received, entries_handed) = (cluster.parts_received(), cluster.entries_handed());
    cluster.end().await;
    Figures {
        acked_writes: tally.acked_writes,
        contributions: tally.contributions,
        expired,
        acked_writes_during_cut: tally.acked_writes_by_side.iter().sum(),
        acked_writes_by_side: tally.acked_writes_by_side,
        refused_writes: tally.refused,
        refused_for_clock: tally.refused_for_clock,
        clock_faults_named: 0,
        reads: tally.reads,
        conflicts,
        refused_future,
        lost_from_memory,
        parts_received,
        entries_handed,
        removed: cluster.removals(),
        collected_again,
        cut_s_max: 0.0,
        converged_after_s: converged.map(|took| took.as_secs_f64()),
        ..Figures::default()
    }
}
