//! Two nodes share a cache: a write at one is seen at the other, and each tells what happens in the cluster:
//! `cargo run -p rumour-examples --bin two_regions`.

use std::time::Duration;

use rumour::{Cache, ClusterKey, Node};
use tokio::time::Instant;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let key = ClusterKey::generate()?;
    let start = |name: &str| Node::builder().name(name).cluster_key(key.clone()).listen("127.0.0.1:0");
    let frankfurt = start("frankfurt").start().await?;
    let mut events = frankfurt.events();
    let oregon = start("oregon").seed(frankfurt.addr().to_string()).start().await?;
    println!("frankfurt saw: {:?}", events.next().await);

    let written = Instant::now();
    frankfurt.cache().set("price:apple", "1.20").await?;
    let seen = wait_for(&oregon.cache(), "price:apple").await?;
    println!("oregon sees {seen} after {:?}", written.elapsed());

    oregon.leave().await?;
    frankfurt.leave().await?;
    Ok(())
}

async fn wait_for(cache: &Cache, key: &str) -> anyhow::Result<String> {
    for _ in 0..1000 {
        if let Some(value) = cache.get(key).await? {
            return Ok(String::from_utf8_lossy(&value).into_owned());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    anyhow::bail!("{key} did not arrive within a second")
}
