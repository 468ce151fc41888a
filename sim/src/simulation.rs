//! The front door for tests: some nodes, a script, and everything checked.

use std::path::PathBuf;
use std::time::Duration;

use rumour::Tuning;

use crate::cluster::{Cluster, Writers};
use crate::runner::{Outcome, RunError, Settings, run};

/// A test of code that uses rumour: real nodes, a script that does what the test is about, and all checks.
///
/// The nodes serve when the script begins. After it everything is healed, and the nodes must become equal within three
/// sync intervals and hold of each key the highest write that was not flushed. What went wrong is in
/// [`Outcome::violations`].
#[derive(Debug, Clone)]
#[must_use = "a simulation does nothing until it is run"]
pub struct Simulation {
    settings: Settings,
    nodes: usize,
    tuning: Tuning,
}

impl Simulation {
    /// Three nodes, to be run under this seed.
    pub fn new(seed: u64) -> Self {
        Self { settings: Settings::new(seed), nodes: 3, tuning: Tuning::default() }
    }

    /// How many nodes there are.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How every node is tuned.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Real time after which the run is stopped, which is a violation. Default 300 s.
    pub fn wall_budget(mut self, budget: Duration) -> Self {
        self.settings.wall_budget = budget;
        self
    }

    /// A file to write everything that happens to, a line an event.
    pub fn trace_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.trace_file = Some(path.into());
        self
    }

    /// Runs the script and checks everything.
    ///
    /// The script may only wait with tokio's timers: no other thread takes part in the run.
    ///
    /// # Errors
    /// The run could not be made at all; see [`RunError`].
    pub fn run<F, Fut, T>(self, script: F) -> Result<Outcome<T>, RunError>
    where
        F: FnOnce(Cluster) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let Self { settings, nodes, tuning } = self;
        run(settings, move |world| async move {
            let within = tuning.sync_interval * 3;
            let cluster = Cluster::new(world, nodes, tuning, Writers::Anyone);
            cluster.start_all().await;
            let output = script(cluster.clone()).await;
            cluster.inspect();
            cluster.heal();
            if cluster.converge(within).await.is_some() {
                cluster.check_outcome();
            }
            cluster.end().await;
            output
        })
    }
}
