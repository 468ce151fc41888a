//! `rumour config-history` and `rumour forget`: who the members are, by agreement and by an operator's word.

use rumour::{ConfigurationChange, NodeId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Failure;
use super::args::{AskArgs, ForgetArgs};
use super::status::{agent, failed_call, fetch_from, print_json};

pub(super) fn history(args: &AskArgs) -> Result<(), Failure> {
    let changes: Vec<ConfigurationChange> = fetch_from(&args.admin, "config-history")?;
    if args.json {
        return print_json(&changes);
    }
    if changes.is_empty() {
        println!("this node knows of no cluster yet");
        return Ok(());
    }
    println!("{:<8} {:<25} {:<8} change", "number", "known since", "members");
    for change in &changes {
        let at = time_text(change.at_ms);
        println!("{:<8} {at:<25} {:<8} {}", number(change), change.members.len(), describe(change));
    }
    Ok(())
}

/// A time as people read it, from milliseconds since the Unix epoch.
pub(super) fn time_text(at_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{at_ms} ms"))
}

fn number(change: &ConfigurationChange) -> String {
    match change.generation {
        0 => change.number.to_string(),
        generation => format!("{}.{generation}", change.number),
    }
}

fn describe(change: &ConfigurationChange) -> String {
    let named = |sign: &str, nodes: &[NodeId], note: &str| {
        nodes.iter().map(|node| format!("{sign}{node}{note}")).collect::<Vec<_>>()
    };
    let mut parts = named("+", &change.added, "");
    parts.extend(named("-", &change.removed, ""));
    parts.extend(named("", &change.restarted, " started anew"));
    parts.join(", ")
}

pub(super) fn forget(args: &ForgetArgs) -> Result<(), Failure> {
    let node: NodeId =
        args.node.parse().map_err(|error| Failure::usage(format!("{:?}: {error}", args.node)))?;
    let url = format!("{}/api/v1/members/{node}", args.ask.admin.trim_end_matches('/'));
    // The door says in its body why it does not.
    let request = agent().delete(&url).config().http_status_as_error(false).build();
    let mut response = request.call().map_err(|error| failed_call(&args.ask.admin, &url, &error))?;
    let text = response.body_mut().read_to_string().map_err(Failure::failed)?;
    if response.status().is_success() {
        println!("{}", if args.ask.json { text } else { format!("{node} is forgotten") });
        Ok(())
    } else {
        Err(Failure::failed(text.trim_end()))
    }
}
