//! The side of an agreement that votes, which every member is.

use super::{Ask, Ballot, Reply, Request};
use crate::placement::Configuration;

/// What one incarnation has promised and accepted for the number after the latest that it knows. Plain state.
#[derive(Debug, Clone)]
pub struct Acceptor {
    incarnation: u64,
    agreed: Option<Configuration>,
    promised: Ballot,
    accepted: Option<(Ballot, Configuration)>,
}

impl Acceptor {
    /// An incarnation that knows of no configuration yet.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        Self { incarnation, agreed: None, promised: Ballot::default(), accepted: None }
    }

    /// The latest configuration that is agreed, as far as is known here.
    #[must_use]
    pub fn agreed(&self) -> Option<&Configuration> {
        self.agreed.as_ref()
    }

    /// The latest attempt that was heard of for the next number.
    #[must_use]
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// Takes in a configuration that was agreed on. Returns whether it is news. Promises for its number and those before are void then:
    /// nothing else can be agreed on under them any more.
    pub fn learn(&mut self, agreed: &Configuration) -> bool {
        let is_news = self.agreed.as_ref().is_none_or(|known| known.number() < agreed.number());
        if is_news {
            self.agreed = Some(agreed.clone());
            (self.promised, self.accepted) = (Ballot::default(), None);
        }
        is_news
    }

    /// Answers a proposer.
    pub fn answer(&mut self, request: &Request) -> Reply {
        let Request { base, ballot, ask } = request;
        self.learn(base);
        if let Some(agreed) = self.agreed.as_ref().filter(|agreed| agreed.number() > base.number()) {
            return Reply::Agreed(agreed.clone());
        }
        let named = |configuration: &Configuration| configuration.names(self.incarnation);
        let has_a_say = match ask {
            Ask::Promise(wish) => named(base) || named(wish),
            Ask::Accept(next) => named(base) && base.precedes(next),
        };
        if !has_a_say {
            return Reply::NoMember;
        }
        if *ballot < self.promised {
            return Reply::Refused(self.promised);
        }
        self.promised = *ballot;
        match ask {
            Ask::Promise(_) => Reply::Promised(self.accepted.clone()),
            Ask::Accept(next) => {
                self.accepted = Some((*ballot, next.clone()));
                Reply::Accepted
            }
        }
    }
}
