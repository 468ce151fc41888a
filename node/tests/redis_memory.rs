//! What hostile and slow clients cost: memory is measured, so these tests have a process of their own.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis_support::{Client, Door, Reply, encode, eventually, exchange, resident_bytes};

const MIB: usize = 1024 * 1024;

/// One test at a time, for the memory is that of all.
static ALONE: Mutex<()> = Mutex::new(());

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn line(text: &str) -> Reply {
    Reply::Line(text.to_owned())
}

#[test]
fn garbage_is_counted_and_harms_nobody_else() {
    let _alone = ALONE.lock();
    let door = Door::open();
    let mut bystander = door.client();
    assert_eq!(bystander.say("SET k v"), line("+OK"));
    let before = resident_bytes();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for turn in 0..300 {
        let mut bytes: Vec<u8> = (0..random() % 5_000).map(|_| random().to_le_bytes()[0]).collect();
        if turn % 3 == 0 {
            bytes.splice(0..0, *b"*3\r\n$3\r\nSET\r\n$");
        }
        exchange(door.addr, &bytes);
    }
    for _ in 0..50 {
        exchange(door.addr, b"*1\r\n$4\r\nPING\r\n*zzz\r\n");
        exchange(door.addr, &vec![b'x'; 100_000]);
        exchange(door.addr, b"*1048576\r\n$8388608\r\nnot that much");
    }
    assert!(read(&door.stats.protocol_errors) >= 200, "{:?}", door.stats);
    assert_eq!(bystander.say("GET k"), Reply::Text('$', "v".into()));
    eventually("the garbage has left", || read(&door.stats.connections_open) == 1);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
}

/// Sends requests until the socket takes no more for a second. Returns how many bytes it took.
fn fill(stream: &mut TcpStream, requests: &[u8], limit: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    while sent < limit {
        match stream.write(&requests[sent % requests.len()..]) {
            Ok(written) => sent += written,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => break,
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

#[test]
fn a_client_that_takes_no_replies_is_not_read_and_costs_little() {
    let _alone = ALONE.lock();
    let door = Door::open();
    let mut bystander = door.client();
    assert_eq!(bystander.call(&["SET", "large", &"x".repeat(MIB)]), line("+OK"));
    let requests = encode(&["GET", "large"]).repeat(1_000);
    let before = resident_bytes();
    let mut greedy: Vec<Client> = (0..4).map(|_| door.client()).collect();
    for client in &mut greedy {
        // A million replies of a MiB each would be owed if all were read.
        let sent = fill(client.stream.get_mut(), &requests, 1_000_000 * requests.len() / 1_000);
        assert!(sent < 16 * MIB, "took {sent} bytes of requests");
    }
    assert_eq!(bystander.say("EXISTS large").number(), Some(1));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB as u64, "grew by {grown} bytes");
    // Whoever begins to take them gets all.
    let client = &mut greedy[0];
    for _ in 0..100 {
        assert_eq!(client.reply().text().len(), MIB);
    }
}
