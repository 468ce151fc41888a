//! Replies, read back by `redis-protocol`.

use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::types::OwnedFrame as Frame3;
use redis_protocol::{resp2, resp3};

use super::*;

fn write(protocol: Protocol, fill: impl FnOnce(&mut Reply<'_>)) -> BytesMut {
    let mut out = BytesMut::new();
    fill(&mut Reply::new(&mut out, protocol));
    out
}

fn resp2(fill: impl FnOnce(&mut Reply<'_>)) -> Frame2 {
    let out = write(Protocol::Resp2, fill);
    let (frame, length) = resp2::decode::decode(&out).unwrap().unwrap();
    assert_eq!(length, out.len());
    frame
}

fn resp3(fill: impl FnOnce(&mut Reply<'_>)) -> Frame3 {
    let out = write(Protocol::Resp3, fill);
    let (frame, length) = resp3::decode::complete::decode(&out).unwrap().unwrap();
    assert_eq!(length, out.len());
    frame
}

#[test]
fn both_protocols_read_the_simple_types() {
    for (number, text) in
        [(0, "0"), (-1, "-1"), (i64::MAX, "9223372036854775807"), (i64::MIN, "-9223372036854775808")]
    {
        assert_eq!(resp2(|reply| reply.integer(number)), Frame2::Integer(number));
        assert_eq!(
            &write(Protocol::Resp2, |reply| reply.integer(number))[..],
            format!(":{text}\r\n").as_bytes()
        );
    }
    let pair = write(Protocol::Resp3, |reply| {
        reply.ok();
        reply.null();
    });
    assert_eq!(&pair[..], b"+OK\r\n_\r\n");
    assert_eq!(resp2(|reply| reply.simple("OK")), Frame2::SimpleString(b"OK".to_vec()));
    assert_eq!(resp2(|reply| reply.bulk([0, 13, 10, 255])), Frame2::BulkString(vec![0, 13, 10, 255]));
    assert_eq!(resp2(|reply| reply.bulk("")), Frame2::BulkString(Vec::new()));
    assert_eq!(resp2(|reply| reply.bulk_or_null(None::<&str>)), Frame2::Null);
    assert_eq!(resp3(|reply| reply.bulk_or_null(None::<&str>)), Frame3::Null);
    assert_eq!(resp2(|reply| reply.error("ERR no\r\n+OK")), Frame2::Error("ERR no  +OK".into()));
}

#[test]
fn what_resp2_lacks_is_written_as_redis_does() {
    let map = |reply: &mut Reply<'_>| {
        reply.map(1);
        reply.bulk("k");
        reply.set(1);
        reply.simple("v");
    };
    assert_eq!(&write(Protocol::Resp2, map)[..], b"*2\r\n$1\r\nk\r\n*1\r\n+v\r\n");
    assert_eq!(&write(Protocol::Resp3, map)[..], b"%1\r\n$1\r\nk\r\n~1\r\n+v\r\n");
    let text = |reply: &mut Reply<'_>| reply.verbatim("a:1");
    assert_eq!(&write(Protocol::Resp2, text)[..], b"$3\r\na:1\r\n");
    assert_eq!(&write(Protocol::Resp3, text)[..], b"=7\r\ntxt:a:1\r\n");
    assert!(matches!(resp3(map), Frame3::Map { .. }));
    assert!(matches!(resp3(text), Frame3::VerbatimString { .. }));
}

#[test]
fn a_reply_that_grows_too_long_stops_growing_and_can_be_taken_back() {
    let mut out = BytesMut::from(&b"+BEFORE\r\n"[..]);
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    reply.limit = 1000;
    reply.array(100);
    for _ in 0..100 {
        reply.bulk([b'x'; 90]);
    }
    assert!(reply.overflowed());
    assert!(reply.out.len() < 1200);
    reply.restart();
    assert!(!reply.overflowed());
    reply.error("ERR too long");
    assert_eq!(&out[..], b"+BEFORE\r\n-ERR too long\r\n");
}
