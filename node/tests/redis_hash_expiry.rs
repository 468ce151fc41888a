//! Fields that end by themselves, held to what Redis 7.4 documents: a Redis 7.0 to compare with lacks them.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![allow(clippy::disallowed_methods, reason = "real time: nothing is simulated here")]

mod redis_support;

use std::time::Duration;

use redis_support::{Client, Door, Reply};

fn numbers(client: &mut Client, request: &str) -> Vec<i64> {
    let reply = client.say(request);
    let Reply::Many('*', items) = &reply else { panic!("{request}: {reply:?}") };
    items.iter().map(|item| item.number().unwrap()).collect()
}

#[test]
fn each_field_is_answered_for() {
    let door = Door::open();
    let mut client = door.client();
    client.say("HSET h a 1 b 2 c 3");
    for (request, codes) in [
        ("HEXPIRE h 100 FIELDS 2 a missing", &[1, -2][..]),
        ("HEXPIRE missing 100 FIELDS 2 a b", &[-2, -2]),
        ("HTTL h FIELDS 3 a b missing", &[100, -1, -2]),
        ("HTTL missing FIELDS 1 a", &[-2]),
        ("HEXPIRE h 200 NX FIELDS 2 a b", &[0, 1]),
        ("HEXPIRE h 300 XX FIELDS 2 a c", &[1, 0]),
        ("HEXPIRE h 250 GT FIELDS 3 a b c", &[0, 1, 0]),
        ("HEXPIRE h 250 LT FIELDS 3 a b c", &[1, 0, 1]),
        ("HTTL h FIELDS 3 a b c", &[250, 250, 250]),
        ("HPEXPIRE h 90000 FIELDS 1 a", &[1]),
        ("HTTL h FIELDS 1 a", &[90]),
        ("HEXPIREAT h 9999999999 FIELDS 1 a", &[1]),
        ("HEXPIRETIME h FIELDS 3 a b missing", &[9_999_999_999, -3, -2]),
        ("HPEXPIREAT h 9999999999999 FIELDS 1 b", &[1]),
        ("HPEXPIRETIME h FIELDS 2 a b", &[9_999_999_999_000, 9_999_999_999_999]),
        ("HEXPIRETIME h FIELDS 1 b", &[10_000_000_000]),
        ("HPERSIST h FIELDS 3 a a missing", &[1, -1, -2]),
        ("HPERSIST missing FIELDS 1 a", &[-2]),
        ("HEXPIRE h 0 FIELDS 1 a", &[2]),
        ("HEXPIREAT h 1 GT FIELDS 1 b", &[0]),
        ("HEXPIREAT h 1 FIELDS 3 a b c", &[-2, 2, 2]),
    ] {
        let answer = numbers(&mut client, request);
        let told = |(told, wanted): (&i64, &i64)| *wanted == -3 || told == wanted;
        assert!(answer.len() == codes.len() && answer.iter().zip(codes).all(told), "{request}: {answer:?}");
    }
    assert_eq!(client.say("EXISTS h").number(), Some(0), "its last field has gone");
}

#[test]
fn what_is_wrong_is_said_as_redis_says_it() {
    let door = Door::open();
    let mut client = door.client();
    client.say("HSET h a 1");
    client.say("SET s v");
    for (request, error) in [
        ("HEXPIRE h 100 FIELDS 1", "ERR wrong number of arguments for 'hexpire' command"),
        ("HTTL h FIELDS 1", "ERR wrong number of arguments for 'httl' command"),
        ("HEXPIRE h x FIELDS 1 a", "ERR value is not an integer or out of range"),
        ("HEXPIRE h -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"),
        ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "ERR invalid expire time in 'hexpire' command"),
        ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "ERR invalid expire time in 'hpexpireat' command"),
        ("HEXPIRE h 1 BOGUS 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
        (
            "HEXPIRE h 1 NX GT FIELDS 1 a",
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ),
        ("HTTL h BOGUS 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
        ("HEXPIRE h 1 FIELDS 0 a", "ERR Parameter `numFields` should be greater than 0"),
        ("HTTL h FIELDS 0 a", "ERR Number of fields must be a positive integer"),
        ("HPERSIST h FIELDS x a", "ERR Number of fields must be a positive integer"),
        ("HEXPIRE h 1 FIELDS 2 a", "ERR The `numfields` parameter must match the number of arguments"),
        ("HTTL h FIELDS 1 a b", "ERR The `numfields` parameter must match the number of arguments"),
        ("HEXPIRE s 1 FIELDS 1 a", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HPERSIST s FIELDS 1 a", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HPTTL s FIELDS 1 a", "WRONGTYPE Operation against a key holding the wrong kind of value"),
    ] {
        assert_eq!(client.say(request), Reply::Line(format!("-{error}")), "{request}");
    }
    assert_eq!(numbers(&mut client, "HTTL h FIELDS 1 a"), [-1], "nothing of it took effect");
}

#[test]
fn a_field_that_ended_is_gone_from_every_answer() {
    let door = Door::open();
    let mut client = door.client();
    client.say("HSET h a 1 b 2");
    client.say("HINCRBY h counted 5");
    assert_eq!(numbers(&mut client, "HPEXPIRE h 40 FIELDS 2 a counted"), [1, 1]);
    assert_eq!(client.say("HINCRBY h counted 1").number(), Some(6), "counting keeps the end");
    client.say("HSET h b 3");
    std::thread::sleep(Duration::from_millis(80));
    assert_eq!(client.say("HGETALL h").items().len(), 2);
    assert_eq!(client.say("HLEN h").number(), Some(1));
    assert_eq!(client.say("HEXISTS h a").number(), Some(0));
    assert_eq!(client.say("HSCAN h 0").items()[1].items().len(), 2);
    assert_eq!(client.say("HRANDFIELD h 5").items().len(), 1);
    assert_eq!(client.say("HINCRBY h counted 1").number(), Some(1));
    client.say("HDEL h b counted");
    assert_eq!(client.say("TYPE h"), Reply::Line("+none".into()));
    client.say("HSET h a 1");
    client.say("HPEXPIRE h 100000 FIELDS 1 a");
    client.say("HSET h a 2");
    assert_eq!(numbers(&mut client, "HTTL h FIELDS 1 a"), [-1], "a put begins anew");
    client.say("HPEXPIRE h 30 FIELDS 1 a");
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(client.say("EXISTS h").number(), Some(0));
    assert_eq!(client.say("RANDOMKEY"), Reply::Line("$-1".into()));
}
