//! Main mode and quick mode, where everything arrives or the first of something is lost.

use std::sync::Arc;
use std::time::Duration;

use adit_crypto::SecretBytes;

use super::super::*;
use super::net::*;
use crate::ike::{ChildMode, Command, ConnectionId, Event, Identity, IkeState, Path, What};
use crate::wire::isakmp::ExchangeType;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn main_and_quick_mode_are_nine_messages_and_both_ends_agree() {
    let mut net = Net::new();
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert!(net.exchange_data());
    assert_eq!(net.sent.len(), 9);
    assert_eq!(net.messages(A, ExchangeType::IdentityProtection), 3);
    assert_eq!(net.messages(B, ExchangeType::Quick), 1);
    assert_eq!(net.sides[A].only().pfs, Some("ecp256"));
}

#[test]
fn either_end_may_initiate() {
    let mut net = Net::new();
    net.initiate(B);
    net.run(SECOND);
    net.assert_agree();
}

#[test]
fn transport_mode_is_of_the_hosts_and_their_protocol() {
    let mut net = Net::with(transport(A), transport(B));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    let sa = net.sides[B].only();
    assert_eq!(sa.mode, ChildMode::Transport);
    let local = sa.local_ts[0];
    assert_eq!(
        (local.start, local.end),
        (address(B, 0).ip(), address(B, 0).ip())
    );
    assert_eq!(local.protocol, 47);
}

#[test]
fn every_cipher_hash_and_group_works_at_both_ends() {
    for (of_ike, of_esp) in [
        ("aes128-sha1-ecp256", "aes128gcm16"),
        ("3des-md5-ecp384", "3des-sha1-ecp256"),
        ("aes128-sha384-x25519", "aes256-sha256-x25519"),
        ("aes256-sha512-ecp256", "aes128-sha1"),
        ("aes256-sha256-modp1024", "aes256-sha384-modp1024"),
    ] {
        let side = |side| Connection {
            ike: vec![ike(of_ike)],
            esp: vec![esp(of_esp)],
            ..connection(side)
        };
        let mut net = Net::with(side(A), side(B));
        net.initiate(A);
        net.run(SECOND);
        net.agree()
            .unwrap_or_else(|why| panic!("{of_ike} {of_esp}: {why}\n{}", net.story()));
    }
}

#[test]
fn the_responder_chooses_its_own_best_of_what_is_offered() {
    let a = Connection {
        ike: vec![ike("aes128-sha1-x25519"), ike("aes256-sha256-x25519")],
        ..connection(A)
    };
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    let status = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
    assert_eq!(status.proposal.unwrap().to_string(), "aes256-sha256-x25519");
}

#[test]
fn each_message_may_be_lost_once_and_is_repeated_with_the_same_octets() {
    for lost in 0..9 {
        let mut net = Net::new();
        let mut number = 0;
        net.weather = Box::new(move |_, _| {
            number += 1;
            if number - 1 == lost {
                Vec::new()
            } else {
                vec![LATENCY]
            }
        });
        net.initiate(A);
        net.run(SECOND * 20);
        net.agree()
            .unwrap_or_else(|why| panic!("message {lost}: {why}\n{}", net.story()));
        let octets = &net.sent[lost].1;
        let copies = net.sent.iter().filter(|(_, sent)| sent == octets).count();
        assert!(copies >= 2, "message {lost} was not repeated as it was");
    }
}

#[test]
fn both_ends_may_initiate_at_once_and_one_pair_stays_in_use() {
    let mut net = Net::new();
    net.initiate(A);
    net.initiate(B);
    net.run(SECOND * 200);
    assert!(net.sides.iter().all(|side| side.up));
    assert!(net.exchange_data(), "{}", net.story());
    assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [1, 1]);
}

#[test]
fn another_key_is_never_believed_and_the_failure_says_what_may_be_wrong() {
    let b = Connection {
        psk: Arc::new(SecretBytes::from_slice(b"another key")),
        ..connection(B)
    };
    let mut net = Net::with(connection(A), b);
    net.initiate(A);
    net.run(SECOND * 200);
    assert!(
        net.sides
            .iter()
            .all(|side| !side.up && side.held.is_empty())
    );
    assert!(net.sides[A].failures()[0].contains("pre-shared keys"));
    assert_eq!(
        net.sides[B].failures(),
        ["peer is not authenticated: the pre-shared keys differ"]
    );
    assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [0, 0]);
}

#[test]
fn another_identity_is_refused_by_either_end() {
    for side in [A, B] {
        let wrong = Connection {
            remote_id: Some(Identity::Fqdn("c.example".to_owned())),
            ..connection(side)
        };
        let mut net = match side {
            A => Net::with(wrong, connection(B)),
            _ => Net::with(connection(A), wrong),
        };
        net.initiate(A);
        net.run(SECOND * 200);
        assert!(net.sides[side].failures()[0].contains("c.example"));
        assert!(!net.sides[side].up);
        assert!(net.sides[A].held.is_empty() && net.sides[B].held.is_empty());
    }
}

#[test]
fn proposals_without_a_common_one_fail_with_the_peers_word() {
    let b = Connection {
        ike: vec![ike("aes128-sha256-ecp256")],
        ..connection(B)
    };
    let mut net = Net::with(connection(A), b);
    net.initiate(A);
    net.run(SECOND * 10);
    assert_eq!(
        net.sides[A].failures(),
        ["peer refused with NO-PROPOSAL-CHOSEN"]
    );
    assert!(net.sides[B].failures()[0].contains("no proposal fits"));
}

