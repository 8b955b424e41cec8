//! Whether a path takes UDP_SEGMENT: switched off when the kernel refuses it at a legal size, and tried again after a while.

use std::time::{Duration, Instant};

use rustix::io::Errno;

/// Datagrams in one message at most, in kernels of any age (UDP_MAX_SEGMENTS).
pub(super) const MAX_SEGMENTS: usize = 64;
/// Payload octets of one message at most: an IPv4 packet less its headers.
pub(super) const MAX_OCTETS: usize = 65_507;
/// How long segmentation stays off, and how long a first failure is remembered.
const PAUSE: Duration = Duration::from_secs(60);

/// The verdict on one path.
#[derive(Debug)]
pub(super) struct Gso {
    state: State,
    fallbacks: u64,
    change: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not wanted, or the device does not segment.
    Unused,
    On,
    /// It failed once, until this time.
    Suspect(Instant),
    /// It is off until this time.
    Off(Instant),
}

impl Gso {
    pub(super) fn new(used: bool) -> Self {
        Self {
            state: if used { State::On } else { State::Unused },
            fallbacks: 0,
            change: None,
        }
    }

    /// Whether trains are segmented now.
    pub(super) fn segments(&self) -> bool {
        matches!(self.state, State::On | State::Suspect(_))
    }

    /// Whether to segment; it is tried again once its pause is over.
    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        match self.state {
            State::Unused => false,
            State::On | State::Suspect(_) => true,
            State::Off(until) if now < until => false,
            State::Off(_) => {
                self.state = State::On;
                self.change = Some(true);
                true
            }
        }
    }

    /// Whether segmentation may be what the kernel refused a train for, so that its datagrams are to be sent singly.
    pub(super) fn may_be_at_fault(errno: Errno) -> bool {
        matches!(errno, Errno::MSGSIZE | Errno::INVAL | Errno::IO)
    }

    /// A train within [`MAX_SEGMENTS`] and [`MAX_OCTETS`] was refused for a reason that [`Self::may_be_at_fault`] names; `resent` says
    /// whether all its datagrams went out singly.
    ///
    /// If they did not, their size or the way is at fault. If they did, a second time counts, except for EIO, by which the kernel says
    /// that the way cannot segment.
    pub(super) fn refused(&mut self, now: Instant, errno: Errno, resent: bool) {
        match self.state {
            State::Unused | State::Off(_) => {}
            State::On | State::Suspect(_) if errno == Errno::IO => self.switch_off(now),
            State::On | State::Suspect(_) if !resent => {}
            State::Suspect(until) if now < until => self.switch_off(now),
            State::On | State::Suspect(_) => self.state = State::Suspect(now + PAUSE),
        }
    }

    fn switch_off(&mut self, now: Instant) {
        self.state = State::Off(now + PAUSE);
        self.fallbacks += 1;
        self.change = Some(false);
    }

    pub(super) fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    pub(super) fn take_change(&mut self) -> Option<bool> {
        self.change.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn an_unused_one_stays_unused() {
        let (mut gso, now) = (Gso::new(false), Instant::now());
        gso.refused(now, Errno::IO, true);
        assert!(!gso.is_on(now) && !gso.is_on(now + PAUSE));
        assert_eq!((gso.fallbacks(), gso.take_change()), (0, None));
    }

    #[test]
    fn only_errors_of_size_argument_and_device_may_come_from_segmentation() {
        for errno in [Errno::MSGSIZE, Errno::INVAL, Errno::IO] {
            assert!(Gso::may_be_at_fault(errno));
        }
        for errno in [Errno::AGAIN, Errno::NOBUFS, Errno::NETUNREACH, Errno::PERM] {
            assert!(!Gso::may_be_at_fault(errno));
        }
    }

    #[test]
    fn the_second_failure_at_a_legal_size_switches_it_off() {
        let (mut gso, now) = (Gso::new(true), Instant::now());
        gso.refused(now, Errno::INVAL, true);
        assert!(gso.is_on(now));
        assert_eq!((gso.fallbacks(), gso.take_change()), (0, None));
        gso.refused(now + TICK, Errno::MSGSIZE, true);
        assert!(!gso.is_on(now + TICK));
        assert_eq!((gso.fallbacks(), gso.take_change()), (1, Some(false)));
        assert_eq!(gso.take_change(), None);
    }

    #[test]
    fn datagrams_that_are_refused_singly_too_are_no_failure_of_it() {
        let (mut gso, now) = (Gso::new(true), Instant::now());
        for tick in 0..10 {
            gso.refused(now + tick * TICK, Errno::MSGSIZE, false);
        }
        gso.refused(now + 10 * TICK, Errno::MSGSIZE, true);
        assert!(gso.is_on(now + 10 * TICK));
        assert_eq!(gso.fallbacks(), 0);
    }

    #[test]
    fn failures_further_apart_than_the_pause_are_each_a_first_one() {
        let (mut gso, now) = (Gso::new(true), Instant::now());
        gso.refused(now, Errno::INVAL, true);
        gso.refused(now + PAUSE, Errno::INVAL, true);
        assert!(gso.is_on(now + PAUSE));
        gso.refused(now + PAUSE + TICK, Errno::INVAL, true);
        assert!(!gso.is_on(now + PAUSE + TICK));
    }

    #[test]
    fn eio_switches_it_off_at_once_whatever_became_of_the_datagrams() {
        for resent in [false, true] {
            let (mut gso, now) = (Gso::new(true), Instant::now());
            gso.refused(now, Errno::IO, resent);
            assert!(!gso.is_on(now));
            assert_eq!((gso.fallbacks(), gso.take_change()), (1, Some(false)));
        }
    }

    #[test]
    fn it_is_tried_again_after_the_pause_and_then_judged_afresh() {
        let (mut gso, now) = (Gso::new(true), Instant::now());
        gso.refused(now, Errno::IO, true);
        gso.take_change();
        assert!(!gso.is_on(now + PAUSE - TICK));
        assert_eq!(gso.take_change(), None);
        assert!(gso.is_on(now + PAUSE));
        assert_eq!(gso.take_change(), Some(true));
        gso.refused(now + PAUSE, Errno::INVAL, true);
        assert!(gso.is_on(now + PAUSE));
        gso.refused(now + PAUSE + TICK, Errno::INVAL, true);
        assert!(!gso.is_on(now + PAUSE + TICK));
        assert_eq!(gso.fallbacks(), 2);
    }

    #[test]
    fn what_fails_while_it_is_off_prolongs_nothing() {
        let (mut gso, now) = (Gso::new(true), Instant::now());
        gso.refused(now, Errno::IO, true);
        gso.refused(now + TICK, Errno::IO, true);
        assert_eq!(gso.fallbacks(), 1);
        assert!(gso.is_on(now + PAUSE));
    }
}
