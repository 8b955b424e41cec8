//! Somebody without a key on the path or beside it: nothing of what it sends, or sends back, keeps two ends from each other.

use std::time::Duration;

use super::super::proposal::ike_to_wire;
use super::super::*;
use super::net::*;
use crate::wire::ike::{ExchangeType, Header, Writer, notify};

const SECOND: Duration = Duration::from_secs(1);

/// Sends `A` all that it sends itself, as if from `B`, which gets nothing.
fn reflect(net: &mut Net) {
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    for _ in 0..20 {
        for (from, octets) in std::mem::take(&mut net.sent) {
            assert_eq!(from, A);
            let flight = flight(net, A, octets);
            net.deliver(&flight);
        }
    }
}

/// `A` lets in whoever has the key.
fn for_anybody() -> Net {
    let mut a = connection(A);
    a.remote_id = None;
    a.local_ts = vec![selector("0.0.0.0-255.255.255.255")];
    a.remote_ts = a.local_ts.clone();
    Net::with(a, connection(B))
}

#[test]
fn our_own_request_sent_back_to_us_is_not_answered() {
    let mut net = for_anybody();
    reflect(&mut net);
    let a = &net.sides[A];
    assert!(!a.up && a.held.is_empty());
    assert_eq!(a.endpoint.sas(), 1);
    assert_eq!(a.traced("it is our own request"), 1);
    assert_eq!(a.endpoint.counters().half_open, 0);
}

#[test]
fn nobody_else_has_our_own_identity_even_with_the_key() {
    let mut net = for_anybody();
    let mut b = connection(B);
    b.local_id = connection(A).local_id;
    b.remote_id = None;
    net.command(B, Command::Add(TUNNEL, Box::new(b)));
    net.initiate(A);
    net.run(SECOND);
    assert!(!net.sides[A].up && !net.sides[B].up);
    assert_eq!(
        net.sides[B].failures(),
        ["peer is not authenticated: it claims our own identity"]
    );
}

/// The first IKE_AUTH request of `A`, as soon as it is on its way.
fn ike_auth_of_a(net: &mut Net) -> Flight {
    let is_auth = |flight: &&Flight| {
        flight.to == B && Header::parse(&flight.octets).unwrap().exchange == ExchangeType::IkeAuth
    };
    net.initiate(A);
    for _ in 0..400 {
        net.run(Duration::from_millis(1));
        if let Some(flight) = net.flights.iter().find(is_auth) {
            return flight.clone();
        }
    }
    panic!("no IKE_AUTH: {}", net.story());
}

#[test]
fn a_copy_of_ike_auth_from_another_address_or_port_is_dropped_before_it_changes_anything() {
    for (remotes, elsewhere) in [
        (None, "203.0.113.77:500"),
        (connection(B).remotes, "203.0.113.77:4500"),
        (None, "192.0.2.1:40000"),
    ] {
        let mut net = Net::new();
        let b = Connection {
            remotes,
            ..connection(B)
        };
        net.command(B, Command::Add(TUNNEL, Box::new(b)));
        let mut copy = ike_auth_of_a(&mut net);
        copy.path.remote = elsewhere.parse().unwrap();
        net.deliver(&copy);
        assert!(!net.sides[B].up, "{elsewhere}");
        assert_eq!(net.sides[B].endpoint.counters().half_open, 1);
        net.run(SECOND);
        net.assert_agree();
        assert_eq!(net.sides[B].only().path, path(B, 500));
        assert!(net.sides[A].failures().is_empty() && net.sides[B].failures().is_empty());
    }
}

#[test]
fn ike_auth_may_come_from_the_other_port_and_from_behind_a_nat_from_elsewhere() {
    let mut net = Net::new();
    let mut floated = ike_auth_of_a(&mut net);
    floated.path = path(B, 4500);
    net.deliver(&floated);
    assert!(net.sides[B].up);
    assert_eq!(net.sides[B].only().path, path(B, 4500));

    let mut net = Net::new();
    net.nat = Some("198.51.100.9:40000".parse().unwrap());
    let b = Connection {
        remotes: None,
        ..connection(B)
    };
    net.command(B, Command::Add(TUNNEL, Box::new(b)));
    let mut moved = ike_auth_of_a(&mut net);
    moved.path.remote = "198.51.100.10:41000".parse().unwrap();
    net.deliver(&moved);
    assert!(net.sides[B].up);
    assert_eq!(net.sides[B].only().path, moved.path);
}

