//! The cluster's book: every value that a client asked to write, every state that a node minted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rumour::Removal;
use rumour_crdt::{Body, Dot, Entry, Stamp};

use super::contributions::Contributions;
use super::{Broken, Checked, Face, is_collection, require, show};
use crate::cluster::Writers;

/// Everything that was ever written in one run. Nothing is forgotten when a node is.
#[derive(Debug)]
pub(crate) struct Ledger {
    writers: Writers,
    /// Which key each value was meant for. Workloads never write a value twice.
    issued: BTreeMap<Bytes, Bytes>,
    minted: BTreeMap<Dot, Minted>,
    contributions: Contributions,
    flushed: Stamp,
    /// Keys that some node evicted while a peer may have lacked the latest change.
    lost: BTreeSet<Bytes>,
    /// Of each key the highest dead state that was removed because every member knew of it.
    collected: BTreeMap<Bytes, (Stamp, Stamp)>,
    /// Keys that were removed although not every member knew of them.
    forced: BTreeSet<Bytes>,
    removals: Removals,
}

/// How many dead records all nodes removed together, by reason.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Removals {
    /// Every member knew of them.
    pub collected: u64,
    /// There were too many.
    pub forced: u64,
    /// A peer said that they are dead.
    pub gone: u64,
}

#[derive(Debug)]
struct Minted {
    key: Bytes,
    entry: Entry,
}

impl Ledger {
    pub(crate) fn new(writers: Writers) -> Self {
        let contributions = Contributions::default();
        Self {
            writers,
            issued: BTreeMap::new(),
            minted: BTreeMap::new(),
            contributions,
            flushed: Stamp::ZERO,
            lost: BTreeSet::new(),
            collected: BTreeMap::new(),
            forced: BTreeSet::new(),
            removals: Removals::default(),
        }
    }

    /// A client is about to write this value.
    pub(crate) fn issue(&mut self, key: &[u8], value: &Bytes) {
        self.issued.insert(value.clone(), Bytes::copy_from_slice(key));
    }

    /// A node minted a state in answer to a client.
    pub(crate) fn mint(&mut self, key: &[u8], before: Option<&Entry>, after: &Entry) -> Checked {
        let face = Face::of(after);
        let newest = after.newest();
        if let Some(before) = before {
            require(newest > before.newest(), "a write's stamp is above that of what it replaces", || {
                format!("{} of {} is not above {}", newest, show(key), before.newest())
            })?;
        }
        if is_collection(key) {
            self.contributions.mint(key, before, after);
        } else if face.stamp == newest {
            self.check_issued(key, after.body())?;
        } else {
            // Only the expiry changed: the value must be the one that was there.
            let same_value =
                before.is_some_and(|before| (before.stamp(), before.body()) == (face.stamp, face.body));
            require(same_value, "a change of expiry leaves the value alone", || show(key))?;
        }
        let minted = Minted { key: Bytes::copy_from_slice(key), entry: after.clone() };
        match self.minted.insert(newest.dot(), minted) {
            None => Ok(()),
            Some(first) => Err(Broken {
                rule: "a dot names one write",
                detail: format!("{} names writes of {} and {}", newest.dot(), show(&first.key), show(key)),
            }),
        }
    }

    fn check_issued(&self, key: &[u8], body: &Body) -> Checked {
        let asked_for = match body {
            Body::Value(value) => {
                self.writers == Writers::Anyone
                    || self.issued.get(value).is_some_and(|meant_for| meant_for == key)
            }
            Body::Tombstone => true,
            Body::Expired => false,
        };
        require(asked_for, "a value was written by a client", || format!("{} = {body:?}", show(key)))
    }

    /// A node evicted what a peer may have lacked.
    pub(crate) fn lose(&mut self, key: &[u8]) {
        self.lost.insert(Bytes::copy_from_slice(key));
    }

    /// Whether writes of the key may have been lost because memory was needed more.
    pub(crate) fn is_lost(&self, key: &[u8]) -> bool {
        self.lost.contains(key)
    }

    /// A flush took place at some node.
    pub(crate) fn flush(&mut self, watermark: Stamp) {
        self.flushed = self.flushed.max(watermark);
    }

