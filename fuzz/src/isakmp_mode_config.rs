//! XAUTH and Mode Config of an Easy VPN server that has the group's key, in any order: nothing panics, the password is given once and only
//! where it is asked for, nothing goes on behind a refusal, and what is assigned is bounded.
//!
//! Input: options 1 (bit 0: client mode) | steps of `what 1 | of 1 | octets 1 | that many`; see [`Play::step`].

use std::time::Duration;

use adit_proto::ike::{Event, Failure};
use adit_proto::ikev1::Assigned;
use adit_proto::ikev1::chain::Iv;
use adit_proto::ikev1::hash::Which;
use adit_proto::wire::isakmp::attribute::xauth;
use adit_proto::wire::isakmp::{ConfigKind, ExchangeType, Payload, Value, Writer, kind};

use super::isakmp_peer::{ID, PASSWORD, Peer, step};

const STEPS_MAX: usize = 60;

/// An exchange, and the IV of its next message.
struct Exchange {
    message_id: u32,
    iv: Iv,
}

struct Play {
    peer: Peer,
    client_mode: bool,
    /// The last one that the server began.
    begun: Option<Exchange>,
    /// The client's own.
    asked: Option<Exchange>,
    last: Vec<u8>,
    is_given: bool,
    is_refused: bool,
    is_configured: bool,
}

impl Play {
    /// `what` says which message comes, a transaction of kind `of` with `body` as its attributes, or what else happens.
    fn step(&mut self, what: u8, of: u8, body: &[u8]) {
        match what % 8 {
            0 | 1 => {
                let message_id = self.peer.message_id();
                let iv = self.peer.iv(message_id);
                self.begun = Some(Exchange { message_id, iv });
                self.send(true, of, body);
            }
            2 => self.send(true, of, body),
            3 => self.send(false, of, body),
            4 => {
                let message_id = self.peer.message_id();
                let iv = self.peer.iv(message_id);
                let header = (ExchangeType::Informational, message_id);
                let (octets, _) = self.peer.seal(header, &iv, Which::First, (of, body));
                self.deliver(octets);
            }
            5 => self.pass(of),
            6 => {
                let message_id = self.peer.message_id();
                let iv = self.peer.iv(message_id);
                let header = (ExchangeType::Quick, message_id);
                let (octets, _) = self.peer.seal(header, &iv, Which::First, (of, body));
                self.deliver(octets);
            }
            _ => self.deliver(self.last.clone()),
        }
    }

    /// The next message of the server's exchange, or of the client's.
    fn send(&mut self, is_begun: bool, of: u8, body: &[u8]) {
        let exchange = if is_begun {
            &mut self.begun
        } else {
            &mut self.asked
        };
        let Some(exchange) = exchange else {
            return;
        };
        let body = [&[of, 0, 0, 9][..], body].concat();
        let (first, chain) = Writer::new().raw(kind::ATTRIBUTES, &body).finish();
        let header = (ExchangeType::Transaction, exchange.message_id);
        let (octets, iv) = self
            .peer
            .seal(header, &exchange.iv, Which::First, (first, &chain));
        exchange.iv = iv;
        self.deliver(octets);
    }

    fn pass(&mut self, seconds: u8) {
        let until = self.peer.now + Duration::from_secs(seconds.into());
        while self.peer.pass(until) {
            self.drain();
        }
    }

    fn deliver(&mut self, octets: Vec<u8>) {
        self.peer.deliver(&octets);
        self.last = octets;
        self.drain();
    }

    fn drain(&mut self) {
        let (events, sent) = self.peer.drain();
        let was_refused = self.is_refused;
        for event in events {
            if let Event::Configured(_, assigned) = event {
                self.check(&assigned);
                self.is_configured = true;
            } else if let Event::Established(..) = event {
                assert!(self.is_configured, "up before anything is assigned");
            } else if let Event::Failed(_, Failure::Xauth(why)) = event {
                assert!(why.len() < 256);
                self.is_refused = true;
            }
        }
        for (header, octets) in sent {
            if header.exchange == ExchangeType::Transaction {
                assert!(
                    self.peer.is_of_sa(&header) && !was_refused,
                    "it tries again"
                );
                self.sent(header.message_id, &octets);
            }
        }
    }

    fn check(&self, assigned: &Assigned) {
        assert!(assigned.address.is_some() || !self.client_mode);
        assert!(assigned.dns.len() <= 8 && assigned.backup_servers.len() <= 16);
        let networks = [
            &assigned.split_include,
            &assigned.split_exclude,
            &assigned.subnets,
        ];
        assert!(networks.iter().all(|networks| networks.len() <= 256));
        assert!(assigned.split_dns.len() <= 256);
        let status = self.peer.endpoint.status(ID, self.peer.now).unwrap();
        assert!(
            status.children.is_empty(),
            "a pair before it is known of what"
        );
    }

    /// A transaction of the client.
    fn sent(&mut self, message_id: u32, octets: &[u8]) {
        let is_answer = self
            .begun
            .as_ref()
            .is_some_and(|begun| begun.message_id == message_id);
        let iv = match self.begun.as_ref().filter(|_| is_answer) {
            Some(begun) => begun.iv.clone(),
            None => self.peer.iv(message_id),
        };
        let (has_password, next) = self.peer.open(&iv, Which::First, octets, |read| {
            let [Payload::Hash(_), Payload::Attributes(told)] = read else {
                panic!("more than attributes");
            };
            let mut has_password = false;
            for attribute in &told.attributes {
                if let Value::Long(PASSWORD) = attribute.value {
                    has_password = true;
                    assert!(told.kind == ConfigKind::Reply && is_answer);
                    assert!([xauth::USER_PASSWORD, xauth::PASSCODE].contains(&attribute.kind));
                }
            }
            has_password
        });
        assert!(
            !(has_password && self.is_given),
            "the password is given twice"
        );
        self.is_given |= has_password;
        let exchange = Exchange {
            message_id,
            iv: next,
        };
        if is_answer {
            self.begun = Some(exchange);
        } else {
            self.asked = Some(exchange);
        }
    }
}

/// Takes the steps, then lets all time pass without an answer: nothing is left of any SA.
pub fn run(input: &[u8]) {
    let Some((options, mut input)) = input.split_first() else {
        return;
    };
    let client_mode = options & 1 != 0;
    let mut play = Play {
        peer: Peer::server(client_mode),
        client_mode,
        begun: None,
        asked: None,
        last: Vec::new(),
        is_given: false,
        is_refused: false,
        is_configured: false,
    };
    play.drain();
    for _ in 0..STEPS_MAX {
        let Some((what, of, body)) = step(&mut input) else {
            break;
        };
        play.step(what, of, body);
    }
    for _ in 0..20 {
        play.pass(u8::MAX);
    }
    assert_eq!(play.peer.endpoint.sas(), 0, "an SA that outlives its peer");
    assert_eq!(play.peer.endpoint.poll_timeout(), None);
}
