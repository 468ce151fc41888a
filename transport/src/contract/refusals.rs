//! Who is turned away, what they are told, how it is counted; and that the node goes on.

use super::Network;
use super::node::{Setup, echo, eventually, key, node_id, start, start_as};
use super::stranger::{Stranger, framed};
use crate::codec;
use crate::config::Limits;
use crate::error::DialError;
use crate::hello::{PeerInfo, Refusal, RefusalCode, Reply};
use std::time::Duration;

/// The node's own refusal reaches the newcomer with code and text.
pub async fn a_refused_newcomer_learns_why(network: &impl Network) {
    let (a, b) = (start(network, 0, "a").await, start(network, 1, "b").await);
    for (code, text) in
        [(RefusalCode::NameTaken, "a lives at 192.0.2.7"), (RefusalCode::Other(900), "not today")]
    {
        let refusal = Refusal::new(code, text);
        b.refuse_newcomers(refusal.clone());
        assert_eq!(a.dial_error(&b).await, DialError::Refused(refusal));
    }
    assert_eq!((b.refused().name_taken, b.refused().not_admitted), (1, 1));
    assert!(a.recorder.events().is_empty() && b.recorder.events().is_empty());
}

/// A node that dials one of its own name is refused, whatever the other node thinks of it.
pub async fn a_twin_is_refused(network: &impl Network) {
    let first = start(network, 0, "a").await;
    let second = start_as(network, 1, "a", &Setup { incarnation: 2, ..Setup::default() }).await;
    let error = second.dial_error(&first).await;
    assert!(
        matches!(&error, DialError::Refused(refusal) if refusal.code == RefusalCode::NameTaken),
        "{error:?}"
    );
    assert_eq!(first.refused().name_taken, 1);
    first.still_serves(network, 2).await;
}

/// A node with another cluster key gets nowhere, whichever end dials.
pub async fn another_cluster_s_key_is_refused(network: &impl Network) {
    let ours = start(network, 0, "a").await;
    let theirs = start_as(network, 1, "b", &Setup { key: key(2), ..Setup::default() }).await;
    assert_eq!(theirs.dial_error(&ours).await, DialError::UnknownCertificate);
    eventually("both counted it", || {
        ours.refused().unknown_certificate == 1 && theirs.refused().unknown_certificate == 1
    })
    .await;
    assert_eq!(ours.dial_error(&theirs).await, DialError::UnknownCertificate);
    assert_eq!(ours.refused().unknown_certificate, 2);
    assert!(ours.recorder.events().is_empty());
    ours.still_serves(network, 2).await;
}

/// A node of a cluster with another name gets nowhere, even with the right key.
pub async fn another_cluster_s_name_is_refused(network: &impl Network) {
    let ours = start(network, 0, "a").await;
    let cluster = "staging".parse().expect("a cluster name");
    let theirs = start_as(network, 1, "b", &Setup { cluster, ..Setup::default() }).await;
    assert_eq!(theirs.dial_error(&ours).await, DialError::WrongProtocol);
    let refused = ours.refused();
    assert_eq!((refused.wrong_cluster, refused.total()), (1, 1), "{refused:?}");
    ours.still_serves(network, 2).await;
}

/// A node that shares no protocol version gets nowhere.
pub async fn another_protocol_version_is_refused(network: &impl Network) {
    let ours = start(network, 0, "a").await;
    let theirs = start_as(network, 1, "b", &Setup { protocol_version: 4, ..Setup::default() }).await;
    assert_eq!(theirs.dial_error(&ours).await, DialError::WrongProtocol);
    let refused = ours.refused();
    assert_eq!((refused.wrong_version, refused.total()), (1, 1), "{refused:?}");
    ours.still_serves(network, 2).await;
}

/// Neighbouring versions meet at the older one, whichever end dials.
pub async fn the_previous_protocol_version_is_spoken(network: &impl Network) {
    let newer = Setup { protocol_version: 3, ..Setup::default() };
    let (a, b) = (start(network, 0, "a").await, start_as(network, 1, "b", &newer).await);
    let (c, d) = (start_as(network, 2, "c", &newer).await, start_as(network, 3, "d", &newer).await);
    assert_eq!(a.dial(&b).await.protocol_version(), 2);
    assert_eq!(c.dial(&a).await.protocol_version(), 2);
    assert_eq!(c.dial(&d).await.protocol_version(), 3);
    eventually("b knows a", || b.transport.peer(&node_id("a")).is_some_and(|a| a.protocol_version() == 2))
        .await;
}

/// A member that asks for something else than rumour is refused.
pub async fn a_foreign_protocol_is_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let papers = super::node::identity(&Setup::default(), "b");
    Stranger::open(network, 1, Some(&papers), "h3").await.rejected(a.addr).await;
    let refused = a.refused();
    assert_eq!((refused.foreign_protocol, refused.total()), (1, 1), "{refused:?}");
    a.still_serves(network, 2).await;
}

