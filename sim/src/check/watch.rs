//! The eye on one incarnation of a node: feeds the books and the trace, reports what the books refuse.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use rumour::{Engine, NodeId, Observer, Purpose, Removal};
use rumour_crdt::{Body, Entry, Stamp};

use super::{Broken, Checked, Ledger, Replica, Shown, require, shown_of};
use crate::clock::SimClock;
use crate::runner::World;

/// Watches one incarnation from its start until long after its end.
pub(crate) struct Watch {
    world: World,
    /// Name and number of the start, for reports.
    label: String,
    clock: SimClock,
    /// The node itself, for the time that it goes by; it is made after this.
    engine: OnceLock<Engine>,
    ledger: Arc<Mutex<Ledger>>,
    /// How much too early, by the true time, an expiry may take effect; unset: by as much as clocks are wrong.
    early_ms_max: Arc<OnceLock<u64>>,
    /// How far ahead of the node's clock an entry from elsewhere may be stamped.
    skew_ms_max: u64,
    /// The highest stamp that this node's peers knew when it was started, where it must have heard of that.
    floor: Stamp,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    replica: Replica,
    ended: bool,
}

impl Watch {
    pub(crate) fn new(
        world: World,
        label: String,
        clock: SimClock,
        ledger: Arc<Mutex<Ledger>>,
        skew_ms_max: u64,
    ) -> Self {
        let seen = Mutex::new(Seen { replica: Replica::new(), ended: false });
        let (engine, early_ms_max) = (OnceLock::new(), Arc::default());
        Self { world, label, clock, engine, ledger, early_ms_max, skew_ms_max, floor: Stamp::ZERO, seen }
    }

    /// The same for a node whose every stamp must lie above `floor`.
    pub(crate) fn above(self, floor: Stamp) -> Self {
        Self { floor, ..self }
    }

    /// The same for a node that lets nothing expire much too early, as far as `early_ms_max` says so.
    pub(crate) fn expiring(self, early_ms_max: Arc<OnceLock<u64>>) -> Self {
        Self { early_ms_max, ..self }
    }

    /// Names the node that is watched.
    pub(crate) fn attach(&self, engine: Engine) {
        // Each start has a watch of its own.
        let _ = self.engine.set(engine);
    }

    /// The time that the node goes by. How far it may be from the truth is for scenarios to say.
    fn now_ms(&self) -> u64 {
        self.engine.get().map_or_else(|| self.clock.now_ms(), Engine::now_ms)
    }

    /// Name and number of the start.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// From now on the node must be still.
    pub(crate) fn end(&self) {
        self.seen.lock().ended = true;
    }

    /// Reads the incarnation's book.
    pub(crate) fn replica<R>(&self, read: impl FnOnce(&Replica) -> R) -> R {
        read(&self.seen.lock().replica)
    }

    /// A client was shown `value`: is that what the node holds?
    pub(crate) fn shown(&self, key: &[u8], value: Option<&Bytes>) {
        let now_ms = self.now_ms();
        let seen = self.seen.lock();
        let expected = seen.replica.visible(key, now_ms);
        if value != expected {
            let key = super::show(key);
            let detail = format!("{key} was shown as {value:?} and should be {expected:?}");
            self.report(Err(Broken { rule: "a read shows what the node holds", detail }));
        }
    }

    /// A client was shown a counter or a collection: is that what the node holds?
    pub(crate) fn shown_collection(&self, key: &[u8], shown: &Shown) {
        let now_ms = self.now_ms();
        let seen = self.seen.lock();
        let held = seen.replica.entries().get(key);
        let expected = held.map(|entry| shown_of(entry, now_ms)).unwrap_or_default();
        if self.engine.get().is_some_and(|engine| !engine.lacks(key, Purpose::Read))
            && !self.ledger.lock().is_lost(key)
        {
            self.report(seen.replica.check_whole(key));
        }
        if *shown != expected {
            let key = super::show(key);
            let detail = format!("{key} was shown as {shown:?} and should be {expected:?}");
            self.report(Err(Broken { rule: "a read shows what the node holds", detail }));
        }
    }

    /// A client walked all keys at one moment: are they those that the node holds? What expired meanwhile takes memory, so
    /// that a key which came up early may have been evicted since.
    pub(crate) fn walked(&self, keys: &BTreeSet<Bytes>) {
        let now_ms = self.now_ms();
        let seen = self.seen.lock();
        let visible = |(key, entry): (&Bytes, &Entry)| entry.kind(now_ms).map(|_| key.clone());
        let expected: BTreeSet<_> = seen.replica.entries().iter().filter_map(visible).collect();
        let evicted = |key: &Bytes| {
            keys.contains(key) && self.engine.get().is_some_and(|engine| engine.lacks(key, Purpose::Read))
        };
        let differing = keys.symmetric_difference(&expected).filter(|key| !evicted(key));
        let differing: Vec<_> = differing.map(|key| super::show(key)).collect();
        if !differing.is_empty() {
            let detail = format!("differing: {differing:?}");
            self.report(Err(Broken { rule: "a walk shows every key", detail }));
        }
    }

