//! What a key costs in memory, and what the limit does to a whole node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::alloc::System;

use bytes::Bytes;
use rumour::{ClusterKey, EvictionPolicy, Node, NodeBuilder, SetOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KEYS: usize = 1_000_000;
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 100;

fn builder() -> NodeBuilder {
    Node::builder().name("memory").cluster_key(ClusterKey::from_bytes([7; 32])).listen("127.0.0.1:0")
}

fn key(number: usize) -> String {
    format!("{number:016}")
}

/// Both in one test: the allocator counts what all threads do.
#[tokio::test]
async fn a_register_takes_64_bytes_besides_key_and_value_and_the_limit_holds() {
    let node = builder().start().await.unwrap();
    let engine = node.engine();
    let region = Region::new(ALLOCATOR);
    for number in 0..KEYS {
        engine
            .set(key(number).as_bytes(), Bytes::from(vec![b'v'; VALUE_BYTES]), SetOptions::default())
            .unwrap();
    }
    let stats = region.change();
    let requested = stats.bytes_allocated - stats.bytes_deallocated;
    let besides = requested as f64 / KEYS as f64 - (KEY_BYTES + VALUE_BYTES) as f64;
    println!("{KEYS} keys: {besides:.1} bytes each besides key and value");
    println!("the node counts {} bytes of {requested} requested", engine.memory().used_bytes);
    assert!(besides <= 64.0, "{besides}");
    drop(node);

    let limit = 20_000_000;
    let node = builder().max_memory(limit).eviction(EvictionPolicy::AllKeysLfu).start().await.unwrap();
    let engine = node.engine();
    let region = Region::new(ALLOCATOR);
    for number in 0..KEYS {
        engine
            .set(key(number).as_bytes(), Bytes::from(vec![b'v'; VALUE_BYTES]), SetOptions::default())
            .unwrap();
        if number % 10_000 == 0 {
            assert!(engine.memory().used_bytes <= limit, "{:?}", engine.memory());
        }
    }
    let stats = region.change();
    let requested = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
    println!("limited to {limit} bytes: {requested} requested, {:?}", engine.memory());
    assert!(requested as u64 <= limit && engine.memory().evicted > 0, "{requested}");
    assert_eq!(node.audit(), Vec::<u16>::new());
}
