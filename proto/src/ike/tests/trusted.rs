//! A peer that proved who it is gets no more than its tunnel allows, and what it breaks is cleared away.

use std::time::Duration;

use super::super::awaited::Awaited;
use super::super::sa::Phase;
use super::super::task::Task;
use super::super::*;
use super::net::*;
use crate::wire::ike::{ExchangeType, Writer, kind, notify};

const SECOND: Duration = Duration::from_secs(1);

/// `side` asks what it likes, sealed with the keys of its SA in use.
fn ask(net: &mut Net, side: usize, exchange: ExchangeType, writer: &mut Writer) {
    let now = net.now;
    let spi = net.sides[side].endpoint.current_of(TUNNEL);
    net.sides[side].endpoint.with(now, spi, |core, sa| {
        sa.request(core, now, exchange, writer, Awaited::Probe);
    });
    net.drain(side);
    net.run(LATENCY * 3);
}

/// A response of `B` to the request of that number, with what it likes in it.
fn answer_by_b(net: &mut Net, exchange: ExchangeType, message_id: u32, writer: &mut Writer) {
    let now = net.now;
    let spi = net.sides[B].endpoint.current_of(TUNNEL);
    let (first, chain) = writer.finish();
    let octets = net.sides[B].endpoint.with(now, spi, |core, sa| {
        sa.datagrams(core, (exchange, true, message_id), first, &chain)
    });
    for octets in octets.unwrap() {
        let path = path(A, 500);
        net.deliver(&Flight {
            at: now,
            to: A,
            path,
            octets,
        });
    }
}

/// Every inbound SPI that `side` keeps is one of a pair.
fn assert_no_spi_is_kept(net: &Net, side: usize) {
    let spis = net.sides[side].endpoint.core.numbers.spis.iter();
    assert!(spis.eq(net.sides[side].held.keys()), "side {side}");
}

#[test]
fn what_is_listed_to_be_asked_is_no_deadline_of_an_ike_sa_that_asks_no_more() {
    let mut net = Net::established();
    let old = net.sides[A].endpoint.current_of(TUNNEL);
    net.command(B, Command::Rekey(TUNNEL, What::Ike));
    net.run(LATENCY);
    let now = net.now;
    net.sides[A].endpoint.with(now, old, |_, sa| {
        assert!(matches!(sa.phase, Phase::Superseded));
        sa.ask(now, Task::Probe);
        let (at, timer) = sa.next_deadline().unwrap();
        assert!(at > now && timer == Timer::Superseded, "{timer:?}");
    });
    net.run(SECOND * 60);
    net.assert_agree();
    assert_eq!(net.sides[A].endpoint.sas(), 1);
}

/// `A` waits for the answer to what it was told last, and nothing of what it sends arrives.
fn asked_in_vain(command: Command) -> Net {
    let mut net = Net::established();
    net.weather = Box::new(|from, _| if from == A { Vec::new() } else { vec![LATENCY] });
    net.command(A, command);
    net
}

#[test]
fn an_answer_that_does_not_read_fails_no_tunnel_whose_ike_sa_has_a_successor_or_is_deleted() {
    let unreadable = |net: &mut Net| {
        let mut writer = Writer::new();
        writer.raw(kind::NONCE, &[1, 2, 3]);
        answer_by_b(net, ExchangeType::Informational, 2, &mut writer);
    };
    let mut net = asked_in_vain(Command::Probe(TUNNEL));
    let old = net.sides[A].endpoint.current_of(TUNNEL);
    net.command(B, Command::Rekey(TUNNEL, What::Ike));
    net.run(LATENCY);
    assert_ne!(net.sides[A].endpoint.current_of(TUNNEL), old);
    unreadable(&mut net);
    assert!(net.sides[A].endpoint.sa(old).is_none());
    assert!(net.sides[A].up && net.sides[A].held.len() == 1);
    assert!(net.sides[A].failures().is_empty() && net.sides[A].downs().is_empty());

    let mut net = asked_in_vain(Command::Clear(TUNNEL));
    unreadable(&mut net);
    assert_eq!(net.sides[A].endpoint.sas(), 0);
    assert!(net.sides[A].failures().is_empty());
    assert_eq!(net.sides[A].downs(), [DownWhy::Cleared]);
}

/// `A` has asked for another pair, and nothing of what it sends arrives.
fn child_asked_in_vain() -> Net {
    let net = asked_in_vain(Command::Rekey(TUNNEL, What::Child));
    assert_eq!(net.sides[A].endpoint.core.numbers.spis.len(), 2);
    net
}

#[test]
fn the_spi_of_a_pair_that_was_asked_for_is_free_again_when_the_peer_deletes_the_ike_sa() {
    let mut net = child_asked_in_vain();
    net.command(B, Command::Clear(TUNNEL));
    net.run(SECOND);
    assert_eq!(net.sides[A].downs(), [DownWhy::PeerDeleted]);
    assert_no_spi_is_kept(&net, A);
}

#[test]
fn the_spi_of_a_pair_that_was_asked_for_is_free_again_when_the_peer_reports_a_fault() {
    for fault in [notify::AUTHENTICATION_FAILED, notify::INVALID_SYNTAX] {
        let mut net = child_asked_in_vain();
        let mut writer = Writer::new();
        writer.notify(0, &[], fault, &[]);
        ask(&mut net, B, ExchangeType::Informational, &mut writer);
        assert_eq!(net.sides[A].downs(), [DownWhy::PeerFault(fault)]);
        assert_no_spi_is_kept(&net, A);
    }
}

#[test]
fn the_spi_of_a_pair_that_was_asked_for_is_free_again_when_the_answer_does_not_read() {
    let mut net = child_asked_in_vain();
    let mut writer = Writer::new();
    writer.raw(kind::NONCE, &[1, 2, 3]);
    answer_by_b(&mut net, ExchangeType::CreateChildSa, 2, &mut writer);
    assert_eq!(net.sides[A].downs(), [DownWhy::Protocol]);
    assert_no_spi_is_kept(&net, A);
}

#[test]
fn an_encrypted_payload_inside_of_another_breaks_the_protocol() {
    for nested in [kind::SK, kind::SKF] {
        let mut net = Net::established();
        let mut writer = Writer::new();
        writer.raw(nested, &[0, 1, 0, 1, 5, 6, 7, 8]);
        ask(&mut net, B, ExchangeType::Informational, &mut writer);
        assert_eq!(net.sides[A].downs(), [DownWhy::Protocol]);
        let why = "does not read: payloads at octet 0: an Encrypted payload inside of another";
        assert_eq!(net.sides[A].traced(why), 1, "{}", net.story());
    }
}
