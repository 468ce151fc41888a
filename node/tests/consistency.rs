//! Reads and writes with other owners, on real nodes and through the Redis door.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::disallowed_methods, reason = "real time: nothing is simulated here")]

mod redis_support;

use std::time::{Duration, Instant};

use redis_support::{Door, Reply};
use rumour::{
    ClusterKey, Consistency, Engine, ExpiryPolicy, Levels, Namespace, Node, Tally, Tuning, WriteError,
};

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(name: &str, key: &ClusterKey, seed: Option<&Node>) -> Node {
    let node = Node::builder().name(name).cluster_key(key.clone()).listen("127.0.0.1:0");
    let node = seed.into_iter().fold(node, |node, seed| node.seed(seed.addr().to_string()));
    let tuning = Tuning { consistency_patience: Duration::from_millis(500), ..Tuning::default() };
    node.tuning(tuning).start().await.unwrap()
}

/// Waits until a node counts among so many members.
async fn ready(engine: &Engine, members: usize) {
    let deadline = Instant::now() + PATIENCE;
    let is_ready = || {
        let all = engine.configuration().is_some_and(|known| known.members().len() == members);
        all && engine.check_ready().is_ok()
    };
    while !is_ready() {
        assert!(Instant::now() < deadline, "{:?} {:?}", engine.check_ready(), engine.configuration());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn three() -> [Node; 3] {
    let key = ClusterKey::generate().unwrap();
    let first = start("first", &key, None).await;
    let second = start("second", &key, Some(&first)).await;
    let third = start("third", &key, Some(&first)).await;
    for node in [&first, &second, &third] {
        ready(&node.engine(), 3).await;
    }
    [first, second, third]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quorum_holds_is_read_at_once_and_nothing_is_weakened_in_silence() {
    let [first, second, third] = three().await;
    let (one, two) = (first.cache().with(Consistency::Quorum), second.cache().with(Consistency::Quorum));
    for round in 0..50_i64 {
        let (writer, reader) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        writer.set("k", round.to_string()).await.unwrap();
        assert_eq!(reader.get("k").await.unwrap().as_deref(), Some(round.to_string().as_bytes()));
        assert_eq!(writer.counter("n").add(1).await, Ok(round + 1));
    }
    let all = first.cache().with(Levels { read: Some(Consistency::One), write: Some(Consistency::All) });
    all.set("everywhere", "v").await.unwrap();
    assert!(third.cache().get("everywhere").await.unwrap().is_some());
    // Without a word, as by kill -9.
    drop(third);
    assert_eq!(one.set("k", "two are enough").await, Ok(true));
    let tally = Tally { answered: 2, needed: 3, owners: 3 };
    let level = Consistency::All;
    let refused = one.set("k", "three are not there").consistency(level).await;
    assert_eq!(refused, Err(WriteError::NoQuorum { level, tally }));
    assert_eq!(one.get("k").await.unwrap().as_deref(), Some(&b"two are enough"[..]), "nothing was written");
    drop(second);
    let level = Consistency::Quorum;
    let tally = Tally { answered: 1, needed: 2, owners: 3 };
    assert_eq!(one.get("k").await, Err(WriteError::NoQuorum { level, tally }));
    assert_eq!(one.delete("k").await, Err(WriteError::NoQuorum { level, tally }));
    assert!(first.cache().get("k").await.unwrap().is_some(), "one goes on");
}

#[test]
fn a_connection_chooses_how_many_owners_take_part() {
    let key = ClusterKey::generate().unwrap();
    let tuning = Tuning { consistency_patience: Duration::from_millis(500), ..Tuning::default() };
    let important = Namespace {
        name: "important".to_owned(),
        prefix: "important:".to_owned(),
        expiry: ExpiryPolicy::default(),
        read: Consistency::One,
        write: Consistency::Quorum,
    };
    let door =
        Door::open_on(|node| node.cluster_key(key.clone()).tuning(tuning).namespace(important), |_| {});
    let second = door.runtime.block_on(start("second", &key, Some(&door.node)));
    let third = door.runtime.block_on(start("third", &key, Some(&door.node)));
    for node in [&door.node, &second, &third] {
        door.runtime.block_on(ready(&node.engine(), 3));
    }
    let mut client = door.client();
    let ok = Reply::Line("+OK".to_owned());
    assert_eq!(client.say("SET important:k v"), ok);
    let others = |key: &str| [&second, &third].map(|node| node.engine().get(key.as_bytes()).is_some());
    assert!(others("important:k").contains(&true), "it is with a second one before the reply");
    assert_eq!(client.say("RUMOUR.CONSISTENCY WRITE QUORUM READ all"), ok);
    let Reply::Line(wrong) = client.say("RUMOUR.CONSISTENCY WRITE MOST") else { panic!("no line") };
    assert!(wrong.starts_with("-ERR expected"), "{wrong}");
    assert_eq!(client.say("SET k v"), ok);
    assert!(others("k").contains(&true), "it is with a second one before the reply");
    assert_eq!(client.say("INCR n"), Reply::Line(":1".to_owned()));
    assert_eq!(client.say("MULTI"), ok);
    for command in ["SET a 1", "INCR a"] {
        assert_eq!(client.say(command), Reply::Line("+QUEUED".to_owned()));
    }
    client.say("EXEC");
    assert_eq!(client.say("GET a"), Reply::Text('$', "2".to_owned()));
    // Requests that wait for others keep their order.
    client.send(b"INCR n\r\nINCR n\r\nGET n\r\nPING\r\n");
    let replies: Vec<Reply> = (0..4).map(|_| client.reply()).collect();
    assert_eq!(replies[..2], [":2", ":3"].map(|line| Reply::Line(line.to_owned())));
    assert_eq!(replies[2..], [Reply::Text('$', "3".to_owned()), Reply::Line("+PONG".to_owned())]);
    assert_eq!(client.say("WAIT 2 5000"), Reply::Line(":2".to_owned()));
    assert_eq!(client.say("WAIT 3 1"), Reply::Line(":2".to_owned()));
    assert_eq!(client.say("MULTI"), ok);
    client.say("WAIT 3 0");
    let Reply::Many(_, replies) = client.say("EXEC") else { panic!("no replies") };
    assert_eq!(replies, [Reply::Line(":2".to_owned())], "a transaction does not wait");
    drop((second, third));
    let Reply::Line(refused) = client.say("SET k w") else { panic!("no line") };
    assert!(refused.starts_with("-NOQUORUM ") && refused.contains("1 of 3"), "{refused}");
    let Reply::Line(refused) = client.say("GET k") else { panic!("no line") };
    assert!(refused.starts_with("-NOQUORUM "), "{refused}");
    assert_eq!(client.say("RESET"), Reply::Line("+RESET".to_owned()));
    assert_eq!(client.say("GET k"), Reply::Text('$', "v".to_owned()));
    assert_eq!(client.say("SET k w"), ok);
    let Reply::Line(refused) = client.say("SET important:k w") else { panic!("no line") };
    assert!(refused.starts_with("-NOQUORUM "), "{refused}");
    assert_eq!(client.say("GET important:k"), Reply::Text('$', "v".to_owned()));
    assert_eq!(client.say("RUMOUR.CONSISTENCY WRITE ONE"), ok);
    assert_eq!(client.say("SET important:k w"), ok);
    assert_eq!(client.say("WAIT 1 100"), Reply::Line(":0".to_owned()));
    // Whoever goes away while it waits is not waited for.
    client.send(b"WAIT 1 0\r\n");
}
