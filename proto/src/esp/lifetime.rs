//! How long a security association may be used (RFC 4301 section 4.4.2.1): by packets, octets and time.

use std::time::{Duration, Instant};

/// Bounds of one association's use; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: Option<u64>,
    /// Octets of the payloads, TFC padding included.
    pub octets: Option<u64>,
    /// Time since the association was made.
    pub time: Option<Duration>,
}

impl Limits {
    fn packets_octets(&self) -> (u64, u64) {
        (
            self.packets.unwrap_or(u64::MAX),
            self.octets.unwrap_or(u64::MAX),
        )
    }
}

/// What one association has carried, against its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    packets: u64,
    octets: u64,
    hard_packets: u64,
    hard_octets: u64,
    soft: Limits,
    soft_at: Option<Instant>,
    hard_at: Option<Instant>,
    /// The soft bound was reported.
    is_old: bool,
    /// A packet did not fit into what a hard bound left: the next one that does is refused too.
    is_spent: bool,
}

impl Lifetime {
    /// An association that starts at `now`.
    #[must_use]
    pub fn new(soft: Limits, hard: Limits, now: Instant) -> Self {
        let (hard_packets, hard_octets) = hard.packets_octets();
        Self {
            packets: 0,
            octets: 0,
            hard_packets,
            hard_octets,
            soft,
            soft_at: soft.time.and_then(|time| now.checked_add(time)),
            hard_at: hard.time.and_then(|time| now.checked_add(time)),
            is_old: false,
            is_spent: false,
        }
    }

    /// Counts a packet of that many octets; false if it would pass a hard bound, and then it is not counted and the association is over.
    #[inline]
    pub fn take(&mut self, octets: usize) -> bool {
        let after = self.octets.saturating_add(octets as u64);
        let is_within =
            !self.is_spent && self.packets < self.hard_packets && after <= self.hard_octets;
        if is_within {
            self.packets += 1;
            self.octets = after;
        }
        self.is_spent |= !is_within;
        is_within
    }

    /// Whether a hard bound is reached, or was in the way of a packet; the packets do not look at the clock.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.is_spent
            || self.hard_at.is_some_and(|at| at <= now)
            || self.packets >= self.hard_packets
            || self.octets >= self.hard_octets
    }

    /// When a bound of time is reached next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let soft_at = self.soft_at.filter(|_| !self.is_old);
        [soft_at, self.hard_at].into_iter().flatten().min()
    }

    /// Whether a soft bound was passed since the last call; true once.
    pub fn has_aged(&mut self, now: Instant) -> bool {
        let (packets, octets) = self.soft.packets_octets();
        let is_old = self.packets >= packets
            || self.octets >= octets
            || self.soft_at.is_some_and(|at| at <= now);
        let aged = is_old && !self.is_old;
        self.is_old |= is_old;
        aged
    }

    /// Packets and octets so far.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;

    fn limits(packets: Option<u64>, octets: Option<u64>, seconds: Option<u64>) -> Limits {
        Limits {
            packets,
            octets,
            time: seconds.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_packet_past_a_hard_bound_is_refused_and_not_counted() {
        let now = epoch();
        let mut lifetime = Lifetime::new(Limits::default(), limits(Some(3), Some(250), None), now);
        assert!(lifetime.take(100) && lifetime.take(100));
        assert!(!lifetime.take(51));
        assert!(!lifetime.take(50) && !lifetime.take(0));
        assert_eq!(lifetime.used(), (2, 200));
        assert!(lifetime.is_over(now));
    }

    #[test]
    fn an_association_that_had_to_refuse_a_packet_is_over_below_its_bound() {
        let now = epoch();
        let mut lifetime = Lifetime::new(Limits::default(), limits(None, Some(100), None), now);
        assert!(lifetime.take(90) && !lifetime.is_over(now));
        assert!(!lifetime.take(11) && lifetime.is_over(now));
        assert_eq!(lifetime.used(), (1, 90));
    }

    #[test]
    fn each_soft_bound_is_told_once() {
        let now = epoch();
        let second = Duration::from_secs(1);
        for soft in [
            limits(Some(1), None, None),
            limits(None, Some(10), None),
            limits(None, None, Some(1)),
        ] {
            let mut lifetime = Lifetime::new(soft, Limits::default(), now);
            assert!(!lifetime.has_aged(now));
            assert!(lifetime.take(10));
            assert!(lifetime.has_aged(now + second));
            assert!(!lifetime.has_aged(now + 2 * second));
            assert!(!lifetime.is_over(now + 100 * second));
        }
    }

    #[test]
    fn bounds_of_time_come_in_order() {
        let now = epoch();
        let (soft, hard) = (limits(None, None, Some(5)), limits(None, None, Some(9)));
        let mut lifetime = Lifetime::new(soft, hard, now);
        assert_eq!(lifetime.poll_timeout(), Some(now + Duration::from_secs(5)));
        assert!(lifetime.has_aged(now + Duration::from_secs(5)));
        assert_eq!(lifetime.poll_timeout(), Some(now + Duration::from_secs(9)));
        assert!(!lifetime.is_over(now + Duration::from_secs(8)));
        assert!(lifetime.is_over(now + Duration::from_secs(9)));
    }
}
