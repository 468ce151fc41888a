//! The runner turns whatever goes wrong in a run into a finding, and never takes the program down with it.

use std::time::Duration;

use rumour_sim::runner::{Outcome, RunError, Settings, World, run};
use tokio::time::sleep;

rumour_sim::entropy_hook!();

fn rules<T>(outcome: &Outcome<T>) -> Vec<&str> {
    outcome.violations.iter().map(|violation| violation.rule.as_str()).collect()
}

#[test]
fn virtual_time_costs_no_real_time() {
    let outcome = run(Settings::new(1), |_| sleep(Duration::from_secs(86_400))).unwrap();
    assert_eq!(outcome.virtual_time, Duration::from_secs(86_400));
    assert!(outcome.wall_time < Duration::from_secs(10));
}

#[test]
fn a_panic_of_the_script_is_a_violation() {
    let outcome =
        run(Settings::new(1), |_: World| async { assert_eq!(1 + 1, 3, "arithmetic holds") }).unwrap();
    assert_eq!(rules(&outcome), ["no panic"]);
    assert!(outcome.violations[0].detail.contains("arithmetic holds"), "{:?}", outcome.violations);
    assert!(outcome.violations[0].detail.contains("runner.rs"), "{:?}", outcome.violations);
}

#[test]
fn a_panic_of_a_task_ends_the_run_and_is_a_violation() {
    let script = |_: World| async {
        tokio::spawn(async { panic!("a task fell") });
        sleep(Duration::from_secs(3600)).await;
    };
    let outcome = run(Settings::new(1), script).unwrap();
    assert!(outcome.output.is_none());
    assert!(outcome.violations[0].detail.contains("a task fell"), "{:?}", outcome.violations);
}

#[test]
fn a_run_that_makes_no_progress_is_stopped() {
    let settings = Settings { wall_budget: Duration::from_millis(200), ..Settings::new(1) };
    let script = |_: World| async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    let outcome = run::<_, _, ()>(settings, script).unwrap();
    assert_eq!(rules(&outcome), ["wall time budget"]);
}

#[test]
fn violations_are_kept_up_to_a_limit_and_parameters_come_back() {
    let script = |world: World| async move {
        world.parameter("answer", 42);
        for number in 0..250 {
            world.violation("rule", format!("{number}"));
        }
    };
    let outcome = run(Settings::new(1), script).unwrap();
    assert_eq!((outcome.violations.len(), outcome.violations_beyond_limit), (100, 150));
    assert_eq!(outcome.parameters["answer"], 42);
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error() {
    let settings = Settings { trace_file: Some("/nonexistent/trace".into()), ..Settings::new(1) };
    let error = run(settings, |_| async {}).unwrap_err();
    assert!(matches!(error, RunError::TraceFile { .. }), "{error}");
}
