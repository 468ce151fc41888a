use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

fn member(name: usize, weight: u16, zone: usize) -> Share {
    Share {
        node: format!("n{name}").parse().expect("a name"),
        incarnation: name as u64,
        weight: NonZeroU16::new(weight).expect("a weight"),
        zone: format!("z{zone}"),
    }
}

fn configuration(replicas: usize, members: Vec<Share>) -> Configuration {
    let replicas = u16::try_from(replicas).ok().and_then(NonZeroU16::new).expect("a number");
    Configuration::new(lineage(7), RingEpoch::FIRST, Replicas::Count(replicas), members).expect("it is one")
}

fn lineage(founder: u64) -> Lineage {
    Lineage { founded_ms: 1, founder, alone: true }
}

/// One where everybody owns everything.
fn numbered(founder: u64, number: u64, members: Vec<Share>) -> Result<Configuration, InvalidConfiguration> {
    Configuration::new(lineage(founder), RingEpoch { number, ..RingEpoch::FIRST }, Replicas::All, members)
}

/// Members of one weight and zone, from a first number on.
fn alike(members: std::ops::Range<usize>) -> Vec<Share> {
    members.map(|name| member(name, 1, 0)).collect()
}

fn loads(table: &Table) -> BTreeMap<NodeId, usize> {
    let mut loads: BTreeMap<NodeId, usize> = table.nodes.iter().map(|node| (node.clone(), 0)).collect();
    for slot in 0..SLOTS as u16 {
        table.owners(slot).for_each(|owner| *loads.get_mut(owner).expect("a member") += 1);
    }
    loads
}

/// Copies that the second table puts where the first has none.
fn moved(before: &Table, after: &Table) -> usize {
    let slots = 0..SLOTS as u16;
    slots.map(|slot| after.owners(slot).filter(|owner| !before.owns(owner, slot)).count()).sum()
}

#[test]
fn loads_are_within_three_percent_from_three_to_fifty_members() {
    for members in [3, 4, 5, 7, 10, 20, 35, 50] {
        for replicas in [1, 2, 3] {
            let table = Table::new(&configuration(replicas, alike(0..members)));
            let fair = (SLOTS * replicas) as f64 / members as f64;
            for (node, load) in loads(&table) {
                let off = load as f64 / fair - 1.0;
                assert!(off.abs() <= 0.03, "{node} of {members}, {replicas} copies: {:.1} %", off * 100.0);
            }
        }
    }
}

#[test]
fn a_join_or_a_leave_moves_no_more_than_its_share_and_a_tenth() {
    for members in [3, 5, 10, 20, 50] {
        for replicas in [1, 2, 3] {
            // With a copy of each slot the chance that has to be evened out is larger than a tenth of one part in fifty.
            if replicas == 1 && members > 30 {
                continue;
            }
            let small = Table::new(&configuration(replicas, alike(0..members)));
            let large = Table::new(&configuration(replicas, alike(0..members + 1)));
            let share = (SLOTS * replicas.min(members + 1)) as f64 / (members + 1) as f64;
            for (what, moved) in [("join", moved(&small, &large)), ("leave", moved(&large, &small))] {
                assert!(
                    moved as f64 <= share * 1.1,
                    "{what}, {members} members, {replicas} copies: {:.3} shares",
                    moved as f64 / share
                );
            }
        }
    }
}

#[test]
fn the_largest_cluster_has_a_table() {
    let members: Vec<Share> = (0..MEMBERS_LIMIT).map(|name| member(name, 1, name % 9)).collect();
    for replicas in [3, 255, 256] {
        let table = Table::new(&configuration(replicas, members.clone()));
        assert_eq!(loads(&table).values().sum::<usize>(), SLOTS * replicas);
        assert_eq!(table.ranking(16_383).count(), MEMBERS_LIMIT);
    }
}

#[test]
fn who_should_own_everything_does() {
    let members = (0..13).map(|name| member(name, if name == 12 { 4 } else { 3 }, 0)).collect();
    let loads = loads(&Table::new(&configuration(10, members)));
    let heavy = loads[&"n12".parse().expect("a name")];
    assert!(heavy as f64 >= SLOTS as f64 * 0.97, "{heavy}");
}

