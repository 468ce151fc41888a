//! What all tests of processes need: a directory, free ports, a node that dies with its test, and patience.

mod node;
mod redis;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use node::{Node, Spec, cluster};
pub(crate) use redis::{Client, Contents, Reply, write_keys, written};

/// How long anything may take that has no limit of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes away with the test, unless the test failed.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("processes-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in the directory with this text.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the directory takes files");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The first of `count` ports in a row that nobody uses, neither over UDP nor over TCP.
///
/// They lie below those that the system gives out by itself: a port that was bound as 0 and released may be
/// somebody's outgoing connection a moment later.
pub(crate) fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 12_000;
    const SPAN: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Different runs begin at different places.
    let start = u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 20;
    for _ in 0..1_000 {
        let offset = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + start.wrapping_add(offset) % SPAN;
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(local(port)).is_ok() && UdpSocket::bind(local(port)).is_ok()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The command, with nothing of the surrounding environment and nothing to read a configuration from by accident.
pub(crate) fn rumour(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rumour"));
    command.args(args).current_dir(dir).env_clear().stdin(Stdio::null());
    command
}

/// Runs the command to its end, which must come soon.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    finish(rumour(dir, args), &args.join(" "))
}

/// Runs a command to its end, which must come soon.
pub(crate) fn finish(mut command: Command, what: &str) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let deadline = Instant::now() + PATIENCE;
    // What a command that ends by itself prints fits into its pipes.
    while child.try_wait().expect("it can be waited for").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let output = child.wait_with_output().expect("its output");
            panic!("`{what}` did not end in {PATIENCE:?}: {output:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

/// A fresh cluster key in a file of the directory, made by the command.
pub(crate) fn keygen(dir: &TempDir, name: &str) -> PathBuf {
    let output = run(dir.path(), &["keygen", "--out", name]);
    assert!(output.status.success(), "{output:?}");
    dir.path().join(name)
}

/// Checks the exit code and that standard error has one line, which it returns.
#[track_caller]
pub(crate) fn one_line(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Asks again and again until there is an answer; what stood in its way last is in the panic.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        // The limit is for the state asked about, so an answer that began in time counts.
        let late = began.elapsed() > within;
        match ask() {
            Ok(answer) => return answer,
            Err(why) if late => panic!("not within {within:?}: {what}; last: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
