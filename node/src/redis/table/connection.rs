//! Commands about connections.

use super::{ALL_SHARDS, ALL_SUCCEED, ANYWHERE, GREETING, UNSTABLE, help};
use crate::redis::command::Command;
use crate::redis::command::category::CONNECTION;
use crate::redis::command::flag::{ADMIN, FAST, LOADING, NO_MULTI, NOSCRIPT, STALE};
use crate::redis::commands::{client, connection, consistency, wait};

/// The rows.
pub(super) static COMMANDS: &[Command] = &[
    Command::new("auth", -2, GREETING, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Authenticates the connection by the password of this server.")
        .run(connection::auth),
    Command::new("client", -2, 0, 0)
        .doc("connection", "2.4.0", "Depends on subcommand.", "A container for client connection commands.")
        .containing(CLIENT),
    Command::new("echo", 2, LOADING | STALE | FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Returns its argument.")
        .run(connection::echo),
    Command::new("hello", -1, GREETING, CONNECTION)
        .doc("connection", "6.0.0", "O(1)", "Greets the server: chooses the protocol, may authenticate.")
        .run(connection::hello),
    Command::new("ping", -1, FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Returns PONG, or its argument.")
        .tips(&[ALL_SHARDS, ALL_SUCCEED])
        .run(connection::ping),
    Command::new("quit", -1, GREETING, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Closes the connection.")
        .at_once()
        .run(connection::quit),
    Command::new("reset", 1, GREETING, CONNECTION)
        .doc("connection", "6.2.0", "O(1)", "Makes the connection as if it were new.")
        .at_once()
        .run(connection::reset),
    Command::new("rumour.consistency", -1, ANYWHERE | NO_MULTI, CONNECTION)
        .doc(
            "connection",
            "7.4.0",
            "O(1)",
            "Says, or sets, how many owners take part in what the connection reads and writes.",
        )
        .run(consistency::consistency),
    Command::new("select", 2, LOADING | STALE | FAST, CONNECTION)
        .doc("connection", "1.0.0", "O(1)", "Selects a database; there is one, number 0.")
        .run(connection::select),
    Command::new("wait", 3, NOSCRIPT, CONNECTION)
        .doc(
            "generic",
            "3.0.0",
            "O(1)",
            "Waits until so many other members hold what was written here before.",
        )
        .tips(&[ALL_SHARDS, "response_policy:agg_min"])
        .run(wait::wait),
];

const CLIENT: &[Command] = &[
    Command::new("client|getname", 2, ANYWHERE, CONNECTION)
        .doc("connection", "2.6.9", "O(1)", "Returns the name of the connection.")
        .run(client::get_name),
    help("client|help", CONNECTION),
    Command::new("client|id", 2, ANYWHERE, CONNECTION)
        .doc("connection", "5.0.0", "O(1)", "Returns the number of the connection.")
        .run(client::id),
    Command::new("client|info", 2, ANYWHERE, CONNECTION)
        .doc("connection", "6.2.0", "O(1)", "Describes the connection.")
        .tips(&[UNSTABLE])
        .run(client::info),
    Command::new("client|list", -2, ADMIN | ANYWHERE, CONNECTION)
        .doc(
            "connection",
            "2.4.0",
            "O(N) where N is the number of connections.",
            "Describes open connections.",
        )
        .tips(&[UNSTABLE])
        .run(client::list),
    Command::new("client|no-evict", 3, ADMIN | ANYWHERE, CONNECTION)
        .doc("connection", "7.0.0", "O(1)", "Noted only: this server evicts no connection.")
        .run(client::no_evict),
    Command::new("client|no-touch", 3, ANYWHERE, CONNECTION)
        .doc("connection", "7.2.0", "O(1)", "Noted only: reads do not change what is kept.")
        .run(client::no_touch),
    Command::new("client|setinfo", 4, ANYWHERE, CONNECTION)
        .doc("connection", "7.2.0", "O(1)", "Tells the name or the version of the client's library.")
        .tips(&["request_policy:all_nodes", ALL_SUCCEED])
        .run(client::set_info),
    Command::new("client|setname", 3, ANYWHERE, CONNECTION)
        .doc("connection", "2.6.9", "O(1)", "Names the connection.")
        .run(client::set_name),
];
