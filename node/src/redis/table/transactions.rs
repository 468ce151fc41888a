//! Transactions.

use crate::redis::command::Command;

/// The rows.
pub(super) static COMMANDS: &[Command] = &[];
