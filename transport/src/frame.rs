//! The layout of frames, and cutting a stream of bytes into them. No I/O.
//!
//! A frame is: body length (u32, big-endian), layout version (u8), kind (u8), body. What kinds and bodies mean is up
//! to whoever opened the stream.

use crate::error::FrameError;
use bytes::{Buf, Bytes, BytesMut};

/// Longest body of a frame, in bytes.
pub const MAX_BODY_BYTES: usize = 16 << 20;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 6;
/// The layout described above.
pub(crate) const LAYOUT_VERSION: u8 = 1;
/// Memory taken for a body on the word of its length alone.
const TRUSTED_BYTES: usize = 64 << 10;

/// One message on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is; the meaning is up to whoever uses the stream.
    pub kind: u8,
    /// The message itself, at most [`MAX_BODY_BYTES`].
    pub body: Bytes,
}

/// The header of a frame whose body is `body_bytes` long.
pub(crate) fn header(kind: u8, body_bytes: usize) -> Result<[u8; HEADER_BYTES], FrameError> {
    match u32::try_from(body_bytes) {
        Ok(length) if body_bytes <= MAX_BODY_BYTES => {
            let [a, b, c, d] = length.to_be_bytes();
            Ok([a, b, c, d, LAYOUT_VERSION, kind])
        }
        _ => Err(FrameError::TooLong { bytes: body_bytes, limit: MAX_BODY_BYTES }),
    }
}

/// Cuts a stream into frames.
///
/// Call [`push`](Self::push) with what arrived, then [`next`](Self::next) until it gives `None`; [`end`](Self::end) when the
/// stream is over. After an error the rest of the stream means nothing.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    received: BytesMut,
    open: Option<(u8, usize)>,
    body_bytes_max: usize,
}

impl FrameBuffer {
    pub(crate) fn new(body_bytes_max: usize) -> Self {
        FrameBuffer {
            received: BytesMut::new(),
            open: None,
            body_bytes_max: body_bytes_max.min(MAX_BODY_BYTES),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The length of the body that is arriving, once its header is there.
    pub(crate) fn announced_bytes(&mut self) -> Result<Option<usize>, FrameError> {
        if self.open.is_none() {
            let Some(header) = self.received.first_chunk::<HEADER_BYTES>() else {
                return Ok(None);
            };
            let [a, b, c, d, version, kind] = *header;
            if version != LAYOUT_VERSION {
                return Err(FrameError::Version(version));
            }
            let bytes = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if bytes > self.body_bytes_max {
                return Err(FrameError::TooLong { bytes, limit: self.body_bytes_max });
            }
            self.received.advance(HEADER_BYTES);
            self.received.reserve(bytes.min(TRUSTED_BYTES).saturating_sub(self.received.len()));
            self.open = Some((kind, bytes));
        }
        Ok(self.open.map(|(_, bytes)| bytes))
    }

    /// The next whole frame, if it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        self.announced_bytes()?;
        match self.open {
            Some((kind, bytes)) if self.received.len() >= bytes => {
                self.open = None;
                Ok(Some(Frame { kind, body: self.received.split_to(bytes).freeze() }))
            }
            _ => Ok(None),
        }
    }

    /// Takes one byte from the front, if there is one and no frame is under way: marks before the first frame are read so.
    pub(crate) fn take_mark(&mut self) -> Option<u8> {
        let mark = *self.received.first()?;
        self.received.advance(1);
        Some(mark)
    }

    /// To be called at the end of the stream: an error if it ended inside a frame.
    pub(crate) fn end(&self) -> Result<(), FrameError> {
        if self.open.is_some() || !self.received.is_empty() { Err(FrameError::Truncated) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, body) in frames {
            bytes.extend_from_slice(&header(*kind, body.len()).unwrap());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
        let mut buffer = FrameBuffer::new(MAX_BODY_BYTES);
        buffer.push(&[0xff, 0xff, 0xff, 0xff, LAYOUT_VERSION, 0]);
        assert!(matches!(buffer.next(), Err(FrameError::TooLong { bytes: 0xffff_ffff, .. })));
        assert!(buffer.received.capacity() < 1024);
        assert!(header(0, MAX_BODY_BYTES).is_ok());
        assert!(header(0, MAX_BODY_BYTES + 1).is_err());
    }

    #[test]
    fn memory_follows_the_bytes_that_arrived() {
        let mut buffer = FrameBuffer::new(MAX_BODY_BYTES);
        buffer.push(&header(0, MAX_BODY_BYTES).unwrap());
        assert_eq!(buffer.next(), Ok(None));
        assert!(buffer.received.capacity() <= 2 * TRUSTED_BYTES, "{}", buffer.received.capacity());
        buffer.push(&[0; 300_000]);
        assert_eq!(buffer.next(), Ok(None));
        assert!(buffer.received.capacity() <= 2 * 300_000 + TRUSTED_BYTES, "{}", buffer.received.capacity());
    }

    #[test]
    fn another_layout_is_refused() {
        let mut buffer = FrameBuffer::new(100);
        buffer.push(&[0, 0, 0, 1, LAYOUT_VERSION + 1, 0, 0]);
        assert_eq!(buffer.next(), Err(FrameError::Version(LAYOUT_VERSION + 1)));
    }

    #[test]
    fn a_buffer_of_its_own_keeps_a_lower_limit() {
        let mut buffer = FrameBuffer::new(10);
        buffer.push(&encoded(&[(1, vec![0; 10]), (2, vec![0; 11])]));
        assert_eq!(buffer.next().unwrap().unwrap().kind, 1);
        assert_eq!(buffer.next(), Err(FrameError::TooLong { bytes: 11, limit: 10 }));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
            cuts in prop::collection::vec(1_usize..50, 1..40),
        ) {
            let bytes = encoded(&frames);
            let (mut buffer, mut got, mut at) = (FrameBuffer::new(300), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let to = (at + cut).min(bytes.len());
                buffer.push(&bytes[at..to]);
                while let Some(frame) = buffer.next().unwrap() {
                    got.push((frame.kind, frame.body.to_vec()));
                }
                at = to;
                if at == bytes.len() { break }
            }
            prop_assert_eq!(buffer.end(), Ok(()));
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn a_stream_cut_short_is_an_error(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 1..100)), 1..4),
            missing in 1_usize..100,
        ) {
            let bytes = encoded(&frames);
            let last = HEADER_BYTES + frames.last().unwrap().1.len();
            let mut buffer = FrameBuffer::new(300);
            buffer.push(&bytes[..bytes.len() - missing.min(last - 1)]);
            let mut count = 0;
            while buffer.next().unwrap().is_some() { count += 1 }
            prop_assert_eq!(count, frames.len() - 1);
            prop_assert_eq!(buffer.end(), Err(FrameError::Truncated));
        }

        #[test]
        fn hostile_bytes_never_panic_and_never_take_much(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            plausible in any::<bool>(),
        ) {
            let mut buffer = FrameBuffer::new(MAX_BODY_BYTES);
            let mut arrived = 0;
            for mut chunk in chunks {
                if plausible && chunk.len() >= HEADER_BYTES {
                    chunk[0] = 0;
                    chunk[4] = LAYOUT_VERSION;
                }
                arrived += chunk.len();
                buffer.push(&chunk);
                while let Ok(Some(_)) = buffer.next() {}
                prop_assert!(buffer.received.capacity() <= 2 * (arrived + TRUSTED_BYTES));
            }
            let _ = buffer.end();
        }
    }
}
