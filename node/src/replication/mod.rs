//! Replication: each local write is queued for every other owner and sent in batches.
//!
//! `outbox` decides what goes out next, [`Fanout`] holds one outbox per peer, `parts` cuts batches and joins them, and `link` moves
//! the bytes.

mod change;
mod fanout;
mod link;
mod outbox;
mod parts;
mod patience;
mod ticket;

pub(crate) use change::Change;
pub(crate) use fanout::Fanout;
#[cfg(test)]
pub(crate) use link::testing;
pub(crate) use link::{receive, send};
pub(crate) use outbox::Behind;
#[cfg(test)]
pub(crate) use outbox::{Outbox, Taken};
pub(crate) use ticket::Ticket;
