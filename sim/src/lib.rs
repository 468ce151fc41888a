//! The real rumour node in virtual time on a simulated network.
//!
//! A run is decided by its seed: the same seed gives the same deliveries at the same times, in any process.
//! That rests on one thread per run, tokio's paused clock and seeded scheduler (hence
//! `--cfg tokio_unstable`), a simulated network under quinn, and random bytes that follow the seed
//! ([`entropy_hook!`]).
//!
//! - [`runner`]: one run, from seed to [`Outcome`](runner::Outcome)
//! - [`net`]: the network and its faults
//! - [`clock`]: wall clocks that can be wrong
//! - [`trace`]: the hash that tells whether two runs were the same
//! - [`scenario`]: the scenarios that the binary offers, and [`sweep`] to run many seeds of one

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
pub mod sweep;
pub mod trace;
pub mod workload;
