//! Clients that people use, unchanged: redis-py, redis-cli and redis-benchmark. They must be installed.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod redis_support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use redis_support::Door;
use rumour::redis::Password;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn redis_cli(door: &Door, args: &[&str], input: &str) -> String {
    let mut process = Command::new("redis-cli")
        .args(["-p", &door.addr.port().to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli must be installed");
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn a_redis_py_session_runs_in_both_protocols() {
    let door = Door::open_with(|config| config.password = Some(Password::new("pw")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redis_support/session.py");
    for protocol in ["2", "3"] {
        let output = Command::new("python3")
            .args([script, &door.addr.port().to_string(), protocol])
            .output()
            .expect("python3 must be installed");
        assert!(output.status.success(), "RESP{protocol}: {}", text(&output));
    }
}

#[test]
fn redis_cli_talks_in_both_protocols() {
    let door = Door::open();
    assert_eq!(redis_cli(&door, &["SET", "k", "v", "EX", "60"], ""), "OK\n");
    assert_eq!(redis_cli(&door, &["-3", "GET", "k"], ""), "v\n");
    assert_eq!(redis_cli(&door, &["TTL", "k"], ""), "60\n");
    assert_eq!(
        redis_cli(&door, &[], "DEL k\nGET k\nBOGUS\n"),
        "1\n\nERR unknown command 'BOGUS', with args beginning with: \n\n"
    );
    assert!(
        redis_cli(&door, &["-3", "--json", "COMMAND", "DOCS", "get"], "")
            .contains("Returns the value of a key.")
    );
    assert!(redis_cli(&door, &["INFO", "server"], "").contains("redis_mode:standalone"));
    let piped = redis_cli(&door, &["--pipe"], "SET a 1\r\nSET b 2\r\n");
    assert!(piped.contains("errors: 0, replies: 2"), "{piped}");
    assert_eq!(redis_cli(&door, &["--scan", "--pattern", "[ab]"], "").lines().count(), 2);
}

#[test]
fn redis_benchmark_ends_without_an_error() {
    let door = Door::open();
    for protocol in [&[][..], &["-3"]] {
        let output = Command::new("redis-benchmark")
            .args([
                "-p",
                &door.addr.port().to_string(),
                "-t",
                "ping,set,get,mset",
                "-n",
                "20000",
                "-r",
                "1000",
            ])
            .args(["-d", "100", "-P", "16", "-q"])
            .args(protocol)
            .output()
            .expect("redis-benchmark must be installed");
        let text = text(&output);
        assert!(output.status.success() && text.contains("requests per second"), "{text}");
        assert!(!text.contains("ERR") && !text.contains("WARN") && !text.contains("rror"), "{text}");
    }
    // SET draws from 1000 keys, MSET from as many.
    assert!((900..=2000).contains(&door.node.engine().len()), "{}", door.node.engine().len());
}
