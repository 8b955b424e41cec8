//! Traffic selectors: narrowed to what both ends, the mode and the data path can have.

use std::sync::Arc;
use std::time::Duration;

use super::super::task::Task;
use super::super::*;
use super::net::*;
use crate::wire::ike::TrafficSelector;

const SECOND: Duration = Duration::from_secs(1);

fn gre(host: &str) -> TrafficSelector {
    TrafficSelector {
        protocol: 47,
        ..selector(host)
    }
}

/// `A` initiates to `B`, each as changed.
fn attempt(a: Connection, b: Connection) -> Net {
    let mut net = Net::with(a, b);
    net.initiate(A);
    net.run(SECOND * 3);
    net
}

fn words(net: &Net, side: usize) -> String {
    net.sides[side].failures().join("; ")
}

#[test]
fn selectors_are_narrowed_to_what_both_ends_have() {
    let mut a = connection(A);
    a.remote_ts = vec![selector("10.0.0.0-10.255.255.255")];
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(
        net.sides[A].only().remote_ts,
        [selector("10.2.0.0-10.2.255.255")]
    );
}

#[test]
fn transport_mode_is_agreed_where_both_want_it_for_the_addresses_of_the_ends_alone() {
    let net = attempt(transport(A), transport(B));
    net.assert_agree();
    let child = net.sides[A].only();
    assert_eq!(child.mode, ChildMode::Transport);
    assert_eq!(
        (&child.local_ts, &child.remote_ts),
        (&vec![gre("192.0.2.1")], &vec![gre("192.0.2.2")])
    );
    assert_eq!(net.sides[B].traced("TSi(192.0.2.1/32[gre])"), 2);
}

#[test]
fn in_transport_mode_selectors_without_the_addresses_of_the_ends_are_not_asked_for() {
    let mut a = transport(A);
    a.remote_ts = vec![gre("192.0.2.77")];
    let net = attempt(a, transport(B));
    assert_eq!(
        words(&net, A),
        "cannot go on: our traffic selectors leave out the addresses of the ends, which are all that transport mode has"
    );
    assert!(net.sides.iter().all(|side| side.held.is_empty()));
}

/// `A` asks for another pair with these selectors as if there were a NAT, which it does not hold to the addresses of the ends then.
fn asks_in_transport_mode(local_ts: &str) -> Net {
    let mut net = attempt(transport(A), transport(B));
    let (now, spi) = (net.now, net.sides[A].endpoint.current_of(TUNNEL));
    let connection = Connection {
        local_ts: vec![gre(local_ts)],
        ..transport(A)
    };
    net.sides[A].endpoint.with(now, spi, |_, sa| {
        sa.nat.peer = true;
        sa.tunnel = Some((TUNNEL, Arc::new(connection)));
    });
    net.command(A, Command::Rekey(TUNNEL, What::Child));
    net.run(SECOND);
    net
}

#[test]
fn in_transport_mode_a_responder_answers_with_the_addresses_of_the_ends() {
    let net = asks_in_transport_mode("192.0.2.0-192.0.2.99");
    net.assert_agree();
    assert_eq!(net.sides[B].only().remote_ts, [gre("192.0.2.1")]);
    assert!(net.sides[B].only().replaces.is_some());
}

#[test]
fn in_transport_mode_a_responder_refuses_addresses_of_others() {
    let net = asks_in_transport_mode("192.0.2.77");
    assert_eq!(
        words(&net, B),
        "no traffic selector fits: peer proposed 192.0.2.77/32[gre] === 0.0.0.0/0[gre]"
    );
    assert_eq!(net.sides[B].only().remote_ts, [gre("192.0.2.1")]);
}

#[test]
fn in_transport_mode_the_selectors_are_of_the_addresses_that_each_end_sees() {
    let outside = "198.51.100.9:40000".parse().unwrap();
    let gre = |host: &str| TrafficSelector {
        protocol: 47,
        ..selector(host)
    };
    let [a, b] = [A, B].map(|side| Connection {
        mode: ChildMode::Transport,
        remotes: None,
        local_ts: vec![gre(if side == A { "192.0.2.1" } else { "192.0.2.2" })],
        remote_ts: vec![gre(if side == A {
            "192.0.2.2"
        } else {
            "198.51.100.9"
        })],
        ..connection(side)
    });
    let mut net = Net::with(a, b);
    net.nat = Some(outside);
    net.initiate(A);
    net.run(SECOND);
    assert!(net.sides[A].up && net.sides[B].up);
    let (a, b) = (net.sides[A].only(), net.sides[B].only());
    assert_eq!(
        (&a.local_ts, &b.remote_ts),
        (&vec![gre("192.0.2.1")], &vec![gre("198.51.100.9")])
    );
    assert_eq!(a.remote_ts, b.local_ts);
}

