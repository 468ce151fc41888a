//! Carrying what nodes say to each other about the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IteratorRandom;
use rumour_crdt::ActorId;
use rumour_transport::{NodeId, Peer, Transport, codec};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Runtime;
use crate::agreement::{Reply, Request};
use crate::council::{Heard, Standing};
use crate::error::NodeError;
use crate::events::Event;
use crate::membership::MemberState;
use crate::message::kind;

const TICK: Duration = Duration::from_millis(250);
/// One in so many ticks a peer is told where this node stands, in case that the last time was lost.
const TICKS_TO_REMIND: u64 = 20;
/// How long a node of another cluster stays connected.
const FAREWELL: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a peer is not let in: both its log and this node's say so.
const FOREIGN: &str = "it belongs to a cluster that was founded apart from this one: the first node of each was started without seeds; \
                       stop the nodes of one and start them anew with seeds in the other";

impl Runtime {
    pub(super) async fn council_loop(self: Arc<Self>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for ticks in 0_u64.. {
            tick.tick().await;
            let alive = {
                let view = self.view.lock();
                let alive = view.peers().filter(|member| member.state != MemberState::Down);
                alive.map(|member| member.incarnation).collect()
            };
            let (now, now_ms) = (Instant::now(), self.engine.clock.wall_ms());
            let (requests, heard) = {
                let mut rng = self.rng.lock();
                self.engine.council.lock().tick(&alive, now, now_ms, &mut *rng)
            };
            self.configuration_heard(heard);
            self.propose(requests);
            self.campaign();
            self.catch_up();
            if ticks % TICKS_TO_REMIND == 0 {
                let peers = self.transport().map(Transport::peers).unwrap_or_default();
                if let Some(peer) = peers.into_iter().choose(&mut *self.rng.lock()) {
                    self.tell_standing(peer);
                }
            }
        }
    }

    /// Tells a peer where this node stands, and hears the same of it.
    pub(super) async fn meet(self: &Arc<Self>, peer: &Peer) -> Result<Heard, String> {
        let standing = self.standing(peer.node(), peer.info().incarnation);
        let theirs: Standing = ask(peer, kind::STANDING, &standing).await?;
        self.stands(peer, theirs)
    }

    /// What to tell an incarnation of a peer. The clock is read last: what was taken in by one who did not stand there yet is older.
    pub(super) fn standing(&self, to: &NodeId, incarnation: u64) -> Standing {
        let standing = self.engine.council.lock().standing(to, incarnation);
        Standing { clock: self.engine.clock.send_time(), ..standing }
    }

    /// A peer said where it stands, asked or by itself.
    pub(super) fn stands(self: &Arc<Self>, peer: &Peer, standing: Standing) -> Result<Heard, String> {
        let info = peer.info();
        if (&standing.share.node, standing.share.incarnation) != (&info.node, info.incarnation) {
            return Err("it speaks for another node than itself".to_owned());
        }
        if !standing.share.is_valid() {
            return Err("it is nothing that a configuration may name".to_owned());
        }
        if !peer.is_open() {
            return Err("the connection is closed".to_owned());
        }
        let heard = self.engine.council.lock().met(standing, self.engine.clock.wall_ms());
        match heard {
            Heard::Forgotten => self.fail(&NodeError::Forgotten { by: info.node.clone() }),
            Heard::Foreign => {}
            Heard::News | Heard::Nothing => {
                let events = self.view.lock().readmit(info, Instant::now());
                self.view_changed(events);
            }
        }
        self.engine.seats_changed.notify_waiters();
        self.configuration_heard(heard);
        Ok(heard)
    }

    /// A node of another cluster: nothing goes to it, and it is not listed. It has a moment to find out the same before the
    /// connection is closed.
    pub(super) fn turn_away(self: &Arc<Self>, peer: &Peer) {
        let info = peer.info();
        let error = format!("{} is turned away: {FOREIGN}", info.node);
        let mut rng = self.rng.lock();
        for addr in BTreeSet::from([info.addr, peer.remote_addr()]) {
            self.dial_plan.lock().estranged(addr, error.clone(), Instant::now(), &mut *rng);
        }
        drop(rng);
        self.serving_peers.lock().remove(&info.node);
        let events = self.view.lock().dismiss(info);
        if !events.is_empty() {
            tracing::error!(peer = %info.node, addr = %info.addr, "turned away: {FOREIGN}");
        }
        self.view_changed(events);
        self.engine.counters.refused_clusters.add(1);
        let peer = peer.clone();
        self.spawn(async move {
            sleep(FAREWELL).await;
            peer.close(FOREIGN);
        });
    }

