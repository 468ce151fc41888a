//! Reads and writes with a quorum while members start without their memory, come, go and are cut off: what was acknowledged is read.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;

use super::world::{World, name};
use super::*;
use crate::consistency::Consistency;

/// A write that its coordinator waits for.
struct Pending {
    write: u64,
    coordinator: u64,
    holders: BTreeMap<u64, Seat>,
}

#[derive(Default)]
struct Clients {
    writes: u64,
    pending: Vec<Pending>,
    acknowledged: BTreeSet<u64>,
    /// Reads that reached a quorum.
    reads: u64,
}

impl Clients {
    fn write(&mut self, world: &mut World, node: usize) {
        let coordinator = world.incarnation(node).expect("it runs");
        let write = self.writes;
        self.writes += 1;
        world.nodes[node].data.insert(write);
        let mut pending = Pending { write, coordinator, holders: BTreeMap::new() };
        self.spread(world, node, &mut pending);
        self.pending.push(pending);
    }

    /// Sends a write to those that have not acknowledged it.
    fn spread(&mut self, world: &mut World, node: usize, pending: &mut Pending) {
        for other in 0..world.nodes.len() {
            let Some(incarnation) = world.incarnation(other).filter(|_| world.reaches(node, other)) else {
                continue;
            };
            let is_connected = world.nodes[node].connected.get(&other) == Some(&incarnation);
            if !is_connected || pending.holders.contains_key(&incarnation) || world.is_lost() {
                continue;
            }
            world.nodes[other].data.insert(pending.write);
            let (seat, clock) = (world.council(other).seat(), world.clock());
            if !world.is_lost() && world.reaches(other, node) {
                world.council(node).seated(incarnation, seat, clock);
                pending.holders.insert(incarnation, seat);
            }
        }
    }

    /// Sends again what is not acknowledged, and takes note of what is.
    fn go_on(&mut self, world: &mut World) {
        for mut pending in std::mem::take(&mut self.pending) {
            let nodes = 0..world.nodes.len();
            let node = nodes.into_iter().find(|node| world.incarnation(*node) == Some(pending.coordinator));
            // With its coordinator goes who waited.
            let Some(node) = node else { continue };
            self.spread(world, node, &mut pending);
            match world.council(node).tally_held(Consistency::Quorum, &pending.holders).is_reached() {
                true => {
                    self.acknowledged.insert(pending.write);
                }
                false => self.pending.push(pending),
            }
        }
    }

    fn read(&mut self, world: &mut World, node: usize) {
        let mut seats = BTreeMap::new();
        let mut read = world.nodes[node].data.clone();
        for other in 0..world.nodes.len() {
            let Some(incarnation) = world.incarnation(other).filter(|_| world.reaches(node, other)) else {
                continue;
            };
            if world.is_lost() || !world.reaches(other, node) {
                continue;
            }
            let (seat, clock) = (world.council(other).seat(), world.clock());
            read.extend(&world.nodes[other].data);
            world.council(node).seated(incarnation, seat, clock);
            seats.insert(incarnation, seat);
        }
        if world.council(node).tally_told(Consistency::Quorum, &seats, true).is_reached() {
            self.reads += 1;
            let missed: Vec<_> = self.acknowledged.difference(&read).collect();
            assert!(missed.is_empty(), "{} read without {missed:?}", name(node));
        }
    }
}

/// What a random schedule went through.
#[derive(Debug, Default)]
struct Met {
    restarts: usize,
    leaves: usize,
    cuts: usize,
    reads: u64,
    acknowledged: usize,
}

/// Nodes that have not caught up are as good as dead: of so many members a quorum survives so many.
fn survivable(members: usize) -> usize {
    members - Consistency::Quorum.needed(members)
}

fn run(seed: u64) -> Met {
    let mut rng = SmallRng::seed_from_u64(seed);
    let count = 2 + (seed % 5) as usize;
    let mut world = World::seeded(count);
    world.rng = SmallRng::seed_from_u64(seed);
    world.settle(Duration::from_secs(60));
    world.nodes[0].founding = Founding::Others;
    world.loss = [0, 20, 5][(seed % 3) as usize];
    let (mut clients, mut met) = (Clients::default(), Met::default());
    for _ in 0..600 {
        let running: Vec<usize> = (0..count).filter(|node| world.incarnation(*node).is_some()).collect();
        for _ in 0..2 {
            let node = *running.iter().choose(&mut rng).expect("some run");
            clients.write(&mut world, node);
            let node = *running.iter().choose(&mut rng).expect("some run");
            clients.read(&mut world, node);
        }
        world.tick();
        clients.go_on(&mut world);
        let caught_up = running.iter().filter(|node| world.council(**node).has_caught_up()).count();
        let node = *running.iter().choose(&mut rng).expect("some run");
        match rng.random_range(0..60) {
            // One that crashes now is one more that does not hold what it held.
            0 if count - caught_up < survivable(count) => {
                world.stop(node);
                world.start(node);
                met.restarts += 1;
            }
            1 if running.len() == count && caught_up == count && count > 2 => {
                world.leave(node);
                met.leaves += 1;
            }
            2 => {
                let split = rng.random_range(1..count);
                let (left, right): (Vec<usize>, Vec<usize>) = (0..count).partition(|node| *node < split);
                world.separate(&left, &right);
                met.cuts += 1;
            }
            3..8 => world.cut.clear(),
            8..12 => (0..count).filter(|node| !running.contains(node)).for_each(|node| world.start(node)),
            _ => {}
        }
    }
    (met.reads, met.acknowledged) = (clients.reads, clients.acknowledged.len());
    world.cut.clear();
    world.loss = 0;
    (0..count)
        .filter(|node| world.incarnation(*node).is_none())
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|node| world.start(node));
    world.settle(Duration::from_secs(120));
    met
}

#[tokio::test(start_paused = true)]
async fn a_quorum_reads_what_a_quorum_has_acknowledged() {
    let all: Vec<Met> = (0..100).map(run).collect();
    let sum = |of: fn(&Met) -> usize| all.iter().map(of).sum::<usize>();
    let (restarts, leaves, cuts) = (sum(|met| met.restarts), sum(|met| met.leaves), sum(|met| met.cuts));
    let (reads, acknowledged) = (sum(|met| met.reads as usize), sum(|met| met.acknowledged));
    println!("{restarts} restarts, {leaves} leaves, {cuts} cuts, {reads} reads, {acknowledged} writes");
    assert!(restarts > 100 && leaves > 20 && cuts > 300, "{all:?}");
    assert!(reads > 20_000 && acknowledged > 20_000, "{all:?}");
}
