//! A counter that goes up and down, and that an observed reset brings back to what the reset had not seen.
//!
//! The PN counter of Shapiro, Preguiça, Baquero and Zawirski (A comprehensive study of Convergent and
//! Commutative Replicated Data Types, 2011), with one signed sum an actor in place of two, as an actor's
//! later sum replaces its earlier one. How a total is shown and where it overflows is the node's affair.

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{ActorId, Dot, Hlc, Lattice, Origin, Stamp};

/// What is added to a counter at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A whole number.
    Integer(i64),
    /// Any other; must be finite.
    Float(f64),
}

/// A sum of amounts. Whole numbers are summed exactly, apart from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// Of the whole numbers.
    pub integer: i128,
    /// Of the others.
    pub float: f64,
}

/// A counter: what each incarnation has added to it.
///
/// Shares merge by the later one. A reset ([`clear`](Self::clear)) notes beside each share how much of it
/// was seen; what was added concurrently is all that remains. So a counter that was reset keeps a residue
/// an actor, which is invisible.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Counter {
    /// By actor, then by birth.
    shares: Vec<Share>,
}

/// What one incarnation has added since it began the share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Share {
    actor: ActorId,
    /// The sequence of its first contribution. An incarnation that forgot its share begins another: were it
    /// to continue, its smaller sum would look like an earlier one.
    birth: u64,
    /// When that was.
    born: Hlc,
    /// The sequence of its latest contribution.
    last: u64,
    sum: Sum,
    cleared: Option<Box<Cleared>>,
}

/// How much of a share a reset has seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cleared {
    last: u64,
    sum: Sum,
}

impl Sum {
    /// Both together, as a float.
    pub fn to_f64(self) -> f64 {
        self.integer as f64 + self.float
    }

    fn add(&mut self, by: Amount) {
        match by {
            Amount::Integer(by) => self.integer = self.integer.saturating_add(i128::from(by)),
            Amount::Float(by) => self.float = finite(self.float + by),
        }
    }

    /// An order of sums, only to have one where correct nodes never need it.
    fn order(&self) -> (i128, u64) {
        (self.integer, self.float.to_bits())
    }
}

impl std::ops::Sub for Sum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { integer: self.integer.saturating_sub(other.integer), float: finite(self.float - other.float) }
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), |total, sum| Self {
            integer: total.integer.saturating_add(sum.integer),
            float: finite(total.float + sum.float),
        })
    }
}

/// Floats end where they are greatest, as whole numbers do: two infinities could make what is no number.
fn finite(float: f64) -> f64 {
    float.clamp(f64::MIN, f64::MAX)
}

impl Share {
    fn is_active(&self) -> bool {
        self.cleared.as_ref().is_none_or(|cleared| cleared.last < self.last)
    }

    fn value(&self) -> Sum {
        match &self.cleared {
            None => self.sum,
            Some(cleared) if cleared.last < self.last => self.sum - cleared.sum,
            Some(_) => Sum::default(),
        }
    }

    fn is_well_formed(&self) -> bool {
        let cleared = self.cleared.as_ref().is_none_or(|cleared| {
            (self.birth..=self.last).contains(&cleared.last) && cleared.sum.float.is_finite()
        });
        cleared && 0 < self.birth && self.birth <= self.last && self.sum.float.is_finite()
    }

    fn join(&mut self, other: &Self) -> bool {
        let later = (other.last, other.sum.order()) > (self.last, self.sum.order());
        if later {
            (self.last, self.sum) = (other.last, other.sum);
        }
        let rank = |cleared: &Option<Box<Cleared>>| {
            cleared.as_ref().map(|cleared| (cleared.last, cleared.sum.order()))
        };
        let cleared = rank(&other.cleared) > rank(&self.cleared);
        if cleared {
            self.cleared.clone_from(&other.cleared);
        }
        later | cleared
    }
}

impl Counter {
    /// Adds to the share of the write's actor. Returns what changed, to be sent to others.
    pub fn add(&mut self, by: Amount, origin: Origin) -> Self {
        let Stamp { time, actor, seq } = origin.stamp;
        let end = self.shares.partition_point(|share| share.actor <= actor);
        let own = end.checked_sub(1).map(|at| &mut self.shares[at]);
        let own = own
            .filter(|share| share.actor == actor)
            .filter(|share| share.last > origin.unbroken_since && share.cleared.is_none());
        let share = match own {
            Some(share) => {
                share.last = seq;
                share.sum.add(by);
                share.clone()
            }
            None => {
                let mut sum = Sum::default();
                sum.add(by);
                let share = Share { actor, birth: seq, born: time, last: seq, sum, cleared: None };
                self.shares.insert(end, share.clone());
                share
            }
        };
        Self { shares: vec![share] }
    }

