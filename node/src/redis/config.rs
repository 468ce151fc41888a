//! How the door is set up.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use ring::hmac;

/// Settings of the Redis door.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where to listen, TCP. Port 0 takes any free one. Traffic is not encrypted: keep it on loopback or on a
    /// network of your own.
    pub addr: SocketAddr,
    /// What clients must give by `AUTH` or `HELLO`; `None` serves everybody who can connect.
    pub password: Option<Password>,
    /// Connections open at a time; more are told so and closed.
    pub max_clients: usize,
}

impl Default for RedisConfig {
    /// Port 6379 on loopback, no password, 10000 connections.
    fn default() -> Self {
        Self { addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 6379)), password: None, max_clients: 10_000 }
    }
}

/// A password that does not show in logs and takes equally long to compare, whatever is wrong.
#[derive(Clone)]
pub struct Password {
    /// Any key will do: it only serves to compare digests in place of passwords.
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Password {
    /// Takes a password as its owner gave it.
    #[must_use]
    pub fn new(password: impl AsRef<[u8]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"rumour redis password");
        let tag = hmac::sign(&key, password.as_ref());
        Self { key, tag }
    }

    /// Whether it is this one. The time it takes depends on the candidate's length alone.
    pub(super) fn is(&self, candidate: &[u8]) -> bool {
        hmac::verify(&self.key, candidate, self.tag.as_ref()).is_ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Password;

    #[test]
    fn only_the_very_password_passes_and_debug_hides_it() {
        let password = Password::new("open sesame");
        assert!(password.is(b"open sesame"));
        for wrong in ["", "open sesam", "open sesame ", "Open sesame"] {
            assert!(!password.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{password:?}").contains("sesame"));
    }
}
