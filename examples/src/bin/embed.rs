//! A service that keeps its sessions in a cache of its own, shared with whatever peers it is given:
//! `cargo run -p rumour-examples --bin embed`.

use std::time::Duration;

use rumour::{ClusterKey, Node};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A real service reads the key from a file that all its peers share, and names a few of them as seeds.
    let key = ClusterKey::generate()?;
    let node = Node::builder().name("checkout-1").cluster_key(key).listen("127.0.0.1:0").start().await?;
    let cache = node.cache();

    cache.set("session:42", "ada").ttl(Duration::from_secs(300)).await?;
    let user = cache.get("session:42").await?;
    println!("session 42 belongs to {}", String::from_utf8_lossy(&user.unwrap_or_default()));

    // Of two requests that race at this node, one gets to do the work.
    let first = cache.set("job:7", "taken").if_absent().await?;
    let second = cache.set("job:7", "taken").if_absent().await?;
    println!("job 7: the first request got it: {first}, the second: {second}");

    node.leave().await?;
    Ok(())
}
