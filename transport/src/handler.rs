//! What a node does with what arrives: the one seam between the transport and what it serves.

use crate::error::RequestRefused;
use crate::hello::{PeerInfo, Refusal};
use crate::peer::Peer;
use crate::stream::{FrameReceiver, FrameSender};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;

/// A future whose type has no name.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node, as its transport sees it.
///
/// Methods that return nothing are called on the transport's own tasks and must be quick; they may call everything on
/// [`Peer`] and [`Transport`](crate::Transport) that does not wait. For each connection the order is: `connected`, then anything, then
/// `disconnected`. A node's newer connection is announced after the end of its older one. Requests that have begun are
/// served to their end even if their connection ends first. After [`abort`](crate::Transport::abort) nothing is called any more.
pub trait Handler: Send + Sync + 'static {
    /// Decides whether a newcomer may stay, before anything else of it is looked at. Its name is verified.
    ///
    /// Waiting is fine, as long as it ends before the newcomer's dial timeout. Also asked about a newcomer that bears this node's own
    /// name, so that twins learn of each other; such a one is refused whatever the answer.
    fn admit(&self, peer: PeerInfo) -> BoxFuture<'static, Result<(), Refusal>>;

    /// A connection stands.
    fn connected(&self, peer: Peer);

    /// That connection is over; `reason` is for people.
    fn disconnected(&self, peer: PeerInfo, reason: String);

    /// A gossip message arrived.
    fn gossip(&self, from: PeerInfo, body: Bytes);

    /// A request arrived; the outcome of the future is sent back. Up to `streams_per_peer` of them run at a time for one peer.
    fn request(
        &self,
        from: PeerInfo,
        kind: u8,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, RequestRefused>>;

    /// The peer opened a channel: what it sends comes out of `rx`, answers go into `tx`.
    fn channel(&self, from: PeerInfo, tx: FrameSender, rx: FrameReceiver);
}
