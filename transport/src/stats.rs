//! What the transport counts, and the one line a refusal is worth in the log.
//!
//! Nothing is decided here.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Counters since the transport was opened; all only grow, except `peers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Peers connected now.
    pub peers: u64,
    /// UDP datagrams that arrived, refused ones included.
    pub datagrams_in: u64,
    /// UDP datagrams given to the socket.
    pub datagrams_out: u64,
    /// Bytes of UDP payload that arrived.
    pub bytes_in: u64,
    /// Bytes of UDP payload given to the socket.
    pub bytes_out: u64,
    /// Connections that others opened and that were admitted.
    pub handshakes_accepted: u64,
    /// Connections that this node opened and that were admitted.
    pub handshakes_dialed: u64,
    /// Requests that peers sent.
    pub requests_in: u64,
    /// Requests sent to peers.
    pub requests_out: u64,
    /// Gossip messages that arrived.
    pub gossip_in: u64,
    /// Gossip messages sent as a datagram.
    pub gossip_datagrams_out: u64,
    /// Gossip messages sent on a stream, being too long for a datagram.
    pub gossip_streams_out: u64,
    /// What was turned away.
    pub refused: Refused,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $field:ident $variant:ident,)*) => {
        /// How often something was turned away, by reason.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Refused {
            $($(#[$doc])* pub $field: u64,)*
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($variant,)*
        }

        impl Reason {
            const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Reason::$variant => stringify!($field),)* }
            }
        }

        impl Refused {
            /// Each reason's name, as in the serialized form, with its count.
            #[must_use]
            pub fn by_reason(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }

            fn at(&mut self, reason: Reason) -> &mut u64 {
                match reason { $(Reason::$variant => &mut self.$field,)* }
            }
        }
    };
}

reasons! {
    /// Datagrams that cannot be QUIC version 1; dropped without an answer.
    malformed_datagrams MalformedDatagram,
    /// Datagrams from addresses that no connection is held with, and that begin none.
    stray_datagrams StrayDatagram,
    /// Handshakes with a certificate that one of the two ends does not trust.
    unknown_certificate UnknownCertificate,
    /// Handshakes without a certificate.
    no_certificate NoCertificate,
    /// Handshakes meant for a cluster of another name.
    wrong_cluster WrongCluster,
    /// Handshakes for this cluster in protocol versions that this node does not speak.
    wrong_version WrongVersion,
    /// Handshakes for something else than rumour.
    foreign_protocol ForeignProtocol,
    /// Peers whose certificate names someone else than they claim to be.
    name_mismatch NameMismatch,
    /// Newcomers whose name a living node bears.
    name_taken NameTaken,
    /// Newcomers that the node turned away for another reason.
    not_admitted NotAdmitted,
    /// Handshakes or greetings that were not over in time.
    handshake_timeout HandshakeTimeout,
    /// Handshakes that broke some other rule of QUIC or TLS.
    handshake_failed HandshakeFailed,
    /// Handshakes not begun because too many were under way; QUIC tries again by itself.
    handshake_overflow HandshakeOverflow,
    /// Greetings that cannot be read.
    bad_hello BadHello,
    /// Frames, streams and gossip that cannot be read.
    bad_frame BadFrame,
    /// Messages or streams beyond what one peer may have open at a time.
    peer_overflow PeerOverflow,
    /// Own gossip dropped: too long, or too much on its way to a slow peer.
    gossip_overflow GossipOverflow,
}

impl Refused {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}

/// A reason is named in the log at most this often, so that nobody fills the disk by being refused.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) datagrams_in: AtomicU64,
    pub(crate) datagrams_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) handshakes_accepted: AtomicU64,
    pub(crate) handshakes_dialed: AtomicU64,
    pub(crate) requests_in: AtomicU64,
    pub(crate) requests_out: AtomicU64,
    pub(crate) gossip_in: AtomicU64,
    pub(crate) gossip_datagrams_out: AtomicU64,
    pub(crate) gossip_streams_out: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
    log: Mutex<[LogState; Reason::ALL.len()]>,
}

#[derive(Debug, Default, Clone, Copy)]
struct LogState {
    last: Option<Instant>,
    unsaid: u64,
}

impl LogState {
    /// Whether to speak now, and of how many refusals since the last time.
    fn speak(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    // Counters stand alone: nothing else is ordered by them.
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Counters {
    /// Counts a refusal and says so, if it has not just been said.
    pub(crate) fn refuse(&self, reason: Reason, from: SocketAddr, why: &str) {
        add(&self.refused[reason as usize], 1);
        let speak = self.log.lock()[reason as usize].speak(Instant::now());
        if let Some(count) = speak {
            tracing::warn!(reason = reason.name(), %from, count, "turned away: {why}");
        }
    }

    pub(crate) fn snapshot(&self, peers: usize) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut refused = Refused::default();
        for reason in Reason::ALL {
            *refused.at(*reason) = read(&self.refused[*reason as usize]);
        }
        Stats {
            peers: peers as u64,
            datagrams_in: read(&self.datagrams_in),
            datagrams_out: read(&self.datagrams_out),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            handshakes_accepted: read(&self.handshakes_accepted),
            handshakes_dialed: read(&self.handshakes_dialed),
            requests_in: read(&self.requests_in),
            requests_out: read(&self.requests_out),
            gossip_in: read(&self.gossip_in),
            gossip_datagrams_out: read(&self.gossip_datagrams_out),
            gossip_streams_out: read(&self.gossip_streams_out),
            refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_reason_is_counted_under_its_own_name() {
        let counters = Counters::default();
        let from = "127.0.0.1:1".parse().unwrap();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            for _ in 0..=index {
                counters.refuse(*reason, from, "test");
            }
        }
        let refused = counters.snapshot(0).refused;
        for (index, (reason, (name, count))) in Reason::ALL.iter().zip(refused.by_reason()).enumerate() {
            assert_eq!((reason.name(), index as u64 + 1), (name, count));
        }
        assert_eq!(refused.total(), (1..=Reason::ALL.len() as u64).sum::<u64>());
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_speaks_once_an_interval_and_loses_no_count() {
        let mut state = LogState::default();
        let start = Instant::now();
        assert_eq!(state.speak(start), Some(1));
        for second in 1..10 {
            assert_eq!(state.speak(start + Duration::from_secs(second)), None);
        }
        assert_eq!(state.speak(start + LOG_INTERVAL), Some(10));
    }
}
