//! The real rumour node in virtual time on a simulated network.
