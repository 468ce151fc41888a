mod quorum;
mod world;

use std::num::NonZeroU16;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::placement::Lineage;
use world::{REBALANCE_AFTER, SOON, World, name};

#[tokio::test(start_paused = true)]
async fn nodes_are_taken_in_one_by_one() {
    let mut world = World::seeded(5);
    world.settle(SOON);
    assert_eq!(world.epoch(0), Some(RingEpoch { number: 5, ..RingEpoch::FIRST }));
    let changes: Vec<ConfigurationChange> = world.council(0).history().cloned().collect();
    assert_eq!(changes.len(), 5);
    assert_eq!((&changes[2].added[..], changes[2].members.len()), (&[name(2)][..], 3));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_start_together_found_one_cluster() {
    let mut world = World::new(vec![Founding::Together(3); 5]);
    world.settle(SOON);
    let lineages: BTreeSet<Lineage> = world.seen.keys().map(|(lineage, _)| *lineage).collect();
    assert_eq!(lineages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn too_few_that_start_found_nothing_until_the_others_come() {
    let mut world = World::new(vec![Founding::Together(3); 5]);
    world.separate(&[0, 1], &[2, 3, 4]);
    world.pass(SOON);
    assert_eq!(world.epoch(0), None);
    assert!(world.epoch(3).is_some());
    world.cut.clear();
    world.settle(SOON);
}

/// Each of two candidates has asked nodes that the other one does not reach.
#[tokio::test(start_paused = true)]
async fn a_candidate_gives_way_to_the_first_by_name() {
    let mut world = World::new(vec![Founding::Together(3); 4]);
    world.separate(&[0], &[1, 3]);
    world.separate(&[1], &[2]);
    world.pass(SOON);
    assert_eq!(world.epoch(2), None, "neither has enough");
    world.cut.clear();
    world.settle(SOON);
    assert_eq!(world.seen.keys().filter(|(_, epoch)| epoch.number == 1).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_starts_anew_takes_its_own_place() {
    for (nodes, restarted) in
        [(3, vec![2]), (2, vec![1]), (2, vec![0]), (5, vec![0, 1, 3]), (4, vec![1, 2, 3])]
    {
        let mut world = World::seeded(nodes);
        world.settle(SOON);
        // The first node is started with seeds from now on.
        world.nodes[0].founding = Founding::Others;
        restarted.iter().for_each(|node| world.stop(*node));
        world.pass(Duration::from_secs(2));
        restarted.iter().for_each(|node| world.start(*node));
        world.settle(SOON);
        let recovered = world.epoch(0).is_some_and(|epoch| epoch.generation > 0);
        assert_eq!(recovered, restarted.len() * 2 >= nodes, "{restarted:?} of {nodes}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_takes_a_member_out_only_after_a_while_and_only_where_a_majority_is() {
    let mut world = World::seeded(5);
    world.settle(SOON);
    let before = world.epoch(0);
    world.separate(&[0, 1], &[2, 3, 4]);
    world.pass(REBALANCE_AFTER - Duration::from_secs(1));
    assert_eq!((world.epoch(0), world.epoch(4)), (before, before));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.epoch(0), before, "the smaller side changes nothing");
    let members = world.council(4).configuration().expect("it knows one").members().len();
    assert_eq!(members, 3, "the larger one takes the others out");
    world.cut.clear();
    world.settle(SOON);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_or_is_forgotten_is_taken_out_at_once() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    world.leave(1);
    world.settle(Duration::from_secs(1));
    // One of two is gone without a word: nobody knows.
    world.stop(2);
    world.pass(REBALANCE_AFTER * 3);
    assert!(!world.is_settled());
    let gone = world.council(0).incarnations_of(&name(2));
    world.council(0).forget(&gone);
    world.settle(Duration::from_secs(1));
    assert_eq!(world.epoch(0).map(|epoch| epoch.generation), Some(1));
}

#[tokio::test(start_paused = true)]
async fn survivors_wait_for_those_who_may_know_more() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    // Two take the third one out behind its back, then both start anew.
    world.separate(&[2], &[0, 1]);
    world.pass(REBALANCE_AFTER + SOON);
    world.nodes[0].founding = Founding::Others;
    world.stop(0);
    world.start(0);
    world.pass(SOON);
    let knows_more = world.epoch(1);
    world.stop(0);
    world.start(0);
    // The third one meets only one of them, which has heard nothing yet.
    world.separate(&[0], &[1]);
    world.cut.retain(|pair| !matches!(pair, (0, 2) | (2, 0)));
    let before = world.epoch(2);
    world.pass(SOON);
    assert_eq!(world.epoch(2), before);
    world.cut.clear();
    world.settle(SOON);
    assert!(world.epoch(2) > knows_more);
}

#[tokio::test(start_paused = true)]
async fn a_first_node_that_starts_again_without_seeds_comes_back_to_its_cluster() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    world.stop(0);
    world.pass(SOON);
    world.start(0);
    world.settle(SOON);
    assert_eq!(world.foreign, 0);
}

#[tokio::test(start_paused = true)]
async fn clusters_that_were_founded_apart_stay_apart() {
    let mut world = World::new(vec![Founding::Alone, Founding::Others, Founding::Alone, Founding::Others]);
    world.separate(&[0, 1], &[2, 3]);
    world.pass(SOON);
    world.cut.clear();
    world.pass(SOON);
    assert!(world.foreign > 0);
    let lineage = |world: &mut World, node| world.council(node).configuration().map(Configuration::lineage);
    assert_ne!(lineage(&mut world, 0), lineage(&mut world, 2));
    assert_eq!(lineage(&mut world, 0), lineage(&mut world, 1));
    assert_eq!(world.council(0).configuration().map(|all| all.members().len()), Some(2));
}

/// A member of the older one is started anew and meets the younger one first.
#[tokio::test(start_paused = true)]
async fn who_goes_over_to_its_former_cluster_leaves_the_other_one_behind() {
    let mut world = World::new(vec![Founding::Alone, Founding::Others, Founding::Others]);
    world.separate(&[2], &[0, 1]);
    world.settle_among(&[0, 1]);
    world.stop(2);
    world.nodes[2].founding = Founding::Alone;
    world.start(2);
    world.stop(1);
    world.start(1);
    world.cut.clear();
    world.separate(&[0], &[1, 2]);
    world.settle_among(&[1, 2]);
    world.cut.clear();
    world.settle_among(&[0, 1]);
    world.pass(SOON);
    assert!(world.foreign > 0);
    let members = |world: &mut World, node| {
        let known = world.council(node).configuration().map(Configuration::members).unwrap_or_default();
        known.iter().map(|member| member.node.clone()).collect::<Vec<_>>()
    };
    assert_eq!(members(&mut world, 2), [name(2)], "it goes on alone");
    assert_eq!(members(&mut world, 0), [name(0), name(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_founded_together_gives_way_to_an_older_one() {
    let mut world = World::new(vec![Founding::Together(2); 4]);
    world.separate(&[0, 1], &[2, 3]);
    world.pass(SOON);
    let lineages: BTreeSet<Lineage> = world.seen.keys().map(|(lineage, _)| *lineage).collect();
    assert_eq!(lineages.len(), 2);
    world.cut.clear();
    world.settle(SOON);
    assert_eq!(world.foreign, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_has_no_say() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    let before = world.epoch(0);
    (1..3).for_each(|node| world.council(node).close());
    world.stop(2);
    world.start(2);
    world.pass(SOON);
    assert_eq!(world.epoch(0), before);
}

/// Whatever happens, they become one once they reach each other.
#[tokio::test(start_paused = true)]
async fn random_cuts_and_restarts_end_in_one_configuration() {
    let mut recovered = 0;
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let nodes = rng.random_range(2..=6);
        let mut world = World::new(vec![Founding::Together(nodes / 2 + 1); nodes]);
        world.rng = SmallRng::seed_from_u64(seed ^ 77);
        world.loss = if rng.random() { 5 } else { 0 };
        world.settle(Duration::from_secs(60));
        for _ in 0..rng.random_range(1..8) {
            match rng.random_range(0..4) {
                0 => {
                    let at = rng.random_range(1..nodes);
                    let all: Vec<usize> = (0..nodes).collect();
                    world.separate(&all[..at], &all[at..]);
                }
                1 => world.cut.clear(),
                2 => {
                    let victim = rng.random_range(0..nodes);
                    // Who is left keeps the memory of the cluster.
                    if world.nodes.iter().filter(|node| node.council.is_some()).count() > 1 {
                        world.stop(victim);
                    }
                }
                _ => {
                    for node in 0..nodes {
                        if world.nodes[node].council.is_none() && rng.random() {
                            world.start(node);
                        }
                    }
                }
            }
            world.pass(Duration::from_secs(rng.random_range(0..60)));
        }
        world.cut.clear();
        for node in 0..nodes {
            if world.nodes[node].council.is_none() {
                world.start(node);
            }
        }
        world.settle(Duration::from_secs(120));
        recovered += u32::from(world.epoch(0).is_some_and(|epoch| epoch.generation > 0));
    }
    assert!(recovered > 20, "{recovered}");
}

#[tokio::test(start_paused = true)]
async fn who_is_left_behind_by_those_that_left_goes_on() {
    for leavers in [vec![1], vec![2, 3], vec![1, 2, 3]] {
        let mut world = World::seeded(if leavers.len() == 1 { 2 } else { 4 });
        world.settle(SOON);
        leavers.iter().for_each(|node| world.leave(*node));
        world.settle(SOON);
    }
}

#[tokio::test(start_paused = true)]
async fn one_left_and_one_restarted_are_no_obstacle() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    world.leave(1);
    world.stop(2);
    world.start(2);
    world.settle(SOON);
}

/// Each learns of the configuration from one that is still there, and none of those that it names is left in the end.
#[tokio::test(start_paused = true)]
async fn who_bears_the_names_of_dead_members_goes_on_for_them() {
    let mut world = World::seeded(3);
    world.settle(SOON);
    world.nodes[0].founding = Founding::Others;
    (0..2).for_each(|node| world.stop(node));
    world.start(0);
    world.pass(Duration::from_secs(2));
    world.stop(2);
    (1..3).for_each(|node| world.start(node));
    world.settle(SOON);
    assert_eq!(world.epoch(0).map(|epoch| epoch.generation), Some(1));
}

/// The first by name comes late: the second has votes already, and gives way.
#[tokio::test(start_paused = true)]
async fn votes_for_a_candidate_that_gave_way_are_free_again() {
    let mut world = World::new(vec![Founding::Together(3); 5]);
    world.separate(&[0], &[1, 2, 3, 4]);
    world.connect();
    let (candidacy, electors) = world.council(1).electors().expect("it is the first that it knows");
    for elector in electors {
        // They say yes, and nobody hears it.
        assert!(world.council(elector.incarnation as usize - 1).consent(&name(1), candidacy));
    }
    world.cut.clear();
    world.connect();
    let (first, _) = world.council(0).electors().expect("it is the first");
    assert!(world.council(1).consent(&name(0), first));
    world.settle(SOON);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_others_does_not_keep_them_from_founding() {
    let mut world = World::new(vec![Founding::Others, Founding::Together(2), Founding::Together(2)]);
    world.settle(SOON);
}

/// A member that this node has never met starts anew under its name.
#[tokio::test(start_paused = true)]
async fn a_later_start_of_a_name_ends_the_member_of_that_name() {
    let mut world = World::seeded(4);
    world.separate(&[3], &[0, 1, 2]);
    world.settle_among(&[0, 1, 2]);
    world.nodes[0].founding = Founding::Others;
    world.stop(0);
    world.cut.clear();
    // Taken in before the dead one is taken out.
    world.pass(Duration::from_secs(10));
    assert!(world.council(3).is_member());
    world.start(0);
    for node in [1, 2] {
        world.stop(node);
        world.start(node);
    }
    world.settle(SOON);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_were_told_to_forget_each_other_one_goes_on() {
    let mut world = World::seeded(2);
    world.settle(SOON);
    world.separate(&[0], &[1]);
    world.pass(Duration::from_secs(1));
    for (node, other) in [(0, 1), (1, 0)] {
        let gone = world.council(node).incarnations_of(&name(other));
        world.council(node).forget(&gone);
    }
    world.pass(SOON);
    let standings = [(0, 1), (1, 0)].map(|(from, to)| {
        let incarnation = world.incarnation(to).expect("it runs");
        let clock = world.clock();
        Standing { clock, ..world.council(from).standing(&name(to), incarnation) }
    });
    let [of_first, of_second] = standings;
    let forgotten = [world.council(1).met(of_first, 1), world.council(0).met(of_second, 1)];
    assert_eq!(forgotten.iter().filter(|heard| **heard == Heard::Forgotten).count(), 1, "{forgotten:?}");
}

/// Two sides that know nothing of each other recover the same generation.
#[test]
fn recoveries_from_different_bases_have_different_epochs() {
    let member = |incarnation: u64| Share {
        node: name(incarnation as usize),
        incarnation,
        weight: NonZeroU16::MIN,
        zone: String::new(),
    };
    let lineage = Lineage { founded_ms: 1, founder: 1, alone: true };
    let base = |members: &[u64]| {
        let members = members.iter().map(|incarnation| member(*incarnation)).collect();
        Configuration::new(lineage, RingEpoch::FIRST, Replicas::All, members).expect("it is one")
    };
    let one = base(&[1, 2, 3]).survived_by(&BTreeSet::from([1])).expect("it is one");
    let two = base(&[1, 2, 4]).survived_by(&BTreeSet::from([1])).expect("it is one");
    let three = base(&[1, 2, 3]).survived_by(&BTreeSet::from([1, 2])).expect("it is one");
    let epochs = BTreeSet::from([one.epoch(), two.epoch(), three.epoch()]);
    assert_eq!(epochs.len(), 3);
    assert!(base(&[1, 2, 3]).precedes(&three) && !base(&[1, 2, 4]).precedes(&three));
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_first_node_that_goes_back_to_its_cluster_goes_with_it() {
    let mut world = World::new(vec![Founding::Alone, Founding::Others, Founding::Others, Founding::Others]);
    world.separate(&[3], &[0, 1, 2]);
    world.settle_among(&[0, 1, 2]);
    world.cut.clear();
    world.separate(&[1, 2], &[0, 3]);
    world.stop(0);
    world.start(0);
    world.pass(SOON);
    assert!(world.council(3).is_member(), "of the new one");
    world.cut.clear();
    world.settle(SOON);
}
