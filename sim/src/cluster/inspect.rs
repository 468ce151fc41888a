//! Looking into running nodes: what must hold at any time, and what must hold once everything is healed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rumour::{Engine, HANDED_KEYS_LIMIT, MemberState, Purpose, SetOptions};
use rumour_crdt::{Body, Entry, Stamp};
use tokio::runtime::Handle;
use tokio::time::sleep;
use xxhash_rust::xxh3::Xxh3;

use super::{Cluster, Running, node_name};
use crate::check::{Face, show};

/// Differences named in one report.
const DIFFERENCES_SHOWN: usize = 5;

/// One node's state at one moment.
struct Snapshot {
    name: String,
    digest: u64,
    /// Hash over all keys and versions, those of evicted entries included.
    versions: u64,
    entries: Vec<(Bytes, Entry)>,
    now_ms: u64,
}

impl Cluster {
    /// Checks what must hold at every moment, whatever is broken around the nodes.
    pub fn inspect(&self) {
        for node in self.running() {
            if let Some(reason) = self.stopped_by_itself(node) {
                self.world()
                    .violation("a node stops only when told", format!("{}: {reason}", node_name(node)));
            }
        }
        self.with_running(|name, running| {
            let stale = running.node.audit();
            if !stale.is_empty() {
                let detail =
                    format!("{name}: the cells of slots {stale:?} are not the sums of their entries");
                self.world().violation("incremental digest = rebuilt digest", detail);
            }
            let status = running.node.status();
            let memory = &status.memory;
            // What is left when nothing more can be evicted is over the limit for good.
            if memory.max_bytes > 0 && memory.used_bytes > memory.max_bytes && status.keys > 0 {
                self.world().violation("memory stays within its limit", format!("{name}: {memory:?}"));
            }
            let limit = (self.tuning().outbox_keys_limit + HANDED_KEYS_LIMIT) * self.len();
            let queued = status.replication.queued;
            if queued > limit as u64 {
                self.world().violation(
                    "queues are bounded",
                    format!("{name}: {queued} keys queued, {limit} allowed"),
                );
            }
        });
        self.inspect_configurations();
        let snapshots = self.snapshots();
        self.check_stores(&snapshots);
        self.check_collected(&snapshots);
        for (at, one) in snapshots.iter().enumerate() {
            for other in &snapshots[at + 1..] {
                let (digests, versions) = (one.digest == other.digest, one.versions == other.versions);
                if digests != versions {
                    let detail = format!(
                        "{} and {}: equal digests {digests}, equal versions {versions}",
                        one.name, other.name
                    );
                    self.world().violation("equal root <=> equal versions", detail);
                }
            }
        }
    }

    /// A store must hold what its node told of, no more and no less.
    fn check_stores(&self, snapshots: &[Snapshot]) {
        let mut stores = snapshots.iter();
        self.with_running(|name, running| {
            let Some(Snapshot { entries, .. }) = stores.next() else { return };
            let now_ms = running.node.engine().now_ms();
            running.watch.replica(|replica| {
                let told = replica.entries();
                let same = |(key, entry): &(Bytes, Entry)| {
                    let same = |told: &Entry| {
                        Face::at(told, now_ms) == Face::at(entry, now_ms) && told.version() == entry.version()
                    };
                    told.get(key).is_some_and(same)
                };
                let stray: Vec<_> =
                    entries.iter().filter(|item| !same(item)).map(|(key, _)| show(key)).collect();
                if !stray.is_empty() || entries.len() != told.len() {
                    let detail = format!(
                        "{name}: {} stored, {} told of, differing: {stray:?}",
                        entries.len(),
                        told.len()
                    );
                    self.world().violation("nothing changes unseen", detail);
                }
            });
        });
    }

    /// What was removed because every member knew of it must show nowhere.
    fn check_collected(&self, snapshots: &[Snapshot]) {
        let ledger = self.ledger().lock();
        for Snapshot { name, entries, now_ms, .. } in snapshots {
            for (key, entry) in entries {
                if let Err(broken) = ledger.stays_collected(key, entry, *now_ms) {
                    self.world().violation(broken.rule, format!("{name}: {}", broken.detail));
                }
            }
        }
    }

