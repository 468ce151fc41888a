//! What a connection gathers between `WATCH`, `MULTI` and `EXEC`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::command::Command;
use super::error::CommandError;
use super::parser::{Args, OwnedArgs, REQUEST_BYTES_LIMIT};
use crate::WriteError;
use crate::engine::{Engine, Version};

/// Bytes of memory that the commands of a transaction, and also the keys it watches, may take.
const BYTES_LIMIT: usize = REQUEST_BYTES_LIMIT;

/// The commands since `MULTI`.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queue: Vec<Queued>,
    bytes: usize,
    failed: bool,
}

/// A command that waits for `EXEC`.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) command: &'static Command,
    pub(super) args: OwnedArgs,
}

impl Transaction {
    /// Takes a command in; after a failure it only pretends to.
    pub(super) fn queue(&mut self, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
        if self.failed {
            return Ok(());
        }
        let bytes = self.bytes + args.bytes() + size_of::<Queued>();
        if bytes > BYTES_LIMIT {
            self.fail();
            return Err(CommandError::TransactionTooLong { limit: BYTES_LIMIT });
        }
        self.bytes = bytes;
        self.queue.push(Queued { command, args: args.to_owned() });
        Ok(())
    }

    /// Makes `EXEC` refuse it.
    pub(super) fn fail(&mut self) {
        *self = Self { failed: true, ..Self::default() };
    }

    pub(super) fn queued(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The commands, unless one of them was refused.
    pub(super) fn commands(self) -> Option<Vec<Queued>> {
        (!self.failed).then_some(self.queue)
    }
}

/// The keys that a connection watches, each as it was when it was first watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    versions: BTreeMap<Bytes, Version>,
    bytes: usize,
}

impl Watched {
    pub(super) fn watch(&mut self, engine: &Engine, key: &[u8]) -> Result<(), CommandError> {
        if self.versions.contains_key(key) {
            return Ok(());
        }
        let bytes = self.bytes + key.len() + size_of::<(Bytes, Version)>();
        if bytes > BYTES_LIMIT {
            return Err(CommandError::WatchesTooMany { limit: BYTES_LIMIT });
        }
        self.versions.insert(Bytes::copy_from_slice(key), engine.version(key)?);
        self.bytes = bytes;
        Ok(())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.versions.keys()
    }

    /// Whether any of the keys was changed by anybody, or ended, since it was watched.
    pub(super) fn changed(&self, engine: &Engine) -> Result<bool, WriteError> {
        for (key, version) in &self.versions {
            if engine.version(key)? != *version {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
