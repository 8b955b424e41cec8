//! IKE_SA_INIT by anybody: cookies, half-open limits, and nothing kept of what failed.

use std::net::SocketAddr;
use std::time::Duration;

use adit_crypto::{Group, KeyPair};

use super::super::half_open_count::{HalfOpenCount, OfSource, Opener};
use super::super::proposal::ike_to_wire;
use super::super::*;
use super::net::*;
use crate::wire::ike::{
    ExchangeType, Flags, Header, Payload, Writer, notify, payloads, write_message,
};

const SECOND: Duration = Duration::from_secs(1);

/// A responder for anybody, and who attacks it.
pub(super) struct Attack {
    pub(super) net: Net,
    pub(super) random: Seeded,
}

pub(super) fn header(spi_i: u64, exchange: ExchangeType) -> Header {
    let flags = Flags {
        initiator: true,
        ..Flags::default()
    };
    Header::new(spi_i, 0, exchange, flags, 0)
}

impl Attack {
    pub(super) fn on(config: EndpointConfig) -> Self {
        let mut net = Net::new();
        let b = Connection {
            remotes: None,
            ..connection(B)
        };
        net.sides[B].endpoint = Endpoint::new(config, Box::new(Seeded(5)));
        net.command(B, Command::Add(TUNNEL, Box::new(b)));
        Self {
            net,
            random: Seeded(77),
        }
    }

    /// A datagram from there; what comes back.
    pub(super) fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        let path = Path {
            local: address(B, 500),
            remote: from,
        };
        let endpoint = &mut self.net.sides[B].endpoint;
        endpoint.handle_datagram(self.net.now, path, datagram);
        while endpoint.poll_event().is_some() {}
        std::iter::from_fn(|| endpoint.poll_transmit().map(|transmit| transmit.octets)).collect()
    }

    /// A good request of a new SPI, with that cookie.
    pub(super) fn sa_init(&mut self, cookie: Option<&[u8]>) -> (u64, Vec<u8>) {
        let spi_i = self.random.next();
        (spi_i, self.sa_init_of(spi_i, 31, &[9; 32], cookie))
    }

    pub(super) fn sa_init_of(
        &self,
        spi_i: u64,
        group: u16,
        public: &[u8],
        cookie: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut writer = Writer::new();
        if let Some(cookie) = cookie {
            writer.notify(0, &[], notify::COOKIE, cookie);
        }
        writer
            .sa(&ike_to_wire(&IkeOffer::defaults(), None))
            .ke(group, public)
            .nonce(&[spi_i.to_be_bytes()[7]; 32]);
        let (first, chain) = writer.finish();
        write_message(&header(spi_i, ExchangeType::IkeSaInit), first, &chain)
    }

    pub(super) fn sas(&self) -> usize {
        self.net.sides[B].endpoint.sas()
    }

    pub(super) fn counters(&self) -> IkeCounters {
        self.net.sides[B].endpoint.counters()
    }
}

pub(super) fn from(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(stranger(last), port)
}

/// The data of the only notification of a message in the clear.
pub(super) fn only_notify(message: &[u8]) -> (u16, Vec<u8>) {
    let header = Header::parse(message).unwrap();
    let all = payloads(header.next_payload, &message[28..]).unwrap();
    match all.as_slice() {
        [Payload::Notify(notify)] => (notify.kind, notify.data.to_vec()),
        other => panic!("not one notification: {other:?}"),
    }
}

#[test]
fn no_more_half_open_sas_than_the_limit_and_none_after_their_time() {
    let mut attack = Attack::on(EndpointConfig {
        half_open_max: 20,
        half_open_per_source: 100,
        cookie_threshold: 1000,
        ..EndpointConfig::default()
    });
    for port in 0..50 {
        let (_, request) = attack.sa_init(None);
        attack.send(from(1, 1000 + port), &request);
    }
    assert_eq!((attack.sas(), attack.counters().half_open), (20, 20));
    assert_eq!(attack.counters().half_open_full, 30);
    attack.net.run(SECOND * 31);
    assert_eq!((attack.sas(), attack.counters().half_open), (0, 0));
    assert!(attack.net.sides[B].endpoint.poll_timeout().is_none());
}

#[test]
fn one_source_cannot_take_the_place_of_others() {
    let mut attack = Attack::on(EndpointConfig {
        half_open_per_source: 5,
        ..EndpointConfig::default()
    });
    let mut cookies = Vec::new();
    for port in 0..30 {
        let (spi_i, request) = attack.sa_init(None);
        let answers = attack.send(from(1, 1000 + port), &request);
        if port >= 5 {
            let (kind, cookie) = only_notify(&answers[0]);
            assert_eq!(kind, notify::COOKIE);
            cookies.push((port, spi_i, cookie));
        }
    }
    assert_eq!((attack.sas(), attack.counters().cookies_sent), (5, 25));
    for (port, spi_i, cookie) in cookies {
        let request = attack.sa_init_of(spi_i, 31, &[9; 32], Some(&cookie));
        attack.send(from(1, 1000 + port), &request);
    }
    assert_eq!((attack.sas(), attack.counters().half_open_source), (10, 20));
    let (_, request) = attack.sa_init(None);
    assert_eq!(attack.send(from(2, 500), &request).len(), 1);
    assert_eq!(attack.sas(), 11);
}

