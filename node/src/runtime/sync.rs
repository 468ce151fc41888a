//! Running sync sessions: at intervals with a random peer, and at once when a peer returns.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rumour_crdt::ActorId;
use rumour_transport::{NodeId, Peer, codec};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::Runtime;
use crate::message::{SyncReply, SyncRequest, kind};
use crate::sync::{Report, Session, Step};

/// How long one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a whole session may take; what it merged until then stays.
const SESSION_TIMEOUT: Duration = Duration::from_secs(300);
/// Sessions begun by this node and under way at a time; others wait for their turn.
pub(super) const SESSIONS_LIMIT: usize = 4;

/// How closely a session looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Entries that replication is bringing anyway are left to it.
    Settled,
    /// Everything: replication may not know of the peer's gaps.
    Everything,
}

impl Runtime {
    /// Asks for a session with a peer soon. One too many is dropped: the next interval makes up for it.
    pub(super) fn kick_sync(&self, peer: &NodeId) {
        let _ = self.sync_kicks.try_send(peer.clone());
    }

    pub(super) async fn sync_loop(self: Arc<Self>, mut kicked: mpsc::Receiver<NodeId>) {
        let mut next = Instant::now() + self.jittered_interval();
        loop {
            tokio::select! {
                biased;
                peer = kicked.recv() => match peer {
                    Some(peer) => self.spawn_session(peer, Care::Everything),
                    None => return,
                },
                () = sleep_until(next) => {
                    next = Instant::now() + self.jittered_interval();
                    self.timer("sync");
                    self.spawn_due_sessions();
                }
            }
        }
    }

    /// With a random peer, and with those whose queues have overflowed.
    fn spawn_due_sessions(self: &Arc<Self>) {
        let peers: Vec<NodeId> = match self.transport() {
            Some(transport) => transport.peers().iter().map(|peer| peer.info().node.clone()).collect(),
            None => return,
        };
        if peers.is_empty() {
            return;
        }
        let random = self.rng.lock().random_range(0..peers.len());
        for (index, peer) in peers.into_iter().enumerate() {
            if self.engine.fanout.overflowed(&peer) {
                self.spawn_session(peer, Care::Everything);
            } else if index == random {
                self.spawn_session(peer, Care::Settled);
            }
        }
    }

    fn spawn_session(self: &Arc<Self>, peer: NodeId, care: Care) {
        let runtime = self.clone();
        self.spawn(async move {
            runtime.sync_with(&peer, care).await;
        });
    }

    fn jittered_interval(&self) -> Duration {
        self.tuning.sync_interval.mul_f64(self.rng.lock().random_range(0.75..1.25))
    }

    /// Runs one session with a peer when its turn comes; gives whether it ended well. Only one runs with a peer at a time.
    /// May be dropped midway.
    pub(super) async fn sync_with(&self, peer: &NodeId, care: Care) -> bool {
        if !self.is_met(peer) {
            return false;
        }
        let Some(_syncing) = Syncing::begin(self, peer) else { return false };
        let Ok(_turn) = self.sync_turns.acquire().await else { return false };
        let Some(link) = self.transport().and_then(|transport| transport.peer(peer)) else { return false };
        let ended_well = self.run_session(peer, &link, care).await;
        if ended_well {
            self.syncing.lock().last = Some(Instant::now());
        }
        ended_well
    }

    async fn run_session(&self, peer: &NodeId, link: &Peer, care: Care) -> bool {
        let counters = &self.engine.counters;
        // Keys that overflow from now on may come too late for this session.
        self.engine.fanout.make_up(peer);
        let ended = timeout(SESSION_TIMEOUT, self.session(link, care)).await;
        match ended.unwrap_or_else(|_| Err("the session took too long".to_owned())) {
            Ok(report) => {
                if !report.left_out {
                    self.engine.fanout.made_up(peer);
                }
                counters.sync_sessions.add(1);
                self.progress.notify_one();
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

    async fn session(&self, link: &Peer, care: Care) -> Result<Report, String> {
        let salt = self.rng.lock().random();
        let peer = (link.info().node.clone(), ActorId::new(link.info().incarnation));
        let mut session = Session::new(peer, salt, care == Care::Settled);
        let mut request: SyncRequest = session.start(&self.engine, Instant::now());
        loop {
            let body = codec::encode(&request).map_err(|error| error.to_string())?;
            let body =
                link.request(kind::SYNC, body, STEP_TIMEOUT).await.map_err(|error| error.to_string())?;
            let reply: SyncReply = codec::decode(&body).map_err(|error| error.to_string())?;
            match session.reply(&self.engine, reply, Instant::now())? {
                Step::Send(next) => request = next,
                Step::Done(report) => return Ok(report),
            }
        }
    }
}

/// Marks a session as begun for as long as it lives.
struct Syncing<'a> {
    runtime: &'a Runtime,
    peer: &'a NodeId,
}

impl<'a> Syncing<'a> {
    /// `None` while another session with the peer is under way.
    fn begin(runtime: &'a Runtime, peer: &'a NodeId) -> Option<Self> {
        let fresh = runtime.syncing.lock().peers.insert(peer.clone());
        // Made only now: dropping one takes the lock and the mark.
        fresh.then(|| Self { runtime, peer })
    }
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.runtime.syncing.lock().peers.remove(self.peer);
    }
}
