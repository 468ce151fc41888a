//! The data model of rumour: clocks, stamps, registers, merge laws and slot digests.
//!
//! Everything here is pure. There is no I/O, no clock, no randomness and no async code, and there never
//! will be: wall time and actor ids are passed in, so that each rule can be tested by itself and the
//! simulator owns every source of chance. Messages between nodes and storage live elsewhere too.
//!
//! | to | use |
//! | --- | --- |
//! | name a write | [`Minter`] mints a [`Stamp`]; its [`Dot`] names it, its [`Hlc`] orders it |
//! | hold a key's state | [`Entry`], a last-writer-wins register with expiry and tombstone |
//! | tell whether one state has seen another | [`VersionVector`] |
//! | compare two replicas cheaply | [`Cell`], summed under the cluster's [`DigestKey`] |
//! | know what merging promises | [`Lattice`], where the laws are written down |
//!
//! Two nodes write one key without hearing of each other, then merge:
//!
//! ```
//! use rumour_crdt::{ActorId, Entry, Minter};
//!
//! let (mut here, mut there) = (Minter::new(ActorId::new(1)), Minter::new(ActorId::new(2)));
//! let mut ada = Entry::value("ada".into(), None, here.mint(1_000, None), None);
//! let bob = Entry::value("bob".into(), Some(61_000), there.mint(1_001, None), None);
//!
//! let merged = ada.merge(&bob);
//! assert_eq!(ada.live_value(1_002), Some("bob".into()));
//! assert_eq!(merged.described[0].losing.stamp.actor, here.actor());
//!
//! let gone = Entry::tombstone(here.mint(1_003, Some(ada.newest())), Some(&ada));
//! assert_eq!(ada.merge(&gone).conflicts, 0);
//! assert_eq!(ada.live_value(1_004), None);
//! ```

mod contents;
mod counter;
mod digest;
mod dots;
mod entry;
mod fields;
mod hlc;
mod ids;
mod lattice;
mod origin;
mod stamp;
mod vector;

pub use contents::{Contents, Data, Kind, Lost};
pub use counter::{Amount, Counter, Sum};
pub use digest::{Cell, DigestKey};
pub use dots::DotSet;
pub use entry::{
    Body, BrokenInvariant, Conflict, ENTRY_DOTS_LIMIT, Entry, Expiry, ExpiryPolicy, Merged, Side,
    UnknownExpiryPolicy, Written,
};
pub use fields::{Field, FieldName, Fields, Index, Met, Payload, Put, Score, ScoreOrder};
pub use hlc::{Clock, FutureTime, Hlc};
pub use ids::{ActorId, Dot};
pub use lattice::Lattice;
pub use origin::Origin;
pub use stamp::{Minter, Stamp};
pub use vector::{VECTOR_ACTORS_LIMIT, VersionVector};