    /// Takes everything away that is seen here. Returns what changed, to be sent to others; `None` if there
    /// was nothing.
    pub fn clear(&mut self) -> Option<Self> {
        self.clear_if(|_| true)
    }

    /// The same for the shares that were begun before `at_ms` (Unix milliseconds): for what ended then, and must
    /// take nothing with it that was begun anew by a node which had dropped it already.
    pub(crate) fn clear_born_before(&mut self, at_ms: u64) -> Option<Self> {
        self.clear_if(|share| share.born.millis() < at_ms)
    }

    fn clear_if(&mut self, clears: impl Fn(&Share) -> bool) -> Option<Self> {
        let active = self.shares.iter_mut().filter(|share| share.is_active() && clears(share));
        let cleared: Vec<_> = active
            .map(|share| {
                share.cleared = Some(Box::new(Cleared { last: share.last, sum: share.sum }));
                share.clone()
            })
            .collect();
        (!cleared.is_empty()).then_some(Self { shares: cleared })
    }

    /// The sum of all that was added and not taken away by a reset.
    pub fn total(&self) -> Sum {
        self.shares.iter().map(Share::value).sum()
    }

    /// Whether anything was added since it was last reset; the total may be zero all the same.
    pub fn is_active(&self) -> bool {
        self.shares.iter().any(Share::is_active)
    }

    /// Whether it holds nothing, not even the residue of a reset.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// The latest contribution of each actor.
    pub fn tops(&self) -> impl Iterator<Item = Dot> {
        self.shares.iter().map(|share| Dot { actor: share.actor, seq: share.last })
    }

    /// Bytes of heap that it takes, about.
    pub fn heap_bytes(&self) -> usize {
        let cleared = self.shares.iter().filter(|share| share.cleared.is_some()).count();
        self.shares.len() * size_of::<Share>() + cleared * size_of::<Cleared>()
    }

    /// Equal counters have equal fingerprints; `seed` tells apart where they stand.
    pub fn fingerprint(&self, seed: u64) -> u64 {
        self.shares.iter().fold(seed, |hash, share| {
            let cleared = share.cleared.as_ref().map_or(0, |cleared| cleared.last);
            let mut bytes = [0; 32];
            let words = [share.actor.get(), share.birth, share.last, cleared];
            for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            xxh3_64_with_seed(&bytes, hash)
        })
    }
}

impl<'de> Deserialize<'de> for Counter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shares = Vec::<Share>::deserialize(deserializer)?;
        let in_order = |pair: &[Share]| (pair[0].actor, pair[0].birth) < (pair[1].actor, pair[1].birth);
        if !shares.windows(2).all(in_order) {
            return Err(D::Error::custom("shares of a counter are out of order"));
        }
        if !shares.iter().all(Share::is_well_formed) {
            return Err(D::Error::custom("a share of a counter contradicts itself"));
        }
        Ok(Self { shares })
    }
}

impl Lattice for Counter {
    fn join(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for share in &other.shares {
            let name = |share: &Share| (share.actor, share.birth);
            match self.shares.binary_search_by_key(&name(share), name) {
                Ok(at) => changed |= self.shares[at].join(share),
                Err(at) => {
                    self.shares.insert(at, share.clone());
                    changed = true;
                }
            }
        }
        changed
    }

    fn equivalent(&self, other: &Self) -> bool {
        self == other
    }
}

/// The digits of a number that a sum was added to. Whole numbers end where `i64` does. What is no number, which
/// only a misbehaving node adds to, stays as it is.
pub(crate) fn counted(base: &[u8], sum: Sum) -> Bytes {
    let text = std::str::from_utf8(base).unwrap_or_default();
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(base), _) if sum.float == 0.0 => {
            let total = sum.integer.saturating_add(i128::from(base));
            let total = total.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            Bytes::from(total.to_string())
        }
        (_, Ok(base)) => Bytes::from(decimal(base, sum.to_f64())),
        _ => Bytes::copy_from_slice(base),
    }
}

