//! Namespaces: keys that share a prefix, with a name to count them by and rules of their own.

use std::sync::Arc;

use rumour_crdt::ExpiryPolicy;
use serde::{Deserialize, Serialize};

use crate::consistency::Consistency;

/// The name of the namespace of keys that fall into no other.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Keys that share a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// What it is called in statistics.
    pub name: String,
    /// What its keys begin with. Of several that fit a key, the longest counts.
    pub prefix: String,
    /// Which of several ends holds that were set for a key concurrently. Must be the same on every node.
    #[serde(default)]
    pub expiry: ExpiryPolicy,
    /// How many owners take part in a read of one of its keys, where neither the operation nor the connection says.
    #[serde(default)]
    pub read: Consistency,
    /// The same for a write.
    #[serde(default)]
    pub write: Consistency,
}

/// All namespaces of a node.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Longest prefix first.
    rules: Vec<Rule>,
    default: Arc<str>,
    /// Whether more than the node itself takes part anywhere.
    asks: bool,
}

#[derive(Debug)]
struct Rule {
    prefix: Vec<u8>,
    name: Arc<str>,
    expiry: ExpiryPolicy,
    read: Consistency,
    write: Consistency,
}

impl Namespaces {
    pub(crate) fn new(namespaces: &[Namespace]) -> Self {
        let rule = |namespace: &Namespace| Rule {
            prefix: namespace.prefix.clone().into_bytes(),
            name: namespace.name.as_str().into(),
            expiry: namespace.expiry,
            read: namespace.read,
            write: namespace.write,
        };
        let mut rules: Vec<Rule> = namespaces.iter().map(rule).collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        let asks = rules.iter().any(|rule| rule.read.max(rule.write) > Consistency::One);
        Self { rules, default: DEFAULT_NAMESPACE.into(), asks }
    }

    /// Fails if two namespaces share a name or a prefix, or one has none.
    pub(crate) fn check(namespaces: &[Namespace]) -> Result<(), String> {
        for (at, one) in namespaces.iter().enumerate() {
            if one.name.is_empty() || one.name == DEFAULT_NAMESPACE || one.prefix.is_empty() {
                return Err(format!(
                    "namespace {:?} with prefix {:?}: give it a name other than {DEFAULT_NAMESPACE:?}, and a prefix",
                    one.name, one.prefix
                ));
            }
            let twice = |other: &&Namespace| other.name == one.name || other.prefix == one.prefix;
            if let Some(other) = namespaces[at + 1..].iter().find(twice) {
                return Err(format!(
                    "namespaces {:?} and {:?} share a name or a prefix",
                    one.name, other.name
                ));
            }
        }
        Ok(())
    }

    /// The name of a key's namespace.
    pub(crate) fn of(&self, key: &[u8]) -> Arc<str> {
        self.rule(key).map_or(&self.default, |rule| &rule.name).clone()
    }

    /// How concurrent ends of a key are settled.
    pub(crate) fn expiry(&self, key: &[u8]) -> ExpiryPolicy {
        self.rule(key).map_or(ExpiryPolicy::default(), |rule| rule.expiry)
    }

    /// Whether there are keys that more than the node itself takes part in, unless somebody says otherwise.
    pub(crate) fn ask(&self) -> bool {
        self.asks
    }

    /// How many owners take part in reads of a key, and in writes.
    pub(crate) fn consistency(&self, key: &[u8]) -> (Consistency, Consistency) {
        self.rule(key).map_or_else(Default::default, |rule| (rule.read, rule.write))
    }

    fn rule(&self, key: &[u8]) -> Option<&Rule> {
        self.rules.iter().find(|rule| key.starts_with(&rule.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, prefix: &str) -> Namespace {
        let (read, write) = <(Consistency, Consistency)>::default();
        Namespace { name: name.into(), prefix: prefix.into(), expiry: ExpiryPolicy::default(), read, write }
    }

    #[test]
    fn a_key_falls_into_the_namespace_of_its_longest_prefix() {
        let sessions = Namespace {
            expiry: ExpiryPolicy::Longest,
            write: Consistency::Quorum,
            ..namespace("sessions", "user:session:")
        };
        let namespaces = [namespace("users", "user:"), sessions];
        assert_eq!(Namespaces::check(&namespaces), Ok(()));
        let namespaces = Namespaces::new(&namespaces);
        for (key, name) in [("user:1", "users"), ("user:session:1", "sessions"), ("use", "default")] {
            assert_eq!(&*namespaces.of(key.as_bytes()), name);
        }
        assert_eq!(namespaces.expiry(b"user:session:1"), ExpiryPolicy::Longest);
        assert_eq!(namespaces.expiry(b"user:1"), ExpiryPolicy::LastWriter);
        assert!(namespaces.ask());
        assert_eq!(namespaces.consistency(b"user:session:1"), (Consistency::One, Consistency::Quorum));
        assert_eq!(namespaces.consistency(b"user:1"), (Consistency::One, Consistency::One));
    }

    #[test]
    fn namespaces_that_cannot_be_told_apart_are_refused() {
        for wrong in [
            vec![namespace("", "a")],
            vec![namespace("a", "")],
            vec![namespace("default", "a")],
            vec![namespace("a", "a"), namespace("a", "b")],
            vec![namespace("a", "x"), namespace("b", "x")],
        ] {
            assert!(Namespaces::check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
