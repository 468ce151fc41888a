//! The configurations that a node went through.

use std::collections::{BTreeSet, VecDeque};

use rumour_transport::NodeId;
use serde::{Deserialize, Serialize};

use crate::placement::Configuration;

/// Configurations remembered at most.
const CHANGES_LIMIT: usize = 256;
/// Names of members remembered at most.
const NAMES_LIMIT: usize = 4096;

/// One configuration that became the latest at a node, and what was new about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationChange {
    /// Its number, which counts on through recoveries.
    pub number: u64,
    /// How often all survivors had to recover the cluster by then.
    pub generation: u64,
    /// When the reporting node came to know it, in milliseconds since the Unix epoch by its own clock.
    pub at_ms: u64,
    /// All members.
    pub members: Vec<NodeId>,
    /// Members that were not in the one before, as far as the node knows that.
    pub added: Vec<NodeId>,
    /// Members that are not in it any more.
    pub removed: Vec<NodeId>,
    /// Members that are in it as another incarnation.
    pub restarted: Vec<NodeId>,
}

#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<ConfigurationChange>,
    latest: Option<Configuration>,
    names: BTreeSet<NodeId>,
}

impl History {
    pub(super) fn changes(&self) -> impl Iterator<Item = &ConfigurationChange> {
        self.changes.iter()
    }

    /// Whether a node of this name was ever a member of the present cluster, as far as is known.
    pub(super) fn knows(&self, node: &NodeId) -> bool {
        self.names.contains(node)
    }

    /// This node goes over to another cluster: who was a member of the former is none here.
    pub(super) fn names_end(&mut self) {
        self.names.clear();
    }

    pub(super) fn note(&mut self, configuration: &Configuration, at_ms: u64) {
        let before = self.latest.as_ref().map(Configuration::members).unwrap_or_default();
        let members = configuration.members();
        let named = |node: &NodeId| before.iter().find(|member| member.node == *node);
        let mut change = ConfigurationChange {
            number: configuration.epoch().number,
            generation: configuration.epoch().generation,
            at_ms,
            members: members.iter().map(|member| member.node.clone()).collect(),
            added: Vec::new(),
            removed: Vec::new(),
            restarted: Vec::new(),
        };
        for member in members {
            match named(&member.node) {
                None => change.added.push(member.node.clone()),
                Some(known) if known.incarnation != member.incarnation => {
                    change.restarted.push(member.node.clone());
                }
                Some(_) => {}
            }
            if self.names.len() < NAMES_LIMIT {
                self.names.insert(member.node.clone());
            }
        }
        let gone = before.iter().filter(|member| !change.members.contains(&member.node));
        change.removed.extend(gone.map(|member| member.node.clone()));
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_LIMIT {
            self.changes.pop_front();
        }
        self.latest = Some(configuration.clone());
    }
}
