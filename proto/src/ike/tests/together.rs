//! Several IKE SAs of one tunnel: both ends initiate at once, one end starts anew.

use std::sync::Arc;
use std::time::Duration;

use super::super::core::Core;
use super::super::sa::IkeSa;
use super::super::task::Task;
use super::super::*;
use super::net::*;
use crate::wire::ike::ExchangeType;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn both_ends_may_initiate_at_once_and_one_ike_sa_stays() {
    let mut winners = [0, 0];
    for seed in 0..8 {
        for gap in [0, 15, 35] {
            let mut net = Net::seeded(seed, connection(A), connection(B));
            net.initiate(A);
            net.run(Duration::from_millis(gap));
            let now = net.now;
            if net.sides[B]
                .endpoint
                .handle_command(now, Command::Initiate(TUNNEL, path(B, 500)))
                .is_err()
            {
                continue;
            }
            net.drain(B);
            net.run(SECOND * 30);
            net.assert_agree();
            assert!(
                net.sides
                    .iter()
                    .all(|side| side.up && side.downs().is_empty())
            );
            let status = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
            winners[usize::from(!status.we_initiated)] += 1;
            net.run(SECOND * 60);
            assert_eq!(
                (net.sides[A].endpoint.sas(), net.sides[B].endpoint.sas()),
                (1, 1)
            );
        }
    }
    assert!(winners[A] > 0 && winners[B] > 0, "{winners:?}");
}

#[test]
fn an_attempt_whose_first_message_was_lost_leaves_one_ike_sa_whichever_end_decides() {
    for seed in 0..8 {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        net.weather = Box::new(|_, _| Vec::new());
        net.initiate(A);
        net.weather = Box::new(|_, _| vec![LATENCY]);
        net.initiate(B);
        net.run(SECOND * 60);
        net.assert_agree();
        for side in &net.sides {
            assert_eq!(side.downs(), Vec::new(), "seed {seed}: {}", net.story());
            assert_eq!(side.endpoint.sas(), 1);
        }
    }
}

#[test]
fn an_attempt_that_got_no_answer_is_not_repeated_once_the_peer_s_own_is_in_use() {
    for seed in 0..8 {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        net.weather = Box::new(|_, _| Vec::new());
        net.initiate(A);
        net.weather = Box::new(|_, _| vec![LATENCY]);
        net.initiate(B);
        net.run(SECOND);
        net.assert_agree();
        let made = net.sides[A].only().spi_in;
        assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 1);
        net.run(SECOND * 100);
        net.assert_agree();
        assert_eq!(net.sides[A].only().spi_in, made);
        assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 0);
        let told = |side: &Side| {
            let is_established = |event: &Event| matches!(event, Event::Established(..));
            (side.count(is_established), side.failures(), side.downs())
        };
        for side in &net.sides {
            assert_eq!(told(side), (1, Vec::new(), Vec::new()));
            assert_eq!(side.endpoint.sas(), 1);
            side.endpoint.assert_timers();
        }
        assert_eq!(net.sides[A].endpoint.counters().failed, 0);
    }
}

#[test]
fn an_attempt_goes_on_while_the_peer_s_ike_sa_has_no_child() {
    let b = Connection {
        esp: vec!["aes128gcm16".parse().unwrap()],
        ..connection(B)
    };
    let a = Connection {
        esp: vec!["aes256gcm16".parse().unwrap()],
        ..connection(A)
    };
    let mut net = Net::with(a, b);
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    net.weather = Box::new(|_, _| vec![LATENCY]);
    net.initiate(B);
    net.run(SECOND);
    net.headers(A);
    net.run(SECOND * 2);
    assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 1);
}

#[test]
fn one_ike_sa_stays_whichever_of_the_first_messages_is_lost_when_both_ends_initiate() {
    for (seed, loses) in (0..16).flat_map(|seed| [(seed, A), (seed, B)]) {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        let mut left = Some(loses);
        net.weather = Box::new(move |from, _| match left.take_if(|side| *side == from) {
            Some(_) => Vec::new(),
            None => vec![LATENCY],
        });
        net.initiate(A);
        net.initiate(B);
        net.run(SECOND * 60);
        net.assert_agree();
        for side in &net.sides {
            assert_eq!(side.downs(), Vec::new(), "seed {seed}: {}", net.story());
            assert_eq!(side.endpoint.sas(), 1);
        }
    }
}

#[test]
fn an_ike_sa_that_was_one_too_many_stays_once_it_is_the_one_in_use() {
    let mut net = Net::established();
    let spi = net.sides[A].endpoint.current_of(TUNNEL);
    let (now, at) = (net.now, net.now + SECOND);
    let ask = |_: &mut Core, sa: &mut IkeSa| sa.ask(at, Task::DeleteIke);
    net.sides[A].endpoint.with(now, spi, ask);
    net.run(SECOND * 30);
    net.assert_agree();
    assert!(net.sides[A].downs().is_empty());
}

