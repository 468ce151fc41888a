//! The trace of a run: one hash over everything that happened, and optionally a file for people to read.
//!
//! The hash covers what the nodes and the network did, in order and with the time: deliveries, timers,
//! merges. What the script did (cut a link, stop a node) goes to the file only, so that two runs with equal
//! hashes really behaved alike. Payloads are not covered: ring's randomness shapes ciphertext.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// A handle to the trace of one run. Cheap to clone.
#[derive(Clone)]
pub struct Trace {
    started: Instant,
    inner: Arc<Mutex<Inner>>,
}

/// What a finished trace amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSummary {
    /// Equal hashes mean equal runs.
    pub hash: u64,
    /// How many deliveries, timers and merges the hash covers.
    pub events: u64,
}

struct Inner {
    hash: Xxh3,
    events: u64,
    file: Option<BufWriter<File>>,
    file_error: Option<io::Error>,
}

/// First byte of each record, so that records of different kinds never hash alike.
#[derive(Clone, Copy)]
enum Kind {
    Delivery = 1,
    Timer = 2,
    Merge = 3,
}

impl Trace {
    /// Starts a trace at the present virtual time; `file` receives a line per event.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        let inner = Inner { hash: Xxh3::new(), events: 0, file, file_error: None };
        Ok(Self { started: Instant::now(), inner: Arc::new(Mutex::new(inner)) })
    }

    /// A datagram of `bytes` arrived in the inbox of `to`.
    pub fn delivery(&self, from: SocketAddr, to: SocketAddr, bytes: usize) {
        let mut inner = self.begin(Kind::Delivery);
        inner.address(from);
        inner.address(to);
        inner.number(bytes as u64);
        inner.line(self.started, format_args!("delivery {from} > {to} {bytes} B"));
    }

    /// A timer of `node` fired.
    pub fn timer(&self, node: &str, name: &str) {
        let mut inner = self.begin(Kind::Timer);
        inner.text(node.as_bytes());
        inner.text(name.as_bytes());
        inner.line(self.started, format_args!("timer {node} {name}"));
    }

    /// The state of `key` on `node` became `version`, by a write of its own, a merge or an expiry (`how`).
    pub fn merge(&self, node: &str, how: &str, key: &[u8], version: u64) {
        let mut inner = self.begin(Kind::Merge);
        inner.text(node.as_bytes());
        inner.text(how.as_bytes());
        inner.text(key);
        inner.number(version);
        inner.line(self.started, format_args!("{how} {node} {} {version:016x}", key.escape_ascii()));
    }

    /// A remark of the script, for the file only.
    pub fn note(&self, remark: fmt::Arguments<'_>) {
        self.inner.lock().line(self.started, format_args!("script {remark}"));
    }

    /// Virtual milliseconds since the trace began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The hash and the count up to now.
    pub fn summary(&self) -> TraceSummary {
        let inner = self.inner.lock();
        TraceSummary { hash: inner.hash.digest(), events: inner.events }
    }

    /// Writes out what the file has not received yet.
    ///
    /// # Errors
    /// The first failure to write to the file; the hash is sound all the same.
    pub fn flush(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.file_error.take() {
            return Err(error);
        }
        inner.file.as_mut().map_or(Ok(()), io::Write::flush)
    }

    fn begin(&self, kind: Kind) -> parking_lot::MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock();
        inner.events += 1;
        inner.hash.update(&[kind as u8]);
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        inner.number(nanos);
        inner
    }
}

impl Inner {
    fn number(&mut self, number: u64) {
        self.hash.update(&number.to_le_bytes());
    }

    /// Length first: two texts in a row must not hash like one cut elsewhere.
    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.hash.update(text);
    }

    fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.text(&ip.octets()),
            IpAddr::V6(ip) => self.text(&ip.octets()),
        }
        self.hash.update(&address.port().to_le_bytes());
    }

    fn line(&mut self, started: Instant, event: fmt::Arguments<'_>) {
        let Some(file) = &mut self.file else { return };
        let mut line = String::new();
        let elapsed = started.elapsed();
        // Writing to a string cannot fail.
        let _ = writeln!(line, "{:>7}.{:03} {event}", elapsed.as_secs(), elapsed.subsec_millis());
        if let Err(error) = file.write_all(line.as_bytes()) {
            self.file = None;
            self.file_error = Some(error);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.summary()).finish()
    }
}
