//! How often pruned version vectors report a conflict that was none: `cargo bench -p rumour-crdt --bench false_conflicts`.
//!
//! Nodes write one key and send their state to each other, some writes later; of writes in between the receiver hears nothing, as
//! the key is queued once. Nodes restart under new actor ids and fetch the state from another. Beside each state goes the whole set of writes
//! that it has seen, never pruned: whoever loses without standing in that of the winner was concurrent.

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Parser;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rumour_crdt::{ActorId, ENTRY_DOTS_LIMIT, Entry, Minter, Stamp};
use serde_json::json;

/// False reports of conflicts.
#[derive(Parser)]
struct Args {
    /// Writes of each run.
    #[arg(long, default_value_t = 20_000)]
    writes: u64,
    /// Nodes that write the key in turn, by chance.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 3, 4, 5, 8, 16, 32])]
    writers: Vec<usize>,
    /// Writes that pass on average before a state reaches another node.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    lags: Vec<u32>,
    /// Writes after which some node restarts; 0 for never.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20])]
    restarts: Vec<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a node holds of the key.
#[derive(Clone)]
struct State {
    entry: Entry,
    /// The greatest sequence seen of each actor there was, by its number.
    seen: Vec<u64>,
}

struct Node {
    minter: Minter,
    state: Option<State>,
    /// To which nodes its state is still to be sent.
    unsent: Vec<bool>,
}

#[derive(Clone, Copy)]
struct Run {
    writers: usize,
    lag: u32,
    restart_every: u64,
    /// Whether every write has seen the one before it, so that there is no conflict at all.
    causal: bool,
}

#[derive(Default)]
struct Counts {
    merges: u64,
    /// Conflicts that there were.
    concurrent: u64,
    /// Reported, and there was none.
    reported_falsely: u64,
    /// Not reported, and there was one.
    missed: u64,
}

fn index(stamp: Stamp) -> usize {
    usize::try_from(stamp.actor.get()).unwrap_or(usize::MAX)
}

impl State {
    fn has_seen(&self, stamp: Stamp) -> bool {
        self.seen.get(index(stamp)).is_some_and(|seen| *seen >= stamp.seq)
    }

    fn written(stamp: Stamp, over: Option<&Self>) -> Self {
        let mut seen = over.map(|over| over.seen.clone()).unwrap_or_default();
        seen.resize(seen.len().max(index(stamp) + 1), 0);
        seen[index(stamp)] = stamp.seq;
        Self {
            entry: Entry::value(Bytes::from_static(b"v"), None, stamp, over.map(|over| &over.entry)),
            seen,
        }
    }

    fn merge(&mut self, other: &Self, counts: &mut Counts) {
        let ahead = self.entry.stamp() >= other.entry.stamp();
        let (winner, loser) = if ahead { (&*self, other) } else { (other, &*self) };
        let concurrent = !winner.has_seen(loser.entry.stamp());
        let reported = self.entry.merge(&other.entry).conflicts > 0;
        counts.merges += 1;
        counts.concurrent += u64::from(concurrent);
        counts.reported_falsely += u64::from(reported && !concurrent);
        counts.missed += u64::from(concurrent && !reported);
        self.seen.resize(self.seen.len().max(other.seen.len()), 0);
        for (seen, theirs) in self.seen.iter_mut().zip(&other.seen) {
            *seen = (*seen).max(*theirs);
        }
    }
}

fn simulate(run: Run, args: &Args) -> Counts {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let (mut counts, mut actors, mut now_ms) = (Counts::default(), 0, 1_700_000_000_000);
    let mut new_minter = || {
        actors += 1;
        Minter::new(ActorId::new(actors))
    };
    let mut nodes: Vec<_> = (0..run.writers)
        .map(|_| Node { minter: new_minter(), state: None, unsent: vec![false; run.writers] })
        .collect();
    let mut last_writer = 0;
    for write in 1..=args.writes {
        now_ms += 1;
        if run.restart_every > 0 && write.is_multiple_of(run.restart_every) {
            let (restarting, source) = (rng.random_range(0..run.writers), rng.random_range(0..run.writers));
            // The last write is not lost with its only holder.
            if restarting != last_writer {
                let state = nodes[source].state.clone();
                nodes[restarting] = Node { minter: new_minter(), state, unsent: vec![false; run.writers] };
            }
        }
        let writer = rng.random_range(0..run.writers);
        if run.causal {
            deliver(&mut nodes, last_writer, writer, &mut counts);
        }
        let node = &mut nodes[writer];
        let stamp = node.minter.mint(now_ms, node.state.as_ref().map(|state| state.entry.newest()));
        node.state = Some(State::written(stamp, node.state.as_ref()));
        node.unsent.fill(true);
        last_writer = writer;
        for from in 0..run.writers {
            for to in 0..run.writers {
                if nodes[from].unsent[to] && rng.random_ratio(1, run.lag) {
                    nodes[from].unsent[to] = false;
                    deliver(&mut nodes, from, to, &mut counts);
                }
            }
        }
    }
    counts
}

/// Sends the state of one node to another.
fn deliver(nodes: &mut [Node], from: usize, to: usize, counts: &mut Counts) {
    if from == to {
        return;
    }
    let Some(state) = nodes[from].state.clone() else { return };
    match &mut nodes[to].state {
        Some(present) => present.merge(&state, counts),
        absent => *absent = Some(state),
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        println!("nothing measured: run it by `cargo bench`");
        return Ok(());
    }
    if !args.json {
        println!(
            "{} writes a run; entries remember {ENTRY_DOTS_LIMIT} writers; counts are of all nodes together",
            args.writes
        );
        println!(
            "{:<10} {:>7} {:>4} {:>8} {:>9} {:>11} {:>15} {:>15}",
            "writes", "writers", "lag", "restarts", "merges", "true/write", "false/write", "false/merge"
        );
    }
    let mut rows = Vec::new();
    for causal in [true, false] {
        for restart_every in args.restarts.iter().copied() {
            for lag in args.lags.iter().copied() {
                for writers in args.writers.iter().copied() {
                    let run = Run { writers, lag, restart_every, causal };
                    let counts = simulate(run, &args);
                    ensure!(!causal || counts.concurrent == 0, "causal writes were found concurrent");
                    ensure!(counts.missed == 0, "{} conflicts were not reported", counts.missed);
                    let share = |of: u64, all: u64| of as f64 / all.max(1) as f64;
                    let kind = if causal { "causal" } else { "concurrent" };
                    if args.json {
                        rows.push(json!({
                            "writes": kind,
                            "writers": writers,
                            "lag": lag,
                            "restart_every": restart_every,
                            "merges": counts.merges,
                            "true_per_write": share(counts.concurrent, args.writes),
                            "false_per_write": share(counts.reported_falsely, args.writes),
                            "false_per_merge": share(counts.reported_falsely, counts.merges),
                        }));
                        continue;
                    }
                    println!(
                        "{kind:<10} {writers:>7} {lag:>4} {restart_every:>8} {:>9} {:>11.4} {:>15.5} {:>15.6}",
                        counts.merges,
                        share(counts.concurrent, args.writes),
                        share(counts.reported_falsely, args.writes),
                        share(counts.reported_falsely, counts.merges),
                    );
                }
            }
        }
    }
    if args.json {
        println!("{}", json!({"writes": args.writes, "dots": ENTRY_DOTS_LIMIT, "rows": rows}));
    }
    Ok(())
}
