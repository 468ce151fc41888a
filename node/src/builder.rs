//! Building a node: settings first, then [`NodeBuilder::start`].

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use rumour_transport::{ClusterKey, ClusterName, NodeId};

use crate::config::{Config, Credentials, Tuning, WHOLE_ENTRY_BYTES_MAX};
use crate::env::Environment;
use crate::error::NodeError;
use crate::namespace::{Namespace, Namespaces};
use crate::node::Node;
use crate::store::{EvictionPolicy, MemoryLimit};

/// Collects a node's settings. Text is parsed when it is given and errors are reported by `start`.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct NodeBuilder {
    name: Option<String>,
    cluster: Option<String>,
    credentials: Option<Credentials>,
    listen: Option<String>,
    advertise: Option<String>,
    seeds: Vec<String>,
    bootstrap_expect: Option<NonZeroUsize>,
    tuning: Tuning,
    memory: MemoryLimit,
    namespaces: Vec<Namespace>,
    environment: Environment,
}

impl NodeBuilder {
    /// The node's stable name: lower-case letters, digits, `-` and `.`. Required.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The cluster's name; nodes of another name are refused. Default `rumour`.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// The cluster's key, the same on every node.
    pub fn cluster_key(mut self, key: ClusterKey) -> Self {
        self.credentials = Some(Credentials::ClusterKey(key));
        self
    }

    /// How the node proves that it belongs to the cluster, when not by a cluster key.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The UDP address for peers. Default `0.0.0.0:7400`.
    pub fn listen(mut self, addr: impl Into<String>) -> Self {
        self.listen = Some(addr.into());
        self
    }

    /// The address that peers reach this node at. Default: the listen address, and where that is unspecified, the
    /// address of the interface that leads to the first seed.
    pub fn advertise(mut self, addr: impl Into<String>) -> Self {
        self.advertise = Some(addr.into());
        self
    }

    /// A peer to begin with, `host:port`. May be called several times; it does not matter which peers are seeds.
    pub fn seed(mut self, addr: impl Into<String>) -> Self {
        self.seeds.push(addr.into());
        self
    }

    /// For nodes that all start with the same seeds: the cluster is founded once so many of them are there, this one included. Give all
    /// the same number, more than half of how many they are. Nodes that find a cluster join it whatever this says. Without it
    /// a node that has no seeds founds one by itself, and others wait for that.
    pub fn bootstrap_expect(mut self, nodes: NonZeroUsize) -> Self {
        self.bootstrap_expect = Some(nodes);
        self
    }

    /// Keys to be counted apart from the others. May be called several times.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.push(namespace);
        self
    }

    /// Settings that have defaults.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// The most memory that entries may take, tombstones and what is kept of evicted entries included, in bytes; 0 for no limit, which
    /// is the default. Buffers, connections and queues come on top; allow for a third more.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.memory.bytes = (bytes > 0).then_some(bytes);
        self
    }

    /// What goes when that memory is used up. Default [`EvictionPolicy::NoEviction`]: writes are refused.
    pub fn eviction(mut self, policy: EvictionPolicy) -> Self {
        self.memory.policy = policy;
        self
    }

    /// Another world than the real one: clock, network and chance of a simulator.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Opens the peer port and starts the node, which then joins its cluster by itself. Does not wait for that:
    /// see [`Node::ready`].
    ///
    /// # Errors
    /// Settings that make no sense, and a peer port that cannot be opened.
    pub async fn launch(self) -> Result<Node, NodeError> {
        let (config, environment) = self.finish()?;
        Node::launch(config, environment).await
    }

    /// Starts the node and waits until it serves.
    ///
    /// # Errors
    /// As [`launch`](Self::launch), and [`NodeError::NameTaken`] when a living node has the name.
    pub async fn start(self) -> Result<Node, NodeError> {
        let node = self.launch().await?;
        node.ready().await?;
        Ok(node)
    }

    fn finish(self) -> Result<(Config, Environment), NodeError> {
        let invalid = |what: &str, value: &str, why: &dyn std::fmt::Display| {
            NodeError::Config(format!("{what} {value:?}: {why}"))
        };
        let name = self.name.ok_or_else(|| NodeError::Config("the node needs a name".into()))?;
        let name = name.parse::<NodeId>().map_err(|error| invalid("name", &name, &error))?;
        let cluster = match &self.cluster {
            None => ClusterName::default(),
            Some(text) => text.parse().map_err(|error| invalid("cluster name", text, &error))?,
        };
        let parse_addr = |what: &str, text: &str| {
            text.parse::<SocketAddr>()
                .map_err(|_| invalid(what, text, &"an address looks like 10.0.0.1:7400 or [::1]:7400"))
        };
        let listen = parse_addr("listen address", self.listen.as_deref().unwrap_or("0.0.0.0:7400"))?;
        let advertise =
            self.advertise.as_deref().map(|text| parse_addr("advertise address", text)).transpose()?;
        if let Some(addr) = advertise.filter(|addr| addr.ip().is_unspecified()) {
            return Err(invalid("advertise address", &addr.to_string(), &"peers cannot reach that"));
        }
        for seed in &self.seeds {
            check_seed(seed).map_err(|why| invalid("seed", seed, &why))?;
        }
        if self.tuning.gossip_interval.is_zero() || self.tuning.sync_interval.is_zero() {
            return Err(NodeError::Config("intervals must be longer than nothing".into()));
        }
        if !(1..=WHOLE_ENTRY_BYTES_MAX).contains(&self.tuning.whole_entry_bytes) {
            let text = format!("whole_entry_bytes must be between 1 and {WHOLE_ENTRY_BYTES_MAX}");
            return Err(NodeError::Config(text));
        }
        if self.bootstrap_expect == Some(NonZeroUsize::MIN) && !self.seeds.is_empty() {
            let text = "bootstrap_expect 1 would found a cluster beside the one that the seeds may belong to; give no seeds, or the \
                        number of nodes that start together";
            return Err(NodeError::Config(text.into()));
        }
        Namespaces::check(&self.namespaces).map_err(NodeError::Config)?;
        let credentials = self.credentials.ok_or(NodeError::NoIdentity)?;
        let (tuning, memory) = (self.tuning, self.memory);
        let config = Config {
            name,
            cluster,
            credentials,
            listen,
            advertise,
            seeds: self.seeds,
            bootstrap_expect: self.bootstrap_expect,
            tuning,
            memory,
            namespaces: self.namespaces,
        };
        Ok((config, self.environment))
    }
}

/// A seed is an address or `host:port`; the host is looked up when it is dialed.
fn check_seed(seed: &str) -> Result<(), &'static str> {
    if seed.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    match seed.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(())
        }
        _ => Err("a seed looks like 10.0.0.1:7400 or host.example:7400"),
    }
}