/// An endpoint that asks everybody for a cookie, in the place of `B`.
fn ask_for_cookies(net: &mut Net) {
    let config = EndpointConfig {
        cookie_threshold: 0,
        ..EndpointConfig::default()
    };
    net.sides[B].endpoint = Endpoint::new(config, Box::new(Seeded(5)));
    net.command(B, Command::Add(TUNNEL, Box::new(connection(B))));
}

#[test]
fn a_cookie_that_comes_twice_is_followed_once_with_udp_asked_for_and_without() {
    for force_udp in [false, true] {
        let a = Connection {
            force_udp,
            ..connection(A)
        };
        let mut net = Net::with(a, connection(B));
        ask_for_cookies(&mut net);
        net.weather = Box::new(|_, _| vec![LATENCY, LATENCY * 2]);
        net.initiate(A);
        net.run(SECOND * 5);
        net.assert_agree();
        assert!(net.sides[A].failures().is_empty() && net.sides[B].failures().is_empty());
        assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 2);
    }
}

/// Asks for P-384 first; `B` has X25519 only.
fn with_the_wrong_group_first() -> Net {
    let of = |side, ike: &str| Connection {
        ike: vec![ike.parse().unwrap()],
        ..connection(side)
    };
    Net::with(
        of(A, "aes256gcm16-prfsha384-ecp384-x25519"),
        of(B, "aes256gcm16-prfsha384-x25519"),
    )
}

#[test]
fn invalid_ke_payload_that_comes_twice_or_late_is_followed_once() {
    for latency in [LATENCY, SECOND * 6 / 5] {
        let mut net = with_the_wrong_group_first();
        net.weather = Box::new(move |_, _| vec![latency, latency * 2]);
        net.initiate(A);
        net.run(SECOND * 10);
        net.assert_agree();
        assert!(net.sides[A].failures().is_empty());
        assert_eq!(
            net.sides[A].traced("→ IKE_SA_INIT request 0: "),
            2,
            "{}",
            net.story()
        );
    }
}

#[test]
fn no_forged_answer_to_ike_sa_init_keeps_the_peer_s_own_from_being_taken() {
    let forged: [(u16, &[u8]); 8] = [
        (notify::NO_PROPOSAL_CHOSEN, &[]),
        (notify::INVALID_SYNTAX, &[]),
        (notify::INVALID_KE_PAYLOAD, &[]),
        (notify::INVALID_KE_PAYLOAD, &[0, 2]),
        (notify::INVALID_KE_PAYLOAD, &[0, 20]),
        (notify::COOKIE, &[]),
        (notify::COOKIE, &[7; 65]),
        (notify::IKEV2_FRAGMENTATION_SUPPORTED, &[]),
    ];
    for (kind, data) in forged {
        let mut net = Net::new();
        net.initiate(A);
        net.forge(kind, data);
        net.forge(kind, data);
        net.run(SECOND * 10);
        net.assert_agree();
        let failures = net.sides[A].failures();
        assert!(failures.is_empty(), "{kind} {data:?}: {failures:?}");
    }
}

