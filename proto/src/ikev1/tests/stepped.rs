//! Main and quick mode, held before one of their nine messages, which a test may change as somebody with the keys could.

use super::super::chain::Iv;
use super::super::hash::Which;
use super::super::sa::Sa;
use super::super::session::Session;
use super::net::*;
use crate::wire::isakmp::{Flags, Header, Writer, kind, write_message};

/// The message before which nothing is encrypted, and the first one of quick mode.
const FIRST_SECRET: usize = 5;
const FIRST_QUICK: usize = 7;
/// Messages of main and quick mode.
pub(super) const MESSAGES: usize = 9;

/// See the module.
pub(super) struct Stepped {
    pub(super) net: Net,
    number: usize,
}

/// The payloads of a chain: types and bodies.
pub(super) type Bodies = Vec<(u8, Vec<u8>)>;

fn split(first: u8, chain: &[u8]) -> Bodies {
    let (mut kind, mut rest, mut all) = (first, chain, Vec::new());
    while kind != kind::NONE {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        all.push((kind, rest[4..length].to_vec()));
        (kind, rest) = (rest[0], &rest[length..]);
    }
    all
}

fn chain(bodies: &[(u8, Vec<u8>)]) -> Writer {
    let mut writer = Writer::new();
    for (kind, body) in bodies {
        writer.raw(*kind, body);
    }
    writer
}

fn nonce(bodies: &Bodies) -> Vec<u8> {
    let nonce = bodies.iter().find(|(kind, _)| *kind == kind::NONCE);
    nonce.unwrap().1.clone()
}

impl Stepped {
    /// Before the `number`th message, counted from 1, which `A` sends if it is odd.
    pub(super) fn before(number: usize) -> Self {
        Self::of(Net::new(), number)
    }

    pub(super) fn of(mut net: Net, number: usize) -> Self {
        net.initiate(A);
        for _ in 1..number {
            net.run(LATENCY);
        }
        assert_eq!(net.sent.len(), number, "{}", net.story());
        Self { net, number }
    }

    pub(super) fn receiver(&self) -> usize {
        self.number % 2
    }

    /// The message itself.
    pub(super) fn octets(&self) -> Vec<u8> {
        self.sent(self.number).to_vec()
    }

    fn sent(&self, number: usize) -> &[u8] {
        &self.net.sent[number - 1].1
    }

    pub(super) fn sa(&self) -> &Sa {
        let endpoint = &self.net.sides[A].endpoint;
        let cookies = &endpoint.core.slots[&TUNNEL].sas;
        endpoint.sa(*cookies.first().unwrap()).unwrap()
    }

    fn session(&self) -> &Session {
        self.sa().keys.as_ref().unwrap()
    }

    /// The payloads of a message, and the IV that it was encrypted with.
    fn opened(&self, number: usize) -> (Bodies, Iv) {
        let octets = self.sent(number);
        let header = Header::parse(octets).unwrap();
        if number < FIRST_SECRET {
            return (split(header.next_payload, &octets[28..]), Iv::default());
        }
        let (first, mut iv) = if number < FIRST_QUICK {
            let exchange = self.sa().exchange.as_deref().unwrap();
            (FIRST_SECRET, self.session().first_iv(exchange))
        } else {
            let iv = self.sa().exchange_iv(header.message_id).unwrap();
            (FIRST_QUICK, iv)
        };
        for before in first..number {
            let octets = self.sent(before);
            let header = Header::parse(octets).unwrap();
            let mut chain = Vec::new();
            let opened = self.session().open(&iv, (header, octets), &mut chain);
            iv = opened.unwrap().next_iv.unwrap();
        }
        let mut chain = Vec::new();
        let opened = self.session().open(&iv, (header, octets), &mut chain);
        assert!(opened.is_some());
        (split(header.next_payload, &chain), iv)
    }

    /// The message's payloads.
    pub(super) fn bodies(&self) -> Bodies {
        self.opened(self.number).0
    }

    /// The message with these payloads in place of its own, with a HASH that verifies in quick mode if there is one at all.
    pub(super) fn with(&self, bodies: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let header = Header::parse(self.sent(self.number)).unwrap();
        let header = Header::new(
            header.cky_i,
            header.cky_r,
            header.exchange,
            Flags::CLEAR,
            header.message_id,
        );
        if self.number < FIRST_SECRET {
            let (first, chain) = chain(bodies).finish();
            return write_message(&header, first, &chain);
        }
        let iv = self.opened(self.number).1;
        let has_hash = bodies.first().is_some_and(|(kind, _)| *kind == kind::HASH);
        let (first, chain) = if self.number < FIRST_QUICK || !has_hash {
            chain(bodies).finish()
        } else {
            let nonces: Vec<_> = (FIRST_QUICK..self.number.min(MESSAGES))
                .map(|number| nonce(&self.opened(number).0))
                .collect();
            let which = match &nonces[..] {
                [] => Which::First,
                [ni] => Which::Second { ni },
                [ni, nr, ..] => Which::Third { ni, nr },
            };
            let rest = &mut chain(&bodies[1..]);
            let chain = self.session().hashed(header.message_id, which, rest);
            (kind::HASH, chain)
        };
        self.session()
            .seal(&iv, &header, first, chain)
            .unwrap()
            .octets
    }

    /// Has `octets` arrive in place of the message, and what follows of that.
    pub(super) fn deliver(&mut self, octets: Vec<u8>) {
        self.net.flights.clear();
        let flight = flight(&self.net, self.receiver(), octets);
        self.net.deliver(&flight);
        self.net.run(LATENCY * 20);
    }
}
