//! Incarnations that are dead for certain.

use std::collections::VecDeque;

/// Deaths that are remembered at most.
const ENDED_LIMIT: usize = 4096;

/// How it is known that an incarnation is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A later start of its name was met, or it went over to another cluster. If it is met again, it lives after all.
    Replaced,
    /// It said goodbye.
    Left,
    /// An operator says so.
    Forgotten,
}

/// The dead, those that died first at the front.
#[derive(Debug, Default)]
pub(super) struct Ended(VecDeque<(u64, End)>);

impl Ended {
    pub(super) fn contains(&self, incarnation: u64) -> bool {
        self.get(incarnation).is_some()
    }

    pub(super) fn is_forgotten(&self, incarnation: u64) -> bool {
        self.get(incarnation) == Some(End::Forgotten)
    }

    /// Notes a death. What was known for better reasons stays.
    pub(super) fn insert(&mut self, incarnation: u64, end: End) {
        match self.0.iter_mut().find(|(ended, _)| *ended == incarnation) {
            Some((_, known)) if *known == End::Replaced => *known = end,
            Some((_, known)) if end == End::Forgotten => *known = end,
            Some(_) => {}
            None => self.0.push_back((incarnation, end)),
        }
        if self.0.len() > ENDED_LIMIT {
            self.0.pop_front();
        }
    }

    /// An incarnation was met.
    pub(super) fn lives(&mut self, incarnation: u64) {
        self.0.retain(|(ended, end)| *ended != incarnation || *end != End::Replaced);
    }

    /// Whoever went over to another cluster has not died there.
    pub(super) fn forget_replaced(&mut self) {
        self.0.retain(|(_, end)| *end != End::Replaced);
    }

    fn get(&self, incarnation: u64) -> Option<End> {
        self.0.iter().find(|(ended, _)| *ended == incarnation).map(|(_, end)| *end)
    }
}
