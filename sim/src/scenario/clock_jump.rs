//! A minority of wall clocks jump or run away, by little or by hours, also while the network is cut and while nodes come
//! back empty: whoever is off must say so and write nothing, everybody else must not notice.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rumour::{Engine, SetOptions, Status, WriteError};
use tokio::time::{Instant, sleep};

use super::common::{draw_cluster, draw_links, draw_workload, heal_and_check, pass};
use super::{Evidence, Figures, Scenario, Script};
use crate::cluster::{Cluster, Cut, node_name};
use crate::runner::World;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "clock-jump",
    summary: "a minority of clocks jump by 50 ms to 2 h or run away, during writes, cuts and restarts",
    nodes_default: 5,
    nodes_min: 3,
    evidence: &[
        Evidence {
            what: "a write refused because of the clock",
            met: |report| report.figures.refused_for_clock > 0,
        },
        Evidence {
            what: "a wrong clock named by a peer",
            met: |report| report.figures.clock_faults_named > 0,
        },
        Evidence {
            what: "an acknowledged write during a cut",
            met: |report| report.figures.acked_writes_during_cut > 0,
        },
        Evidence { what: "an entry lost from memory", met: |report| report.figures.lost_from_memory > 0 },
    ],
    script: |world, nodes| -> Script { Box::pin(script(world, nodes)) },
};

const JUMP_MS_MIN: i64 = 50;
const JUMP_MS_MAX: i64 = 2 * 3_600_000;
/// Runaway clocks gain or lose up to a twentieth of a second each second.
const DRIFT_PPM_MAX: i32 = 50_000;
/// Between these two a clock may be called faulty or not: it is off about as far as it may be.
const SURELY_RIGHT_MS: i64 = 350;
const SURELY_WRONG_MS: i64 = 750;
/// How soon a node knows that its own clock is wrong, or right again.
const OWN_BOUND: Duration = Duration::from_secs(1);
/// How soon its peers know.
const PEERS_BOUND: Duration = Duration::from_secs(6);
const LOOK_PERIOD: Duration = Duration::from_millis(100);

async fn script(world: World, nodes: usize) -> Figures {
    let cluster = draw_cluster(&world, nodes);
    cluster.forbid_early_expiry(SURELY_WRONG_MS.unsigned_abs());
    cluster.start_all().await;
    draw_links(&world);
    let (workload, settings) = draw_workload(&cluster);
    let mut rng = world.rng("clocks");
    let rounds = rng.random_range(1..=4);
    world.parameter("rounds", rounds);
    // Until every node has read the clocks of all others.
    pass(&cluster, PEERS_BOUND).await;
    let mut named = 0;
    for _ in 0..rounds {
        let mut round = Round::begin(&cluster, &mut rng).await;
        let wrong_for = Duration::from_millis(rng.random_range(7_000..25_000));
        round.watch(wrong_for).await;
        named += round.named;
        cluster.join_sides();
        cluster.correct_clocks();
        let nobody = Vec::new();
        let mut right = Round { wrong: nobody, ..round };
        sleep(OWN_BOUND).await;
        right.since = Instant::now();
        right.watch(Duration::from_millis(rng.random_range(1_000..5_000))).await;
        right.check_writes();
        // Until those that were cut off have read the clocks again.
        pass(&cluster, PEERS_BOUND).await;
    }
    let clock_error_max = cluster.tuning().max_clock_skew * 2;
    let figures = heal_and_check(&cluster, workload, settings, clock_error_max).await;
    Figures { clock_faults_named: named, ..figures }
}

/// Some nodes' clocks are wrong.
struct Round<'a> {
    cluster: &'a Cluster,
    wrong: Vec<usize>,
    cut: bool,
    since: Instant,
    /// Since when each clock has been off by more than is borne.
    surely_wrong_since: Vec<Option<Instant>>,
    named: u64,
}

impl<'a> Round<'a> {
    /// Makes clocks wrong, perhaps behind a cut, perhaps with a restart.
    async fn begin(cluster: &'a Cluster, rng: &mut SmallRng) -> Self {
        let nodes = cluster.len();
        let mut shuffled: Vec<usize> = (0..nodes).collect();
        shuffled.shuffle(rng);
        let wrong = shuffled[..rng.random_range(1..=(nodes - 1) / 2)].to_vec();
        let cut = rng.random_ratio(1, 3);
        if cut {
            shuffled.shuffle(rng);
            let (left, right) = shuffled.split_at((nodes * 2 / 5).max(1));
            cluster.cut(Cut::BothWays, left, right);
            pass(cluster, Duration::from_millis(rng.random_range(0..5_000))).await;
        }
        let since = Instant::now();
        for &node in &wrong {
            disturb(cluster, node, rng);
        }
        // A node that comes back empty with a wrong clock must find out before it writes.
        if !cut && rng.random_ratio(1, 2) {
            let node = wrong[0];
            cluster.crash(node);
            sleep(Duration::from_millis(rng.random_range(50..2_000))).await;
            if let Err(error) = cluster.start_hearing(node).await {
                cluster.world().violation("a node starts", format!("{}: {error}", node_name(node)));
            }
        }
        Self { cluster, wrong, cut, since, surely_wrong_since: vec![None; nodes], named: 0 }
    }

