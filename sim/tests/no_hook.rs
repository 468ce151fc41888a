//! This test program has no entropy hook, on purpose: every run must be refused.

use rumour_sim::entropy::EntropyError;
use rumour_sim::runner::{RunError, Settings, run};

#[test]
fn without_the_hook_no_run_begins() {
    let refused = run(Settings::new(1), |_| async { panic!("the script must not be called") });
    let error = refused.map(|outcome: rumour_sim::runner::Outcome<()>| outcome.violations).unwrap_err();
    assert!(matches!(error, RunError::Entropy(EntropyError::NoHook { .. })), "{error}");
    assert!(error.to_string().contains("entropy_hook!"), "the message must say what to do: {error}");
}
