//! Hit ratios of the eviction policies beside other caches on the same traces: `cargo bench --bench hit_ratio`.
//!
//! All hold the same number of entries: as many as the node held on average in the counted part of the trace, for its limit is
//! one of bytes and keeps what is known of evicted keys as well.

#![allow(clippy::disallowed_types, reason = "the map of the reference is never walked")]

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rumour::{ClusterKey, Engine, EvictionPolicy, Node, SetOptions};
use serde_json::json;

/// Hit ratios on Zipf traces.
#[derive(Parser)]
struct Args {
    /// Keys that are asked for.
    #[arg(long, default_value_t = 200_000)]
    keys: u64,
    /// Requests of each trace that are counted; half as many come before them.
    #[arg(long, default_value_t = 1_000_000)]
    requests: usize,
    /// Exponents of the distributions.
    #[arg(long, value_delimiter = ',', default_values_t = [0.7, 0.9, 1.1])]
    skews: Vec<f64>,
    /// Room, in percent of the keys.
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 5.0, 20.0])]
    rooms: Vec<f64>,
    /// Seed of the traces.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

const VALUE_BYTES: usize = 100;
/// What an entry takes of the node's limit, about: to come near the room that was asked for.
const ENTRY_BYTES: f64 = 200.0;
/// In polluted traces so many requests come between two walks over so many keys of which none is ever asked for again.
const BETWEEN_WALKS: usize = 20_000;
const WALK: usize = 10_000;

/// A cache as the trace sees it.
trait Cache {
    /// Looks the key up, and puts it in if it is not there. Returns whether it was.
    fn ask(&mut self, key: u64) -> bool;

    /// How many entries there are.
    fn len(&self) -> usize;
}

struct Rumour(Engine);

