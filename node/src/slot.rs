//! Slots: the 16384 parts of the key space, computed as Redis Cluster computes them, so that
//! cluster-aware clients agree with us.

use crc::{CRC_16_XMODEM, Crc};

/// How many slots the key space has.
pub const SLOTS: usize = 16384;

const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key: CRC16-XMODEM of its hash tag, or of the whole key without one, modulo 16384.
///
/// The hash tag is what stands between the first `{` and the first `}` after it, when that is not
/// empty. Source: the Redis Cluster specification, "Hash tags".
///
/// ```
/// assert_eq!(rumour::slot_of(b"123456789"), 0x31C3);
/// assert_eq!(rumour::slot_of(b"{user:1}:name"), rumour::slot_of(b"{user:1}:mail"));
/// ```
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    CRC16.checksum(hash_tag(key)) % SLOTS as u16
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|&b| b == b'}') {
        Some(0) | None => key,
        Some(close) => &rest[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_redis_cluster_specification() {
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), CRC16.checksum(b"foo{}{bar}") % 16384);
        assert_eq!(slot_of(b"foo{{bar}}zap"), CRC16.checksum(b"{bar") % 16384);
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"{open"), CRC16.checksum(b"{open") % 16384);
    }
}
