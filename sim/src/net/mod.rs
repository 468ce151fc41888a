//! The simulated network: UDP without an operating system.
//!
//! [`Network`] is the handle that scenarios hold. Sockets ([`SimSocket`]) give datagrams to it, faults decide
//! what becomes of them, and one task delivers them in the order of (deadline, sequence). Nothing here knows
//! what a datagram contains.

mod core;
mod cuts;
mod faults;
mod socket;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use self::core::Traffic;
pub use self::faults::LinkFaults;
pub use self::socket::{FixedTime, SimSocket};

use self::core::{Core, Step};
use crate::trace::Trace;

/// UDP port of every simulated node.
const NODE_PORT: u16 = 7400;

/// The network of one run. Cheap to clone; all clones are the same network.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    trace: Trace,
    /// Tells the pump that a datagram is due earlier than what it waits for.
    earlier: Notify,
}

/// The address of the simulated node with this number.
pub fn node_address(node: usize) -> SocketAddr {
    let [.., high, low] = (node + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), NODE_PORT))
}

impl Network {
    /// A faultless network that draws from `rng`, together with the task that delivers its datagrams.
    ///
    /// Must be called inside the runtime of the run; the task lives as long as the runtime.
    pub fn start(rng: SmallRng, trace: Trace) -> Self {
        let shared = Shared { core: Mutex::new(Core::new(rng)), trace, earlier: Notify::new() };
        let network = Self { shared: Arc::new(shared) };
        tokio::spawn(network.clone().pump());
        network
    }

    /// Takes an address.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] while another socket holds it.
    pub fn bind(&self, address: SocketAddr) -> io::Result<SimSocket> {
        let socket = self.shared.core.lock().bind(address).ok_or(io::ErrorKind::AddrInUse)?;
        Ok(SimSocket::new(self.clone(), socket))
    }

    /// Sets how every link behaves that has no faults of its own.
    pub fn set_faults(&self, faults: LinkFaults) {
        self.note(format_args!("links: {faults:?}"));
        self.shared.core.lock().set_faults(faults);
    }

    /// Sets how the link from one address to another behaves; `None` returns it to the common faults.
    pub fn set_link_faults(&self, from: SocketAddr, to: SocketAddr, faults: Option<LinkFaults>) {
        self.note(format_args!("link {from} > {to}: {faults:?}"));
        self.shared.core.lock().set_link_faults(from, to, faults);
    }

    /// Cuts the links between two groups, both ways. Nodes in neither group still reach both: list two
    /// groups and leave out a third to make that third a bridge.
    pub fn partition(&self, left: &[SocketAddr], right: &[SocketAddr]) {
        self.note(format_args!("partition {left:?} | {right:?}"));
        let mut core = self.shared.core.lock();
        core.cuts.cut(left, right);
        core.cuts.cut(right, left);
    }

    /// Cuts the links from one group to another; the way back stays open.
    pub fn partition_one_way(&self, from: &[SocketAddr], to: &[SocketAddr]) {
        self.note(format_args!("one-way partition {from:?} -/-> {to:?}"));
        self.shared.core.lock().cuts.cut(from, to);
    }

    /// Swallows everything to and from an address, until told otherwise.
    pub fn set_black_hole(&self, address: SocketAddr, on: bool) {
        self.note(format_args!("black hole {address}: {on}"));
        self.shared.core.lock().cuts.set_black_hole(address, on);
    }

    /// Kills the socket that holds an address, as a crash does: it never receives again, what it sends
    /// vanishes, and the address is free for a successor. Datagrams under way reach that successor.
    pub fn kill(&self, address: SocketAddr) {
        self.note(format_args!("kill {address}"));
        self.shared.core.lock().kill(address);
    }

    /// Freezes the socket that holds an address: nothing is read, what is sent waits (bounded).
    pub fn stall(&self, address: SocketAddr) {
        self.note(format_args!("stall {address}"));
        self.shared.core.lock().stall(address);
    }

    /// Undoes [`stall`](Self::stall).
    pub fn resume(&self, address: SocketAddr) {
        self.note(format_args!("resume {address}"));
        let reader = self.shared.core.lock().resume(Instant::now(), address);
        self.shared.earlier.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Joins all partitions. Other faults stay.
    pub fn join_partitions(&self) {
        self.note(format_args!("join partitions"));
        self.shared.core.lock().cuts.heal();
    }

    /// Joins all partitions and makes all links faultless. Black holes and stalled sockets stay.
    pub fn heal(&self) {
        self.note(format_args!("heal"));
        let mut core = self.shared.core.lock();
        core.cuts.heal();
        core.clear_link_faults();
        core.set_faults(LinkFaults::NONE);
    }

    /// What the network did so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.core.lock().traffic()
    }

    /// The most datagrams that ever waited in one inbox.
    pub fn deepest_inbox(&self) -> usize {
        self.shared.core.lock().deepest_inbox()
    }

    fn note(&self, remark: std::fmt::Arguments<'_>) {
        self.shared.trace.note(remark);
    }

    /// Delivers for ever. The lock is never held while waiting, waking or tracing.
    async fn pump(self) {
        loop {
            self.deliver_due();
            let deadline = self.shared.core.lock().next_deadline();
            let due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.shared.earlier.notified() => {}
                () = due => {}
            }
        }
    }

    fn deliver_due(&self) {
        let now = Instant::now();
        loop {
            let step = self.shared.core.lock().deliver_next(now);
            match step {
                Step::NothingDue => return,
                Step::Dropped => {}
                Step::Delivered { from, to, bytes, reader } => {
                    self.shared.trace.delivery(from, to, bytes);
                    if let Some(reader) = reader {
                        reader.wake();
                    }
                }
            }
        }
    }
}
