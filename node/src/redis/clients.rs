//! Who is connected, for `CLIENT LIST` and `CLIENT INFO`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::reply::Protocol;

/// The open connections by number.
#[derive(Debug, Default)]
pub(super) struct Clients {
    last_id: AtomicU64,
    open: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Clients {
    /// Adds a connection under a number that was never used before.
    pub(super) fn add(&self, peer: SocketAddr, local: SocketAddr, now: Instant) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client {
            id,
            peer,
            local,
            since: now,
            details: Mutex::new(Details {
                name: String::new(),
                library: String::new(),
                library_version: String::new(),
                no_evict: false,
                no_touch: false,
                protocol: Protocol::default(),
                queued: None,
                last_command: "NULL",
                last_at: now,
            }),
        });
        self.open.lock().insert(id, Arc::clone(&client));
        client
    }

    pub(super) fn remove(&self, id: u64) {
        self.open.lock().remove(&id);
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.open.lock().get(&id).cloned()
    }

    /// All of them, the oldest first.
    pub(super) fn list(&self) -> Vec<Arc<Client>> {
        self.open.lock().values().cloned().collect()
    }
}

/// One connection as others may see it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    peer: SocketAddr,
    local: SocketAddr,
    since: Instant,
    details: Mutex<Details>,
}

/// What a client said about itself and did last.
#[derive(Debug)]
pub(super) struct Details {
    /// `CLIENT SETNAME`; empty: none.
    pub(super) name: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub(super) library: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub(super) library_version: String,
    pub(super) no_evict: bool,
    pub(super) no_touch: bool,
    pub(super) protocol: Protocol,
    /// Commands in its open transaction.
    pub(super) queued: Option<usize>,
    pub(super) last_command: &'static str,
    pub(super) last_at: Instant,
}

impl Client {
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Details) -> R) -> R {
        change(&mut self.details.lock())
    }

    /// Its number as replies carry it.
    pub(super) fn number(&self) -> i64 {
        i64::try_from(self.id).unwrap_or(i64::MAX)
    }

    /// Appends the line that `CLIENT LIST` shows. Fields of features that this server lacks have the value
    /// that Redis shows when they are not used.
    pub(super) fn describe(&self, now: Instant, text: &mut String) {
        let details = self.details.lock();
        let age = now.saturating_duration_since(self.since).as_secs();
        let idle = now.saturating_duration_since(details.last_at).as_secs();
        let flags = [(details.queued.is_some(), 'x'), (details.no_evict, 'e'), (details.no_touch, 'T')];
        let flags: String = flags.into_iter().filter_map(|(holds, flag)| holds.then_some(flag)).collect();
        let flags = if flags.is_empty() { "N" } else { &flags };
        let queued = details.queued.map_or_else(|| "-1".to_owned(), |queued| queued.to_string());
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "id={} addr={} laddr={} name={} age={age} idle={idle} flags={flags} db=0 sub=0 psub=0 ssub=0 multi={queued} \
             events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            details.name,
            details.last_command,
            details.protocol.number(),
            details.library,
            details.library_version,
        );
    }
}
