//! What peers have evicted and nobody gave so far.

use std::collections::BTreeMap;

use rumour_crdt::Hlc;

/// Keys remembered at most, some 25 bytes each. One more is looked at when there is room again.
const UNCLAIMED_LIMIT: usize = 1 << 20;

/// Hashes of keys that a peer has evicted and of which nothing is held here, with when that was first heard.
#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    first_heard: BTreeMap<u64, Hlc>,
    /// Those were looked through that were first heard before this.
    pruned: Hlc,
}

impl Unclaimed {
    /// A peer says that it has evicted the key. Gives whether nobody has it: since that was first heard, every peer was asked for all
    /// that it holds. `now` is this node's clock when it began to ask the peer, `asked_all` the time by that clock since which
    /// every peer was asked.
    pub(super) fn hear(&mut self, hash: u64, now: Hlc, asked_all: Hlc) -> bool {
        match self.first_heard.get(&hash) {
            Some(first) if *first < asked_all => {
                self.first_heard.remove(&hash);
                return true;
            }
            Some(_) => return false,
            None => {}
        }
        if self.first_heard.len() >= UNCLAIMED_LIMIT && self.pruned < asked_all {
            // Those came meanwhile, or will be heard of again.
            self.first_heard.retain(|_, first| *first >= asked_all);
            self.pruned = asked_all;
        }
        if self.first_heard.len() < UNCLAIMED_LIMIT {
            self.first_heard.insert(hash, now);
        }
        false
    }
}
