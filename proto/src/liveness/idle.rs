//! Tells when nothing was sent for an interval: for NAT keepalives (RFC 3948 section 4), dummies and warm packets.
//!
//! The deadline stays where it is while packets leave, and moves only when it is reached: noting a packet is one store.

use std::time::{Duration, Instant};

/// An interval that starts anew with each packet sent.
#[derive(Clone, Copy, Debug)]
pub struct IdleTimer {
    interval: Duration,
    last_sent: Instant,
    due: Option<Instant>,
}

impl IdleTimer {
    /// An interval that starts at `now`; zero is never over, nor is one beyond the end of the clock.
    #[must_use]
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            last_sent: now,
            due: end_of(interval, now),
        }
    }

    /// Takes that a packet left.
    #[inline]
    pub fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// When [`Self::handle_timeout`] is due: not after the interval's end, possibly before it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether nothing was sent for an interval; then the next one starts at `now`.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        let end = end_of(self.interval, self.last_sent);
        let is_over = end.is_some_and(|end| end <= now);
        if is_over {
            self.last_sent = now;
        }
        self.due = end_of(self.interval, self.last_sent);
        is_over
    }
}

fn end_of(interval: Duration, start: Instant) -> Option<Instant> {
    if interval.is_zero() {
        return None;
    }
    start.checked_add(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_fires_exactly_when_nothing_was_sent_for_the_interval(
            interval in 1_u64..50, sends in prop::collection::btree_set(1_u64..1_000, 0..60),
        ) {
            let start = epoch();
            let at = |ms| start + Duration::from_millis(ms);
            let mut timer = IdleTimer::new(Duration::from_millis(interval), start);
            let mut quiet_since = 0;
            for now in 1..1_000 {
                let mut is_over = false;
                if timer.poll_timeout().is_some_and(|due| due <= at(now)) {
                    is_over = timer.handle_timeout(at(now));
                }
                prop_assert_eq!(is_over, now - quiet_since == interval, "at {} ms", now);
                prop_assert!(timer.poll_timeout().is_some_and(|due| due > at(now)));
                if sends.contains(&now) {
                    timer.note_sent(at(now));
                }
                if is_over || sends.contains(&now) {
                    quiet_since = now;
                }
            }
        }
    }

    #[test]
    fn a_late_turn_is_one_packet_and_the_interval_starts_there() {
        let start = epoch();
        let second = Duration::from_secs(1);
        let mut timer = IdleTimer::new(second, start);
        assert!(timer.handle_timeout(start + second * 10));
        assert!(!timer.handle_timeout(start + second * 10));
        assert_eq!(timer.poll_timeout(), Some(start + second * 11));
    }

    #[test]
    fn an_interval_of_zero_or_without_end_is_never_over() {
        let start = epoch();
        for interval in [Duration::ZERO, Duration::MAX] {
            let mut timer = IdleTimer::new(interval, start);
            assert_eq!(timer.poll_timeout(), None);
            assert!(!timer.handle_timeout(start + Duration::from_secs(1_000_000)));
        }
    }
}