#[test]
fn loads_follow_weights_and_zones() {
    let members = [(1, 0), (2, 0), (3, 0), (4, 1), (2, 1), (3, 2), (3, 2), (1, 3)];
    let members = members.into_iter().enumerate().map(|(name, (weight, zone))| member(name, weight, zone));
    let configuration = configuration(3, members.collect());
    let table = Table::new(&configuration);
    let weights: Vec<f64> =
        configuration.members().iter().map(|member| f64::from(member.weight.get())).collect();
    let zones = [0, 0, 0, 1, 1, 2, 2, 3];
    let fair = fair::fair_shares(&weights, &zones, 3);
    for ((node, load), fair) in loads(&table).into_iter().zip(fair) {
        let off = load as f64 / (fair * SLOTS as f64) - 1.0;
        assert!(off.abs() <= 0.03, "{node}: {:.1} %", off * 100.0);
    }
}

#[test]
fn everybody_owns_everything_where_that_is_asked_for() {
    let configuration = numbered(7, 7, alike(0..5)).expect("it is one");
    let table = Table::new(&configuration);
    assert_eq!((table.epoch().number, table.owners(0).len()), (7, 5));
    assert!(loads(&table).values().all(|load| *load == SLOTS));
}

#[test]
fn what_is_no_configuration_is_refused() {
    let refused = |members| numbered(7, 1, members).map(|_| ());
    assert_eq!(refused(vec![]), Err(InvalidConfiguration::Empty));
    let last = RingEpoch { number: u64::MAX, ..RingEpoch::FIRST };
    assert_eq!(numbered(7, last.number, alike(0..1)), Err(InvalidConfiguration::Epoch(last)));
    assert_eq!(refused(alike(0..257)), Err(InvalidConfiguration::TooMany { members: 257 }));
    let twice = vec![member(1, 1, 0), member(1, 2, 3)];
    assert_eq!(refused(twice), Err(InvalidConfiguration::Twice("n1".parse().expect("a name"))));
    let one_incarnation = Share { incarnation: 2, ..member(1, 1, 0) };
    let refused_as = refused(vec![one_incarnation, member(2, 1, 0)]);
    assert_eq!(refused_as, Err(InvalidConfiguration::Twice("n2".parse().expect("a name"))));
    let mut long = member(1, 1, 0);
    long.zone = "z".repeat(65);
    assert_eq!(refused(vec![long]), Err(InvalidConfiguration::ZoneTooLong("n1".parse().expect("a name"))));
}

#[test]
fn what_is_no_configuration_is_not_decoded() {
    let good = configuration(2, alike(0..3));
    let bytes = rumour_transport::codec::encode(&good).expect("encodes");
    assert_eq!(rumour_transport::codec::decode::<Configuration>(&bytes).ok().as_ref(), Some(&good));
    let bad = (good.lineage(), good.epoch(), good.replicas(), vec![member(1, 1, 0), member(1, 1, 0)]);
    let bytes = rumour_transport::codec::encode(&bad).expect("encodes");
    assert!(rumour_transport::codec::decode::<Configuration>(&bytes).is_err());
}

#[test]
fn one_member_changes_at_a_time() {
    let of = |number, members| numbered(7, number, members).expect("it is one");
    let base = of(4, alike(0..3));
    assert!(base.precedes(&of(5, alike(0..4))), "one joins");
    assert!(base.precedes(&of(5, alike(0..2))), "one leaves");
    assert!(base.precedes(&of(5, vec![member(0, 1, 0), member(1, 9, 0), member(2, 1, 0)])), "one changes");
    let restarted = Share { incarnation: 77, ..member(1, 1, 0) };
    assert!(base.precedes(&of(5, vec![member(0, 1, 0), restarted, member(2, 1, 0)])), "one starts anew");
    assert!(!base.precedes(&of(5, alike(1..4))), "one joins and one leaves");
    let elsewhere = numbered(8, 5, alike(0..4)).expect("it is one");
    assert!(!base.precedes(&elsewhere) && !elsewhere.is_later_than(&base), "another cluster");
    assert!(!base.precedes(&of(6, alike(0..4))) && !base.precedes(&of(4, alike(0..3))), "another number");
    let survivors = base.survived_by(&[0, 2, 9].into()).expect("it is one");
    assert!(
        base.precedes(&survivors)
            && survivors.recovers(&base)
            && survivors.is_later_than(&of(99, alike(0..3)))
    );
    assert_eq!(survivors.members(), [member(0, 1, 0), member(2, 1, 0)]);
    assert_eq!(survivors.epoch().to_string(), "5.1");
    let grown =
        Configuration::new(lineage(7), survivors.epoch(), Replicas::All, alike(0..4)).expect("it is one");
    assert!(!base.precedes(&grown), "recovery only removes");
    let majority = |incarnations: &[u64]| base.is_majority(&incarnations.iter().copied().collect());
    assert!(majority(&[0, 2, 9]) && !majority(&[1, 8, 9]));
}

