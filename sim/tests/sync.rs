//! Anti-entropy goes on beside a dead member whose queue overflows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use rumour::Tuning;
use rumour_sim::Simulation;
use tokio::time::sleep;

rumour_sim::entropy_hook!();

#[test]
fn a_dead_member_with_a_full_queue_does_not_keep_sync_from_the_others() {
    let tuning = Tuning { outbox_keys_limit: 5, ..Tuning::default() };
    let outcome = Simulation::new(3).nodes(3).tuning(tuning).run(|cluster| async move {
        cluster.crash(0);
        // Until its connections have timed out.
        sleep(Duration::from_secs(15)).await;
        let sessions = || cluster.engine(1).unwrap().status().sync.sessions;
        let before = sessions();
        for key in 0..120 {
            cluster.cache(1).unwrap().set(format!("key-{key}"), format!("value {key}")).await.unwrap();
            sleep(Duration::from_millis(500)).await;
        }
        let held = sessions() - before;
        cluster.start(0).await.unwrap();
        cluster.wait_until_serving(0).await;
        held
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.violations, []);
    // One every ten seconds, give or take the jitter.
    let sessions = outcome.output.unwrap();
    assert!((4..=20).contains(&sessions), "{sessions} sessions in a minute");
}
