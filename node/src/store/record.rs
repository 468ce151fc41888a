//! One key's record, in whichever form takes less memory.

mod compact;

use rumour_crdt::{Body, Entry, Stamp};

use super::actors::Actors;
use compact::Compact;

/// A key with its state. 16 bytes in the slot's table.
pub(super) enum Record {
    /// A register with a small value, or a tombstone.
    Compact(Compact),
    /// Anything else.
    Whole(Box<Whole>),
}

/// A key with an entry that is changed in place and never copied.
pub(super) struct Whole {
    key: Box<[u8]>,
    entry: Entry,
    access: u16,
}

impl Record {
    pub(super) fn new(key: &[u8], entry: Entry, access: u16, actors: &mut Actors) -> Self {
        match Compact::encode(key, &entry, access, actors) {
            Some(compact) => Self::Compact(compact),
            None => Self::Whole(Box::new(Whole { key: key.into(), entry, access })),
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Compact(compact) => compact.key(),
            Self::Whole(whole) => &whole.key,
        }
    }

    /// The entry itself, and the key if that need not be copied again.
    pub(super) fn into_entry(self, actors: &Actors) -> Entry {
        match self {
            Self::Compact(compact) => compact.decode(actors, true),
            Self::Whole(whole) => whole.entry,
        }
    }

    /// Reads the entry.
    pub(super) fn read<R>(&self, actors: &Actors, read: impl FnOnce(&Entry) -> R) -> R {
        match self {
            Self::Compact(compact) => read(&compact.decode(actors, true)),
            Self::Whole(whole) => read(&whole.entry),
        }
    }

    /// Whether the key has a type at `now_ms`: whether there is anything to be seen.
    pub(super) fn is_shown(&self, now_ms: u64) -> bool {
        match self {
            Self::Compact(compact) => compact.is_live() && !self.is_due(now_ms),
            Self::Whole(whole) => whole.entry.kind(now_ms).is_some(),
        }
    }

    /// Whether it holds something to be seen, due or not.
    pub(super) fn is_live(&self) -> bool {
        match self {
            Self::Compact(compact) => compact.is_live(),
            Self::Whole(whole) => whole.entry.is_visible(),
        }
    }

    /// Whether contributions are missing in it that this node has had: the rest is with others.
    pub(super) fn is_partial(&self) -> bool {
        match self {
            Self::Compact(_) => false,
            Self::Whole(whole) => whole.entry.is_delta(),
        }
    }

    /// When what it holds ends; `None` if that stays, or is gone already.
    pub(super) fn ends_at_ms(&self) -> Option<u64> {
        match self {
            Self::Compact(compact) => compact.expires_at_ms().filter(|_| !compact.is_expired()),
            Self::Whole(whole) => {
                whole.entry.expiry().at_ms.filter(|_| !matches!(whole.entry.body(), Body::Expired))
            }
        }
    }

    /// Whether its end has come and was not seen to yet.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.ends_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    pub(super) fn version(&self, actors: &Actors) -> u64 {
        match self {
            Self::Compact(compact) => compact.decode(actors, false).version(),
            Self::Whole(whole) => whole.entry.version(),
        }
    }

    pub(super) fn stamp(&self, actors: &Actors) -> Stamp {
        match self {
            Self::Compact(compact) => compact.stamp(actors),
            Self::Whole(whole) => whole.entry.stamp(),
        }
    }

    /// What eviction noted of its use.
    pub(super) fn access(&self) -> u16 {
        match self {
            Self::Compact(compact) => compact.access(),
            Self::Whole(whole) => whole.access,
        }
    }

    pub(super) fn set_access(&mut self, access: u16) {
        match self {
            Self::Compact(compact) => compact.set_access(access),
            Self::Whole(whole) => whole.access = access,
        }
    }

    /// Bytes of heap that it takes, as an allocator rounds them. Its place in the table is not among them.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Compact(compact) => allocated(compact.len()),
            Self::Whole(whole) => {
                let held = allocated(whole.entry.heap_bytes());
                allocated(size_of::<Whole>()) + allocated(whole.key.len()) + held
            }
        }
    }
}

/// What an allocation of so many bytes takes up: its header, and the rounding that common allocators do.
fn allocated(bytes: usize) -> usize {
    const HEADER: usize = 8;
    const STEP: usize = 16;
    const LEAST: usize = 32;
    if bytes == 0 { 0 } else { (bytes + HEADER).next_multiple_of(STEP).max(LEAST) }
}

#[cfg(test)]
mod tests;