    /// What every running node holds at this moment, by key, with its rank among the states of that key.
    pub(crate) fn held_by_all(&self) -> BTreeMap<Bytes, (Stamp, Stamp)> {
        let snapshots = self.snapshots();
        let mut held: BTreeMap<Bytes, (Stamp, Stamp, usize)> = BTreeMap::new();
        for (key, entry) in snapshots.iter().flat_map(|snapshot| &snapshot.entries) {
            let rank = Face::of(entry).rank();
            let (stamp, expiry, holders) = held.entry(key.clone()).or_insert((rank.0, rank.1, 0));
            (*stamp, *expiry) = (*stamp, *expiry).min(rank);
            *holders += 1;
        }
        held.retain(|_, (.., holders)| *holders == snapshots.len());
        held.into_iter().map(|(key, (stamp, expiry, _))| (key, (stamp, expiry))).collect()
    }

    /// Checks that a node that has come to serve holds all that everybody held when it started.
    pub(crate) fn check_filled(&self, node: usize, held: &BTreeMap<Bytes, (Stamp, Stamp)>) {
        let Some(watch) = self.watch(node) else { return };
        let ledger = self.ledger().lock();
        let missing: Vec<_> = watch.replica(|replica| {
            let reached = |key: &Bytes| replica.entries().get(key).map(|entry| Face::of(entry).rank());
            let missing = held.iter().filter(|(key, rank)| {
                let gone = rank.0 <= replica.flushed() || ledger.is_collected(key, **rank);
                !gone && reached(key) < Some(**rank)
            });
            missing.map(|(key, _)| show(key)).collect()
        });
        if !missing.is_empty() {
            let shown = &missing[..missing.len().min(DIFFERENCES_SHOWN)];
            let detail = format!("{} lacks {} keys, such as {shown:?}", watch.label(), missing.len());
            self.world().violation("a node that serves is filled", detail);
        }
    }

    /// Waits until all running nodes list each other as healthy and hold the same. Returns how long that took;
    /// when it took longer than `within`, that is a violation.
    pub async fn converge(&self, within: Duration) -> Option<Duration> {
        let took = self.wait_until(within, || self.unlike().is_none()).await;
        if took.is_none()
            && let Some(unlike) = self.unlike()
        {
            let detail = format!("not within {} s: {unlike}", within.as_secs());
            self.world().violation("replicas are equal after healing", detail);
        }
        took
    }

    /// The first thing that keeps the nodes from being one.
    fn unlike(&self) -> Option<String> {
        let mut views = Vec::new();
        self.with_running(|name, running| views.push((name.to_owned(), running.node.members())));
        for (name, members) in &views {
            let healthy = members.iter().filter(|member| member.state == MemberState::Healthy).count();
            if healthy != views.len() || members.len() != views.len() {
                let members = members.iter().map(|member| format!("{} {}", member.node, member.state));
                return Some(format!("{name} sees {}", members.collect::<Vec<_>>().join(", ")));
            }
        }
        let mut digests = Vec::new();
        self.with_running(|_, running| digests.push(running.node.digest()));
        if digests.windows(2).all(|pair| pair[0] == pair[1]) {
            return None;
        }
        let differences = self.differences();
        (!differences.is_empty()).then(|| format!("replicas differ: {differences}"))
    }

    /// The keys that not all nodes hold alike, a few of them. Where some hold what is dead, others may have removed it.
    fn differences(&self) -> String {
        let mut versions: BTreeMap<Bytes, (BTreeMap<String, u64>, bool)> = BTreeMap::new();
        let snapshots = self.snapshots();
        for Snapshot { name, now_ms, entries, .. } in &snapshots {
            for (key, entry) in entries {
                let (held, visible) = versions.entry(key.clone()).or_default();
                held.insert(name.clone(), entry.version());
                *visible |= entry.kind(*now_ms).is_some();
            }
        }
        let unlike = |(held, visible): &(BTreeMap<String, u64>, bool)| {
            (*visible && held.len() != snapshots.len())
                || held.values().any(|version| Some(version) != held.values().next())
        };
        let shown = versions.iter().filter(|(_, held)| unlike(held)).take(DIFFERENCES_SHOWN);
        let shown = shown.map(|(key, (held, _))| format!("{} is {held:x?}", show(key)));
        shown.collect::<Vec<_>>().join("; ")
    }

