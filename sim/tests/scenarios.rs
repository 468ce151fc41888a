//! A few seeds of each scenario with nodes, as a guard on every change; sweeps go further.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use rumour_sim::scenario::find;
use rumour_sim::sweep::{SweepSettings, sweep};

rumour_sim::entropy_hook!();

#[track_caller]
fn assert_passes(name: &str) {
    let scenario = find(name).unwrap();
    let settings = SweepSettings {
        scenario,
        nodes: scenario.nodes_default,
        seeds: 1000..1006,
        jobs: 1,
        wall_budget: Duration::from_secs(300),
    };
    let report = sweep(&settings, |_| ()).unwrap();
    assert!(report.passed(), "never met: {:?}; failures: {:#?}", report.never_met, report.failures);
}

#[test]
fn partition() {
    assert_passes("partition");
}

#[test]
fn crash() {
    assert_passes("crash");
}

#[test]
fn large() {
    assert_passes("large");
}

#[test]
fn join() {
    assert_passes("join");
}

#[test]
fn rewind() {
    assert_passes("rewind");
}

#[test]
fn skew() {
    assert_passes("skew");
}

#[test]
fn leave() {
    assert_passes("leave");
}

#[test]
fn deletes() {
    assert_passes("deletes");
}

#[test]
fn counters() {
    assert_passes("counters");
}

#[test]
fn sets() {
    assert_passes("sets");
}

#[test]
fn maps() {
    assert_passes("maps");
}

#[test]
fn sorted_sets() {
    assert_passes("sorted-sets");
}

#[test]
fn amnesia() {
    assert_passes("amnesia");
}

#[test]
fn expiry() {
    assert_passes("expiry");
}

#[test]
fn clock_jump() {
    assert_passes("clock-jump");
}

#[test]
fn eviction() {
    assert_passes("eviction");
}

#[test]
fn divergent_views() {
    assert_passes("divergent-views");
}

#[test]
fn quorum() {
    assert_passes("quorum");
}

#[test]
fn skewed_quorum() {
    assert_passes("skewed-quorum");
}

#[test]
fn amnesia_quorum() {
    assert_passes("amnesia-quorum");
}

#[test]
fn minority() {
    assert_passes("minority");
}

#[test]
fn rolling_restart() {
    assert_passes("rolling-restart");
}

#[test]
fn replace() {
    assert_passes("replace");
}

#[test]
fn flapping() {
    assert_passes("flapping");
}

#[test]
fn asymmetric() {
    assert_passes("asymmetric");
}

#[test]
fn every_scenario_with_nodes_is_guarded() {
    let guarded = [
        "partition",
        "crash",
        "large",
        "join",
        "leave",
        "rewind",
        "skew",
        "deletes",
        "counters",
        "sets",
        "maps",
        "sorted-sets",
        "amnesia",
        "eviction",
        "expiry",
        "clock-jump",
        "divergent-views",
        "quorum",
        "skewed-quorum",
        "amnesia-quorum",
        "minority",
        "rolling-restart",
        "replace",
        "flapping",
        "asymmetric",
    ];
    let unguarded: Vec<_> = rumour_sim::scenario::all()
        .iter()
        .map(|scenario| scenario.name)
        .filter(|name| *name != "network" && !guarded.contains(name))
        .collect();
    assert!(unguarded.is_empty(), "add a test for {unguarded:?}");
}
