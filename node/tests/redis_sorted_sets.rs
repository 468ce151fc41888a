//! The commands about sorted sets beside a real Redis.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use redis_support::beside::Beside;
use redis_support::{Door, Reply};

const SCRIPT: &str = include_str!("redis_support/sorted_sets.txt");

#[test]
fn scripted_commands_get_the_replies_of_redis() {
    let mut both = Beside::open();
    for protocol in ["2", "3"] {
        both.restart(protocol);
        both.script(SCRIPT);
    }
}

const WORDS: &[(&str, &[&str])] = &[
    ("key", &["a", "a", "a", "a", "b", "b", "b", "c", "d", "string", "set", "missing"]),
    ("target", &["a", "b", "c", "d", "d", "string"]),
    ("rare", &["string", "string", "string", "c"]),
    ("names", &["names", "names", "names", "names", "names", "nothing"]),
    ("member", &["x", "y", "z", "1", "2", "33", "", "w", "xx", "xy"]),
    ("score", &["0", "1", "-1", "2.5", "3", "1e3", "-0.25", "7", "1", "2", "inf", "x"]),
    // Sums of these are exact, in whatever order they are made.
    ("by", &["0", "1", "-1", "2.5", "3", "-0.25", "7", "1024", "x"]),
    ("flag", &["NX", "XX", "GT", "LT", "CH", "ch", "GT", "LT", "CH"]),
    ("from", &["0", "1", "-1", "(1", "2.5", "(2.5", "-inf", "+inf", "(inf", "7", "x", "("]),
    ("to", &["0", "1", "(1", "3", "(7", "-inf", "+inf", "inf", "1000", "inf", "x"]),
    ("low", &["-", "-", "[x", "(x", "[", "(", "[33", "+", "x", "(xx"]),
    ("high", &["+", "+", "[x", "(x", "[xy", "(z", "[z", "-", "x"]),
    ("rank", &["0", "1", "2", "-1", "-2", "-3", "5", "-9", "9", "x"]),
    (
        "limit",
        &[
            "LIMIT 0 1",
            "LIMIT 1 2",
            "LIMIT 0 -1",
            "LIMIT 2 -1",
            "LIMIT -1 2",
            "LIMIT 1 0",
            "LIMIT 1",
            "LIMIT x 1",
        ],
    ),
    ("scores", &["WITHSCORES", "withscores"]),
    ("option", &["WITHSCORES", "LIMIT 0 2", "LIMIT 1 -1", "REV", "rev", "BYSCORE", "BYLEX", "BOGUS"]),
    ("many", &["100", "20", "0", "-1x", "9"]),
    ("few", &["0", "1", "2", "3", "-1", "x", "100"]),
    ("number", &["1", "2", "3", "0", "-1", "x"]),
    ("weights", &["WEIGHTS 1 2", "WEIGHTS 0.5 -1 3", "WEIGHTS 2", "WEIGHTS x y", "WEIGHTS 0 0"]),
    (
        "aggregate",
        &["AGGREGATE SUM", "AGGREGATE MIN", "AGGREGATE MAX", "aggregate max", "AGGREGATE", "AGGREGATE x"],
    ),
];

const TEMPLATES: &[&str] = &[
    "ZADD key score member",
    "ZADD key score member score member",
    "ZADD key score member score member score member",
    "ZADD key flag score member",
    "ZADD key flag flag score member score member",
    "ZADD key flag? flag? INCR by member",
    "ZINCRBY key by member",
    "ZINCRBY key by member",
    "ZREM key member member*",
    "ZSCORE key member",
    "ZMSCORE key member*",
    "ZCARD key",
    "ZSCAN key 0",
    "ZCOUNT key from to",
    "ZRANK key member",
    "ZREVRANK key member",
    "ZRANGE key rank rank scores?",
    "ZRANGE key rank rank REV scores?",
    "ZRANGE key from to BYSCORE limit? scores?",
    "ZRANGE key to from REV BYSCORE scores? limit?",
    "ZRANGE key rank rank option*",
    "ZREVRANGE key rank rank scores?",
    "ZRANGEBYSCORE key from to scores? limit?",
    "ZREVRANGEBYSCORE key to from limit? scores?",
    "ZRANGESTORE target key rank rank option?",
    "ZRANGESTORE target key from to BYSCORE option? option?",
    "ZPOPMIN key few?",
    "ZPOPMAX key few?",
    "ZREMRANGEBYRANK key rank rank",
    "ZREMRANGEBYSCORE key from to",
    "ZADD names 0 member 0 member 0 member 0 member",
    "ZREM names member",
    "ZRANGE names low high BYLEX limit?",
    "ZRANGE names high low BYLEX REV limit?",
    "ZRANGEBYLEX names low high limit?",
    "ZREVRANGEBYLEX names high low limit?",
    "ZRANGEBYLEX names low high limit? scores?",
    "ZLEXCOUNT names low high",
    "ZREMRANGEBYLEX names low high",
    "ZRANGESTORE target names low high BYLEX option?",
    "ZUNION number key key* scores?",
    "ZUNION 2 key key weights? aggregate? scores?",
    "ZINTER 2 key key weights? aggregate? scores?",
    "ZINTER 3 key key key weights? aggregate? scores?",
    "ZDIFF number key key* scores?",
    "ZDIFF 2 key key weights? scores?",
    "ZUNIONSTORE target 2 key key weights? aggregate? scores?",
    "ZINTERSTORE target 2 key key weights? aggregate?",
    "ZDIFFSTORE target 2 key key aggregate?",
    "ZINTERCARD number key key*",
    "ZINTERCARD 2 key key LIMIT few",
    "DEL key",
    "EXISTS key",
    "TYPE key",
    "SET rare text",
    "SADD set member",
    "GET key",
    "EXPIRE key 100000",
    "PERSIST key",
];

