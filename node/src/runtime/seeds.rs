//! Seeds that are host names: looking them up, again and again while they do not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{Runtime, Seed};

/// Time between two rounds of look-ups.
const RESOLVE_PAUSE: Duration = Duration::from_secs(2);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// After so many failed dials in a row a name is looked up anew: it may lead elsewhere by now.
const FAILURES_BEFORE_LOOKUP: u32 = 3;

impl Seed {
    pub(super) fn new(text: &str) -> Self {
        let addr = text.parse().ok();
        Self {
            text: text.to_owned(),
            addr: parking_lot::Mutex::new(addr),
            error: parking_lot::Mutex::new(None),
        }
    }
}

impl Runtime {
    /// Keeps the addresses of named seeds current. A dead name server delays nothing but this.
    pub(super) async fn seed_loop(self: Arc<Self>) {
        if self.seeds.iter().all(Seed::is_address) {
            return;
        }
        loop {
            sleep(RESOLVE_PAUSE).await;
            self.resolve_seeds().await;
        }
    }

    /// Looks host names of seeds up, all at a time, that have no address yet or do not answer at it.
    pub(super) async fn resolve_seeds(&self) {
        let local = self.transport().and_then(|transport| transport.local_addr().ok());
        let open = self.seeds.iter().filter(|seed| !seed.is_address() && self.needs_lookup(seed));
        join_all(open.map(|seed| seed.resolve(local))).await;
        if !self.engine.phase.is_serving() {
            // Host names too are heard from before the node serves.
            self.joining.lock().learn(self.seeds.iter().filter_map(|seed| *seed.addr.lock()));
        }
        self.progress.notify_one();
    }

    /// Whether every seed has an address.
    pub(super) fn seeds_resolved(&self) -> bool {
        self.seeds.iter().all(|seed| seed.addr.lock().is_some())
    }

    fn needs_lookup(&self, seed: &Seed) -> bool {
        let Some(addr) = *seed.addr.lock() else { return true };
        let trouble = self.dial_plan.lock().trouble(addr);
        trouble.is_some_and(|(failures, _)| failures >= FAILURES_BEFORE_LOOKUP)
    }
}

impl Seed {
    fn is_address(&self) -> bool {
        self.text.parse::<SocketAddr>().is_ok()
    }

    /// Looks the name up; a failure keeps the address that was known.
    async fn resolve(&self, local: Option<SocketAddr>) {
        let looked_up = timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(&self.text)).await;
        let (addr, error) = match looked_up {
            Ok(Ok(addrs)) => match first_reachable(local, addrs) {
                Some(addr) => (Some(addr), None),
                None => (None, Some("the name has no address of the listen address's kind".to_owned())),
            },
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(_) => (None, Some("the name could not be looked up in time".to_owned())),
        };
        if addr.is_some() {
            *self.addr.lock() = addr;
        }
        *self.error.lock() = error;
    }
}

/// The first address that a socket bound to `local` can send to: one bound to IPv4 knows no IPv6.
fn first_reachable(
    local: Option<SocketAddr>,
    mut addrs: impl Iterator<Item = SocketAddr>,
) -> Option<SocketAddr> {
    let ipv4_only = local.is_some_and(|local| local.is_ipv4());
    addrs.find(|addr| addr.is_ipv4() || !ipv4_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_node_passes_over_the_ipv6_addresses_of_a_seed() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let found = [addr("[::1]:7400"), addr("127.0.0.1:7400")];
        let from = |local: &str| first_reachable(Some(addr(local)), found.into_iter());
        assert_eq!(from("0.0.0.0:7400"), Some(found[1]));
        assert_eq!(from("[::]:7400"), Some(found[0]));
        assert_eq!(first_reachable(Some(addr("10.0.0.1:1")), found[..1].iter().copied()), None);
    }
}
