//! What one end of a sync session will have shown to the other.

use rumour_crdt::{ActorId, Hlc};

/// One end of a session, and what the other end will have seen of it.
#[derive(Default)]
pub(super) struct Side {
    /// When the session began by this end's clock, as long as nothing is left out that it held then; else just before the first
    /// thing that is.
    pub(super) until: Hlc,
    /// The same, but what it had evicted already does not count as left out.
    pub(super) asked: Hlc,
    /// What it held of others when the session began.
    pub(super) held: Vec<(ActorId, Hlc)>,
}

impl Side {
    pub(super) fn new(clock: Hlc, held: Vec<(ActorId, Hlc)>) -> Self {
        Self { until: clock, asked: clock, held }
    }

    /// An entry with this stamp is left out: nobody held it before that time of its own clock.
    pub(super) fn leave_out(&mut self, stamp: Hlc) {
        let before = Hlc::from_bits(stamp.bits().saturating_sub(1));
        self.until = self.until.min(before);
        self.asked = self.asked.min(before);
        self.held.iter_mut().for_each(|(_, held)| *held = (*held).min(before));
    }

    /// An entry is left to replication. Its oldest part may be of any time, and a watermark is not worth looking for it: that the
    /// other end has seen anything shows in the next session.
    pub(super) fn hand_over(&mut self) {
        self.leave_out(Hlc::ZERO);
    }

    /// An entry that the other end knows nothing of was evicted here: it has not seen what this end held, nor what this end had
    /// seen of others. Some other node may bring it the entry yet.
    pub(super) fn evicted(&mut self) {
        let asked = self.asked;
        self.leave_out(Hlc::ZERO);
        self.asked = asked;
    }
}
