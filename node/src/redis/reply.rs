//! The reply encoder: RESP2 and RESP3 into a buffer that is reused.
//!
//! Types that RESP2 lacks are written as what Redis sends in their place: maps and sets as arrays, verbatim text
//! as a bulk string.

use bytes::{BufMut, BytesMut};

use super::number::format_f64;

/// Longest reply to one command, in bytes. Only reads of very many or very large values can reach it.
pub(super) const REPLY_BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// The version of the protocol that a client has chosen by `HELLO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// The reply to one command while it is being written.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    out: &'a mut BytesMut,
    start: usize,
    protocol: Protocol,
    limit: usize,
    overflowed: bool,
}

impl<'a> Reply<'a> {
    pub(super) fn new(out: &'a mut BytesMut, protocol: Protocol) -> Self {
        let start = out.len();
        Self { out, start, protocol, limit: REPLY_BYTES_LIMIT, overflowed: false }
    }

    /// The same in another version.
    pub(super) fn in_protocol(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Replies to come, from the one that answers `HELLO` on, use this version.
    pub(super) fn switch_to(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The reply to a command within this one, as one of an array's. What it may take is what is left.
    pub(super) fn nested(&mut self) -> Reply<'_> {
        let start = self.out.len();
        let limit = self.limit.saturating_sub(start - self.start);
        Reply { out: self.out, start, protocol: self.protocol, limit, overflowed: false }
    }

    /// Takes back what was written since the command began.
    pub(super) fn restart(&mut self) {
        self.out.truncate(self.start);
        self.overflowed = false;
    }

    /// Whether the reply became too long; it is incomplete then and must be taken back.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    pub(super) fn ok(&mut self) {
        self.out.put_slice(b"+OK\r\n");
    }

    /// A status of our own words: no line ends in it.
    pub(super) fn simple(&mut self, text: &str) {
        self.out.put_u8(b'+');
        self.out.put_slice(text.as_bytes());
        self.end_line();
    }

    /// An error: code, space, text. Line ends, which a client may have smuggled in, become spaces.
    pub(super) fn error(&mut self, text: &str) {
        self.out.put_u8(b'-');
        for byte in text.bytes() {
            self.out.put_u8(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
        }
        self.end_line();
    }

    pub(super) fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A number of things: saturates where `i64` ends.
    pub(super) fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub(super) fn double(&mut self, value: f64) {
        let digits = format_f64(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => {
                self.out.put_u8(b',');
                self.out.put_slice(digits.as_bytes());
                self.end_line();
            }
        }
    }

    /// The number, or null.
    pub(super) fn double_or_null(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.double(value),
            None => self.null(),
        }
    }

    pub(super) fn bulk(&mut self, value: impl AsRef<[u8]>) {
        self.string(b'$', b"", value.as_ref());
    }

    /// The value, or null.
    pub(super) fn bulk_or_null(&mut self, value: Option<impl AsRef<[u8]>>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    pub(super) fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.put_slice(b"$-1\r\n"),
            Protocol::Resp3 => self.out.put_slice(b"_\r\n"),
        }
    }

    /// Null in place of an array.
    pub(super) fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.put_slice(b"*-1\r\n"),
            Protocol::Resp3 => self.null(),
        }
    }

    /// Text for people to read.
    pub(super) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.string(b'=', b"txt:", text.as_bytes()),
        }
    }

    /// Starts an array: `len` replies must follow.
    pub(super) fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// Starts an array of names, each with its value or without: so many [`pair`](Self::pair)s must follow. The values
    /// stand beside the names in RESP2.
    pub(super) fn pairs(&mut self, len: usize, with_values: bool) {
        let flat = with_values && self.protocol == Protocol::Resp2;
        self.length(b'*', if flat { len.saturating_mul(2) } else { len });
    }

    /// Starts one of [`pairs`](Self::pairs).
    pub(super) fn pair(&mut self, with_values: bool) {
        if with_values && self.protocol == Protocol::Resp3 {
            self.length(b'*', 2);
        }
    }

    /// Starts a map: `len` keys, each with its value, must follow.
    pub(super) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', len.saturating_mul(2)),
            Protocol::Resp3 => self.length(b'%', len),
        }
    }

    /// Starts a set: `len` replies must follow.
    pub(super) fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', len),
            Protocol::Resp3 => self.length(b'~', len),
        }
    }

    fn string(&mut self, kind: u8, prefix: &[u8], value: &[u8]) {
        let len = prefix.len() + value.len();
        if self.overflowed || self.out.len() - self.start + len > self.limit {
            self.overflowed = true;
            return;
        }
        self.length(kind, len);
        self.out.put_slice(prefix);
        self.out.put_slice(value);
        self.end_line();
    }

    fn length(&mut self, kind: u8, len: usize) {
        self.header(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    fn header(&mut self, kind: u8, value: i64) {
        self.out.put_u8(kind);
        self.out.put_slice(itoa::Buffer::new().format(value).as_bytes());
        self.end_line();
    }

    fn end_line(&mut self) {
        self.out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