#[test]
fn beyond_the_threshold_nothing_is_kept_of_who_has_not_returned_a_cookie() {
    let mut attack = Attack::on(EndpointConfig {
        cookie_threshold: 3,
        ..EndpointConfig::default()
    });
    for port in 0..40 {
        let (_, request) = attack.sa_init(None);
        attack.send(from(1, 1000 + port), &request);
    }
    assert_eq!((attack.sas(), attack.counters().cookies_sent), (3, 37));
    let spi = 4242;
    let request = attack.sa_init_of(spi, 31, &[9; 32], None);
    let answers = attack.send(from(2, 500), &request);
    let (kind, cookie) = only_notify(&answers[0]);
    assert_eq!(kind, notify::COOKIE);
    assert!(answers[0].len() <= request.len());
    let with_cookie = attack.sa_init_of(spi, 31, &[9; 32], Some(&cookie));
    assert_eq!(
        only_notify(&attack.send(from(3, 500), &with_cookie)[0]).0,
        notify::COOKIE
    );
    assert_eq!(attack.sas(), 3);
    attack.send(from(2, 500), &with_cookie);
    assert_eq!((attack.sas(), attack.counters().cookies_good), (4, 1));
}

#[test]
fn two_endpoints_establish_through_a_cookie() {
    let mut net = Net::new();
    let now = net.now;
    let config = EndpointConfig {
        cookie_threshold: 0,
        ..EndpointConfig::default()
    };
    net.sides[B].endpoint = Endpoint::new(config, Box::new(Seeded(5)));
    let add = Command::Add(TUNNEL, Box::new(connection(B)));
    net.sides[B].endpoint.handle_command(now, add).unwrap();
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.headers(A).len(), 3);
    assert_eq!(net.sides[A].traced("N(COOKIE)"), 2);
}

#[test]
fn a_responder_sends_no_more_than_it_got_before_the_address_is_proven() {
    let mut attack = Attack::on(EndpointConfig::default());
    for port in 0..20 {
        let (_, request) = attack.sa_init(None);
        let got: usize = request.len();
        let sent: usize = attack
            .send(from(1, 1000 + port), &request)
            .iter()
            .map(Vec::len)
            .sum();
        assert!(sent > 0 && sent <= got, "{sent} for {got}");
        let again: usize = attack
            .send(from(1, 1000 + port), &request)
            .iter()
            .map(Vec::len)
            .sum();
        assert_eq!(again, sent);
    }
    attack.net.sent.clear();
    attack.net.run(SECOND * 25);
    assert!(
        attack.net.sent.is_empty(),
        "a responder never repeats anything by itself"
    );
}

/// Key exchanges are what a responder can be made to pay for.
#[test]
fn nobody_gets_a_key_exchange_without_a_cookie_or_a_half_open_sa_that_counts() {
    let offers = ["aes256gcm16-prfsha384-ecp384".parse().unwrap()];
    let good = KeyPair::generate(Group::EcpP384).unwrap();
    let cases: [(&[IkeOffer], u16, &[u8], u64); 3] = [
        // Shorter than the answer to it: a cookie comes before anything else.
        (&offers, 20, good.public(), 0),
        (&offers, 20, &[0xff; 96], 0),
        // Found useless by a key exchange, which is then as bounded as any other.
        (&IkeOffer::defaults(), 31, &[0; 32], 50),
    ];
    for (ike, group, public, opened) in cases {
        let mut attack = Attack::on(EndpointConfig::default());
        let chosen = Connection {
            ike: ike.to_vec(),
            remotes: None,
            ..connection(B)
        };
        attack
            .net
            .command(B, Command::Add(TUNNEL, Box::new(chosen)));
        for spi_i in 1..=200 {
            let mut writer = Writer::new();
            writer
                .sa(&ike_to_wire(ike, None))
                .ke(group, public)
                .nonce(&[7; 16]);
            let (first, chain) = writer.finish();
            let request = write_message(&header(spi_i, ExchangeType::IkeSaInit), first, &chain);
            attack.send(from(1, 500), &request);
        }
        let counters = attack.counters();
        assert_eq!(
            (counters.half_open, counters.cookies_sent),
            (opened, 200 - opened)
        );
    }
}

#[test]
fn an_initiator_does_not_follow_cookies_and_groups_for_ever() {
    let a = Connection {
        ike: vec!["aes256gcm16-prfsha256-ecp384-x25519".parse().unwrap()],
        ..connection(A)
    };
    let mut net = Net::with(a, connection(B));
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    for round in 0..50 {
        let group: [u8; 2] = if round % 2 == 0 { [0, 31] } else { [0, 20] };
        net.forge(notify::COOKIE, &[round; 16]);
        net.forge(notify::INVALID_KE_PAYLOAD, &group);
    }
    assert!(net.sides[A].failures().is_empty());
    assert_eq!(net.headers(A).len(), 5);
    net.run(SECOND * 3);
    assert_eq!(
        net.sides[A].failures(),
        ["peer broke the protocol: it goes on asking for another IKE_SA_INIT"]
    );
    assert_eq!(net.sides[A].endpoint.sas(), 0);
}

#[test]
fn half_open_sas_are_counted_by_source_and_in_all() {
    let opener = |last, is_proven| {
        let source = stranger(last);
        Some(Opener { source, is_proven })
    };
    let of = |all, proven| OfSource { all, proven };
    let mut count = HalfOpenCount::default();
    count.change(None, opener(1, true));
    count.change(None, opener(1, false));
    count.change(None, opener(2, false));
    assert_eq!(count.total(), 3);
    assert_eq!(
        (count.of(stranger(1)), count.of(stranger(2))),
        (of(2, 1), of(1, 0))
    );
    count.change(opener(1, true), None);
    count.change(opener(2, false), None);
    assert_eq!(count.total(), 1);
    assert_eq!(
        (count.of(stranger(1)), count.of(stranger(2))),
        (of(1, 0), of(0, 0))
    );
}
