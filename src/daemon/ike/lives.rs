//! How long the IKE SAs of a tunnel live: one whose peer lets go of each soon after it was made is not asked for the next at the same pace.

use std::time::{Duration, Instant};

use super::RETRY;

/// An IKE SA that ends sooner than this ends for a reason that may be there again.
const SHORT: Duration = Duration::from_secs(20);
/// The pause doubles so often at most.
const DOUBLINGS: u32 = 5;

/// The lives of a tunnel's IKE SAs.
#[derive(Debug, Default)]
pub(super) struct Lives {
    since: Option<Instant>,
    /// Short ones in a row.
    short: u32,
}

impl Lives {
    /// There is an IKE SA where none was.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// It ended by the peer's doing: how long to wait before the next is asked for.
    pub(super) fn end(&mut self, now: Instant) -> Duration {
        let lived = self
            .since
            .take()
            .map(|since| now.saturating_duration_since(since));
        self.short = if lived.is_some_and(|lived| lived < SHORT) {
            self.short.saturating_add(1)
        } else {
            0
        };
        RETRY * (1 << self.short.saturating_sub(1).min(DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_deletes_each_ike_sa_at_once_is_asked_less_and_less_often() {
        let mut lives = Lives::default();
        let mut now = Instant::now();
        let mut live_for = |seconds| {
            lives.begin(now);
            now += Duration::from_secs(seconds);
            lives.end(now).as_secs()
        };
        let pauses: Vec<_> = (0..8).map(|_| live_for(1)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
        assert_eq!(live_for(20), 1);
        assert_eq!(live_for(1), 1);
        assert_eq!(live_for(1), 2);
    }
}
