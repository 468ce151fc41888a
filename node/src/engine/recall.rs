//! Bringing back what was evicted here, from peers that still have it.
//!
//! A node that has evicted a key must not contribute to it as if there was nothing: its peers go on with what they have.
//! So whoever waits for the network anyway, which is the doors, recalls keys before it uses them.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::{Engine, EngineState};
use crate::consistency::{Consistency, Tally};

/// What keys are recalled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be looked at.
    Read,
    /// To be changed by what depends on the present state: all but setting or deleting a key.
    Write,
}

/// What came of asking peers for keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recalled {
    /// Keys that no peer gave, though one that did not answer may hold more of them.
    pub(crate) unsure: BTreeSet<Bytes>,
    /// Keys that no member holds more of than this one.
    pub(crate) absent: BTreeSet<Bytes>,
}

/// Asks peers.
pub(crate) trait Recaller: Send + Sync {
    /// Has peers give what they hold of these keys, and merges it.
    fn recall(&self, keys: Vec<Bytes>) -> Pin<Box<dyn Future<Output = Recalled> + Send>>;

    /// Brings in what so many owners hold of these keys, or says how many answered. Gives the keys of which one that answered held
    /// something else than this node does then.
    fn consult(
        &self,
        keys: Vec<Bytes>,
        level: Consistency,
    ) -> Pin<Box<dyn Future<Output = Result<BTreeSet<Bytes>, Tally>> + Send>>;
}

impl Engine {
    /// Whether any key may have to be [recalled](Self::recall). Quick: no lock is taken, and as long as nobody evicts it is false.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.inner.store.has_gaps()
    }

    /// Whether the key has to be [recalled](Self::recall) before it is used.
    #[must_use]
    pub fn lacks(&self, key: &[u8], purpose: Purpose) -> bool {
        self.has_gaps()
            && match purpose {
                Purpose::Read => self.inner.store.is_evicted(key),
                Purpose::Write => self.inner.store.may_be_evicted(key),
            }
    }

    /// Brings back those of the keys that were evicted here, from peers that have them. Waits for peers only if there are such
    /// keys, and for a few seconds at most; a key that no peer answered for
    /// shows as missing, or in part, and [`write`](Self::write) refuses to change it.
    ///
    /// None of the keys is evicted before what is given is dropped: use them first.
    pub async fn recall(&self, keys: impl IntoIterator<Item = &[u8]>, purpose: Purpose) -> Kept {
        // The way of nearly every command: nothing is taken note of.
        if !self.has_gaps() {
            return Kept::none();
        }
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        let Some(recaller) = self.inner.recaller.get() else { return Kept::none() };
        if !keys.iter().any(|key| self.lacks(key, purpose)) {
            return Kept::none();
        }
        // Those that are here stay as well: what comes takes room.
        let keys: Vec<Bytes> = keys.into_iter().map(Bytes::copy_from_slice).collect();
        let lacking: Vec<Bytes> = keys.iter().filter(|key| self.lacks(key, purpose)).cloned().collect();
        // Made before anything is waited for: dropped midway, it lets the keys go.
        let kept = Kept::new(&self.inner, keys);
        let recalled = recaller.recall(lacking.clone()).await;
        let counters = &self.inner.counters;
        for key in &lacking {
            if recalled.unsure.contains(key) {
                counters.recalls_failed.add(1);
            } else if !recalled.absent.contains(key) {
                counters.recalled.add(1);
            } else if !self.inner.store.settle(key, self.now_ms()) && purpose == Purpose::Write {
                // It may begin anew.
                self.inner.store.note_absent(key);
            }
        }
        kept
    }
}

/// The keys of a recall, which are not evicted as long as this lives.
#[must_use = "the keys may be evicted again before they are used"]
pub struct Kept(Option<(Arc<EngineState>, Vec<Bytes>)>);

impl Kept {
    pub(super) fn new(engine: &Arc<EngineState>, keys: Vec<Bytes>) -> Self {
        engine.store.want(&keys);
        Self(Some((Arc::clone(engine), keys)))
    }