    /// Checks that the nodes, being equal, hold what they must: of each key the highest write that was not
    /// flushed; the same at the doors as in the store.
    ///
    /// A write that died with its only holder cannot be demanded: after a crash it is enough that every node
    /// holds what the books of the running incarnations say, which never go back.
    pub fn check_outcome(&self) {
        let crashed = self.lost_entries() > 0;
        let clocks_were_wrong = self.shared.clocks_were_wrong.load(Ordering::Relaxed);
        let ledger = self.ledger().lock();
        let expected = ledger.expected();
        let forced = ledger.removals().forced > 0;
        self.with_running(|name, running| {
            let now_ms = running.node.engine().now_ms();
            let held: BTreeMap<_, _> = running.node.export().into_iter().collect();
            let flushed = running.watch.replica(crate::check::Replica::flushed);
            if flushed != ledger.flushed() && !crashed {
                let detail = format!("{name}: {flushed} and not {}", ledger.flushed());
                self.world().violation("a flush reaches every node", detail);
            }
            for (key, entry) in &held {
                if let Err(broken) = ledger.recognise(key, entry) {
                    self.world().violation(broken.rule, format!("{name}: {}", broken.detail));
                }
            }
            let wanted = expected.iter().filter(|(key, _)| !crashed || held.contains_key(**key));
            let face = |key: &Bytes| held.get(key).map(|entry| Face::at(entry, now_ms));
            let excused = |key: &Bytes, wanted: &Entry| {
                let lost_with_its_holder =
                    crashed && face(key).map(|face| face.rank()) < Some(Face::of(wanted).rank());
                // A node whose clock was ahead let the value go; the others keep it until their time comes.
                let expired_early = clocks_were_wrong
                    && wanted.expiry().at_ms.is_some()
                    && face(key) == Some(Face { body: &Body::Expired, ..Face::of(wanted) });
                let evicted = running.node.engine().lacks(key, Purpose::Read) || ledger.is_lost(key);
                // What is dead may have been removed.
                let collected = face(key).is_none() && Face::at(wanted, now_ms).visible().is_none();
                // Where a tombstone was forced out, what was written beside it and not seen is kept.
                let unburied = forced && Face::at(wanted, now_ms).visible().is_none();
                lost_with_its_holder || expired_early || collected || unburied || evicted
            };
            let wrong = wanted
                .filter(|(key, wanted)| face(key) != Some(Face::at(wanted, now_ms)) && !excused(key, wanted))
                .map(|(key, wanted)| format!("{} is {:?}, expected {wanted:?}", show(key), face(key)));
            let wrong: Vec<_> = wrong.collect();
            if !wrong.is_empty() {
                let shown = wrong[..wrong.len().min(DIFFERENCES_SHOWN)].join("; ");
                let detail = format!("{name}: {} keys are wrong: {shown}", wrong.len());
                self.world().violation("the highest acknowledged write wins", detail);
            }
            for key in expected.keys() {
                let shown = running.node.engine().get(key);
                running.watch.shown(key, shown.as_ref());
            }
        });
        drop(ledger);
        self.check_contributions();
    }

    /// How many keys have a value on one node and not on all.
    pub(crate) fn shown_by_some(&self) -> u64 {
        let snapshots = self.snapshots();
        let mut holders: BTreeMap<Bytes, usize> = BTreeMap::new();
        for (key, entry) in snapshots.iter().flat_map(|snapshot| &snapshot.entries) {
            if entry.is_visible() {
                *holders.entry(key.clone()).or_default() += 1;
            }
        }
        holders.values().filter(|holders| **holders < snapshots.len()).count() as u64
    }

    /// Waits until no running node remembers anything dead and all are equal to the last bit; when that takes longer than
    /// `within`, it is a violation.
    pub async fn forget_the_dead(&self, within: Duration) {
        let clean = || {
            let (mut dead, mut digests) = (0, Vec::new());
            self.with_running(|_, running| {
                dead += running.node.status().tombstones;
                digests.push(running.node.digest());
            });
            dead == 0 && digests.windows(2).all(|pair| pair[0] == pair[1])
        };
        if self.wait_until(within, clean).await.is_none() {
            let mut detail = format!("not within {} s:", within.as_secs());
            self.with_running(|name, running| {
                let status = running.node.status();
                let waiting = status.collection.waiting_for.iter().map(ToString::to_string);
                let (waiting, agreed_ms) =
                    (waiting.collect::<Vec<_>>().join(" "), status.collection.agreed_ms);
                detail += &format!(
                    " {name} has {} dead, agreed {agreed_ms} at {}, waiting for {waiting};",
                    status.tombstones,
                    running.node.engine().now_ms()
                );
                let dead = running.node.export().into_iter().filter(|(_, entry)| !entry.is_visible());
                for (key, entry) in dead.take(DIFFERENCES_SHOWN) {
                    detail += &format!(" {} is {entry:?};", show(&key));
                }
            });
            self.world().violation("what is dead is forgotten", detail);
        }
    }

