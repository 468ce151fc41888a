//! A key that holds as much as a key may.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use bytes::Bytes;
use redis_support::{Client, Door, Reply};
use rumour::{PAYLOAD_BYTES_LIMIT, Score, VALUE_BYTES_LIMIT};

#[track_caller]
fn is_full(client: &mut Client, command: &str) {
    let Reply::Line(text) = client.say(command) else { panic!("no line") };
    let (said, _) = command.split_at(command.len().min(30));
    assert!(text.starts_with("-ERR the key would take ") && text.contains(" is the limit"), "{said}: {text}");
}

#[test]
fn commands_that_add_to_a_full_map_are_refused_and_those_that_remove_are_not() {
    let door = Door::open();
    // One buffer many times: it takes no memory.
    let value = Bytes::from(vec![b'v'; VALUE_BYTES_LIMIT]);
    let filled = door.node.engine().write(b"map", |key| {
        let mut map = key.map().unwrap();
        for field in 0..PAYLOAD_BYTES_LIMIT / VALUE_BYTES_LIMIT {
            map.put(format!("f{field}").as_bytes(), value.clone(), None);
        }
    });
    filled.unwrap();
    let mut client = door.client();
    let len = client.say("HLEN map");
    for command in [
        "HSET map new v",
        "HMSET map new v",
        "HSETNX map new v",
        "HINCRBY map new 1",
        "HINCRBYFLOAT map new 0.5",
        "COPY map other",
    ] {
        is_full(&mut client, command);
    }
    assert_eq!(client.say("HLEN map"), len);
    assert_eq!(client.say("EXISTS other").number(), Some(0));
    assert_eq!(client.say("HDEL map f0 f1").number(), Some(2));
    assert_eq!(client.say("HSET map new v").number(), Some(1));
}

#[test]
fn commands_that_add_to_full_sets_are_refused() {
    const NAME_BYTES: usize = 60_000;
    let door = Door::open();
    let engine = door.node.engine();
    let names = PAYLOAD_BYTES_LIMIT / NAME_BYTES;
    let name = |number: usize| format!("{number:0NAME_BYTES$}").into_bytes();
    for number in 0..names {
        engine.write(b"set", |key| key.members().unwrap().put(&name(number), (), None)).unwrap();
    }
    let mut client = door.client();
    client.say("SADD small a");
    let last = "x".repeat(NAME_BYTES);
    is_full(&mut client, &format!("SADD set {last}"));
    client.say(&format!("SADD source {last}"));
    is_full(&mut client, &format!("SMOVE source set {last}"));
    assert_eq!(client.say("SCARD source").number(), Some(1), "nothing is lost");
    is_full(&mut client, "SUNIONSTORE small set source");
    is_full(&mut client, "ZUNIONSTORE small 2 set source");
    assert_eq!(client.say("SCARD small").number(), Some(1), "it is what it was");
    for number in 0..20 {
        let name = String::from_utf8(name(number)).unwrap();
        assert_eq!(client.say(&format!("SREM set {name}")).number(), Some(1));
    }
    assert_eq!(client.say(&format!("SADD set {last}")).number(), Some(1));
    client.say("DEL set source");
    for number in 0..names {
        engine.write(b"sorted", |key| key.sorted().unwrap().put(&name(number), Score(1.0), None)).unwrap();
    }
    is_full(&mut client, &format!("ZADD sorted 1 {last}"));
    is_full(&mut client, &format!("ZINCRBY sorted 1 {last}"));
}
