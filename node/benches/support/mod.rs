//! Servers as processes of their own, and a client that pipelines.

#![allow(dead_code, reason = "every bench uses a part")]
#![allow(clippy::disallowed_methods, reason = "real time, real processes: nothing is simulated here")]

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Requests that are on their way at once while a server is filled.
const PIPELINE: usize = 1_000;

/// A server that is killed when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    process: Child,
    dir: Option<PathBuf>,
}

impl Server {
    /// `rumour run`: one node, of the build that the bench belongs to.
    pub(crate) fn rumour(args: &[&str]) -> Result<Self> {
        let binary = env!("CARGO_BIN_EXE_rumour");
        let dir = std::env::temp_dir().join(format!("rumour-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let key = dir.join("cluster.key");
        let made = Command::new(binary).args(["keygen", "--out"]).arg(&key).output()?;
        ensure!(made.status.success(), "keygen: {}", String::from_utf8_lossy(&made.stderr));
        let addr = free_tcp()?;
        let peers = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(binary);
        command.args(["run", "--name", "bench", "--admin", "off", "--key-file"]).arg(&key);
        command.args(["--listen", &peers.to_string(), "--redis", &addr.to_string()]).args(args);
        command.env("RUMOUR_LOG", "warn").current_dir(&dir);
        Self::start("rumour", addr, command, Some(dir))
    }

    /// `redis-server` with nothing on disk.
    pub(crate) fn redis() -> Result<Self> {
        let addr = free_tcp()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &addr.port().to_string(), "--bind", "127.0.0.1", "--databases", "1"]);
        command.args(["--save", "", "--appendonly", "no"]);
        Self::start("redis-server", addr, command, None)
    }

    fn start(
        name: &'static str,
        addr: SocketAddr,
        mut command: Command,
        dir: Option<PathBuf>,
    ) -> Result<Self> {
        let process =
            command.stdout(Stdio::null()).spawn().with_context(|| format!("{name} does not start"))?;
        let server = Self { name, addr, process, dir };
        let started = Instant::now();
        while server.client().and_then(|mut client| client.call(&[b"PING"])).ok().as_deref() != Some("+PONG")
        {
            ensure!(started.elapsed() < START_LIMIT, "{name} does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Client::connect(self.addr)
    }

    /// Memory of the process that is in use, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn free_tcp() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A blocking connection to the Redis door.
pub(crate) struct Client {
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(Self { output: BufWriter::new(stream.try_clone()?), input: BufReader::new(stream) })
    }

    /// One request and the first line of its reply; a string follows and is dropped.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Result<String> {
        self.send(args)?;
        self.output.flush()?;
        self.reply()
    }

    /// Sends requests, many on their way at a time. An error among the replies ends it.
    pub(crate) fn pipeline<const ARGS: usize>(
        &mut self,
        requests: impl IntoIterator<Item = [Vec<u8>; ARGS]>,
    ) -> Result<()> {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let mut sent = 0;
            for request in requests.by_ref().take(PIPELINE) {
                self.send(&request.each_ref().map(Vec::as_slice))?;
                sent += 1;
            }
            self.output.flush()?;
            for _ in 0..sent {
                let reply = self.reply()?;
                ensure!(!reply.starts_with('-'), "{reply}");
            }
        }
        Ok(())
    }

    fn send(&mut self, args: &[&[u8]]) -> Result<()> {
        write!(self.output, "*{}\r\n", args.len())?;
        for arg in args {
            write!(self.output, "${}\r\n", arg.len())?;
            self.output.write_all(arg)?;
            self.output.write_all(b"\r\n")?;
        }
        Ok(())
    }

    fn reply(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            bail!("the server has closed the connection");
        }
        let line = line.trim_end().to_owned();
        if let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
            self.input.read_exact(&mut vec![0; length + 2])?;
        }
        Ok(line)
    }
}

/// Cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
