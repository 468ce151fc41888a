//! Replication: each local write is queued for every other owner and sent in batches.
//!
//! `outbox` decides what goes out next, [`Fanout`] holds one outbox per peer, and `link` moves the bytes.

mod change;
mod fanout;
mod link;
mod outbox;

pub(crate) use change::Change;
pub(crate) use fanout::Fanout;
pub(crate) use link::{receive, send};