/// The sum of two floats as people would write it: of 0.1 and 0.2 it is 0.3. Where a decimal of fifteen digits of the
/// greater one lies within the error of the addition, that is what was meant. Never an exponent.
fn decimal(a: f64, b: f64) -> String {
    /// Digits that a float holds for sure.
    const DIGITS: i32 = 15;
    /// Places after the point that are ever shown.
    const PLACES: usize = 17;
    let (sum, greater) = (a + b, a.abs().max(b.abs()));
    if !sum.is_finite() {
        return sum.to_string();
    }
    let whole_digits = if greater < 1.0 { 0 } else { greater.log10().floor() as i32 + 1 };
    let places = usize::try_from(DIGITS - whole_digits).unwrap_or(0);
    let rounded = format!("{sum:.places$}");
    let meant =
        rounded.parse::<f64>().is_ok_and(|rounded| (rounded - sum).abs() <= 2.0 * f64::EPSILON * greater);
    let shortest = sum.to_string();
    let places = shortest.split_once('.').map_or(0, |(_, places)| places.len());
    let text = match meant {
        true => rounded,
        false if places <= PLACES => shortest,
        false => format!("{sum:.PLACES$}"),
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    // No number is below zero that shows none but zeros.
    text.strip_prefix('-').filter(|text| *text == "0").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(actor: u64, seq: u64) -> Origin {
        let stamp = Stamp { time: Hlc::from_parts(seq, 0), actor: ActorId::new(actor), seq };
        Origin { stamp, unbroken_since: 0 }
    }

    fn integer(counter: &Counter) -> i128 {
        counter.total().integer
    }

    #[test]
    fn sums_of_floats_show_the_digits_that_were_meant() {
        for (base, by, shown) in [
            ("0.1", 0.2, "0.3"),
            ("0.7", 0.1, "0.8"),
            ("10.50", 0.1, "10.6"),
            ("5.0e3", 2.0e2, "5200"),
            ("3", -3.0, "0"),
            ("3.0", -3.5, "-0.5"),
            ("1000.1", -1000.0, "0.1"),
            ("-0.3", 0.3, "0"),
            ("1234567890.123456", 0.0, "1234567890.123456"),
            ("0.1234567890123457", 0.0, "0.1234567890123457"),
            ("1e20", 1.0, "100000000000000000000"),
            ("0", 1e-17, "0.00000000000000001"),
            ("0", 1e-30, "0"),
            ("0", 0.000_000_123, "0.000000123"),
            ("123456789.1", 0.000_001, "123456789.100001"),
        ] {
            let sum = Sum { integer: 0, float: by };
            let text = decimal(base.parse().unwrap(), sum.to_f64());
            assert_eq!(text, shown, "{base} + {by}");
        }
        assert_eq!(&counted(b"5", Sum { integer: 0, float: 0.5 })[..], b"5.5");
        assert_eq!(&counted(b"1.5", Sum { integer: 2, float: 0.0 })[..], b"3.5");
    }

    #[test]
    fn increments_of_two_actors_add_up_however_often_they_arrive() {
        let (mut here, mut there) = (Counter::default(), Counter::default());
        let first = here.add(Amount::Integer(5), by(1, 1));
        here.add(Amount::Integer(-2), by(1, 2));
        there.add(Amount::Integer(10), by(2, 1));
        there.join(&here);
        assert!(!there.join(&first), "an earlier share changes nothing");
        assert_eq!(integer(&there), 13);
    }

    #[test]
    fn a_reset_takes_away_what_it_has_seen_and_no_more() {
        let (mut here, mut there) = (Counter::default(), Counter::default());
        here.add(Amount::Integer(10), by(1, 1));
        there.join(&here);
        let reset = there.clear().unwrap();
        here.add(Amount::Integer(5), by(1, 2));
        for counter in [&mut here, &mut there] {
            counter.join(&reset);
        }
        there.join(&here);
        assert_eq!((integer(&here), integer(&there)), (5, 5));
        assert!(there.clear().is_some() && !there.is_active() && there.clear().is_none());
        here.join(&there);
        assert_eq!(integer(&here), 0);
        here.add(Amount::Integer(1), by(1, 3));
        assert_eq!(integer(&here), 1);
    }

    #[test]
    fn an_actor_that_forgot_its_share_begins_another() {
        let (mut here, mut elsewhere) = (Counter::default(), Counter::default());
        here.add(Amount::Integer(10), by(1, 1));
        elsewhere.join(&here);
        let mut evicted = Counter::default();
        evicted.add(Amount::Integer(1), Origin { unbroken_since: 1, ..by(1, 2) });
        elsewhere.join(&evicted);
        assert_eq!(integer(&elsewhere), 11);
        // Its own older share has come back; it still must not continue it.
        evicted.join(&here);
        evicted.add(Amount::Integer(1), Origin { unbroken_since: 2, ..by(1, 3) });
        elsewhere.join(&evicted);
        assert_eq!(integer(&elsewhere), 12);
    }
}
