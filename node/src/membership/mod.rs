//! Who is there: each node's own view of its peers, fed by gossip and by connections.
//!
//! [`View`] decides, [`Joining`] says when a starting node may serve, [`DialPlan`] when to dial whom, and `gossip`
//! carries chitchat inside our own connections.

mod dial;
mod gossip;
mod joining;
mod view;

pub(crate) use dial::DialPlan;
pub(crate) use gossip::{GossipTransport, SendGossip, facts, gossip_config, read_members};
pub(crate) use joining::Joining;
pub use view::{Member, MemberState};
pub(crate) use view::{Reported, View, ViewEvent};
