//! `INFO`: facts and statistics in sections. What cannot be told truly is left out.

use std::fmt::{Display, Write as _};

use crate::redis::REDIS_VERSION;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;
use crate::redis::stats::RedisStats;
use crate::status::Status;

/// The text of a reply while it grows: sections of `field:value` lines.
struct Text(String);

impl Text {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0 += "\r\n";
        }
        // Writing into a String cannot fail.
        let _ = write!(self.0, "# {title}\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

type Section = fn(&Session, &Status, &mut Text);

const SECTIONS: [(&str, Section); 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
    ("Rumour", rumour),
];

pub(crate) fn info(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let everything = ["default", "all", "everything"];
    let asked = |title: &str| {
        let names = |wanted: &[u8]| {
            wanted.eq_ignore_ascii_case(title.as_bytes())
                || everything.iter().any(|name| wanted.eq_ignore_ascii_case(name.as_bytes()))
        };
        args.len() == 1 || args.from(1).any(names)
    };
    let status = session.engine.status();
    let mut text = Text(String::new());
    for (title, fill) in SECTIONS {
        if asked(title) {
            text.section(title);
            fill(session, &status, &mut text);
        }
    }
    reply.verbatim(&text.0);
    Ok(())
}

fn server(session: &Session, status: &Status, text: &mut Text) {
    let uptime_s = session.door.opened.elapsed().as_secs();
    text.field("redis_version", REDIS_VERSION);
    text.field("rumour_version", &status.version);
    text.field("redis_mode", "standalone");
    text.field("os", std::env::consts::OS);
    text.field("arch_bits", usize::BITS);
    text.field("process_id", std::process::id());
    text.field("tcp_port", session.door.local_addr.port());
    text.field("server_time_usec", session.engine.now_ms().saturating_mul(1000));
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / 86_400);
}

fn clients(session: &Session, _: &Status, text: &mut Text) {
    text.field("connected_clients", RedisStats::read(&session.door.stats.connections_open));
    text.field("maxclients", session.door.max_clients);
    text.field("blocked_clients", 0);
}

fn memory(_: &Session, status: &Status, text: &mut Text) {
    text.field("used_memory", status.memory.used_bytes);
    if let Some(bytes) = resident_bytes() {
        text.field("used_memory_rss", bytes);
    }
    text.field("maxmemory", status.memory.max_bytes);
    text.field("maxmemory_policy", status.memory.policy);
}

/// Memory of this process that is in use, where the operating system tells it as Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn persistence(session: &Session, _: &Status, text: &mut Text) {
    text.field("loading", u8::from(!session.engine.is_serving()));
    text.field("aof_enabled", 0);
}

fn stats(session: &Session, status: &Status, text: &mut Text) {
    let stats = &session.door.stats;
    text.field("total_connections_received", RedisStats::read(&stats.connections));
    text.field("total_commands_processed", RedisStats::read(&stats.commands));
    text.field("rejected_connections", RedisStats::read(&stats.rejected_connections));
    text.field("evicted_keys", status.memory.evicted);
    text.field("protocol_errors", RedisStats::read(&stats.protocol_errors));
    text.field("acl_access_denied_auth", RedisStats::read(&stats.wrong_passwords));
}

fn replication(_: &Session, _: &Status, text: &mut Text) {
    // Every node takes writes; that is what a client asks this for.
    text.field("role", "master");
    text.field("connected_slaves", 0);
}

fn cluster(_: &Session, _: &Status, text: &mut Text) {
    text.field("cluster_enabled", 0);
}

fn keyspace(session: &Session, _: &Status, text: &mut Text) {
    let keys = session.engine.len();
    if keys > 0 {
        text.field("db0", format_args!("keys={keys}"));
    }
}

fn rumour(_: &Session, status: &Status, text: &mut Text) {
    text.field("node", &status.node);
    text.field("cluster", &status.cluster);
    text.field("members", status.members.len());
    text.field("tombstones", status.tombstones);
    text.field("stubs", status.memory.stubs);
    text.field("conflicts", status.conflicts);
    text.field("replication_queued", status.replication.queued);
    text.field("sync_sessions", status.sync.sessions);
}
