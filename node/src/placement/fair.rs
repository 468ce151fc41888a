//! How many copies each member should have.

/// Of members, the copies per slot that each should have: in proportion to the weights, as far as no member has more than one copy of
/// a slot and no zone has more than it must while others have fewer. They add up to `copies`, which is no more than there are members.
pub(super) fn fair_shares(weights: &[f64], zones: &[usize], copies: usize) -> Vec<f64> {
    let sizes = zone_sizes(zones);
    // Copies are dealt in rounds, one to each zone that still has a member free.
    let dealt = |rounds: usize| sizes.iter().map(|size| rounds.min(*size)).sum::<usize>();
    let rounds = (0..).find(|rounds| dealt(*rounds) >= copies).unwrap_or_default();
    let bounds = |size: &usize| (rounds.saturating_sub(1).min(*size) as f64, rounds.min(*size) as f64);
    let bounds: Vec<(f64, f64)> = sizes.iter().map(bounds).collect();
    let mut zone_weights = vec![0.0; sizes.len()];
    weights.iter().zip(zones).for_each(|(weight, zone)| zone_weights[*zone] += weight);
    let of_zones = divide(&zone_weights, &bounds, copies as f64);

    let mut shares = vec![0.0; weights.len()];
    for (zone, share) in of_zones.into_iter().enumerate() {
        let members: Vec<usize> = (0..zones.len()).filter(|member| zones[*member] == zone).collect();
        let weights: Vec<f64> = members.iter().map(|member| weights[*member]).collect();
        let of_members = divide(&weights, &vec![(0.0, 1.0); members.len()], share);
        members.into_iter().zip(of_members).for_each(|(member, share)| shares[member] = share);
    }
    shares
}

fn zone_sizes(zones: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; zones.iter().max().map_or(0, |zone| zone + 1)];
    zones.iter().for_each(|zone| sizes[*zone] += 1);
    sizes
}

/// Divides `total` in proportion to the weights within bounds, which must allow it.
fn divide(weights: &[f64], bounds: &[(f64, f64)], total: f64) -> Vec<f64> {
    let at = |level: f64| -> Vec<f64> {
        let each = weights.iter().zip(bounds);
        each.map(|(weight, (low, high))| (weight * level).clamp(*low, *high)).collect()
    };
    let (mut low, mut high) = (0.0, 1.0);
    while at(high).iter().sum::<f64>() < total && high < 1e12 {
        high *= 2.0;
    }
    // Each step halves what is left of the doubt.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at(middle).iter().sum::<f64>() < total { low = middle } else { high = middle }
    }
    at(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_shares(weights: &[f64], zones: &[usize], copies: usize, wanted: &[f64]) {
        let shares = fair_shares(weights, zones, copies);
        let near = shares.iter().zip(wanted).all(|(share, wanted)| (share - wanted).abs() < 1e-9);
        assert!(near && shares.len() == wanted.len(), "{shares:?} and not {wanted:?}");
    }

    #[test]
    fn shares_follow_the_weights() {
        assert_shares(&[1.0, 1.0, 2.0], &[0, 0, 0], 1, &[0.25, 0.25, 0.5]);
    }

    #[test]
    fn nobody_has_two_copies_of_a_slot() {
        assert_shares(&[1.0, 1.0, 100.0], &[0, 0, 0], 2, &[0.5, 0.5, 1.0]);
        assert_shares(&[1.0, 7.0, 100.0], &[0, 0, 0], 3, &[1.0, 1.0, 1.0]);
    }

    #[test]
    fn each_of_as_many_zones_as_copies_has_one() {
        assert_shares(
            &[1.0, 1.0, 1.0, 1.0, 2.0],
            &[0, 0, 0, 1, 2],
            3,
            &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0, 1.0],
        );
    }

    #[test]
    fn zones_that_are_too_few_share_as_evenly_as_they_can() {
        assert_shares(&[1.0; 4], &[0, 0, 1, 1], 3, &[0.75; 4]);
        assert_shares(&[1.0; 5], &[0, 0, 0, 0, 1], 3, &[0.5, 0.5, 0.5, 0.5, 1.0]);
        assert_shares(&[1.0, 1.0, 3.0, 3.0], &[0, 0, 1, 1], 3, &[0.5, 0.5, 1.0, 1.0]);
    }
}
