//! One `rumour run` as a child process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::redis::{Client, Contents, contents};
use super::{PATIENCE, TempDir, finish, free_ports, keygen, local, one_line, rumour, run, wait_for};

/// How a node is started. The same again after it was killed makes the next incarnation of it.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    dir: PathBuf,
    first_port: u16,
    args: Vec<String>,
}

impl Spec {
    /// A node without credentials and seeds.
    pub(crate) fn bare(dir: &TempDir, name: &str) -> Self {
        let first_port = free_ports(3);
        let spec =
            Self { name: name.to_owned(), dir: dir.path().to_owned(), first_port, args: vec!["run".into()] };
        let (peer, redis, admin) = (spec.peer(), spec.redis(), spec.admin());
        spec.with("--name", name)
            .with("--listen", &local(peer).to_string())
            .with("--redis", &local(redis).to_string())
            .with("--admin", &local(admin).to_string())
    }

    /// A node with this cluster key.
    pub(crate) fn new(dir: &TempDir, name: &str, key_file: &std::path::Path) -> Self {
        Self::bare(dir, name).with("--key-file", &key_file.display().to_string())
    }

    pub(crate) fn with(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn seed(self, port: u16) -> Self {
        self.with("--seed", &local(port).to_string())
    }

    pub(crate) fn peer(&self) -> u16 {
        self.first_port
    }

    pub(crate) fn redis(&self) -> u16 {
        self.first_port + 1
    }

    pub(crate) fn admin(&self) -> u16 {
        self.first_port + 2
    }

    /// Starts it and does not wait for anything.
    pub(crate) fn start(&self) -> Node {
        let log = self.dir.join(format!("{}-{}.log", self.name, self.first_port));
        let log_file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = self.command().stdout(Stdio::null()).stderr(log_file).spawn().expect("it starts");
        Node { spec: self.clone(), child, log, started: Instant::now() }
    }

    /// Starts it and waits until it serves.
    pub(crate) fn serve(&self) -> Node {
        let node = self.start();
        node.wait_ready(PATIENCE);
        node
    }

    /// Runs it to its end, which must come by itself; nothing but its last words on standard error.
    pub(crate) fn fails(&self, code: i32) -> String {
        let mut command = self.command();
        command.env("RUMOUR_LOG", "off");
        one_line(&finish(command, &self.args.join(" ")), code)
    }

    /// Runs it to its end, which must come by itself.
    pub(crate) fn run(&self) -> Output {
        finish(self.command(), &self.args.join(" "))
    }

    fn command(&self) -> Command {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        rumour(&self.dir, &args)
    }
}

/// A running node; killed when dropped, its log shown if the test has failed.
pub(crate) struct Node {
    pub(crate) spec: Spec,
    pub(crate) started: Instant,
    child: Child,
    log: PathBuf,
}

impl Node {
    /// What `rumour status --json` prints.
    pub(crate) fn try_status(&self) -> Result<Value, String> {
        let url = format!("http://{}", local(self.spec.admin()));
        let output = run(&self.spec.dir, &["status", "--json", "--admin", &url]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.try_status().expect("the node answers")
    }

    /// The members it lists, as `name state`, in the order of their names.
    pub(crate) fn members(&self) -> Result<Vec<String>, String> {
        let status = self.try_status()?;
        let members = status["members"].as_array().ok_or("no members")?;
        let text = |member: &Value, what: &str| member[what].as_str().unwrap_or("?").to_owned();
        Ok(members
            .iter()
            .map(|member| format!("{} {}", text(member, "node"), text(member, "state")))
            .collect())
    }

    /// The incarnation under which it lists the node `name`.
    #[track_caller]
    pub(crate) fn incarnation_of(&self, name: &str) -> String {
        let status = self.status();
        let member = status["members"].as_array().and_then(|all| all.iter().find(|one| one["node"] == name));
        let incarnation = member.and_then(|member| member["incarnation"].as_str());
        incarnation.unwrap_or_else(|| panic!("{name} is not in {status}")).to_owned()
    }

    /// How often it has refused something for this reason.
    #[track_caller]
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let status = self.status();
        status["refused"][reason].as_u64().unwrap_or_else(|| panic!("no {reason} in {status}"))
    }

    /// Waits until it lists exactly these members, as `name state`.
    #[track_caller]
    pub(crate) fn wait_members(&self, expected: &[&str], within: Duration) {
        wait_for(&format!("{} lists {expected:?}", self.spec.name), within, || {
            let members = self.members()?;
            if members == expected { Ok(()) } else { Err(format!("{members:?}")) }
        });
    }

    /// Waits until it serves.
    #[track_caller]
    pub(crate) fn wait_ready(&self, within: Duration) {
        wait_for(&format!("{} serves", self.spec.name), within, || {
            let status = self.try_status()?;
            if status["state"] == "healthy" { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Waits until a majority has taken this start of it in.
    #[track_caller]
    pub(crate) fn wait_member(&self, within: Duration) {
        wait_for("the node is a member", within, || match &self.try_status()?["configuration"] {
            known if known["is_member"] == true => Ok(()),
            other => Err(other.to_string()),
        });
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(local(self.spec.redis()))
    }

    /// What it holds. An error while that is changing.
    #[track_caller]
    pub(crate) fn contents(&self) -> Result<Contents, String> {
        contents(local(self.spec.redis()))
    }

    /// Waits until it holds exactly this: every key, every value, and no other.
    #[track_caller]
    pub(crate) fn wait_contents(&self, expected: &Contents, within: Duration) {
        wait_for(&format!("{} holds {} keys", self.spec.name, expected.len()), within, || {
            let held = self.contents()?;
            let right = |(key, value): &(&Vec<u8>, &Vec<u8>)| expected.get(*key) == Some(*value);
            let right = held.iter().filter(right).count();
            match held.len() == expected.len() && right == held.len() {
                true => Ok(()),
                false => Err(format!("{} keys, {right} of them as expected", held.len())),
            }
        });
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What it has written to standard error, in all its incarnations.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    /// Sends a signal by name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
        if name == "STOP" {
            // All of its threads have stopped.
            wait_for("it stands still", PATIENCE, || {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
                let stat = stat.map_err(|error| error.to_string())?;
                let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
                if state == Some('T') { Ok(()) } else { Err(stat) }
            });
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn wait_end(&mut self, within: Duration) -> ExitStatus {
        wait_for(&format!("{} ends", self.spec.name), within, || {
            self.child.try_wait().expect("it can be asked").ok_or("it runs".to_owned())
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- the last lines of {}:\n{shown}", self.log.display());
        }
    }
}

/// A cluster of serving nodes named `a`, `b` and so on, the first being everybody's seed; all list all as healthy.
pub(crate) fn cluster(dir: &TempDir, nodes: usize) -> Vec<Node> {
    let key = keygen(dir, "cluster.key");
    let mut running: Vec<Node> = Vec::new();
    for name in ["a", "b", "c", "d"].iter().take(nodes) {
        let spec = Spec::new(dir, name, &key);
        let spec = match running.first() {
            Some(first) => spec.seed(first.spec.peer()),
            None => spec,
        };
        running.push(spec.start());
    }
    let healthy: Vec<String> = running.iter().map(|node| format!("{} healthy", node.spec.name)).collect();
    let healthy: Vec<&str> = healthy.iter().map(String::as_str).collect();
    for node in &running {
        node.wait_members(&healthy, PATIENCE);
    }
    running
}
