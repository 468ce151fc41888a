//! Batches that are longer than a frame should be: cut into pieces by one end of a link, put together by the other. No I/O.
//!
//! All pieces but the last travel in frames of kind `PART`, the last one in the frame of kind `BATCH`. Behind the last piece of
//! several stand sixteen bytes: the sender's clock when it left, as the clock inside may be old by then, and how long all pieces
//! are together.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use rumour_crdt::Hlc;
use rumour_transport::codec::{self, CodecError};

use crate::engine::PAYLOAD_BYTES_LIMIT;
use crate::message::Batch;

/// Longest piece, in bytes: about an ordinary batch, so that a slow link answers often enough.
const PIECE_BYTES_LIMIT: usize = 256 * 1024;
/// Longest batch that travels, in bytes. Two sides of a cut may each add to a key what it may hold, and more of them more: merging
/// is never refused, so there must be room for it.
pub(super) const TRANSFER_BYTES_LIMIT: usize = 4 * PAYLOAD_BYTES_LIMIT;
/// Pieces of one batch at most: each takes some memory however short it is.
const PIECES_LIMIT: usize = TRANSFER_BYTES_LIMIT / 4096;

/// A batch on its way out.
pub(super) struct Cut {
    pieces: VecDeque<Vec<u8>>,
    in_parts: bool,
    /// Of all pieces together.
    bytes: usize,
}

/// What is to be sent next of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// More follows.
    Part(Bytes),
    /// The batch is complete with it.
    Last(Bytes),
}

/// Why pieces do not make a batch. Nothing was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JoinError {
    #[error(
        "a batch of more than {TRANSFER_BYTES_LIMIT} bytes, or in more than {PIECES_LIMIT} parts: is the peer newer, or does a key \
         hold far more than it may?"
    )]
    TooLong,
    #[error("a batch in parts that are not all there")]
    Incomplete,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Cut {
    /// Cuts a batch into pieces of `piece_bytes` at most.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] where it is longer than `bytes_limit`, which is [`TRANSFER_BYTES_LIMIT`] but in tests.
    pub(super) fn new(batch: &Batch, piece_bytes: usize, bytes_limit: usize) -> Result<Self, CodecError> {
        let piece_bytes = piece_bytes.clamp(1, PIECE_BYTES_LIMIT);
        let pieces = codec::encode_pieces(batch, piece_bytes, bytes_limit)?;
        Ok(Self { in_parts: pieces.len() > 1, bytes: pieces.iter().map(Vec::len).sum(), pieces })
    }

    /// Whether it takes more than one frame.
    pub(super) fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    /// The next piece, `None` behind the last. `clock` is asked for the present time where that is told.
    pub(super) fn next(&mut self, clock: impl FnOnce() -> Hlc) -> Option<Piece> {
        let mut piece = self.pieces.pop_front()?;
        if !self.pieces.is_empty() {
            return Some(Piece::Part(piece.into()));
        }
        if self.in_parts {
            piece.extend_from_slice(&clock().bits().to_le_bytes());
            piece.extend_from_slice(&(self.bytes as u64).to_le_bytes());
        }
        Some(Piece::Last(piece.into()))
    }
}

