//! Messages that are sent again with identical octets (RFC 2408 section 5.1): one that waits for an answer, and the answer to one that
//! comes again.

use std::time::{Duration, Instant};

use adit_crypto::sha1;

use super::core::Core;
use super::message::message_words;
use crate::ike::{ConnectionId, Path, Retransmit};
use crate::wire::isakmp::Header;

/// A message sent.
pub(super) struct Outstanding {
    pub(super) octets: Vec<u8>,
    /// Repetitions so far.
    repeated: u32,
    wait: Duration,
    pub(super) repeat_at: Instant,
}

impl Outstanding {
    pub(super) fn new(now: Instant, octets: Vec<u8>, retransmit: &Retransmit) -> Self {
        Self {
            octets,
            repeated: 0,
            wait: retransmit.first,
            repeat_at: now + retransmit.first,
        }
    }

    /// The octets to be sent again at `now`; none when they were often enough.
    pub(super) fn repeat(&mut self, now: Instant, retransmit: &Retransmit) -> Option<Vec<u8>> {
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
pub(super) struct Answered {
    repeated: Option<(Instant, u32)>,
}

impl Answered {
    /// Whether it may be repeated now, which counts as one repetition.
    pub(super) fn may_repeat(&mut self, now: Instant) -> bool {
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

/// The last message of an exchange that was taken, and what it was answered with.
#[derive(Default)]
pub(super) struct LastAnswer {
    taken: Option<[u8; 20]>,
    answer: Option<Vec<u8>>,
    answered: Answered,
}

impl LastAnswer {
    pub(super) fn new(message: &[u8], answer: Option<Vec<u8>>) -> Self {
        let mut last = Self::default();
        last.set(message, answer);
        last
    }

    /// Another message was taken, and answered so.
    pub(super) fn set(&mut self, message: &[u8], answer: Option<Vec<u8>>) {
        self.taken = Some(digest(message));
        self.answer = answer;
    }

    /// Whether it is the same message again, which is answered as it was and does nothing else.
    pub(super) fn repeats(
        &mut self,
        core: &mut Core,
        now: Instant,
        (id, path): (Option<ConnectionId>, Path),
        (header, octets): (Header, &[u8]),
    ) -> bool {
        let is_same = self.taken == Some(digest(octets));
        if is_same
            && let Some(answer) = &self.answer
            && self.answered.may_repeat(now)
        {
            core.counters.repeated_responses += 1;
            core.trace(id, || {
                format!("→ {} {} again", header.exchange, message_words(&header))
            });
            core.transmit(path, answer.clone());
        }
        is_same
    }
}

/// What tells a message from another.
fn digest(octets: &[u8]) -> [u8; 20] {
    sha1(&[octets])
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
