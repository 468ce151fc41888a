//! `rumour conflicts`: how many concurrent writes lost, and which do while one watches.

use std::io::{BufRead, BufReader, Write};

use serde_json::Value;

use super::Failure;
use super::args::ConflictsArgs;
use super::status::{failed_call, fetch};

pub(super) fn conflicts(args: &ConflictsArgs) -> Result<(), Failure> {
    if args.follow { follow(args) } else { count(args) }
}

fn count(args: &ConflictsArgs) -> Result<(), Failure> {
    let status = fetch(&args.admin)?;
    if args.json {
        println!("{}", serde_json::to_string(&status.conflicts_by_namespace).map_err(Failure::failed)?);
        return Ok(());
    }
    println!("{} concurrent writes lost", status.conflicts);
    for (namespace, count) in &status.conflicts_by_namespace {
        println!("{namespace:<20} {count}");
    }
    Ok(())
}

/// Prints each conflict as it happens, until it is interrupted or the node goes away.
fn follow(args: &ConflictsArgs) -> Result<(), Failure> {
    let url = format!("{}/api/v1/conflicts", args.admin.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let response = agent.get(&url).call().map_err(|error| failed_call(&args.admin, &url, &error))?;
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.map_err(|error| Failure::failed(format!("{url} broke off: {error}")))?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let text = if args.json { data.to_owned() } else { describe(data)? };
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            // Whoever read this has seen enough.
            return Ok(());
        }
    }
    Err(Failure::failed(format!("{url} has ended: the node has stopped")))
}

fn describe(data: &str) -> Result<String, Failure> {
    let conflict: Value = serde_json::from_str(data).map_err(Failure::failed)?;
    if let Some(missed) = conflict["missed"].as_u64() {
        return Ok(format!("({missed} events were missed)"));
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
    Ok(format!(
        "{}: {}{element}: {} lost to {}",
        text(&conflict["namespace"]),
        text(&conflict["key"]),
        side(&conflict["losing"]),
        side(&conflict["winning"])
    ))
}
