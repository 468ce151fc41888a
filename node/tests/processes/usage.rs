//! What is typed wrongly, or cannot be done, is said in one line; the exit code tells the two apart.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use crate::support::{
    PATIENCE, Reply, Spec, TempDir, finish, free_ports, keygen, local, one_line, rumour, run, wait_for,
};

/// Failed: exit code 1.
const FAILED: i32 = 1;
/// Wrong usage: exit code 2.
const USAGE: i32 = 2;

#[track_caller]
fn assert_contains(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[test]
fn a_node_without_a_key_says_how_to_make_one() {
    let dir = TempDir::new();
    let line = one_line(&Spec::bare(&dir, "a").run(), USAGE);
    assert_contains(&line, &["no cluster key", "rumour keygen", "--key-file"]);
}

#[test]
fn a_port_in_use_is_named() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let spec = Spec::new(&dir, "a", &key);
    let udp = UdpSocket::bind(local(spec.peer())).expect("a free port");
    assert_contains(&one_line(&spec.run(), FAILED), &["UDP", &local(spec.peer()).to_string()]);
    drop(udp);
    for port in [spec.redis(), spec.admin()] {
        let _held = TcpListener::bind(local(port)).expect("a free port");
        assert_contains(&one_line(&spec.run(), FAILED), &[&local(port).to_string()]);
    }
}

#[test]
fn a_key_that_cannot_be_read_is_named_and_not_shown() {
    let dir = TempDir::new();
    let missing = dir.path().join("missing.key");
    let line = one_line(&Spec::new(&dir, "a", &missing).run(), FAILED);
    assert_contains(&line, &["cannot read the cluster key", "missing.key"]);
    let line = one_line(&Spec::new(&dir, "a", dir.path()).run(), FAILED);
    assert_contains(&line, &["cannot read the cluster key"]);
    let wrong = dir.write("wrong.key", "rumour-key-c0ffee\n");
    let line = one_line(&Spec::new(&dir, "a", &wrong).run(), FAILED);
    assert_contains(&line, &["wrong.key", "not a cluster key"]);
    assert!(!line.contains("c0ffee"), "{line}");
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key").display().to_string();
    let long = "x".repeat(64);
    for (flag, value) in [
        ("--listen", "here"),
        ("--listen", "127.0.0.1"),
        ("--listen", "127.0.0.1:65536"),
        ("--redis", "6379"),
        ("--admin", "localhost"),
        ("--seed", "10.0.0.1"),
        ("--seed", "10.0.0.1:0x"),
        ("--seed", ":7400"),
        ("--advertise", "0.0.0.0:7400"),
        ("--name", ""),
        ("--name", "UPPER"),
        ("--name", "under_score"),
        ("--name", "dash-"),
        ("--name", &long),
        ("--cluster", "two words"),
        ("--cluster", ""),
    ] {
        let mut args = vec!["run", "--key-file", &key, flag, value];
        if flag != "--name" {
            args.extend(["--name", "a"]);
        }
        let line = one_line(&run(dir.path(), &args), USAGE);
        assert!(line.starts_with("rumour: ") && line.contains(value), "{flag} {value:?}: {line}");
    }
}

#[test]
fn flags_and_commands_that_do_not_exist_are_named() {
    let dir = TempDir::new();
    for (args, named) in [
        (&["run", "--sead", "10.0.0.1:7400"][..], "--sead"),
        (&["run", "--name"], "--name"),
        (&["fly"], "fly"),
        (&["demo", "--nodes", "0"], "--nodes"),
        (&["demo", "--base-port", "65530"], "--base-port"),
        (&["run", "--name", "a", "--key-file", "k", "--cert-file", "c"], "--cert-file"),
        (&["run", "--key-file", "k"], "--name"),
    ] {
        assert_contains(&one_line(&run(dir.path(), args), USAGE), &["rumour: ", named]);
    }
}

#[test]
fn a_configuration_file_is_read_and_its_mistakes_are_named() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    dir.write("rumour.toml", "name = 'a'\nlisen = '127.0.0.1:7400'\n");
    let line = one_line(&run(dir.path(), &["run"]), USAGE);
    assert_contains(&line, &["rumour.toml line 2", "lisen"]);
    let line = one_line(&run(dir.path(), &["run", "--config", "elsewhere.toml"]), FAILED);
    assert_contains(&line, &["elsewhere.toml"]);

    // The flags of a bare node come before what the file says; the key file comes from the file.
    let text = format!("name = 'other'\nkey_file = '{}'\ncluster = 'from-the-file'\n", key.display());
    dir.write("rumour.toml", &text);
    let node = Spec::bare(&dir, "from-the-flag").serve();
    let status = node.status();
    assert_eq!((&status["node"], &status["cluster"]), (&"from-the-flag".into(), &"from-the-file".into()));
}

