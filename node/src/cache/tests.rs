use std::time::Duration;

use super::*;
use crate::{ClusterKey, KEY_BYTES_LIMIT, Node, PAYLOAD_BYTES_LIMIT, VALUE_BYTES_LIMIT};

async fn node() -> Node {
    let key = ClusterKey::generate().unwrap();
    Node::builder().name("cache").cluster_key(key).listen("127.0.0.1:0").start().await.unwrap()
}

#[tokio::test]
async fn a_key_of_another_type_is_refused_and_stays() {
    let node = node().await;
    let cache = node.cache();
    let wrong = |wanted| WriteError::WrongType { wanted };
    cache.map("k").put("f", "v").await.unwrap();
    assert_eq!(cache.counter("k").add(1).await, Err(wrong(Kind::String)));
    assert_eq!(cache.counter("k").get().await, Err(wrong(Kind::String)));
    assert_eq!(cache.counter("k").reset().await, Err(wrong(Kind::String)));
    assert_eq!(cache.set_of("k").insert("m").await, Err(wrong(Kind::Set)));
    assert_eq!(cache.set_of("k").members().await, Err(wrong(Kind::Set)));
    assert_eq!(cache.sorted_set("k").put("m", 1.0).await, Err(wrong(Kind::SortedSet)));
    assert_eq!(cache.values("k").get().await, Err(wrong(Kind::Values)));
    assert_eq!(cache.map("k").get("f").await, Ok(Some("v".into())));
}

#[tokio::test]
async fn numbers_that_do_not_add_up_change_nothing() {
    let node = node().await;
    let cache = node.cache();
    cache.set("k", "abc").await.unwrap();
    assert_eq!(cache.counter("k").add(1).await, Err(WriteError::NotAnInteger));
    assert_eq!(cache.counter("k").get().await, Err(WriteError::NotAnInteger));
    cache.set("k", i64::MAX.to_string()).await.unwrap();
    assert_eq!(cache.counter("k").add(1).await, Err(WriteError::Overflow));
    assert_eq!(cache.counter("k").get().await, Ok(i64::MAX));
    assert_eq!(cache.counter("f").add_float(0.5).await, Ok(0.5));
    assert_eq!(cache.counter("f").get().await, Err(WriteError::NotAnInteger));
    assert_eq!(cache.counter("f").get_float().await, Ok(0.5));
    assert_eq!(cache.map("m").add("f", i64::MIN).await, Ok(i64::MIN));
    assert_eq!(cache.map("m").add("f", -1).await, Err(WriteError::Overflow));
    assert_eq!(cache.sorted_set("s").put("m", f64::NAN).await, Err(WriteError::NotANumber));
    assert_eq!(cache.sorted_set("s").put("m", f64::MAX).await, Ok(true));
    assert_eq!(cache.sorted_set("s").add("m", f64::MAX).await, Err(WriteError::NotFinite));
    assert_eq!(cache.sorted_set("s").score("m").await, Ok(Some(f64::MAX)));
}

#[tokio::test]
async fn names_and_values_have_limits() {
    let node = node().await;
    let cache = node.cache();
    let (name, long_name) = ("n".repeat(KEY_BYTES_LIMIT), "n".repeat(KEY_BYTES_LIMIT + 1));
    let refused = WriteError::NameTooLarge { bytes: KEY_BYTES_LIMIT + 1, limit: KEY_BYTES_LIMIT };
    assert_eq!(cache.set_of("set").insert(&name).await, Ok(true));
    assert_eq!(cache.set_of("set").insert(&long_name).await, Err(refused.clone()));
    assert_eq!(cache.map("map").put(&long_name, "v").await, Err(refused.clone()));
    assert_eq!(cache.map("map").add(&long_name, 1).await, Err(refused.clone()));
    assert_eq!(cache.sorted_set("sorted").add(&long_name, 1.0).await, Err(refused));
    let long = vec![0; VALUE_BYTES_LIMIT + 1];
    let refused = WriteError::ValueTooLarge { bytes: long.len(), limit: VALUE_BYTES_LIMIT };
    assert_eq!(cache.map("map").put("f", long.clone()).await, Err(refused.clone()));
    assert_eq!(cache.values("values").put(long).await, Err(refused));
    assert_eq!(cache.engine().len(), 1);
}

#[tokio::test]
async fn emptied_collections_are_gone_and_looking_makes_none() {
    let node = node().await;
    let cache = node.cache();
    let (set, map, sorted) = (cache.set_of("set"), cache.map("map"), cache.sorted_set("sorted"));
    assert!(!set.remove("m").await.unwrap() && !map.remove("f").await.unwrap());
    assert!(!sorted.remove("m").await.unwrap() && cache.values("v").get().await.unwrap().is_empty());
    cache.counter("c").reset().await.unwrap();
    assert!(cache.engine().is_empty());
    set.insert("m").await.unwrap();
    map.put("f", "v").await.unwrap();
    sorted.put("m", 1.0).await.unwrap();
    assert_eq!(cache.engine().len(), 3);
    assert!(
        set.remove("m").await.unwrap() && map.remove("f").await.unwrap() && sorted.remove("m").await.unwrap()
    );
    assert!(cache.engine().is_empty());
}

