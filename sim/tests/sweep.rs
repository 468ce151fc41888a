//! A sweep must be able to fail: on a broken rule, on a hung run, and when it met nothing of what it is for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use rumour_sim::runner::World;
use rumour_sim::scenario::{Evidence, Figures, Scenario, Script};
use rumour_sim::sweep::{SweepReport, SweepSettings, sweep};

rumour_sim::entropy_hook!();

fn swept(script: fn(World, usize) -> Script, evidence: &'static [Evidence]) -> SweepReport {
    let scenario =
        Scenario { name: "made-up", summary: "", nodes_default: 1, nodes_min: 1, evidence, script };
    let wall_budget = Duration::from_millis(500);
    let mut told = Vec::new();
    let report = sweep(
        &SweepSettings { scenario: &scenario, nodes: 1, seeds: 10..16, jobs: 2, wall_budget },
        |progress| told.push((progress.done, progress.total)),
    );
    assert_eq!(told, [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]);
    report.unwrap()
}

fn quiet(_: World, _: usize) -> Script {
    Box::pin(async { Figures::default() })
}

fn one_bad_seed(world: World, _: usize) -> Script {
    Box::pin(async move {
        match world.seed() {
            12 => world.violation("rule", "broken"),
            14 => panic!("fell"),
            _ => {}
        }
        Figures::default()
    })
}

/// Never waits, so that nothing inside the run can stop it. It ends by itself once the sweep has given it up.
#[expect(clippy::disallowed_methods, reason = "stands for code that blocks the thread")]
fn one_hung_seed(world: World, _: usize) -> Script {
    Box::pin(async move {
        if world.seed() == 11 {
            std::thread::sleep(Duration::from_secs(8));
        }
        Figures::default()
    })
}

#[test]
fn a_sweep_without_findings_passes() {
    assert!(swept(quiet, &[]).passed());
}

#[test]
fn broken_rules_and_panics_name_their_seeds_and_how_to_replay_them() {
    let report = swept(one_bad_seed, &[]);
    let seeds: Vec<_> = report.failures.iter().map(|failure| failure.seed).collect();
    assert_eq!((seeds, report.runs), (vec![12, 14], 6));
    assert!(report.failures[0].replay.starts_with("replay made-up --seed 12 --nodes 1 --expect-hash "));
    assert!(report.failures[1].violations[0].contains("fell"));
    assert!(!report.passed());
}

#[test]
fn a_hung_run_fails_its_seed_only() {
    let report = swept(one_hung_seed, &[]);
    let seeds: Vec<_> = report.failures.iter().map(|failure| failure.seed).collect();
    assert_eq!((seeds, report.runs), (vec![11], 5));
}

#[test]
fn a_sweep_that_met_nothing_fails() {
    const NEVER: &[Evidence] =
        &[Evidence { what: "rain", met: |_| false }, Evidence { what: "air", met: |_| true }];
    let report = swept(quiet, NEVER);
    assert_eq!(report.never_met, ["rain"]);
    assert!(!report.passed());
}