/// The parts of a batch that is arriving. One for each link, and gone with it.
#[derive(Default)]
pub(super) struct Joiner {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Joiner {
    /// Keeps a part.
    ///
    /// # Errors
    /// [`JoinError::TooLong`]; the parts are of no further use.
    pub(super) fn part(&mut self, piece: Bytes) -> Result<(), JoinError> {
        if piece.len() > TRANSFER_BYTES_LIMIT - self.bytes || self.pieces.len() >= PIECES_LIMIT {
            return Err(JoinError::TooLong);
        }
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Puts the parts and the last piece together; its clock is when that left. No part is left here.
    ///
    /// # Errors
    /// Any [`JoinError`].
    pub(super) fn last(&mut self, mut piece: Bytes) -> Result<Batch, JoinError> {
        if self.pieces.is_empty() {
            return Ok(codec::decode(&piece)?);
        }
        let at = piece.len().checked_sub(2 * size_of::<u64>()).ok_or(JoinError::Incomplete)?;
        let mut trailer = piece.split_off(at);
        let (clock, bytes) = (trailer.get_u64_le(), trailer.get_u64_le());
        self.part(piece)?;
        let Self { pieces, bytes: arrived } = std::mem::take(self);
        if arrived as u64 != bytes {
            return Err(JoinError::Incomplete);
        }
        let mut batch: Batch = codec::decode_pieces::<_, TRANSFER_BYTES_LIMIT>(pieces)?;
        batch.clock = Hlc::from_bits(clock);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rumour_crdt::{ActorId, Entry, Minter, Stamp};

    use super::*;

    fn batch(values: &[Vec<u8>]) -> Batch {
        let mut minter = Minter::new(ActorId::new(1));
        let mut entry = |value: &Vec<u8>| {
            let stamp = minter.mint(1_000, None);
            (Bytes::from(value.clone()), Entry::value(value.clone().into(), None, stamp, None))
        };
        let entries = values.iter().map(&mut entry).collect();
        Batch { number: 7, clock: Hlc::from_parts(1_000, 0), flushed: Stamp::ZERO, entries }
    }

    fn later() -> Hlc {
        Hlc::from_parts(2_000, 3)
    }

    /// Brings a batch over; gives it with the number of frames.
    fn carry(joiner: &mut Joiner, batch: &Batch, piece_bytes: usize) -> Result<(Batch, usize), JoinError> {
        let mut cut = Cut::new(batch, piece_bytes, TRANSFER_BYTES_LIMIT)?;
        let mut frames = 0;
        while let Some(piece) = cut.next(later) {
            frames += 1;
            match piece {
                Piece::Part(piece) => joiner.part(piece)?,
                Piece::Last(piece) => return Ok((joiner.last(piece)?, frames)),
            }
        }
        panic!("a batch has an end");
    }

    proptest! {
        #[test]
        fn a_batch_survives_pieces_of_any_length(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
            piece_bytes in 1_usize..600,
        ) {
            let (sent, mut joiner) = (batch(&values), Joiner::default());
            let bytes = codec::encode(&sent).unwrap().len();
            // Twice: nothing of the first is left behind.
            for _ in 0..2 {
                let (arrived, frames) = carry(&mut joiner, &sent, piece_bytes).unwrap();
                prop_assert_eq!(frames, bytes.div_ceil(piece_bytes));
                let clock = if frames > 1 { later() } else { sent.clock };
                prop_assert_eq!(&arrived, &Batch { clock, ..sent.clone() });
            }
        }

        #[test]
        fn a_batch_that_lacks_a_part_is_no_batch(piece_bytes in 1_usize..40, missing in any::<prop::sample::Index>()) {
            let mut cut = Cut::new(&batch(&[vec![b'v'; 100]]), piece_bytes, TRANSFER_BYTES_LIMIT).unwrap();
            let missing = missing.index(cut.pieces.len() - 1);
            let mut joiner = Joiner::default();
            for turn in 0.. {
                match cut.next(later) {
                    Some(Piece::Part(_)) if turn == missing => {}
                    Some(Piece::Part(piece)) => joiner.part(piece).unwrap(),
                    Some(Piece::Last(piece)) => {
                        prop_assert_eq!(joiner.last(piece), Err(JoinError::Incomplete));
                        break;
                    }
                    None => panic!("a batch has an end"),
                }
            }
        }
    }

    #[test]
    fn an_ordinary_batch_is_one_frame_as_it_is() {
        let sent = batch(&[vec![1; 1000]]);
        let mut cut = Cut::new(&sent, PIECE_BYTES_LIMIT, TRANSFER_BYTES_LIMIT).unwrap();
        assert!(!cut.is_in_parts());
        assert_eq!(cut.next(later), Some(Piece::Last(codec::encode(&sent).unwrap())));
        assert_eq!(cut.next(later), None);
    }

    #[test]
    fn parts_beyond_the_limit_are_refused() {
        let mut joiner = Joiner::default();
        // One buffer many times: it takes no memory.
        let piece = Bytes::from(vec![0; PIECE_BYTES_LIMIT]);
        for _ in 0..TRANSFER_BYTES_LIMIT / PIECE_BYTES_LIMIT {
            assert_eq!(joiner.part(piece.clone()), Ok(()));
        }
        assert_eq!(joiner.part(Bytes::from_static(b"x")), Err(JoinError::TooLong));
        let mut joiner = Joiner::default();
        for _ in 0..PIECES_LIMIT {
            assert_eq!(joiner.part(Bytes::new()), Ok(()));
        }
        assert_eq!(joiner.part(Bytes::new()), Err(JoinError::TooLong));
    }

    #[test]
    fn a_last_piece_that_is_too_short_is_refused() {
        let mut joiner = Joiner::default();
        joiner.part(Bytes::from_static(b"part")).unwrap();
        assert_eq!(joiner.last(Bytes::from_static(b"short")), Err(JoinError::Incomplete));
    }
}
