use proptest::prelude::*;

use super::*;
use crate::{ActorId, Hlc};

fn stamp(ms: u64, actor: u64, seq: u64) -> Stamp {
    Stamp { time: Hlc::from_parts(ms, 0), actor: ActorId::new(actor), seq }
}

fn by(ms: u64, actor: u64, seq: u64) -> Origin {
    Origin { stamp: stamp(ms, actor, seq), unbroken_since: 0 }
}

fn joined<P: Payload>(one: &Fields<P>, two: &Fields<P>) -> Fields<P> {
    let mut both = one.clone();
    both.join(two);
    both
}

/// A node that has dropped an element which ended counts from nothing; another that is late to drop it must not take
/// that away.
#[test]
fn dropping_an_ended_element_late_spares_what_was_added_after_its_end() {
    let mut early = Fields::<bytes::Bytes>::default();
    early.put(b"f", "1".into(), Some(100), by(10, 1, 1), &mut Fields::delta());
    early.add(b"f", Amount::Integer(5), by(20, 1, 2), &mut Fields::delta());
    let mut late = early.clone();
    assert_eq!(early.purge(100), 1);
    let mut delta = Fields::delta();
    early.add(b"f", Amount::Integer(7), by(110, 1, 3), &mut delta);
    late.join(&delta);
    assert_eq!(late.purge(120), 1);
    for fields in [&early, &late, &joined(&early, &late), &joined(&late, &early)] {
        let field = fields.get(b"f", 120).expect("something was added");
        assert_eq!((field.puts().len(), field.counter().unwrap().total().integer), (0, 7));
    }
}

#[test]
fn ends_set_at_one_time_by_two_actors_show_in_the_fingerprint() {
    let mut one = Fields::<bytes::Bytes>::default();
    one.put(b"f", "1".into(), None, by(10, 1, 1), &mut Fields::delta());
    let mut two = one.clone();
    assert!(one.set_expiry(b"f", Some(100), stamp(20, 2, 5), &mut Fields::delta()));
    assert!(two.set_expiry(b"f", Some(200), stamp(20, 3, 5), &mut Fields::delta()));
    assert_ne!(one.fingerprint(), two.fingerprint());
    assert_eq!(joined(&one, &two), joined(&two, &one));
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        name: u8,
        score: i8,
        ttl_ms: Option<u8>,
    },
    Add {
        name: u8,
        by: i8,
    },
    Remove {
        name: u8,
    },
    Expire {
        name: u8,
        ttl_ms: Option<u8>,
    },
    Purge,
    /// Merges what another replica has, or its last change alone.
    Merge {
        from: usize,
        delta: bool,
    },
    /// Merges the last change of another replica into the own one and settles that.
    Settle {
        from: usize,
    },
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let name = || 0..4_u8;
    let ttl_ms = || prop::option::of(0..20_u8);
    let step = prop_oneof![
        4 => (name(), any::<i8>(), ttl_ms()).prop_map(|(name, score, ttl_ms)| Step::Put { name, score, ttl_ms }),
        3 => (name(), any::<i8>()).prop_map(|(name, by)| Step::Add { name, by }),
        2 => name().prop_map(|name| Step::Remove { name }),
        1 => (name(), ttl_ms()).prop_map(|(name, ttl_ms)| Step::Expire { name, ttl_ms }),
        1 => Just(Step::Purge),
        3 => (0..3_usize, any::<bool>()).prop_map(|(from, delta)| Step::Merge { from, delta }),
        1 => (0..3_usize).prop_map(|from| Step::Settle { from }),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec((0..3_usize, step), 1..40)
}

/// All that is derived from the elements, built anew.
fn assert_derived(fields: &Fields<Score>) {
    let mut anew = Fields { delta: fields.delta, seen: fields.seen.clone(), ..Fields::default() };
    for (name, field) in &fields.fields {
        anew.edit(name, |empty| *empty = field.clone());
    }
    let derived = |fields: &Fields<Score>| (fields.visible, fields.expiring, fields.sum, fields.heap);
    assert_eq!(derived(fields), derived(&anew));
    assert!(fields.index.iter().eq(anew.index.iter()));
    assert!(fields.delta || fields.fields.values().all(|field| !field.is_empty()));
    let visible = |field: &&Field<Score>| field.is_visible();
    assert_eq!(fields.index.iter().count(), fields.fields.values().filter(visible).count());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_up_to_date_equals_what_is_built_anew(steps in steps()) {
        let mut replicas: [(Fields<Score>, Fields<Score>); 3] =
            std::array::from_fn(|_| (Fields::default(), Fields::delta()));
        for (seq, (at, step)) in (1..).zip(steps) {
            let now_ms = seq * 3;
            let origin = by(now_ms, at as u64 + 1, seq);
            let end_ms = |ttl_ms: Option<u8>| ttl_ms.map(|ttl_ms| now_ms + u64::from(ttl_ms));
            let (whole, delta) = &mut replicas[at];
            match step {
                Step::Put { name, score, ttl_ms } => {
                    whole.put(&[name; 3], Score(score.into()), end_ms(ttl_ms), origin, delta);
                }
                Step::Add { name, by } => whole.add(&[name; 3], Amount::Integer(by.into()), origin, delta),
                Step::Remove { name } => {
                    whole.remove(&[name; 3], delta);
                }
                Step::Expire { name, ttl_ms } => {
                    whole.set_expiry(&[name; 3], end_ms(ttl_ms), origin.stamp, delta);
                }
                Step::Purge => {
                    whole.purge(now_ms);
                }
                Step::Merge { from, delta } => {
                    let (whole, change) = replicas[from].clone();
                    replicas[at].0.join(if delta { &change } else { &whole });
                }
                Step::Settle { from } => {
                    let change = replicas[from].1.clone();
                    let delta = &mut replicas[at].1;
                    delta.join(&change);
                    assert_derived(delta);
                    delta.settle();
                    assert_derived(delta);
                    *delta = Fields::delta();
                }
                Step::Copy => replicas[at] = replicas[at].clone(),
            }
            assert_derived(&replicas[at].0);
            assert_derived(&replicas[at].1);
        }
    }
}
