//! `rumour conflicts`: how many concurrent writes lost, and which do while one watches.

use serde_json::Value;

use super::Failure;
use super::args::ConflictsArgs;
use super::events::follow_events;
use super::status::fetch;

pub(super) fn conflicts(args: &ConflictsArgs) -> Result<(), Failure> {
    if args.follow { follow(args) } else { count(args) }
}

fn count(args: &ConflictsArgs) -> Result<(), Failure> {
    let status = fetch(&args.ask.admin)?;
    if args.ask.json {
        println!("{}", serde_json::to_string(&status.conflicts_by_namespace).map_err(Failure::failed)?);
        return Ok(());
    }
    println!("{} concurrent writes lost", status.conflicts);
    for (namespace, count) in &status.conflicts_by_namespace {
        println!("{namespace:<20} {count}");
    }
    Ok(())
}

fn follow(args: &ConflictsArgs) -> Result<(), Failure> {
    follow_events(&args.ask.admin, "conflicts", args.ask.json, describe)
}

/// One conflict in words.
pub(super) fn describe(conflict: &Value) -> String {
    if let Some(missed) = conflict["missed"].as_u64() {
        return format!("({missed} events were missed)");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let side = |side: &Value| {
        let node = side["node"].as_str().unwrap_or("?");
        let written = &side["written"];
        match written["value"].as_str() {
            Some(value) => format!("{value:?} by {node} at {}", text(&side["stamp"])),
            None => format!("{} by {node} at {}", text(&written["what"]), text(&side["stamp"])),
        }
    };
    let element = conflict["element"].as_str().map(|element| format!(" [{element}]")).unwrap_or_default();
    format!(
        "{}: {}{element}: {} lost to {}",
        text(&conflict["namespace"]),
        text(&conflict["key"]),
        side(&conflict["losing"]),
        side(&conflict["winning"])
    )
}
