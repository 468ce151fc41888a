//! The one place where values become bytes and bytes become values.
//!
//! bincode 2 stands behind it, nothing else names bincode: another codec can replace it under a new protocol version.
//! What is sent and when is none of its business.
//!
//! Types that travel must not hold collections of zero-sized elements (a length alone would keep the decoder busy) nor
//! nest without bound (it would overflow the stack).

use crate::frame::MAX_BODY_BYTES;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

mod pieces;

pub use pieces::{decode_pieces, encode_pieces};

/// A value could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The encoded value would not fit a frame: send less at a time.
    #[error("the value takes more than {limit} bytes: send less at a time")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The value cannot be encoded at all.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The bytes are no such value.
    #[error("cannot decode: {0}")]
    Decode(String),
    /// The bytes hold such a value and then something else.
    #[error("{extra} bytes follow the value")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

/// The limit also bounds what a length inside the bytes can make the decoder claim.
const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_BODY_BYTES>> =
    bincode::config::standard().with_limit::<MAX_BODY_BYTES>();

/// The bytes of `value`, at most [`MAX_BODY_BYTES`] of them.
///
/// # Errors
/// [`CodecError::TooLarge`] before more memory than the limit is taken, [`CodecError::Encode`] for values that serde cannot render.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    let mut body = Body { bytes: Vec::new(), full: false };
    match bincode::serde::encode_into_writer(value, &mut body, CONFIG) {
        Ok(()) => Ok(Bytes::from(body.bytes)),
        Err(_) if body.full => Err(CodecError::TooLarge { limit: MAX_BODY_BYTES }),
        Err(error) => Err(CodecError::Encode(error.to_string())),
    }
}

/// The value that all of `bytes` encode.
///
/// # Errors
/// Hostile bytes give an error: no panic, and no more memory than a small multiple of what arrived plus one megabyte.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(CodecError::TooLarge { limit: MAX_BODY_BYTES });
    }
    let (value, consumed) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match bytes.len() - consumed {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { extra }),
    }
}

/// Grows up to the limit. bincode's own limit does not hold for encoding.
struct Body {
    bytes: Vec<u8>,
    full: bool,
}

impl Writer for Body {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > MAX_BODY_BYTES - self.bytes.len() {
            self.full = true;
            return Err(EncodeError::UnexpectedEnd);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Message {
        Empty,
        Batch { seq: u64, items: Vec<(Bytes, Option<u64>)> },
        Table(BTreeMap<u64, String>),
        Names(Vec<crate::NodeId>),
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Empty),
            (
                any::<u64>(),
                prop::collection::vec(
                    (prop::collection::vec(any::<u8>(), 0..64), any::<Option<u64>>()),
                    0..8
                )
            )
                .prop_map(|(seq, items)| Message::Batch {
                    seq,
                    items: items.into_iter().map(|(b, t)| (Bytes::from(b), t)).collect()
                }),
            prop::collection::btree_map(any::<u64>(), ".{0,12}", 0..8).prop_map(Message::Table),
        ]
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for claimed in [10_u64, 1 << 20, 1 << 24, 1 << 32, 1 << 40, u64::MAX] {
            let mut bytes = vec![253];
            bytes.extend_from_slice(&claimed.to_le_bytes());
            assert!(decode::<Vec<u8>>(&bytes).is_err(), "{claimed}");
            assert!(decode::<Bytes>(&bytes).is_err(), "{claimed}");
            assert!(decode::<Vec<String>>(&bytes).is_err(), "{claimed}");
            assert!(decode::<Vec<[u64; 16]>>(&bytes).is_err(), "{claimed}");
        }
    }

    #[test]
    fn both_directions_know_the_limit() {
        assert_eq!(encode(&vec![0_u8; MAX_BODY_BYTES]), Err(CodecError::TooLarge { limit: MAX_BODY_BYTES }));
        assert!(encode(&vec![0_u8; MAX_BODY_BYTES - 16]).is_ok());
        let long = vec![0_u8; MAX_BODY_BYTES + 1];
        assert_eq!(decode::<Vec<u8>>(&long), Err(CodecError::TooLarge { limit: MAX_BODY_BYTES }));
    }

    #[test]
    fn names_are_checked_on_arrival() {
        let bytes = encode(&vec!["Not A Name"]).unwrap();
        assert!(decode::<Vec<crate::NodeId>>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn values_survive(value in message()) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(decode::<Message>(&bytes).unwrap(), value);
        }

        #[test]
        fn trailing_and_missing_bytes_are_errors(value in message(), extra in 1_usize..20, cut in any::<prop::sample::Index>()) {
            let bytes = encode(&value).unwrap();
            let mut longer = bytes.to_vec();
            longer.resize(bytes.len() + extra, 0);
            prop_assert_eq!(decode::<Message>(&longer), Err(CodecError::Trailing { extra }));
            prop_assert!(decode::<Message>(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn hostile_bytes_give_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<Message>(&bytes);
            let _ = decode::<Vec<Message>>(&bytes);
        }

        #[test]
        fn damaged_messages_give_an_error_or_a_value(value in message(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = encode(&value).unwrap().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            let _ = decode::<Message>(&bytes);
        }
    }
}
