//! Which address reaches which: partitions and addresses that swallow everything.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The directed links that are cut, and the addresses that nothing reaches or leaves.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    links: BTreeSet<(SocketAddr, SocketAddr)>,
    black_holes: BTreeSet<SocketAddr>,
}

impl Cuts {
    pub(crate) fn cut(&mut self, from: &[SocketAddr], to: &[SocketAddr]) {
        for &a in from {
            self.links.extend(to.iter().map(|&b| (a, b)));
        }
    }

    pub(crate) fn set_black_hole(&mut self, address: SocketAddr, on: bool) {
        if on {
            self.black_holes.insert(address);
        } else {
            self.black_holes.remove(&address);
        }
    }

    /// Joins all links again. Black holes stay.
    pub(crate) fn heal(&mut self) {
        self.links.clear();
    }

    pub(crate) fn blocks(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.links.contains(&(from, to)) || self.black_holes.contains(&from) || self.black_holes.contains(&to)
    }
}