    /// An expiry took effect, here or where the entry comes from.
    fn check_expiry(&self, key: &[u8], entry: &Entry) {
        let at_ms = entry.expiry().at_ms.filter(|_| *entry.body() == Body::Expired);
        let early_ms = at_ms.unwrap_or(0).saturating_sub(self.clock.right_ms());
        let early_ms_max = self.early_ms_max.get().copied().unwrap_or(u64::MAX);
        self.report(require(early_ms <= early_ms_max, "nothing expires before its time", || {
            format!("{} did {early_ms} ms before", super::show(key))
        }));
    }

    /// Reports what a book refused.
    pub(crate) fn report(&self, checked: Checked) {
        if let Err(Broken { rule, detail }) = checked {
            self.world.violation(rule, format!("{}: {detail}", self.label));
        }
    }

    /// The limit is counted from the median of the peers' clocks, which may be ahead of the truth by as much, and which is known
    /// to half of the limit.
    fn ahead_ms_max(&self) -> u64 {
        self.skew_ms_max * 5 / 2
    }

    fn change(&self, what: &str, change: impl FnOnce(&mut Replica, u64) -> Checked) {
        let mut seen = self.seen.lock();
        if seen.ended {
            let detail = format!("it was told of: {what}");
            self.report(Err(Broken { rule: "a node that was stopped is still", detail }));
        }
        let changed = change(&mut seen.replica, self.now_ms());
        self.report(changed);
    }
}

impl Observer for Watch {
    fn minted(&self, node: &NodeId, key: &[u8], before: Option<&Entry>, after: &Entry) {
        self.world.trace().merge(node.as_str(), "write", key, after.version());
        self.report(self.ledger.lock().mint(key, before, after));
        self.report(require(
            after.newest() > self.floor,
            "a node has heard its peers' clocks before it writes",
            || format!("{} is not above {}", after.newest(), self.floor),
        ));
        self.change("a write", |replica, now_ms| replica.mint(key, before, after, now_ms));
    }

    fn merged(&self, node: &NodeId, key: &[u8], before: Option<&Entry>, incoming: &Entry, after: &Entry) {
        self.world.trace().merge(node.as_str(), "merge", key, after.version());
        self.report(self.ledger.lock().recognise(key, incoming));
        self.report(self.ledger.lock().stays_collected(key, after, self.clock.now_ms()));
        self.check_expiry(key, incoming);
        let ahead_ms =
            incoming.newest().time.millis().saturating_sub(self.now_ms().max(self.clock.right_ms()));
        self.report(require(
            ahead_ms <= self.ahead_ms_max(),
            "nothing from the far future is merged",
            || format!("{} of {} lies {ahead_ms} ms ahead", incoming.newest(), super::show(key)),
        ));
        self.change("a merge", |replica, now_ms| replica.merge(key, before, incoming, after, now_ms));
    }

    fn expired(&self, node: &NodeId, key: &[u8], after: &Entry) {
        self.world.trace().merge(node.as_str(), "expiry", key, after.version());
        self.check_expiry(key, after);
        self.change("an expiry", |replica, now_ms| replica.expire(key, after, now_ms));
    }

    fn evicted(&self, node: &NodeId, key: &[u8], entry: &Entry, unacknowledged: bool) {
        self.world.trace().merge(node.as_str(), "eviction", key, entry.version());
        if unacknowledged {
            self.ledger.lock().lose(key);
        }
        self.change("an eviction", |replica, now_ms| replica.evict(key, entry, now_ms));
    }

    fn flushed(&self, node: &NodeId, watermark: Stamp) {
        self.world.trace().merge(node.as_str(), "flush", &[], watermark.time.bits());
        self.ledger.lock().flush(watermark);
        self.change("a flush", |replica, _| replica.flush(watermark));
    }

    fn removed(&self, node: &NodeId, key: &[u8], entry: &Entry, why: Removal) {
        self.world.trace().merge(node.as_str(), "removal", key, entry.version());
        self.report(self.ledger.lock().remove(key, entry, why, self.clock.now_ms()));
        self.change("a removal", |replica, _| replica.remove(key, entry, why));
    }

    fn timer(&self, node: &NodeId, name: &'static str) {
        self.world.trace().timer(node.as_str(), name);
        self.change("a timer", |_, _| Ok(()));
    }
}
