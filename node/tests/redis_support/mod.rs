//! A Redis door on a real node, a client that shows raw replies, and a real Redis to compare with.

#![allow(dead_code, reason = "every test file uses a part")]
#![allow(clippy::disallowed_methods, reason = "real time, real processes: nothing is simulated here")]

pub(crate) mod beside;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rumour::redis::{RedisConfig, RedisDoor, RedisStats};
use rumour::{ClusterKey, Node, NodeBuilder};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long a reply may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node of its own cluster with an open Redis door.
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Arc<RedisStats>,
    pub(crate) node: Node,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    pub(crate) runtime: Runtime,
}

impl Door {
    pub(crate) fn open() -> Self {
        Self::open_with(|_| {})
    }

    pub(crate) fn open_with(change: impl FnOnce(&mut RedisConfig)) -> Self {
        Self::open_on(|node| node, change)
    }

    /// On a node with other settings.
    pub(crate) fn open_on(
        settings: impl FnOnce(NodeBuilder) -> NodeBuilder,
        change: impl FnOnce(&mut RedisConfig),
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut config = RedisConfig { addr: (Ipv4Addr::LOCALHOST, 0).into(), ..RedisConfig::default() };
        change(&mut config);
        let (node, door) = runtime.block_on(async {
            let key = ClusterKey::generate().unwrap();
            let node = settings(Node::builder().name("door").cluster_key(key).listen("127.0.0.1:0"));
            let node = node.start().await.unwrap();
            (node, RedisDoor::bind(config).await.unwrap())
        });
        let (addr, stop, stats) =
            (door.local_addr(), CancellationToken::new(), Arc::new(RedisStats::default()));
        let task = runtime.spawn(door.run(node.engine(), stop.clone(), Arc::clone(&stats)));
        Self { addr, stats, node, stop, task: Some(task), runtime }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Closes the door and waits until it is closed.
    pub(crate) fn close(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let ended = async { tokio::time::timeout(PATIENCE, task).await };
            self.runtime.block_on(ended).expect("the door did not close").unwrap();
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A blocking connection that shows replies as they were sent.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::with_capacity(64 * 1024, stream) }
    }

    /// Sends words parted by spaces and returns the reply.
    pub(crate) fn say(&mut self, words: &str) -> Reply {
        self.call(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Reply {
        self.send(&encode(args));
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        Reply::read(&mut self.stream)
    }

    /// Whether the other side has closed and nothing is left to read. Waits for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.read(&mut [0]).unwrap() == 0
    }
}

/// A reply of either protocol, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A line: its first byte says of which type.
    Line(String),
    /// A string with its length, of type `$` or `=`.
    Text(char, String),
    /// Several replies, of type `*`, `~` or `%`; a map's keys and values one after the other.
    Many(char, Vec<Reply>),
}

impl Reply {
    /// Reads a reply. Panics when it is malformed or does not come.
    fn read(stream: &mut impl BufRead) -> Self {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a reply within the time");
        let line = line.strip_suffix("\r\n").expect("a whole line").to_owned();
        let kind = line.chars().next().expect("a type");
        let number = || line[1..].parse::<i64>().expect("a number");
        match kind {
            '+' | '-' | '_' | ':' | ',' => Self::Line(line),
            '$' | '*' if number() == -1 => Self::Line(line),
            '$' | '=' => {
                let mut text = vec![0; usize::try_from(number()).unwrap() + 2];
                stream.read_exact(&mut text).expect("a whole string");
                let text = text.strip_suffix(b"\r\n").expect("a line end");
                Self::Text(kind, text.escape_ascii().to_string())
            }
            '*' | '~' | '%' => {
                let count = number() * if kind == '%' { 2 } else { 1 };
                Self::Many(kind, (0..count).map(|_| Self::read(stream)).collect())
            }
            _ => panic!("no reply: {line}"),
        }
    }

    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Line(line) => line.strip_prefix(':')?.parse().ok(),
            _ => None,
        }
    }

    /// The string. Bytes that are not printable are escaped.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(_, text) => text,
            other => panic!("no string: {other:?}"),
        }
    }

    /// What an array, a set or a map contains.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::Many(_, items) => items,
            other => panic!("no array: {other:?}"),
        }
    }
}

/// A request as an array of bulk strings.
pub(crate) fn encode(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Sends bytes on a connection of their own, says that no more come, and returns all that is answered.
pub(crate) fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(addr);
    client.send(bytes);
    // The other side may have closed already.
    let _ = client.stream.get_ref().shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = client.stream.read_to_end(&mut answer);
    answer
}

/// A `redis-server` with one database and nothing on disk.
pub(crate) struct RealRedis {
    pub(crate) addr: SocketAddr,
    process: Child,
}

impl RealRedis {
    /// Fails the test where Redis is not installed: what is not compared is not tested.
    pub(crate) fn start(options: &[&str]) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--databases", "1"])
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed to compare with it");
        let redis = Self { addr: (Ipv4Addr::LOCALHOST, port).into(), process };
        for _ in 0..200 {
            if TcpStream::connect(redis.addr).is_ok() {
                return redis;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server did not open port {port}");
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something holds that another task brings about.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within ten seconds: {what}");
}

/// Memory of this process, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
