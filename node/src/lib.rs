//! rumour: a gossip-based peer-to-peer cache with CRDTs.
//!
//! Peers find each other by gossip, take reads and writes everywhere, also while the network is cut, and end
//! up equal without a leader. This crate is the node: embed it as below, or run it as a server with the `rumour`
//! binary.
//!
//! ```
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! let key = rumour::ClusterKey::generate()?;
//! let node = rumour::Node::builder()
//!     .name("checkout-1")
//!     .cluster_key(key)
//!     .listen("127.0.0.1:0")
//!     .start()
//!     .await?;
//! let cache = node.cache();
//! cache.set("user:42", "ada").ttl(Duration::from_secs(300)).await?;
//! assert_eq!(cache.get("user:42").await?.as_deref(), Some(&b"ada"[..]));
//! node.leave().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! Whatever decides here is a plain struct that gets `now` and randomness passed in; tasks (`runtime`) only move
//! bytes and timers. See `docs/architecture.md` for the map.

#[cfg(feature = "admin")]
pub mod admin;
mod agreement;
mod builder;
mod cache;
mod clock;
mod config;
mod conflicts;
mod consistency;
mod council;
mod counters;
mod engine;
mod env;
mod error;
mod events;
mod membership;
mod message;
mod namespace;
mod node;
pub mod placement;
#[cfg(feature = "redis")]
pub mod redis;
mod replication;
mod runtime;
mod slot;
mod status;
mod store;
mod sync;

pub use builder::NodeBuilder;
pub use cache::{Cache, Counter, Map, Set, SetOf, SortedSet, Values};
pub use config::{Credentials, HANDED_KEYS_LIMIT, Tuning};
pub use conflicts::{ConflictReport, ConflictSide};
pub use consistency::{Consistency, Tally, UnknownConsistency};
pub use council::ConfigurationChange;
pub use engine::{
    Condition, Elements, Engine, Image, KEY_BYTES_LIMIT, Kept, Levels, PAYLOAD_BYTES_LIMIT, Purpose,
    SetExpiry, SetOptions, SetOutcome, Ttl, VALUE_BYTES_LIMIT, Version, View, Writer, element_bytes,
};
pub use env::{Environment, Observer, Removal, SystemClock, WallClock};
pub use error::{ForgetError, NodeError, NotReady, WriteError};
pub use events::{Event, Events, RememberedEvent};
pub use membership::{Member, MemberState};
pub use namespace::{DEFAULT_NAMESPACE, Namespace};
pub use node::Node;
pub use rumour_crdt::{Amount, ExpiryPolicy, Field, FieldName, Fields, Kind, Score, Stamp, Written};
pub use rumour_transport::{ClusterKey, ClusterName, NodeId};
pub use slot::{SLOTS, slot_of};
pub use status::{
    ClockStatus, CollectionStatus, ConfigurationStatus, MemberStatus, MemoryStatus, ReplicationStatus,
    SeedStatus, Status, SyncStatus,
};
pub use store::{EvictionPolicy, KeyUse, MemoryLimit, UnknownPolicy};
