//! Frames over one QUIC stream. What the frames mean is up to whoever opened it.

use crate::error::{FrameError, StreamError};
use crate::frame::{Frame, FrameBuffer, header};
use crate::stats::{Counters, Reason};
use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// The sending half of a stream of frames. Dropping it ends the stream in good order after what was sent.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    /// Between the first and the last byte of a frame: whoever reads must not take the end of the stream for the end of a frame.
    unfinished: bool,
}

/// The receiving half of a stream of frames. Dropping it tells the sender that nobody listens any more.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    buffer: FrameBuffer,
    /// Where offences are counted, unless the reader does.
    counters: Option<Arc<Counters>>,
    from: SocketAddr,
    /// The place among the peer's open channels that this stream takes up.
    place: Option<OwnedSemaphorePermit>,
}

/// Says what a stream is for; its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StreamKind {
    Request = 1,
    Channel = 2,
    Gossip = 3,
}

/// Codes with which one end breaks off a stream.
pub(crate) const UNFINISHED: VarInt = VarInt::from_u32(1);
pub(crate) const UNREADABLE: VarInt = VarInt::from_u32(2);
pub(crate) const OVERFLOW: VarInt = VarInt::from_u32(3);

impl FrameSender {
    pub(crate) fn new(stream: SendStream) -> FrameSender {
        FrameSender { stream, unfinished: false }
    }

    /// Sends one frame; waits while the other end, or the way there, is full.
    ///
    /// Given up half-way (the future dropped) it leaves the stream broken: the other end sees a reset and no false end,
    /// and every later call fails.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] leaves the stream as it was; after any other error it is of no further use.
    pub async fn send(&mut self, kind: u8, body: Bytes) -> Result<(), StreamError> {
        let header = header(kind, body.len())?;
        self.write(&mut [Bytes::copy_from_slice(&header), body]).await
    }

    /// Writes the mark that says what the stream is for, and with it the first frame, if there is one already.
    pub(crate) async fn begin(
        &mut self,
        mark: StreamKind,
        first: Option<(u8, Bytes)>,
    ) -> Result<(), StreamError> {
        let mut head = vec![mark as u8];
        let mut body = Bytes::new();
        if let Some((kind, first)) = first {
            head.extend_from_slice(&header(kind, first.len())?);
            body = first;
        }
        self.write(&mut [Bytes::from(head), body]).await
    }

    async fn write(&mut self, parts: &mut [Bytes]) -> Result<(), StreamError> {
        if self.unfinished {
            return Err(StreamError::Unfinished);
        }
        self.unfinished = true;
        self.stream.write_all_chunks(parts).await?;
        self.unfinished = false;
        Ok(())
    }

    /// Says that nothing follows. What was sent still arrives, unless the connection ends first.
    pub fn finish(mut self) {
        // Fails only when the other end has stopped the stream, and then nobody waits for an end.
        let _ = self.stream.finish();
    }

    /// Says that nothing follows, and waits until the other end has it all or wants no more.
    pub(crate) async fn finish_and_arrive(mut self) {
        if self.stream.finish().is_ok() {
            let _ = self.stream.stopped().await;
        }
    }

    /// Breaks the stream off with `code`.
    pub(crate) fn abandon(mut self, code: VarInt) {
        let _ = self.stream.reset(code);
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        // quinn finishes dropped streams, which after half a frame would be a lie.
        if self.unfinished {
            let _ = self.stream.reset(UNFINISHED);
        }
    }
}

impl FrameReceiver {
    pub(crate) fn new(
        stream: RecvStream,
        body_bytes_max: usize,
        counters: Option<Arc<Counters>>,
        from: SocketAddr,
    ) -> FrameReceiver {
        FrameReceiver { stream, buffer: FrameBuffer::new(body_bytes_max), counters, from, place: None }
    }

    /// The next frame, or `None` when the sender has ended the stream.
    ///
    /// Cancel-safe: a frame that has arrived in part is kept for the next call.
    ///
    /// # Errors
    /// After any error the stream is of no further use.
    pub async fn recv(&mut self) -> Result<Option<Frame>, StreamError> {
        loop {
            let next = self.buffer.next();
            if let Some(frame) = self.counted(next)? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Waits for the header of the next frame; the length of its body, or `None` at the end of the stream.
    pub(crate) async fn announced_bytes(&mut self) -> Result<Option<usize>, StreamError> {
        loop {
            let announced = self.buffer.announced_bytes();
            if let Some(bytes) = self.counted(announced)? {
                return Ok(Some(bytes));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The mark at the beginning of the stream.
    pub(crate) async fn mark(&mut self) -> Result<u8, StreamError> {
        loop {
            if let Some(mark) = self.buffer.take_mark() {
                return Ok(mark);
            }
            if !self.fill().await? {
                return self.counted(Err(FrameError::Truncated));
            }
        }
    }

    /// Gives the place back when the stream is dropped.
    pub(crate) fn keep(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// Tells the sender to stop.
    pub(crate) fn stop(mut self, code: VarInt) {
        let _ = self.stream.stop(code);
    }

    /// Reads what is there. False at the end of the stream.
    async fn fill(&mut self) -> Result<bool, StreamError> {
        match self.stream.read_chunk(usize::MAX, true).await? {
            Some(chunk) => {
                // Copied, because a chunk keeps the whole datagram alive that it came in.
                self.buffer.push(&chunk.bytes);
                Ok(true)
            }
            None => {
                let ended = self.buffer.end();
                self.counted(ended)?;
                Ok(false)
            }
        }
    }

    fn counted<T>(&self, outcome: Result<T, FrameError>) -> Result<T, StreamError> {
        outcome.map_err(|error| {
            if let Some(counters) = &self.counters {
                counters.refuse(Reason::BadFrame, self.from, &error.to_string());
            }
            StreamError::Frame(error)
        })
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => StreamError::Reset { code: code.into_inner() },
            other => StreamError::Closed(other.to_string()),
        }
    }
}

impl From<ReadError> for StreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => StreamError::Reset { code: code.into_inner() },
            ReadError::ConnectionLost(error) => StreamError::Closed(error.to_string()),
            other => StreamError::Closed(other.to_string()),
        }
    }
}

impl From<quinn::ConnectionError> for StreamError {
    fn from(error: quinn::ConnectionError) -> Self {
        StreamError::Closed(error.to_string())
    }
}
