//! The cluster key: the one secret that makes a machine a member.
//!
//! What is derived from it lives in `identity`; where it is stored is the node's business.

use crate::error::KeyError;
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::str::FromStr;

/// The secret that all nodes of a cluster share; whoever holds it can join and can read everything.
///
/// Its text form is one line, `rumour-key-` and 64 hexadecimal digits. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; ClusterKey::BYTES]);

const PREFIX: &str = "rumour-key-";
/// Binds every derived secret to this use of the key and to this way of deriving.
const SALT: &[u8] = b"rumour cluster key v1";

impl ClusterKey {
    /// Length of a key in bytes.
    pub const BYTES: usize = 32;

    /// A new key from the operating system's random numbers.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] when the system has none to give.
    pub fn generate() -> Result<ClusterKey, KeyError> {
        let mut bytes = [0; Self::BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(ClusterKey(bytes))
    }

    /// The key made of these bytes. They must come from a good source of random numbers.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> ClusterKey {
        ClusterKey(bytes)
    }

    /// 32 bytes that depend on the key and on `purpose`, and tell nothing about the key.
    pub(crate) fn derive(&self, purpose: &[&[u8]]) -> [u8; 32] {
        derive(SALT, &self.0, purpose)
    }
}

/// HKDF-SHA256: `salt` and `secret` in, 32 bytes for `purpose` out.
pub(crate) fn derive(salt: &[u8], secret: &[u8], purpose: &[&[u8]]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let pseudorandom_key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    // Both calls fail only for outputs over 8160 bytes.
    let filled = pseudorandom_key.expand(purpose, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes));
    debug_assert!(filled.is_ok(), "32 bytes are within what HKDF can give");
    bytes
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(hidden)")
    }
}

impl FromStr for ClusterKey {
    type Err = KeyError;

    /// Reads the text form; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(KeyError::NotAKey)?;
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| KeyError::NotAKey)?;
        Ok(ClusterKey(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form() {
        let key = ClusterKey::generate().unwrap();
        assert_eq!(format!(" {key}\n").parse::<ClusterKey>().unwrap(), key);
        assert_ne!(key, ClusterKey::generate().unwrap());
        assert_eq!(key.to_string().len(), PREFIX.len() + 64);
    }

    #[test]
    fn debug_and_errors_never_show_a_key() {
        let key = ClusterKey::from_bytes([0xab; 32]);
        assert!(!format!("{key:?}").contains("ab"));
        let typo = key.to_string().replace("rumour-key-", "rumor-key-");
        assert!(!typo.parse::<ClusterKey>().unwrap_err().to_string().contains("abab"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        for bad in ["", "rumour-key-", "rumour-key-zz", &format!("rumour-key-{}", "a".repeat(63))] {
            assert!(bad.parse::<ClusterKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn purposes_give_unrelated_secrets() {
        let key = ClusterKey::from_bytes([1; 32]);
        assert_ne!(key.derive(&[b"a"]), key.derive(&[b"b"]));
        assert_ne!(key.derive(&[b"a"]), ClusterKey::from_bytes([2; 32]).derive(&[b"a"]));
        assert_eq!(key.derive(&[b"a"]), key.derive(&[b"a"]));
    }
}