#[test]
fn an_ike_sa_that_is_one_too_many_is_deleted_even_if_it_is_replaced_first() {
    for side in [A, B] {
        let mut net = Net::new();
        net.initiate(A);
        net.initiate(B);
        net.run(Duration::from_millis(200));
        let endpoint = &mut net.sides[side].endpoint;
        let current = endpoint.current_of(TUNNEL);
        let sas = endpoint.core.slots[&TUNNEL].sas.clone();
        let other = sas.into_iter().find(|spi| *spi != current).unwrap();
        let now = net.now;
        endpoint.with(now, other, |_, sa| sa.ask(now, Task::RekeyIke));
        net.drain(side);
        net.run(SECOND * 90);
        net.assert_agree();
        for side in &net.sides {
            assert_eq!((side.endpoint.sas(), side.downs()), (1, Vec::new()));
        }
    }
}

#[test]
fn data_goes_on_while_one_of_two_ike_sas_is_closed() {
    for seed in 0..8 {
        let mut net = Net::seeded(seed, connection(A), connection(B));
        net.initiate(A);
        net.initiate(B);
        net.run(Duration::from_millis(100));
        for _ in 0..300 {
            net.run(Duration::from_millis(10));
            assert!(net.exchange_data());
        }
        net.assert_agree();
    }
}

#[test]
fn a_peer_that_starts_anew_takes_the_place_of_what_it_forgot() {
    let mut net = Net::established();
    let old = net.sides[B].only().spi_in;
    let now = net.now;
    let mut fresh = Endpoint::new(EndpointConfig::default(), Box::new(Seeded(99)));
    fresh
        .handle_command(now, Command::Add(TUNNEL, Box::new(connection(A))))
        .unwrap();
    net.sides[A].endpoint = fresh;
    net.sides[A].held.clear();
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert_ne!(net.sides[B].only().spi_in, old);
    assert_eq!(net.sides[B].only().replaces, Some(old));
    assert!(net.sides[B].downs().is_empty() && net.sides[B].up);
    assert_eq!(net.sides[B].endpoint.sas(), 1);
}

/// `A` has forgotten what it had, and comes again as changed without a word of having started anew.
fn comes_again(net: &mut Net, change: impl FnOnce(&mut Connection)) {
    let now = net.now;
    let mut fresh = Endpoint::new(EndpointConfig::default(), Box::new(Seeded(99)));
    let mut a = connection(A);
    change(&mut a);
    fresh
        .handle_command(now, Command::Add(TUNNEL, Box::new(a)))
        .unwrap();
    net.sides[A].endpoint = fresh;
    net.sides[A].held.clear();
    net.initiate(A);
    // With an SA in use it does not say INITIAL_CONTACT.
    let slots = &mut net.sides[A].endpoint.core.slots;
    slots.get_mut(&TUNNEL).unwrap().current = Some(1);
    net.run(LATENCY * 5);
}

fn refused_selectors(a: &mut Connection) {
    a.local_ts = vec![selector("172.16.0.0-172.16.0.255")];
}

#[test]
fn an_ike_sa_without_a_child_leaves_the_one_in_use_alone() {
    let mut net = Net::established();
    let in_use = net.sides[B].endpoint.current_of(TUNNEL);
    let held = net.sides[B].only().spi_in;
    comes_again(&mut net, refused_selectors);
    assert_eq!(net.sides[B].failures().len(), 1);
    net.run(SECOND * 90);
    assert_eq!(net.sides[B].endpoint.current_of(TUNNEL), in_use);
    assert_eq!(net.sides[B].only().spi_in, held);
    assert_eq!(
        (net.sides[B].endpoint.sas(), net.sides[B].downs()),
        (1, Vec::new())
    );
    assert_eq!(
        net.sides[B].count(|event| matches!(event, Event::Established(..))),
        1
    );
}

#[test]
fn an_ike_sa_that_gets_its_child_later_takes_the_place_of_the_one_in_use() {
    let mut net = Net::established();
    let old = net.sides[B].only().spi_in;
    let mut answers = 0;
    net.weather = Box::new(move |from, _| {
        answers += u32::from(from == B);
        // The response of IKE_AUTH, after which this initiator would give up.
        let is_lost = from == B && answers == 2;
        if is_lost { Vec::new() } else { vec![LATENCY] }
    });
    comes_again(&mut net, refused_selectors);
    let (now, in_use) = (net.now, net.sides[B].endpoint.current_of(TUNNEL));
    let endpoint = &mut net.sides[A].endpoint;
    let spi = *endpoint.core.slots[&TUNNEL].sas.first().unwrap();
    endpoint.with(now, spi, |core, sa| {
        sa.window.drop_outstanding(core);
        sa.establish(core, now);
        sa.tunnel = Some((TUNNEL, Arc::new(connection(A))));
        core.established(sa, false);
        sa.ask(now, Task::NewChild);
    });
    net.drain(A);
    net.run(SECOND * 60);
    net.assert_agree();
    assert_ne!(net.sides[B].endpoint.current_of(TUNNEL), in_use);
    assert_eq!(net.sides[B].only().replaces, Some(old));
    assert_eq!(
        (net.sides[B].endpoint.sas(), net.sides[B].downs()),
        (1, Vec::new())
    );
    assert_eq!(
        net.sides[B].count(|event| matches!(event, Event::Established(..))),
        2
    );
}

