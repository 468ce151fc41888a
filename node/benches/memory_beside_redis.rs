//! What a key costs in resident memory, beside `redis-server` with the same data in the same run:
//! `cargo bench --bench memory_beside_redis`.

mod support;

use anyhow::Result;
use clap::Parser;
use serde_json::json;
use support::Server;

/// Memory of `rumour run` and of `redis-server` with the same keys.
#[derive(Parser)]
struct Args {
    /// How many keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

const KEY_BYTES: usize = 16;

struct Measured {
    name: &'static str,
    empty_bytes: u64,
    full_bytes: u64,
}

impl Measured {
    /// Bytes each key takes besides itself and its value.
    fn besides(&self, args: &Args) -> f64 {
        (self.full_bytes - self.empty_bytes) as f64 / args.keys as f64 - (KEY_BYTES + args.value_bytes) as f64
    }
}

fn measure(server: &Server, args: &Args) -> Result<Measured> {
    let mut client = server.client()?;
    let empty_bytes = server.resident_bytes()?;
    let value = vec![b'v'; args.value_bytes];
    client.pipeline(
        (0..args.keys).map(|key| [b"SET".to_vec(), format!("{key:016}").into_bytes(), value.clone()]),
    )?;
    let held = client.call(&[b"DBSIZE"])?;
    anyhow::ensure!(held == format!(":{}", args.keys), "{} holds {held}", server.name);
    Ok(Measured { name: server.name, empty_bytes, full_bytes: server.resident_bytes()? })
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.bench {
        println!("nothing measured: run it by `cargo bench`");
        return Ok(());
    }
    let servers = [Server::rumour(&[])?, Server::redis()?];
    let measured = servers.iter().map(|server| measure(server, &args)).collect::<Result<Vec<_>>>()?;
    let ratio = measured[0].full_bytes as f64 / measured[1].full_bytes as f64;
    if args.json {
        let servers: Vec<_> = measured
            .iter()
            .map(|server| {
                json!({
                    "server": server.name,
                    "resident_bytes_empty": server.empty_bytes,
                    "resident_bytes": server.full_bytes,
                    "bytes_a_key_besides_key_and_value": server.besides(&args),
                })
            })
            .collect();
        let keys = json!({"keys": args.keys, "key_bytes": KEY_BYTES, "value_bytes": args.value_bytes});
        println!("{}", json!({"data": keys, "servers": servers, "resident_ratio": ratio}));
        return Ok(());
    }
    println!("{} keys of {KEY_BYTES} bytes with values of {}:", args.keys, args.value_bytes);
    for server in &measured {
        println!(
            "{:>12}: {:6.1} MB resident, {:5.1} MB of it when empty; {:5.1} bytes a key besides key and value",
            server.name,
            server.full_bytes as f64 / 1e6,
            server.empty_bytes as f64 / 1e6,
            server.besides(&args),
        );
    }
    println!("rumour takes {ratio:.2} times as much as redis-server");
    Ok(())
}
