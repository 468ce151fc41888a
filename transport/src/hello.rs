//! The greeting: the first thing that passes on a connection, and the only thing until both ends agree.
//!
//! Whether a peer is welcome is decided by the node (`Handler::admit`) and by `links`; here is what they say.

use crate::id::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Longest greeting that is read, in bytes.
pub(crate) const HELLO_BYTES_MAX: usize = 4096;
/// Longest text that travels with a refusal, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// Who a peer is, as it said in its greeting. The name was checked against its certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its stable name.
    pub node: NodeId,
    /// This start of it; never used twice.
    pub incarnation: u64,
    /// When it started by its own clock, in milliseconds since 1970.
    pub started_ms: u64,
    /// Where it says it can be dialed.
    pub addr: SocketAddr,
}

/// Why a node turned a newcomer away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people; cut to 512 bytes, control characters removed.
    pub text: String,
    /// With [`RefusalCode::NameTaken`]: the living node that has the name.
    pub holder: Option<PeerInfo>,
}

/// The reason of a [`Refusal`]; on the wire a number, so that versions may add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
#[non_exhaustive]
pub enum RefusalCode {
    /// A living node has that name.
    NameTaken,
    /// The name in the greeting is not the one in the certificate.
    NameMismatch,
    /// Both ends are the same node.
    Myself,
    /// The two ends are already connected.
    Duplicate,
    /// The node has as many peers as it may.
    Full,
    /// The node is leaving or closing.
    Leaving,
    /// A code of the node's own, or of a later version.
    Other(u16),
}

/// What the dialing end says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) info: PeerInfo,
    /// The incarnation of the other end that the sender is still connected with, so that the other end can tell a
    /// needless second connection from one that replaces a connection it does not know to be dead.
    pub(crate) holds: Option<u64>,
}

/// What the other end answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Welcome(PeerInfo),
    Refused(Refusal),
}

impl Refusal {
    /// A refusal; `text` is cut and cleaned as the field says.
    #[must_use]
    pub fn new(code: RefusalCode, text: &str) -> Refusal {
        Refusal { code, text: plain(text), holder: None }
    }

    /// The refusal of a newcomer whose name `holder` has.
    #[must_use]
    pub fn name_taken(holder: PeerInfo) -> Refusal {
        let text = format!("the name {} is taken by a living node at {}", holder.node, holder.addr);
        Refusal { holder: Some(holder), ..Refusal::new(RefusalCode::NameTaken, &text) }
    }

    /// The same, cut and cleaned: what a handler or a peer made may be neither.
    pub(crate) fn cleaned(self) -> Refusal {
        Refusal { text: plain(&self.text), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.text, self.code)
    }
}

impl From<u16> for RefusalCode {
    fn from(code: u16) -> Self {
        match code {
            1 => RefusalCode::NameTaken,
            2 => RefusalCode::NameMismatch,
            3 => RefusalCode::Myself,
            4 => RefusalCode::Duplicate,
            5 => RefusalCode::Full,
            6 => RefusalCode::Leaving,
            other => RefusalCode::Other(other),
        }
    }
}

impl From<RefusalCode> for u16 {
    fn from(code: RefusalCode) -> u16 {
        match code {
            RefusalCode::NameTaken => 1,
            RefusalCode::NameMismatch => 2,
            RefusalCode::Myself => 3,
            RefusalCode::Duplicate => 4,
            RefusalCode::Full => 5,
            RefusalCode::Leaving => 6,
            RefusalCode::Other(other) => other,
        }
    }
}

/// `text` as it may be shown and logged: one line, and not long.
pub(crate) fn plain(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};
    use proptest::prelude::*;

    fn info() -> PeerInfo {
        PeerInfo {
            node: "n1".parse().unwrap(),
            incarnation: u64::MAX,
            started_ms: 1_800_000_000_000,
            addr: "[2001:db8::1]:7400".parse().unwrap(),
        }
    }

    #[test]
    fn greetings_survive_and_fit() {
        let hello = Hello { info: info(), holds: Some(u64::MAX) };
        let bytes = encode(&hello).unwrap();
        assert!(bytes.len() < HELLO_BYTES_MAX);
        assert_eq!(decode::<Hello>(&bytes).unwrap(), hello);
        let refused = Reply::Refused(Refusal::new(RefusalCode::Other(900), &"ä".repeat(5000)));
        let bytes = encode(&refused).unwrap();
        assert!(bytes.len() < HELLO_BYTES_MAX);
        assert_eq!(decode::<Reply>(&bytes).unwrap(), refused);
    }

    #[test]
    fn a_peers_text_cannot_forge_log_lines() {
        assert_eq!(plain("no\nroom\u{1b}[31m\r"), "noroom[31m");
    }

    proptest! {
        #[test]
        fn codes_survive(code in any::<u16>()) {
            prop_assert_eq!(u16::from(RefusalCode::from(code)), code);
        }

        #[test]
        fn hostile_greetings_give_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Hello>(&bytes);
            let _ = decode::<Reply>(&bytes);
        }
    }
}
