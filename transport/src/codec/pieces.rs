//! Values whose bytes may be longer than a frame: written to pieces and read from pieces, so that nobody needs all of them in
//! one run of memory, and each piece can go as soon as it was sent or read.

use std::collections::VecDeque;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::read::Reader;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bytes::{Buf, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CodecError;

/// The bytes of `value`, `limit` of them at most, in pieces of `piece_bytes` (at least one); the last may be shorter, and there
/// always is one. Put together they are what [`encode`](super::encode) gives.
///
/// # Errors
/// [`CodecError::TooLarge`] before more memory than the limit is taken, [`CodecError::Encode`] for values that serde cannot render.
pub fn encode_pieces<T: Serialize + ?Sized>(
    value: &T,
    piece_bytes: usize,
    limit: usize,
) -> Result<VecDeque<Vec<u8>>, CodecError> {
    let pieces = VecDeque::from([Vec::new()]);
    let mut body = Pieces { pieces, piece_bytes: piece_bytes.max(1), room: limit, full: false };
    match bincode::serde::encode_into_writer(value, &mut body, bincode::config::standard()) {
        Ok(()) => Ok(body.pieces),
        Err(_) if body.full => Err(CodecError::TooLarge { limit }),
        Err(error) => Err(CodecError::Encode(error.to_string())),
    }
}

/// The value that all of the pieces together encode, in `LIMIT` bytes at most.
///
/// # Errors
/// As for [`decode`](super::decode): no panic whatever the bytes are.
pub fn decode_pieces<T: DeserializeOwned, const LIMIT: usize>(
    pieces: VecDeque<Bytes>,
) -> Result<T, CodecError> {
    const fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
        bincode::config::standard().with_limit::<LIMIT>()
    }
    let left = pieces.iter().map(Bytes::len).sum();
    if left > LIMIT {
        return Err(CodecError::TooLarge { limit: LIMIT });
    }
    let mut arrived = Arrived { pieces, left };
    let value = bincode::serde::decode_from_reader(&mut arrived, config::<LIMIT>())
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match arrived.left {
        0 => Ok(value),
        extra => Err(CodecError::Trailing { extra }),
    }
}

/// Pieces that fill up one after the other.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    piece_bytes: usize,
    /// Bytes that may still come.
    room: usize,
    full: bool,
}

impl Writer for Pieces {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.room {
            self.full = true;
            return Err(EncodeError::UnexpectedEnd);
        }
        self.room -= bytes.len();
        while !bytes.is_empty() {
            let filled = self.pieces.back().map_or(self.piece_bytes, Vec::len);
            if filled == self.piece_bytes {
                self.pieces.push_back(Vec::new());
            }
            let Some(piece) = self.pieces.back_mut() else { return Err(EncodeError::UnexpectedEnd) };
            let (now, later) = bytes.split_at(bytes.len().min(self.piece_bytes - piece.len()));
            piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }
}

/// Pieces that go as they are read.
struct Arrived {
    pieces: VecDeque<Bytes>,
    /// Bytes in all of them.
    left: usize,
}

impl Reader for Arrived {
    fn read(&mut self, mut to: &mut [u8]) -> Result<(), DecodeError> {
        // Before anything is written: what a length merely claims costs nothing then.
        if to.len() > self.left {
            return Err(DecodeError::UnexpectedEnd { additional: to.len() - self.left });
        }
        while !to.is_empty() {
            let here = self.pieces.front().map_or(0, Bytes::len).min(to.len());
            let (now, later) = to.split_at_mut(here);
            if let Some(piece) = self.pieces.front() {
                now.copy_from_slice(&piece[..here]);
            }
            self.consume(here);
            to = later;
        }
        Ok(())
    }

    fn peek_read(&mut self, count: usize) -> Option<&[u8]> {
        self.pieces.front()?.get(..count)
    }

    fn consume(&mut self, count: usize) {
        if let Some(piece) = self.pieces.front_mut() {
            piece.advance(count);
            self.left -= count;
        }
        while self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::encode;

    const LIMIT: usize = 4096;

    type Value = (u64, Vec<(Bytes, Option<u64>)>, String);

    fn value() -> impl Strategy<Value = Value> {
        let item = (prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from), any::<Option<u64>>());
        (any::<u64>(), prop::collection::vec(item, 0..12), ".{0,40}")
    }

    fn arrived(pieces: VecDeque<Vec<u8>>) -> VecDeque<Bytes> {
        pieces.into_iter().map(Bytes::from).collect()
    }

    #[test]
    fn the_limit_holds_both_ways() {
        let long = vec![0_u8; LIMIT];
        assert_eq!(encode_pieces(&long, 100, LIMIT), Err(CodecError::TooLarge { limit: LIMIT }));
        let pieces = encode_pieces(&long, 100, 2 * LIMIT).unwrap();
        assert_eq!(
            decode_pieces::<Vec<u8>, LIMIT>(arrived(pieces.clone())),
            Err(CodecError::TooLarge { limit: LIMIT })
        );
        assert_eq!(decode_pieces::<Vec<u8>, { 2 * LIMIT }>(arrived(pieces)), Ok(long));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for claimed in [10_u64, 1 << 10, 1 << 24, 1 << 40, u64::MAX] {
            let mut bytes = vec![253];
            bytes.extend_from_slice(&claimed.to_le_bytes());
            let pieces: VecDeque<_> = bytes.chunks(4).map(Bytes::copy_from_slice).collect();
            assert!(decode_pieces::<Vec<u8>, LIMIT>(pieces.clone()).is_err(), "{claimed}");
            assert!(decode_pieces::<Vec<String>, LIMIT>(pieces).is_err(), "{claimed}");
        }
    }

    proptest! {
        #[test]
        fn values_survive_pieces_of_any_length(value in value(), piece_bytes in 1_usize..200) {
            let pieces = encode_pieces(&value, piece_bytes, LIMIT).unwrap();
            prop_assert_eq!(pieces.iter().flatten().copied().collect::<Vec<u8>>(), encode(&value).unwrap().to_vec());
            prop_assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() == piece_bytes));
            prop_assert_eq!(decode_pieces::<Value, LIMIT>(arrived(pieces)).unwrap(), value);
        }

        #[test]
        fn trailing_and_missing_bytes_are_errors(value in value(), piece_bytes in 1_usize..200) {
            let mut pieces = arrived(encode_pieces(&value, piece_bytes, LIMIT).unwrap());
            let mut longer = pieces.clone();
            longer.push_back(Bytes::from_static(b"more"));
            prop_assert_eq!(decode_pieces::<Value, LIMIT>(longer), Err(CodecError::Trailing { extra: 4 }));
            pieces.pop_back();
            prop_assert!(decode_pieces::<Value, LIMIT>(pieces).is_err());
        }

        #[test]
        fn hostile_pieces_give_an_error_or_a_value(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
        ) {
            let _ = decode_pieces::<Value, LIMIT>(pieces.into_iter().map(Bytes::from).collect());
        }
    }
}
