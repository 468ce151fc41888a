//! The commands about sets beside a real Redis.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use redis_support::beside::{Beside, sorted};
use redis_support::{Client, Door, Reply};

const SCRIPT: &str = "
    SADD
    SADD k
    SADD k a
    SADD k a
    SADD k a b c b ''
    TYPE k
    SCARD
    SCARD k
    SCARD missing
    SCARD k a
    SISMEMBER k
    SISMEMBER k a
    SISMEMBER k ''
    SISMEMBER k x
    SISMEMBER missing x
    SMISMEMBER k
    SMISMEMBER k a x a ''
    SMISMEMBER missing a b
    SMEMBERS
    SMEMBERS k
    SMEMBERS missing
    SREM k
    SREM k x
    SREM k a x a
    SREM missing a
    SMEMBERS k
    SREM k b c ''
    EXISTS k
    TYPE k
    SADD k a
    EXPIRE k 1000
    SREM k a
    SADD k b
    TTL k
    DEL k
    SADD k 1 2 3
    SADD k 01 +1 1.0 9223372036854775808
    SMEMBERS k
    SET s text
    SADD s a
    SREM s a
    SISMEMBER s a
    SMISMEMBER s a
    SMEMBERS s
    SCARD s
    SPOP s
    SPOP s 1
    SPOP s 0
    SRANDMEMBER s
    SRANDMEMBER s 1
    SRANDMEMBER s 0
    SMOVE s k a
    SMOVE k s 1
    SMOVE k s x
    SMOVE missing s x
    SMOVE s missing x
    SINTER s
    SINTER missing s
    SINTER s missing
    SUNION k s
    SDIFF missing s
    SINTERSTORE d s
    SUNIONSTORE d k s
    SDIFFSTORE d missing s
    SINTERCARD 1 s
    SINTERCARD 2 missing s
    SSCAN s 0
    SSCAN s 0 BOGUS
    SSCAN s a
    GET k
    SET k text
    GET k
    DEL k
    SMOVE k
    SMOVE k l
    SMOVE k l m n
    SADD k a b
    SMOVE k l a
    SMOVE k l a
    SMOVE k k b
    SMOVE k k x
    SMEMBERS k
    SMEMBERS l
    SMOVE k l b
    EXISTS k
    SMOVE k l b
    SPOP
    SPOP missing
    SPOP missing 1
    SPOP missing 0
    SPOP l -1
    SPOP l a
    SPOP l 1.5
    SPOP l 9223372036854775808
    SPOP l 1 1
    SPOP missing 1 1
    SPOP l 0
    SPOP l 9223372036854775807
    EXISTS l
    SADD l a
    SPOP l
    EXISTS l
    SRANDMEMBER
    SRANDMEMBER missing
    SRANDMEMBER missing 3
    SRANDMEMBER missing -3
    SRANDMEMBER missing a
    SRANDMEMBER missing 3 3
    SADD l a
    SRANDMEMBER l
    SRANDMEMBER l 0
    SRANDMEMBER l 1
    SRANDMEMBER l 5
    SRANDMEMBER l 9223372036854775807
    SRANDMEMBER l -3
    SRANDMEMBER l -9223372036854775808
    SRANDMEMBER l 1 1
    SRANDMEMBER l 1.5
    DEL k l
    SADD k a b c
    SADD l b c d
    SADD m c d e
    SINTER
    SINTER k
    SINTER k l
    SINTER k l m
    SINTER k missing
    SINTER missing missing
    SUNION
    SUNION k
    SUNION k l m
    SUNION missing
    SDIFF
    SDIFF k
    SDIFF k l
    SDIFF k l m
    SDIFF k k
    SDIFF k missing
    SDIFF missing k
    SINTERSTORE
    SINTERSTORE d
    SINTERSTORE d k l
    SMEMBERS d
    SUNIONSTORE d k d m
    SMEMBERS d
    SDIFFSTORE d d l
    SMEMBERS d
    SDIFFSTORE k k missing
    SMEMBERS k
    EXPIRE d 1000
    SUNIONSTORE d k
    TTL d
    SINTERSTORE d k missing
    EXISTS d
    SINTERSTORE d k missing
    SET d text
    SINTERSTORE d k missing
    EXISTS d
    SET d text
    SUNIONSTORE d k
    SMEMBERS d
    SINTERCARD
    SINTERCARD 1
    SINTERCARD 0 k
    SINTERCARD -1 k
    SINTERCARD a k
    SINTERCARD 2 k
    SINTERCARD 1 k l
    SINTERCARD 1 k
    SINTERCARD 2 k l
    SINTERCARD 3 k l m
    SINTERCARD 2 k l LIMIT
    SINTERCARD 2 k l LIMIT 1
    SINTERCARD 2 k l LIMIT 0
    SINTERCARD 2 k l LIMIT 10
    SINTERCARD 2 k l LIMIT -1
    SINTERCARD 2 k l LIMIT a
    SINTERCARD 2 k l limit 1 limit 0
    SINTERCARD 2 k l BOGUS 1
    SINTERCARD 2 k missing
    SSCAN
    SSCAN k
    SSCAN k a
    SSCAN k -a
    SSCAN missing 0
    SSCAN missing 0 BOGUS
    SSCAN k 0 COUNT
    SSCAN k 0 COUNT 0
    SSCAN k 0 COUNT -1
    SSCAN k 0 COUNT a
    SSCAN k 0 MATCH
    SSCAN k 0 BOGUS 1
    SSCAN k 0 TYPE set
    DEL k l
    SADD k 1
    SSCAN k 0
    SSCAN k 0 MATCH 2
    SSCAN k 0 MATCH * COUNT 1
    SSCAN k 99