#[test]
fn behind_a_nat_selectors_of_networks_are_no_stand_in_for_the_address_that_is_seen() {
    let mut a = transport(A);
    a.local_ts = vec![gre("10.1.0.0-10.1.255.255"), gre("192.0.2.1")];
    let mut b = transport(B);
    b.remotes = None;
    b.remote_ts = vec![gre("198.51.100.9")];
    let mut net = Net::with(a, b);
    net.nat = Some("198.51.100.9:40000".parse().unwrap());
    net.initiate(A);
    net.run(SECOND);
    assert_eq!(words(&net, A), "peer refused our traffic selectors");
    assert!(words(&net, B).starts_with("no traffic selector fits"));
    assert!(net.sides.iter().all(|side| side.held.is_empty()));
}

/// `B` asks for another pair with these selectors for `A`'s side without naming the one in use.
fn asks_for_another(remote_ts: &str) -> Net {
    let mut net = Net::established();
    let connection = Connection {
        remote_ts: vec![selector(remote_ts)],
        ..connection(B)
    };
    let (now, spi) = (net.now, net.sides[B].endpoint.current_of(TUNNEL));
    net.sides[B].endpoint.with(now, spi, |_, sa| {
        sa.tunnel = Some((TUNNEL, Arc::new(connection)));
        sa.ask(now, Task::NewChild);
    });
    net.drain(B);
    net.run(SECOND);
    net
}

#[test]
fn a_pair_that_names_no_other_comes_in_the_place_of_one_whose_selectors_it_holds() {
    for remote_ts in ["10.1.0.0-10.1.255.255", "10.0.0.0-10.1.255.255"] {
        let mut net = asks_for_another(remote_ts);
        net.run(SECOND * 60);
        net.assert_agree();
        assert!(net.sides[A].only().replaces.is_some());
        assert_eq!(net.sides[A].failures(), Vec::<String>::new());
    }
}

#[test]
fn a_pair_of_other_selectors_that_names_no_other_leaves_the_one_in_use_alone() {
    let mut net = asks_for_another("10.1.2.0-10.1.2.255");
    assert!(
        words(&net, A).starts_with("peer wants a second child SA: 10.2.0.0/16 === 10.1.2.0/24"),
        "{}",
        words(&net, A)
    );
    assert_eq!(net.sides[B].traced("refused: NO_ADDITIONAL_SAS"), 1);
    net.assert_agree();
    assert_eq!(net.sides[A].only().replaces, None);
    assert_eq!(net.sides[A].endpoint.core.numbers.spis.len(), 1);
    net.run(SECOND * 20);
    net.assert_agree();
}

fn tcp() -> TrafficSelector {
    TrafficSelector {
        protocol: 6,
        ..selector("10.1.0.0-10.1.255.255")
    }
}

fn port() -> TrafficSelector {
    TrafficSelector {
        start_port: 443,
        end_port: 443,
        ..selector("10.1.0.0-10.1.255.255")
    }
}

#[test]
fn a_protocol_or_ports_that_the_data_path_does_not_look_at_are_refused() {
    for local_ts in [vec![tcp()], vec![port()], vec![port(), tcp()]] {
        let a = Connection {
            local_ts,
            ..connection(A)
        };
        let net = attempt(a, connection(B));
        assert!(words(&net, B).starts_with("no traffic selector fits"));
        assert_eq!(words(&net, A), "peer refused our traffic selectors");
        assert!(net.sides.iter().all(|side| side.held.is_empty()));
    }
}

#[test]
fn what_the_data_path_can_have_of_several_selectors_is_agreed() {
    let all = selector("10.1.0.0-10.1.127.255");
    let a = Connection {
        local_ts: vec![all, port(), tcp()],
        ..connection(A)
    };
    let net = attempt(a, connection(B));
    net.assert_agree();
    assert_eq!(net.sides[B].only().remote_ts, [all]);
}

#[test]
fn an_answer_that_is_narrowed_to_a_protocol_is_not_taken() {
    let b = Connection {
        local_ts: vec![TrafficSelector {
            protocol: 6,
            ..selector("10.2.0.0-10.2.255.255")
        }],
        ..connection(B)
    };
    let mut net = attempt(connection(A), b);
    assert!(words(&net, A).starts_with("no traffic selector fits"));
    net.run(SECOND * 60);
    for side in &net.sides {
        assert!(side.held.is_empty());
        assert_eq!(side.endpoint.sas(), 0);
    }
}