#[test]
fn a_pair_that_the_peer_refuses_ends_the_isakmp_sa() {
    for b in [
        Connection {
            esp: vec![esp("aes128gcm16")],
            ..connection(B)
        },
        Connection {
            remote_ts: selector("10.9.0.0-10.9.255.255"),
            ..connection(B)
        },
    ] {
        let mut net = Net::with(connection(A), b);
        net.initiate(A);
        net.run(SECOND * 60);
        assert!(!net.sides[A].up && !net.sides[B].up, "{}", net.story());
        assert!(net.sides[A].held.is_empty() && net.sides[B].held.is_empty());
        assert_eq!(net.sides[A].failures().len(), 1);
    }
}

/// An established pair with a NAT in front of `A`, who initiated.
pub(super) fn behind_a_nat() -> Net {
    let mut net = Net::new();
    net.nat = Some(([203, 0, 113, 7], 40_001).into());
    let anywhere = Connection {
        remotes: None,
        ..connection(B)
    };
    net.sides[B]
        .endpoint
        .add(net.now, TUNNEL, anywhere)
        .unwrap();
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    net
}

#[test]
fn behind_a_nat_both_go_on_with_the_nat_port_and_esp_is_in_udp() {
    let mut net = behind_a_nat();
    assert!(net.exchange_data(), "{}", net.story());
    let (a, b) = (net.sides[A].only(), net.sides[B].only());
    assert_eq!(a.udp.unwrap(), path(A, 4500));
    assert_eq!(b.udp.unwrap().remote, net.nat.unwrap());
    let status = net.sides[B].endpoint.status(TUNNEL, net.now).unwrap();
    assert!(status.nat_peer && !status.nat_local);
}

#[test]
fn udp_may_be_forced_where_no_nat_is() {
    let a = Connection {
        force_udp: true,
        ..connection(A)
    };
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert!(net.sides[A].only().udp.is_some() && net.sides[B].only().udp.is_some());
}

#[test]
fn cleared_is_down_at_both_ends_by_one_way_deletes() {
    let mut net = Net::established();
    net.command(A, Command::Clear(TUNNEL));
    net.run(SECOND);
    assert_eq!(net.sides[A].downs().len(), 1);
    assert_eq!(net.sides[B].downs().len(), 1);
    assert!(net.sides.iter().all(|side| side.held.is_empty()));
    net.run(SECOND * 200);
    assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [0, 0]);
}

#[test]
fn a_peer_that_started_anew_replaces_what_it_had() {
    let mut net = Net::established();
    let fresh = Net::seeded(77, connection(A), connection(B));
    let [anew, _] = fresh.sides;
    net.sides[A] = anew;
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    let is_up = |event: &Event| matches!(event, Event::Established(..));
    assert_eq!(net.sides[B].count(is_up), 2);
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
        endpoint.add(now, other, unreachable).unwrap();
        let far = Path {
            remote: ([192, 0, 2, 99], 500).into(),
            ..path(A, 500)
        };
        endpoint
            .handle_command(now, Command::Initiate(other, far))
            .unwrap();
        while endpoint.poll_transmit().is_some() {}
        net.initiate(A);
        net.run(SECOND);
        net.assert_agree();
        assert_eq!(net.sides[B].traced("INITIAL-CONTACT"), said, "{other_id}");
    }
}

#[test]
fn the_end_outside_of_a_nat_begins_with_what_the_nat_made_of_the_peers_port() {
    let mut net = behind_a_nat();
    net.command(B, Command::Rekey(TUNNEL, What::Ike));
    net.run(SECOND * 60);
    net.assert_agree();
    let status = net.sides[B].endpoint.status(TUNNEL, net.now).unwrap();
    assert_eq!(status.path.map(|path| path.remote), net.nat);
    assert!(status.we_initiated);
    assert_eq!(net.sides[B].endpoint.counters().retransmits, 0);
}

#[test]
fn an_sa_belongs_to_the_tunnel_of_its_identity_alone() {
    let second = ConnectionId(8);
    let named = |side: usize, name: &str| Connection {
        local_id: if side == A {
            Identity::Fqdn(name.to_owned())
        } else {
            connection(B).local_id
        },
        remote_id: Some(if side == A {
            connection(B).local_id
        } else {
            Identity::Fqdn(name.to_owned())
        }),
        ..connection(side)
    };
    let mut net = Net::with(named(A, "first.example"), named(B, "first.example"));
    let now = net.now;
    for side in [A, B] {
        let of_second = named(side, "second.example");
        net.sides[side]
            .endpoint
            .add(now, second, of_second)
            .unwrap();
    }
    net.command(A, Command::Initiate(second, path(A, 500)));
    net.run(SECOND);
    let cookies = |net: &Net, id| {
        let status = net.sides[B].endpoint.status(id, net.now).unwrap();
        (status.state, status.spi_i)
    };
    assert_eq!(cookies(&net, TUNNEL), (IkeState::Idle, 0));
    let before = cookies(&net, second);
    assert_eq!(before.0, IkeState::Established);
    net.initiate(A);
    net.run(SECOND);
    net.command(A, Command::Rekey(TUNNEL, What::Ike));
    net.run(SECOND * 60);
    net.command(B, Command::Clear(TUNNEL));
    net.run(SECOND * 60);
    assert_eq!(cookies(&net, TUNNEL), (IkeState::Idle, 0));
    assert_eq!(cookies(&net, second), before);
    let is_of_second = |event: &Event| matches!(event, Event::Down(id, _) if *id == second);
    assert_eq!(net.sides[B].count(is_of_second), 0);
}
