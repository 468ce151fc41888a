//! `rumour conflicts`: what lost, told with both values.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::support::{PATIENCE, Reply, TempDir, cluster, local, one_line, rumour, run, wait_for, write_keys};

/// A command that prints until it is ended.
struct Watch {
    command: Child,
    told: Receiver<String>,
}

impl Watch {
    fn start(dir: &TempDir, args: &[&str]) -> Self {
        let mut command =
            rumour(dir.path(), args).stdout(Stdio::piped()).spawn().expect("the command starts");
        let lines = BufReader::new(command.stdout.take().expect("its output is piped")).lines();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may have seen enough.
                let _ = tell.send(line);
            }
        });
        Self { command, told }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

#[test]
fn events_are_remembered_and_told_as_they_happen() {
    let dir = TempDir::new();
    let mut nodes = cluster(&dir, 2);
    let admin = format!("http://127.0.0.1:{}", nodes[0].spec.admin());
    let recent = |wanted: &str| {
        wait_for("it is remembered", PATIENCE, || {
            let output = run(dir.path(), &["events", "--json", "--admin", &admin]);
            let events: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            let named = |event: &&Value| event["event"] == wanted && event["at_ms"].as_u64() > Some(0);
            events.as_array().into_iter().flatten().find(named).cloned().ok_or(events.to_string())
        })
    };
    recent("serving");
    assert_eq!(recent("member_joined")["node"], "b");
    assert_eq!(recent("configured")["number"], 1);
    let watch = Watch::start(&dir, &["events", "--follow", "--admin", &admin]);
    // The command is connected once it prints something.
    nodes[1].kill();
    let line = wait_for("the death is told", PATIENCE, || {
        let line = watch.told.try_recv().map_err(|error| error.to_string())?;
        if line.contains("to=down") { Ok(line) } else { Err(line) }
    });
    assert!(line.contains("member changed") && line.contains("node=b"), "{line}");
}

#[test]
fn a_concurrent_loss_is_shown_with_both_values_and_nodes_while_one_watches() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 2);
    let admin = format!("http://127.0.0.1:{}", nodes[0].spec.admin());
    let watch = Watch::start(&dir, &["conflicts", "--follow", "--json", "--admin", &admin]);
    let line = wait_for("a conflict", PATIENCE, || {
        std::thread::scope(|threads| {
            for node in &nodes {
                threads.spawn(|| write_keys(local(node.spec.redis()), 0..2_000, &node.spec.name));
            }
        });
        // Of many, a slow reader misses some.
        let mut told = std::iter::from_fn(|| watch.told.try_recv().ok());
        told.find(|line| !line.contains("\"missed\"")).ok_or("none yet".to_owned())
    });
    drop(watch);
    let report: Value = serde_json::from_str(&line).expect("one JSON object a line");
    assert_eq!(report["namespace"], "default");
    let mut names: Vec<_> =
        ["losing", "winning"].iter().filter_map(|side| report[side]["node"].as_str()).collect();
    names.sort_unstable();
    let mut expected: Vec<_> = nodes.iter().map(|node| node.spec.name.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(names, expected, "{report}");
    for side in ["losing", "winning"] {
        let value = report[side]["written"]["value"].as_str().expect("a value was written");
        let node = report[side]["node"].as_str().expect("checked above");
        assert!(value.contains(node), "{value} was not written at {node}");
    }

    let counted = run(dir.path(), &["conflicts", "--json", "--admin", &admin]);
    let counted: Value = serde_json::from_slice(&counted.stdout).expect("JSON");
    assert!(counted["default"].as_u64() > Some(0), "{counted}");
    // More may have come in since.
    let status = nodes[0].status();
    assert!(status["conflicts"].as_u64() >= counted["default"].as_u64(), "{status}");
}

#[test]
fn a_dead_node_is_named_and_the_exit_code_is_1() {
    let dir = TempDir::new();
    for arguments in [&["conflicts"][..], &["conflicts", "--follow"]] {
        let mut command = arguments.to_vec();
        command.extend(["--admin", "http://127.0.0.1:9"]);
        let line = one_line(&run(dir.path(), &command), 1);
        assert!(line.contains("http://127.0.0.1:9/"), "{line}");
    }
}

#[test]
fn namespaces_come_from_the_configuration_file_and_wrong_ones_are_refused() {
    let dir = TempDir::new();
    let config = dir
        .write("rumour.toml", "[[namespaces]]\nname = 'sessions'\nprefix = 'session:'\nexpiry = 'longest'\n");
    let key = crate::support::keygen(&dir, "cluster.key");
    let spec = crate::support::Spec::new(&dir, "a", &key).with("--config", &config.display().to_string());
    let node = spec.serve();
    assert_eq!(node.client().say("SET session:1 v"), Reply::ok());
    drop(node);
    let config = dir.write("wrong.toml", "[[namespaces]]\nname = 'a'\nprefix = 'x'\nexpiry = 'longets'\n");
    let spec = crate::support::Spec::new(&dir, "b", &key).with("--config", &config.display().to_string());
    let line = spec.fails(2);
    assert!(line.contains("longets") && line.contains("longest"), "{line}");
}
