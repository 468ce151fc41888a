//! Whether a million keys that expire in one second hold up commands: `cargo bench --bench expiry`.
//!
//! A client asks at a steady rate, `PING` and `GET` in turn, before, while and after the keys go. Latency counts from when a request
//! was due, so that those are counted in that had to wait for a slow one; that the client itself woke up late is in it as
//! well, which the time before shows.

#![allow(clippy::disallowed_methods, reason = "real time, real processes: nothing is simulated here")]

mod support;

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use support::{Client, Server, cores};

/// Latency of commands while many keys expire at once.
#[derive(Parser)]
struct Args {
    /// How many keys expire.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Seconds of each of the three parts.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Leaves redis-server out.
    #[arg(long)]
    alone: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Keys that stay and are asked for.
const KEPT: u64 = 1_000;
const VALUE: [u8; 100] = [b'v'; 100];
/// What a command may be delayed by.
const LIMIT_US: u64 = 5_000;

struct Part {
    name: &'static str,
    latency_us: Histogram<u64>,
    /// Requests that took longer than the limit.
    over_limit: u64,
}

struct Measured {
    server: &'static str,
    parts: Vec<Part>,
    /// From the last moment at which a key ended until none was left, in milliseconds.
    gone_after_ms: u64,
}

fn unix_ms() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// Asks at a steady rate until `until_ms`.
fn ask(client: &mut Client, name: &'static str, rate: u64, until_ms: u64) -> Result<Part> {
    let mut latency_us = Histogram::new(3)?;
    let (start, interval) = (Instant::now(), Duration::from_nanos(1_000_000_000 / rate));
    let last = Duration::from_millis(until_ms.saturating_sub(unix_ms()?));
    for turn in 0u32.. {
        let due = interval * turn;
        if due >= last {
            break;
        }
        if let Some(early) = due.checked_sub(start.elapsed()) {
            thread::sleep(early);
        }
        if turn.is_multiple_of(2) {
            client.call(&[b"PING"])?;
        } else {
            let key = format!("kept:{}", u64::from(turn) % KEPT);
            let reply = client.call(&[b"GET", key.as_bytes()])?;
            anyhow::ensure!(reply == "$100", "{key}: {reply}");
        }
        latency_us += u64::try_from((start.elapsed() - due).as_micros())?;
    }
    let within = latency_us.count_between(0, LIMIT_US);
    Ok(Part { name, over_limit: latency_us.len() - within, latency_us })
}

/// When no key is left but those that stay, Unix milliseconds.
fn gone_at_ms(server: &Server, from_ms: u64) -> Result<u64> {
    thread::sleep(Duration::from_millis(from_ms.saturating_sub(unix_ms()?)));
    let mut client = server.client()?;
    while client.call(&[b"DBSIZE"])? != format!(":{KEPT}") {
        thread::sleep(Duration::from_millis(250));
    }
    unix_ms()
}

fn measure(server: &Server, args: &Args) -> Result<Measured> {
    let mut client = server.client()?;
    client
        .pipeline((0..KEPT).map(|key| [b"SET".to_vec(), format!("kept:{key}").into_bytes(), VALUE.into()]))?;
    let part_ms = args.seconds * 1000;
    // Loading a million takes a few seconds; the keys must not end before the first part has.
    let first_end_ms = unix_ms()? + args.keys / 50 + part_ms + 2_000;
    client.pipeline((0..args.keys).map(|key| {
        let ends_at_ms = (first_end_ms + key % 1000).to_string().into_bytes();
        [b"SET".to_vec(), format!("{key:016}").into_bytes(), VALUE.into(), b"PXAT".to_vec(), ends_at_ms]
    }))?;
    thread::sleep(Duration::from_millis((first_end_ms - part_ms - 1_000).saturating_sub(unix_ms()?)));
    let mut parts = vec![ask(&mut client, "before", args.rate, first_end_ms - 1_000)?];
    let all_due_ms = first_end_ms + 1_000;
    let gone_at_ms = thread::scope(|scope| {
        let gone = scope.spawn(|| gone_at_ms(server, all_due_ms));
        parts.push(ask(&mut client, "while keys expire", args.rate, first_end_ms - 1_000 + part_ms)?);
        gone.join().ok().context("the thread has ended")?
    })?;
    parts.push(ask(&mut client, "after", args.rate, first_end_ms - 1_000 + 2 * part_ms)?);
    Ok(Measured { server: server.name, parts, gone_after_ms: gone_at_ms.saturating_sub(all_due_ms) })
}

fn print(measured: &Measured) {
    println!(
        "{}: the last of the keys was gone {} ms after its end",
        measured.server, measured.gone_after_ms
    );
    println!(
        "  {:<18} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "latency in µs", "requests", "p50", "p99", "p99.9", "p99.99", "longest", "> 5 ms"
    );
    for part in &measured.parts {
        let at = |quantile| part.latency_us.value_at_quantile(quantile);
        println!(
            "  {:<18} {:>9} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
            part.name,
            part.latency_us.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            part.latency_us.max(),
            part.over_limit
        );
    }
}

fn as_json(measured: &Measured) -> Value {
    let parts = measured.parts.iter().map(|part| {
        let at = |quantile| part.latency_us.value_at_quantile(quantile);
        json!({
            "part": part.name,
            "requests": part.latency_us.len(),
            "p50_us": at(0.5),
            "p99_us": at(0.99),
            "p99_9_us": at(0.999),
            "p99_99_us": at(0.9999),
            "max_us": part.latency_us.max(),
            "over_5_ms": part.over_limit,
        })
    });
    json!({
        "server": measured.server,
        "gone_after_ms": measured.gone_after_ms,
        "parts": parts.collect::<Vec<_>>(),
    })
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        println!("nothing measured: run it by `cargo bench`");
        return Ok(());
    }
    let mut measured = vec![measure(&Server::rumour(&[])?, &args)?];
    if !args.alone {
        measured.push(measure(&Server::redis()?, &args)?);
    }
    if args.json {
        let servers: Vec<_> = measured.iter().map(as_json).collect();
        println!("{}", json!({"cores": cores(), "keys": args.keys, "rate": args.rate, "servers": servers}));
    } else {
        println!(
            "{} keys end within a second; {} requests a second; {} cores",
            args.keys,
            args.rate,
            cores()
        );
        measured.iter().for_each(print);
    }
    Ok(())
}
