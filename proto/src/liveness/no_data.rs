//! Tells when user data leaves and none comes back, although the peer answers over IKE: then it has perhaps lost the child SA.

use std::time::{Duration, Instant};

/// A watch on one tunnel's user data.
#[derive(Debug)]
pub(super) struct NoData {
    limit: Duration,
    /// When user data first left since it came in last, or since the last verdict.
    unreplied_since: Option<Instant>,
    /// Not after the deadline; possibly before it.
    timer: Option<Instant>,
    is_suspicious: bool,
}

impl NoData {
    /// A watch for silences of `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            unreplied_since: None,
            timer: None,
            is_suspicious: false,
        }
    }

    /// Forgets what was.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.limit);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Takes that user data left; whether a deadline came nearer.
    #[inline]
    pub(super) fn handle_outbound(&mut self, now: Instant) -> bool {
        if self.unreplied_since.is_some() {
            return false;
        }
        self.unreplied_since = Some(now);
        if self.timer.is_some() {
            return false;
        }
        self.timer = now.checked_add(self.limit);
        true
    }

    /// Takes that authenticated data came in.
    #[inline]
    pub(super) fn handle_inbound(&mut self) {
        self.unreplied_since = None;
        self.is_suspicious = false;
    }

    /// Whether the silence was told and goes on.
    #[inline]
    pub(super) fn is_suspicious(&self) -> bool {
        self.is_suspicious
    }

    /// Whether there is a silence to tell: the next one begins with the next user data that leaves. It is none while the peer does not
    /// answer over IKE either, nor when the timer came late by more than a quarter of the limit.
    pub(super) fn handle_timeout(&mut self, now: Instant, peer_answers: bool) -> bool {
        if self.timer.is_none_or(|timer| now < timer) {
            return false;
        }
        self.timer = self
            .unreplied_since
            .and_then(|since| since.checked_add(self.limit));
        let Some(due) = self.timer.filter(|&due| due <= now) else {
            return false;
        };
        self.unreplied_since = None;
        self.timer = None;
        let is_late = now.duration_since(due) > self.limit / 4;
        let tells = peer_answers && !is_late;
        self.is_suspicious |= tells;
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;

    const LIMIT: Duration = Duration::from_secs(8);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn silence_counts_from_the_first_data_that_left_unreplied() {
        let start = epoch();
        let mut watch = NoData::new(LIMIT);
        assert_eq!(watch.poll_timeout(), None);
        assert!(watch.handle_outbound(start));
        watch.handle_inbound();
        assert!(!watch.handle_outbound(start + seconds(5)));
        assert!(!watch.handle_outbound(start + seconds(7)));
        assert!(!watch.handle_timeout(start + LIMIT, true));
        assert_eq!(watch.poll_timeout(), Some(start + seconds(13)));
        assert!(!watch.is_suspicious());
        assert!(watch.handle_timeout(start + seconds(13), true));
        assert!(watch.is_suspicious());
    }

    #[test]
    fn a_silence_is_told_again_only_when_data_goes_on_leaving() {
        let start = epoch();
        let mut watch = NoData::new(LIMIT);
        watch.handle_outbound(start);
        assert!(watch.handle_timeout(start + LIMIT, true));
        assert_eq!(watch.poll_timeout(), None);
        let again = start + seconds(9);
        assert!(watch.handle_outbound(again));
        assert_eq!(watch.poll_timeout(), Some(again + LIMIT));
        assert!(watch.handle_timeout(again + LIMIT, true));
    }

    #[test]
    fn nothing_is_due_once_data_came_in_and_none_left_since() {
        let start = epoch();
        let mut watch = NoData::new(LIMIT);
        watch.handle_outbound(start);
        watch.handle_inbound();
        assert!(!watch.handle_timeout(start + LIMIT, true));
        assert_eq!(watch.poll_timeout(), None);
    }

    #[test]
    fn neither_a_peer_without_answer_over_ike_nor_a_late_timer_is_a_silence() {
        let start = epoch();
        for (at, peer_answers) in [(LIMIT, false), (LIMIT * 5 / 4 + seconds(1), true)] {
            let mut watch = NoData::new(LIMIT);
            watch.handle_outbound(start);
            assert!(!watch.handle_timeout(start + at, peer_answers));
            assert!(!watch.is_suspicious());
            assert!(watch.handle_outbound(start + at), "the next one begins");
        }
    }
}
