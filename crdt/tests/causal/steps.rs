//! What happens in a history.

use proptest::prelude::*;
use proptest::sample::Index;
use rumour_crdt::{ExpiryPolicy, Kind};

/// What is contributed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Put {
        name: u8,
        value: u8,
        ttl_ms: Option<u16>,
    },
    /// In quarters: they are summed exactly.
    Add {
        name: u8,
        quarters: i8,
    },
    /// A counter is reset.
    Remove {
        name: u8,
    },
    Expire {
        name: u8,
        ttl_ms: Option<u16>,
    },
}

/// One step of a history. Replicas are numbered modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// To the type, or to what the key holds already.
    Contribute {
        at: usize,
        kind: Kind,
        action: Action,
    },
    Set {
        at: usize,
        value: i8,
        ttl_ms: Option<u16>,
    },
    Delete {
        at: usize,
    },
    SetExpiry {
        at: usize,
        ttl_ms: Option<u16>,
        policy: ExpiryPolicy,
    },
    /// What is due by the replica's clock goes, elements included.
    Drop {
        at: usize,
    },
    /// The present state of one replica reaches another.
    Send {
        from: usize,
        to: usize,
    },
    /// Some message, a delta or a state, arrives at last or again.
    Deliver {
        message: Index,
        to: usize,
    },
    /// The latest message arrives.
    DeliverLatest {
        to: usize,
    },
    /// Two messages wait in one queue and become one.
    Queue {
        one: Index,
        two: Index,
    },
    /// The key is forgotten by a replica that goes on.
    Evict {
        at: usize,
    },
    /// A new incarnation, which has lost its memory or kept it.
    Restart {
        at: usize,
        keeps_memory: bool,
    },
    /// All that is stamped below now is gone.
    Flush {
        at: usize,
    },
    Pass {
        ms: u16,
    },
    ClockJump {
        at: usize,
        ms: i32,
    },
}

/// Histories of keys of these types.
pub(crate) fn steps(kinds: &'static [Kind]) -> impl Strategy<Value = (usize, Vec<Step>)> {
    let at = || 0..5_usize;
    let name = || 0..3_u8;
    let ttl_ms = |max_ms: u16| prop::option::weighted(0.5, 1..max_ms);
    let action = prop_oneof![
        4 => (name(), any::<u8>(), prop::option::weighted(0.3, 1..200_u16))
            .prop_map(|(name, value, ttl_ms)| Action::Put { name, value, ttl_ms }),
        4 => (name(), any::<i8>()).prop_map(|(name, quarters)| Action::Add { name, quarters }),
        5 => name().prop_map(|name| Action::Remove { name }),
        1 => (name(), ttl_ms(300)).prop_map(|(name, ttl_ms)| Action::Expire { name, ttl_ms }),
    ];
    let policy = prop_oneof![
        2 => Just(ExpiryPolicy::LastWriter),
        1 => Just(ExpiryPolicy::Longest),
        1 => Just(ExpiryPolicy::Shortest),
    ];
    let step = prop_oneof![
        16 => (at(), prop::sample::select(kinds), action)
            .prop_map(|(at, kind, action)| Step::Contribute { at, kind, action }),
        1 => (at(), any::<i8>(), ttl_ms(200)).prop_map(|(at, value, ttl_ms)| Step::Set { at, value, ttl_ms }),
        1 => at().prop_map(|at| Step::Delete { at }),
        3 => (at(), ttl_ms(300), policy).prop_map(|(at, ttl_ms, policy)| Step::SetExpiry { at, ttl_ms, policy }),
        3 => at().prop_map(|at| Step::Drop { at }),
        7 => (at(), at()).prop_map(|(from, to)| Step::Send { from, to }),
        8 => (any::<Index>(), at()).prop_map(|(message, to)| Step::Deliver { message, to }),
        6 => at().prop_map(|to| Step::DeliverLatest { to }),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(one, two)| Step::Queue { one, two }),
        1 => at().prop_map(|at| Step::Evict { at }),
        1 => (at(), any::<bool>()).prop_map(|(at, keeps_memory)| Step::Restart { at, keeps_memory }),
        1 => prop::option::weighted(0.3, at()).prop_map(|at| at.map_or(Step::Pass { ms: 1 }, |at| Step::Flush { at })),
        3 => (0..150_u16).prop_map(|ms| Step::Pass { ms }),
        1 => (at(), -500..500_i32).prop_map(|(at, ms)| Step::ClockJump { at, ms }),
    ];
    (2..=5_usize, prop::collection::vec(step, 1..60))
}
