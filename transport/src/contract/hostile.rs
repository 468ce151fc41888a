//! What a member gone bad, or anybody with a socket, can send; and that it harms nobody else.

use super::Network;
use super::node::{ECHO, Event, PATIENCE, echo, eventually, start};
use super::stranger::{Noise, Stranger, framed};
use crate::error::StreamError;
use crate::frame::MAX_BODY_BYTES;
use crate::stream::{FrameReceiver, StreamKind};
use bytes::Bytes;
use quinn::{Connection, ReadError, ReadToEndError};
use std::time::Duration;

/// Sends `bytes` on a new stream like a request's; how the other end breaks it off.
async fn request_with(connection: &Connection, bytes: &[u8], whole: bool) -> Result<Vec<u8>, ReadToEndError> {
    let (mut tx, mut rx) = connection.open_bi().await.expect("a stream");
    tx.write_all(bytes).await.expect("written");
    if whole {
        let _ = tx.finish();
    }
    rx.read_to_end(1 << 20).await
}

fn was_reset(outcome: &Result<Vec<u8>, ReadToEndError>) -> bool {
    matches!(outcome, Err(ReadToEndError::Read(ReadError::Reset(_))))
}

async fn raw_echo(connection: &Connection) {
    let (mut tx, rx) = connection.open_bi().await.expect("a stream");
    let mut request = vec![StreamKind::Request as u8];
    request.extend_from_slice(&framed(ECHO, &Bytes::from_static(b"good")));
    tx.write_all(&request).await.expect("written");
    let mut rx = FrameReceiver::new(rx, 100, None, connection.remote_address());
    assert_eq!(rx.recv().await.expect("a reply").map(|frame| frame.body), Some(Bytes::from_static(b"good")));
}

/// A length over the limit ends its stream, before anything of the body is waited for, and nothing else.
pub async fn oversized_frames_are_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let member = Stranger::member(network, 1, "b").await;
    let connection = member.join(a.addr, "b").await;
    for (count, length) in (1..).zip([MAX_BODY_BYTES as u32 + 1, u32::MAX]) {
        let [b0, b1, b2, b3] = length.to_be_bytes();
        let outcome =
            request_with(&connection, &[StreamKind::Request as u8, b0, b1, b2, b3, 1, ECHO], false).await;
        assert!(was_reset(&outcome), "{outcome:?}");
        assert_eq!((a.refused().bad_frame, a.refused().total()), (count, count));
    }
    // Gossip and channels have the same limit or a lower one.
    let mut tx = connection.open_uni().await.expect("a stream");
    tx.write_all(&[StreamKind::Gossip as u8, 1, 0, 0, 0, 1, 0]).await.expect("written");
    eventually("gossip is refused", || a.refused().bad_frame == 3).await;
    let outcome = request_with(&connection, &[StreamKind::Channel as u8, 0xff, 0, 0, 0, 1, 0], false).await;
    assert!(matches!(&outcome, Ok(rest) if rest.is_empty()), "the channel's user gives up: {outcome:?}");
    assert_eq!((a.refused().bad_frame, a.refused().total()), (4, 4));
    raw_echo(&connection).await;
    a.still_serves(network, 2).await;
}

/// A message that ends half-way, or in another layout, is refused; one that is taken back is not held against anybody.
pub async fn half_a_message_is_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let member = Stranger::member(network, 1, "b").await;
    let connection = member.join(a.addr, "b").await;
    let mut whole = vec![StreamKind::Request as u8];
    whole.extend_from_slice(&framed(ECHO, &Bytes::from_static(b"hundred")));
    for (count, bytes) in (1..).zip([1, 3, 7, whole.len() - 1]) {
        let outcome = request_with(&connection, &whole[..bytes], true).await;
        assert!(was_reset(&outcome), "{bytes}: {outcome:?}");
        assert_eq!((a.refused().bad_frame, a.refused().total()), (count, count), "{bytes}");
    }
    let mut other_layout = whole.clone();
    other_layout[5] = 9;
    assert!(was_reset(&request_with(&connection, &other_layout, true).await));

    let mut gossip = connection.open_uni().await.expect("a stream");
    gossip.write_all(&[StreamKind::Gossip as u8, 0, 0, 0, 100, 1, 0, 1, 2, 3]).await.expect("written");
    let _ = gossip.finish();
    eventually("half a gossip is refused", || a.refused().bad_frame == 6).await;
    for datagram in [Bytes::new(), Bytes::from_static(&[200, 1, 2])] {
        connection.send_datagram(datagram).expect("sent");
    }
    eventually("datagrams in another layout are refused", || a.refused().bad_frame == 8).await;

    let (mut tx, mut rx) = connection.open_bi().await.expect("a stream");
    tx.write_all(&whole[..9]).await.expect("written");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _ = tx.reset(1_u32.into());
    assert!(was_reset(&rx.read_to_end(10).await));
    assert_eq!((a.refused().bad_frame, a.refused().total()), (8, 8));
    assert!(!a.recorder.events().iter().any(|event| matches!(event, Event::Gossip(..))));
    raw_echo(&connection).await;
}

