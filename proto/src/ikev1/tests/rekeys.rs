//! Pairs and ISAKMP SAs replaced, by time and by command, from either end and from both.

use std::time::Duration;

use super::super::*;
use super::net::*;
use super::stepped::{MESSAGES, Stepped};
use crate::ike::{Command, Event, IkeState, Retired, What};

const SECOND: Duration = Duration::from_secs(1);

/// Lets `time` pass with a packet each way every second, none of which may be lost.
fn run_with_data(net: &mut Net, seconds: u32) {
    for _ in 0..seconds {
        net.run(SECOND);
        assert!(net.exchange_data(), "{}", net.story());
    }
}

#[test]
fn a_pair_is_replaced_before_it_ends_and_no_packet_is_lost() {
    for side in [A, B] {
        let mut net = Net::established();
        let before = net.sides[A].only().spi_in;
        net.command(side, Command::Rekey(TUNNEL, What::Child));
        run_with_data(&mut net, 60);
        net.assert_agree();
        assert_ne!(net.sides[A].only().spi_in, before);
    }
}

#[test]
fn pairs_are_replaced_by_time_again_and_again() {
    let mut net = Net::established();
    for _ in 0..4 {
        net.run(SECOND * 3600);
        assert!(net.exchange_data(), "{}", net.story());
    }
    assert!(net.sides[A].endpoint.counters().child_rekeyed >= 3);
    assert_eq!(net.sides[A].downs(), []);
}

#[test]
fn both_ends_may_replace_a_pair_at_once() {
    let mut net = Net::established();
    net.command(A, Command::Rekey(TUNNEL, What::Child));
    net.command(B, Command::Rekey(TUNNEL, What::Child));
    run_with_data(&mut net, 120);
    assert!(!net.sides[A].held.is_empty());
}

#[test]
fn another_isakmp_sa_takes_over_with_the_pairs_as_they_are() {
    for side in [A, B] {
        let mut net = Net::established();
        let pair = net.sides[A].only().spi_in;
        let before = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
        net.command(side, Command::Rekey(TUNNEL, What::Ike));
        run_with_data(&mut net, 60);
        net.assert_agree();
        let after = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
        assert_ne!((before.spi_i, before.spi_r), (after.spi_i, after.spi_r));
        assert_eq!(net.sides[A].only().spi_in, pair);
        assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [1, 1]);
    }
}

#[test]
fn isakmp_sas_are_replaced_by_time() {
    let mut net = Net::established();
    net.run(SECOND * 40_000);
    assert!(net.exchange_data(), "{}", net.story());
    assert!(net.sides[A].endpoint.counters().ike_rekeyed >= 2);
    assert_eq!(net.sides[A].downs(), []);
    let status = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
    assert_eq!(status.state, IkeState::Established);
}

#[test]
fn a_successor_that_does_not_come_up_leaves_the_old_sa_as_it_is() {
    let mut net = Net::established();
    net.weather = Box::new(|_, _| Vec::new());
    net.command(A, Command::Rekey(TUNNEL, What::Ike));
    net.run(SECOND * 100);
    net.weather = Box::new(|_, _| vec![LATENCY]);
    net.run(SECOND * 300);
    assert!(net.exchange_data(), "{}", net.story());
    assert_eq!(net.sides[A].downs(), []);
    let is_failed = |event: &Event| matches!(event, Event::Failed(..));
    assert_eq!(net.sides[A].count(is_failed), 0);
}

#[test]
fn a_pair_that_carried_enough_is_replaced() {
    let mut net = Net::established();
    let before = net.sides[A].only().spi_in;
    net.command(A, Command::ChildAged(TUNNEL, before));
    run_with_data(&mut net, 60);
    assert_ne!(net.sides[A].only().spi_in, before);
}

#[test]
fn a_peer_of_shorter_lifetimes_finds_its_pair_replaced_in_time() {
    let mut b = connection(B);
    b.child_lifetime.rekey = SECOND * 100_000;
    b.child_lifetime.hard = SECOND * 100_000;
    let mut a = connection(A);
    a.child_lifetime.rekey = SECOND * 500;
    a.child_lifetime.hard = SECOND * 600;
    for (a, b, by) in [(a.clone(), b.clone(), B), (a, b, A)] {
        let mut net = Net::with(a, b);
        net.initiate(by);
        net.run(SECOND * 3000);
        assert!(net.exchange_data(), "{}", net.story());
        assert!(net.sides[A].endpoint.counters().child_rekeyed >= 2);
        assert_eq!(net.sides[A].downs(), []);
    }
}

#[test]
fn jitter_is_of_the_lifetime_that_was_agreed_upon() {
    for seed in 0..20 {
        let mut a = connection(A);
        a.child_lifetime.rekey = SECOND * 86_400;
        a.child_lifetime.hard = SECOND * 90_000;
        a.child_lifetime.jitter = SECOND * 8_640;
        let mut b = connection(B);
        b.child_lifetime.hard = SECOND * 1000;
        let mut net = Net::seeded(seed, a, b);
        net.initiate(A);
        net.run(SECOND);
        let left = net.sides[A].only().rekey_at.duration_since(net.now);
        assert!((719..=800).contains(&left.as_secs()), "{left:?}");
    }
}

#[test]
fn a_pair_that_is_deleted_before_the_last_message_of_its_quick_mode_is_made_again() {
    let mut stepped = Stepped::before(MESSAGES);
    let third = stepped.octets();
    let net = &mut stepped.net;
    net.flights.clear();
    let (now, spi_in) = (net.now, net.sides[A].only().spi_in);
    let endpoint = &mut net.sides[A].endpoint;
    let current = endpoint.core.slots[&TUNNEL].current.unwrap();
    endpoint.with(now, current, |core, sa| {
        informational::delete_esp(core, sa, &[spi_in]);
    });
    child::retire(&mut endpoint.core, TUNNEL, spi_in, Retired::Deleted);
    net.drain(A);
    net.run(LATENCY * 2);
    assert!(net.sides[B].held.is_empty());
    let late = flight(net, B, third);
    net.deliver(&late);
    net.run(SECOND * 10);
    net.assert_agree();
    assert!(!net.sides[B].held.is_empty());
}
