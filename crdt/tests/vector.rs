//! `VersionVector` beside `crdts::VClock`, and the laws of `Lattice` for it.

use crdts::{CmRDT, CvRDT, VClock};
use proptest::prelude::*;
use rumour_crdt::{ActorId, Dot, Lattice, VersionVector};

fn dots() -> impl Strategy<Value = Vec<Dot>> {
    let dot = (0..6_u64, 0..6_u64).prop_map(|(actor, seq)| Dot { actor: ActorId::new(actor), seq });
    prop::collection::vec(dot, 0..10)
}

fn vector_of(dots: &[Dot]) -> VersionVector {
    let mut vector = VersionVector::new();
    for &dot in dots {
        vector.insert(dot);
    }
    vector
}

fn clock_of(dots: &[Dot]) -> VClock<u64> {
    dots.iter().filter(|dot| dot.seq > 0).map(|dot| crdts::Dot::new(dot.actor.get(), dot.seq)).collect()
}

fn joined(one: &VersionVector, two: &VersionVector) -> VersionVector {
    let mut vector = one.clone();
    vector.join(two);
    vector
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_vclock_does(one in dots(), two in dots(), probe in dots()) {
        let (vector, clock) = (vector_of(&one), clock_of(&one));
        prop_assert_eq!(vector.to_vclock(), clock.clone());
        prop_assert_eq!(&VersionVector::from(&clock), &vector);
        prop_assert_eq!(vector.len(), clock.dots.len());
        prop_assert_eq!(vector.is_empty(), clock.is_empty());
        for dot in probe {
            prop_assert_eq!(vector.get(dot.actor), clock.get(&dot.actor.get()));
            prop_assert_eq!(vector.covers(dot), clock.get(&dot.actor.get()) >= dot.seq);
            let (mut vector, mut clock) = (vector.clone(), clock.clone());
            vector.insert(dot);
            clock.apply(crdts::Dot::new(dot.actor.get(), dot.seq));
            prop_assert_eq!(vector.to_vclock(), clock);
        }
        let mut both = clock.clone();
        both.merge(clock_of(&two));
        prop_assert_eq!(joined(&vector, &vector_of(&two)).to_vclock(), both);
        prop_assert_eq!(vector == vector_of(&two), clock == clock_of(&two));
    }

    #[test]
    fn obeys_the_laws(a in dots(), b in dots(), c in dots()) {
        let [a, b, c] = [a, b, c].map(|dots| vector_of(&dots));
        prop_assert!(joined(&a, &b).equivalent(&joined(&b, &a)));
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        let mut both = a.clone();
        prop_assert_eq!(Lattice::join(&mut both, &b), both != a);
        prop_assert!(!Lattice::join(&mut both, &b));
        prop_assert!(!Lattice::join(&mut both, &a));
    }

    #[test]
    fn forgets_the_least_recent(dots in dots(), keep in 0..8_usize) {
        let vector = vector_of(&dots);
        let mut pruned = vector.clone();
        pruned.prune(keep);
        let expected: Vec<Dot> = vector.iter().take(keep).collect();
        prop_assert_eq!(pruned.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn comes_back_from_bytes_in_the_same_order(dots in dots()) {
        let vector = vector_of(&dots);
        let bytes = bincode::serde::encode_to_vec(&vector, bincode::config::standard()).unwrap();
        let (back, read): (VersionVector, usize) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(read, bytes.len());
        prop_assert!(back.iter().eq(vector.iter()));
    }
}
