//! Dialing a peer: handshake, greeting, and taking up the connection.

use crate::datagram::canonical;
use crate::error::{DialError, StreamError};
use crate::hello::{Hello, PeerInfo, Refusal, RefusalCode, Reply};
use crate::id::NodeId;
use crate::links::{Knows, NotTaken};
use crate::peer::{Peer, close_code};
use crate::refusal::of_dial;
use crate::shared::{Greeted, Shared, hear, say};
use crate::stats::{Reason, add};
use crate::stream::FrameSender;
use crate::tls::{SERVER_NAME, certified_node};
use parking_lot::Mutex;
use quinn::Connection;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The dials under way: one at a time for each address.
#[derive(Debug, Default)]
pub(crate) struct Dialing(Mutex<BTreeMap<SocketAddr, Turn>>);

#[derive(Debug)]
struct Turn {
    since: Instant,
    waiting: usize,
    gate: Arc<tokio::sync::Mutex<()>>,
}

/// A dial that has taken longer than this may well fail: it is no reason to turn away a peer that dials us.
const PROMISING: Duration = Duration::from_secs(1);

/// One who dials, or waits for another's dial to the same address.
struct Waiting<'a> {
    dialing: &'a Dialing,
    addr: SocketAddr,
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Dialing {
    /// Whether a dial to `addr` has just begun and is likely to succeed.
    pub(crate) fn is_promising(&self, addr: SocketAddr, now: Instant) -> bool {
        self.0.lock().get(&canonical(addr)).is_some_and(|turn| now.duration_since(turn.since) < PROMISING)
    }

    fn wait(&self, addr: SocketAddr) -> Waiting<'_> {
        let mut turns = self.0.lock();
        let turn = turns.entry(addr).or_insert_with(|| Turn {
            since: Instant::now(),
            waiting: 0,
            gate: Arc::default(),
        });
        turn.waiting += 1;
        Waiting { dialing: self, addr, gate: turn.gate.clone() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut turns = self.dialing.0.lock();
        if let Some(turn) = turns.get_mut(&self.addr) {
            turn.waiting -= 1;
            if turn.waiting == 0 {
                turns.remove(&self.addr);
            }
        }
    }
}

/// The peer at `addr`, dialed if need be.
pub(crate) async fn dial(shared: &Arc<Shared>, addr: SocketAddr) -> Result<Peer, DialError> {
    let addr = canonical(addr);
    let timeout = shared.limits.dial_timeout;
    tokio::select! {
        biased;
        () = shared.ended.cancelled() => Err(DialError::Closed),
        outcome = tokio::time::timeout(timeout, dial_in_turn(shared, addr)) => outcome.unwrap_or(Err(DialError::Timeout)),
    }
}

async fn dial_in_turn(shared: &Arc<Shared>, addr: SocketAddr) -> Result<Peer, DialError> {
    if addr == canonical(shared.own.addr) {
        return Err(DialError::Myself);
    }
    if let Some(peer) = shared.links.at(addr) {
        return Ok(peer);
    }
    let waiting = shared.dialing.wait(addr);
    let _turn = waiting.gate.lock().await;
    match shared.links.at(addr) {
        Some(peer) => Ok(peer),
        None => handshake(shared, addr).await,
    }
}

async fn handshake(shared: &Arc<Shared>, addr: SocketAddr) -> Result<Peer, DialError> {
    let held = shared.addresses.hold(addr);
    let connecting = shared
        .endpoint
        .connect_with(shared.client.clone(), addr, SERVER_NAME)
        .map_err(|error| DialError::Address(error.to_string()))?;
    let lost = |error: &quinn::ConnectionError| {
        let (error, reason) = of_dial(error);
        if let Some(reason) = reason {
            shared.counters.refuse(reason, addr, &error.to_string());
        }
        error
    };
    let connection = connecting.await.map_err(|error| lost(&error))?;
    let Some(certified) = certified_node(&connection) else {
        // The verifier lets no such certificate pass.
        return Err(refuse(shared, &connection, DialError::UnknownCertificate, Reason::UnknownCertificate));
    };
    let holds = shared.links.get(&certified).map(|peer| peer.info().incarnation);
    let hello = Hello { info: shared.own.clone(), holds };
    let reply = match greet(shared, &connection, &hello).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(text)) => {
            return Err(refuse(shared, &connection, DialError::BadHello(text), Reason::BadHello));
        }
        Err(broken) => {
            // A peer refuses certificates only after its side of the handshake looks finished from here.
            return Err(match connection.close_reason() {
                Some(error) => lost(&error),
                None => DialError::Broken(broken.to_string()),
            });
        }
    };
    match reply {
        Reply::Welcome(info) => {
            let told = if holds == Some(info.incarnation) { Knows::Existing } else { Knows::Nothing };
            welcomed(shared, Greeted { connection, info, dialed: true, told, held }, &certified)
        }
        Reply::Refused(refusal) => {
            connection.close(close_code::REFUSED, b"understood");
            refused(shared, refusal, &certified).await
        }
    }
}

/// The peer's reply; the outer error is the connection's, the inner one the reply's.
async fn greet(
    shared: &Shared,
    connection: &Connection,
    hello: &Hello,
) -> Result<Result<Reply, String>, StreamError> {
    let (tx, rx) = connection.open_bi().await?;
    let (mut tx, mut rx) = (FrameSender::new(tx), shared.hello_receiver(rx, connection));
    say(&mut tx, hello).await?;
    tx.finish();
    hear(&mut rx).await
}

fn welcomed(shared: &Arc<Shared>, greeted: Greeted, certified: &NodeId) -> Result<Peer, DialError> {
    let (connection, info) = (greeted.connection.clone(), &greeted.info);
    if info.node != *certified {
        let error =
            DialError::NameMismatch { claimed: info.node.to_string(), certified: Some(certified.clone()) };
        return Err(refuse(shared, &connection, error, Reason::NameMismatch));
    }
    if info.node == shared.own.node {
        return Err(same_node(shared, &connection, info));
    }
    match shared.take_up(greeted) {
        Ok(peer) => {
            add(&shared.counters.handshakes_dialed, 1);
            Ok(peer)
        }
        Err(Some(NotTaken::Duplicate(existing))) => {
            connection.close(close_code::DUPLICATE, b"already connected");
            Ok(existing)
        }
        Err(Some(NotTaken::Full)) => {
            connection.close(close_code::REFUSED, b"as many peers as there may be");
            Err(DialError::Full)
        }
        Err(None) => Err(DialError::Closed),
    }
}

fn same_node(shared: &Shared, connection: &Connection, info: &PeerInfo) -> DialError {
    connection.close(close_code::REFUSED, b"same name");
    if info.incarnation == shared.own.incarnation {
        DialError::Myself
    } else {
        DialError::SameName(info.clone())
    }
}

async fn refused(shared: &Shared, refusal: Refusal, certified: &NodeId) -> Result<Peer, DialError> {
    match refusal.code {
        RefusalCode::Myself => Err(DialError::Myself),
        // The other connection stands or is about to; the dial's timeout bounds the wait.
        RefusalCode::Duplicate => Ok(shared.links.wait_for(certified).await),
        _ => Err(DialError::Refused(refusal.cleaned())),
    }
}

fn refuse(shared: &Shared, connection: &Connection, error: DialError, reason: Reason) -> DialError {
    shared.counters.refuse(reason, canonical(connection.remote_address()), &error.to_string());
    connection.close(close_code::REFUSED, b"refused");
    error
}