#[test]
fn random_commands_get_the_replies_of_redis() {
    let mut both = Beside::open();
    let mut rng = SmallRng::seed_from_u64(1);
    for protocol in ["2", "3"] {
        both.restart(protocol);
        both.fuzz(25_000, TEMPLATES, WORDS, &mut rng);
    }
}

/// A large set, where Redis keeps its members in another way, and where ranks are counted from either end.
#[test]
fn large_sorted_sets_get_the_replies_of_redis() {
    let mut both = Beside::open();
    let mut rng = SmallRng::seed_from_u64(2);
    for protocol in ["2", "3"] {
        both.restart(protocol);
        for member in 0..700 {
            let member = format!("m{member}");
            both.fuzz(
                1,
                &[&format!("ZADD big score {member}")],
                &[("score", &["1", "2.5", "-3", "0.1", "1e20", "3.3e-7"])],
                &mut rng,
            );
        }
        both.fuzz(
            1_500,
            &[
                "ZRANGE big rank rank scores?",
                "ZREVRANGE big rank rank scores?",
                "ZRANK big member",
                "ZREVRANK big member",
                "ZRANGEBYSCORE big from to limit?",
                "ZREVRANGEBYSCORE big to from limit? scores?",
                "ZCOUNT big from to",
                "ZADD big score member",
                "ZREM big member",
                "ZPOPMIN big few",
                "ZPOPMAX big few",
                "ZREMRANGEBYRANK big few few",
            ],
            &[
                ("rank", &["0", "5", "100", "350", "400", "699", "-1", "-2", "-100", "-690", "1000"]),
                ("member", &["m0", "m1", "m350", "m699", "m500", "m20", "m21", "nobody"]),
                ("from", &["-3", "(1", "0.1", "-inf", "(0"]),
                ("to", &["2.5", "(2.5", "+inf", "1e20", "0"]),
                ("limit", &["LIMIT 0 10", "LIMIT 100 20", "LIMIT 650 -1"]),
                ("scores", &["WITHSCORES"]),
                ("score", &["1", "2.5", "-3", "0.1", "1e20", "3.3e-7"]),
                ("few", &["0", "1", "2"]),
            ],
            &mut rng,
        );
    }
}

/// As Redis answers from 7.2 on; the one to compare with may be older.
#[test]
fn ranks_come_with_scores_when_asked_for() {
    let door = Door::open();
    let mut client = door.client();
    client.say("ZADD k 1 a 2.5 b inf c");
    client.say("SET string text");
    let line = |text: &str| Reply::Line(text.into());
    let (rank, flat) = (|rank: &str| line(&format!(":{rank}")), |score: &str| Reply::Text('$', score.into()));
    for protocol in [2, 3] {
        client.say(&format!("HELLO {protocol}"));
        let score = |score: &str| if protocol == 2 { flat(score) } else { line(&format!(",{score}")) };
        let pair = |of: &str, with: &str| Reply::Many('*', vec![rank(of), score(with)]);
        let (null_array, null) = if protocol == 2 { ("*-1", "$-1") } else { ("_", "_") };
        let arity = |command: &str| line(&format!("-ERR wrong number of arguments for '{command}' command"));
        let wrong_type = line("-WRONGTYPE Operation against a key holding the wrong kind of value");
        for (request, expected) in [
            ("ZRANK k b WITHSCORE", pair("1", "2.5")),
            ("ZREVRANK k b withscore", pair("1", "2.5")),
            ("ZRANK k c WITHSCORE", pair("2", "inf")),
            ("ZREVRANK k a WITHSCORE", pair("2", "1")),
            ("ZRANK k nobody WITHSCORE", line(null_array)),
            ("ZREVRANK missing a WITHSCORE", line(null_array)),
            ("ZRANK k nobody", line(null)),
            ("ZRANK k b", rank("1")),
            ("ZRANK k b WITHSCORES", line("-ERR syntax error")),
            ("ZRANK string b BOGUS", line("-ERR syntax error")),
            ("ZRANK string b WITHSCORE", wrong_type.clone()),
            ("ZRANK k b WITHSCORE WITHSCORE", arity("zrank")),
            ("ZREVRANK k b WITHSCORE 1", arity("zrevrank")),
            ("ZRANK k", arity("zrank")),
        ] {
            assert_eq!(client.say(request), expected, "{request} in version {protocol}");
        }
    }
}

