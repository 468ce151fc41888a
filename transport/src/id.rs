//! The names of nodes and clusters, parsed once and valid ever after.
//!
//! No meaning beyond the name lives here: who may bear one is decided by certificates and by the node.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The stable name of a node, given by its operator and written into its certificate.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `.`. It has to be a DNS name, because certificates name their
/// bearer by one: each part between dots starts and ends with a letter or digit, and the last part is not made
/// of digits only (it would look like an IP address).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

/// The name of a cluster; part of the protocol name that both ends must agree on before anything else.
///
/// 1 to 48 characters of `a-z`, `0-9` and `-`. The default is `rumour`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(Arc<str>);

/// A name that cannot be used. The message says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a usable node name.
    #[error(
        "{0:?} cannot name a node: use 1 to 63 of a-z, 0-9, '-' and '.', start and end each part with a letter or digit, \
         and have a letter in the last part"
    )]
    Node(String),
    /// Not a usable cluster name.
    #[error("{0:?} cannot name a cluster: use 1 to 48 of a-z, 0-9 and '-'")]
    Cluster(String),
}

/// Longest node name, in bytes.
const NODE_BYTES_MAX: usize = 63;
/// Longest cluster name, in bytes; the protocol name around it must stay below 256 bytes.
const CLUSTER_BYTES_MAX: usize = 48;
/// How much of a refused name is repeated in the message.
const SHOWN_CHARS_MAX: usize = 80;

impl NodeId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        ClusterName(Arc::from("rumour"))
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        let fits = (1..=NODE_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        // A trailing dot is a valid DNS name and would be a second spelling of the same one.
        if !fits || text.ends_with('.') || rustls::pki_types::DnsName::try_from(text).is_err() {
            return Err(NameError::Node(shown(text)));
        }
        Ok(NodeId(Arc::from(text)))
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=CLUSTER_BYTES_MAX).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(NameError::Cluster(shown(text)));
        }
        Ok(ClusterName(Arc::from(text)))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

macro_rules! text_forms {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}
text_forms!(NodeId);
text_forms!(ClusterName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn node_names() {
        for good in ["a", "n1", "checkout-1", "a.b-c.d", "1.a", "x--y", &"a".repeat(63)] {
            assert!(good.parse::<NodeId>().is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", "-a", "a-", ".a", "a.", "a..b", "a.-b", "A", "a_b", "a b", "ä", "10.0.0.1", "7", "a*", &long]
        {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn cluster_names() {
        assert_eq!(ClusterName::default().as_str(), "rumour");
        for good in ["a", "7", "prod-eu", "-"] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a/b", "Prod", &"a".repeat(49)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_says_what_is_allowed_and_stays_short() {
        let message = "Ä".repeat(10_000).parse::<NodeId>().unwrap_err().to_string();
        assert!(message.contains("a-z") && message.len() < 500, "{message}");
    }

    proptest! {
        #[test]
        fn every_node_name_fits_a_certificate(text in "[a-z0-9.-]{1,63}") {
            if let Ok(node) = text.parse::<NodeId>() {
                prop_assert!(rustls::pki_types::ServerName::try_from(node.as_str()).is_ok());
                prop_assert_eq!(node.to_string(), text);
            }
        }
    }
}
