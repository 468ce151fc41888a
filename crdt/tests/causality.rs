//! The order of stamps extends causal order, whatever the wall clocks do.

use crdts::{CmRDT, CvRDT, VClock};
use proptest::prelude::*;
use rumour_crdt::{ActorId, Minter, Stamp};

#[derive(Clone, Debug)]
enum Step {
    /// Writes over everything that the node has merged.
    Mint {
        at: usize,
    },
    /// A message: the sender's clock with it, and the last write that the sender knows.
    Send {
        from: usize,
        to: usize,
    },
    ClockJump {
        at: usize,
        ms: i64,
    },
    Restart {
        at: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..4_usize;
    let jump_ms = prop_oneof![-100_000..100_000_i64, -3..4_i64];
    prop::collection::vec(
        prop_oneof![
            4 => at().prop_map(|at| Step::Mint { at }),
            4 => (at(), at()).prop_map(|(from, to)| Step::Send { from, to }),
            1 => (at(), jump_ms).prop_map(|(at, ms)| Step::ClockJump { at, ms }),
            1 => at().prop_map(|at| Step::Restart { at }),
        ],
        1..80,
    )
}

struct Node {
    minter: Minter,
    wall_ms: u64,
    /// The newest write that it has merged, and all that it has seen.
    newest: Option<Stamp>,
    seen: VClock<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_saw_another_write_lies_above_it(steps in steps(), max_ahead_ms in prop_oneof![0..2_000_u64, Just(u64::MAX)]) {
        let mut actors = (1..).map(|n: u64| ActorId::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut new_minter = || Minter::new(actors.next().unwrap());
        let mut nodes: Vec<Node> = (0..4)
            .map(|_| Node { minter: new_minter(), wall_ms: 1_000_000, newest: None, seen: VClock::new() })
            .collect();
        let mut writes: Vec<(Stamp, VClock<u64>)> = Vec::new();
        for step in steps {
            match step {
                Step::Mint { at } => {
                    let node = &mut nodes[at];
                    let stamp = node.minter.mint(node.wall_ms, node.newest);
                    prop_assert_eq!(node.minter.clock().now(), stamp.time);
                    node.newest = Some(stamp);
                    node.seen.apply(crdts::Dot::new(stamp.actor.get(), stamp.seq));
                    writes.push((stamp, node.seen.clone()));
                }
                Step::Send { from, to } => {
                    let (time, newest) = (nodes[from].minter.clock().now(), nodes[from].newest);
                    let seen = nodes[from].seen.clone();
                    let node = &mut nodes[to];
                    let before = node.minter.clock().now();
                    match node.minter.clock_mut().observe(time, node.wall_ms, max_ahead_ms) {
                        Ok(()) => {
                            prop_assert!(node.minter.clock().now() >= time.max(before));
                            node.newest = node.newest.max(newest);
                            node.seen.merge(seen);
                        }
                        Err(refused) => {
                            prop_assert!(refused.ahead_ms > max_ahead_ms);
                            prop_assert_eq!(node.minter.clock().now(), before);
                        }
                    }
                }
                Step::ClockJump { at, ms } => {
                    nodes[at].wall_ms = nodes[at].wall_ms.saturating_add_signed(ms);
                }
                // What was merged stays; the clock and the name are new.
                Step::Restart { at } => nodes[at].minter = new_minter(),
            }
        }
        for (low, low_seen) in &writes {
            for (high, high_seen) in &writes {
                if low_seen < high_seen {
                    prop_assert!(low < high, "{} had seen {}", high, low);
                }
                prop_assert_eq!(low.dot() == high.dot(), low == high);
            }
        }
    }
}
