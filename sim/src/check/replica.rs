//! One incarnation's book: what it must hold, by the changes that it told of.

use std::collections::BTreeMap;

use bytes::Bytes;
use crdts::CvRDT as _;
use rumour::Removal;
use rumour_crdt::{ActorId, Body, Entry, Stamp};

use super::{Broken, Checked, Face, require, show};

/// What one incarnation of a node has seen. Decides every merge once more and never lets a key go back.
#[derive(Debug)]
pub(crate) struct Replica {
    entries: BTreeMap<Bytes, Entry>,
    flushed: Stamp,
    /// This node's own latest writes of keys when they were evicted.
    evicted: BTreeMap<Bytes, Stamp>,
    /// What each key had come to that was removed here with the knowledge of all.
    removed: BTreeMap<Bytes, (Stamp, Stamp)>,
    actor: Option<ActorId>,
    expired: u64,
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            flushed: Stamp::ZERO,
            evicted: BTreeMap::new(),
            removed: BTreeMap::new(),
            actor: None,
            expired: 0,
        }
    }

    /// Every key it must hold an entry of, tombstones included.
    pub(crate) fn entries(&self) -> &BTreeMap<Bytes, Entry> {
        &self.entries
    }

    /// Whose writes it told of; `None` before the first.
    pub(crate) fn actor(&self) -> Option<ActorId> {
        self.actor
    }

    /// Expiries that took effect here.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    pub(crate) fn flushed(&self) -> Stamp {
        self.flushed
    }

    /// The highest stamp of all that it holds.
    pub(crate) fn highest_stamp(&self) -> Stamp {
        self.entries.values().map(Entry::newest).max().unwrap_or(Stamp::ZERO).max(self.flushed)
    }

    /// What a client must be shown.
    pub(crate) fn visible(&self, key: &[u8], now_ms: u64) -> Option<&Bytes> {
        Face::at(self.entries.get(key)?, now_ms).visible()
    }

    /// A client's write took effect.
    pub(crate) fn mint(&mut self, key: &[u8], before: Option<&Entry>, after: &Entry, now_ms: u64) -> Checked {
        self.check_before(key, before, now_ms)?;
        let newest = after.newest();
        let actor = *self.actor.get_or_insert(newest.actor);
        require(newest.actor == actor, "an incarnation mints under one actor", || {
            format!("{newest} after writes of {actor}")
        })?;
        self.store(key, after)
    }

    /// An entry from elsewhere was merged.
    pub(crate) fn merge(
        &mut self,
        key: &[u8],
        before: Option<&Entry>,
        incoming: &Entry,
        after: &Entry,
        now_ms: u64,
    ) -> Checked {
        self.check_before(key, before, now_ms)?;
        if let Some(before) = before
            && let Err(broken) = before.validate_merge(incoming)
        {
            return Err(Broken {
                rule: "entries that meet agree",
                detail: format!("{}: {broken}", show(key)),
            });
        }
        let expected = before.map_or(Face::of(incoming), |before| higher(before, incoming));
        require(Face::of(after) == expected, "a merge keeps the higher state", || {
            format!("{}: {before:?} and {incoming:?} made {after:?}", show(key))
        })?;
        for part in before.into_iter().chain([incoming]) {
            let mut again = after.clone();
            let _ = Entry::merge(&mut again, part);
            require(again.version() == after.version(), "a merge loses nothing", || {
                format!("{}: {after:?} lacks something of {part:?}", show(key))
            })?;
        }
        self.store(key, after)
    }

    /// An expiry took effect.
    pub(crate) fn expire(&mut self, key: &[u8], after: &Entry, now_ms: u64) -> Checked {
        self.expired += 1;
        let known = self.entries.get(key);
        let was_there = known.is_some_and(|known| *known.body() != Body::Expired);
        let lapses = known.map(|known| Face::at(known, now_ms)) == Some(Face::of(after));
        require(
            was_there && lapses && *after.body() == Body::Expired,
            "nothing expires early or twice",
            || format!("{} at {now_ms}: {known:?} became {after:?}", show(key)),
        )?;
        self.store(key, after)
    }

    /// What a key held was taken out of memory: from now on the key shows nothing, and whatever comes next is as good as new.
    pub(crate) fn evict(&mut self, key: &[u8], entry: &Entry, now_ms: u64) -> Checked {
        self.check_before(key, Some(entry), now_ms)?;
        require(entry.is_visible(), "only what shows is evicted", || format!("{} was {entry:?}", show(key)))?;
        self.entries.remove(key);
        if Some(entry.newest().actor) == self.actor {
            self.evicted.insert(Bytes::copy_from_slice(key), entry.newest());
        }
        Ok(())
    }

    /// A key that was evicted is whole again, says the node: is there what it wrote itself and all peers had acknowledged?
    pub(crate) fn check_whole(&self, key: &[u8]) -> Checked {
        let (Some(written), Some(held)) = (self.evicted.get(key), self.entries.get(key)) else {
            return Ok(());
        };
        require(held.newest() >= *written, "what comes back after eviction is whole", || {
            format!("{} is {held:?} and had been written under {written}", show(key))
        })
    }

    /// A flush took effect.
    pub(crate) fn flush(&mut self, watermark: Stamp) -> Checked {
        require(watermark > self.flushed, "a flush never goes back", || {
            format!("{watermark} after {}", self.flushed)
        })?;
        self.flushed = watermark;
        self.entries.retain(|_, entry| entry.stamp() >= watermark);
        self.evicted.retain(|_, written| *written >= watermark);
        Ok(())
    }

    /// A record was removed.
    pub(crate) fn remove(&mut self, key: &[u8], entry: &Entry, why: Removal) -> Checked {
        let known = self.entries.remove(key);
        self.evicted.remove(key);
        let same = known.as_ref().map(Face::of) == Some(Face::of(entry));
        // After the others, what this node cannot prove to have seen may come back: better that than to lose a write.
        if why == Removal::Collected {
            self.removed.insert(Bytes::copy_from_slice(key), Face::of(entry).rank());
        }
        require(same, "nothing changes unseen", || {
            format!("{} was {known:?} and was removed as {entry:?}", show(key))
        })
    }

    /// What the node starts from must be what it was last seen to hold; an expiry may have taken effect since.
    fn check_before(&self, key: &[u8], before: Option<&Entry>, now_ms: u64) -> Checked {
        let known = self.entries.get(key);
        let same =
            known.map(|known| Face::at(known, now_ms)) == before.map(|before| Face::at(before, now_ms));
        require(same, "nothing changes unseen", || format!("{} was {known:?} and is {before:?}", show(key)))
    }

    fn store(&mut self, key: &[u8], after: &Entry) -> Checked {
        require(after.stamp() >= self.flushed, "what was flushed stays away", || {
            format!("{} came back with {}, flushed at {}", show(key), after.stamp(), self.flushed)
        })?;
        if let Some(known) = self.entries.get(key) {
            let (was, is) = (Face::of(known), Face::of(after));
            require(is.rank() >= was.rank(), "a key never goes back", || {
                format!("{}: {was:?} to {is:?}", show(key))
            })?;
            let revived = is.rank() == was.rank() && *was.body == Body::Expired && *is.body != Body::Expired;
            require(!revived, "an expired value stays gone", || format!("{}: {was:?} to {is:?}", show(key)))?;
        }
        let is = Face::of(after);
        if let Some(removed) = self.removed.get(key) {
            require(is.rank() > *removed || is.visible().is_none(), "what was removed stays away", || {
                format!("{} came back as {is:?}, removed at {removed:?}", show(key))
            })?;
        }
        self.entries.insert(Bytes::copy_from_slice(key), after.clone());
        Ok(())
    }
}

/// The state that must come of two: the higher one; of equals, the one whose expiry has taken effect.
fn higher<'a>(one: &'a Entry, other: &'a Entry) -> Face<'a> {
    let (one, other) = (Face::of(one), Face::of(other));
    let other_wins = match other.rank().cmp(&one.rank()) {
        std::cmp::Ordering::Equal => *other.body == Body::Expired,
        order => order.is_gt(),
    };
    if other_wins { other } else { one }
}
