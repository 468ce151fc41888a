//! The admin door, as a load balancer and Prometheus see it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use serde_json::Value;

use crate::support::{Node, PATIENCE, Reply, Spec, TempDir, cluster, keygen, local, wait_for, write_keys};

/// Status code and body of a GET.
fn get(node: &Node, path: &str) -> Result<(u16, String), String> {
    let why = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(local(node.spec.admin())).map_err(why)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(why)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(why)?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(why)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no head")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status code")?;
    Ok((code, body.to_owned()))
}

#[test]
fn a_node_is_healthy_at_once_and_ready_once_it_serves() {
    let dir = TempDir::new();
    let key = keygen(&dir, "cluster.key");
    let silent = UdpSocket::bind(local(0)).expect("a socket");
    let seed = silent.local_addr().expect("its port").port();
    let node = Spec::new(&dir, "a", &key).seed(seed).start();
    let healthy = wait_for("the admin door is open", PATIENCE, || get(&node, "/healthz"));
    assert_eq!(healthy.0, 200);
    let (code, body) = get(&node, "/readyz").expect("an answer");
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("joining"), "{body}");
    let ready = |node: &Node, expected: u16| {
        wait_for("the node is ready or not", PATIENCE, || match get(node, "/readyz")? {
            (code, body) if code == expected && !body.contains("joining") => Ok(body),
            other => Err(format!("{other:?}")),
        })
    };
    let body = ready(&node, 503);
    assert!(body.contains("knows of no cluster") && body.contains("--bootstrap-expect"), "{body}");
    assert_eq!(node.client().say("SET k v"), Reply::ok(), "it serves all the same");
    ready(&Spec::new(&dir, "b", &key).start(), 200);
    assert_eq!(get(&node, "/api/v2").expect("an answer").0, 404);
}

#[test]
fn metrics_and_members_say_what_the_status_says() {
    let dir = TempDir::new();
    let nodes = cluster(&dir, 2);
    // The clocks are compared all the while, and may read otherwise a moment later.
    wait_for("both say the same", PATIENCE, || {
        let (code, members) = get(&nodes[0], "/api/v1/members")?;
        let members: Value = serde_json::from_str(&members).expect("JSON");
        let status = nodes[0].status();
        let same = (code, &members) == (200, &status["members"]);
        if same { Ok(()) } else { Err(format!("{code}: {members} and {status}")) }
    });
    write_keys(local(nodes[0].spec.redis()), 0..100, "x");
    let (code, text) = get(&nodes[0], "/metrics").expect("an answer");
    assert_eq!(code, 200);
    assert!(text.lines().any(|line| line == "rumour_keys 100"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("# TYPE rumour_keys ")), "{text}");
}
