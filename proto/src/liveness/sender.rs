//! Sends keepalive requests at a steady pace and judges how they are answered.
//!
//! A request leaves at each tick. The counter of unanswered requests rises with each one sent and an answer resets it; the
//! tick after the N-th unanswered request finds the peer silent for one detection time, which is N periods after the first
//! request without an answer and at most N + 1 periods after the last answer. The counter then starts again and the requests
//! go on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Pace;
use crate::counters::DropReason;

/// An answer still counts for this many of the last requests, or for `retries + 1` if that is more.
const OUTSTANDING_MIN: usize = 8;

/// Which request an answer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The one with this sequence number, as an authenticated payload says.
    Sequence(u32),
    /// A request without payload: it cannot be told which.
    Bare,
}

/// What a tick found about the requests before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No request is without an answer.
    Clear,
    /// A request was without an answer for its period, or several for theirs, but not yet for the detection time.
    Missed,
    /// One detection time went by without an answer; the next one starts with this tick's request.
    Exhausted {
        /// When the first request without an answer was sent.
        first_unanswered: Instant,
    },
    /// The tick came late by more than a quarter of the period: who did not look does not judge.
    Withheld,
}

/// What to do at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// The deadline is not reached.
    Idle,
    /// Send the request of this sequence number.
    Send {
        /// The request's sequence number.
        seq: u32,
        /// What there is to say about those before it.
        verdict: Verdict,
    },
}

/// An answer that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// The request's sequence number; of [`Answer::Bare`], that of the newest request without an answer.
    pub seq: u32,
    /// From the sending of that request to the answer.
    pub rtt: Duration,
}

/// Round-trip times of the requests that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// The last one.
    pub last: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// The mean that forgets, with the weight 1/8 of RFC 6298 section 2.3.
    pub smoothed: Duration,
}

impl RoundTrips {
    fn first(rtt: Duration) -> Self {
        Self {
            last: rtt,
            min: rtt,
            max: rtt,
            smoothed: rtt,
        }
    }

    fn with(self, rtt: Duration) -> Self {
        Self {
            last: rtt,
            min: self.min.min(rtt),
            max: self.max.max(rtt),
            smoothed: (self.smoothed * 7 + rtt) / 8,
        }
    }
}

/// What became of the requests to one peer address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests sent.
    pub requests: u64,
    /// Requests that were answered.
    pub answers: u64,
    /// Requests before the newest one that have no answer; a late answer takes one back.
    pub lost: u64,
    /// Round-trip times, from the first answer on.
    pub round_trips: Option<RoundTrips>,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    seq: u32,
    sent: Instant,
}

/// The keepalive requests to one peer address.
#[derive(Debug)]
pub struct Sender {
    pace: Pace,
    next_tick: Instant,
    unanswered: u16,
    first_unanswered: Option<Instant>,
    /// Oldest first.
    outstanding: VecDeque<Outstanding>,
    capacity: usize,
    newest_seq: Option<u32>,
    requests: u64,
    answers: u64,
    round_trips: Option<RoundTrips>,
}

impl Sender {
    /// A sender whose first request is due at `now`.
    #[must_use]
    pub fn new(pace: Pace, now: Instant) -> Self {
        let capacity = OUTSTANDING_MIN.max(usize::from(pace.retries()) + 1);
        Self {
            pace,
            next_tick: now,
            unanswered: 0,
            first_unanswered: None,
            outstanding: VecDeque::with_capacity(capacity),
            capacity,
            newest_seq: None,
            requests: 0,
            answers: 0,
            round_trips: None,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.next_tick
    }

    /// Sends the next request if it is due, under the number that `next_seq` holds, and judges those before it.
    ///
    /// Every datagram that had arrived must have been handled before. A tick that is late by more than a quarter of the period
    /// withholds its verdict, and the deadlines move by the lateness; only when `retries` further requests stay without an
    /// answer too, each of which had its whole period, it judges although it is late, so that a worker that is always late
    /// still finds a dead peer.
    pub fn handle_timeout(&mut self, now: Instant, next_seq: &mut u32) -> Tick {
        if now < self.next_tick {
            return Tick::Idle;
        }
        let stalled = now.duration_since(self.next_tick) > self.pace.period() / 4;
        let verdict = self.judge(stalled);
        if let Verdict::Exhausted { .. } = verdict {
            self.unanswered = 0;
            self.first_unanswered = None;
        }
        self.next_tick = if stalled { now } else { self.next_tick } + self.pace.period();
        let seq = *next_seq;
        *next_seq = seq.wrapping_add(1);
        self.record(seq, now);
        Tick::Send { seq, verdict }
    }

    /// Takes an answer: it counts for one request that is outstanding, once.
    ///
    /// [`Answer::Bare`] is taken for the newest request and settles those before it too, so that at most one answer counts for
    /// each request sent and the round-trip time is right as long as it is below the period.
    ///
    /// # Errors
    /// [`DropReason::KeepaliveStale`]: no such request is outstanding. Nothing has changed.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) -> Result<RoundTrip, DropReason> {
        let request = match answer {
            Answer::Sequence(seq) => self
                .outstanding
                .iter()
                .rposition(|request| request.seq == seq)
                .and_then(|index| self.outstanding.remove(index)),
            Answer::Bare => {
                let newest = self.outstanding.pop_back();
                self.outstanding.clear();
                newest
            }
        };
        let request = request.ok_or(DropReason::KeepaliveStale)?;
        self.handle_life();
        self.answers += 1;
        let rtt = now.saturating_duration_since(request.sent);
        self.round_trips = Some(
            self.round_trips
                .map_or_else(|| RoundTrips::first(rtt), |before| before.with(rtt)),
        );
        Ok(RoundTrip {
            seq: request.seq,
            rtt,
        })
    }

