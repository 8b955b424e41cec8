//! The answer to a message that comes again: the same octets (RFC 2408 section 5.1).

use std::time::Instant;

use adit_crypto::sha1;

use super::core::Core;
use super::message::message_words;
use crate::ike::{Answered, ConnectionId, Path};
use crate::wire::isakmp::Header;

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
        let is_same = self.taken.is_some_and(|taken| taken == digest(octets));
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
