//! A door and a real Redis that are asked the same.

use std::fmt::Write;

use rand::Rng;
use rand::rngs::SmallRng;

use super::{Client, Door, RealRedis, Reply};

/// Both, with a connection each.
pub(crate) struct Beside {
    pub(crate) ours: Client,
    pub(crate) real: Client,
    door: Door,
    redis: RealRedis,
}

/// Commands whose replies are in no order that means anything.
const UNORDERED: [&str; 6] = ["SMEMBERS", "SINTER", "SUNION", "SDIFF", "SPOP", "SRANDMEMBER"];

impl Beside {
    pub(crate) fn open() -> Self {
        let (door, redis) = (Door::open(), RealRedis::start(&[]));
        Self { ours: door.client(), real: redis.client(), door, redis }
    }

    /// Goes on with new connections in that version of the protocol and no keys.
    pub(crate) fn restart(&mut self, protocol: &str) {
        (self.ours, self.real) = (self.door.client(), self.redis.client());
        for client in [&mut self.ours, &mut self.real] {
            client.call(&["HELLO", protocol]);
            client.call(&["FLUSHALL"]);
        }
    }

    /// Sends one request to both and compares the replies.
    pub(crate) fn ask(&mut self, request: &[impl AsRef<str>]) -> Reply {
        let request: Vec<_> = request.iter().map(AsRef::as_ref).collect();
        let [our, their] = [&mut self.ours, &mut self.real].map(|client| {
            let reply = client.call(&request);
            match request[0].to_uppercase().as_str() {
                name if UNORDERED.contains(&name) => sorted(reply),
                "ZSCAN" => paired(reply),
                _ => reply,
            }
        });
        assert_eq!(our, their, "ours, theirs, to {request:?}");
        our
    }

    /// Sends a line for each request, its words parted by spaces; `''` is an empty word.
    pub(crate) fn script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            self.ask(&words);
        }
    }

    /// Sends `count` requests that are made from templates; after a mismatch it tells those before.
    pub(crate) fn fuzz(
        &mut self,
        count: usize,
        templates: &[&str],
        words: &[(&str, &[&str])],
        rng: &mut SmallRng,
    ) {
        let mut history = History::default();
        for _ in 0..count {
            let template = templates[rng.random_range(0..templates.len())];
            let request = fill(template, words, rng);
            writeln!(history.0, "{request:?}").expect("a string takes all");
            self.ask(&request);
        }
        history.0.clear();
    }
}

/// Told when a test fails.
#[derive(Default)]
struct History(String);

impl Drop for History {
    fn drop(&mut self) {
        let lines: Vec<_> = self.0.lines().rev().take(40).collect();
        for line in lines.iter().rev() {
            println!("{line}");
        }
    }
}

/// The items in an order of their own.
pub(crate) fn sorted(reply: Reply) -> Reply {
    match reply {
        Reply::Many(kind, mut items) => {
            items.sort_by_key(|item| format!("{item:?}"));
            Reply::Many(kind, items)
        }
        other => other,
    }
}

/// What a walk returns, each member together with its score, in an order of their own.
fn paired(reply: Reply) -> Reply {
    let Reply::Many('*', mut parts) = reply else { return reply };
    let Some(Reply::Many(kind, items)) = parts.pop() else { panic!("no members: {parts:?}") };
    let pairs = items.chunks(2).map(|pair| Reply::Many(kind, pair.to_vec())).collect();
    parts.push(sorted(Reply::Many(kind, pairs)));
    Reply::Many('*', parts)
}

/// Replaces each word of the template that stands for others by one of them. `word?` may stay out, `word*` come up to
/// four times.
fn fill(template: &str, words: &[(&str, &[&str])], rng: &mut SmallRng) -> Vec<String> {
    let mut request = Vec::new();
    for word in template.split_whitespace() {
        let (name, times) = match (word.strip_suffix('?'), word.strip_suffix('*')) {
            (Some(name), _) => (name, rng.random_range(0..2)),
            (_, Some(name)) => (name, rng.random_range(0..5)),
            _ => (word, 1),
        };
        for _ in 0..times {
            let found = words.iter().find(|(of, _)| *of == name);
            let chosen = found.map_or(name, |(_, choices)| choices[rng.random_range(0..choices.len())]);
            request.extend(chosen.split(' ').map(str::to_owned));
        }
    }
    request
}
