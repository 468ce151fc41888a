//! How connections begin, end, and begin again.

use super::Network;
use super::node::{
    Event, HANG, PATIENCE, Setup, TestNode, echo, eventually, identity, node_id, start, start_as,
};
use crate::config::{Limits, TransportConfig};
use crate::error::{DialError, RequestError};
use crate::transport::Transport;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// Notices silence after two seconds.
fn watchful() -> Setup {
    let limits = Limits {
        idle_timeout: Duration::from_secs(2),
        keep_alive: Duration::from_millis(300),
        ..Limits::default()
    };
    Setup { limits, ..Setup::default() }
}

/// Would not notice silence for ten minutes, but speaks often.
fn patient() -> Setup {
    let limits = Limits {
        idle_timeout: Duration::from_secs(600),
        keep_alive: Duration::from_millis(300),
        ..Limits::default()
    };
    Setup { limits, ..Setup::default() }
}

fn again(setup: &Setup) -> Setup {
    Setup { incarnation: setup.incarnation + 1, ..setup.clone() }
}

/// Dialing again, from either end, finds the connection that is there.
pub async fn one_connection_serves_a_pair(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    let (first, second) = tokio::join!(a.dial(&b), a.dial(&b));
    assert!(first.is(&second));
    eventually("b knows a", || b.transport.peer_at(a.addr).is_some()).await;
    b.dial(&a).await;
    assert!(a.dial(&b).await.is(&first));
    assert!(a.transport.peer_at(b.addr).is_some_and(|peer| peer.is(&first)));
    assert!(a.transport.peer(&node_id("b")).is_some_and(|peer| peer.is(&first)));
    assert_eq!(a.transport.peers().len(), 1);
    assert_eq!((a.recorder.met("b"), b.recorder.met("a")), (1, 1));
    assert_eq!((a.recorder.lost("b"), b.recorder.lost("a")), (0, 0));
}