    /// Takes that the peer lives, known otherwise than by an answer: the count of unanswered requests starts again. An answer may still
    /// come for each of them.
    pub fn handle_life(&mut self) {
        self.unanswered = 0;
        self.first_unanswered = None;
    }

    /// When the first request since the last answer, since [`Self::handle_life`], or since the last detection time ran out, was sent.
    #[inline]
    #[must_use]
    pub fn first_unanswered(&self) -> Option<Instant> {
        self.first_unanswered
    }

    /// What became of the requests so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let newest = self.outstanding.back().map(|request| request.seq);
        let in_flight = u64::from(newest.is_some() && newest == self.newest_seq);
        Statistics {
            requests: self.requests,
            answers: self.answers,
            lost: self.requests.saturating_sub(self.answers + in_flight),
            round_trips: self.round_trips,
        }
    }

    fn judge(&self, stalled: bool) -> Verdict {
        let retries = u16::from(self.pace.retries());
        let enough = if stalled { 2 * retries } else { retries };
        match self.first_unanswered {
            Some(first_unanswered) if self.unanswered >= enough => {
                Verdict::Exhausted { first_unanswered }
            }
            _ if stalled => Verdict::Withheld,
            Some(_) => Verdict::Missed,
            None => Verdict::Clear,
        }
    }

    fn record(&mut self, seq: u32, now: Instant) {
        if self.outstanding.len() >= self.capacity {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(Outstanding { seq, sent: now });
        self.newest_seq = Some(seq);
        self.unanswered = self.unanswered.saturating_add(1);
        self.first_unanswered.get_or_insert(now);
        self.requests += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;

    const PERIOD: Duration = Duration::from_secs(5);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A sender that numbers its own requests.
    struct Sent {
        sender: Sender,
        next_seq: u32,
        start: Instant,
    }

    impl Sent {
        fn new(retries: u8) -> Self {
            let start = epoch();
            Self {
                sender: Sender::new(Pace::new(PERIOD, retries), start),
                next_seq: 0,
                start,
            }
        }

        fn tick(&mut self, at: Duration) -> Tick {
            self.sender
                .handle_timeout(self.start + at, &mut self.next_seq)
        }

        fn answer(&mut self, at: Duration, answer: Answer) -> Result<RoundTrip, DropReason> {
            self.sender.handle_answer(self.start + at, answer)
        }

        fn verdict(&mut self, at: Duration) -> Verdict {
            match self.tick(at) {
                Tick::Send { verdict, .. } => verdict,
                Tick::Idle => panic!("no tick is due at {at:?}"),
            }
        }
    }

    #[test]
    fn the_first_request_is_sent_at_once_and_the_others_a_period_apart() {
        let mut sent = Sent::new(3);
        assert_eq!(sent.sender.poll_timeout(), sent.start);
        let verdict = Verdict::Clear;
        assert_eq!(sent.tick(seconds(0)), Tick::Send { seq: 0, verdict });
        assert_eq!(sent.tick(seconds(4)), Tick::Idle);
        assert_eq!(sent.sender.poll_timeout(), sent.start + PERIOD);
        sent.answer(seconds(1), Answer::Sequence(0)).unwrap();
        assert_eq!(sent.tick(seconds(5)), Tick::Send { seq: 1, verdict });
    }

    #[test]
    fn a_silent_peer_is_found_at_the_tick_after_the_last_retry() {
        let mut sent = Sent::new(3);
        assert_eq!(sent.verdict(seconds(0)), Verdict::Clear);
        assert_eq!(sent.verdict(seconds(5)), Verdict::Missed);
        assert_eq!(sent.verdict(seconds(10)), Verdict::Missed);
        let first_unanswered = sent.start;
        assert_eq!(
            sent.verdict(seconds(15)),
            Verdict::Exhausted { first_unanswered }
        );
    }

    #[test]
    fn requests_go_on_after_the_verdict_and_each_detection_time_gives_another() {
        let mut sent = Sent::new(2);
        let verdicts: Vec<_> = (0..5).map(|n| sent.verdict(PERIOD * n)).collect();
        let exhausted = |after| Verdict::Exhausted {
            first_unanswered: sent.start + after,
        };
        assert_eq!(
            verdicts,
            [
                Verdict::Clear,
                Verdict::Missed,
                exhausted(seconds(0)),
                Verdict::Missed,
                exhausted(seconds(10)),
            ]
        );
        assert_eq!(sent.next_seq, 5);
    }

    #[test]
    fn one_retry_is_judged_at_the_next_tick() {
        let mut sent = Sent::new(1);
        sent.verdict(seconds(0));
        assert!(matches!(
            sent.verdict(seconds(5)),
            Verdict::Exhausted { .. }
        ));
    }

    #[test]
    fn an_answer_resets_the_counter_even_when_it_answers_an_older_request() {
        let mut sent = Sent::new(3);
        for n in 0..3 {
            sent.verdict(PERIOD * n);
        }
        sent.answer(seconds(14), Answer::Sequence(0)).unwrap();
        assert_eq!(sent.sender.first_unanswered(), None);
        assert_eq!(sent.verdict(seconds(15)), Verdict::Clear);
        assert_eq!(sent.verdict(seconds(20)), Verdict::Missed);
    }

    #[test]
    fn an_answer_counts_once_and_only_for_an_outstanding_request() {
        let mut sent = Sent::new(3);
        sent.verdict(seconds(0));
        let stale = Err(DropReason::KeepaliveStale);
        assert_eq!(sent.answer(seconds(1), Answer::Sequence(1)), stale);
        let rtt = seconds(1);
        assert_eq!(
            sent.answer(seconds(1), Answer::Sequence(0)),
            Ok(RoundTrip { seq: 0, rtt })
        );
        assert_eq!(sent.answer(seconds(1), Answer::Sequence(0)), stale);
        assert_eq!(sent.answer(seconds(1), Answer::Bare), stale);
    }

    #[test]
    fn a_bare_answer_settles_all_requests_before_it() {
        let mut sent = Sent::new(3);
        sent.verdict(seconds(0));
        sent.verdict(seconds(5));
        let rtt = seconds(1);
        assert_eq!(
            sent.answer(seconds(6), Answer::Bare),
            Ok(RoundTrip { seq: 1, rtt })
        );
        let stale = Err(DropReason::KeepaliveStale);
        assert_eq!(sent.answer(seconds(6), Answer::Bare), stale);
        assert_eq!(sent.sender.statistics().lost, 1);
    }

    #[test]
    fn an_answer_to_a_request_that_left_the_window_is_stale() {
        let mut sent = Sent::new(1);
        for n in 0..=OUTSTANDING_MIN {
            sent.verdict(PERIOD * u32::try_from(n).unwrap());
        }
        let stale = Err(DropReason::KeepaliveStale);
        assert_eq!(sent.answer(seconds(41), Answer::Sequence(0)), stale);
        assert!(sent.answer(seconds(41), Answer::Sequence(1)).is_ok());
    }

    #[test]
    fn a_late_tick_withholds_its_verdict_and_moves_the_deadlines() {
        let mut sent = Sent::new(1);
        sent.verdict(seconds(0));
        let woken = seconds(65);
        assert_eq!(sent.verdict(woken), Verdict::Withheld);
        assert_eq!(sent.sender.poll_timeout(), sent.start + woken + PERIOD);
        assert!(matches!(
            sent.verdict(woken + PERIOD),
            Verdict::Exhausted { .. }
        ));
    }

    #[test]
    fn a_tick_late_by_a_quarter_still_judges_and_keeps_the_beat() {
        let mut sent = Sent::new(1);
        sent.verdict(seconds(0));
        let late = PERIOD + PERIOD / 4;
        assert!(matches!(sent.verdict(late), Verdict::Exhausted { .. }));
        assert_eq!(sent.sender.poll_timeout(), sent.start + PERIOD * 2);
    }

    #[test]
    fn a_worker_that_is_always_late_finds_a_dead_peer_after_twice_the_requests() {
        let mut sent = Sent::new(2);
        let verdicts: Vec<_> = (0..5).map(|n| sent.verdict(PERIOD * 2 * n)).collect();
        assert_eq!(verdicts[1..4], [Verdict::Withheld; 3]);
        assert!(matches!(verdicts[4], Verdict::Exhausted { .. }));
    }

    #[test]
    fn statistics_show_round_trip_times_and_loss() {
        let mut sent = Sent::new(3);
        assert_eq!(sent.sender.statistics(), Statistics::default());
        for (n, rtt) in [(0, 80), (1, 160), (3, 40)] {
            while sent.next_seq <= n {
                let at = PERIOD * sent.next_seq;
                sent.verdict(at);
            }
            let at = PERIOD * n + Duration::from_millis(rtt);
            sent.answer(at, Answer::Sequence(n)).unwrap();
        }
        let round_trips = RoundTrips {
            last: Duration::from_millis(40),
            min: Duration::from_millis(40),
            max: Duration::from_millis(160),
            smoothed: Duration::from_micros(83_750),
        };
        let expected = Statistics {
            requests: 4,
            answers: 3,
            lost: 1,
            round_trips: Some(round_trips),
        };
        assert_eq!(sent.sender.statistics(), expected);
        sent.answer(seconds(16), Answer::Sequence(2)).unwrap();
        assert_eq!(sent.sender.statistics().lost, 0);
    }
}
