//! Dead peer detection: the sequence numbers of R-U-THERE and R-U-THERE-ACK of both sides (RFC 3706 section 6).
//!
//! Whether and when the peer is asked, and when it is dead, is decided by [`crate::liveness`]: here is only what makes an answer an answer.

use std::time::{Duration, Instant};

/// Numbers of the peer that may be skipped: implementations that advance with each repetition are understood.
const AHEAD_MAX: u32 = 64;
/// Longer than the slowest pace of repetitions, which is a minute.
const ROUND: Duration = Duration::from_secs(90);
/// A question that comes again is answered so often.
const REPEATED_MAX: u32 = 5;

/// Both directions' numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Dpd {
    /// The number of our first question, and of the next one; none before the first.
    numbers: Option<(u32, u32)>,
    /// Our question without an answer, and when it was asked last.
    asked: Option<(u32, Instant)>,
    /// The last number of the peer, and how often it came again.
    peer: Option<(u32, u32)>,
}

/// What the number of the peer's question says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A new one, which proves that the peer lives.
    Fresh,
    /// The last one again: to be answered, and a proof of nothing.
    Repeated,
    /// Neither, or too often: dropped.
    Outside,
}

impl Dpd {
    /// The number to ask with: the same until it is answered, or nothing was asked for longer than anybody waits between two questions, so
    /// that no answer that was held back proves life later. `first` is the number of the first question, of which the highest bit is dropped.
    pub(super) fn ask(&mut self, now: Instant, first: u32) -> u32 {
        if let Some((number, at)) = &mut self.asked
            && now < *at + ROUND
        {
            *at = now;
            return *number;
        }
        let first = first & 0x7fff_ffff;
        let (first, number) = self.numbers.unwrap_or((first, first));
        self.numbers = Some((first, number.wrapping_add(1)));
        self.asked = Some((number, now));
        number
    }

    /// Whether `number` answers our question; none is answered twice.
    pub(super) fn answered(&mut self, number: u32) -> bool {
        self.asked.take_if(|(asked, _)| *asked == number).is_some()
    }

    /// Takes the number of a question of the peer whose HASH verified. That of one of ours may be ours, sent back by somebody: a HASH does
    /// not tell who made it.
    pub(super) fn question(&mut self, number: u32) -> Question {
        let is_ours =
            |(first, next): (u32, u32)| number.wrapping_sub(first) < next.wrapping_sub(first);
        if self.numbers.is_some_and(is_ours) {
            return Question::Outside;
        }
        let Some((last, repeated)) = self.peer else {
            self.peer = Some((number, 0));
            return Question::Fresh;
        };
        let ahead = number.wrapping_sub(last);
        if ahead == 0 {
            if repeated >= REPEATED_MAX {
                return Question::Outside;
            }
            self.peer = Some((last, repeated + 1));
            return Question::Repeated;
        }
        if ahead > AHEAD_MAX {
            return Question::Outside;
        }
        self.peer = Some((number, 0));
        Question::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's start may be any instant"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_question_that_nobody_answered_is_another_one_later() {
        let (mut dpd, start) = (Dpd::default(), start());
        for seconds in [0, 60, 120] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(dpd.ask(now, 7), 7);
        }
        assert_eq!(dpd.ask(start + Duration::from_secs(210), 7), 8);
        assert!(!dpd.answered(7) && dpd.answered(8));
    }

    #[test]
    fn a_question_keeps_its_number_until_it_is_answered() {
        let now = start();
        let mut dpd = Dpd::default();
        assert_eq!(dpd.ask(now, 0xffff_fff0), 0x7fff_fff0);
        assert_eq!(dpd.ask(now, 1), 0x7fff_fff0);
        assert!(!dpd.answered(0x7fff_fff1));
        assert!(dpd.answered(0x7fff_fff0));
        assert!(!dpd.answered(0x7fff_fff0));
        assert_eq!(dpd.ask(now, 1), 0x7fff_fff1);
    }

    #[test]
    fn our_own_questions_that_come_back_are_none_of_the_peer() {
        let now = start();
        let mut dpd = Dpd::default();
        for _ in 0..3 {
            let number = dpd.ask(now, 7);
            assert!(dpd.answered(number));
        }
        for number in 7..10 {
            assert_eq!(dpd.question(number), Question::Outside);
        }
        assert_eq!(dpd.question(6), Question::Fresh);
        assert_eq!(dpd.question(10), Question::Fresh);
    }

    #[test]
    fn nothing_is_an_answer_before_a_question() {
        assert!(!Dpd::default().answered(0));
    }

    #[test]
    fn questions_may_skip_numbers_but_not_go_back_or_far_ahead() {
        let mut dpd = Dpd::default();
        assert_eq!(dpd.question(u32::MAX), Question::Fresh);
        assert_eq!(dpd.question(0), Question::Fresh);
        assert_eq!(dpd.question(64), Question::Fresh);
        assert_eq!(dpd.question(64 + 65), Question::Outside);
        assert_eq!(dpd.question(63), Question::Outside);
    }

    #[test]
    fn a_repeated_question_is_answered_five_times() {
        let mut dpd = Dpd::default();
        dpd.question(9);
        let answered = (0..9).filter(|_| dpd.question(9) == Question::Repeated);
        assert_eq!(answered.count(), 5);
        assert_eq!(dpd.question(10), Question::Fresh);
    }
}
