//! The node as its owner holds it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rumour_crdt::Entry;

use crate::builder::NodeBuilder;
use crate::cache::Cache;
use crate::config::Config;
use crate::engine::Engine;
use crate::env::Environment;
use crate::error::NodeError;
use crate::events::Events;
use crate::membership::Member;
use crate::placement::Configuration;
use crate::runtime::Runtime;
use crate::status::Status;

/// A running node. Dropping it stops it at once, as a crash would; [`leave`](Self::leave) says goodbye first.
pub struct Node {
    runtime: Arc<Runtime>,
}

impl Node {
    /// Settings first.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    pub(crate) async fn launch(config: Config, environment: Environment) -> Result<Self, NodeError> {
        Ok(Self { runtime: Runtime::launch(config, environment).await? })
    }

    /// Waits until the node serves.
    ///
    /// # Errors
    /// When it stopped instead, for example because its name is taken.
    pub async fn ready(&self) -> Result<(), NodeError> {
        self.runtime.ready().await
    }

    /// Waits until the node stops by itself, and says why. Never returns while the node runs well.
    pub async fn failed(&self) -> NodeError {
        self.runtime.failed().await
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache::new(self.engine())
    }

    /// The engine, for doors.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::new(self.runtime.engine.clone())
    }

    /// What happens in the cluster from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.runtime.events()
    }

    /// The members of the cluster as this node sees them, itself included, in the order of their names.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.runtime.members()
    }

    /// The latest configuration of the cluster that this node knows: who its members are, as a majority of them agreed. `None` while it
    /// knows none.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        self.engine().configuration()
    }

    /// The node's report of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.engine().status()
    }

    /// Where peers reach this node.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.runtime.me.addr
    }

    /// Every entry this node holds, tombstones included, in key order. Copies the whole store: for tests and audits.
    #[must_use]
    pub fn export(&self) -> Vec<(Bytes, Entry)> {
        self.runtime.engine.export()
    }

    /// The fingerprint of everything this node holds: equal stores have equal digests.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.runtime.engine.store.root_cell().fingerprint(0)
    }

    /// Slot, key hash and version of everything that the digest is about, in order: entries, and what is kept of evicted ones.
    #[must_use]
    pub fn versions(&self) -> Vec<(u16, u64, u64)> {
        let versions = self.runtime.engine.store.all_versions(0).into_iter();
        versions.map(|item| (item.at.slot, item.at.hash, item.version)).collect()
    }

    /// Slots whose digest differs from one computed anew from their entries: none, unless there is a bug.
    #[must_use]
    pub fn audit(&self) -> Vec<u16> {
        self.runtime.engine.store.stale_cells()
    }

    /// Stops taking writes, brings peers what they have not acknowledged (for 5 s at most), says goodbye and stops.
    ///
    /// # Errors
    /// When some peer had not acknowledged everything in time: says what only this node held.
    pub async fn leave(self) -> Result<(), NodeError> {
        self.runtime.leave().await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.runtime.abort();
    }
}
