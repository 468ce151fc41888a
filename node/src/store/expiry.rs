//! Finding values whose expiry is due without anybody reading them, a little at a time.

use super::shard::Place;
use super::{SHARDS, Store};

/// How far the search has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExpiryCursor {
    shard: usize,
    place: Place,
}

impl Store {
    /// Lets due expiries take effect, looking at some `looks` records of one shard under its lock. Every owner must have seen all
    /// up to `agreed_ms`. Returns how many were looked at, fewer where the shard ended; the next call goes on from there, round and
    /// round.
    pub(crate) fn expire_some(
        &self,
        cursor: &mut ExpiryCursor,
        looks: usize,
        now_ms: u64,
        agreed_ms: u64,
    ) -> usize {
        let mut shard = self.lock(cursor.shard);
        let (next, looked) =
            shard.expire_from(&self.digest_key, cursor.place, looks, (now_ms, agreed_ms), |key, entry| {
                self.tell_expired(key, entry);
            });
        *cursor = match next {
            Some(place) => ExpiryCursor { place, ..*cursor },
            None => ExpiryCursor { shard: (cursor.shard + 1) % SHARDS, place: Place::default() },
        };
        drop(shard);
        self.keep_within_limit();
        looked
    }
}

impl ExpiryCursor {
    /// Whether the search is at its beginning: a round is over.
    pub(crate) fn is_at_start(&self) -> bool {
        *self == Self::default()
    }
}
