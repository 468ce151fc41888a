//! Checks of the numbered configuration that nodes agree on.

use std::time::Duration;

use rumour::placement::RingEpoch;

use super::Cluster;

/// How long agreeing on a few changes may take once all nodes reach each other and it is clear what to change.
const AGREEMENT_BOUND: Duration = Duration::from_secs(30);

impl Cluster {
    /// Checks that of each epoch there is one configuration, whichever nodes know of it.
    pub(super) fn inspect_configurations(&self) {
        self.with_running(|name, running| {
            let Some(known) = running.node.configuration() else { return };
            let mut configurations = self.shared.configurations.lock();
            let other =
                configurations.entry((known.lineage(), known.epoch())).or_insert_with(|| known.clone());
            if *other != known {
                let detail = format!("{name} knows {known:?}, another node {other:?}");
                self.world().violation("one configuration of each epoch", detail);
            }
        });
    }

    /// Number and generation of the latest configuration that was seen.
    pub fn latest_epoch(&self) -> Option<RingEpoch> {
        self.shared.configurations.lock().keys().map(|(_, epoch)| *epoch).max()
    }

    /// Waits until all running nodes know one configuration, which names them and nobody else. That takes no longer than it takes to
    /// give up those that are gone.
    pub async fn check_configuration(&self) {
        let tuning = self.tuning();
        let bound = tuning.rebalance_after + tuning.suspicion * 2 + AGREEMENT_BOUND;
        let is_agreed = || {
            let (mut all_named, mut known) = (true, Vec::new());
            self.with_running(|_, running| {
                let status = running.node.status().configuration;
                all_named &= status.is_some_and(|configuration| configuration.is_member);
                known.push(running.node.configuration());
            });
            let same = known.windows(2).all(|pair| pair[0] == pair[1]);
            let members = known.first().and_then(Option::as_ref).map(|known| known.members().len());
            all_named && same && members == Some(known.len())
        };
        if self.wait_until(bound, is_agreed).await.is_none() {
            let mut detail = format!("not within {} s:", bound.as_secs());
            self.with_running(|name, running| {
                let known = running.node.configuration();
                let known = known.map(|known| {
                    let members =
                        known.members().iter().map(|member| (member.node.to_string(), member.incarnation));
                    (known.lineage(), known.epoch().to_string(), members.collect::<Vec<_>>())
                });
                detail += &format!(" {name} knows {known:?};");
            });
            self.world().violation("all that run are members, and nobody else", detail);
        }
    }
}
