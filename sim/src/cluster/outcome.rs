//! What counters and collections must show once everything is healed.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rumour::Purpose;
use rumour_crdt::{ActorId, Entry, Stamp};

use super::Cluster;
use crate::check::{Contributions, Of, Replica, Shown, show, shown_of};

impl Cluster {
    /// Expiries that took effect, counted at every running node.
    pub(crate) fn expired(&self) -> u64 {
        let mut expired = 0;
        self.with_running(|_, running| expired += running.watch.replica(Replica::expired));
        expired
    }

    /// Checks that the nodes, being equal, show what was contributed: exactly that when no memory was lost; otherwise
    /// at least what the running incarnations contributed and nothing that nobody did. What was evicted before peers had it
    /// need not be there.
    pub(super) fn check_contributions(&self) {
        let crashed = self.lost_entries() > 0;
        let clocks_were_wrong = self.shared.clocks_were_wrong.load(Ordering::Relaxed);
        let (mut survivors, mut latest_ms) = (BTreeSet::new(), 0);
        self.with_running(|_, running| {
            survivors.extend(running.watch.replica(Replica::actor));
            latest_ms = running.node.engine().now_ms().max(latest_ms);
        });
        let ledger = self.ledger().lock();
        let (contributions, flushed) = (ledger.contributions(), ledger.flushed());
        self.with_running(|name, running| {
            let now_ms = running.node.engine().now_ms();
            let held: std::collections::BTreeMap<Bytes, Entry> = running.node.export().into_iter().collect();
            // What is contributed after a key was forgotten begins anew, which the books of its epochs do not tell.
            for key in contributions.keys().filter(|key| !ledger.is_forgotten(key)) {
                if running.node.engine().lacks(key, Purpose::Read) {
                    continue;
                }
                let entry = held.get(key);
                let shown = entry.map(|entry| shown_of(entry, now_ms)).unwrap_or_default();
                let wrong = if ledger.is_lost(key) {
                    possible(contributions, key, entry, &shown, &BTreeSet::new(), flushed, now_ms)
                } else if crashed {
                    possible(contributions, key, entry, &shown, &survivors, flushed, now_ms)
                } else {
                    exact(contributions, key, &shown, flushed, now_ms..=latest_ms, clocks_were_wrong)
                };
                if let Err(expected) = wrong {
                    let detail = format!(
                        "{name}: {} under {:?} shows {shown:?}, expected {expected}",
                        show(key),
                        entry.map(Entry::stamp)
                    );
                    self.world().violation("contributions add up", detail);
                    break;
                }
            }
        });
    }
}

/// No memory was lost: the highest epoch that was ever written under holds all that was contributed to it. `now_ms`: by the node's
/// clock, up to the one that is furthest ahead.
fn exact(
    contributions: &Contributions,
    key: &[u8],
    shown: &Shown,
    flushed: Stamp,
    now_ms: RangeInclusive<u64>,
    clocks_were_wrong: bool,
) -> Result<(), String> {
    let Some(epoch) = contributions.epoch(key, Of::Everyone, flushed) else {
        return if shown.is_empty() { Ok(()) } else { Err("nothing".to_owned()) };
    };
    let expected = contributions.shown(key, epoch, Of::Everyone, *now_ms.start());
    // By another node's clock it has ended: nobody brings it to this one any more.
    let over = shown.is_empty() && contributions.shown(key, epoch, Of::Everyone, *now_ms.end()).is_empty();
    // A node whose clock was ahead let the key go; what was contributed elsewhere after that went with it.
    let ended_early = clocks_were_wrong && shown.is_empty() && contributions.ends(key, epoch);
    if *shown == expected || ended_early || over {
        Ok(())
    } else {
        Err(format!("{expected:?} under {epoch}"))
    }
}

/// Memory was lost: what a survivor contributed and nobody removed must be there, and nothing that was never contributed.
fn possible(
    contributions: &Contributions,
    key: &[u8],
    entry: Option<&Entry>,
    shown: &Shown,
    survivors: &BTreeSet<ActorId>,
    flushed: Stamp,
    now_ms: u64,
) -> Result<(), String> {
    let of = Of::Only(survivors);
    let epoch = entry.map(Entry::stamp);
    let least = contributions.epoch(key, of, flushed);
    if epoch < least {
        // Nodes are equal as well where only some hold that a key is dead.
        let dead = least.is_some_and(|least| contributions.shown(key, least, of, now_ms).is_empty());
        return match shown.is_empty() && dead {
            true => Ok(()),
            false => Err(format!("an epoch of at least {least:?}")),
        };
    }
    let Some(epoch) = epoch else { return Ok(()) };
    let wanted = contributions.shown(key, epoch, of, now_ms);
    let all = contributions.possible(key, epoch);
    let number = |text: &Bytes| std::str::from_utf8(text).ok().and_then(|text| text.parse::<i128>().ok());
    if let Some((name, _)) = wanted.iter().find(|(name, _)| !shown.contains_key(*name)) {
        // What ended early by a wrong clock, or whose expiry was lost with its holder, may be gone.
        return if contributions.ends(key, epoch) {
            Ok(())
        } else {
            Err(format!("{} to be there", show(name)))
        };
    }
    for (name, value) in shown {
        let Some(most) = all.get(name) else { return Err(format!("{} to be put by somebody", show(name))) };
        if let (Some(most), Some(value)) = (most, number(value)) {
            let least = wanted.get(name).and_then(number).unwrap_or(i128::MIN);
            if value > *most || value < least {
                return Err(format!("{} to lie in {least}..={most}", show(name)));
            }
        }
    }
    Ok(())
}
