//! Reading and writing with other owners.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Engine, EngineState, Kept, Purpose};
use crate::consistency::{Consistency, Tally};
use crate::council::Seat;
use crate::error::WriteError;
use crate::replication::Ticket;

/// The consistency that a handle or a connection asks for. What is `None` is as the [namespace](crate::Namespace) of a key has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    /// How many owners are read from.
    pub read: Option<Consistency>,
    /// How many owners have to hold a write. They are read from first, so that it lies above all that was acknowledged before.
    pub write: Option<Consistency>,
}

impl From<Consistency> for Levels {
    /// The same for reads and for writes.
    fn from(level: Consistency) -> Self {
        Self { read: Some(level), write: Some(level) }
    }
}

impl Engine {
    /// A handle for reads and writes with other owners. Each read and write is to be [prepared](Self::prepare), and each write
    /// [confirmed](Self::confirm).
    #[must_use]
    pub fn at(&self, levels: Levels) -> Self {
        Self { inner: Arc::clone(&self.inner), levels, ticket: None }.with_ticket()
    }

    /// What this handle asks for.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// Whether other owners may take part in anything that is done with this handle.
    #[must_use]
    pub fn asks_others(&self) -> bool {
        [self.levels.read, self.levels.write]
            .into_iter()
            .any(|level| level.map_or(self.inner.namespaces.ask(), |level| level != Consistency::One))
    }

    /// How many owners take part in a read or a write of a key with this handle.
    #[must_use]
    pub fn level(&self, key: &[u8], purpose: Purpose) -> Consistency {
        let said = match purpose {
            Purpose::Read => self.levels.read,
            Purpose::Write => self.levels.write,
        };
        said.unwrap_or_else(|| {
            let (read, write) = self.inner.namespaces.consistency(key);
            match purpose {
                Purpose::Read => read,
                Purpose::Write => write,
            }
        })
    }

    /// Who waits for a write of a key.
    pub(super) fn ticket_for(&self, key: &[u8]) -> Option<&Arc<Ticket>> {
        let ticket = self.ticket.as_ref()?;
        let level = self.level(key, Purpose::Write);
        ticket.demand(level);
        (level != Consistency::One).then_some(ticket)
    }

    fn with_ticket(mut self) -> Self {
        self.ticket = self.asks_others().then(Arc::default);
        self
    }

    /// Brings in what as many owners hold of some keys as this level asks for, and what was [evicted](Self::recall) here. None of
    /// the keys is evicted before what is given is dropped.
    ///
    /// # Errors
    /// [`WriteError::NoQuorum`] when too few owners have answered in time; what did answer is merged then, and nothing else happened. Asking
    /// others also fails while the node joins, and after it stopped.
    pub async fn prepare(
        &self,
        keys: impl IntoIterator<Item = &[u8]>,
        purpose: Purpose,
        level: Consistency,
    ) -> Result<Kept, WriteError> {
        if level == Consistency::One {
            return Ok(self.recall(keys, purpose).await);
        }
        self.check_serving()?;
        let keys: Vec<Bytes> = keys.into_iter().map(Bytes::copy_from_slice).collect();
        let Some(recaller) = self.inner.recaller.get().filter(|_| !keys.is_empty()) else {
            return Ok(Kept::none());
        };
        let kept = Kept::new(&self.inner, keys.clone());
        let consulted = recaller.consult(keys.clone(), level).await;
        let differing = consulted.map_err(|tally| {
            self.inner.counters.no_quorum.add(1);
            WriteError::NoQuorum { level, tally }
        })?;
        if let Some(ticket) = &self.ticket {
            ticket.doubt(differing);
        }
        // What those that answered have evicted as well others may hold.
        drop(self.recall(keys.iter().map(|key| &key[..]), purpose).await);
        Ok(kept)
    }

    /// Waits until so many owners hold what was written with this handle since it was last confirmed.
    ///
    /// # Errors
    /// [`WriteError::Unconfirmed`] when too few have acknowledged it in time: the write stays and may reach the others all the same.
    pub async fn confirm(&mut self) -> Result<(), WriteError> {
        let Some(ticket) = self.ticket.take().filter(|ticket| ticket.has_changes()) else {
            *self = self.at(self.levels);
            return Ok(());
        };
        self.ticket = Some(Arc::default());
        let (inner, level) = (&self.inner, ticket.level());
        let deadline = Instant::now() + inner.consistency_patience;
        loop {
            let changed = inner.seats_changed.notified();
            tokio::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            let tally = inner.tally_held(level, &ticket);
            if tally.is_reached() {
                return Ok(());
            }
            let news = async {
                tokio::select! {
                    biased;
                    () = ticket.news() => {}
                    () = changed => {}
                }
            };
            if timeout_at(deadline, news).await.is_err() {
                inner.counters.unconfirmed.add(1);
                return Err(WriteError::Unconfirmed { level, tally: inner.tally_held(level, &ticket) });
            }
        }
    }

    /// The incarnations that hold what was written with this handle.
    #[cfg(test)]
    pub(crate) fn held_by(&self) -> std::collections::BTreeSet<u64> {
        self.ticket.iter().flat_map(|ticket| ticket.holders().into_keys()).collect()
    }

    /// Others turned out to hold something else of this key.
    #[cfg(test)]
    pub(crate) fn doubt(&self, key: &'static [u8]) {
        let keys = std::collections::BTreeSet::from([Bytes::from_static(key)]);
        self.ticket.iter().for_each(|ticket| ticket.doubt(keys.clone()));
    }

    /// Whether something was written with this handle that is to be [confirmed](Self::confirm).
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.has_changes())
    }
}

impl EngineState {
    fn tally_held(&self, level: Consistency, ticket: &Ticket) -> Tally {
        let holders = ticket.holders();
        self.council.lock().tally_held(level, &holders)
    }

    /// An incarnation said where it stands when its clock read this.
    pub(crate) fn seated(&self, incarnation: u64, seat: Seat, clock: rumour_crdt::Hlc) {
        if self.council.lock().seated(incarnation, seat, clock) {
            self.seats_changed.notify_waiters();
        }
    }
}
