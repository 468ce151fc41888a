//! What a member would change about the configuration, and when it is its turn to propose it.

use std::collections::BTreeSet;
use std::time::Duration;

use rumour_transport::NodeId;
use tokio::time::Instant;

use super::{Council, Peer};
use crate::placement::{Configuration, MEMBERS_LIMIT, Share};

/// The first of the members that are there proposes at once, each further one so much later if nothing has come of it.
const TURN: Duration = Duration::from_millis(1500);

impl Council {
    /// What this node proposes now, if anything.
    pub(super) fn due_wish(&mut self, now: Instant) -> Option<Configuration> {
        let wish = self.wish(now);
        let since = match (&self.wished, &wish) {
            (Some((wished, since)), Some(wish)) if wished == wish => *since,
            _ => now,
        };
        self.wished = wish.clone().map(|wish| (wish, since));
        let wish = wish?;
        (now >= since + TURN * self.turn()).then_some(wish)
    }

    /// How many of the members that are there come before this one.
    fn turn(&self) -> u32 {
        let members = self.configuration().map(Configuration::members).unwrap_or_default();
        let before = members.iter().take_while(|member| member.node != self.me.node);
        before.map(|member| u32::from(self.is_met(&member.node))).sum()
    }

    fn wish(&self, now: Instant) -> Option<Configuration> {
        let base = self.configuration()?;
        if !base.names(self.me.incarnation) {
            return self.succession(base);
        }
        let present = self.present();
        if !base.is_majority(&present) {
            return self.recovery(base, &present);
        }
        let members = base.members();
        let changed = |change: &Share, to: Option<Share>| {
            let others = members.iter().filter(|member| member.node != change.node).cloned();
            base.followed_by(others.chain(to).collect()).ok()
        };
        let dead = |member: &&Share| self.ended.contains(member.incarnation);
        let replaced =
            members.iter().filter(dead).find_map(|member| Some((member, self.newcomer(&member.node)?)));
        if let Some((member, by)) = replaced {
            return changed(member, Some(by));
        }
        if let Some(member) = members.iter().find(dead) {
            return changed(member, None);
        }
        // What changes before most have caught up with the last change is caught up with only by all together.
        if !self.most_have_caught_up(base) {
            return None;
        }
        let named = |node: &NodeId| members.iter().any(|member| member.node == *node);
        let newcomer = self.peers.keys().filter(|node| !named(node)).find_map(|node| self.newcomer(node));
        if let Some(newcomer) = newcomer.filter(|_| members.len() < MEMBERS_LIMIT) {
            return changed(&newcomer, Some(newcomer.clone()));
        }
        let silent = |member: &&Share| {
            let since = self.away.get(&member.incarnation);
            since.is_some_and(|since| now.saturating_duration_since(*since) >= self.settings.rebalance_after)
        };
        members.iter().find(silent).and_then(|member| changed(member, None))
    }

    /// Survivors go on alone only when all others are dead for certain, and those that bear their names now, who might know
    /// more, are here and know nothing later.
    fn recovery(&self, base: &Configuration, present: &BTreeSet<u64>) -> Option<Configuration> {
        let knows_nothing_later =
            |successor: &Peer| successor.connected || self.ended.contains(successor.share.incarnation);
        let is_certain = |member: &Share| {
            present.contains(&member.incarnation)
                || (self.ended.contains(member.incarnation)
                    && self.peers.get(&member.node).is_none_or(knows_nothing_later))
        };
        base.members().iter().all(is_certain).then(|| base.survived_by(present).ok()).flatten()
    }

    /// Where all members are dead for certain, those of their names go on that are here; nobody else of them may know more.
    fn succession(&self, base: &Configuration) -> Option<Configuration> {
        base.incarnation_of(&self.me.node)?;
        let mut successors = vec![self.me.clone()];
        for member in base.members().iter().filter(|member| member.node != self.me.node) {
            if !self.ended.contains(member.incarnation) {
                return None;
            }
            match self.peers.get(&member.node) {
                Some(peer) if self.ended.contains(peer.share.incarnation) => {}
                Some(peer) if peer.connected => successors.push(peer.share.clone()),
                Some(_) => return None,
                None => {}
            }
        }
        base.succeeded_by(successors).ok()
    }

    /// A node of this name that is here and no member.
    fn newcomer(&self, node: &NodeId) -> Option<Share> {
        let peer = self.peers.get(node).filter(|peer| peer.connected)?;
        let is_over = self.ended.contains(peer.share.incarnation);
        (!is_over).then(|| peer.share.clone())
    }

    /// The incarnations that are here, this one included.
    pub(super) fn present(&self) -> BTreeSet<u64> {
        let connected = self.peers.values().filter(|peer| peer.connected);
        connected.map(|peer: &Peer| peer.share.incarnation).chain([self.me.incarnation]).collect()
    }
}
