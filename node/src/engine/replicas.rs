//! Waiting for what was written to reach other members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rumour_transport::NodeId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Engine, EngineState};
use crate::placement::{Configuration, Share};
use crate::replication::{Behind, Ticket};

/// How often one looks whether a member that lacked more than what was queued for it does no longer.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Engine {
    /// How many other members hold all that was written at this node before. Those that have not
    /// [caught up](crate::NotReady::CatchingUp) do not count.
    #[must_use]
    pub fn up_to_date(&self) -> usize {
        let mut others = Others::of(&self.inner);
        others.ask();
        others.up_to_date()
    }

    /// Waits until so many other members hold all that was written at this node before, for `patience` at most if there is one. Gives how
    /// many [do](Self::up_to_date) by then.
    pub async fn wait_for(&self, members: usize, patience: Option<Duration>) -> usize {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut others = Others::of(&self.inner);
        loop {
            let (told, changed) = (others.news.clone(), self.inner.seats_changed.notified());
            tokio::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            others.ask();
            let holders = others.up_to_date();
            if holders >= members || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return holders;
            }
            let news = async {
                tokio::select! {
                    biased;
                    () = told.notified() => {}
                    () = changed => {}
                }
            };
            // What sync brings nobody is told of.
            let until = Instant::now() + LOOK_AGAIN;
            let _ = timeout_at(deadline.map_or(until, |deadline| deadline.min(until)), news).await;
        }
    }
}

/// The other members, while somebody waits for them.
struct Others<'a> {
    engine: &'a EngineState,
    /// Told when any of them has taken something in.
    news: Arc<Notify>,
    /// What is known of each incarnation that lacks nothing but what is queued for it.
    asked: BTreeMap<u64, Lacks>,
}

/// What a member lacked when it was looked at.
enum Lacks {
    Nothing,
    /// What this is told of.
    Queued(Arc<Ticket>),
}

impl Lacks {
    fn is_over(&self, incarnation: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::Queued(ticket) => ticket.holders().contains_key(&incarnation),
        }
    }

    /// Nobody will tell any more: what was queued was refused, or the queue is another one.
    fn is_void(&self, incarnation: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Queued(ticket) => Arc::weak_count(ticket) == 0 && !self.is_over(incarnation),
        }
    }
}

impl<'a> Others<'a> {
    fn of(engine: &'a EngineState) -> Self {
        Self { engine, news: Arc::default(), asked: BTreeMap::new() }
    }

    /// Asks for those of which it is not known yet what they lack.
    fn ask(&mut self) {
        let configuration = self.engine.council.lock().configuration().cloned();
        let members = configuration.as_ref().map(Configuration::members).unwrap_or_default();
        for Share { node, incarnation, .. } in members {
            let is_known = self.asked.get(incarnation).is_some_and(|lacks| !lacks.is_void(*incarnation));
            if is_known || *incarnation == self.engine.incarnation {
                continue;
            }
            let ticket = Arc::new(Ticket::telling(&self.news));
            ticket.add();
            let lacks = match self.engine.fanout.await_all(node, &ticket) {
                Behind::Nothing => Lacks::Nothing,
                Behind::Awaited => Lacks::Queued(ticket),
                Behind::Unknown => continue,
            };
            self.asked.insert(*incarnation, lacks);
        }
    }

    /// How many hold all: nothing waited for them, or they have taken in what did, and refused nothing.
    fn up_to_date(&self) -> usize {
        let over = self.asked.iter().filter(|(incarnation, lacks)| lacks.is_over(**incarnation));
        let over: BTreeSet<u64> = over.map(|(incarnation, _)| *incarnation).collect();
        let counting: Vec<NodeId> = {
            let council = self.engine.council.lock();
            let members = council.configuration().map(Configuration::members).unwrap_or_default();
            let counts =
                |member: &&Share| over.contains(&member.incarnation) && council.counts(member.incarnation);
            members.iter().filter(counts).map(|member| member.node.clone()).collect()
        };
        counting.iter().filter(|node| self.engine.fanout.is_all_queued(node)).count()
    }
}