    /// Checks that no node remembers more dead keys than it may, give or take those of a moment.
    pub async fn check_tombstones(&self) {
        let limit = self.tuning().tombstones_limit as u64;
        let over = || {
            let mut over = Vec::new();
            self.with_running(|name, running| {
                let dead = running.node.status().tombstones;
                over.extend((dead > limit).then(|| (name.to_owned(), dead)));
            });
            over
        };
        for (name, _) in over() {
            // A round takes half a second; a node that has just been given some has not had its round yet.
            sleep(Duration::from_secs(1)).await;
            let still =
                over().into_iter().find(|(still, dead)| *still == name && *dead > limit + limit / 2 + 5);
            if let Some((name, dead)) = still {
                let detail = format!("{name}: {dead} kept, {limit} allowed");
                self.world().violation("tombstones are bounded", detail);
            }
        }
    }

    /// Checks that a write and a deletion at each node reach all others within a time that sync would not make: by
    /// replication. Only to be asked of nodes that are well.
    pub async fn check_replication(&self, within: Duration) {
        let running = self.running();
        let key = |node: usize| format!("from {}", node_name(node)).into_bytes();
        for &node in &running {
            let (key, value) = (key(node), Bytes::from(format!("{} was here", node_name(node))));
            self.ledger().lock().issue(&key, &value);
            let written = self.engine(node).map(|engine| engine.set(&key, value, SetOptions::default()));
            if !matches!(written, Some(Ok(_))) {
                self.world()
                    .violation("a healthy node takes writes", format!("{}: {written:?}", node_name(node)));
            }
        }
        self.check_everywhere(&running, within, |engine, node| engine.exists(&key(node))).await;
        // Each node deletes what its neighbour wrote.
        for (&node, &neighbour) in running.iter().zip(running.iter().cycle().skip(1)) {
            if let Some(engine) = self.engine(node) {
                // The writes above show whether this node takes any.
                let _ = engine.delete(&key(neighbour));
            }
        }
        self.check_everywhere(&running, within, |engine, node| !engine.exists(&key(node))).await;
    }

    async fn check_everywhere(
        &self,
        running: &[usize],
        within: Duration,
        holds: impl Fn(&Engine, usize) -> bool,
    ) {
        sleep(within).await;
        for &at in running {
            let Some(engine) = self.engine(at) else { continue };
            let missing = running.iter().filter(|node| !holds(&engine, **node)).map(|node| node_name(*node));
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                let detail = format!("{} does not have what was done at {missing:?}", node_name(at));
                self.world().violation("replication reaches every node", detail);
            }
        }
    }

    /// Ends all nodes and checks that nothing of them goes on.
    pub async fn end(&self) {
        self.crash_all();
        // Every task gets to the point where it notices, also those that wait for a connection to time out.
        sleep(Duration::from_secs(60)).await;
        // The network's own task remains.
        let alive = Handle::current().metrics().num_alive_tasks();
        if alive > 1 {
            let detail = format!("{} tasks are alive a minute after all nodes were killed", alive - 1);
            self.world().violation("no task outlives its node", detail);
        }
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots = Vec::new();
        self.with_running(|name, running| {
            let entries = running.node.export();
            let mut versions = Xxh3::new();
            for (slot, hash, version) in running.node.versions() {
                for part in [u64::from(slot), hash, version] {
                    versions.update(&part.to_le_bytes());
                }
            }
            let (name, digest) = (name.to_owned(), running.node.digest());
            let now_ms = running.node.engine().now_ms();
            snapshots.push(Snapshot { name, digest, versions: versions.digest(), entries, now_ms });
        });
        snapshots
    }

    pub(super) fn with_running(&self, mut look: impl FnMut(&str, &Running)) {
        let members = self.shared.members.lock();
        for running in members.iter().filter_map(|member| member.running.as_ref()) {
            look(running.watch.label(), running);
        }
    }
}
