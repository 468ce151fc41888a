//! How much memory the entries may take, and what goes when it is full.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a node does when its memory is full.
///
/// Evicting is local and no delete: other nodes keep the value, and this one takes the next version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvictionPolicy {
    /// Clients' writes that need memory are refused. What peers send is taken all the same: only their limits
    /// keep it small.
    #[default]
    #[serde(rename = "noeviction")]
    NoEviction,
    /// What was not used for longest goes first.
    #[serde(rename = "allkeys-lru")]
    AllKeysLru,
    /// What is used least goes first; use counts less as it gets old.
    #[serde(rename = "allkeys-lfu")]
    AllKeysLfu,
    /// Of the keys that expire, the one that would do so first; writes are refused when there are none.
    VolatileTtl,
}

/// No such policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown eviction policy {0:?}: it is noeviction, allkeys-lru, allkeys-lfu or volatile-ttl")]
pub struct UnknownPolicy(String);

/// How much memory entries, stubs of evicted ones and tombstones may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryLimit {
    /// Bytes, as far as the store can tell; `None` for no limit.
    pub bytes: Option<u64>,
    /// What goes when they are used up.
    pub policy: EvictionPolicy,
}

impl EvictionPolicy {
    const ALL: [Self; 4] = [Self::NoEviction, Self::AllKeysLru, Self::AllKeysLfu, Self::VolatileTtl];

    /// Its name in settings, which is that of Redis.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::AllKeysLru => "allkeys-lru",
            Self::AllKeysLfu => "allkeys-lfu",
            Self::VolatileTtl => "volatile-ttl",
        }
    }
}

impl fmt::Display for EvictionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EvictionPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == text);
        found.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}