/// Every node has to come to this table, whatever it runs on: a change of it is a change of the protocol.
#[test]
fn a_table_is_the_same_in_every_build() {
    let members = (0..7).map(|name| member(name, 1 + name as u16 % 3, name % 3)).collect();
    let table = Table::new(&configuration(3, members));
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    hash.update(&table.owners);
    assert_eq!(hash.digest(), 5_400_705_140_226_516_722);
}

fn members() -> impl Strategy<Value = Vec<Share>> {
    let one = (1..6_u16, 0..5_usize);
    prop::collection::vec(one, 1..24).prop_map(|members| {
        let numbered = members.into_iter().enumerate();
        numbered.map(|(name, (weight, zone))| member(name, weight, zone)).collect()
    })
}

fn assert_loads_are_near(weights: &[u16], replicas: usize) {
    let named = weights.iter().enumerate().map(|(name, weight)| member(name, *weight, 0));
    let configuration = configuration(replicas, named.collect());
    let weights: Vec<f64> =
        configuration.members().iter().map(|member| f64::from(member.weight.get())).collect();
    let fair = fair::fair_shares(&weights, &vec![0; weights.len()], configuration.owners_per_slot());
    for ((node, load), fair) in loads(&Table::new(&configuration)).into_iter().zip(fair) {
        let wanted = fair * SLOTS as f64;
        // Few slots jump by one at a time, and the rates of several members at once.
        assert!((load as f64 - wanted).abs() <= (wanted * 0.03).max(2.0), "{node}: {load} and not {wanted}");
    }
}

#[test]
fn a_small_share_comes_to_rest_between_large_ones() {
    assert_loads_are_near(&[1663, 820, 252, 1234, 19, 726, 1484, 1292, 647, 1585, 1133, 1573], 1);
}

#[test]
fn a_member_that_owns_nearly_every_slot_comes_to_own_fewer() {
    assert_loads_are_near(&[1008, 1171, 1112, 86], 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_members_are_listed_does_not_matter(
        members in members().prop_shuffle(),
        replicas in 1..5_usize,
    ) {
        let mut sorted = members.clone();
        sorted.sort_unstable();
        let (one, two) = (configuration(replicas, members), configuration(replicas, sorted));
        prop_assert_eq!(Table::new(&one).owners, Table::new(&two).owners);
    }

    #[test]
    fn loads_are_as_near_to_the_weights_as_slots_can_be(
        weights in prop::collection::vec(1..2_000_u16, 2..16),
        replicas in 1..4_usize,
    ) {
        assert_loads_are_near(&weights, replicas);
    }

    #[test]
    fn owners_differ_and_so_do_their_zones_while_there_are_enough(members in members(), replicas in 1..5_usize) {
        let configuration = configuration(replicas, members);
        let table = Table::new(&configuration);
        let zone: BTreeMap<&NodeId, &str> =
            configuration.members().iter().map(|member| (&member.node, &*member.zone)).collect();
        let zones = zone.values().collect::<BTreeSet<_>>().len();
        for slot in 0..SLOTS as u16 {
            let owners: Vec<&NodeId> = table.owners(slot).collect();
            prop_assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), configuration.owners_per_slot());
            let of_owners = owners.iter().map(|owner| zone[owner]).collect::<BTreeSet<_>>();
            prop_assert_eq!(of_owners.len(), zones.min(owners.len()));
            let ranked: Vec<&NodeId> = table.ranking(slot).collect();
            prop_assert!(ranked.starts_with(&owners));
            prop_assert_eq!(ranked.into_iter().collect::<BTreeSet<_>>().len(), zone.len());
        }
    }
}