#[tokio::test]
async fn fields_end_by_themselves_counted_ones_too() {
    let node = node().await;
    let cache = node.cache();
    let map = cache.map("map");
    map.put("put", "v").await.unwrap();
    map.add("counted", 5).await.unwrap();
    assert_eq!(map.ttl("put").await, Ok(Ttl::Persistent));
    for field in ["put", "counted"] {
        assert!(map.expire(field, Some(Duration::from_secs(60))).await.unwrap());
        assert!(matches!(map.ttl(field).await, Ok(Ttl::At(_))));
    }
    assert_eq!(map.add("counted", 1).await, Ok(6));
    assert!(matches!(map.ttl("counted").await, Ok(Ttl::At(_))));
    assert!(map.expire("put", None).await.unwrap() && !map.expire("missing", None).await.unwrap());
    assert_eq!(map.ttl("put").await, Ok(Ttl::Persistent));
    assert!(map.expire("counted", Some(Duration::ZERO)).await.unwrap());
    assert_eq!((map.get("counted").await, map.len().await), (Ok(None), Ok(1)));
    assert_eq!(map.ttl("counted").await, Ok(Ttl::Missing));
}

#[tokio::test]
async fn ranges_of_a_sorted_set_are_in_order() {
    let node = node().await;
    let cache = node.cache();
    let board = cache.sorted_set("board");
    for (member, score) in [("c", 1.0), ("a", 2.0), ("b", 2.0), ("d", f64::INFINITY)] {
        board.put(member, score).await.unwrap();
    }
    let names = |members: Vec<(Bytes, f64)>| members.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(board.range_by_rank(1..=2).await.unwrap()), ["a", "b"]);
    assert_eq!(names(board.range_by_rank(0..=usize::MAX).await.unwrap()), ["c", "a", "b", "d"]);
    assert_eq!(names(board.range_by_score(f64::NEG_INFINITY..=2.0).await.unwrap()), ["c", "a", "b"]);
    assert_eq!(names(board.range_by_score(2.5..=f64::INFINITY).await.unwrap()), ["d"]);
}

#[tokio::test]
async fn a_key_holds_only_so_much_and_what_it_holds_can_be_removed() {
    let node = node().await;
    let cache = node.cache();
    let map = cache.map("k");
    // One buffer many times: it takes no memory.
    let value = Bytes::from(vec![b'v'; VALUE_BYTES_LIMIT]);
    for field in 0..PAYLOAD_BYTES_LIMIT / VALUE_BYTES_LIMIT - 1 {
        map.put(format!("f{field}"), value.clone()).await.unwrap();
    }
    let version = node.engine().version(b"k").unwrap();
    let refused = map.put("one more", value.clone()).await.unwrap_err();
    assert!(matches!(refused, WriteError::KeyFull { limit: PAYLOAD_BYTES_LIMIT, .. }), "{refused}");
    assert_eq!(node.engine().version(b"k").unwrap(), version, "nothing has changed");
    assert_eq!(map.get("one more").await, Ok(None));
    // Merging does not ask: another node may have added as much.
    let full =
        |key: &mut Writer<'_>| key.map().map(|mut map| map.put(b"from elsewhere", value.clone(), None));
    node.engine().write(b"k", full).unwrap().unwrap();
    assert!(matches!(map.add("count", 1).await, Err(WriteError::KeyFull { .. })));
    assert!(matches!(map.put("small", "v").await, Err(WriteError::KeyFull { .. })));
    assert_eq!(map.remove("f0").await, Ok(true));
    assert_eq!(map.remove("f1").await, Ok(true));
    assert_eq!(map.put("small", "v").await, Ok(true));
}

#[tokio::test]
async fn what_needs_memory_is_refused_when_there_is_none_and_what_gives_some_back_is_not() {
    let key = ClusterKey::generate().unwrap();
    let node = Node::builder().name("cache").cluster_key(key).listen("127.0.0.1:0").max_memory(200_000);
    let node = node.start().await.unwrap();
    let cache = node.cache();
    let (map, set, sorted, values) =
        (cache.map("map"), cache.set_of("set"), cache.sorted_set("sorted"), cache.values("values"));
    map.put("f", "v").await.unwrap();
    set.insert("m").await.unwrap();
    sorted.put("m", 1.0).await.unwrap();
    let mut n = 0;
    while cache.set(format!("k{n}"), vec![b'v'; 100]).await != Err(WriteError::OutOfMemory) {
        n += 1;
    }
    assert!(n > 100);
    let full = WriteError::OutOfMemory;
    assert_eq!(cache.counter("n").add(1).await, Err(full.clone()));
    assert_eq!(cache.counter("n").add_float(1.0).await, Err(full.clone()));
    assert_eq!(map.put("g", "v").await, Err(full.clone()));
    assert_eq!(map.add("g", 1).await, Err(full.clone()));
    assert_eq!(set.insert("o").await, Err(full.clone()));
    assert_eq!(sorted.put("o", 1.0).await, Err(full.clone()));
    assert_eq!(sorted.add("o", 1.0).await, Err(full.clone()));
    assert_eq!(values.put("v").await, Err(full));
    assert_eq!(map.remove("f").await, Ok(true));
    assert_eq!(set.remove("m").await, Ok(true));
    assert_eq!(sorted.remove("m").await, Ok(true));
    assert_eq!(cache.delete("k0").await, Ok(true));
}
