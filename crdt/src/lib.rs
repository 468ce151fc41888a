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

mod digest;
mod entry;
mod hlc;
mod ids;
mod lattice;
mod stamp;
mod vector;

pub use digest::{Cell, DigestKey};
pub use entry::{Body, BrokenInvariant, Conflict, ENTRY_DOTS_LIMIT, Entry, Expiry, Merged};
pub use hlc::{Clock, FutureTime, Hlc};
pub use ids::{ActorId, Dot};
pub use lattice::Lattice;
pub use stamp::{Minter, Stamp};
pub use vector::{VECTOR_ACTORS_LIMIT, VersionVector};
