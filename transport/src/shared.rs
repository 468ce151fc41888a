//! What all parts of one transport share, and what they do with it together.

use crate::config::Limits;
use crate::connection::serve;
use crate::datagram::{Addresses, Held};
use crate::dial::Dialing;
use crate::error::StreamError;
use crate::handler::Handler;
use crate::hello::{HELLO_BYTES_MAX, PeerInfo};
use crate::links::{Knows, Links, NotTaken};
use crate::peer::Peer;
use crate::socket::CountingSocket;
use crate::stats::Counters;
use crate::stream::{FrameReceiver, FrameSender};
use crate::tasks::Tasks;
use crate::tls::Tls;
use crate::{codec, frame::Frame};
use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// How a handshake is answered, but for the TLS part, which is made for each.
    pub(crate) server: quinn::ServerConfig,
    /// How a node dials.
    pub(crate) client: quinn::ClientConfig,
    /// What this node says of itself.
    pub(crate) own: PeerInfo,
    pub(crate) endpoint: Endpoint,
    pub(crate) socket: Arc<CountingSocket>,
    pub(crate) tls: Tls,
    pub(crate) links: Links,
    pub(crate) dialing: Dialing,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tasks: Tasks,
    pub(crate) handshakes: Arc<Semaphore>,
    /// Ends waiting dials, which run on the tasks of others.
    pub(crate) ended: CancellationToken,
    /// Gone once ended: a node and its transport hold each other until then.
    pub(crate) handler: Mutex<Option<Arc<dyn Handler>>>,
}

/// A connection whose greeting is done.
pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    pub(crate) info: PeerInfo,
    pub(crate) dialed: bool,
    pub(crate) told: Knows,
    pub(crate) held: Held,
}

impl Shared {
    pub(crate) fn handler(&self) -> Option<Arc<dyn Handler>> {
        self.handler.lock().clone()
    }

    /// Makes the connection the one with its peer, if it is to be, and serves it from now on.
    pub(crate) fn take_up(self: &Arc<Self>, greeted: Greeted) -> Result<Peer, Option<NotTaken>> {
        let Greeted { connection, info, dialed, told, held } = greeted;
        let handler = self.handler().ok_or(None)?;
        let version = self.tls.agreed_version(&connection).ok_or(None)?;
        let peer = Peer::new(info, connection, version, dialed, &self.limits, &self.counters, &self.tasks);
        self.links.take_up(&peer, told, &*handler).map_err(Some)?;
        let (shared, served) = (self.clone(), peer.clone());
        self.tasks.spawn(async move {
            serve(shared, served, handler).await;
            drop(held);
        });
        Ok(peer)
    }

    /// Stops everything where it stands. Nothing is sent any more.
    pub(crate) fn end(&self) {
        self.socket.shut();
        // Wakes whoever waits on a connection; its words go nowhere.
        for peer in self.links.clear() {
            peer.close_with(crate::peer::close_code::LEAVING, "");
        }
        self.ended.cancel();
        self.tasks.end();
        let handler = self.handler.lock().take();
        drop(handler);
    }

    pub(crate) fn hello_receiver(&self, stream: quinn::RecvStream, connection: &Connection) -> FrameReceiver {
        FrameReceiver::new(stream, HELLO_BYTES_MAX, None, connection.remote_address())
    }
}

/// The one kind of frame in a greeting.
const HELLO_KIND: u8 = 0;

/// Sends one message of a greeting.
pub(crate) async fn say<T: serde::Serialize>(tx: &mut FrameSender, message: &T) -> Result<(), StreamError> {
    let body: Bytes = codec::encode(message).map_err(|error| StreamError::Closed(error.to_string()))?;
    tx.send(HELLO_KIND, body).await
}

/// Reads one message of a greeting; the outer error is the connection's, the inner one the message's.
pub(crate) async fn hear<T: serde::de::DeserializeOwned>(
    rx: &mut FrameReceiver,
) -> Result<Result<T, String>, StreamError> {
    match rx.recv().await {
        Ok(Some(Frame { kind: HELLO_KIND, body })) => {
            Ok(codec::decode(&body).map_err(|error| error.to_string()))
        }
        Ok(Some(frame)) => Ok(Err(format!("kind {} is unknown", frame.kind))),
        Ok(None) => Ok(Err("it is missing".to_owned())),
        Err(StreamError::Frame(error)) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
