use super::*;

const LIMIT_MS: u64 = 500;
const HOUR_MS: i64 = 3_600_000;
/// What the right clock shows when monotonic time begins.
const BEGIN_MS: i64 = 1_790_000_000_000;

fn name(peer: usize) -> NodeId {
    format!("n{peer}").parse().expect("a name")
}

/// A reading at `at_ms` of a clock that is `error_ms` off the right one, by a round trip of `round_trip_ms`.
fn reading(at_ms: u64, error_ms: i64, round_trip_ms: u64) -> Reading {
    let wall_ms = (BEGIN_MS + at_ms as i64 + error_ms) as u64;
    let sent_ms = at_ms - round_trip_ms / 2;
    Reading { sent_ms, received_ms: sent_ms + round_trip_ms, wall_ms }
}

/// A settled node whose own clock is `own_ms` off, with peers whose clocks are `errors_ms` off.
fn settled(own_ms: i64, errors_ms: &[i64]) -> Skew {
    let mut skew = Skew::new(LIMIT_MS, BEGIN_MS + own_ms);
    for (peer, error_ms) in errors_ms.iter().enumerate() {
        assert!(skew.read(&name(peer), 1, reading(1_000, *error_ms, 10)));
    }
    skew.settle();
    skew
}

/// Judges as often as it takes; gives the last judgement.
fn judge(skew: &mut Skew, own_ms: i64, now_ms: u64) -> Judgement {
    for _ in 1..JUDGEMENTS_NEEDED {
        skew.judge(BEGIN_MS + own_ms, now_ms);
    }
    skew.judge(BEGIN_MS + own_ms, now_ms)
}

fn off(judgement: &Judgement) -> Option<i64> {
    judgement.fault.map(|fault| fault.off_ms)
}

#[test]
fn clocks_within_the_limit_are_gone_by() {
    let mut skew = settled(450, &[0, 0, 0]);
    let judgement = judge(&mut skew, 450, 2_000);
    assert_eq!(judgement.fault, None);
    assert_eq!(judgement.offset_ms, BEGIN_MS + 450);
    assert_eq!(judgement.median_ms, Some(BEGIN_MS));
}

#[test]
fn a_clock_off_its_peers_is_faulty_either_way_and_their_median_is_gone_by() {
    for off_ms in [-HOUR_MS, -700, 700, HOUR_MS] {
        let mut skew = settled(off_ms, &[0, 0, 0]);
        let judgement = skew.judge(BEGIN_MS + off_ms, 2_000);
        assert_eq!(judgement.fault, Some(Off { off_ms, peers: 3 }), "at once after it settled");
        assert_eq!(judgement.offset_ms, BEGIN_MS);
        assert_eq!(judgement.changes, [(None, Some(off_ms))]);
    }
}

#[test]
fn a_minority_of_wrong_clocks_makes_no_fault_of_a_right_one() {
    for errors_ms in
        [&[0, HOUR_MS][..], &[0, 0, -HOUR_MS], &[0, 0, HOUR_MS, HOUR_MS], &[0, 0, HOUR_MS, -HOUR_MS]]
    {
        let mut skew = settled(0, errors_ms);
        let judgement = judge(&mut skew, 0, 2_000);
        assert_eq!((off(&judgement), judgement.offset_ms), (None, BEGIN_MS), "{errors_ms:?}");
        let named = skew.offs(BEGIN_MS, 2_000);
        for (peer, error_ms) in errors_ms.iter().enumerate() {
            let (_, off_ms, faulty) = named[1 + peer].clone();
            assert_eq!((off_ms, faulty), (*error_ms, *error_ms != 0), "{errors_ms:?}");
        }
    }
}

#[test]
fn of_two_clocks_both_are_off_and_what_was_right_goes_on() {
    let mut skew = settled(0, &[0]);
    assert_eq!(judge(&mut skew, 0, 1_500).fault, None);
    // This node's clock jumps: it holds on to the time before.
    let judgement = judge(&mut skew, HOUR_MS, 2_000);
    assert_eq!(judgement.fault, Some(Off { off_ms: HOUR_MS, peers: 1 }));
    assert_eq!(judgement.offset_ms, BEGIN_MS);

    // The peer's clock jumps: nor does this node follow.
    let mut skew = settled(0, &[0]);
    judge(&mut skew, 0, 1_500);
    skew.read(&name(0), 1, reading(2_000, HOUR_MS, 10));
    let judgement = judge(&mut skew, 0, 2_000);
    assert_eq!(off(&judgement), Some(-HOUR_MS));
    assert_eq!(judgement.offset_ms, BEGIN_MS);
}

#[test]
fn a_newcomer_goes_by_its_only_peer() {
    let mut skew = settled(HOUR_MS, &[0]);
    let judgement = skew.judge(BEGIN_MS + HOUR_MS, 2_000);
    assert_eq!((off(&judgement), judgement.offset_ms), (Some(HOUR_MS), BEGIN_MS));
}

