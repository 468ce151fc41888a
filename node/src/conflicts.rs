//! Conflicts: concurrent writes of which one lost, counted by namespace and told to whoever listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rumour_crdt::{ActorId, Conflict, Merged, Side, Stamp, Written};
use rumour_transport::NodeId;
use serde::{Serialize, Serializer};
use tokio::sync::broadcast;

use crate::events::{Event, Events};
use crate::namespace::Namespaces;

/// Incarnations whose names are remembered; past it the one with the lowest number is forgotten, and its writes are
/// reported without a name.
const WRITERS_LIMIT: usize = 4096;

/// Two concurrent writes of one key met on this node and one lost.
///
/// As JSON, keys and values are text with bytes that are not printable ASCII escaped as in `\x00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictReport {
    /// The key's namespace.
    pub namespace: Arc<str>,
    /// The key.
    #[serde(serialize_with = "escaped")]
    pub key: Bytes,
    /// The element of a collection that both wrote; `None` if they wrote the whole key.
    #[serde(serialize_with = "escaped_or_null")]
    pub element: Option<Bytes>,
    /// The write that lost.
    pub losing: ConflictSide,
    /// The write that won.
    pub winning: ConflictSide,
}

/// One of the two writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictSide {
    /// When and by which incarnation it was made.
    #[serde(serialize_with = "displayed")]
    pub stamp: Stamp,
    /// The node that made it, if this node has met that incarnation.
    pub node: Option<NodeId>,
    /// What it wrote.
    #[serde(serialize_with = "described")]
    pub written: Written,
}

/// Counts conflicts and tells of them.
pub(crate) struct ConflictLog {
    namespaces: Arc<Namespaces>,
    counts: Mutex<BTreeMap<Arc<str>, u64>>,
    writers: Mutex<BTreeMap<ActorId, NodeId>>,
    events: broadcast::Sender<Event>,
}

impl ConflictLog {
    pub(crate) fn new(namespaces: Arc<Namespaces>, events: broadcast::Sender<Event>) -> Self {
        Self { namespaces, counts: Mutex::default(), writers: Mutex::default(), events }
    }

    /// An incarnation was met: its writes can be named from now on.
    pub(crate) fn name_writer(&self, actor: ActorId, node: &NodeId) {
        let mut writers = self.writers.lock();
        if writers.insert(actor, node.clone()).is_none() && writers.len() > WRITERS_LIMIT {
            writers.pop_first();
        }
    }

    /// Counts what was lost by a merge, and tells of it.
    pub(crate) fn record(&self, key: &[u8], merged: &Merged) {
        if merged.conflicts == 0 {
            return;
        }
        let namespace = self.namespaces.of(key);
        *self.counts.lock().entry(namespace.clone()).or_default() += merged.conflicts as u64;
        if self.events.receiver_count() == 0 {
            return;
        }
        for conflict in &merged.described {
            let report = self.report(namespace.clone(), key, conflict);
            // The last listener may be gone by now.
            let _ = self.events.send(Event::Conflict(Arc::new(report)));
        }
    }

    fn report(&self, namespace: Arc<str>, key: &[u8], conflict: &Conflict) -> ConflictReport {
        let side = |side: &Side| ConflictSide {
            stamp: side.stamp,
            node: self.writers.lock().get(&side.stamp.actor).cloned(),
            written: side.written.clone(),
        };
        ConflictReport {
            namespace,
            key: Bytes::copy_from_slice(key),
            element: conflict.element.as_deref().map(Bytes::copy_from_slice),
            losing: side(&conflict.losing),
            winning: side(&conflict.winning),
        }
    }

    /// Conflicts counted so far, by namespace.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().iter().map(|(name, count)| (name.to_string(), *count)).collect()
    }

    /// A listener to everything that happens from now on.
    pub(crate) fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }
}

fn escaped<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bytes.escape_ascii())
}

fn escaped_or_null<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(|bytes| bytes.escape_ascii().to_string()).serialize(serializer)
}

fn displayed<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(stamp)
}

/// What was written, in JSON: what it was, and its value where it had one.
#[derive(Serialize)]
struct Described {
    what: &'static str,
    value: Option<String>,
    kind: Option<rumour_crdt::Kind>,
}

fn described<S: Serializer>(written: &Written, serializer: S) -> Result<S::Ok, S::Error> {
    let (what, value, kind) = match written {
        Written::Value(value) => ("value", Some(value.escape_ascii().to_string()), None),
        Written::Deleted => ("deleted", None, None),
        Written::Expired => ("expired", None, None),
        Written::Elements(kind, _) => ("elements", None, Some(*kind)),
    };
    Described { what, value, kind }.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use rumour_crdt::{Entry, Minter};

    use super::*;
    use crate::namespace::Namespace;

    #[tokio::test]
    async fn a_loss_is_counted_by_namespace_and_told_with_both_values_and_nodes() {
        let expiry = rumour_crdt::ExpiryPolicy::default();
        let (read, write) = Default::default();
        let users = Namespace { name: "users".into(), prefix: "user:".into(), expiry, read, write };
        let log = ConflictLog::new(Arc::new(Namespaces::new(&[users])), broadcast::channel(4).0);
        log.name_writer(ActorId::new(1), &"a".parse().expect("a name"));
        let (mut here, mut there) = (Minter::new(ActorId::new(1)), Minter::new(ActorId::new(2)));
        let mut entry = Entry::value("old\n".into(), None, here.mint(1, None), None);
        let other = Entry::value("new".into(), None, there.mint(2, None), None);
        let merged = entry.merge(&other);
        log.record(b"nobody listens", &merged);
        let mut events = log.events();
        log.record(b"user:1", &merged);
        assert_eq!(log.counts(), BTreeMap::from([("default".into(), 1), ("users".into(), 1)]));
        let Some(Event::Conflict(report)) = events.next().await else { panic!("a conflict") };
        let json = serde_json::to_value(&*report).expect("it is plain data");
        assert_eq!(json["key"], "user:1");
        assert_eq!(json["losing"]["written"]["value"], "old\\n");
        assert_eq!(
            (&json["losing"]["node"], &json["winning"]["node"]),
            (&"a".into(), &None::<String>.into())
        );
        assert_eq!(report.winning.written, Written::Value("new".into()));
    }
}
