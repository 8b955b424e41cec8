//! Both ends ask at once: each pair of requests, at each order of arrival (RFC 7296 sections 2.8.1, 2.8.2 and 2.25).

use std::time::Duration;

use super::super::*;
use super::net::*;
use crate::wire::ike::ExchangeType;

const SECOND: Duration = Duration::from_secs(1);

/// What an end asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    RekeyChild,
    RekeyIke,
    Probe,
    DeleteChild,
    Clear,
}

const ALL: [Asks; 5] = [
    Asks::RekeyChild,
    Asks::RekeyIke,
    Asks::Probe,
    Asks::DeleteChild,
    Asks::Clear,
];

fn ask(net: &mut Net, side: usize, asks: Asks) {
    match asks {
        Asks::RekeyChild if net.sides[side].held.is_empty() => {}
        Asks::RekeyChild => net.command(side, Command::Rekey(TUNNEL, What::Child)),
        Asks::RekeyIke => net.command(side, Command::Rekey(TUNNEL, What::Ike)),
        Asks::Probe => net.command(side, Command::Probe(TUNNEL)),
        Asks::DeleteChild => {
            net.sides[side].endpoint.delete_child(net.now, TUNNEL);
            net.drain(side);
        }
        Asks::Clear => net.command(side, Command::Clear(TUNNEL)),
    }
}

/// Both ask within less than a flight, in both orders, over wires of several lengths and with the first datagram of an end lost.
fn matrix(mut check: impl FnMut(Asks, Asks, Net)) {
    for (a, b) in ALL.into_iter().flat_map(|a| ALL.map(|b| (a, b))) {
        for gap in [0, 4, 12, 19] {
            for loses in [None, Some(A), Some(B)] {
                let mut net = Net::seeded(gap + 3, connection(A), connection(B));
                net.initiate(A);
                net.run(SECOND);
                net.assert_agree();
                lose_first(&mut net, loses);
                ask(&mut net, A, a);
                net.run(Duration::from_millis(gap));
                if net.sides[B].up {
                    ask(&mut net, B, b);
                }
                net.run(SECOND * 90);
                check(a, b, net);
            }
        }
    }
}

fn lose_first(net: &mut Net, loses: Option<usize>) {
    let mut left = loses;
    net.weather = Box::new(move |from, _| {
        if left.take_if(|side| *side == from).is_some() {
            return Vec::new();
        }
        vec![LATENCY]
    });
}

#[test]
fn every_pair_of_crossing_requests_ends_in_agreement_or_cleanly_down() {
    matrix(|a, b, net| {
        if a == Asks::Clear || b == Asks::Clear {
            for side in [A, B] {
                assert_eq!(net.sides[side].endpoint.sas(), 0, "{a:?} {b:?}");
                assert!(net.sides[side].held.is_empty(), "{a:?} {b:?}");
                assert_eq!(net.sides[side].downs().len(), 1, "{a:?} {b:?}");
            }
        } else {
            net.agree()
                .unwrap_or_else(|why| panic!("{a:?} {b:?}: {why}\n{}", net.story()));
            assert!(
                net.sides.iter().all(|side| side.downs().is_empty()),
                "{a:?} {b:?}"
            );
            assert!(
                net.sides.iter().all(|side| side.endpoint.sas() == 1),
                "{a:?} {b:?}"
            );
        }
    });
}

#[test]
fn of_two_successors_of_a_child_the_one_of_the_lowest_nonce_is_deleted_by_who_made_it() {
    let mut winners = [0, 0];
    for seed in 0..12 {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        net.initiate(A);
        net.run(SECOND);
        net.headers(A);
        net.headers(B);
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.command(B, Command::Rekey(TUNNEL, What::Child));
        for _ in 0..100 {
            net.run(Duration::from_millis(1));
            assert!(net.exchange_data());
        }
        net.assert_agree();
        let ours = net.sides[A].traced("our successor stays");
        assert_eq!(ours + net.sides[B].traced("our successor stays"), 1);
        winners[usize::from(ours == 0)] += 1;
        for side in [A, B] {
            assert_eq!(
                net.requests(side, ExchangeType::Informational),
                1,
                "each deletes one pair"
            );
        }
    }
    assert!(winners[A] > 0 && winners[B] > 0, "{winners:?}");
}

#[test]
fn of_two_successors_of_an_ike_sa_the_one_of_the_lowest_nonce_is_deleted_by_who_made_it() {
    let mut winners = [0, 0];
    for seed in 0..12 {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        net.initiate(A);
        net.run(SECOND);
        net.command(A, Command::Rekey(TUNNEL, What::Ike));
        net.command(B, Command::Rekey(TUNNEL, What::Ike));
        net.run(SECOND);
        net.assert_agree();
        let status = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
        winners[usize::from(!status.we_initiated)] += 1;
        let ours = [A, B].map(|side| net.sides[side].traced("our successor stays"));
        assert_eq!(
            ours,
            [0, 1].map(|side| usize::from(status.we_initiated == (side == A)))
        );
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.run(SECOND * 90);
        net.assert_agree();
        assert_eq!(
            (net.sides[A].endpoint.sas(), net.sides[B].endpoint.sas()),
            (1, 1)
        );
    }
    assert!(winners[A] > 0 && winners[B] > 0, "{winners:?}");
}

#[test]
fn a_request_about_a_child_waits_for_the_ike_sa_that_is_being_replaced() {
    let mut net = Net::established();
    net.command(A, Command::Rekey(TUNNEL, What::Ike));
    net.command(B, Command::Rekey(TUNNEL, What::Child));
    net.run(LATENCY * 2);
    assert_eq!(
        net.sides[A].traced("refused CREATE_CHILD_SA: peer refused with TEMPORARY_FAILURE"),
        1
    );
    assert_eq!(
        net.sides[B].traced("refused CREATE_CHILD_SA: peer refused with TEMPORARY_FAILURE"),
        1
    );
    net.run(SECOND * 5);
    net.assert_agree();
    let children = |side: &Side| side.endpoint.counters().child_rekeyed;
    assert_eq!((children(&net.sides[A]), children(&net.sides[B])), (1, 1));
    assert_eq!(net.sides[A].endpoint.counters().ike_rekeyed, 1);
}

#[test]
fn both_ends_may_replace_the_child_every_two_seconds_without_losing_a_packet() {
    let mut net = Net::established();
    for round in 0..60 {
        net.run(Duration::from_millis(1990 + round % 20));
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.run(Duration::from_millis(round % 25));
        let again = net.sides[B]
            .endpoint
            .handle_command(net.now, Command::Rekey(TUNNEL, What::Child));
        assert!(again.is_ok());
        net.drain(B);
        for _ in 0..60 {
            net.run(Duration::from_millis(1));
            assert!(net.exchange_data());
        }
    }
    net.run(SECOND * 40);
    net.assert_agree();
}