/// Every bound with every other one, also those between which nothing lies and those that are none.
#[test]
fn zremrangebylex_takes_the_same_names_as_redis() {
    const BOUNDS: [&str; 16] =
        ["-", "+", "[", "(", "[a", "(a", "[ab", "(ab", "[b", "(b", "[c", "(c", "[zz", "(zz", "", "a"];
    let mut both = Beside::open();
    for min in BOUNDS {
        for max in BOUNDS {
            both.ask(&["DEL", "k"]);
            both.ask(&["ZADD", "k", "0", "", "0", "a", "0", "aa", "0", "ab", "0", "b", "0", "c"]);
            both.ask(&["ZLEXCOUNT", "k", min, max]);
            both.ask(&["ZREMRANGEBYLEX", "k", min, max]);
            both.ask(&["ZRANGE", "k", "0", "-1"]);
            both.ask(&["EXISTS", "k"]);
        }
    }
    for request in ["ZREMRANGEBYLEX missing [a [b", "ZREMRANGEBYLEX missing x [b", "ZREMRANGEBYLEX k - + +"] {
        both.script(request);
    }
}

#[test]
fn chance_takes_every_member_with_its_score() {
    let door = Door::open();
    let mut client = door.client();
    for member in 0..200 {
        client.say(&format!("ZADD k {member} {member}"));
    }
    // Members that were counted up and removed leave places that hold nothing.
    for member in 200..300 {
        client.say(&format!("ZINCRBY k 1 {member}"));
        client.say(&format!("ZREM k {member}"));
    }
    for (count, told) in [("10", 10), ("199", 199), ("200", 200), ("900", 200), ("-10", 10), ("-1000", 1000)]
    {
        let reply = client.call(&["ZRANDMEMBER", "k", count, "WITHSCORES"]);
        let picked: Vec<_> = reply.items().iter().map(Reply::text).collect();
        assert!(picked.chunks(2).all(|pair| pair[0] == pair[1]), "{picked:?}");
        let different: BTreeSet<_> = picked.iter().collect();
        assert_eq!(picked.len(), told * 2, "{count}");
        assert!(count.starts_with('-') || different.len() == told, "{count}");
    }
    let picked: BTreeSet<_> = (0..40).map(|_| client.say("ZRANDMEMBER k").text().to_owned()).collect();
    assert!(picked.len() > 20, "{picked:?}");
}

#[test]
fn a_walk_meets_members_whose_scores_change_meanwhile() {
    let door = Door::open();
    let (mut client, mut other) = (door.client(), door.client());
    for member in 0..1_000 {
        client.say(&format!("ZADD k {member} {member}"));
    }
    let (mut cursor, mut met) = ("0".to_owned(), BTreeSet::new());
    loop {
        let reply = client.say(&format!("ZSCAN k {cursor} COUNT 50"));
        met.extend(reply.items()[1].items().chunks(2).map(|pair| pair[0].text().to_owned()));
        cursor = reply.items()[0].text().to_owned();
        if cursor == "0" {
            break;
        }
        for member in (0..1_000).step_by(7) {
            other.say(&format!("ZADD k {} {member}", 5000 + met.len()));
            other.say(&format!("ZINCRBY k 1 {}", member + 1));
        }
    }
    assert_eq!(met.len(), 1_000);
}

/// What changes nothing must not be shipped, and must not win over what others write at the same time.
#[test]
fn what_changes_nothing_is_not_written() {
    let door = Door::open();
    let (mut client, engine) = (door.client(), door.node.engine());
    client.say("ZADD k 1 a inf top");
    client.say("ZINCRBY k 2 counted");
    let version = || engine.read(b"k", |view| view.map(|view| view.version()));
    let before = version();
    for request in [
        "ZADD k 1 a",
        "ZADD k CH 1 a 2 counted",
        "ZADD k NX 5 a",
        "ZADD k XX 5 new",
        "ZADD k GT 0 a",
        "ZADD k LT INCR 1 a",
        "ZINCRBY k 0 a",
        "ZINCRBY k 5 top",
        "ZINCRBY k -inf top",
        "ZREM k new",
        "ZPOPMIN k 0",
        "ZREMRANGEBYRANK k 5 9",
        "ZREMRANGEBYSCORE k 7 9",
        "ZREMRANGEBYLEX k (x [x",
        "ZADD k x a",
    ] {
        client.say(request);
        assert_eq!(version(), before, "{request}");
    }
    client.say("ZINCRBY k 1 a");
    assert_ne!(version(), before);
    client.say("ZADD missing XX 1 a");
    client.say("ZREM missing a");
    client.say("ZUNIONSTORE missing 1 nothing");
    assert!(!engine.exists(b"missing"));
}
