//! How long a peer may stay silent while answers are due.

use std::time::Duration;

use tokio::time::Instant;

/// A peer that owes answers and gives none for so long is taken for gone. Each frame is answered, so that a batch in many parts
/// may take as long as it needs while parts get through.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Frames that were sent and not answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    unanswered: usize,
    since: Option<Instant>,
}

impl Patience {
    /// A frame is being sent.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.unanswered == 0 {
            self.since = Some(now);
        }
        self.unanswered += 1;
    }

    /// An answer came.
    pub(super) fn answered(&mut self, now: Instant) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.since = (self.unanswered > 0).then_some(now);
    }

    /// When the next answer must have come; `None` while none is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + ANSWER_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_now_and_then_may_take_its_time_and_a_silent_one_may_not() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert_eq!(patience.deadline(), None);
        let at = |s| start + Duration::from_secs(s);
        patience.sent(at(0));
        patience.sent(at(10));
        assert_eq!(patience.deadline(), Some(at(15)), "what is sent later gives no respite");
        patience.answered(at(14));
        assert_eq!(patience.deadline(), Some(at(29)));
        patience.answered(at(28));
        assert_eq!(patience.deadline(), None, "an idle link is never overdue");
        patience.sent(at(100));
        assert_eq!(patience.deadline(), Some(at(115)));
    }
}
