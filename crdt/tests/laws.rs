//! The laws of `Lattice`, and the outcome of every merge beside an oracle, over random causal histories.
//! `PROPTEST_CASES=100000` runs more of them.

mod history;
mod lattice;

use history::{Happened, State, World, steps};
use lattice::{assert_equivalent, assert_laws, joined};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rumour_crdt::{ENTRY_DOTS_LIMIT, Entry, Lattice, Merged};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` compares each state with the oracle as it goes.
    #[test]
    fn entries_obey_the_laws((replicas, steps) in steps(), picks in prop::collection::vec(any::<[Index; 3]>(), 20)) {
        let world = World::run(replicas, &steps);
        if world.states.is_empty() {
            return Ok(());
        }
        for [a, b, c] in picks {
            let [a, b, c] = [a, b, c].map(|pick| pick.get(&world.states));
            assert_laws(&a.entry, &b.entry, &c.entry);
            assert_vectors_agree(a, b, c);
        }
    }

    /// Whoever has received every state, in whatever order and however often, holds what the oracle holds.
    #[test]
    fn replicas_that_received_the_same_are_equal(
        (replicas, steps) in steps(),
        one in any::<prop::sample::Selector>(),
        order in prop::collection::vec(any::<Index>(), 0..80),
    ) {
        let world = World::run(replicas, &steps);
        if world.states.is_empty() {
            return Ok(());
        }
        let mut straight = one.select(&world.states).clone();
        let mut shuffled = order.first().map_or(&straight, |pick| pick.get(&world.states)).clone();
        for state in &world.states {
            straight.merge(state);
        }
        for state in order.iter().map(|pick| pick.get(&world.states)).chain(world.states.iter().rev()) {
            shuffled.merge(state);
        }
        assert_equivalent(&straight.entry, &shuffled.entry);
        prop_assert_eq!(straight.entry.version(), shuffled.entry.version());
    }

    /// Equal versions, equal content: this is what the digest relies on.
    #[test]
    fn versions_tell_states_apart((replicas, steps) in steps()) {
        let world = World::run(replicas, &steps);
        for pair in world.states.windows(2) {
            let [one, two] = pair else { unreachable!("windows of two") };
            let (one, two) = (&one.entry, &two.entry);
            let same_stamps = (one.stamp(), one.newest()) == (two.stamp(), two.newest());
            prop_assert_eq!(one.version() == two.version(), same_stamps);
            prop_assert_eq!(one.expiry() == two.expiry() && one.stamp() == two.stamp(), same_stamps);
        }
    }
}

/// What is promised of vectors beyond soundness, which `State::check` covers.
fn assert_vectors_agree(a: &State, b: &State, c: &State) {
    let in_order = |entry: &Entry| entry.seen().iter().collect::<Vec<_>>();
    let (ab, ba) = (joined(&a.entry, &b.entry), joined(&b.entry, &a.entry));
    if !a.entry.equivalent(&b.entry) {
        assert_eq!(in_order(&ab), in_order(&ba), "what is forgotten depends on who merged whom");
    }
    for part in [a, b] {
        let mut again = ab.clone();
        assert_eq!(again.merge(&part.entry), Merged::default());
        assert_eq!(in_order(&again), in_order(&ab));
    }

    let mut all = a.oracle.clone();
    all.merge(&b.oracle);
    all.merge(&c.oracle);
    if all.clock.dots.len() <= ENTRY_DOTS_LIMIT {
        let left = joined(&ab, &c.entry);
        let right = joined(&a.entry, &joined(&b.entry, &c.entry));
        assert_eq!(left, right, "the whole entry, vector and all");
        assert_eq!(left.seen().to_vclock(), all.clock);
    }
}

/// Histories in which nothing happens prove nothing.
#[test]
fn histories_are_eventful() {
    let mut runner = TestRunner::deterministic();
    let mut happened = Happened::default();
    for _ in 0..1024 {
        let (replicas, steps) = steps().new_tree(&mut runner).unwrap().current();
        happened += World::run(replicas, &steps).happened;
    }
    let Happened { conflicts, false_conflicts, revived, absorbed, forgotten, deletes, amnesias } = happened;
    for (what, times) in [
        ("conflicts", conflicts),
        ("false conflicts", false_conflicts),
        ("values revived by a newer expiry", revived),
        ("values absorbed by their expiry", absorbed),
        ("vectors pruned", forgotten),
        ("deletes", deletes),
        ("memories lost", amnesias),
    ] {
        assert!(times >= 10, "only {times} {what}");
    }
}
