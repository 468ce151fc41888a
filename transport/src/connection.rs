//! Serving one connection: what the peer sends goes to the node, until the connection is over.

use crate::codec;
use crate::error::{FrameError, RequestRefused, StreamError};
use crate::frame::{Frame, MAX_BODY_BYTES};
use crate::handler::Handler;
use crate::hello::plain;
use crate::peer::{MAX_GOSSIP_BYTES, Peer, REPLY_OK, REPLY_REFUSED, gossip_body};
use crate::shared::Shared;
use crate::stats::{Reason, add};
use crate::stream::{FrameReceiver, FrameSender, OVERFLOW, StreamKind, UNREADABLE};
use quinn::{RecvStream, SendStream};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Serves `peer` until its connection is over, then takes it out of the table.
pub(crate) async fn serve(shared: Arc<Shared>, peer: Peer, handler: Arc<dyn Handler>) {
    let serving = Arc::new(Serving {
        request_units: Arc::new(Semaphore::new(units(shared.limits.request_bytes_per_peer))),
        channels: Arc::new(Semaphore::new(shared.limits.channels_per_peer)),
        shared,
        peer,
        handler,
    });
    let mut messages = JoinSet::new();
    let mut requests = JoinSet::new();
    tokio::join!(
        serving.datagrams(),
        serving.unidirectional(&mut messages),
        serving.bidirectional(&mut requests)
    );
    let reason = match serving.peer.connection().close_reason() {
        Some(error) => plain(&error.to_string()),
        None => "closed".to_owned(),
    };
    serving.shared.links.drop_link(&serving.peer, reason, &*serving.handler);
    // A request that has begun is a decision of the node under way: it is not cut off with the connection.
    while requests.join_next().await.is_some() {}
}

struct Serving {
    shared: Arc<Shared>,
    peer: Peer,
    handler: Arc<dyn Handler>,
    request_units: Arc<Semaphore>,
    channels: Arc<Semaphore>,
}

/// Permits are counted in units of this many bytes: a semaphore takes 32-bit amounts.
const UNIT_BYTES: usize = 1024;

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

impl Serving {
    async fn datagrams(&self) {
        while let Ok(datagram) = self.peer.connection().read_datagram().await {
            match gossip_body(datagram) {
                Ok(body) => {
                    add(&self.shared.counters.gossip_in, 1);
                    self.handler.gossip(self.peer.info().clone(), body);
                }
                Err(error) => self.refuse(Reason::BadFrame, &error.to_string()),
            }
            // Datagrams may be there without end; streams are served by the same task.
            tokio::task::consume_budget().await;
        }
    }

    async fn unidirectional(self: &Arc<Self>, messages: &mut JoinSet<()>) {
        loop {
            tokio::select! {
                biased;
                Some(_) = messages.join_next() => {}
                opened = self.peer.connection().accept_uni() => {
                    let Ok(stream) = opened else { return };
                    messages.spawn(self.clone().message(stream));
                }
            }
        }
    }

    async fn bidirectional(self: &Arc<Self>, requests: &mut JoinSet<()>) {
        loop {
            tokio::select! {
                biased;
                Some(_) = requests.join_next() => {}
                opened = self.peer.connection().accept_bi() => {
                    let Ok((tx, rx)) = opened else { return };
                    requests.spawn(self.clone().stream(tx, rx));
                }
            }
        }
    }

    /// Reads one gossip message from a stream of its own.
    async fn message(self: Arc<Self>, stream: RecvStream) {
        let mut rx = self.receiver(stream, MAX_GOSSIP_BYTES);
        let reading = async {
            let mark = rx.mark().await?;
            if mark != StreamKind::Gossip as u8 {
                return self.unknown_kind(mark);
            }
            rx.recv().await?.ok_or_else(|| self.missing())
        };
        match self.in_time(reading).await {
            Some(Ok(frame)) => {
                add(&self.shared.counters.gossip_in, 1);
                self.handler.gossip(self.peer.info().clone(), frame.body);
            }
            Some(Err(_)) | None => rx.stop(UNREADABLE),
        }
    }