impl Cache for Rumour {
    fn ask(&mut self, key: u64) -> bool {
        let name = format!("{key:016x}");
        let hit = self.0.get(name.as_bytes()).is_some();
        if !hit {
            let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
            self.0.set(name.as_bytes(), value, SetOptions::default()).expect("a node alone takes writes");
        }
        hit
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Moka(moka::sync::Cache<u64, ()>);

impl Cache for Moka {
    fn ask(&mut self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn len(&self) -> usize {
        usize::try_from(self.0.entry_count()).unwrap_or(usize::MAX)
    }
}

struct Quick(quick_cache::sync::Cache<u64, ()>);

impl Cache for Quick {
    fn ask(&mut self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, ());
        }
        hit
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Least recently used of a sample, by the exact order of use: what Redis does, but for its pool of candidates.
struct Sampled {
    room: usize,
    samples: usize,
    clock: u64,
    places: HashMap<u64, usize>,
    /// Key and last use.
    entries: Vec<(u64, u64)>,
    rng: SmallRng,
}

impl Sampled {
    fn new(room: usize, samples: usize, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self { room, samples, clock: 0, places: HashMap::new(), entries: Vec::new(), rng }
    }

    fn evict(&mut self) {
        let looked_at = (0..self.samples).map(|_| self.rng.random_range(0..self.entries.len()));
        let Some(oldest) = looked_at.min_by_key(|at| self.entries[*at].1) else { return };
        let (key, _) = self.entries.swap_remove(oldest);
        self.places.remove(&key);
        if let Some((moved, _)) = self.entries.get(oldest) {
            self.places.insert(*moved, oldest);
        }
    }
}

impl Cache for Sampled {
    fn ask(&mut self, key: u64) -> bool {
        self.clock += 1;
        if let Some(at) = self.places.get(&key) {
            self.entries[*at].1 = self.clock;
            return true;
        }
        if self.entries.len() >= self.room {
            self.evict();
        }
        self.places.insert(key, self.entries.len());
        self.entries.push((key, self.clock));
        false
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Keys in the order in which they are asked for.
fn trace(args: &Args, skew: f64, polluted: bool) -> Result<Vec<u64>> {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let zipf = Zipf::new(args.keys as f64, skew)?;
    // Keys of like use must not be neighbours in any table.
    let scattered = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut walked = args.keys;
    let mut trace = Vec::new();
    while trace.len() < args.requests * 3 / 2 {
        if polluted && trace.len() % (BETWEEN_WALKS + WALK) >= BETWEEN_WALKS {
            walked += 1;
            trace.push(scattered(walked));
        } else {
            trace.push(scattered(zipf.sample(&mut rng) as u64));
        }
    }
    Ok(trace)
}

/// The share of hits in the counted part, and the entries there were on average.
fn run(cache: &mut dyn Cache, trace: &[u64], counted: usize) -> (f64, usize) {
    const EVERY: usize = 4_096;
    let warming = trace.len() - counted;
    trace[..warming].iter().for_each(|key| {
        cache.ask(*key);
    });
    let (mut hits, mut held, mut looks) = (0, 0, 0);
    for (at, key) in trace[warming..].iter().enumerate() {
        hits += usize::from(cache.ask(*key));
        if at % EVERY == 0 {
            (held, looks) = (held + cache.len(), looks + 1);
        }
    }
    (hits as f64 / counted as f64, held / looks)
}

async fn run_rumour(
    policy: EvictionPolicy,
    bytes: u64,
    trace: &[u64],
    counted: usize,
) -> Result<(f64, usize)> {
    let node = Node::builder().name("bench").cluster_key(ClusterKey::from_bytes([7; 32]));
    let node = node.listen("127.0.0.1:0").max_memory(bytes).eviction(policy).start().await?;
    let measured = run(&mut Rumour(node.engine()), trace, counted);
    node.leave().await?;
    Ok(measured)
}

struct Row {
    trace: String,
    entries: usize,
    ratios: Vec<(&'static str, f64)>,
}

async fn measure(args: &Args, skew: f64, polluted: bool, room: f64) -> Result<Row> {
    let trace = trace(args, skew, polluted)?;
    let bytes = (args.keys as f64 * room / 100.0 * ENTRY_BYTES) as u64;
    let (lru, lru_entries) = run_rumour(EvictionPolicy::AllKeysLru, bytes, &trace, args.requests).await?;
    let (lfu, lfu_entries) = run_rumour(EvictionPolicy::AllKeysLfu, bytes, &trace, args.requests).await?;
    // The policies differ little in this; whoever holds more must not gain by it.
    let entries = lru_entries.max(lfu_entries);
    let mut others: [(&'static str, Box<dyn Cache>); 4] = [
        ("sampled LRU, 5", Box::new(Sampled::new(entries, 5, args.seed))),
        ("sampled LRU, 16", Box::new(Sampled::new(entries, 16, args.seed))),
        ("moka", Box::new(Moka(moka::sync::Cache::new(entries as u64)))),
        ("quick_cache", Box::new(Quick(quick_cache::sync::Cache::new(entries)))),
    ];
    let mut ratios = vec![("allkeys-lru", lru), ("allkeys-lfu", lfu)];
    ratios
        .extend(others.iter_mut().map(|(name, cache)| (*name, run(cache.as_mut(), &trace, args.requests).0)));
    let trace = format!("Zipf {skew}{}", if polluted { ", walks" } else { "" });
    Ok(Row { trace, entries, ratios })
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        println!("nothing measured: run it by `cargo bench`");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let plain = args.skews.iter().map(|skew| (*skew, false));
    let middle = *args.skews.get(args.skews.len() / 2).context("a skew")?;
    let mut rows = Vec::new();
    for (skew, polluted) in plain.chain([(middle, true)]) {
        for room in &args.rooms {
            let row = runtime.block_on(measure(&args, skew, polluted, *room))?;
            if !args.json {
                if rows.is_empty() {
                    println!("{} keys, {} requests counted; share of hits", args.keys, args.requests);
                    let names = row.ratios.iter().fold(String::new(), |mut line, (name, _)| {
                        let _ = write!(line, " {name:>15}");
                        line
                    });
                    println!("{:<16} {:>8}{names}", "trace", "entries");
                }
                let ratios = row.ratios.iter().fold(String::new(), |mut line, (_, ratio)| {
                    let _ = write!(line, " {ratio:>15.4}");
                    line
                });
                println!("{:<16} {:>8}{ratios}", row.trace, row.entries);
            }
            rows.push(row);
        }
    }
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                let ratios: serde_json::Map<_, _> =
                    row.ratios.iter().map(|(name, ratio)| ((*name).to_owned(), json!(ratio))).collect();
                json!({"trace": row.trace, "entries": row.entries, "hit_ratios": ratios})
            })
            .collect();
        println!("{}", json!({"keys": args.keys, "requests": args.requests, "rows": rows}));
    }
    Ok(())
}
