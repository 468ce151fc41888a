//! Who wrote, and which of its writes.
//!
//! Choosing an actor's number is not done here: it is random, and randomness is passed in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One start of one node. A node takes a new random one each time that it starts and never uses it again,
/// so that its sequence may begin at 1 without repeating a name that an earlier start has given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActorId(u64);

impl ActorId {
    /// The actor of that number. All 64 bits are meaningful.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number it was made from.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ActorId {
    /// Sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The name of one write: the actor that made it and its place in that actor's dense sequence.
/// Sequences start at 1; 0 stands for "no write".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who wrote.
    pub actor: ActorId,
    /// Which of its writes, from 1.
    pub seq: u64,
}

impl fmt::Display for Dot {
    /// `actor#seq`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.actor, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_the_same_at_any_size() {
        let dot = Dot { actor: ActorId::new(0xab), seq: 7 };
        assert_eq!(dot.to_string(), "00000000000000ab#7");
        assert_eq!(ActorId::new(u64::MAX).to_string(), "ffffffffffffffff");
    }
}