    /// A node removed a record for good: only what is dead may go, by itself or by a later write.
    pub(crate) fn remove(&mut self, key: &[u8], entry: &Entry, why: Removal, now_ms: u64) -> Checked {
        let face = Face::at(entry, now_ms);
        let buried = |minted: &&Minted| {
            let later = Face::at(&minted.entry, now_ms);
            minted.key == key && later.rank() >= face.rank() && later.visible().is_none()
        };
        let dead = entry.kind(now_ms).is_none()
            || why == Removal::Gone && self.minted.values().any(|one| buried(&one));
        require(dead, "only what is dead is removed", || format!("{}: {face:?}, {why:?}", show(key)))?;
        match why {
            Removal::Collected => {
                self.removals.collected += 1;
                let rank = face.rank();
                let collected = self.collected.entry(Bytes::copy_from_slice(key)).or_insert(rank);
                *collected = (*collected).max(rank);
            }
            Removal::Forced => {
                self.removals.forced += 1;
                self.forced.insert(Bytes::copy_from_slice(key));
            }
            Removal::Gone => self.removals.gone += 1,
        }
        Ok(())
    }

    /// What was removed everywhere, because every member knew that it is dead, must not show again.
    pub(crate) fn stays_collected(&self, key: &[u8], entry: &Entry, now_ms: u64) -> Checked {
        let Some(collected) = self.collected.get(key) else { return Ok(()) };
        let face = Face::at(entry, now_ms);
        let returned = face.visible().is_some() && face.rank() <= *collected;
        require(!returned, "what is deleted stays deleted", || {
            format!("{} shows {face:?} again, collected at {collected:?}", show(key))
        })
    }

    /// Whether all was ever forgotten of a key.
    pub(crate) fn is_forgotten(&self, key: &[u8]) -> bool {
        self.collected.contains_key(key) || self.forced.contains(key)
    }

    /// Whether a state of a key has been dead and removed everywhere.
    pub(crate) fn is_collected(&self, key: &[u8], rank: (Stamp, Stamp)) -> bool {
        self.collected.get(key).is_some_and(|collected| rank <= *collected)
    }

    pub(crate) fn removals(&self) -> Removals {
        self.removals
    }

    /// The highest flush of all.
    pub(crate) fn flushed(&self) -> Stamp {
        self.flushed
    }

    /// An entry that was sent from one node to another: it must be one that was minted, with nothing changed
    /// but that its expiry may have taken effect.
    pub(crate) fn recognise(&self, key: &[u8], entry: &Entry) -> Checked {
        if is_collection(key) {
            return self.contributions.recognise(key, entry);
        }
        let minted = self.minted.get(&entry.newest().dot()).filter(|minted| minted.key == key);
        let Some(Minted { entry: minted, .. }) = minted else {
            return Err(Broken {
                rule: "an entry was written by somebody",
                detail: format!("nobody wrote {} under {}", show(key), entry.newest()),
            });
        };
        let (seen, wrote) = (Face::of(entry), Face::of(minted));
        let expired =
            *seen.body == Body::Expired && wrote.expiry.at_ms.is_some() && *wrote.body != Body::Tombstone;
        let same = seen.rank() == wrote.rank()
            && seen.expiry == wrote.expiry
            && (seen.body == wrote.body || expired);
        require(same, "one stamp, one value", || {
            format!("{} is {seen:?} and was written as {wrote:?}", show(key))
        })
    }

    /// The counters and collections.
    pub(crate) fn contributions(&self) -> &Contributions {
        &self.contributions
    }

    /// What every replica must hold in the end when no write was lost with the memory of its only holders: of
    /// each key the highest state that was minted above the last flush.
    pub(crate) fn expected(&self) -> BTreeMap<&Bytes, &Entry> {
        let mut expected: BTreeMap<&Bytes, &Entry> = BTreeMap::new();
        let registers = self.minted.values().filter(|minted| !is_collection(&minted.key));
        for Minted { key, entry } in registers.filter(|minted| minted.entry.stamp() > self.flushed) {
            let best = expected.entry(key).or_insert(entry);
            if Face::of(entry).rank() > Face::of(best).rank() {
                *best = entry;
            }
        }
        expected
    }
}
