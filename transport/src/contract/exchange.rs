//! What passes between two nodes that get on with each other.

use super::Network;
use super::node::{ECHO, HANG, PATIENCE, REFUSE, SLOW, echo, eventually, start};
use crate::error::{RequestError, StreamError};
use crate::frame::MAX_BODY_BYTES;
use crate::peer::MAX_GOSSIP_BYTES;
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A request brings its reply, in both directions of one connection.
pub async fn a_request_brings_a_reply(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    assert_eq!((peer.node().as_str(), peer.info().addr, peer.info().incarnation), ("b", b.addr, 1));
    assert_eq!((peer.info().started_ms, peer.protocol_version()), (1_000, 2));
    echo(&peer, b"there").await;
    echo(&peer, b"").await;
    echo(
        &b.transport.peer(a.transport.info().node.as_ref().parse().as_ref().expect("a name")).expect("a"),
        b"back",
    )
    .await;
    let (at_a, at_b) = (a.transport.stats(), b.transport.stats());
    assert_eq!((at_a.handshakes_dialed, at_a.requests_out, at_a.requests_in, at_a.peers), (1, 2, 1, 1));
    assert_eq!((at_b.handshakes_accepted, at_b.requests_out, at_b.requests_in, at_b.peers), (1, 1, 2, 1));
    assert!(at_a.datagrams_out > 0 && at_a.datagrams_in > 0 && at_a.bytes_in > 1200 && at_a.bytes_out > 1200);
    assert_eq!(at_a.refused.total() + at_b.refused.total(), 0, "{at_a:?} {at_b:?}");
}

/// Slow requests do not hold up others.
pub async fn many_requests_run_at_once(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    let start = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..200_u64 {
        let peer = peer.clone();
        running.spawn(async move {
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            assert_eq!(peer.request(SLOW, body.clone(), PATIENCE).await, Ok(body));
        });
    }
    while let Some(finished) = running.join_next().await {
        finished.expect("every request got its own reply");
    }
    // One after the other they would take forty seconds.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// A refused request brings the code and the cleaned text.
pub async fn a_refused_request_says_why(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let error =
        a.dial(&b).await.request(REFUSE, Bytes::from_static(b"abc"), PATIENCE).await.expect_err("refused");
    assert!(!error.may_have_run());
    let RequestError::Refused(refused) = error else { panic!("{error:?}") };
    assert_eq!((refused.code, refused.text.as_str()), (7, "no, not 3 bytes"));
}

/// A request that is not answered ends with its timeout and leaves the connection whole.
pub async fn a_request_without_reply_times_out(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    let error = peer.request(HANG, Bytes::new(), Duration::from_millis(300)).await.expect_err("a timeout");
    assert_eq!(error, RequestError::Timeout { sent: true });
    assert!(error.may_have_run());
    echo(&peer, b"still here").await;
    assert_eq!(b.refused().total(), 0);
}

/// The largest frame passes, a larger one is not sent.
pub async fn frames_up_to_the_limit_pass(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    for bytes in [70_000, 1 << 20, MAX_BODY_BYTES] {
        let body: Bytes = (0..bytes).map(|at| (at % 251) as u8).collect();
        assert_eq!(peer.request(ECHO, body.clone(), PATIENCE * 4).await, Ok(body), "{bytes}");
    }
    let error =
        peer.request(ECHO, Bytes::from(vec![0; MAX_BODY_BYTES + 1]), PATIENCE).await.expect_err("too large");
    assert!(matches!(error, RequestError::TooLarge { .. }) && !error.may_have_run());
    echo(&peer, b"still here").await;
}

/// Short gossip goes by datagram, long gossip by stream, too long gossip nowhere.
pub async fn gossip_passes_by_datagram_and_by_stream(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    let mut bodies: Vec<Bytes> = [0, 1, 1000, 1400, 5_000, 65_507, MAX_GOSSIP_BYTES]
        .into_iter()
        .map(|bytes| (0..bytes).map(|at| (at % 249) as u8).collect())
        .collect();
    for (count, body) in bodies.iter().enumerate() {
        // Gossip may be lost: it is repeated, as gossip is.
        while b.recorder.gossip().iter().filter(|heard| *heard == body).count() == 0 {
            peer.gossip(body.clone());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(b.recorder.gossip().len() > count);
    }
    peer.gossip(Bytes::from(vec![0; MAX_GOSSIP_BYTES + 1]));
    let sent = a.transport.stats();
    assert!(sent.gossip_datagrams_out >= 3 && sent.gossip_streams_out >= 3, "{sent:?}");
    assert_eq!(sent.refused.gossip_overflow, 1);
    let mut heard = b.recorder.gossip();
    heard.sort();
    heard.dedup();
    bodies.sort();
    assert_eq!(heard, bodies);
    assert_eq!(b.refused().total(), 0);
}

/// However much is sent, gossip returns at once, holds little, and drops what is too much.
pub async fn gossip_never_waits(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    b.transport.abort();
    let start = Instant::now();
    for _ in 0..100 {
        peer.gossip(Bytes::from(vec![1; MAX_GOSSIP_BYTES]));
        peer.gossip(Bytes::from(vec![1; 900]));
    }
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(a.refused().gossip_overflow, 96, "four of a hundred are on their way");
}

/// A channel carries frames in order, both ways, and ends when its sender ends it.
pub async fn a_channel_keeps_order_both_ways(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let (mut tx, mut rx) = a.dial(&b).await.open_channel().await.expect("a channel");
    let sending = tokio::spawn(async move {
        for number in 0..500_u32 {
            let body: Bytes =
                number.to_be_bytes().iter().copied().cycle().take(4 + number as usize * 7).collect();
            tx.send(1, body).await.expect("the channel takes it");
        }
        tx.finish();
    });
    for number in 0..500_u32 {
        let frame = rx.recv().await.expect("the channel holds").expect("a frame");
        assert_eq!((frame.kind, &frame.body[..4]), (2, &number.to_be_bytes()[..]));
        assert_eq!(frame.body.len(), 4 + number as usize * 7);
    }
    assert_eq!(rx.recv().await, Ok(None));
    sending.await.expect("the sender finished");
    let error = {
        let (mut tx, _rx) = a.dial(&b).await.open_channel().await.expect("another channel");
        tx.send(1, Bytes::from(vec![0; MAX_BODY_BYTES + 1])).await.expect_err("too large")
    };
    assert!(matches!(error, StreamError::Frame(_)));
    assert_eq!(b.refused().total(), 0);
}

/// A sender that gives up inside a frame resets the stream: its peer neither takes the frame for whole nor counts it as an offence.
pub async fn a_frame_given_up_is_no_end_of_stream(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    let (mut tx, mut rx) = peer.open_channel().await.expect("a channel");
    tx.send(1, Bytes::from_static(b"whole")).await.expect("sent");
    assert_eq!(rx.recv().await.expect("a frame").map(|frame| frame.body), Some(Bytes::from_static(b"whole")));
    // Nobody can take 16 MiB in no time: the windows are smaller.
    let given_up =
        tokio::time::timeout(Duration::ZERO, tx.send(1, Bytes::from(vec![0; MAX_BODY_BYTES]))).await;
    assert!(given_up.is_err());
    assert_eq!(tx.send(1, Bytes::new()).await, Err(StreamError::Unfinished));
    drop(tx);
    // The echoing side sees the reset and drops its half, which ends ours.
    assert_eq!(rx.recv().await, Ok(None));
    echo(&peer, b"still here").await;
    eventually("nothing is counted", || b.refused().total() == 0).await;
}
