//! `rumour events`: what has happened in the cluster lately, and what happens while one watches.

use std::io::{BufRead, BufReader, Write};

use serde_json::Value;

use super::Failure;
use super::args::EventsArgs;
use super::configuration::time_text;
use super::conflicts;
use super::status::{failed_call, fetch_from, print_json};

pub(super) fn events(args: &EventsArgs) -> Result<(), Failure> {
    if args.follow {
        return follow_events(&args.ask.admin, "events", args.ask.json, describe);
    }
    let events: Vec<Value> = fetch_from(&args.ask.admin, "events/recent")?;
    if args.ask.json {
        return print_json(&events);
    }
    for event in &events {
        println!("{}", describe(event));
    }
    Ok(())
}

/// Prints what an admin door sends at a path below `/api/v1/` as it happens, until it is interrupted or the node goes away.
pub(super) fn follow_events(
    admin: &str,
    path: &str,
    json: bool,
    describe: fn(&Value) -> String,
) -> Result<(), Failure> {
    let url = format!("{}/api/v1/{path}", admin.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let response = agent.get(&url).call().map_err(|error| failed_call(admin, &url, &error))?;
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.map_err(|error| Failure::failed(format!("{url} broke off: {error}")))?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let text = match json {
            true => data.to_owned(),
            false => describe(&serde_json::from_str(data).map_err(Failure::failed)?),
        };
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            // Whoever read this has seen enough.
            return Ok(());
        }
    }
    Err(Failure::failed(format!("{url} has ended: the node has stopped")))
}

/// When, what, and the rest as it is.
fn describe(event: &Value) -> String {
    let at = time_text(event["at_ms"].as_u64().unwrap_or_default());
    let what = event["event"].as_str().unwrap_or("?").replace('_', " ");
    if what == "conflict" {
        return format!("{at} {what}: {}", conflicts::describe(event));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = event.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !matches!(name.as_str(), "at_ms" | "event"));
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={}", text(value))).collect();
    format!("{at} {what} {}", fields.join(" ")).trim_end().to_owned()
}
