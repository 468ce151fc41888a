//! A small register in one allocation: header, key, value.
//!
//! | part | bytes |
//! | --- | --- |
//! | flags: kind of body, whether it expires, how many further dots | 1 |
//! | access, for eviction | 2 |
//! | time of the stamp | 8 |
//! | number of the stamp's actor | 2 |
//! | sequence of the stamp | varint |
//! | expiry, Unix milliseconds | 6, if it expires |
//! | each further dot of the vector: number of the actor, sequence | 2 + varint |
//! | length of the key | varint |
//! | key, then value | |

use bytes::{Buf, BufMut, Bytes};
use rumour_crdt::{Body, Dot, Entry, Hlc, Stamp};
use unsigned_varint::{decode, encode};

use crate::store::actors::Actors;

/// Longest value that is kept like this. A longer one is kept as it is, so that reading it copies nothing.
pub(super) const VALUE_BYTES_LIMIT: usize = 2048;

const KIND: u8 = 0b11;
const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;
const EXPIRED: u8 = 2;
const EXPIRES: u8 = 1 << 2;
const FURTHER_SHIFT: u8 = 3;
const FURTHER_LIMIT: usize = 3;
const EXPIRY_BYTES: usize = 6;
const ACCESS: std::ops::Range<usize> = 1..3;

/// One record. Its actors' numbers are those of its shard.
pub(in crate::store) struct Compact(Box<[u8]>);

/// What a record's bytes say.
struct Parts<'a> {
    time: Hlc,
    actor: u16,
    seq: u64,
    flags: u8,
    expires_at_ms: Option<u64>,
    /// The further dots, then the key and the value.
    further: &'a [u8],
}

impl Compact {
    /// Writes a register down; `None` if it is none, or one that does not fit.
    pub(super) fn encode(key: &[u8], entry: &Entry, access: u16, actors: &mut Actors) -> Option<Self> {
        let (stamp, expiry) = (entry.stamp(), entry.expiry());
        let (kind, value): (u8, &[u8]) = match entry.body() {
            Body::Value(value) => (VALUE, value),
            Body::Tombstone => (TOMBSTONE, &[]),
            Body::Expired => (EXPIRED, &[]),
        };
        let further = entry.seen().len().checked_sub(1)?;
        let fits = value.len() <= VALUE_BYTES_LIMIT
            && further <= FURTHER_LIMIT
            && expiry.stamp == stamp
            && entry.contents().is_none()
            && expiry.at_ms.is_none_or(|at_ms| at_ms >> (8 * EXPIRY_BYTES) == 0)
            && entry.seen().iter().next() == Some(stamp.dot());
        if !fits {
            return None;
        }
        let mut header = [0; 96];
        let mut rest = header.as_mut_slice();
        rest.put_u8(
            kind | (further as u8) << FURTHER_SHIFT | if expiry.at_ms.is_some() { EXPIRES } else { 0 },
        );
        rest.put_u16_le(access);
        rest.put_u64_le(stamp.time.bits());
        rest.put_u16_le(actors.intern(stamp.actor)?);
        put_varint(&mut rest, stamp.seq);
        if let Some(at_ms) = expiry.at_ms {
            rest.put_uint_le(at_ms, EXPIRY_BYTES);
        }
        for dot in entry.seen().iter().skip(1) {
            rest.put_u16_le(actors.intern(dot.actor)?);
            put_varint(&mut rest, dot.seq);
        }
        put_varint(&mut rest, key.len() as u64);
        let unused = rest.len();
        let header = &header[..header.len() - unused];
        Some(Self([header, key, value].concat().into_boxed_slice()))
    }

    /// The register, with the value if `with_value`, else with an empty one in its place.
    pub(super) fn decode(&self, actors: &Actors, with_value: bool) -> Entry {
        let parts = self.parts();
        let (further, key_and_value) = self.further(&parts, actors);
        let body = match parts.flags & KIND {
            VALUE if with_value => Body::Value(Bytes::copy_from_slice(split(key_and_value).1)),
            VALUE => Body::Value(Bytes::new()),
            TOMBSTONE => Body::Tombstone,
            _ => Body::Expired,
        };
        Entry::from_parts(stamp(&parts, actors), further.into_iter().flatten(), body, parts.expires_at_ms)
    }

    pub(super) fn key(&self) -> &[u8] {
        split(skip_further(&self.parts())).0
    }

    /// Whether it has a value, due or not.
    pub(super) fn is_live(&self) -> bool {
        self.0[0] & KIND == VALUE
    }

    /// Whether its expiry has taken effect.
    pub(super) fn is_expired(&self) -> bool {
        self.0[0] & KIND == EXPIRED
    }

    pub(super) fn expires_at_ms(&self) -> Option<u64> {
        if self.0[0] & EXPIRES == 0 { None } else { self.parts().expires_at_ms }
    }

    pub(super) fn stamp(&self, actors: &Actors) -> Stamp {
        stamp(&self.parts(), actors)
    }

    pub(super) fn access(&self) -> u16 {
        (&self.0[ACCESS]).get_u16_le()
    }

    pub(super) fn set_access(&mut self, access: u16) {
        self.0[ACCESS].copy_from_slice(&access.to_le_bytes());
    }

    /// Bytes of its one allocation.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn parts(&self) -> Parts<'_> {
        let mut rest: &[u8] = &self.0;
        let flags = rest.get_u8();
        rest.advance(ACCESS.len());
        let time = Hlc::from_bits(rest.get_u64_le());
        let actor = rest.get_u16_le();
        let seq = get_varint(&mut rest);
        let expires_at_ms = (flags & EXPIRES != 0).then(|| rest.get_uint_le(EXPIRY_BYTES));
        Parts { time, actor, seq, flags, expires_at_ms, further: rest }
    }

    fn further<'a>(&self, parts: &Parts<'a>, actors: &Actors) -> ([Option<Dot>; FURTHER_LIMIT], &'a [u8]) {
        let mut rest = parts.further;
        let mut dots = [None; FURTHER_LIMIT];
        for dot in dots.iter_mut().take(further_dots(parts.flags)) {
            let actor = actors.get(rest.get_u16_le());
            *dot = Some(Dot { actor, seq: get_varint(&mut rest) });
        }
        (dots, rest)
    }
}

fn stamp(parts: &Parts<'_>, actors: &Actors) -> Stamp {
    Stamp { time: parts.time, actor: actors.get(parts.actor), seq: parts.seq }
}

fn further_dots(flags: u8) -> usize {
    usize::from(flags >> FURTHER_SHIFT)
}

/// What follows the further dots.
fn skip_further<'a>(parts: &Parts<'a>) -> &'a [u8] {
    let mut rest = parts.further;
    for _ in 0..further_dots(parts.flags) {
        rest.advance(size_of::<u16>());
        get_varint(&mut rest);
    }
    rest
}

/// The key and the value.
fn split(mut rest: &[u8]) -> (&[u8], &[u8]) {
    let key = get_varint(&mut rest) as usize;
    rest.split_at(key)
}

fn put_varint(to: &mut &mut [u8], number: u64) {
    to.put_slice(encode::u64(number, &mut encode::u64_buffer()));
}

fn get_varint(from: &mut &[u8]) -> u64 {
    // What is read here was written by `put_varint`.
    let (number, rest) = decode::u64(from).unwrap_or((0, &[]));
    *from = rest;
    number
}
