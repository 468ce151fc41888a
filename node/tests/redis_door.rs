//! The door itself: limits, passwords, closing, and what it tells about itself and its clients.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis_support::{Client, Door, Reply, encode, eventually, exchange};
use rumour::redis::{Password, RedisConfig, RedisDoor, RedisError};
use tokio::time::Instant;

const MIB: usize = 1024 * 1024;

fn read(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn line(text: &str) -> Reply {
    Reply::Line(text.to_owned())
}

#[test]
fn a_taken_port_is_reported_when_the_door_is_bound() {
    let door = Door::open();
    let config = RedisConfig { addr: door.addr, ..RedisConfig::default() };
    let error = door.runtime.block_on(RedisDoor::bind(config)).unwrap_err();
    assert!(matches!(error, RedisError::Listen { addr, .. } if addr == door.addr));
    assert!(error.to_string().contains(&door.addr.to_string()), "{error}");
}

#[test]
fn closing_ends_every_connection_and_frees_the_port() {
    let mut door = Door::open();
    let (mut idle, mut half) = (door.client(), door.client());
    assert_eq!(idle.say("PING"), line("+PONG"));
    half.send(b"PING\r\n*2\r\n$4\r\nECHO\r\n$100\r\nunfinished");
    assert_eq!(half.reply(), line("+PONG"));
    // This one asks for much and takes nothing.
    let mut stuck = door.client();
    stuck.call(&["SET", "large", &"x".repeat(MIB)]);
    stuck.send(&encode(&["GET", "large"]).repeat(100));
    let began = Instant::now();
    door.close();
    assert!(began.elapsed() < Duration::from_secs(6));
    for client in [&mut idle, &mut half] {
        assert!(client.is_closed());
    }
    assert_eq!(read(&door.stats.connections_open), 0);
    std::net::TcpListener::bind(door.addr).unwrap();
}

#[test]
fn clients_beyond_the_limit_are_told_so_and_the_next_has_room_again() {
    let door = Door::open_with(|config| config.max_clients = 3);
    let mut clients: Vec<Client> = (0..3).map(|_| door.client()).collect();
    for client in &mut clients {
        assert_eq!(client.say("PING"), line("+PONG"));
    }
    let mut turned_away = door.client();
    assert_eq!(turned_away.reply(), line("-ERR max number of clients reached"));
    assert!(turned_away.is_closed());
    assert_eq!(read(&door.stats.rejected_connections), 1);
    drop(clients.pop());
    eventually("the connection has ended", || read(&door.stats.connections_open) == 2);
    assert_eq!(door.client().say("PING"), line("+PONG"));
    assert_eq!(read(&door.stats.connections), 4);
}

#[test]
fn what_a_browser_sends_is_not_executed() {
    let door = Door::open();
    let request = b"POST / HTTP/1.1\r\nSET k stolen\r\n\r\n";
    assert_eq!(exchange(door.addr, request), b"");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nSET k stolen\r\n\r\n";
    assert!(
        exchange(door.addr, request).starts_with(b"-ERR wrong number of arguments for 'get' command\r\n")
    );
    assert_eq!(door.client().say("EXISTS k").number(), Some(0));
    assert_eq!(read(&door.stats.protocol_errors), 2);
}

#[test]
fn values_up_to_the_limit_pass_and_replies_too_long_are_refused() {
    let door = Door::open();
    let mut client = door.client();
    let largest = "x".repeat(8 * MIB);
    assert_eq!(client.call(&["SET", "largest", &largest]), line("+OK"));
    assert_eq!(client.say("GET largest").text().len(), 8 * MIB);
    let mut request = vec!["MGET"];
    request.extend(["largest"; 7]);
    assert_eq!(client.call(&request).items().len(), 7);
    request.push("largest");
    let refused = "-ERR the reply is longer than 67108864 bytes; ask for fewer keys at a time";
    assert_eq!(client.call(&request), line(refused));
    assert_eq!(client.say("PING"), line("+PONG"));
    let key = "k".repeat(64 * 1024 + 1);
    let Reply::Line(refused) = client.call(&["SET", &key, "v"]) else { panic!("accepted") };
    assert!(refused.starts_with("-ERR the key has 65537 bytes"), "{refused}");
    assert_eq!(client.say("DBSIZE").number(), Some(1));
}

#[test]
fn keys_end_by_the_time_that_the_server_tells() {
    let door = Door::open();
    let mut client = door.client();
    let told = client.say("TIME");
    let part = |at: usize| told.items()[at].text().parse::<u64>();
    let (Ok(seconds), Ok(micros)) = (part(0), part(1)) else { panic!("{told:?}") };
    assert!(seconds > 1_700_000_000 && micros < 1_000_000, "{told:?}");
    client.say("SET k v");
    assert_eq!(client.say(&format!("EXPIREAT k {}", seconds + 100)).number(), Some(1));
    assert!(client.say("TTL k").number().is_some_and(|left| (90..=100).contains(&left)));
}

#[test]
fn the_last_reply_arrives_although_more_was_sent() {
    let door = Door::open();
    for last in ["*1\r\n+\r\n", "QUIT\r\n"] {
        let mut client = door.client();
        client.send(&[last.as_bytes(), &[b'x'; 512 * 1024]].concat());
        assert!(
            matches!(client.reply(), Reply::Line(text) if text.starts_with("-ERR Protocol") || text == "+OK")
        );
        assert!(client.is_closed(), "reset instead of closed");
    }
}

#[test]
fn strangers_may_send_little_before_the_password() {
    let door = Door::open_with(|config| config.password = Some(Password::new("pw")));
    assert!(
        exchange(door.addr, b"*11\r\n").starts_with(b"-ERR Protocol error: unauthenticated multibulk length")
    );
    let large = encode(&["AUTH", &"x".repeat(20_000)]);
    assert!(exchange(door.addr, &large).starts_with(b"-ERR Protocol error: unauthenticated bulk length"));
    let mut client = door.client();
    assert!(matches!(client.say("AUTH wrong"), Reply::Line(text) if text.starts_with("-WRONGPASS")));
    assert_eq!(client.say("AUTH pw"), line("+OK"));
    assert_eq!(client.call(&["SET", "k", &"x".repeat(20_000)]), line("+OK"));
    assert_eq!(read(&door.stats.wrong_passwords), 1);
}

#[test]
fn clients_are_listed_while_they_are_connected() {
    let door = Door::open();
    let (mut one, mut two) = (door.client(), door.client());
    one.say("CLIENT SETNAME first");
    one.say("CLIENT SETINFO LIB-NAME library(x)");
    one.say("CLIENT SETINFO lib-ver 1.2");
    assert_eq!(one.say("CLIENT SETINFO LIB-WHAT 1"), line("-ERR Unrecognized option 'LIB-WHAT'"));
    let spaces = one.call(&["CLIENT", "SETINFO", "LIB-NAME", "a b"]);
    assert_eq!(spaces, line("-ERR lib-name cannot contain spaces, newlines or special characters."));
    two.say("HELLO 3");
    let id = one.say("CLIENT ID").number().unwrap();
    let Reply::Text('=', list) = two.say("CLIENT LIST") else { panic!("no verbatim text") };
    assert!(list.starts_with(&format!("txt:id={id} addr=127.0.0.1:")), "{list}");
    for part in ["name=first", "lib-name=library(x)", "lib-ver=1.2", "cmd=client|list", "resp=3", "resp=2"] {
        assert!(list.contains(part), "{part} in {list}");
    }
    let chosen = two.call(&["CLIENT", "LIST", "ID", &id.to_string(), "99"]);
    assert!(chosen.text().contains("name=first") && !chosen.text().contains("resp=3"), "{chosen:?}");
    drop(one);
    eventually("the first has left", || read(&door.stats.connections_open) == 1);
    assert!(!two.say("CLIENT LIST").text().contains("name=first"));
    assert!(
        two.say("CLIENT NO-TOUCH ON") == line("+OK") && two.say("CLIENT INFO").text().contains("flags=T")
    );
}

#[test]
fn help_lists_what_there_is() {
    let door = Door::open();
    let help = door.client().say("client help");
    assert_eq!(help.items()[0], line("+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    assert!(help.items().contains(&line("+SETNAME")) && help.items().contains(&line("+HELP")));
}

#[test]
fn info_tells_what_clients_look_for() {
    let door = Door::open();
    let mut client = door.client();
    client.say("SET k v");
    let all = client.say("INFO").text().replace("\\r\\n", "\n");
    for part in [
        "# Server\nredis_version:7.4.0\n",
        "\nrumour_version:",
        "\narch_bits:64\n",
        "\nmaxmemory_policy:noeviction\n",
        "\nloading:0\n",
        "\nrole:master\n",
        "\ncluster_enabled:0\n",
        "\n\n# Keyspace\ndb0:keys=1\n",
        "\nconnected_clients:1\n",
    ] {
        assert!(all.contains(part), "{part:?} in {all}");
    }
    assert_eq!(client.say("INFO everything").text().matches("# ").count(), all.matches("# ").count());
    let some = client.say("INFO memory CLIENTS").text().replace("\\r\\n", "\n");
    assert!(
        some.contains("# Memory\n") && some.contains("# Clients\n") && some.matches("# ").count() == 2,
        "{some}"
    );
}
