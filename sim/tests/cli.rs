//! The command line as a script sees it: exit codes, JSON on standard output, everything else on standard error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::process::{Command, Output};

fn rumour_sim(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rumour-sim")).args(arguments.split_whitespace()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn lists_the_scenarios() {
    let listed = json(&rumour_sim("list --json"));
    let names: Vec<_> =
        listed.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    let plain = String::from_utf8(rumour_sim("list").stdout).unwrap();
    assert!(names.contains(&"network"), "{names:?}");
    assert!(names.iter().all(|name| plain.contains(name)), "{plain}");
}

#[test]
fn a_run_reports_what_it_was_and_what_it_came_to() {
    let output = rumour_sim("run network --seed 7 --nodes 4 --json");
    let report = json(&output);
    assert_eq!(code(&output), 0);
    assert_eq!(
        (&report["scenario"], &report["seed"], &report["nodes"]),
        (&"network".into(), &7.into(), &4.into())
    );
    assert!(report["parameters"]["links"]["loss_share"].is_number(), "{report}");
    assert_eq!(report["trace_hash"].as_str().unwrap().len(), 16);
    assert_eq!(report["violations"], serde_json::json!([]));
    for field in
        ["events", "virtual_s", "wall_s", "virtual_per_wall", "converged_after_s", "dropped_messages"]
    {
        assert!(report[field].is_number(), "{field} in {report}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        "",
        "run",
        "run nonsense --seed 1",
        "run network",
        "run network --seed 1 --nodes 2",
        "sweep network --seeds 5..5",
        "sweep network --seeds 5",
        "sweep network --seeds x..9",
        "sweep network --seeds 0..4 --jobs 0",
    ] {
        let output = rumour_sim(arguments);
        assert_eq!(code(&output), 2, "`{arguments}`: {}", errors(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert!(errors(&rumour_sim("run nonsense --seed 1")).contains("network"), "it should name the scenarios");
}

#[test]
fn a_replay_says_whether_it_went_the_same_way() {
    let hash =
        json(&rumour_sim("run network --seed 3 --nodes 4 --json"))["trace_hash"].as_str().unwrap().to_owned();
    let same = rumour_sim(&format!("replay network --seed 3 --nodes 4 --expect-hash {hash}"));
    assert_eq!(code(&same), 0, "{}", errors(&same));
    let other = rumour_sim(&format!("replay network --seed 4 --nodes 4 --expect-hash {hash}"));
    assert_eq!(code(&other), 1);
    assert!(errors(&other).contains(&hash));
}

#[test]
fn a_trace_file_has_a_line_an_event() {
    let path = std::env::temp_dir().join(format!("rumour-sim-trace-{}", std::process::id()));
    let output = rumour_sim(&format!("run network --seed 3 --nodes 4 --json --trace {}", path.display()));
    let trace = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let events = trace.lines().filter(|line| !line.contains(" script ")).count();
    assert_eq!(events as u64, json(&output)["events"].as_u64().unwrap());
    assert!(trace.contains("partition"), "what the script did must be in the file");
}

#[test]
fn a_sweep_does_not_depend_on_how_many_run_at_a_time() {
    let (one, four) = (
        rumour_sim("sweep network --seeds 0..6 --jobs 1 --json"),
        rumour_sim("sweep network --seeds 0..6 --jobs 4 --json"),
    );
    assert_eq!((code(&one), code(&four)), (0, 0), "{}", errors(&one));
    let (one, four) = (json(&one), json(&four));
    assert_eq!(one["runs"], 6);
    assert_eq!(one["failures"], serde_json::json!([]));
    for field in ["trace_hash", "events", "virtual_s", "dropped_messages"] {
        assert_eq!(one[field], four[field], "{field}");
    }
}
