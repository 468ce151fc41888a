//! The running node's part of its status.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Runtime;
use crate::membership::Member;
use crate::status::{MemberStatus, SeedStatus, Status};

impl Runtime {
    pub(super) fn register_status(self: &Arc<Self>) {
        let runtime = Arc::downgrade(self);
        self.engine.status.register(move |status| {
            if let Some(runtime) = runtime.upgrade() {
                runtime.fill_status(status);
            }
        });
    }

    fn fill_status(&self, status: &mut Status) {
        status.uptime_s = self.started.elapsed().as_secs_f64();
        status.sync.last_s = self.syncing.lock().last.map(|last| last.elapsed().as_secs_f64());
        let mut clocks = BTreeMap::new();
        for clock in self.engine.clock.offs() {
            if clock.node.is_none() {
                status.clock.off_ms = Some(clock.off_ms);
            } else {
                status.clock.peers += 1;
            }
            clocks.insert(clock.node.unwrap_or_else(|| self.me.node.clone()), (clock.off_ms, clock.faulty));
        }
        status.members = self
            .members()
            .iter()
            .map(|member| self.member_status(member, clocks.get(&member.node)))
            .collect();
        status.seeds = self.seeds.iter().map(|seed| self.seed_status(seed)).collect();
        if let Some(transport) = self.transport() {
            let refused = transport.stats().refused.by_reason();
            status.refused.extend(refused.into_iter().map(|(reason, count)| (reason.to_owned(), count)));
        }
    }

    fn member_status(&self, member: &Member, clock: Option<&(i64, bool)>) -> MemberStatus {
        MemberStatus {
            node: member.node.clone(),
            addr: member.addr.to_string(),
            state: member.state,
            incarnation: format!("{:016x}", member.incarnation),
            queued: self.engine.fanout.queued_for(&member.node) as u64,
            clock_off_ms: clock.map(|(off_ms, _)| *off_ms),
            clock_fault: clock.is_some_and(|(_, faulty)| *faulty),
        }
    }

    fn seed_status(&self, seed: &super::Seed) -> SeedStatus {
        let addr = *seed.addr.lock();
        let connected = |addr| self.transport().is_some_and(|transport| transport.peer_at(addr).is_some());
        let reached = addr.is_some_and(|addr| connected(addr) || self.own_addrs.lock().contains(&addr));
        let trouble = addr.and_then(|addr| self.dial_plan.lock().trouble(addr));
        let (failures, error) = match trouble {
            Some((failures, error)) if !reached => (failures, Some(error)),
            _ => (0, seed.error.lock().clone()),
        };
        SeedStatus { seed: seed.text.clone(), reached, failures, error }
    }
}