/// Without a certificate there is no connection.
pub async fn a_stranger_without_a_certificate_is_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    Stranger::open(network, 1, None, "rumour/rumour/2").await.rejected(a.addr).await;
    eventually("it is counted", || a.refused().no_certificate == 1).await;
    assert_eq!(a.refused().total(), 1);
    assert!(a.recorder.events().is_empty());
    a.still_serves(network, 2).await;
}

/// A certificate from another authority opens nothing, even for one that believes ours.
pub async fn a_stranger_with_a_certificate_of_its_own_is_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let papers = super::node::identity(&Setup { key: key(9), ..Setup::default() }, "b");
    Stranger::open(network, 1, Some(&papers), "rumour/rumour/2").await.rejected(a.addr).await;
    eventually("it is counted", || a.refused().unknown_certificate == 1).await;
    assert_eq!(a.refused().total(), 1);
    assert!(a.recorder.events().is_empty());
    a.still_serves(network, 2).await;
}

/// Nobody goes by another name than its certificate's, neither who dials nor who is dialed.
pub async fn a_false_name_is_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let impostor = Stranger::member(network, 1, "b").await;
    let greeting = framed(0, &codec::encode(&impostor.hello("c")).expect("encoded"));
    let (_connection, reply) = impostor.greet(a.addr, &greeting).await;
    let code = |reply: &Option<Reply>| match reply {
        Some(Reply::Refused(refusal)) => Some(refusal.code),
        _ => None,
    };
    assert_eq!(code(&reply), Some(RefusalCode::NameMismatch), "{reply:?}");
    assert_eq!((a.refused().name_mismatch, a.refused().total()), (1, 1));

    let info = PeerInfo { node: node_id("c"), incarnation: 7, started_ms: 0, addr: impostor.addr };
    let welcome = Reply::Welcome(info);
    let (dialed, ()) = tokio::join!(a.transport.dial(impostor.addr), impostor.answer(&welcome));
    let claimed = DialError::NameMismatch { claimed: "c".to_owned(), certified: Some(node_id("b")) };
    assert_eq!(dialed.expect_err("a false name"), claimed);
    assert_eq!(a.refused().name_mismatch, 2);
    assert!(a.recorder.events().is_empty());
    a.still_serves(network, 2).await;
}

/// Whoever connects and does not greet is dropped, and so is whoever does not finish its handshake.
pub async fn a_silent_newcomer_times_out(network: &impl Network) {
    let limits = Limits { handshake_timeout: Duration::from_millis(500), ..Limits::default() };
    let a = start_as(network, 0, "a", &Setup { limits, ..Setup::default() }).await;
    let silent = Stranger::member(network, 1, "b").await;
    silent.rejected(a.addr).await;
    let refused = a.refused();
    assert_eq!((refused.handshake_timeout, refused.total()), (1, 1), "{refused:?}");
    a.still_serves(network, 2).await;
}

/// Handshakes under way are bounded. Those put off try again by themselves, and get in when the idlers have been dropped.
pub async fn a_crowd_of_newcomers_is_put_off(network: &impl Network) {
    let limits = Limits {
        handshakes_in_flight: 4,
        handshake_timeout: Duration::from_millis(800),
        ..Limits::default()
    };
    let a = start_as(network, 0, "a", &Setup { limits, ..Setup::default() }).await;
    let idler = Stranger::member(network, 1, "b").await;
    let crowd = async {
        tokio::join!(
            idler.rejected(a.addr),
            idler.rejected(a.addr),
            idler.rejected(a.addr),
            idler.rejected(a.addr),
            idler.rejected(a.addr),
            idler.rejected(a.addr),
        )
    };
    let friend = async {
        eventually("the places are taken", || a.refused().handshake_overflow > 0).await;
        a.still_serves(network, 2).await;
    };
    tokio::join!(crowd, friend);
    assert_eq!(a.refused().handshake_timeout, 6, "{:?}", a.refused());
}

/// Greetings that make no sense are refused, one by one, and the next good one is taken.
pub async fn bad_greetings_are_refused(network: &impl Network) {
    let a = start(network, 0, "a").await;
    let member = Stranger::member(network, 1, "b").await;
    let good = codec::encode(&member.hello("b")).expect("encoded");
    let mut trailing = good.to_vec();
    trailing.push(0);
    let mut other_layout = framed(0, &good);
    other_layout[4] = 200;
    let bad = [
        framed(0, &trailing.into()),
        framed(9, &good),
        framed(0, &good)[..10].to_vec(),
        vec![],
        vec![0xff; 64],
        [0, 0, 0xff, 0xff, 1, 0].to_vec(),
        other_layout,
        framed(0, &vec![0xff; 200].into()),
    ];
    for (count, greeting) in (1..).zip(&bad) {
        let (connection, reply) = member.greet(a.addr, greeting).await;
        assert_eq!(reply, None, "greeting {count}");
        connection.closed().await;
        assert_eq!((a.refused().bad_hello, a.refused().total()), (count, count), "greeting {count}");
    }
    member.join(a.addr, "b").await;
    eventually("b is in", || a.recorder.met("b") == 1).await;
    let friend = start(network, 2, "friend").await;
    echo(&friend.dial(&a).await, b"still there?").await;
}
