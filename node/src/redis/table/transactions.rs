//! Transactions.

use super::ANYWHERE;
use crate::redis::command::category::TRANSACTION;
use crate::redis::command::flag::{ALLOW_BUSY, FAST, SKIP_SLOWLOG};
use crate::redis::command::{Command, Keys};
use crate::redis::commands::transactions;

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("discard", 1, ANYWHERE | FAST | ALLOW_BUSY, TRANSACTION)
        .doc(
            "transactions",
            "2.0.0",
            "O(N) where N is the number of queued commands.",
            "Drops the queued commands.",
        )
        .at_once()
        .run(transactions::discard),
    Command::new("exec", 1, ANYWHERE | SKIP_SLOWLOG, TRANSACTION)
        .doc(
            "transactions",
            "1.2.0",
            "Depends on the commands.",
            "Executes the queued commands, with no other command in between.",
        )
        .at_once()
        .alone()
        .run(transactions::exec),
    Command::new("multi", 1, ANYWHERE | FAST | ALLOW_BUSY, TRANSACTION)
        .doc("transactions", "1.2.0", "O(1)", "Queues the commands that follow, for EXEC.")
        .at_once()
        .run(transactions::multi),
    Command::new("unwatch", 1, ANYWHERE | FAST | ALLOW_BUSY, TRANSACTION)
        .doc("transactions", "2.2.0", "O(1)", "Forgets the watched keys.")
        .run(transactions::unwatch),
    Command::new("watch", -2, ANYWHERE | FAST | ALLOW_BUSY, TRANSACTION)
        .doc(
            "transactions",
            "2.2.0",
            "O(1) for every key.",
            "Makes EXEC do nothing if one of the keys changes.",
        )
        .keys(Keys::ALL)
        .at_once()
        .run(transactions::watch),
];
