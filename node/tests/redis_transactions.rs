//! Transactions: what others see of them, what ends them, and what they may take.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::disallowed_methods, reason = "real time: nothing is simulated here")]

mod redis_support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_support::{Client, Door, Reply, encode};

fn line(text: &str) -> Reply {
    Reply::Line(text.to_owned())
}

/// Watches a key, lets `change` happen, and says whether `EXEC` did anything.
fn executes(client: &mut Client, key: &str, change: impl FnOnce()) -> bool {
    assert_eq!(client.call(&["WATCH", key]), line("+OK"));
    change();
    assert_eq!(client.say("MULTI"), line("+OK"));
    assert_eq!(client.say("PING"), line("+QUEUED"));
    client.say("EXEC") != line("*-1")
}

/// Commands that take long between their first change and their last, so that a reader would come between.
fn change_at_length(client: &mut Client, writer: usize, turn: usize) {
    let value = turn.to_string();
    let filler: Vec<_> = (0..500).map(|key| format!("filler:{key}")).collect();
    match writer {
        0 => {
            let mut batch = [&["MULTI"][..], &["INCR", "a"]].map(encode).concat();
            filler.iter().for_each(|key| batch.extend(encode(&["SET", key, &value])));
            batch.extend([&["INCR", "b"][..], &["EXEC"]].map(encode).concat());
            client.send(&batch);
            (0..filler.len() + 4).for_each(|_| drop(client.reply()));
        }
        1 => {
            let pairs = filler.iter().flat_map(|key| [key.as_str(), &value]);
            let request: Vec<_> =
                ["MSET", "a", &value].into_iter().chain(pairs).chain(["b", &value]).collect();
            assert_eq!(client.call(&request), line("+OK"));
        }
        // The value is always under one of the two names.
        _ => ["RENAME x y", "RENAME y x"]
            .into_iter()
            .for_each(|words| assert_eq!(client.say(words), line("+OK"))),
    }
}

#[test]
fn nobody_sees_a_part_of_what_changes_several_keys() {
    let door = Door::open();
    door.client().say("MSET a 0 b 0");
    let fields = (0..500).flat_map(|field| [field.to_string(), "v".to_owned()]);
    door.client().call(&["HSET".to_owned(), "x".to_owned()].into_iter().chain(fields).collect::<Vec<_>>());
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (door, done) = (&door, &done);
            scope.spawn(move || {
                let mut client = door.client();
                (0..100).for_each(|turn| change_at_length(&mut client, writer, turn));
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut reader = door.client();
        while done.load(Ordering::Relaxed) < 3 {
            let values = reader.say("MGET a b");
            assert_eq!(values.items()[0], values.items()[1]);
            assert_eq!(reader.say("EXISTS x y").number(), Some(1));
        }
    });
}

#[test]
fn a_watched_key_that_anybody_changed_stops_exec() {
    let door = Door::open();
    let (mut client, cache) = (door.client(), door.node.cache());
    client.say("SET k v");
    assert!(executes(&mut client, "k", || {}));
    // The embedding service is no connection of this door; a peer's write comes the same way.
    assert!(!executes(&mut client, "k", || assert!(
        door.runtime.block_on(async { cache.set("k", "v").await.unwrap() })
    )));
    assert!(!executes(&mut client, "k", || assert!(
        door.runtime.block_on(async { cache.delete("k").await.unwrap() })
    )));
    assert!(!executes(&mut client, "absent", || {
        door.runtime.block_on(async {
            cache.set("absent", "v").await.unwrap() && cache.delete("absent").await.unwrap()
        });
    }));
    let second = Duration::from_secs(60);
    client.say("SET k v");
    assert!(!executes(&mut client, "k", || assert!(
        door.runtime.block_on(async { cache.expire("k", second).await.unwrap() })
    )));
    client.say("SET k v PX 30");
    assert!(!executes(&mut client, "k", || std::thread::sleep(Duration::from_millis(50))));
    client.say("HSET h a 1 b 2");
    client.say("HPEXPIRE h 30 FIELDS 1 a");
    assert!(!executes(&mut client, "h", || std::thread::sleep(Duration::from_millis(50))), "a field ended");
    assert!(executes(&mut client, "h", || {}), "the last EXEC forgot what was watched");
}

#[test]
fn a_connection_that_ends_takes_its_transaction_along() {
    let door = Door::open();
    let mut client = door.client();
    client.say("MULTI");
    assert_eq!(client.say("SET k v"), line("+QUEUED"));
    drop(client);
    let mut other = door.client();
    assert_eq!(other.say("EXISTS k").number(), Some(0));
    other.say("MULTI");
    other.say("SET k v");
    assert!(other.say("CLIENT INFO") == line("+QUEUED"));
    let shown = door.client().say("CLIENT LIST");
    assert!(shown.text().contains("flags=x") && shown.text().contains("multi=2"), "{shown:?}");
    assert_eq!(other.say("RESET"), line("+RESET"));
    assert_eq!(other.say("EXEC"), line("-ERR EXEC without MULTI"));
    assert_eq!(other.say("EXISTS k").number(), Some(0));
}

#[test]
fn a_transaction_that_takes_too_much_is_refused_whole() {
    let door = Door::open();
    let mut client = door.client();
    client.say("MULTI");
    let value = "v".repeat(6 * 1024 * 1024);
    for (key, reply) in
        [("a", "+QUEUED"), ("b", "+QUEUED"), ("c", "-ERR the queued commands take more than 16777216")]
    {
        let answer = client.call(&["SET", key, &value]);
        assert!(matches!(&answer, Reply::Line(line) if line.starts_with(reply)), "{answer:?}");
    }
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.say("EXEC"), line(aborted));
    assert_eq!(client.say("EXISTS a b c").number(), Some(0));
}

#[test]
fn a_reply_that_is_too_long_is_an_error_in_the_midst_of_others() {
    let door = Door::open();
    let mut client = door.client();
    client.call(&["SET", "k", &"v".repeat(8 * 1024 * 1024)]);
    client.say("MULTI");
    client.say("INCR n");
    client.call(&[vec!["MGET"], vec!["k"; 9]].concat());
    client.say("INCR n");
    let replies = client.say("EXEC");
    assert_eq!((replies.items()[0].number(), replies.items()[2].number()), (Some(1), Some(2)));
    assert!(matches!(&replies.items()[1], Reply::Line(line) if line.contains("the reply is longer")));
}
