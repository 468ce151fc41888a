//! `CONFIG GET`: the settings that clients ask for, with the values that are true here.

use super::object::{COMPACT_BYTES_LIMIT, COMPACT_ELEMENTS_LIMIT, INTEGERS_LIMIT};
use crate::redis::connection::KEEPALIVE;
use crate::redis::error::CommandError;
use crate::redis::glob;
use crate::redis::parser::{Args, BULK_BYTES_LIMIT, REQUEST_BYTES_LIMIT};
use crate::redis::reply::Reply;
use crate::redis::session::Session;

/// The password is not among them: whoever may ask has given it.
fn settings(session: &Session) -> [(&'static str, String); 19] {
    let addr = session.door.local_addr;
    let memory = session.engine.memory();
    [
        ("appendonly", "no".into()),
        ("bind", addr.ip().to_string()),
        ("client-query-buffer-limit", REQUEST_BYTES_LIMIT.to_string()),
        ("cluster-enabled", "no".into()),
        ("databases", "1".into()),
        ("hash-max-listpack-entries", COMPACT_ELEMENTS_LIMIT.to_string()),
        ("hash-max-listpack-value", COMPACT_BYTES_LIMIT.to_string()),
        ("maxclients", session.door.max_clients.to_string()),
        ("maxmemory", memory.max_bytes.to_string()),
        ("maxmemory-policy", memory.policy.to_string()),
        ("notify-keyspace-events", String::new()),
        ("port", addr.port().to_string()),
        ("proto-max-bulk-len", BULK_BYTES_LIMIT.to_string()),
        ("replica-read-only", "no".into()),
        ("save", String::new()),
        ("set-max-intset-entries", INTEGERS_LIMIT.to_string()),
        ("slave-read-only", "no".into()),
        ("tcp-keepalive", KEEPALIVE.as_secs().to_string()),
        ("timeout", "0".into()),
    ]
}

pub(crate) fn get(session: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = |name: &str| args.from(2).any(|pattern| glob::matches(pattern, name.as_bytes(), true));
    let chosen: Vec<_> = settings(session).into_iter().filter(|(name, _)| asked(name)).collect();
    reply.map(chosen.len());
    for (name, value) in chosen {
        reply.bulk(name);
        reply.bulk(value);
    }
    Ok(())
}
