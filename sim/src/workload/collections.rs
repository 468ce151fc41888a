//! What clients do with counters and collections.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rumour::{Amount, Engine, Kind, Score, SetExpiry, View, WriteError, Writer};
use serde::Serialize;

/// Elements that collections share, so that clients meet on them.
const ELEMENTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const KINDS: [Kind; 5] = [Kind::String, Kind::Values, Kind::Set, Kind::SortedSet, Kind::Map];

/// How clients use counters and collections.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CollectionSettings {
    /// Operations on them in a thousand.
    pub permille: u32,
    /// The one type that they have; all if `None`.
    pub kind: Option<Kind>,
    /// Keys of each type.
    pub keys: usize,
    /// Whether numbers only grow and nothing is deleted, so that memory lost can be told from values lost.
    pub only_grows: bool,
    /// Whether keys are told to end.
    pub expires: bool,
}

/// One operation: a key and what is done to it.
pub(super) struct Contribution {
    pub(super) key: Bytes,
    kind: Kind,
    action: Action,
    element: &'static str,
    number: i64,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Put,
    Add,
    Remove,
    Delete,
    Replace,
    Expire,
    Persist,
    Read,
}

impl CollectionSettings {
    /// Draws a mixture of all types.
    pub fn draw(rng: &mut SmallRng) -> Self {
        Self {
            permille: rng.random_range(0..=500),
            kind: None,
            keys: rng.random_range(1..=4),
            only_grows: false,
            expires: rng.random(),
        }
    }

    /// Draws one operation. `unique` is a number that no other operation is given.
    pub(super) fn operation(&self, rng: &mut SmallRng, unique: i64) -> Contribution {
        let kind = self.kind.or_else(|| KINDS.choose(rng).copied()).unwrap_or(Kind::Set);
        let number = rng.random_range(0..self.keys.max(1));
        let key = format!("+{}-{number}", format!("{kind:?}").to_lowercase()).into();
        let action = match rng.random_range(0..100) {
            0..35 => Action::Put,
            35..65 => Action::Add,
            65..80 => Action::Remove,
            80..83 => Action::Delete,
            83..86 => Action::Replace,
            86..89 if self.expires => Action::Expire,
            89..90 if self.expires => Action::Persist,
            _ => Action::Read,
        };
        let grows = matches!(action, Action::Put | Action::Add | Action::Read);
        let action = if self.only_grows && !grows { Action::Add } else { action };
        let number = match action {
            Action::Put | Action::Replace => unique,
            _ if self.only_grows => rng.random_range(1..10),
            _ => rng.random_range(-9..10),
        };
        let element = ELEMENTS.choose(rng).copied().unwrap_or("a");
        Contribution { key, kind, action, element, number }
    }
}

impl Contribution {
    /// Does it. Returns whether anything changed. Expiries are at `expires_at_ms`.
    pub(super) fn perform(&self, engine: &Engine, expires_at_ms: u64) -> Result<bool, WriteError> {
        engine.write(&self.key, |key| match self.action {
            Action::Read => Ok(false),
            Action::Delete => Ok(key.delete()),
            Action::Expire => Ok(key.expire_at(Some(expires_at_ms))),
            Action::Persist => Ok(key.expire_at(None)),
            Action::Replace => {
                // A string in place of a collection would make it another type; the key is made anew instead.
                match self.kind {
                    Kind::String => key.set(self.number.to_string().into(), SetExpiry::Clear),
                    _ => key.replace(),
                }
                Ok(true)
            }
            Action::Put | Action::Add | Action::Remove => self.contribute(key),
        })?
    }

    fn contribute(&self, key: &mut Writer<'_>) -> Result<bool, WriteError> {
        let name = self.element.as_bytes();
        let text = || Bytes::from(self.number.to_string());
        let there = key.view().is_some_and(|view| has(view, name));
        let absent = key.kind().is_none();
        match (self.kind, self.action) {
            (Kind::String, _) => key.add(self.number % 100).map(|_| true),
            (_, Action::Remove) if absent => Ok(false),
            (Kind::Values, Action::Remove) => key.values().map(|mut values| values.remove(b"")),
            (Kind::Values, _) => key.values().map(|mut values| values.put(b"", text(), None)).map(|()| true),
            (Kind::Set, Action::Remove) => key.members().map(|mut set| set.remove(name)),
            (Kind::Set, _) if there => Ok(false),
            (Kind::Set, _) => key.members().map(|mut set| set.put(name, (), None)).map(|()| true),
            (Kind::SortedSet, Action::Remove) => key.sorted().map(|mut set| set.remove(name)),
            (Kind::SortedSet, Action::Put) => {
                let score = Score(self.number as f64);
                key.sorted().map(|mut set| set.put(name, score, None)).map(|()| true)
            }
            (Kind::SortedSet, _) => {
                let by = Amount::Float(self.number as f64);
                key.sorted().map(|mut set| set.add(name, by)).map(|()| true)
            }
            (Kind::Map, Action::Remove) => key.map().map(|mut map| map.remove(name)),
            (Kind::Map, Action::Put) => key.map().map(|mut map| map.put(name, text(), None)).map(|()| true),
            (Kind::Map, _) => {
                key.map().map(|mut map| map.add(name, Amount::Integer(self.number))).map(|()| true)
            }
        }
    }
}

fn has(view: View<'_>, name: &[u8]) -> bool {
    view.members().is_some_and(|members| members.get(name, view.now_ms()).is_some())
}
