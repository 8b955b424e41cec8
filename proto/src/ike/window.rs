//! Message IDs, the one request under way and the last response (RFC 7296 sections 2.1 to 2.3; the window is 1 both ways).

use std::time::Instant;

use super::awaited::Awaited;
use super::connection::Retransmit;
use super::core::Core;
use super::repeat::{Answered, Outstanding};
use crate::wire::ike::ExchangeType;

/// Both directions' numbers.
#[derive(Default)]
pub(super) struct Window {
    /// The number of the next request of ours.
    pub(super) next_request: u32,
    /// The number of the next request of the peer.
    pub(super) expected: u32,
    /// Our request that has no response yet.
    pub(super) outstanding: Option<Request>,
    /// The response to request `expected - 1`, all its fragments.
    last_response: Vec<Vec<u8>>,
    repeated: Answered,
}

/// A request that has no response yet.
pub(super) struct Request {
    pub(super) message_id: u32,
    pub(super) exchange: ExchangeType,
    /// The datagrams.
    pub(super) sent: Outstanding<Vec<Vec<u8>>>,
    pub(super) awaited: Awaited,
}

/// What a request's number says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// The next one.
    Fresh,
    /// The last one again: its response is to be repeated.
    Repeated,
    /// Neither.
    Outside,
}

impl Window {
    pub(super) fn number(&self, message_id: u32) -> Number {
        if message_id == self.expected {
            Number::Fresh
        } else if message_id.checked_add(1) == Some(self.expected) {
            Number::Repeated
        } else {
            Number::Outside
        }
    }

    /// The request `expected` was answered so.
    pub(super) fn answered(&mut self, octets: Vec<Vec<u8>>) {
        self.expected = self.expected.saturating_add(1);
        self.last_response = octets;
    }

    pub(super) fn last_response(&self) -> &[Vec<u8>] {
        &self.last_response
    }

    /// Whether the last response may be repeated now, which counts as one repetition.
    pub(super) fn may_repeat(&mut self, now: Instant) -> bool {
        self.repeated.may_repeat(now)
    }

    /// A request leaves.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        exchange: ExchangeType,
        octets: Vec<Vec<u8>>,
        awaited: Awaited,
        retransmit: &Retransmit,
    ) {
        self.outstanding = Some(Request {
            message_id: self.next_request,
            exchange,
            sent: Outstanding::new(now, octets, retransmit),
            awaited,
        });
        self.next_request = self.next_request.saturating_add(1);
    }

    /// Takes the request that a response of this number and exchange is for.
    pub(super) fn take(&mut self, message_id: u32, exchange: ExchangeType) -> Option<Request> {
        self.outstanding
            .take_if(|request| request.message_id == message_id && request.exchange == exchange)
    }

    /// Waits no more for a response, and takes what it would have settled; the inbound SPI of a pair that was asked for is free again.
    pub(super) fn drop_outstanding(&mut self, core: &mut Core) -> Option<Awaited> {
        let awaited = self.outstanding.take()?.awaited;
        if let Some(spi_in) = awaited.requested_spi() {
            core.numbers.release(spi_in);
        }
        Some(awaited)
    }

    /// Whether a response of this number is waited for.
    pub(super) fn awaits(&self, message_id: u32, exchange: ExchangeType) -> bool {
        self.outstanding
            .as_ref()
            .is_some_and(|request| request.message_id == message_id && request.exchange == exchange)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn schedule(tries: u32) -> Retransmit {
        Retransmit {
            first: Duration::from_secs(4),
            base_per_mille: 1800,
            tries,
            most: Duration::from_secs(60),
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's start may be any instant"
    )]
    fn waits_grow_by_the_base_up_to_the_most_and_the_last_ends_the_request() {
        let start = Instant::now();
        let schedule = schedule(5);
        let mut window = Window::default();
        window.sent(
            start,
            ExchangeType::Informational,
            vec![vec![7]],
            Awaited::Probe,
            &schedule,
        );
        let request = window.take(0, ExchangeType::Informational).unwrap();
        let mut request = request.sent;
        let mut at = Vec::new();
        loop {
            let now = request.repeat_at;
            at.push((now - start).as_millis());
            match request.repeat(now, &schedule) {
                Some(octets) => assert_eq!(octets, [[7]]),
                None => break,
            }
        }
        assert_eq!(at, [4000, 11_200, 24_160, 47_488, 89_478, 149_478]);
    }

    #[test]
    fn only_the_next_request_is_fresh_and_only_the_last_is_a_repetition() {
        let mut window = Window::default();
        assert_eq!(window.number(0), Number::Fresh);
        assert_eq!(window.number(u32::MAX), Number::Outside);
        window.answered(vec![vec![1], vec![2]]);
        assert_eq!(window.number(0), Number::Repeated);
        assert_eq!(window.number(1), Number::Fresh);
        assert_eq!(window.number(2), Number::Outside);
        assert_eq!(window.last_response().len(), 2);
    }
}
