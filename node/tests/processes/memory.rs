//! Nodes with little memory.

use crate::support::{PATIENCE, Reply, Spec, TempDir, keygen, wait_for};

/// A node that evicts, and one that holds everything.
fn small_and_large(dir: &TempDir) -> [crate::support::Node; 2] {
    let key = keygen(dir, "cluster.key");
    let large = Spec::new(dir, "large", &key).serve();
    let small = Spec::new(dir, "small", &key).seed(large.spec.peer());
    let small = small.with("--max-memory", "300kb").with("--eviction", "allkeys-lru").serve();
    [small, large]
}

/// A reply as a person would read it.
fn text(reply: &Reply) -> String {
    match reply {
        Reply::Status(text) | Reply::Error(text) => text.clone(),
        Reply::Number(number) => number.to_string(),
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Nil => "nil".to_owned(),
        Reply::Many(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
    }
}

/// Writes at the node until it has evicted what was written there before.
fn evict(node: &crate::support::Node) {
    let mut door = node.client();
    let value = vec![b'x'; 1_000];
    for number in 0..1_500 {
        let key = format!("filler:{number}").into_bytes();
        assert_eq!(door.call(&[b"SET", &key, &value]), Reply::ok());
    }
}

#[test]
fn what_a_node_has_evicted_is_fetched_when_a_command_needs_it() {
    let dir = TempDir::new();
    let [small, large] = small_and_large(&dir);
    let (mut here, mut there) = (small.client(), large.client());
    let written = [
        "SET greeting hello",
        "INCRBY number 40",
        "SADD set a b c",
        "HSET map field value",
        "ZADD sorted 1 a 2 b",
        "SADD other b c d",
    ];
    written.iter().for_each(|command| {
        here.say(command);
    });
    wait_for("the peer has them", PATIENCE, || match there.say("SCARD other") {
        Reply::Number(3) => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
    evict(&small);
    let status = small.status();
    assert!(status["memory"]["evicted"].as_u64() > Some(1_000), "{status}");
    let answers = [
        ("GET greeting", "hello"),
        ("INCR number", "41"),
        ("SCARD set", "3"),
        ("HGET map field", "value"),
        ("ZSCORE sorted b", "2"),
    ];
    for (command, answer) in answers {
        assert_eq!(text(&here.say(command)), answer, "{command}");
    }
    assert_eq!(here.say("SINTERCARD 2 set other"), Reply::Number(2));
    // In a transaction, all keys are fetched before it runs.
    evict(&small);
    for command in ["MULTI", "APPEND greeting !", "SADD set d", "EXEC"] {
        here.say(command);
    }
    wait_for("both show the same", PATIENCE, || {
        let shown =
            (text(&there.say("GET greeting")), text(&there.say("SCARD set")), text(&there.say("GET number")));
        let expected = ("hello!".to_owned(), "4".to_owned(), "41".to_owned());
        if shown == expected { Ok(()) } else { Err(format!("{shown:?}")) }
    });
}

#[test]
fn what_cannot_be_fetched_is_not_begun_anew() {
    let dir = TempDir::new();
    let [small, large] = small_and_large(&dir);
    let mut here = small.client();
    assert_eq!(here.say("INCRBY number 40"), Reply::Number(40));
    wait_for("the peer has it", PATIENCE, || match text(&large.client().say("GET number")).as_str() {
        "40" => Ok(()),
        other => Err(other.to_owned()),
    });
    evict(&small);
    large.signal("STOP");
    let refused = text(&here.say("INCR number"));
    assert!(refused.starts_with("TRYAGAIN"), "{refused}");
    let refused = text(&here.say("RENAME number other"));
    assert!(refused.starts_with("TRYAGAIN"), "{refused}");
    assert_eq!(here.say("EXISTS other"), Reply::Number(0));
    large.signal("CONT");
    wait_for("the peer answers", PATIENCE, || match here.say("INCR number") {
        Reply::Number(41) => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
}
