//! `rumour demo`.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Client, PATIENCE, Reply, TempDir, free_ports, local, one_line, rumour, run, wait_for};

/// How long the demo may take until its peers are up.
const UP_LIMIT: Duration = Duration::from_secs(10);

/// Ends the process with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_shows_its_peers_replicates_and_ends_cleanly() {
    let dir = TempDir::new();
    let base = free_ports(23);
    let log = |name: &str| File::create(dir.path().join(name)).expect("a file");
    let began = Instant::now();
    let mut command = rumour(dir.path(), &["demo", "--nodes", "3", "--base-port", &base.to_string()]);
    let child =
        command.stdout(log("out")).stderr(log("err")).stdin(Stdio::null()).spawn().expect("it starts");
    let mut demo = Guard(child);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a file");
    let table = wait_for("the table is printed", UP_LIMIT.saturating_sub(began.elapsed()), || {
        let out = read("out");
        if out.contains("Ctrl-C stops them all.") { Ok(out) } else { Err(out + &read("err")) }
    });
    for node in 0..3_u16 {
        let row = |line: &&str| line.starts_with(&format!("node-{node} ")) && line.contains("healthy");
        let row = table.lines().find(row).unwrap_or_else(|| panic!("node {node} is not in {table}"));
        assert!(row.contains(&local(base + 10 * node).to_string()), "{row}");
        assert!(table.contains(&local(base + 10 * node + 1).to_string()), "{table}");
        assert!(table.contains(&format!("http://{}", local(base + 10 * node + 2))), "{table}");
    }
    let tries: Vec<&str> =
        table.lines().skip_while(|line| !line.starts_with("try")).skip(1).take(3).collect();
    assert!(tries.iter().all(|line| line.contains("redis-cli ") || line.contains("rumour ")), "{tries:?}");
    let url = format!("http://{}", local(base + 22));
    assert!(run(dir.path(), &["status", "--admin", &url]).status.success());

    let mut doors: Vec<Client> = [1, 11, 21].map(|offset| Client::connect(local(base + offset))).into();
    assert_eq!(doors[0].say("SET k v EX 60"), Reply::ok());
    wait_for("k is at the last", Duration::from_secs(1), || match doors[2].say("GET k") {
        Reply::Bulk(value) if value == b"v" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(doors[1].say("DEL k"), Reply::Number(1));
    wait_for("k is gone at the first", Duration::from_secs(1), || match doors[0].say("GET k") {
        Reply::Nil => Ok(()),
        other => Err(format!("{other:?}")),
    });

    let sent = Command::new("kill").args(["-s", "INT", &demo.0.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    let ended = wait_for("the demo ends", PATIENCE, || {
        demo.0.try_wait().expect("it can be asked").ok_or("it runs".to_owned())
    });
    assert_eq!(ended.code(), Some(0), "{}", read("err"));
    assert_eq!(read("err"), "", "nothing to warn of");
}

#[test]
fn a_demo_whose_ports_are_taken_says_so() {
    let dir = TempDir::new();
    let base = free_ports(13);
    let _held = TcpListener::bind(local(base + 11)).expect("a free port");
    let output = run(dir.path(), &["demo", "--nodes", "2", "--base-port", &base.to_string()]);
    assert!(one_line(&output, 1).contains(&local(base + 11).to_string()));
}
