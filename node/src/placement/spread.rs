//! Weighted rendezvous hashing over zones, evened.

use rumour_transport::NodeId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::fair::fair_shares;
use crate::slot::SLOTS;

/// How far a member's load may be off its fair share: less than 3 %, with room for what cannot be divided.
const TOLERANCE: f64 = 0.028;
/// Where the rates of members that are further off aim at, as a part of the tolerance.
const AIM: f64 = 0.98;
/// How much of the way a rate goes at a time. Loads react to several rates at once.
const STEP: f64 = 0.9;
/// By how much a step is longer at most for a member that owns nearly every slot.
const RELUCTANCE_LIMIT: f64 = 8.0;
/// By how much a step is shorter than the one before that went the other way.
const DAMPING: f64 = 0.7;
/// After so many steps those that go to and fro get shorter.
const STEPS_AT_LENGTH: usize = 12;
/// Members up to which looking for each costs less than sorting all.
const FEW: usize = 8;
/// Steps after which it is left at that: some loads cannot be had, as few slots as there are.
const STEPS_LIMIT: usize = 64;

/// The members as far as placement is concerned, by index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) weights: Vec<f64>,
    /// Zones are numbered from zero without gaps.
    pub(super) zones: Vec<usize>,
}

/// How members draw for slots.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spread {
    zones: Vec<usize>,
    zones_len: usize,
    /// At which each member draws.
    rates: Vec<f64>,
    /// Of each slot in turn what each member drew at a rate of one, as a number of its quantile.
    draws: Vec<u16>,
    /// The exponential distribution's value at each quantile.
    quantiles: Vec<f64>,
}

/// How a member's rate moves.
#[derive(Clone, Copy)]
struct Pace {
    /// How much of the way it goes at a time.
    length: f64,
    /// Which way it went last.
    falls: bool,
}

impl Spread {
    /// Rates at which the members have their fair shares of `copies` of every slot.
    pub(super) fn even(field: Field, nodes: &[NodeId], copies: usize) -> Self {
        let Field { weights, zones } = field;
        let fair = fair_shares(&weights, &zones, copies);
        let zones_len = zones.iter().max().map_or(0, |zone| zone + 1);
        let mut spread =
            Self { zones, zones_len, rates: weights, draws: draws(nodes), quantiles: quantiles() };
        if copies < nodes.len() {
            let mut paces = vec![Pace { length: STEP, falls: false }; nodes.len()];
            for steps in 0..STEPS_LIMIT {
                if !spread.step(&fair, copies, &mut paces, steps >= STEPS_AT_LENGTH) {
                    break;
                }
            }
        }
        spread
    }

    /// Moves the rates of those whose load is too far off. Returns whether there were any. What still goes to and fro when it is `damped`,
    /// because few slots jump together, comes to rest in between.
    fn step(&mut self, fair: &[f64], copies: usize, paces: &mut [Pace], damped: bool) -> bool {
        let mut loads = vec![0_u32; fair.len()];
        for slot in 0..SLOTS {
            for member in self.choose(slot, copies) {
                loads[usize::from(member)] += 1;
            }
        }
        let mut moved = false;
        for (member, load) in loads.into_iter().enumerate() {
            let (load, wanted) = (f64::from(load), fair[member] * SLOTS as f64);
            // Slots cannot be divided.
            let is_near = (load - wanted).abs() < 1.0;
            let off = load.max(1.0) / wanted;
            if (off - 1.0).abs() > TOLERANCE && !is_near {
                let aim = off.clamp(1.0 - TOLERANCE * AIM, 1.0 + TOLERANCE * AIM);
                let pace = &mut paces[member];
                let turned = pace.falls != (off > 1.0);
                pace.falls = off > 1.0;
                if damped && turned {
                    pace.length *= DAMPING;
                }
                // The nearer a member is to owning every slot, the less its load follows its rate.
                let reluctance = (1.0 / (1.0 - load / SLOTS as f64)).min(RELUCTANCE_LIMIT);
                self.rates[member] *= libm::pow(aim / off, pace.length * reluctance);
                moved = true;
            }
        }
        moved
    }

    /// The first `count` members for a slot, the first one first: of those whose zones have fewest of the slot's copies the one of lowest
    /// cost, and of equal costs the first by name, again and again.
    pub(super) fn choose(&self, slot: usize, count: usize) -> Vec<u8> {
        let members = self.rates.len();
        let draws = &self.draws[slot * members..(slot + 1) * members];
        let drawn = draws.iter().zip(&self.rates);
        let costs: Vec<f64> = drawn.map(|(draw, rate)| self.quantiles[usize::from(*draw)] / rate).collect();
        let chosen =
            if count <= FEW { self.choose_few(costs, count) } else { self.choose_many(&costs, count) };
        // There are no more members than that: see `MEMBERS_LIMIT`.
        chosen.into_iter().map(|member| member as u8).collect()
    }

    /// Looks through all members for each one that is chosen.
    fn choose_few(&self, mut costs: Vec<f64>, count: usize) -> Vec<usize> {
        let mut in_zone = vec![0_usize; self.zones_len];
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let free = (0..costs.len()).filter(|member| costs[*member].is_finite());
            let next = free.min_by(|one, other| {
                let copies = in_zone[self.zones[*one]].cmp(&in_zone[self.zones[*other]]);
                copies.then_with(|| costs[*one].total_cmp(&costs[*other]))
            });
            let Some(member) = next else { break };
            in_zone[self.zones[member]] += 1;
            costs[member] = f64::INFINITY;
            chosen.push(member);
        }
        chosen
    }

    /// Sorts all members: by their ranks within their zones, then by cost.
    fn choose_many(&self, costs: &[f64], count: usize) -> Vec<usize> {
        let mut by_cost: Vec<usize> = (0..costs.len()).collect();
        by_cost.sort_by(|one, other| costs[*one].total_cmp(&costs[*other]));
        let mut in_zone = vec![0_usize; self.zones_len];
        let mut ranks = vec![0; costs.len()];
        for member in &by_cost {
            let rank = &mut in_zone[self.zones[*member]];
            ranks[*member] = *rank;
            *rank += 1;
        }
        by_cost.sort_by_key(|member| ranks[*member]);
        by_cost.truncate(count);
        by_cost
    }
}

/// Each member's permutation of the quantiles over the slots.
fn draws(nodes: &[NodeId]) -> Vec<u16> {
    let mut draws = vec![0; SLOTS * nodes.len()];
    for (member, node) in nodes.iter().enumerate() {
        let mut slots: Vec<(u64, u16)> = (0..SLOTS as u16)
            .map(|slot| (xxh3_64_with_seed(node.as_str().as_bytes(), u64::from(slot)), slot))
            .collect();
        slots.sort_unstable();
        for (rank, (_, slot)) in slots.into_iter().enumerate() {
            draws[usize::from(slot) * nodes.len() + member] = rank as u16;
        }
    }
    draws
}

fn quantiles() -> Vec<f64> {
    (0..SLOTS).map(|rank| -libm::log((rank as f64 + 0.5) / SLOTS as f64)).collect()
}
