//! Messages that are sent again with identical octets (RFC 2408 section 5.1, RFC 7296 section 2.1): when one is that waits for an answer,
//! and how often the answer to one that comes again.

use std::time::{Duration, Instant};

use super::connection::Retransmit;

/// A message sent that waits for an answer: one datagram, or all its fragments.
pub(crate) struct Outstanding<Octets> {
    pub(crate) octets: Octets,
    /// Repetitions so far.
    pub(crate) repeated: u32,
    /// The wait that ends at `repeat_at`.
    pub(crate) wait: Duration,
    pub(crate) repeat_at: Instant,
}

impl<Octets: Clone> Outstanding<Octets> {
    pub(crate) fn new(now: Instant, octets: Octets, retransmit: &Retransmit) -> Self {
        Self {
            octets,
            repeated: 0,
            wait: retransmit.first,
            repeat_at: now + retransmit.first,
        }
    }

    /// The octets to be sent again at `now`; none when they were often enough.
    pub(crate) fn repeat(&mut self, now: Instant, retransmit: &Retransmit) -> Option<Octets> {
        if self.repeated >= retransmit.tries {
            return None;
        }
        self.repeated += 1;
        self.wait = retransmit.longer(self.wait);
        self.repeat_at = now + self.wait;
        Some(self.octets.clone())
    }
}

/// Answers to a repeated message in a second at most.
const ANSWERS_MAX: u32 = 4;

/// How often the last answer was repeated in this second.
#[derive(Default)]
pub(crate) struct Answered {
    repeated: Option<(Instant, u32)>,
}

impl Answered {
    /// Whether it may be repeated now, which counts as one repetition.
    pub(crate) fn may_repeat(&mut self, now: Instant) -> bool {
        let this_second = self
            .repeated
            .filter(|(since, _)| now < *since + Duration::from_secs(1));
        let (since, repeated) = this_second.unwrap_or((now, 0));
        if repeated >= ANSWERS_MAX {
            return false;
        }
        self.repeated = Some((since, repeated + 1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's start may be any instant"
    )]
    fn a_message_is_repeated_with_growing_waits_and_then_no_more() {
        let start = Instant::now();
        let schedule = Retransmit {
            first: Duration::from_secs(4),
            base_per_mille: 1800,
            tries: 3,
            most: Duration::from_secs(10),
        };
        let mut message = Outstanding::new(start, vec![7], &schedule);
        let mut at = Vec::new();
        loop {
            let now = message.repeat_at;
            at.push((now - start).as_millis());
            match message.repeat(now, &schedule) {
                Some(octets) => assert_eq!(octets, [7]),
                None => break,
            }
        }
        assert_eq!(at, [4000, 11_200, 21_200, 31_200]);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's start may be any instant"
    )]
    fn an_answer_is_repeated_a_few_times_a_second() {
        let start = Instant::now();
        let mut answered = Answered::default();
        let often = (0..10).filter(|_| answered.may_repeat(start)).count();
        assert_eq!(often, 4);
        assert!(answered.may_repeat(start + Duration::from_secs(1)));
    }
}
