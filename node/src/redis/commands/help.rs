//! `HELP` of the commands that contain subcommands.

use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;
use crate::redis::table;

pub(crate) fn help(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(container) = table::find(args.at(0)) else { return Ok(()) };
    let name = container.name.to_uppercase();
    reply.array(1 + 2 * container.subcommands.len());
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for command in container.subcommands {
        reply.simple(&command.short_name().to_uppercase());
        reply.simple(&format!("    {}", command.summary));
    }
    Ok(())
}