    /// Looks whether this node has caught up with the configuration, and asks those for all that they hold from whom it may.
    pub(super) fn catch_up(self: &Arc<Self>) {
        let asked = self.engine.watermarks.lock().asked_until();
        let given = |incarnation| asked.get(&ActorId::new(incarnation)).copied().unwrap_or_default();
        let (has, known, from) = {
            let mut council = self.engine.council.lock();
            (council.catch_up(given), council.seat().known, council.to_catch_up_from(given))
        };
        if has {
            tracing::info!(epoch = known.map(|(_, epoch)| epoch.number), "caught up with the configuration");
            self.engine.seats_changed.notify_waiters();
            self.tell_standing_to_all();
        }
        from.iter().for_each(|member| self.kick_sync(&member.node));
    }

    pub(super) fn configuration_heard(self: &Arc<Self>, heard: Heard) {
        if heard != Heard::News {
            return;
        }
        self.engine.seats_changed.notify_waiters();
        let change = self.engine.council.lock().history().last().cloned();
        if let Some(change) = change {
            tracing::info!(
                number = change.number,
                generation = change.generation,
                members = change.members.len(),
                "a new configuration"
            );
            self.emit(Event::Configured(change));
        }
        self.catch_up();
        self.tell_standing_to_all();
    }

    fn tell_standing_to_all(self: &Arc<Self>) {
        for peer in self.transport().map(Transport::peers).unwrap_or_default() {
            self.tell_standing(peer);
        }
    }

    fn tell_standing(self: &Arc<Self>, peer: Peer) {
        let runtime = self.clone();
        self.spawn(async move {
            // What is lost is told again soon.
            if runtime.meet(&peer).await == Ok(Heard::Foreign) {
                runtime.turn_away(&peer);
            }
        });
    }

    fn propose(self: &Arc<Self>, requests: Vec<Request>) {
        for request in requests {
            let Some(peer) = self.incarnation(request.to) else { continue };
            let runtime = self.clone();
            self.spawn(async move {
                let reply = ask::<_, Reply>(&peer, kind::AGREE, &request).await;
                // Who does not answer is asked again.
                let Ok(reply) = reply else { return };
                let (now, now_ms) = (Instant::now(), runtime.engine.clock.wall_ms());
                let (next, heard) = {
                    let mut rng = runtime.rng.lock();
                    runtime.engine.council.lock().hear(&request, reply, now, now_ms, &mut *rng)
                };
                runtime.configuration_heard(heard);
                runtime.propose(next);
            });
        }
    }

    /// Asks those that know no configuration whether this node may make the first one, if it is its turn.
    fn campaign(self: &Arc<Self>) {
        let electors = self.engine.council.lock().electors();
        let Some((candidacy, electors)) = electors else { return };
        for elector in electors {
            let Some(peer) = self.incarnation(elector.incarnation) else { continue };
            let runtime = self.clone();
            self.spawn(async move {
                let Ok(yes) = ask::<_, bool>(&peer, kind::FOUND, &candidacy).await else { return };
                let now_ms = runtime.engine.clock.wall_ms();
                let heard =
                    runtime.engine.council.lock().consented(candidacy, elector.incarnation, yes, now_ms);
                runtime.configuration_heard(heard);
            });
        }
    }

    fn incarnation(&self, incarnation: u64) -> Option<Peer> {
        self.transport()?.peers().into_iter().find(|peer| peer.info().incarnation == incarnation)
    }

    /// Whether a peer said that it belongs here: nothing of the data goes to one that has not.
    pub(super) fn is_met(&self, node: &NodeId) -> bool {
        self.engine.council.lock().is_met(node)
    }
}

async fn ask<M: Serialize, R: DeserializeOwned>(peer: &Peer, kind: u8, message: &M) -> Result<R, String> {
    let body = codec::encode(message).map_err(|error| error.to_string())?;
    let reply = peer.request(kind, body, REQUEST_TIMEOUT).await.map_err(|error| error.to_string())?;
    codec::decode(&reply).map_err(|error| error.to_string())
}
