//! The real rumour node in virtual time on a simulated network.
//!
//! A run is decided by its seed: the same seed gives the same deliveries at the same times, in any process.
//! That rests on one thread per run, tokio's paused clock and seeded scheduler (hence
//! `--cfg tokio_unstable`), a simulated network under quinn, and random bytes that follow the seed
//! ([`entropy_hook!`]).
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! rumour_sim::entropy_hook!();
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let outcome = rumour_sim::Simulation::new(7).nodes(3).run(|cluster| async move {
//!         cluster.cut(rumour_sim::cluster::Cut::BothWays, &[0], &[1, 2]);
//!         let (left, right) = (cluster.cache(0).unwrap(), cluster.cache(1).unwrap());
//!         left.set("drink", "tea").await.unwrap();
//!         tokio::time::sleep(Duration::from_secs(30)).await;
//!         right.set("drink", "coffee").await.unwrap();
//!         cluster.heal();
//!         cluster.converge(Duration::from_secs(30)).await;
//!         left.get("drink").await.unwrap()
//!     })?;
//!     assert_eq!(outcome.output.flatten().as_deref(), Some(&b"coffee"[..]));
//!     assert_eq!(outcome.violations, []);
//!     Ok(())
//! }
//! ```
//!
//! The modules:
//! - [`Simulation`]: a test of your own, as above; [`cluster`] is what its script holds
//! - [`runner`]: one run, from seed to [`Outcome`](runner::Outcome)
//! - [`net`]: the network and its faults
//! - [`clock`]: wall clocks that can be wrong
//! - [`trace`]: the hash that tells whether two runs were the same
//! - [`scenario`]: the scenarios that the binary offers, and [`sweep`] to run many seeds of one; [`workload`] is their clients

#[expect(unexpected_cfgs, reason = "tokio's flag, unknown to the compiler")]
const _: () = {
    #[cfg(not(any(tokio_unstable, doc, doctest)))]
    compile_error!("the simulator seeds tokio's scheduler: build with RUSTFLAGS=\"--cfg tokio_unstable\"");
};

mod check;
pub mod clock;
pub mod cluster;
pub mod entropy;
pub mod net;
mod panics;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod seed;
mod simulation;
pub mod sweep;
pub mod trace;
pub mod workload;

pub use check::Removals;
pub use simulation::Simulation;