#[test]
fn a_jump_is_noticed_without_another_reading_and_moves_nothing_meanwhile() {
    let mut skew = settled(0, &[0, 0]);
    judge(&mut skew, 0, 1_500);
    let first = skew.judge(BEGIN_MS + HOUR_MS, 2_000);
    assert_eq!((off(&first), first.offset_ms), (None, BEGIN_MS), "one judgement alone is no verdict");
    let second = skew.judge(BEGIN_MS + HOUR_MS, 2_250);
    assert_eq!((off(&second), second.offset_ms), (Some(HOUR_MS), BEGIN_MS));
}

#[test]
fn one_odd_look_at_the_own_clock_makes_no_fault() {
    let mut skew = settled(0, &[0, 0]);
    assert_eq!(skew.judge(BEGIN_MS, 1_500).fault, None);
    for round in 0..20 {
        let own_ms = if round % 2 == 0 { 5_000 } else { 0 };
        let judgement = skew.judge(BEGIN_MS + own_ms, 2_000 + round * 250);
        assert_eq!((off(&judgement), judgement.offset_ms), (None, BEGIN_MS));
    }
}

#[test]
fn a_fault_ends_by_itself_and_not_at_the_edge() {
    let mut skew = settled(2_000, &[0, 0]);
    assert_eq!(off(&skew.judge(BEGIN_MS + 2_000, 2_000)), Some(2_000));
    assert_eq!(off(&judge(&mut skew, 480, 2_500)), Some(480));
    let judgement = judge(&mut skew, 100, 3_000);
    assert_eq!((off(&judgement), judgement.offset_ms), (None, BEGIN_MS + 100));
    assert_eq!(judgement.changes, [(None, None)]);
}

#[test]
fn slow_readings_tell_nothing_and_uncertain_ones_accuse_nobody() {
    let mut skew = Skew::new(LIMIT_MS, BEGIN_MS);
    assert!(!skew.read(&name(0), 1, reading(5_000, HOUR_MS, 1_002)));
    assert!(!skew.read(&name(0), 1, Reading { sent_ms: 0, received_ms: 0, wall_ms: u64::MAX }));
    assert!(!skew.knows(&name(0), 1));
    // Seemingly 800 ms off, surely only some 400.
    assert!(skew.read(&name(0), 1, reading(5_000, 800, 800)));
    skew.settle();
    assert_eq!(judge(&mut skew, 0, 5_500).fault, None);
    // A quick reading settles it.
    assert!(skew.read(&name(0), 1, reading(6_000, 800, 10)));
    assert_eq!(off(&judge(&mut skew, 0, 6_500)), Some(-800));
}

#[test]
fn the_quickest_reading_counts_until_the_peers_clock_is_set() {
    let mut skew = Skew::new(LIMIT_MS, BEGIN_MS);
    skew.settle();
    skew.read(&name(0), 1, reading(1_000, 3, 4));
    for at in 2..20 {
        skew.read(&name(0), 1, reading(at * 1_000, 150, 400));
    }
    assert_eq!(skew.judge(BEGIN_MS, 20_000).median_ms, Some(BEGIN_MS + 150), "eight readings are kept");
    skew.read(&name(0), 1, reading(20_000, 3, 4));
    assert_eq!(skew.judge(BEGIN_MS, 20_000).median_ms, Some(BEGIN_MS + 3));
    skew.read(&name(0), 1, reading(21_000, 2_000, 400));
    assert_eq!(
        skew.judge(BEGIN_MS, 21_000).median_ms,
        Some(BEGIN_MS + 2_000),
        "what it contradicts is dropped"
    );
}

#[test]
fn before_it_is_settled_nothing_is_judged_and_alone_the_own_clock_is_right() {
    let mut skew = Skew::new(LIMIT_MS, BEGIN_MS);
    skew.read(&name(0), 1, reading(1_000, HOUR_MS, 10));
    assert_eq!(
        judge(&mut skew, 0, 1_000),
        Judgement { offset_ms: BEGIN_MS, changes: vec![], ..Judgement::default() }
    );
    skew.forget(&name(0));
    skew.settle();
    assert_eq!(judge(&mut skew, HOUR_MS, 2_000).offset_ms, BEGIN_MS + HOUR_MS);
}

#[test]
fn readings_age_and_a_new_incarnation_has_a_clock_of_its_own() {
    let mut skew = settled(HOUR_MS, &[0, 0]);
    assert!(skew.judge(BEGIN_MS + HOUR_MS, 2_000).fault.is_some());
    assert!(skew.knows(&name(0), 1) && !skew.knows(&name(0), 2));
    skew.read(&name(0), 2, reading(2_000, 0, 10));
    assert!(!skew.knows(&name(0), 1));
    let judgement = skew.judge(BEGIN_MS + HOUR_MS, 3_000 + SAMPLE_KEPT_MS);
    assert_eq!((judgement.fault, judgement.median_ms), (None, None));
    assert_eq!(judgement.offset_ms, BEGIN_MS + HOUR_MS);
}

#[test]
fn no_more_clocks_are_kept_than_fit() {
    let mut skew = Skew::new(LIMIT_MS, BEGIN_MS);
    for peer in 0..PEERS_LIMIT {
        assert!(skew.read(&name(peer), 1, reading(1_000, 0, 10)));
    }
    assert!(!skew.read(&name(PEERS_LIMIT), 1, reading(1_000, 0, 10)));
    assert!(skew.read(&name(0), 1, reading(1_000, 0, 10)));
}
