//! Answering those who dial this node: handshake, greeting, the node's decision.

use crate::datagram::canonical;
use crate::hello::{Hello, Refusal, RefusalCode, Reply};
use crate::links::{Knows, NotTaken};
use crate::peer::close_code;
use crate::refusal::of_incoming;
use crate::shared::{Greeted, Shared, hear, say};
use crate::stats::{Reason, add};
use crate::stream::FrameSender;
use crate::tls::certified_node;
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a refused newcomer gets to read why before the connection is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers newcomers as long as there is an endpoint.
pub(crate) async fn accept(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        let Ok(permit) = shared.handshakes.clone().try_acquire_owned() else {
            let from = canonical(incoming.remote_address());
            shared.counters.refuse(Reason::HandshakeOverflow, from, "too many handshakes are under way");
            incoming.ignore();
            continue;
        };
        // Under pressure only those may take a place whose address is proven: forged ones cost nothing to send.
        let crowded = shared.handshakes.available_permits() < shared.limits.handshakes_in_flight / 2;
        if crowded && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let task = shared.clone();
        shared.tasks.spawn(async move {
            greet(&task, incoming).await;
            drop(permit);
        });
    }
}

/// Why a handshake led to nothing.
enum Failed {
    /// Count it, and close the connection if there is one.
    Refused { reason: Reason, why: String },
    /// Tell the newcomer, and count it if it is the newcomer's fault.
    Told { reason: Option<Reason>, refusal: Refusal, connection: Connection, tx: FrameSender },
    /// The newcomer went away, or this transport did.
    Gone,
}

async fn greet(shared: &Arc<Shared>, incoming: Incoming) {
    let from = canonical(incoming.remote_address());
    let timeout = shared.limits.handshake_timeout;
    let failed = match tokio::time::timeout(timeout, handshake(shared, incoming, from)).await {
        Ok(Ok(())) | Ok(Err(Failed::Gone)) => return,
        Ok(Err(failed)) => failed,
        Err(_) => {
            let why =
                "it did not finish its handshake or greeting, or this node its decision, in time".to_owned();
            Failed::Refused { reason: Reason::HandshakeTimeout, why }
        }
    };
    match failed {
        Failed::Refused { reason, why } => shared.counters.refuse(reason, from, &why),
        Failed::Told { reason, refusal, connection, mut tx } => {
            if let Some(reason) = reason {
                shared.counters.refuse(reason, from, &refusal.text);
            }
            let telling = async {
                if say(&mut tx, &Reply::Refused(refusal)).await.is_ok() {
                    tx.finish();
                    connection.closed().await;
                }
            };
            let _ = tokio::time::timeout(LAST_WORDS, telling).await;
            connection.close(close_code::REFUSED, b"refused");
        }
        Failed::Gone => {}
    }
}

async fn handshake(shared: &Arc<Shared>, incoming: Incoming, from: SocketAddr) -> Result<(), Failed> {
    let held = shared.addresses.hold(from);
    let refused = |reason, why: String| Failed::Refused { reason, why };
    let (tls, note) =
        shared.tls.server().map_err(|error| refused(Reason::HandshakeFailed, error.to_string()))?;
    let mut config = shared.server.clone();
    config.crypto = tls;
    let connecting = incoming.accept_with(Arc::new(config));
    let connected = match connecting {
        Ok(connecting) => connecting.await,
        Err(error) => Err(error),
    };
    let connection = connected.map_err(|error| match of_incoming(&error, note.get().copied()) {
        Some((reason, why)) => refused(reason, why),
        None => Failed::Gone,
    })?;
    let (tx, rx) = connection.accept_bi().await.map_err(|_| Failed::Gone)?;
    let (mut tx, mut rx) = (FrameSender::new(tx), shared.hello_receiver(rx, &connection));
    let hello = match hear::<Hello>(&mut rx).await.map_err(|_| Failed::Gone)? {
        Ok(hello) => hello,
        Err(error) => return Err(refused(Reason::BadHello, format!("its greeting cannot be read: {error}"))),
    };
    let verdict = decide(shared, &connection, &hello).await;
    if let Err((reason, refusal)) = verdict {
        return Err(Failed::Told { reason, refusal, connection, tx });
    }
    let knows = if hello.holds == Some(shared.own.incarnation) { Knows::Existing } else { Knows::Nothing };
    let greeted =
        Greeted { connection: connection.clone(), info: hello.info, dialed: false, told: knows, held };
    let (reason, refusal) = match shared.take_up(greeted) {
        Ok(_) => {
            add(&shared.counters.handshakes_accepted, 1);
            if say(&mut tx, &Reply::Welcome(shared.own.clone())).await.is_ok() {
                tx.finish();
            }
            return Ok(());
        }
        Err(None) => return Err(Failed::Gone),
        Err(Some(NotTaken::Duplicate(_))) => (None, duplicate()),
        Err(Some(NotTaken::Full)) => (
            Some(Reason::NotAdmitted),
            Refusal::new(RefusalCode::Full, "this node has as many peers as it may"),
        ),
    };
    Err(Failed::Told { reason, refusal, connection, tx })
}

/// Whether the newcomer may stay; if not, what it is told and what it counts as.
async fn decide(
    shared: &Arc<Shared>,
    connection: &Connection,
    hello: &Hello,
) -> Result<(), (Option<Reason>, Refusal)> {
    let (own, newcomer) = (&shared.own, &hello.info);
    match certified_node(connection) {
        Some(node) if node == newcomer.node => {}
        certified => {
            let certified = certified.map_or_else(|| "no node".to_owned(), |node| node.to_string());
            let text = format!("{} greets under the certificate of {certified}", newcomer.node);
            return Err((Some(Reason::NameMismatch), Refusal::new(RefusalCode::NameMismatch, &text)));
        }
    }
    if newcomer.node == own.node && newcomer.incarnation == own.incarnation {
        return Err((None, Refusal::new(RefusalCode::Myself, "you have dialed yourself")));
    }
    // Both dial each other: the smaller name's dial is the one that will stay, so the other is not even begun.
    if own.node < newcomer.node
        && shared.links.get(&newcomer.node).is_none()
        && shared.dialing.is_promising(newcomer.addr, Instant::now())
    {
        return Err((None, duplicate()));
    }
    let Some(handler) = shared.handler() else {
        return Err((None, Refusal::new(RefusalCode::Leaving, "this node is closing")));
    };
    handler.admit(newcomer.clone()).await.map_err(|refusal| {
        let reason = match refusal.code {
            RefusalCode::NameTaken => Reason::NameTaken,
            _ => Reason::NotAdmitted,
        };
        (Some(reason), refusal.cleaned())
    })?;
    if newcomer.node == own.node {
        return Err((Some(Reason::NameTaken), Refusal::name_taken(own.clone())));
    }
    Ok(())
}

fn duplicate() -> Refusal {
    Refusal::new(RefusalCode::Duplicate, "the two nodes are already connected")
}