#[test]
fn another_identity_does_not_take_a_tunnel_for_anybody_while_its_peer_is_there() {
    let mut b = connection(B);
    b.remote_id = None;
    let mut net = Net::with(connection(A), b);
    net.initiate(A);
    net.run(SECOND);
    let (in_use, held) = (
        net.sides[B].endpoint.current_of(TUNNEL),
        net.sides[B].only().spi_in,
    );
    let mut fresh = Endpoint::new(EndpointConfig::default(), Box::new(Seeded(99)));
    let c = Identity::Fqdn("c.example".to_owned());
    let other = Connection {
        local_id: c.clone(),
        ..connection(A)
    };
    fresh
        .handle_command(net.now, Command::Add(TUNNEL, Box::new(other)))
        .unwrap();
    net.sides[A].endpoint = fresh;
    net.sides[A].held.clear();
    net.initiate(A);
    net.run(SECOND * 60);
    assert_eq!(
        net.sides[B].failures(),
        ["peer is not authenticated: the tunnel is in use by \"a.example\""]
    );
    assert_eq!(net.sides[B].endpoint.current_of(TUNNEL), in_use);
    assert_eq!(net.sides[B].only().spi_in, held);
    assert_eq!(net.sides[B].downs(), Vec::new());
    assert!(net.sides[A].held.is_empty());

    net.command(B, Command::Dead(TUNNEL));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    let status = net.sides[B].endpoint.status(TUNNEL, net.now).unwrap();
    assert_eq!(status.remote_id, Some(c));
}

#[test]
fn an_initiator_takes_no_responder_for_its_peer_where_another_is_there_by_then() {
    let mut a = connection(A);
    a.remote_id = None;
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(LATENCY * 3);
    let slots = &mut net.sides[A].endpoint.core.slots;
    let slot = slots.get_mut(&TUNNEL).unwrap();
    slot.current = Some(1);
    slot.peer = Some(Identity::Fqdn("c.example".to_owned()));
    net.run(SECOND);
    assert_eq!(
        net.sides[A].failures(),
        ["peer is not authenticated: the tunnel is in use by \"c.example\""]
    );
    assert!(net.sides[A].held.is_empty() && net.sides[B].held.is_empty());
}

#[test]
fn many_tunnels_to_one_responder_are_told_apart_by_their_identities() {
    let mut net = Net::new();
    let now = net.now;
    for number in 0..40 {
        let id = ConnectionId(100 + number);
        let mut a = connection(A);
        a.local_id = Identity::Fqdn(format!("site{number}.example"));
        let mut b = connection(B);
        b.remotes = None;
        b.remote_id = Some(a.local_id.clone());
        net.sides[A]
            .endpoint
            .handle_command(now, Command::Add(id, Box::new(a)))
            .unwrap();
        net.sides[B]
            .endpoint
            .handle_command(now, Command::Add(id, Box::new(b)))
            .unwrap();
        net.command(A, Command::Initiate(id, path(A, 500)));
    }
    net.run(SECOND);
    for number in 0..40 {
        let id = ConnectionId(100 + number);
        let [a, b] = [A, B].map(|side| net.sides[side].endpoint.status(id, net.now).unwrap());
        assert_eq!(
            (a.spi_i, a.spi_r, a.state),
            (b.spi_i, b.spi_r, IkeState::Established)
        );
        assert_eq!(
            b.remote_id,
            Some(Identity::Fqdn(format!("site{number}.example")))
        );
    }
    assert_eq!((net.sides[A].held.len(), net.sides[B].held.len()), (40, 40));
}

#[test]
fn initial_contact_is_said_by_the_only_tunnel_between_two_identities() {
    for (other_id, said) in [("b.example", 0), ("c.example", 1)] {
        let mut net = Net::new();
        let other = ConnectionId(8);
        let unreachable = Connection {
            remote_id: Some(Identity::Fqdn(other_id.to_owned())),
            remotes: Some(vec![[192, 0, 2, 99].into()]),
            ..connection(A)
        };
        let (now, endpoint) = (net.now, &mut net.sides[A].endpoint);
        let far = Path {
            remote: ([192, 0, 2, 99], 500).into(),
            ..path(A, 500)
        };
        for command in [
            Command::Add(other, Box::new(unreachable)),
            Command::Initiate(other, far),
        ] {
            endpoint.handle_command(now, command).unwrap();
        }
        while endpoint.poll_transmit().is_some() {}
        net.initiate(A);
        net.run(SECOND);
        net.assert_agree();
        let is_said = |event: &Event| matches!(event, Event::Trace(_, line) if line.starts_with('←') && line.contains("INITIAL_CONTACT"));
        assert_eq!(net.sides[B].count(is_said), said, "{other_id}");
    }
}