#[test]
fn a_redis_password_is_read_from_its_file() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let with = |name: &str| Spec::new(&dir, "a", &key).with("--redis-password-file", &file(name));
    assert_contains(&one_line(&with("missing").run(), FAILED), &["the Redis password", "missing"]);
    dir.write("empty", "\n");
    assert_contains(&one_line(&with("empty").run(), FAILED), &["empty"]);
    dir.write("password", "open sesame\n");
    let node = with("password").serve();
    let mut door = node.client();
    assert!(matches!(door.say("GET k"), Reply::Error(text) if text.starts_with("NOAUTH ")));
    assert_eq!(door.call(&[b"AUTH", b"open sesame"]), Reply::ok());
    assert_eq!(door.say("SET k v"), Reply::ok());
}

#[test]
fn the_environment_comes_between_flags_and_file() {
    let dir = TempDir::new();
    dir.write("rumour.toml", "name = 'file'\nlisten = 'file'\n");
    let mut command = rumour(dir.path(), &["run", "--key-file", "k", "--redis", "flag"]);
    command.env("RUMOUR_REDIS", "environment").env("RUMOUR_ADMIN", "environment");
    assert_contains(&one_line(&finish(command, "run"), USAGE), &["--redis \"flag\""]);
    let mut command = rumour(dir.path(), &["run", "--key-file", "k"]);
    command.env("RUMOUR_ADMIN", "environment");
    assert_contains(&one_line(&finish(command, "run"), USAGE), &["--admin \"environment\""]);
}

#[test]
fn a_key_is_printed_or_put_into_a_new_file_for_its_owner_alone() {
    let dir = TempDir::new();
    let output = run(dir.path(), &["keygen"]);
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && printed.starts_with("rumour-key-") && printed.lines().count() == 1);

    let path = keygen(&dir, "cluster.key");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read_to_string(&path).expect("it is text");
    assert_ne!(before, printed);
    let line = one_line(&run(dir.path(), &["keygen", "--out", "cluster.key"]), FAILED);
    assert_contains(&line, &["cluster.key", "exists"]);
    assert_eq!(std::fs::read_to_string(&path).expect("it is text"), before);
}

#[test]
fn status_tells_a_wrong_address_from_a_node_that_does_not_answer() {
    let dir = TempDir::new();
    for wrong in ["", "127.0.0.1 7480", "ftp://127.0.0.1", "http://"] {
        let line = one_line(&run(dir.path(), &["status", "--admin", wrong]), USAGE);
        assert_contains(&line, &["--admin", "http://127.0.0.1:7480"]);
    }
    let url = format!("http://{}", local(free_ports(1)));
    assert_contains(&one_line(&run(dir.path(), &["status", "--admin", &url]), FAILED), &["no answer", &url]);

    let other = TcpListener::bind(local(0)).expect("a port");
    let url = format!("http://{}", other.local_addr().expect("its port"));
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().expect("status asks");
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome").expect("it reads");
    });
    let line = one_line(&run(dir.path(), &["status", "--json", "--admin", &url]), FAILED);
    assert_contains(&line, &["does not answer like a rumour node", &url]);
    answer.join().expect("it answered");
}

#[test]
fn a_seed_that_does_not_answer_is_named_and_the_node_serves_all_the_same() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let dead = free_ports(1);
    let node = Spec::new(&dir, "a", &key).seed(dead).with("--seed", "no.such.host.invalid:7400").serve();
    assert_eq!(node.client().say("SET k v"), Reply::ok());
    let seeds = wait_for("both seeds are in trouble", PATIENCE, || {
        let seeds = node.status()["seeds"].clone();
        let failed = |index: usize| seeds[index]["error"].is_string();
        if failed(0) && failed(1) { Ok(seeds) } else { Err(seeds.to_string()) }
    });
    assert_eq!(seeds[0]["seed"], local(dead).to_string());
    assert_eq!((&seeds[0]["reached"], &seeds[1]["reached"]), (&false.into(), &false.into()));
    assert!(seeds[0]["failures"].as_u64().is_some_and(|failures| failures >= 1), "{seeds}");
    let url = format!("http://{}", local(node.spec.admin()));
    let text = String::from_utf8(run(dir.path(), &["status", "--admin", &url]).stdout).expect("text");
    assert_contains(&text, &[&format!("seed {} is not reached after", local(dead))]);
}