    /// Nothing has to be kept.
    pub(super) fn none() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.0.as_ref().map_or(0, |(_, keys)| keys.len())).finish()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some((engine, keys)) = &self.0 {
            engine.store.want_no_more(keys);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use rumour_crdt::Entry;

    use super::*;
    use crate::engine::SetOptions;
    use crate::engine::testing::{engine_at, engine_within, evict};
    use crate::error::WriteError;
    use crate::replication::{Change, Outbox, Taken};
    use crate::store::{Brought, Found};

    /// A peer that gives what it has, or does not answer.
    struct Peer {
        to: Arc<EngineState>,
        from: Option<Arc<EngineState>>,
    }

    impl Recaller for Peer {
        fn recall(&self, keys: Vec<Bytes>) -> Pin<Box<dyn Future<Output = Recalled> + Send>> {
            let Some(from) = &self.from else {
                let unsure = keys.into_iter().collect();
                return Box::pin(std::future::ready(Recalled { unsure, absent: BTreeSet::new() }));
            };
            keys.iter().for_each(|key| send(from, &self.to, key));
            let absent = keys.into_iter().filter(|key| self.to.store.may_be_evicted(key)).collect();
            Box::pin(std::future::ready(Recalled { unsure: BTreeSet::new(), absent }))
        }

        fn consult(
            &self,
            _: Vec<Bytes>,
            _: Consistency,
        ) -> Pin<Box<dyn Future<Output = Result<BTreeSet<Bytes>, Tally>> + Send>> {
            Box::pin(std::future::ready(Err(Tally::default())))
        }
    }

    /// Brings one engine's state of a key to another one.
    fn send(from: &EngineState, to: &EngineState, key: &[u8]) {
        if let Found::Entries(held) = from.store.entries_at(from.store.position(key), usize::MAX) {
            held.into_iter().for_each(|(key, entry)| {
                to.apply(&key, entry, Brought::AsHeld);
            });
        }
    }

    /// A node with little memory and a peer with much; the latter answers if it is `there`.
    fn pair(there: bool) -> (Arc<EngineState>, Arc<EngineState>) {
        let (small, peer) = (engine_within(1, 1_000_000, 60_000), engine_at(2, 1_000_000));
        let from = there.then(|| peer.clone());
        let set = small.recaller.set(Box::new(Peer { to: small.clone(), from }));
        assert!(set.is_ok());
        (small, peer)
    }

    impl Engine {
        fn is_missing(&self, key: &[u8]) -> bool {
            self.lacks(key, Purpose::Read)
        }
    }

    #[tokio::test]
    async fn what_was_evicted_comes_back_before_it_is_changed() {
        let (small, peer) = pair(true);
        let (here, there) = (Engine::new(small.clone()), Engine::new(peer.clone()));
        for key in [&b"number"[..], b"counted"] {
            if key == b"number" {
                here.set(key, "40".into(), SetOptions::default()).expect("it serves");
            }
            here.write(key, |key| key.add(2)).expect("it serves").expect("a number");
            send(&small, &peer, key);
            evict(&here, key);
            assert_eq!(here.get(key), None);
            assert_eq!(here.write(key, |key| key.add(1)), Err(WriteError::Evicted));
            drop(here.recall([key], Purpose::Write).await);
            here.write(key, |key| key.add(1)).expect("it came back").expect("a number");
            send(&small, &peer, key);
        }
        assert_eq!((there.get(b"number"), there.get(b"counted")), (Some("43".into()), Some("3".into())));
        assert_eq!(small.counters.recalled.get(), 2);
    }

    #[tokio::test]
    async fn contributions_that_a_peer_missed_are_not_taken_back_by_later_ones() {
        let (small, peer) = pair(true);
        let other = engine_at(3, 1_000_000);
        let here = Engine::new(small.clone());
        let add = |by| here.write(b"counted", |key| key.add(by)).expect("it serves").expect("a number");
        let put = |member: &str| {
            let put = here.write(b"set", |key| {
                let mut set = key.members().expect("a set");
                set.put(member.as_bytes(), (), None);
            });
            put.expect("it serves");
        };
        let both = |from: &EngineState, to: &EngineState| {
            send(from, to, b"counted");
            send(from, to, b"set");
        };
        add(5);
        put("a");
        both(&small, &peer);
        // The third node gets these, the peer does not.
        add(3);
        put("b");
        both(&small, &other);
        evict(&here, b"counted");
        evict(&here, b"set");
        drop(here.recall([&b"counted"[..], b"set"], Purpose::Write).await);
        add(1);
        put("c");
        both(&small, &other);
        both(&other, &peer);
        for engine in [other, peer] {
            let engine = Engine::new(engine);
            assert_eq!(engine.get(b"counted"), Some("9".into()));
            let members = engine.read(b"set", |view| view?.members().map(rumour_crdt::Fields::len));
            assert_eq!(members, Some(3));
        }
    }

    #[tokio::test]
    async fn a_key_that_is_here_stays_while_others_are_fetched() {
        let (small, peer) = pair(true);
        let here = Engine::new(small.clone());
        for key in [&b"away"[..], b"here"] {
            here.set(key, "v".into(), SetOptions::default()).expect("it serves");
            send(&small, &peer, key);
        }
        evict(&here, b"away");
        drop(here.recall([&b"here"[..]], Purpose::Read).await);
        let kept = here.recall([&b"here"[..], b"away"], Purpose::Read).await;
        for n in 0..1_000 {
            let set = here.set(format!("more {n}").as_bytes(), vec![b'x'; 500].into(), SetOptions::default());
            set.expect("it serves");
        }
        assert_eq!((here.get(b"here"), here.get(b"away")), (Some("v".into()), Some("v".into())));
        drop(kept);
    }

    #[tokio::test]
    async fn without_an_answer_a_change_is_refused_and_a_set_is_not() {
        let (small, _) = pair(false);
        let here = Engine::new(small.clone());
        here.write(b"counted", |key| key.add(2)).expect("it serves").expect("a number");
        evict(&here, b"counted");
        drop(here.recall([&b"counted"[..]], Purpose::Write).await);
        assert_eq!(here.write(b"counted", |key| key.add(1)), Err(WriteError::Evicted));
        assert_eq!(small.counters.recalls_failed.get(), 1);
        here.set(b"counted", "7".into(), SetOptions::default()).expect("nothing of what was there matters");
        assert_eq!(here.write(b"counted", |key| key.add(1)), Ok(Ok(8)));
    }

    #[tokio::test]
    async fn a_flush_ends_an_evicted_counter_without_forgetting_it() {
        let (small, _) = pair(true);
        let here = Engine::new(small.clone());
        here.write(b"counted", |key| key.add(2)).expect("it serves").expect("a number");
        evict(&here, b"counted");
        here.flush().expect("it serves");
        assert!(!here.lacks(b"counted", Purpose::Write) && !here.lacks(b"unheard of", Purpose::Write));
        assert_eq!(small.store.memory_use().stubs_dropped, 0);
    }

    #[tokio::test]
    async fn what_nobody_has_any_more_begins_anew() {
        let (small, _) = pair(true);
        let here = Engine::new(small.clone());
        here.write(b"counted", |key| key.add(2)).expect("it serves").expect("a number");
        evict(&here, b"counted");
        drop(here.recall([&b"counted"[..]], Purpose::Read).await);
        assert_eq!(here.get(b"counted"), None);
        drop(here.recall([&b"counted"[..]], Purpose::Write).await);
        assert_eq!(here.write(b"counted", |key| key.add(1)), Ok(Ok(1)));
        assert_eq!(small.store.stale_cells(), Vec::<u16>::new());
    }

    #[tokio::test]
    async fn a_peer_that_missed_the_latest_value_does_not_bring_back_an_older_one() {
        let (small, peer) = pair(true);
        let here = Engine::new(small.clone());
        let set = |value: &'static str| here.set(b"k", value.into(), SetOptions::default());
        set("old").expect("it serves");
        send(&small, &peer, b"k");
        set("new").expect("it serves");
        evict(&here, b"k");
        drop(here.recall([&b"k"[..]], Purpose::Read).await);
        assert_eq!(here.get(b"k"), None);
        assert!(here.is_missing(b"k"), "another peer may have the new one");
    }

    fn put(engine: &Engine, name: &[u8]) {
        let put = engine.write(b"set", |key| key.members().map(|mut set| set.put(name, (), None)));
        put.expect("it serves").expect("a set");
    }

    #[tokio::test]
    async fn a_part_is_no_whole() {
        let (small, peer) = pair(true);
        let (here, there) = (Engine::new(small.clone()), Engine::new(peer.clone()));
        put(&here, b"a");
        send(&small, &peer, b"set");
        evict(&here, b"set");
        let queue = peer.fanout.queue(&"small".parse().expect("a name"));
        put(&there, b"b");
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        assert!(here.is_missing(b"set"), "one member of two");
        assert_ne!(small.store.all_versions(0), peer.store.all_versions(0), "sync sees the difference");
        drop(here.recall([&b"set"[..]], Purpose::Read).await);
        assert!(!here.is_missing(b"set"));
        let members = here.read(b"set", |view| view?.members().map(rumour_crdt::Fields::len));
        assert_eq!(members, Some(2));
        assert_eq!(small.store.stale_cells(), Vec::<u16>::new());
    }

    #[tokio::test]
    async fn a_part_is_all_that_there_is_when_no_peer_has_more() {
        let (small, _) = pair(true);
        let (here, other) = (Engine::new(small.clone()), engine_at(3, 1_000_000));
        put(&here, b"a");
        evict(&here, b"set");
        let queue = other.fanout.queue(&"small".parse().expect("a name"));
        put(&Engine::new(other.clone()), b"b");
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        assert!(here.is_missing(b"set"));
        drop(here.recall([&b"set"[..]], Purpose::Read).await);
        assert!(!here.is_missing(b"set"), "it is not asked for again at each read");
    }

    #[test]
    fn all_that_another_node_has_is_no_whole_either() {
        let (small, peer) = pair(true);
        let (here, there) = (Engine::new(small.clone()), Engine::new(peer.clone()));
        put(&here, b"a");
        evict(&here, b"set");
        let queue = peer.fanout.queue(&"small".parse().expect("a name"));
        put(&there, b"b");
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        assert!(here.is_missing(b"set"), "a third node may have both");
    }

    #[tokio::test]
    async fn a_removal_by_itself_does_not_make_an_evicted_key_look_dead() {
        let (small, peer) = pair(true);
        let (here, there) = (Engine::new(small.clone()), Engine::new(peer.clone()));
        for name in [b"a", b"b"] {
            put(&here, name);
        }
        send(&small, &peer, b"set");
        evict(&here, b"set");
        let queue = peer.fanout.queue(&"small".parse().expect("a name"));
        let removed = there.write(b"set", |key| key.members().map(|mut set| set.remove(b"a")));
        assert_eq!(removed, Ok(Ok(true)));
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        assert_eq!(small.store.tombstones(), 0, "it would be collected");
        assert!(here.is_missing(b"set"));
        assert_ne!(small.store.all_versions(0), peer.store.all_versions(0), "sync sees the difference");
        send(&peer, &small, b"set");
        assert_eq!(here.read(b"set", |view| view?.members().map(rumour_crdt::Fields::len)), Some(1));
    }

    #[tokio::test]
    async fn a_part_that_was_collected_as_dead_may_still_have_a_rest() {
        let (small, peer) = pair(true);
        let (here, there) = (Engine::new(small.clone()), Engine::new(peer.clone()));
        put(&here, b"a");
        send(&small, &peer, b"set");
        evict(&here, b"set");
        let queue = peer.fanout.queue(&"small".parse().expect("a name"));
        put(&there, b"b");
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        let removed = there.write(b"set", |key| key.members().map(|mut set| set.remove(b"b")));
        assert_eq!(removed, Ok(Ok(true)));
        small.apply(b"set", delta_in(&queue.outbox), Brought::ByReplication);
        assert_eq!(small.store.tombstones(), 1, "nothing shows of the part");
        let later = || small.clock.send_time();
        assert_eq!(small.store.collect(rumour_crdt::Hlc::MAX, 10, later), 1);
        assert!(here.lacks(b"set", Purpose::Write), "the peer still has a member");
    }

    #[test]
    fn a_part_that_sync_brings_is_not_taken_for_the_whole() {
        let there = engine_at(2, 1_000_000);
        let add = || Engine::new(there.clone()).write(b"n", |key| key.add(1)).expect("it serves");
        add().expect("a number");
        let queue = there.fanout.queue(&"here".parse().expect("a name"));
        add().expect("a number");
        let delta = delta_in(&queue.outbox);
        for (brought, is_part) in [(Brought::AsHeld, true), (Brought::ByReplication, false)] {
            let here = engine_at(1, 1_000_000);
            here.apply(b"n", delta.clone(), brought);
            assert_eq!(Engine::new(here).lacks(b"n", Purpose::Read), is_part, "{brought:?}");
        }
    }

    /// The one delta that waits for a peer.
    fn delta_in(outbox: &Mutex<Outbox>) -> Entry {
        let mut delta = None;
        outbox.lock().next_batch(0, 1, |_, change| {
            if let Change::Delta(waiting) = change {
                delta = Some(waiting.entry.clone());
            }
            Taken { lost: false, room: false }
        });
        delta.expect("the peer is known to hold what it is added to")
    }
}
