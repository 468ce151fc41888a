//! Real `rumour` processes, driven through their command line, their Redis door and their ports alone.
//!
//! One program, so that the tests wait beside each other rather than one after the other.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "real time, real processes: nothing is simulated here")]

mod admin;
mod authority;
mod cluster;
mod configuration;
mod conflicts;
mod demo;
mod large;
mod memory;
mod names;
mod replication;
mod stop;
mod strangers;
mod support;
mod usage;