/// Whatever the order of events, both dials succeed and both ends keep the same connection.
pub async fn dialing_each_other_at_once_leaves_one_connection(network: &impl Network) {
    for round in 0..8 {
        let (a, b) = (start(network, 2 * round, "a").await, start(network, 2 * round + 1, "b").await);
        let later = async {
            tokio::time::sleep(Duration::from_micros(300 * round as u64)).await;
            b.transport.dial(a.addr).await
        };
        let (at_a, at_b) = tokio::join!(a.transport.dial(b.addr), later);
        at_a.expect("a reaches b");
        at_b.expect("b reaches a");
        let settled = |node: &TestNode, other: &str| {
            node.recorder.met(other) == node.recorder.lost(other) + 1 && node.transport.peers().len() == 1
        };
        eventually("both settled", || settled(&a, "b") && settled(&b, "a")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(settled(&a, "b") && settled(&b, "a"), "round {round}");
        let (to_b, to_a) = (a.transport.peers().remove(0), b.transport.peers().remove(0));
        assert_ne!(to_b.dialed(), to_a.dialed(), "two ends of one connection, round {round}");
        echo(&to_b, b"to b").await;
        echo(&to_a, b"to a").await;
    }
}

/// A node that dials itself is told so, by its own address or by another that leads back.
pub async fn one_s_own_address_is_recognized(network: &impl Network) {
    let (binding, addr) = network.endpoint(0).await;
    let setup = Setup::default();
    let elsewhere = "192.0.2.1:9".parse().expect("an address");
    let config =
        TransportConfig::new(identity(&setup, "a"), setup.cluster.clone(), elsewhere, binding).started(1, 1);
    let recorder = std::sync::Arc::new(super::node::Recorder::default());
    let a = Transport::open(config, recorder.clone()).expect("the transport opens");
    assert_eq!(a.dial(elsewhere).await.expect_err("itself"), DialError::Myself);
    assert_eq!(a.dial(addr).await.expect_err("itself, by way of the network"), DialError::Myself);
    assert_eq!((a.stats().refused.total(), a.peers().len()), (0, 0), "{:?}", a.stats());
    assert_eq!(recorder.events(), []);
}

/// A peer that falls silent is missed after the idle timeout, and welcome when it is back.
pub async fn a_dead_peer_is_noticed_and_comes_back(network: &impl Network) {
    let (a, b) = (start_as(network, 0, "a", &watchful()).await, start_as(network, 1, "b", &watchful()).await);
    let peer = a.dial(&b).await;
    echo(&peer, b"alive").await;
    b.transport.abort();
    eventually("a misses b", || a.recorder.lost("b") == 1).await;
    assert!(!peer.is_open() && a.transport.peers().is_empty());
    let error = peer.request(HANG, Bytes::new(), PATIENCE).await.expect_err("closed");
    assert!(matches!(error, RequestError::Closed { sent: false, .. }) && !error.may_have_run(), "{error:?}");

    let back = start_as(network, 1, "b", &again(&watchful())).await;
    let peer = a.dial(&back).await;
    assert_eq!(peer.info().incarnation, 2);
    echo(&peer, b"alive again").await;
    let told = [
        Event::Connected(node_id("b"), 1),
        Event::Disconnected(node_id("b"), 1, "timed out".to_owned()),
        Event::Connected(node_id("b"), 2),
    ];
    assert_eq!(a.recorder.events(), told);
}

/// A peer that restarts at its address resets the connections of its former life: nobody waits for the idle timeout.
pub async fn a_restarted_peer_is_noticed_at_once(network: &impl Network) {
    let (a, b) = (start_as(network, 0, "a", &patient()).await, start_as(network, 1, "b", &patient()).await);
    let peer = a.dial(&b).await;
    echo(&peer, b"alive").await;
    b.transport.abort();
    let back = start_as(network, 1, "b", &again(&patient())).await;
    eventually("a hears of the restart", || a.recorder.lost("b") == 1).await;
    assert!(
        matches!(a.recorder.events().last(), Some(Event::Disconnected(_, 1, reason)) if reason.contains("reset"))
    );
    echo(&a.dial(&back).await, b"alive again").await;
}

/// A new incarnation is taken for the node even while the connection with the old one looks whole.
pub async fn a_new_incarnation_replaces_the_old(network: &impl Network) {
    let (a, b) = (start_as(network, 0, "a", &patient()).await, start_as(network, 1, "b", &patient()).await);
    let old = a.dial(&b).await;
    b.transport.abort();
    let back = start_as(network, 2, "b", &again(&patient())).await;
    let pending = {
        let old = old.clone();
        tokio::spawn(async move { old.request(HANG, Bytes::new(), PATIENCE).await })
    };
    back.dial(&a).await;
    eventually("a knows the new b", || a.recorder.met("b") == 2).await;
    let told = [
        Event::Connected(node_id("b"), 1),
        Event::Disconnected(node_id("b"), 1, "replaced by a newer connection".to_owned()),
        Event::Connected(node_id("b"), 2),
    ];
    assert_eq!(a.recorder.events(), told);
    assert!(!old.is_open());
    let cut_off = pending.await.expect("the request ended");
    assert!(matches!(cut_off, Err(RequestError::Closed { .. })), "{cut_off:?}");
    echo(&a.transport.peer(&node_id("b")).expect("b"), b"hello").await;
}

/// Closing tells the peers and the node itself, and frees the port.
pub async fn closing_says_goodbye(network: &impl Network) {
    let (a, b) = (start_as(network, 0, "a", &patient()).await, start_as(network, 1, "b", &patient()).await);
    let peer = a.dial(&b).await;
    eventually("b knows a", || b.recorder.met("a") == 1).await;
    let start = Instant::now();
    b.transport.close().await;
    eventually("a hears of it", || a.recorder.lost("b") == 1).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(
        matches!(a.recorder.events().last(), Some(Event::Disconnected(_, 1, reason)) if reason.contains("closing"))
    );
    assert!(!peer.is_open());
    assert_eq!(b.recorder.lost("a"), 1);
    assert_eq!(b.transport.dial(a.addr).await.expect_err("closed"), DialError::Closed);
    let back = start_as(network, 1, "b", &again(&patient())).await;
    echo(&a.dial(&back).await, b"the port was free").await;
}

/// Aborting ends everything at once: waiting callers are woken, the node hears nothing, the peers notice by silence.
pub async fn aborting_says_nothing(network: &impl Network) {
    let (a, b) = (start_as(network, 0, "a", &watchful()).await, start_as(network, 1, "b", &watchful()).await);
    let peer = a.dial(&b).await;
    eventually("b knows a", || b.recorder.met("a") == 1).await;
    let back = b.transport.peer(&node_id("a")).expect("a");
    let pending = tokio::spawn(async move { back.request(HANG, Bytes::new(), PATIENCE * 10).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = b.transport.stats();
    let start = Instant::now();
    b.transport.abort();
    let woken = pending.await.expect("the request ended");
    assert!(matches!(woken, Err(RequestError::Closed { sent: true, .. })), "{woken:?}");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(peer.is_open() && a.recorder.lost("b") == 0, "nobody told a");
    eventually("a misses b", || a.recorder.lost("b") == 1).await;
    assert!(
        matches!(a.recorder.events().last(), Some(Event::Disconnected(_, 1, reason)) if reason.contains("timed out"))
    );
    assert_eq!(b.recorder.lost("a"), 0);
    let after = b.transport.stats();
    assert_eq!((after.datagrams_out, after.datagrams_in), (before.datagrams_out, before.datagrams_in));
    assert_eq!(b.transport.dial(a.addr).await.expect_err("closed"), DialError::Closed);
    start_as(network, 1, "b", &again(&watchful())).await;
}

/// A dial into the void ends with its timeout.
pub async fn an_address_where_nobody_listens_times_out(network: &impl Network) {
    let limits = Limits { dial_timeout: Duration::from_secs(1), ..Limits::default() };
    let a = start_as(network, 0, "a", &Setup { limits, ..Setup::default() }).await;
    let (binding, nowhere) = network.endpoint(1).await;
    drop(binding);
    let start = Instant::now();
    assert_eq!(a.transport.dial(nowhere).await.expect_err("nobody"), DialError::Timeout);
    assert!(start.elapsed() < Duration::from_secs(3));
}