";

#[test]
fn scripted_commands_get_the_replies_of_redis() {
    let mut both = Beside::open();
    for protocol in ["2", "3"] {
        both.restart(protocol);
        both.script(SCRIPT);
    }
}

#[test]
fn random_commands_get_the_replies_of_redis() {
    let templates = [
        "SADD key member member*",
        "SADD key member member*",
        "SADD key member member*",
        "SREM key member member*",
        "SISMEMBER key member",
        "SMISMEMBER key member*",
        "SMEMBERS key",
        "SCARD key",
        "SPOP key many",
        "SRANDMEMBER key many",
        "SMOVE key key member",
        "SMOVE key key member",
        "SINTER key key*",
        "SUNION key key*",
        "SDIFF key key*",
        "SINTERSTORE key key key*",
        "SUNIONSTORE key key key*",
        "SDIFFSTORE key key key*",
        "SINTERCARD number key key*",
        "SINTERCARD number key key LIMIT number",
        "DEL key",
        "EXISTS key",
        "TYPE key",
        "SET rare text",
        "ZADD rare 1 member",
        "GET key",
        "EXPIRE key 100000",
        "PERSIST key",
    ];
    let keys = &["a", "a", "a", "b", "b", "b", "c", "c", "d", "string", "missing"][..];
    let words = [
        ("key", keys),
        ("rare", &["string", "string", "string", "c"]),
        ("member", &["x", "y", "z", "1", "2", "33", "", "w"]),
        ("many", &["100", "20", "0", "-1x", "9"]),
        ("number", &["1", "2", "3", "0", "-1", "x"]),
    ];
    let mut both = Beside::open();
    let mut rng = SmallRng::seed_from_u64(1);
    for protocol in ["2", "3"] {
        both.restart(protocol);
        both.fuzz(12_000, &templates, &words, &mut rng);
    }
}

/// `member:0` and so on.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|member| format!("member:{member}")).collect()
}

fn texts(reply: &Reply) -> Vec<String> {
    reply.items().iter().map(|item| item.text().to_owned()).collect()
}

fn add(client: &mut Client, key: &str, members: &[String]) {
    for members in members.chunks(1000) {
        let request: Vec<_> = ["SADD", key].into_iter().chain(members.iter().map(String::as_str)).collect();
        client.call(&request);
    }
}

