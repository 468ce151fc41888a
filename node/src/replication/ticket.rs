//! Who has what a client waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::consistency::Consistency;
use crate::council::Seat;

/// Changes of which somebody waits to hear that peers have taken them in.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    state: Mutex<State>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    changes: usize,
    level: Consistency,
    /// Keys of which others hold something else than this node.
    doubted: BTreeSet<Bytes>,
    /// How many of them each incarnation has acknowledged, and where it stood with the last.
    acknowledged: BTreeMap<u64, (usize, Seat)>,
}

impl Ticket {
    /// One whose news goes where that of others goes as well.
    pub(crate) fn telling(news: &Arc<Notify>) -> Self {
        Self { news: news.clone(), ..Self::default() }
    }

    /// So many owners are to take in what changes; of several demands the highest counts.
    pub(crate) fn demand(&self, level: Consistency) {
        let mut state = self.state.lock();
        state.level = state.level.max(level);
    }

    /// How many owners were demanded.
    pub(crate) fn level(&self) -> Consistency {
        self.state.lock().level
    }

    /// Of the keys that come next these are held differently elsewhere.
    pub(crate) fn doubt(&self, keys: BTreeSet<Bytes>) {
        self.state.lock().doubted = keys;
    }

    /// Whether a key is held differently elsewhere. It is sent there then: the next time it is not.
    pub(crate) fn take_doubt(&self, key: &[u8]) -> bool {
        self.state.lock().doubted.remove(key)
    }

    /// One more change is on its way.
    pub(crate) fn add(&self) {
        self.state.lock().changes += 1;
    }

    /// An incarnation has taken one of the changes in.
    pub(super) fn acknowledge(&self, incarnation: u64, seat: Seat) {
        let mut state = self.state.lock();
        let acknowledged = state.acknowledged.entry(incarnation).or_default();
        *acknowledged = (acknowledged.0 + 1, seat);
        drop(state);
        self.news.notify_one();
    }

    /// Whether there is anything to wait for.
    pub(crate) fn has_changes(&self) -> bool {
        self.state.lock().changes > 0
    }

    /// The incarnations that have taken all the changes in, with where each stood then.
    pub(crate) fn holders(&self) -> BTreeMap<u64, Seat> {
        let state = self.state.lock();
        let acknowledged = state.acknowledged.iter();
        let all = acknowledged.filter(|(_, (acknowledged, _))| *acknowledged >= state.changes);
        all.map(|(incarnation, (_, seat))| (*incarnation, *seat)).collect()
    }

    /// Returns when another incarnation may have taken something in.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}
