//! Running sync sessions: at intervals with a random peer, and at once when a peer returns.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rumour_transport::{NodeId, Peer, codec};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Runtime;
use crate::message::{SyncReply, SyncRequest, kind};
use crate::sync::{Report, Session, Step};

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole session may take; what it merged until then stays.
const SESSION_TIMEOUT: Duration = Duration::from_secs(300);
/// Sessions begun by this node and under way at a time.
const SESSIONS_LIMIT: usize = 4;

impl Runtime {
    /// Asks for a session with a peer soon. One too many is dropped: the next interval makes up for it.
    pub(super) fn kick_sync(&self, peer: &NodeId) {
        let _ = self.sync_kicks.try_send(peer.clone());
    }

    pub(super) async fn sync_loop(self: Arc<Self>, mut kicked: mpsc::Receiver<NodeId>) {
        let mut next = Instant::now() + self.jittered_interval();
        loop {
            let peer = tokio::select! {
                biased;
                peer = kicked.recv() => match peer {
                    Some(peer) => Some(peer),
                    None => return,
                },
                () = sleep_until(next) => {
                    next = Instant::now() + self.jittered_interval();
                    self.timer("sync");
                    self.engine.fanout.take_overflowed().or_else(|| self.random_peer())
                }
            };
            if let Some(peer) = peer {
                let runtime = self.clone();
                self.spawn(async move {
                    runtime.sync_with(&peer).await;
                });
            }
        }
    }

    fn jittered_interval(&self) -> Duration {
        self.tuning.sync_interval.mul_f64(self.rng.lock().random_range(0.75..1.25))
    }

    fn random_peer(&self) -> Option<NodeId> {
        let peers = self.transport()?.peers();
        if peers.is_empty() {
            return None;
        }
        let index = self.rng.lock().random_range(0..peers.len());
        Some(peers[index].info().node.clone())
    }

    /// Runs one session with a peer; gives whether it ended well.
    pub(super) async fn sync_with(&self, peer: &NodeId) -> bool {
        let Some(link) = self.transport().and_then(|transport| transport.peer(peer)) else { return false };
        {
            let mut syncing = self.syncing.lock();
            if syncing.peers.len() >= SESSIONS_LIMIT || !syncing.peers.insert(peer.clone()) {
                return false;
            }
        }
        let ended = timeout(SESSION_TIMEOUT, self.session(&link)).await;
        let mut syncing = self.syncing.lock();
        syncing.peers.remove(peer);
        let counters = &self.engine.counters;
        match ended.unwrap_or_else(|_| Err("the session took too long".to_owned())) {
            Ok(report) => {
                syncing.last = Some(Instant::now());
                counters.sync_sessions.add(1);
                tracing::debug!(%peer, ?report, "sync session ended");
                true
            }
            Err(error) => {
                counters.sync_failed.add(1);
                tracing::debug!(%peer, error, "sync session broke off");
                false
            }
        }
    }

    async fn session(&self, link: &Peer) -> Result<Report, String> {
        let salt = self.rng.lock().random();
        let mut session = Session::new(salt);
        let mut request: SyncRequest = session.start(&self.engine);
        loop {
            let body = codec::encode(&request).map_err(|error| error.to_string())?;
            let body =
                link.request(kind::SYNC, body, STEP_TIMEOUT).await.map_err(|error| error.to_string())?;
            let reply: SyncReply = codec::decode(&body).map_err(|error| error.to_string())?;
            match session.reply(&self.engine, reply)? {
                Step::Send(next) => request = next,
                Step::Done(report) => return Ok(report),
            }
        }
    }
}
