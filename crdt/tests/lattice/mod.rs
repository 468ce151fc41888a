//! The laws of `Lattice`, as it numbers them.

use std::fmt::Debug;

use rumour_crdt::Lattice;

pub(crate) fn joined<T: Lattice + Clone>(one: &T, two: &T) -> T {
    let mut state = one.clone();
    state.join(two);
    state
}

pub(crate) fn assert_equivalent<T: Lattice + Debug>(one: &T, two: &T) {
    assert!(one.equivalent(two), "{one:?} is not {two:?}");
}

/// `as_state` brings what joins came to into the form in which it is compared.
pub(crate) fn assert_laws_of<T: Lattice + Clone + Debug>(a: &T, b: &T, c: &T, as_state: impl Fn(T) -> T) {
    let equivalent = |one: T, two: T| assert_equivalent(&as_state(one), &as_state(two));
    equivalent(joined(a, b), joined(b, a));
    equivalent(joined(&joined(a, b), c), joined(a, &joined(b, c)));
    equivalent(joined(a, a), a.clone());
    let mut both = joined(a, b);
    assert!(!both.join(b), "merging the same state again changed {both:?}");
    let more = joined(&both, c);
    for part in [a, b, c] {
        equivalent(joined(&more, part), more.clone());
    }
}

/// Each law as `Lattice` numbers it.
pub(crate) fn assert_laws<T: Lattice + Clone + Debug>(a: &T, b: &T, c: &T) {
    assert_laws_of(a, b, c, |state| state);
}