#[test]
fn an_answer_whose_public_value_is_useless_is_waited_out_and_costs_little() {
    let chosen: IkeOffer = "aes256gcm16-prfsha384-x25519".parse().unwrap();
    let forge = |net: &mut Net, public: &[u8]| {
        let mut writer = Writer::new();
        writer
            .sa(&ike_to_wire(std::slice::from_ref(&chosen), None))
            .ke(31, public)
            .nonce(&[5; 32]);
        net.forge_payloads(&mut writer, 99);
    };
    let mut net = Net::with(
        Connection {
            ike: vec![chosen.clone()],
            ..connection(A)
        },
        connection(B),
    );
    net.initiate(A);
    for _ in 0..8 {
        forge(&mut net, &[0; 32]);
        forge(&mut net, &[9; 31]);
    }
    net.run(SECOND);
    net.assert_agree();
    assert!(net.sides[A].failures().is_empty());

    let mut net = Net::with(
        Connection {
            ike: vec![chosen.clone()],
            ..connection(A)
        },
        connection(B),
    );
    net.initiate(A);
    for _ in 0..9 {
        assert!(net.sides[A].failures().is_empty());
        forge(&mut net, &[0; 32]);
    }
    assert_eq!(
        net.sides[A].failures(),
        ["peer's key exchange value cannot be used"]
    );
}

#[test]
fn a_refusal_that_nothing_better_follows_is_told_after_three_seconds_and_the_first_one_it_is() {
    let mut net = Net::new();
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    net.forge(notify::NO_PROPOSAL_CHOSEN, &[]);
    net.forge(notify::INVALID_SYNTAX, &[]);
    net.run(SECOND * 29 / 10);
    assert!(net.sides[A].failures().is_empty());
    assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 2);
    net.run(SECOND / 5);
    let failures = net.sides[A].failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].starts_with("peer refused our IKE proposals: we offered "));
    assert_eq!(net.sides[A].endpoint.sas(), 0);
    net.initiate(A);
}

#[test]
fn another_cookie_is_followed_once_the_request_with_the_present_one_had_to_be_repeated() {
    let mut net = Net::new();
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    net.forge(notify::COOKIE, &[1; 16]);
    net.forge(notify::COOKIE, &[2; 16]);
    assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 2);
    net.run(SECOND * 2);
    assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 1);
    net.forge(notify::COOKIE, &[2; 16]);
    assert_eq!(net.sides[A].traced("N(COOKIE)"), 5, "{}", net.story());
    assert_eq!(net.requests(A, ExchangeType::IkeSaInit), 1);
}

#[test]
fn whoever_asks_in_the_peer_s_name_does_not_lock_it_out() {
    let mut net = Net::new();
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    let (_, request) = net.sent.pop_front().unwrap();
    for spi_i in 1..=200_u64 {
        let octets = [&spi_i.to_be_bytes(), &request[8..]].concat();
        let flight = flight(&net, B, octets);
        net.deliver(&flight);
    }
    let counters = net.sides[B].endpoint.counters();
    assert_eq!((counters.half_open, counters.cookies_sent), (50, 150));
    net.weather = Box::new(|_, _| vec![LATENCY]);
    net.run(SECOND * 3);
    net.assert_agree();
    assert_eq!(net.sides[B].endpoint.counters().cookies_good, 1);
    assert_eq!(net.sides[A].traced("N(COOKIE)"), 2);
}

#[test]
fn a_request_that_is_copied_is_answered_again_only_to_its_sender_and_a_few_times_a_second() {
    for nat in [None, Some("198.51.100.9:40000".parse().unwrap())] {
        let mut net = Net::new();
        net.nat = nat;
        let b = Connection {
            remotes: None,
            ..connection(B)
        };
        net.command(B, Command::Add(TUNNEL, Box::new(b)));
        let copy = ike_auth_of_a(&mut net);
        net.run(SECOND);
        net.assert_agree();
        let elsewhere = Flight {
            path: Path {
                remote: "203.0.113.77:500".parse().unwrap(),
                ..copy.path
            },
            ..copy.clone()
        };
        let mut answers = |copy: &Flight, times| {
            net.run(SECOND);
            net.headers(B);
            for _ in 0..times {
                net.deliver(copy);
            }
            net.headers(B).len()
        };
        let most = 4;
        assert_eq!(answers(&copy, 1), 1);
        assert_eq!(answers(&copy, 100), most);
        assert_eq!(answers(&copy, 100), most);
        let to_others = if nat.is_some() { most } else { 0 };
        assert_eq!(answers(&elsewhere, 100), to_others);
    }
}
