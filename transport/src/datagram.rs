//! Whether a UDP datagram can be QUIC at all, judged from its bytes; and which addresses we know. No I/O.
//!
//! It judges no further than that: quinn still decides about everything that passes.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a datagram looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    /// No QUIC version 1 endpoint sends such a thing.
    Malformed,
    /// It may begin a connection.
    Initial,
    /// It belongs to a connection, if it is anything.
    Established,
}

const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
const PACKET_TYPE: u8 = 0x30;
const VERSION_1: [u8; 4] = [0, 0, 0, 1];
/// RFC 9000, section 14.1: a client pads the datagrams of its Initial packets to this.
const INITIAL_BYTES_MIN: usize = 1200;
/// RFC 9000, section 10.3: the shortest datagram that means anything, a stateless reset.
const SHORT_BYTES_MIN: usize = 21;
const CONNECTION_ID_BYTES_MAX: u8 = 20;

/// Judges the first packet of a datagram.
pub(crate) fn looks(datagram: &[u8]) -> Looks {
    let Some((&first, rest)) = datagram.split_first() else {
        return Looks::Malformed;
    };
    if first & FIXED_BIT == 0 || datagram.len() < SHORT_BYTES_MIN {
        return Looks::Malformed;
    }
    if first & LONG_HEADER == 0 {
        return Looks::Established;
    }
    match long_header(rest) {
        None => Looks::Malformed,
        Some(()) if first & PACKET_TYPE == 0 => Looks::Initial,
        Some(()) => Looks::Established,
    }
}

/// Whether a datagram can begin a connection; only those of known peers may be shorter.
pub(crate) fn can_open(datagram: &[u8]) -> bool {
    datagram.len() >= INITIAL_BYTES_MIN
}

/// Version and both connection ids, which must fit.
fn long_header(rest: &[u8]) -> Option<()> {
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (&destination, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(destination)..)?;
    let (&source, rest) = rest.split_first()?;
    rest.get(usize::from(source)..)?;
    let fits = destination <= CONNECTION_ID_BYTES_MAX && source <= CONNECTION_ID_BYTES_MAX;
    (*version == VERSION_1 && fits).then_some(())
}

/// The addresses that connections, open or opening, are held with.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeMap<SocketAddr, Known>>);

#[derive(Debug, Default)]
struct Known {
    holders: usize,
    released: Option<Instant>,
}

/// What follows a connection's end on the wire is no stranger's.
const AFTERMATH: Duration = Duration::from_secs(3);
/// Released addresses are remembered only up to this many.
const ADDRESSES_MAX: usize = 4096;

/// Keeps an address known while it lives.
#[derive(Debug)]
pub(crate) struct Held {
    addresses: Arc<Addresses>,
    addr: SocketAddr,
}

impl Addresses {
    pub(crate) fn hold(self: &Arc<Self>, addr: SocketAddr) -> Held {
        let addr = canonical(addr);
        self.0.lock().entry(addr).or_default().holders += 1;
        Held { addresses: self.clone(), addr }
    }

    /// Whether datagrams from `addr` can belong to a connection.
    pub(crate) fn know(&self, addr: SocketAddr, now: Instant) -> bool {
        self.0.lock().get(&canonical(addr)).is_some_and(|known| known.is_live(now))
    }

    fn release(&self, addr: SocketAddr, now: Instant) {
        let mut known = self.0.lock();
        if let Some(entry) = known.get_mut(&addr) {
            entry.holders = entry.holders.saturating_sub(1);
            entry.released = Some(now);
        }
        if known.len() > ADDRESSES_MAX {
            known.retain(|_, entry| entry.is_live(now));
        }
        if known.len() > ADDRESSES_MAX {
            known.retain(|_, entry| entry.holders > 0);
        }
    }
}

impl Known {
    fn is_live(&self, now: Instant) -> bool {
        self.holders > 0 || self.released.is_some_and(|at| now.duration_since(at) < AFTERMATH)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.addresses.release(self.addr, Instant::now());
    }
}

/// One spelling for each address: a socket for both IP versions reports IPv4 ones in IPv6 form.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn initial(version: [u8; 4], destination: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xc0];
        bytes.extend_from_slice(&version);
        bytes.push(destination);
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn packets_of_version_1_pass() {
        assert_eq!(looks(&initial(VERSION_1, 8, 1200)), Looks::Initial);
        let mut handshake = initial(VERSION_1, 8, 100);
        handshake[0] = 0xe0;
        assert_eq!(looks(&handshake), Looks::Established);
        let mut short = vec![0; 21];
        short[0] = 0x40;
        assert_eq!(looks(&short), Looks::Established);
    }

    #[test]
    fn what_cannot_be_quic_does_not() {
        assert_eq!(looks(&[]), Looks::Malformed);
        assert_eq!(looks(&[0x40; 20]), Looks::Malformed);
        assert_eq!(
            looks(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".map(|b| b & !FIXED_BIT).as_slice()),
            Looks::Malformed
        );
        assert_eq!(looks(&initial([0, 0, 0, 0], 8, 1200)), Looks::Malformed, "version negotiation");
        assert_eq!(looks(&initial([0x6b, 0x33, 0x43, 0xcf], 8, 1200)), Looks::Malformed, "version 2");
        assert_eq!(looks(&initial(VERSION_1, 21, 1200)), Looks::Malformed, "connection id over the limit");
        assert_eq!(looks(&initial(VERSION_1, 20, 24)), Looks::Malformed, "connection id cut off");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_known_while_held_and_shortly_after() {
        let addresses = Arc::new(Addresses::default());
        let addr: SocketAddr = "10.0.0.1:7400".parse().unwrap();
        assert!(!addresses.know(addr, Instant::now()));
        let (first, second) =
            (addresses.hold(addr), addresses.hold("[::ffff:10.0.0.1]:7400".parse().unwrap()));
        drop(first);
        tokio::time::advance(AFTERMATH * 2).await;
        assert!(addresses.know(addr, Instant::now()));
        drop(second);
        assert!(addresses.know(addr, Instant::now()));
        tokio::time::advance(AFTERMATH).await;
        assert!(!addresses.know(addr, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn released_addresses_do_not_pile_up() {
        let addresses = Arc::new(Addresses::default());
        let held = addresses.hold("10.0.0.1:1".parse().unwrap());
        for port in 0..20_000_u16 {
            drop(addresses.hold(SocketAddr::from(([10, 0, 0, 2], port))));
        }
        assert!(addresses.0.lock().len() <= ADDRESSES_MAX + 1);
        assert!(addresses.know(held.addr, Instant::now()));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_judged(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = looks(&bytes);
        }
    }
}
