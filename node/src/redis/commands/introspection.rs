//! `COMMAND`: the command table as clients may ask for it.

use crate::redis::command::Command;
use crate::redis::error::CommandError;
use crate::redis::parser::Args;
use crate::redis::reply::Reply;
use crate::redis::session::Session;
use crate::redis::table;

pub(crate) fn command(_: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    describe_all(table::all(), reply);
    Ok(())
}

pub(crate) fn count(_: &mut Session, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.count(table::all().len());
    Ok(())
}

pub(crate) fn info(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if args.len() == 2 {
        describe_all(table::all(), reply);
        return Ok(());
    }
    reply.array(args.len() - 2);
    for name in args.from(2) {
        match table::find_full(name) {
            Some(command) => describe(command, reply),
            None => reply.null(),
        }
    }
    Ok(())
}

/// Names that are unknown are left out.
pub(crate) fn docs(_: &mut Session, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let chosen: Vec<&Command> = match args.len() {
        2 => table::all().to_vec(),
        _ => args.from(2).filter_map(table::find_full).collect(),
    };
    document_all(&chosen, reply);
    Ok(())
}

fn describe_all(commands: &[&Command], reply: &mut Reply<'_>) {
    reply.array(commands.len());
    for command in commands {
        describe(command, reply);
    }
}

/// The ten fields of `COMMAND INFO`. Key specifications are left empty: first, last and step say it all here.
fn describe(command: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(command.name);
    reply.integer(command.arity.into());
    statuses(&command.flag_names(), reply);
    reply.integer(command.keys.first.into());
    reply.integer(command.keys.last.into());
    reply.integer(command.keys.step.into());
    statuses(&command.category_names(), reply);
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip);
    }
    reply.set(0);
    reply.set(command.subcommands.len());
    for command in command.subcommands {
        describe(command, reply);
    }
}

fn statuses(names: &[&str], reply: &mut Reply<'_>) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

fn document_all(commands: &[&Command], reply: &mut Reply<'_>) {
    reply.map(commands.len());
    for command in commands {
        let fields = [
            ("summary", command.summary),
            ("since", command.since),
            ("group", command.group),
            ("complexity", command.complexity),
        ];
        reply.bulk(command.name);
        reply.map(fields.len() + usize::from(!command.subcommands.is_empty()));
        for (field, value) in fields {
            reply.bulk(field);
            reply.bulk(value);
        }
        if !command.subcommands.is_empty() {
            reply.bulk("subcommands");
            document_all(&command.subcommands.iter().collect::<Vec<_>>(), reply);
        }
    }
}