    /// Serves a stream that the peer opened for a request or a channel.
    async fn stream(self: Arc<Self>, tx: SendStream, rx: RecvStream) {
        let tx = FrameSender::new(tx);
        let mut rx = self.receiver(rx, MAX_BODY_BYTES);
        match self.in_time(rx.mark()).await {
            Some(Ok(mark)) if mark == StreamKind::Request as u8 => self.request(tx, rx).await,
            Some(Ok(mark)) if mark == StreamKind::Channel as u8 => self.channel(tx, rx),
            Some(Ok(mark)) => {
                let _ = self.unknown_kind::<()>(mark);
                abandon(tx, rx);
            }
            Some(Err(_)) | None => abandon(tx, rx),
        }
    }

    async fn request(&self, mut tx: FrameSender, mut rx: FrameReceiver) {
        let Some(Ok((frame, _permit))) = self.in_time(self.read_request(&mut rx)).await else {
            abandon(tx, rx);
            return;
        };
        add(&self.shared.counters.requests_in, 1);
        let outcome = self.handler.request(self.peer.info().clone(), frame.kind, frame.body).await;
        let sent = match outcome {
            Ok(body) if body.len() <= MAX_BODY_BYTES => tx.send(REPLY_OK, body).await,
            Ok(body) => {
                tracing::error!(bytes = body.len(), "a reply is over the limit of a frame and was not sent");
                tx.abandon(UNREADABLE);
                return;
            }
            Err(refused) => self.send_refused(&mut tx, refused).await,
        };
        // If the requester is gone there is nobody to tell.
        if sent.is_ok() {
            tx.finish();
        }
    }

    async fn send_refused(&self, tx: &mut FrameSender, refused: RequestRefused) -> Result<(), StreamError> {
        let refused = RequestRefused { code: refused.code, text: plain(&refused.text) };
        match codec::encode(&refused) {
            Ok(body) => tx.send(REPLY_REFUSED, body).await,
            // A number and 512 bytes of text always fit.
            Err(_) => Ok(()),
        }
    }

    /// Reads the one frame of a request once there is room for it. The room is taken whole before the body is read,
    /// so that requests that are waiting for room do not keep room from each other.
    async fn read_request(
        &self,
        rx: &mut FrameReceiver,
    ) -> Result<(Frame, OwnedSemaphorePermit), StreamError> {
        let bytes = rx.announced_bytes().await?.ok_or_else(|| self.missing())?;
        let wanted = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
        let closed = || StreamError::Closed("the transport is closing".to_owned());
        let permit = self.request_units.clone().acquire_many_owned(wanted).await.map_err(|_| closed())?;
        let frame = rx.recv().await?.ok_or_else(|| self.missing())?;
        Ok((frame, permit))
    }

    fn channel(&self, tx: FrameSender, mut rx: FrameReceiver) {
        let Ok(place) = self.channels.clone().try_acquire_owned() else {
            self.refuse(Reason::PeerOverflow, "it has too many channels open");
            tx.abandon(OVERFLOW);
            rx.stop(OVERFLOW);
            return;
        };
        rx.keep(place);
        self.handler.channel(self.peer.info().clone(), tx, rx);
    }

    fn receiver(&self, stream: RecvStream, body_bytes_max: usize) -> FrameReceiver {
        FrameReceiver::new(
            stream,
            body_bytes_max,
            Some(self.shared.counters.clone()),
            self.peer.remote_addr(),
        )
    }

    async fn in_time<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.shared.limits.read_timeout, reading).await.ok()
    }

    /// The stream ended in good order, only without the message it was for.
    fn missing(&self) -> StreamError {
        self.refuse(Reason::BadFrame, "its stream ended before the message");
        FrameError::Truncated.into()
    }

    fn unknown_kind<T>(&self, mark: u8) -> Result<T, StreamError> {
        let error = FrameError::StreamKind(mark);
        self.refuse(Reason::BadFrame, &error.to_string());
        Err(error.into())
    }

    fn refuse(&self, reason: Reason, why: &str) {
        self.shared.counters.refuse(reason, self.peer.remote_addr(), why);
    }
}

fn abandon(tx: FrameSender, rx: FrameReceiver) {
    tx.abandon(UNREADABLE);
    rx.stop(UNREADABLE);
}
