//! The node's numbers in the text format that Prometheus reads.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::membership::MemberState;
use crate::status::Status;

const STATES: [MemberState; 5] = [
    MemberState::Joining,
    MemberState::Healthy,
    MemberState::Suspect,
    MemberState::Down,
    MemberState::Leaving,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InNamespace {
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: String,
}

/// Renders one status. The registry is made anew each time: the counts live in the node.
pub(super) fn render(status: &Status) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("rumour");
    let mut counter = |name: &str, help: &str, value: u64| {
        let metric: Counter = Counter::default();
        metric.inc_by(value);
        registry.register(name, help, metric);
    };
    let replication = &status.replication;
    counter("replication_sent", "Entries that peers have acknowledged", replication.sent);
    counter("replication_applied", "Entries from peers that were merged", replication.applied);
    counter("replication_overflowed", "Keys left to sync because a queue was full", replication.overflowed);
    counter(
        "replication_refused",
        "Own writes that a peer refused for lying in its future",
        replication.refused,
    );
    counter("replication_parts_sent", "Parts of long batches sent to peers", replication.parts_sent);
    counter("replication_parts_received", "Parts of long batches from peers", replication.parts_received);
    counter(
        "replication_too_large",
        "Entries not sent to a peer because they exceed what may be sent",
        replication.too_large,
    );
    counter("read_repairs", "Keys sent to owners that a read found behind", replication.read_repairs);
    counter("no_quorum", "Reads and writes for which too few owners answered", replication.no_quorum);
    counter("unconfirmed", "Writes that too few owners were known to hold in time", replication.unconfirmed);
    counter("sync_sessions", "Sync sessions begun here that ended well", status.sync.sessions);
    counter("sync_failed", "Sync sessions begun here that broke off", status.sync.failed);
    counter(
        "sync_entries_received",
        "Entries that sync brought and that changed something",
        status.sync.entries_received,
    );
    counter("sync_entries_sent", "Entries that sync sent", status.sync.entries_sent);
    counter("evicted", "Keys evicted to stay within the memory limit", status.memory.evicted);
    counter("recalled", "Evicted keys that peers gave back", status.memory.recalled);
    counter("recalls_failed", "Evicted keys that could not be fetched", status.memory.recalls_failed);
    counter(
        "sync_entries_handed",
        "Entries too large for a sync session, left to replication",
        status.sync.entries_handed,
    );
    counter(
        "stubs_dropped",
        "Versions of evicted values forgotten because memory was short",
        status.memory.stubs_dropped,
    );
    let collection = &status.collection;
    counter("tombstones_collected", "Dead records removed, known to every member", collection.collected);
    counter("tombstones_forced_out", "Dead records removed because there were too many", collection.forced);
    counter(
        "collected_again",
        "Entries turned away that had been removed before",
        collection.collected_again,
    );
    counter("removed_gone", "Entries removed because a peer said that they are dead", collection.gone);

    let mut gauge = |name: &str, help: &str, value: u64| {
        let metric: Gauge<u64, AtomicU64> = Gauge::default();
        metric.set(value);
        registry.register(name, help, metric);
    };
    gauge("keys", "Keys with a value", status.keys);
    gauge("memory_used_bytes", "Bytes that entries take", status.memory.used_bytes);
    gauge("memory_max_bytes", "The limit for that; 0 for none", status.memory.max_bytes);
    gauge("stubs", "Versions of evicted values that are kept", status.memory.stubs);
    gauge("tombstones", "Tombstones and expired entries kept", status.tombstones);
    gauge(
        "agreed_ms",
        "What was dead by then is known to every member, Unix milliseconds",
        collection.agreed_ms,
    );
    gauge(
        "forced_ms",
        "What was dead by then may have been forced out, Unix milliseconds",
        collection.forced_ms,
    );
    gauge("replication_queued", "Keys queued for peers and not acknowledged", replication.queued);
    gauge("ready", "1 when the node serves", u64::from(status.state == MemberState::Healthy));

    gauge(
        "clock_fault",
        "1 while writes are refused because of the clock",
        u64::from(status.clock.fault.is_some()),
    );

    let offsets = Family::<Of, Gauge<f64, AtomicU64>>::default();
    for member in &status.members {
        if let Some(off_ms) = member.clock_off_ms {
            offsets.get_or_create(&Of { node: member.node.to_string() }).set(off_ms as f64 / 1000.0);
        }
    }
    let help = "How far a member's clock is ahead of the median of the others'";
    registry.register_with_unit("clock_off", help, Unit::Seconds, offsets);

    let members = Family::<State, Gauge<u64, AtomicU64>>::default();
    for state in STATES {
        let count = status.members.iter().filter(|member| member.state == state).count();
        members.get_or_create(&State { state: state.to_string() }).set(count as u64);
    }
    registry.register("members", "Members by state, this node included", members);

    let conflicts = Family::<InNamespace, Counter>::default();
    for (namespace, count) in &status.conflicts_by_namespace {
        conflicts.get_or_create(&InNamespace { namespace: namespace.clone() }).inc_by(*count);
    }
    registry.register("conflicts", "Concurrent writes of which one lost, by namespace", conflicts);

    let refused = Family::<Reason, Counter>::default();
    for (reason, count) in &status.refused {
        refused.get_or_create(&Reason { reason: reason.clone() }).inc_by(*count);
    }
    registry.register("refused", "What was turned away, by reason", refused);

    let uptime: Gauge<f64, AtomicU64> = Gauge::default();
    uptime.set(status.uptime_s);
    registry.register_with_unit("uptime", "Time since the node started", Unit::Seconds, uptime);

    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
