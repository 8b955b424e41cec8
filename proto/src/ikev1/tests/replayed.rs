//! Messages that were on the wire before, of either end, from where the peer is not and under another exchange type: nothing is believed.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::*;
use super::establish::behind_a_nat;
use super::net::*;
use crate::ike::{Command, Event, Path, What};
use crate::wire::isakmp::{ExchangeType, Header};

const SECOND: Duration = Duration::from_secs(1);
const EXCHANGE_AT: usize = 18;

fn stranger() -> SocketAddr {
    ([198, 51, 100, 66], 4500).into()
}

/// Has everything that was ever sent arrive at `to` from elsewhere, as it was and as each other exchange, and sees that nothing comes of it.
fn assert_nothing_is_believed(net: &mut Net, to: usize) {
    net.weather = Box::new(|_, _| Vec::new());
    let recorded: Vec<Vec<u8>> = net.sent.iter().map(|(_, octets)| octets.clone()).collect();
    for octets in recorded {
        for exchange in [2, 4, 5, 6, 32] {
            let mut octets = octets.clone();
            octets[EXCHANGE_AT] = exchange;
            let was = Header::parse(&octets).unwrap();
            let replayed = Flight {
                at: net.now,
                to,
                path: Path {
                    local: address(to, 4500),
                    remote: stranger(),
                },
                octets,
            };
            let (before, sent) = (net.sides[to].events.len(), net.sent.len());
            net.deliver(&replayed);
            let is_trace = |event: &Event| matches!(event, Event::Trace(..));
            let side = &net.sides[to];
            assert!(
                side.events[before..].iter().all(is_trace),
                "{was:?}\n{}",
                net.story()
            );
            // A first message is anybody's, and the last question is answered again.
            let answers = net.sent.iter().skip(sent);
            for (_, answer) in answers {
                let exchange = Header::parse(answer).unwrap().exchange;
                let is_anybodys = exchange == ExchangeType::IdentityProtection;
                assert!(
                    is_anybodys || was.exchange == ExchangeType::Informational,
                    "{was:?}"
                );
            }
        }
    }
    let status = net.sides[to].endpoint.status(TUNNEL, net.now).unwrap();
    assert_ne!(status.path.unwrap().remote, stranger());
    assert_eq!(status.children.len(), 1);
    net.sent.clear();
    net.weather = Box::new(|_, _| vec![LATENCY]);
}

/// Two ends, behind a NAT or not, that asked each other whether they live, and that refused a pair.
fn with_a_past(is_natted: bool) -> Net {
    let mut net = if is_natted {
        behind_a_nat()
    } else {
        Net::established()
    };
    for side in [A, B] {
        net.command(side, Command::Probe(TUNNEL));
        net.run(SECOND);
    }
    for side in [A, B] {
        let now = net.now;
        let current = net.sides[side].endpoint.core.slots[&TUNNEL]
            .current
            .unwrap();
        net.sides[side].endpoint.with(now, current, |core, sa| {
            informational::send_notify(core, sa, 14);
        });
        net.drain(side);
        net.run(SECOND);
    }
    // What is complete is forgotten.
    net.run(SECOND * 300);
    net.assert_agree();
    net
}

#[test]
fn nothing_that_was_on_the_wire_proves_life_moves_the_peer_or_makes_a_pair() {
    for is_natted in [false, true] {
        for to in [A, B] {
            let mut net = with_a_past(is_natted);
            assert_nothing_is_believed(&mut net, to);
            net.run(SECOND * 60);
            net.assert_agree();
            assert_eq!(net.sides[to].downs(), []);
        }
    }
}

#[test]
fn an_error_that_was_told_before_refuses_no_later_pair() {
    for to in [A, B] {
        let mut net = with_a_past(false);
        let recorded: Vec<Vec<u8>> = net.sent.iter().map(|(_, octets)| octets.clone()).collect();
        let before = net.sides[to].only().spi_in;
        net.command(to, Command::Rekey(TUNNEL, What::Child));
        for octets in recorded {
            let replayed = flight(&net, to, octets);
            net.deliver(&replayed);
        }
        net.run(SECOND * 60);
        net.assert_agree();
        assert_ne!(net.sides[to].only().spi_in, before);
    }
}

#[test]
fn nothing_is_expected_in_a_quick_mode_that_is_complete() {
    let mut net = Net::established();
    let before = net.sides[B].endpoint.counters();
    let mut octets = last(&net, A);
    let header = Header::parse(&octets).unwrap();
    assert_eq!(header.exchange, ExchangeType::Quick);
    *octets.last_mut().unwrap() ^= 1;
    let another = flight(&net, B, octets);
    net.deliver(&another);
    let after = net.sides[B].endpoint.counters();
    assert_eq!(after.unexpected, before.unexpected + 1);
    assert_eq!(after.not_authentic, before.not_authentic);
}