    /// Looks at every node all the while.
    async fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut inspected = Instant::now();
        while Instant::now() < end {
            sleep(LOOK_PERIOD).await;
            for node in self.cluster.running() {
                self.look_at(node);
            }
            if inspected.elapsed() >= Duration::from_secs(3) {
                self.cluster.inspect();
                inspected = Instant::now();
            }
        }
    }

    fn look_at(&mut self, node: usize) {
        let Some(engine) = self.cluster.engine(node).filter(Engine::is_serving) else {
            self.surely_wrong_since[node] = None;
            return;
        };
        let (clock, status) = (self.cluster.clock(node), engine.status());
        let error_ms = clock.error_ms();
        self.check_time(node, engine.now_ms().cast_signed() - clock.right_ms().cast_signed());
        if error_ms.abs() < SURELY_RIGHT_MS && !self.wrong.contains(&node) {
            if let Some(fault) = status.clock.fault {
                self.violation("a node with a right clock takes writes", node, &fault);
            }
            return;
        }
        if error_ms.abs() < SURELY_WRONG_MS {
            self.surely_wrong_since[node] = None;
            return;
        }
        let wrong_for = self.surely_wrong_since[node].get_or_insert_with(Instant::now).elapsed();
        if wrong_for >= OWN_BOUND {
            self.check_refusal(node, error_ms, &status);
        }
        // Across a cut nobody can be asked.
        if wrong_for >= PEERS_BOUND && !self.cut {
            self.check_named(node);
        }
    }

    /// A serving node goes by the time of the majority, however wrong its own clock is.
    fn check_time(&self, node: usize, off_ms: i64) {
        if off_ms.abs() >= SURELY_WRONG_MS {
            self.violation("a node goes by its peers' time", node, &format!("it is {off_ms} ms off"));
        }
    }

    fn check_refusal(&self, node: usize, error_ms: i64, status: &Status) {
        let rule = "a node with a wrong clock refuses writes";
        match write(self.cluster, node) {
            Some(Err(WriteError::ClockFault { off_ms, .. }))
                if (off_ms - error_ms).abs() < SURELY_WRONG_MS => {}
            outcome => self.violation(rule, node, &format!("{error_ms} ms off: {outcome:?}")),
        }
        let own = node_name(node);
        let named = status.members.iter().any(|member| member.node.as_str() == own && member.clock_fault);
        if status.clock.fault.is_none() || !named {
            self.violation(
                "a wrong clock is named in its node's status",
                node,
                &format!("{:?}", status.clock),
            );
        }
    }

    fn check_named(&mut self, wrong: usize) {
        for at in self.cluster.running() {
            let Some(engine) = self.cluster.engine(at).filter(|engine| at != wrong && engine.is_serving())
            else {
                continue;
            };
            let name = node_name(wrong);
            let members = engine.status().members;
            match members.iter().find(|member| member.node.as_str() == name) {
                Some(member) if member.clock_fault => self.named += 1,
                member => {
                    let detail = format!("{} sees {member:?}", node_name(at));
                    self.violation("a wrong clock is named by its peers", wrong, &detail);
                }
            }
        }
    }

    /// Every node takes writes.
    fn check_writes(&self) {
        for node in self.cluster.running() {
            if let Some(Err(error)) = write(self.cluster, node) {
                self.violation("a node whose clock is right again takes writes", node, &error.to_string());
            }
        }
    }

    fn violation(&self, rule: &'static str, node: usize, detail: &str) {
        let after_s = self.since.elapsed().as_secs_f64();
        let detail = format!("{}, {after_s:.1} s after: {detail}", node_name(node));
        self.cluster.world().violation(rule, detail);
    }
}

/// Lets a clock jump, by orders of magnitude as likely, or run away.
fn disturb(cluster: &Cluster, node: usize, rng: &mut SmallRng) {
    let sign = if rng.random() { 1 } else { -1 };
    if rng.random_ratio(1, 5) {
        cluster.drift_clock(node, sign * rng.random_range(1..=DRIFT_PPM_MAX));
    } else {
        let orders = (JUMP_MS_MAX as f64 / JUMP_MS_MIN as f64).ln();
        let ms = JUMP_MS_MIN as f64 * (rng.random_range(0.0..=orders)).exp();
        cluster.jump_clock(node, i64::from(sign) * ms as i64);
    }
}

/// Tries a write at a node that serves.
fn write(cluster: &Cluster, node: usize) -> Option<Result<(), WriteError>> {
    let engine = cluster.engine(node).filter(Engine::is_serving)?;
    let key = format!("probe of {}", node_name(node));
    let value = Bytes::from(format!("{key} at {}", cluster.clock(node).right_ms()));
    cluster.ledger().lock().issue(key.as_bytes(), &value);
    Some(engine.set(key.as_bytes(), value, SetOptions::default()).map(|_| ()))
}