/// Streams that begin with a mark that stands for nothing are refused.
pub async fn unknown_streams_are_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let member = Stranger::member(network, 1, "b").await;
    let connection = member.join(a.addr, "b").await;
    for (count, mark) in (1..).zip([0, 3, 99, 255]) {
        assert!(was_reset(&request_with(&connection, &[mark, 0, 0, 0, 0, 1, 0], true).await));
        assert_eq!(a.refused().bad_frame, count);
    }
    for (count, mark) in (5..).zip([0, 1, 2, 255]) {
        let mut tx = connection.open_uni().await.expect("a stream");
        tx.write_all(&[mark, 0, 0, 0, 0, 1, 0]).await.expect("written");
        eventually("it is counted", || a.refused().bad_frame == count).await;
    }
    raw_echo(&connection).await;
}

/// One peer may have so many channels open and no more; closing one makes room.
pub async fn channels_are_bounded(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = a.dial(&b).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let (mut tx, mut rx) = peer.open_channel().await.expect("a channel");
        tx.send(1, Bytes::new()).await.expect("sent");
        assert!(rx.recv().await.expect("an echo").is_some());
        open.push((tx, rx));
    }
    let (_tx, mut rx) = peer.open_channel().await.expect("one too many");
    let refused = tokio::time::timeout(PATIENCE, rx.recv()).await.expect("an answer");
    assert!(matches!(refused, Err(StreamError::Reset { .. })), "{refused:?}");
    assert_eq!(b.refused().peer_overflow, 1);
    let (tx, mut rx) = open.pop().expect("a channel");
    tx.finish();
    assert_eq!(rx.recv().await, Ok(None));
    let (mut tx, mut rx) = peer.open_channel().await.expect("a channel");
    tx.send(1, Bytes::new()).await.expect("sent");
    assert!(rx.recv().await.expect("an echo").is_some());
}

/// Noise at the port is counted and dropped; a node among its peers goes on as if nothing were.
pub async fn random_datagrams_are_dropped_and_counted(network: &impl Network) {
    const DATAGRAMS: u64 = 10_000;
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let peer = b.dial(&a).await;
    let noise = Noise::open(network, 2).await;
    let before = a.transport.stats();
    let mut random = Random(1);
    for number in 0..DATAGRAMS {
        let datagram = random.datagram();
        noise.send(a.addr, &datagram).await;
        if number % 100 == 0 {
            echo(&peer, b"still there?").await;
        }
    }
    echo(&peer, b"still there?").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = a.transport.stats();
    let (malformed, stray) = (after.refused.malformed_datagrams, after.refused.stray_datagrams);
    // A network may lose some, and echoes arrived beside them.
    assert!(malformed + stray > DATAGRAMS * 9 / 10, "{malformed} + {stray}");
    assert!(malformed > stray && stray > DATAGRAMS / 10, "{malformed}, {stray}");
    assert!(after.datagrams_in - before.datagrams_in >= malformed + stray);
    assert_eq!(after.refused.total(), malformed + stray, "{:?}", after.refused);
    assert_eq!((a.recorder.met("b"), a.recorder.lost("b")), (1, 0));
    a.still_serves(network, 3).await;
}

/// A small generator of its own, so that the noise is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Up to 1300 bytes, now and then with the beginning of a packet of version 1.
    fn datagram(&mut self) -> Vec<u8> {
        let length = 1 + self.next() as usize % 1300;
        let mut bytes: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
        if self.next().is_multiple_of(8) && length > 6 {
            bytes[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        bytes
    }
}
