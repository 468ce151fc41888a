//! QUIC between rumour peers.