#[test]
fn chance_takes_every_member_and_tells_none_that_is_not_there() {
    let door = Door::open();
    let mut client = door.client();
    let members = many(300);
    add(&mut client, "k", &members);
    for (count, told) in [("10", 10), ("299", 299), ("300", 300), ("301", 300), ("-10", 10), ("-1000", 1000)]
    {
        let picked = texts(&client.call(&["SRANDMEMBER", "k", count]));
        let different: BTreeSet<_> = picked.iter().collect();
        assert_eq!(picked.len(), told, "{count}");
        assert!(picked.iter().all(|member| members.contains(member)));
        assert!(count.starts_with('-') || different.len() == told, "{count}");
    }
    let picked: BTreeSet<_> = (0..40).map(|_| client.say("SRANDMEMBER k").text().to_owned()).collect();
    assert!(picked.len() > 20, "{picked:?}");
    let mut popped = vec![client.say("SPOP k").text().to_owned()];
    for count in [1, 100, 150, 1000] {
        popped.extend(texts(&client.say(&format!("SPOP k {count}"))));
    }
    assert_ne!(popped, members, "in the order in which they were added");
    popped.sort();
    popped.dedup();
    assert_eq!(popped.len(), 300);
    assert_eq!(client.say("EXISTS k").number(), Some(0));
}

/// Many picks that may repeat are refused when their reply would be too long, and nothing is held up by them.
#[test]
fn a_reply_that_is_too_long_is_refused() {
    let door = Door::open();
    let mut client = door.client();
    add(&mut client, "k", &many(3));
    client.say("HSET h a 1 b 2");
    client.say("ZADD z 1 a 2 b");
    for request in [
        "SRANDMEMBER k -1000000000000",
        "HRANDFIELD h -1000000000000",
        "HRANDFIELD h -1000000000000 WITHVALUES",
        "ZRANDMEMBER z -1000000000000 WITHSCORES",
    ] {
        let Reply::Line(refused) = client.say(request) else { panic!("no error: {request}") };
        assert!(refused.contains("the reply is longer than"), "{request}: {refused}");
    }
    assert_eq!(client.say("SCARD k").number(), Some(3));
}

#[test]
fn a_walk_meets_every_member_that_is_there_all_the_while() {
    let door = Door::open();
    let (mut client, mut other) = (door.client(), door.client());
    let members = many(2_000);
    add(&mut client, "k", &members);
    let (mut cursor, mut met, mut gone, mut calls) = ("0".to_owned(), BTreeSet::new(), BTreeSet::new(), 0);
    loop {
        let reply = client.say(&format!("SSCAN k {cursor} COUNT 50"));
        met.extend(texts(&reply.items()[1]));
        cursor = reply.items()[0].text().to_owned();
        calls += 1;
        // Some go, from one end to the other, and others come.
        for turn in calls * 20..calls * 20 + 20 {
            gone.insert(format!("member:{}", turn * 5));
            other.say(&format!("SREM k member:{}", turn * 5));
            other.say(&format!("SADD k new:{turn}"));
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(calls > 10);
    for member in members.iter().filter(|member| !gone.contains(*member)) {
        assert!(met.contains(member), "{member}");
    }
    let matching = client.say("SSCAN k 0 MATCH *:1?77 COUNT 100000");
    assert_eq!(matching.items()[0].text(), "0");
    let expected: Vec<_> = (10..20).map(|hundreds| format!("member:{hundreds}77")).collect();
    assert_eq!(texts(&sorted(matching.items()[1].clone())), expected);
}

/// What changes nothing must not be shipped, and must not win over what others remove at the same time.
#[test]
fn what_changes_nothing_is_not_written() {
    let door = Door::open();
    let (mut client, engine) = (door.client(), door.node.engine());
    client.say("SADD k a b");
    let version = || engine.read(b"k", |view| view.map(|view| view.version()));
    let before = version();
    for request in
        ["SADD k a", "SADD k b a b", "SREM k c", "SPOP k 0", "SMOVE k l c", "SMOVE k k a", "SMOVE l k c"]
    {
        client.say(request);
        assert_eq!(version(), before, "{request}");
    }
    client.say("SADD k a c");
    assert_ne!(version(), before);
}

#[test]
fn a_member_has_the_length_of_a_key_at_most() {
    let door = Door::open();
    let mut client = door.client();
    let (longest, too_long) = ("x".repeat(64 * 1024), "y".repeat(64 * 1024 + 1));
    assert_eq!(client.call(&["SADD", "k", &longest]).number(), Some(1));
    for request in [&["SADD", "k", "a", &too_long][..], &["ZADD", "z", "1", "a", "2", &too_long]] {
        let Reply::Line(refused) = client.call(request) else { panic!("no error") };
        assert!(refused.starts_with("-ERR the name of the element"), "{refused}");
    }
    assert_eq!(client.say("SCARD k").number(), Some(1));
    assert_eq!(client.say("EXISTS z").number(), Some(0));
}
