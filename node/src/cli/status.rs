//! `rumour status`: asks a node's admin door and prints what it says.

use std::time::Duration;

use rumour::{MemberStatus, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Failure;
use super::args::AskArgs;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn status(args: &AskArgs) -> Result<(), Failure> {
    let status = fetch(&args.admin)?;
    if args.json {
        print_json(&status)?;
    } else {
        print(&status);
    }
    Ok(())
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(value).map_err(Failure::failed)?);
    Ok(())
}

pub(super) fn fetch(admin: &str) -> Result<Status, Failure> {
    fetch_from(admin, "status")
}

/// What an admin door answers at a path below `/api/v1/`.
pub(super) fn fetch_from<T: DeserializeOwned>(admin: &str, path: &str) -> Result<T, Failure> {
    let url = format!("{}/api/v1/{path}", admin.trim_end_matches('/'));
    match agent().get(&url).call() {
        Ok(mut response) => response
            .body_mut()
            .read_json()
            .map_err(|error| Failure::failed(format!("{url} does not answer like a rumour node: {error}"))),
        Err(error) => Err(failed_call(admin, &url, &error)),
    }
}

pub(super) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into()
}

/// Why a call to an admin door failed, and what to do about it.
pub(super) fn failed_call(admin: &str, url: &str, error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Failure::usage(format!("--admin {admin:?}: {error}; it looks like http://127.0.0.1:7480"))
        }
        _ => Failure::failed(format!(
            "no answer from {url}: {error}; is the node running, and is this its admin address?"
        )),
    }
}

fn print(status: &Status) {
    let seconds = status.uptime_s as u64;
    println!(
        "{} in cluster {}: {}, up {}:{:02}:{:02}, version {}",
        status.node,
        status.cluster,
        status.state,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        status.version
    );
    match &status.configuration {
        Some(known) => {
            let recovered = match known.generation {
                0 => String::new(),
                generation => format!(", recovered {generation} times"),
            };
            let member = match (known.is_member, known.caught_up) {
                (true, true) => "",
                (true, false) => "; this node is catching up",
                (false, _) => "; this node is not taken in yet",
            };
            println!(
                "configuration {} with {} members{recovered}{member}",
                known.number,
                known.members.len()
            );
        }
        None => println!("configuration: this node knows of no cluster"),
    }
    println!("keys {}, tombstones {}, conflicts {}", status.keys, status.tombstones, status.conflicts);
    let memory = &status.memory;
    println!(
        "memory {} of {} bytes ({}), {} evicted, {} stubs",
        memory.used_bytes, memory.max_bytes, memory.policy, memory.evicted, memory.stubs
    );
    let (replication, sync) = (&status.replication, &status.sync);
    println!(
        "replication: {} queued, {} sent, {} applied, {} overflowed, {} refused",
        replication.queued,
        replication.sent,
        replication.applied,
        replication.overflowed,
        replication.refused
    );
    println!(
        "quorums: {} reads repaired, {} not reached, {} writes unconfirmed",
        replication.read_repairs, replication.no_quorum, replication.unconfirmed
    );
    let last = sync.last_s.map_or_else(|| "never".to_owned(), |last| format!("{last:.1} s ago"));
    println!(
        "sync: {} sessions, {} failed, {} entries received, {} sent, last {last}",
        sync.sessions, sync.failed, sync.entries_received, sync.entries_sent
    );
    let collection = &status.collection;
    println!(
        "tombstones: {} collected, {} forced out, {} came again, {} gone by a peer's word",
        collection.collected, collection.forced, collection.collected_again, collection.gone
    );
    match (&status.clock.fault, status.clock.off_ms) {
        (Some(fault), _) => println!("clock: {fault}"),
        (None, Some(off_ms)) => {
            println!("clock: {off_ms:+} ms off the median of {} peers", status.clock.peers);
        }
        (None, None) => println!("clock: not compared with any peer's"),
    }
    println!();
    print_members(&status.members);
    for seed in status.seeds.iter().filter(|seed| !seed.reached) {
        let error = seed.error.as_deref().unwrap_or("not tried yet");
        println!("seed {} is not reached after {} attempts: {error}", seed.seed, seed.failures);
    }
    let refused: Vec<String> = status
        .refused
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if !refused.is_empty() {
        println!("refused: {}", refused.join(", "));
    }
}

/// A table of members.
pub(super) fn print_members(members: &[MemberStatus]) {
    println!("{:<20} {:<22} {:<8} {:<16} {:<8} clock", "node", "address", "state", "incarnation", "queued");
    for member in members {
        println!(
            "{:<20} {:<22} {:<8} {:<16} {:<8} {}",
            member.node.to_string(),
            member.addr,
            member.state.to_string(),
            member.incarnation,
            member.queued,
            clock_text(member)
        );
    }
}

/// How far a member's clock is off the others'.
fn clock_text(member: &MemberStatus) -> String {
    match member.clock_off_ms {
        None => "-".to_owned(),
        Some(off_ms) if member.clock_fault => format!("{off_ms:+} ms: FAULTY"),
        Some(off_ms) => format!("{off_ms:+} ms"),
    }
}
