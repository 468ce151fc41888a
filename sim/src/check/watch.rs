//! The eye on one incarnation of a node: feeds the books and the trace, reports what the books refuse.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rumour::{NodeId, Observer};
use rumour_crdt::{Entry, Stamp};

use super::{Broken, Checked, Ledger, Replica, Shown, require, shown_of};
use crate::clock::SimClock;
use crate::runner::World;

/// Watches one incarnation from its start until long after its end.
pub(crate) struct Watch {
    world: World,
    /// Name and number of the start, for reports.
    label: String,
    clock: SimClock,
    ledger: Arc<Mutex<Ledger>>,
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
        Self { world, label, clock, ledger, skew_ms_max, floor: Stamp::ZERO, seen }
    }

    /// The same for a node whose every stamp must lie above `floor`.
    pub(crate) fn above(self, floor: Stamp) -> Self {
        Self { floor, ..self }
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
        let now_ms = self.clock.now_ms();
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
        let now_ms = self.clock.now_ms();
        let seen = self.seen.lock();
        let held = seen.replica.entries().get(key);
        let expected = held.map(|entry| shown_of(entry, now_ms)).unwrap_or_default();
        if *shown != expected {
            let key = super::show(key);
            let detail = format!("{key} was shown as {shown:?} and should be {expected:?}");
            self.report(Err(Broken { rule: "a read shows what the node holds", detail }));
        }
    }

    /// A client walked all keys at one moment: are they those that the node holds?
    pub(crate) fn walked(&self, keys: &BTreeSet<Bytes>) {
        let now_ms = self.clock.now_ms();
        let seen = self.seen.lock();
        let visible = |(key, entry): (&Bytes, &Entry)| entry.kind(now_ms).map(|_| key.clone());
        let expected: BTreeSet<_> = seen.replica.entries().iter().filter_map(visible).collect();
        if *keys != expected {
            let differing: Vec<_> =
                keys.symmetric_difference(&expected).map(|key| super::show(key)).collect();
            let detail = format!("differing: {differing:?}");
            self.report(Err(Broken { rule: "a walk shows every key", detail }));
        }
    }

    /// Reports what a book refused.
    pub(crate) fn report(&self, checked: Checked) {
        if let Err(Broken { rule, detail }) = checked {
            self.world.violation(rule, format!("{}: {detail}", self.label));
        }
    }

    fn change(&self, what: &str, change: impl FnOnce(&mut Replica, u64) -> Checked) {
        let mut seen = self.seen.lock();
        if seen.ended {
            let detail = format!("it was told of: {what}");
            self.report(Err(Broken { rule: "a node that was stopped is still", detail }));
        }
        let changed = change(&mut seen.replica, self.clock.now_ms());
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
        let ahead_ms = incoming.newest().time.millis().saturating_sub(self.clock.now_ms());
        self.report(require(ahead_ms <= self.skew_ms_max, "nothing from the far future is merged", || {
            format!("{} of {} lies {ahead_ms} ms ahead", incoming.newest(), super::show(key))
        }));
        self.change("a merge", |replica, now_ms| replica.merge(key, before, incoming, after, now_ms));
    }

    fn expired(&self, node: &NodeId, key: &[u8], after: &Entry) {
        self.world.trace().merge(node.as_str(), "expiry", key, after.version());
        self.change("an expiry", |replica, now_ms| replica.expire(key, after, now_ms));
    }

    fn flushed(&self, node: &NodeId, watermark: Stamp) {
        self.world.trace().merge(node.as_str(), "flush", &[], watermark.time.bits());
        self.ledger.lock().flush(watermark);
        self.change("a flush", |replica, _| replica.flush(watermark));
    }

    fn timer(&self, node: &NodeId, name: &'static str) {
        self.world.trace().timer(node.as_str(), name);
        self.change("a timer", |_, _| Ok(()));
    }
}
