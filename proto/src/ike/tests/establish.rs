//! IKE_SA_INIT and IKE_AUTH, NAT, fragments, retransmission, liveness and deletion.

use std::time::Duration;

use super::super::*;
use super::net::*;
use crate::wire::ike::{ExchangeType, HEADER_OCTETS, Header};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_messages_each_way_establish_both_ends_with_the_same_keys() {
    let mut net = Net::new();
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert!(net.sides[A].up && net.sides[B].up);
    let exchanges: Vec<_> = net
        .headers(A)
        .iter()
        .map(|h| (h.exchange, h.message_id))
        .collect();
    assert_eq!(
        exchanges,
        [(ExchangeType::IkeSaInit, 0), (ExchangeType::IkeAuth, 1)]
    );
    assert_eq!(net.headers(B).len(), 2);
    let child = net.sides[A].only();
    assert_eq!((child.udp, child.outbound), (None, Outbound::Now));
    assert_eq!(net.sides[B].only().outbound, Outbound::OnInbound);
    assert_eq!(child.path, path(A, 500));
}

#[test]
fn each_end_learns_who_the_other_proved_to_be() {
    let net = Net::established();
    for side in [A, B] {
        let status = net.sides[side].endpoint.status(TUNNEL, net.now).unwrap();
        assert_eq!(status.remote_id, connection(side).remote_id);
        assert_eq!(status.we_initiated, side == A);
        assert_eq!(status.children.len(), 1);
        assert!(status.proposal.is_some() && status.rekey_in.is_some());
    }
}

#[test]
fn every_ike_and_esp_proposal_establishes() {
    let ike = [
        "aes256gcm16-prfsha384-ecp384",
        "aes128gcm16-prfsha256-x25519",
        "chacha20poly1305-prfsha512-ecp256",
        "aes128-sha256-x25519",
        "aes256-sha384-ecp384",
    ];
    let esp = [
        "aes256gcm16-noesn",
        "aes128gcm16-esn",
        "chacha20poly1305",
        "aes128-sha256",
        "aes256-sha384",
    ];
    for (ike, esp) in ike.into_iter().zip(esp) {
        let [a, b] = [A, B].map(|side| Connection {
            ike: vec![ike.parse().unwrap()],
            esp: vec![esp.parse().unwrap()],
            ..connection(side)
        });
        let mut net = Net::with(a, b);
        net.initiate(A);
        net.run(SECOND);
        net.assert_agree();
        assert_eq!(net.sides[A].only().esn, !esp.contains("noesn"), "{esp}");
    }
}

#[test]
fn a_nat_moves_ike_to_the_other_port_and_esp_into_udp() {
    let mut net = Net::new();
    let outside = "198.51.100.9:40000".parse().unwrap();
    net.nat = Some(outside);
    let mut b = connection(B);
    b.remotes = None;
    net.command(B, Command::Add(TUNNEL, Box::new(b)));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    let [a, b] = [A, B].map(|side| net.sides[side].endpoint.status(TUNNEL, net.now).unwrap());
    assert!(a.nat_local && !a.nat_peer && b.nat_peer && !b.nat_local);
    assert_eq!(a.path, Some(path(A, 4500)));
    assert_eq!(net.sides[A].only().udp, Some(path(A, 4500)));
    let theirs = net.sides[B].only().udp.unwrap();
    assert_eq!((theirs.local.port(), theirs.remote), (4500, outside));
}

#[test]
fn a_nat_that_changes_its_port_is_followed_with_the_next_authentic_message_only() {
    let mut net = Net::new();
    net.nat = Some("198.51.100.9:40000".parse().unwrap());
    let mut b = connection(B);
    b.remotes = None;
    net.command(B, Command::Add(TUNNEL, Box::new(b)));
    net.initiate(A);
    net.run(SECOND);
    let moved = "198.51.100.9:51111".parse().unwrap();
    let now = net.now;
    let forged = net
        .sent
        .iter()
        .rev()
        .find(|(from, _)| *from == A)
        .unwrap()
        .1
        .clone();
    let from_elsewhere = Path {
        local: address(B, 4500),
        remote: moved,
    };
    net.sides[B]
        .endpoint
        .handle_datagram(now, from_elsewhere, &forged);
    net.drain(B);
    let path_of = |net: &Net| {
        net.sides[B]
            .endpoint
            .status(TUNNEL, now)
            .unwrap()
            .path
            .unwrap()
    };
    assert_ne!(path_of(&net).remote, moved);
    net.nat = Some(moved);
    net.command(A, Command::Probe(TUNNEL));
    net.run(SECOND);
    assert_eq!(path_of(&net).remote, moved);
    assert_eq!(
        net.sides[B]
            .count(|event| matches!(event, Event::PeerMoved(_, path) if path.remote == moved)),
        1
    );
}

#[test]
fn udp_encapsulation_can_be_asked_for_by_either_end_without_a_nat() {
    for asks in [A, B] {
        let mut ends = [connection(A), connection(B)];
        ends[asks].force_udp = true;
        let [a, b] = ends;
        let mut net = Net::with(a, b);
        net.initiate(A);
        net.run(SECOND);
        net.assert_agree();
        assert_eq!(net.sides[A].only().udp, Some(path(A, 4500)));
        assert_eq!(net.sides[B].only().udp, Some(path(B, 4500)));
    }
}

#[test]
fn a_nat_is_followed_where_udp_was_asked_for_as_well() {
    let mut b = connection(B);
    b.remotes = None;
    b.force_udp = true;
    let mut net = Net::with(connection(A), b);
    net.nat = Some("198.51.100.9:40000".parse().unwrap());
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    net.nat = Some("198.51.100.9:51111".parse().unwrap());
    net.command(A, Command::Probe(TUNNEL));
    net.run(SECOND);
    assert_eq!(
        net.sides[B].count(|event| matches!(event, Event::PeerMoved(..))),
        1
    );
    net.command(B, Command::Probe(TUNNEL));
    net.run(SECOND);
    assert_eq!(net.sides[B].endpoint.counters().retransmits, 0);
}

#[test]
fn a_lost_request_is_repeated_with_the_same_octets_by_the_schedule() {
    let mut net = Net::new();
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    let mut at = Vec::new();
    let begin = net.now;
    for _ in 0..400 {
        let before = net.sent.len();
        net.run(Duration::from_millis(250));
        if net.sent.len() > before {
            at.push((net.now - begin).as_millis());
        }
    }
    // 2, 3.6, 6.48, 11.66 and 21 s between them, each seen at the next quarter of a second.
    assert_eq!(at, [2000, 5750, 12_250, 23_750, 44_750]);
    assert!(net.sent.iter().all(|(_, octets)| *octets == net.sent[0].1));
    assert_eq!(
        net.sides[A].failures(),
        ["peer does not answer IKE_SA_INIT"]
    );
    assert_eq!(net.sides[A].endpoint.sas(), 0);
    assert!(net.sides[A].endpoint.poll_timeout().is_none());
}

#[test]
fn a_lost_response_is_repeated_when_the_request_is_and_never_else() {
    let mut net = Net::new();
    let mut lost = 0;
    net.weather = Box::new(move |from, octets| {
        let header = Header::parse(octets).unwrap();
        let loses = from == B && header.exchange == ExchangeType::IkeAuth && lost < 2;
        lost += u32::from(loses);
        if loses { Vec::new() } else { vec![LATENCY] }
    });
    net.initiate(A);
    net.run(SECOND);
    assert!(net.sides[B].up && !net.sides[A].up);
    net.run(SECOND * 10);
    net.assert_agree();
    let answers: Vec<_> = net.sent.iter().filter(|(from, _)| *from == B).collect();
    assert_eq!(answers.len(), 4);
    assert_eq!(answers[1], answers[3]);
    assert_eq!(net.sides[B].endpoint.counters().repeated_responses, 2);
    assert_eq!(
        net.sides[B].count(|event| matches!(event, Event::Alive(_))),
        0
    );
}

#[test]
fn messages_beyond_the_configured_size_leave_in_fragments_and_arrive_whole() {
    let [a, b] = [A, B].map(|side| Connection {
        fragment_octets: 300,
        local_ts: (0..16)
            .map(|n| selector(&format!("10.{}.{n}.1", side + 1)))
            .collect(),
        remote_ts: (0..16)
            .map(|n| selector(&format!("10.{}.{n}.1", 2 - side)))
            .collect(),
        ..connection(side)
    });
    let mut net = Net::with(a, b);
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.sides[A].only().local_ts.len(), 16);
    let sealed = |(_, octets): &&(usize, Vec<u8>)| {
        Header::parse(octets).unwrap().exchange == ExchangeType::IkeAuth
    };
    let auth: Vec<_> = net.sent.iter().filter(sealed).collect();
    assert!(auth.len() >= 4);
    assert!(
        auth.iter()
            .all(|(_, octets)| octets.len() <= 300 && octets.len() > HEADER_OCTETS)
    );
}

#[test]
fn one_fragment_that_is_lost_is_repeated_with_all_and_their_answer_once() {
    let [a, b] = [A, B].map(|side| Connection {
        fragment_octets: 256,
        local_ts: (0..16)
            .map(|n| selector(&format!("10.{}.{n}.1", side + 1)))
            .collect(),
        remote_ts: (0..16)
            .map(|n| selector(&format!("10.{}.{n}.1", 2 - side)))
            .collect(),
        ..connection(side)
    });
    let mut net = Net::with(a, b);
    let mut seen = 0;
    net.weather = Box::new(move |from, octets| {
        let is_auth = Header::parse(octets).unwrap().exchange == ExchangeType::IkeAuth;
        seen += u32::from(is_auth);
        // The second fragment of the request, and later one of the response.
        let loses = is_auth && (seen == 2 || (from == B && seen % 7 == 0 && seen < 20));
        if loses { Vec::new() } else { vec![LATENCY] }
    });
    net.initiate(A);
    net.run(SECOND * 20);
    net.assert_agree();
}

#[test]
fn a_probe_is_an_empty_request_and_its_answer_proves_life() {
    let mut net = Net::established();
    net.headers(A);
    let alive =
        |net: &Net, side: usize| net.sides[side].count(|event| matches!(event, Event::Alive(_)));
    let before = (alive(&net, A), alive(&net, B));
    net.command(A, Command::Probe(TUNNEL));
    net.run(SECOND);
    assert_eq!(net.requests(A, ExchangeType::Informational), 1);
    assert_eq!(
        (alive(&net, A), alive(&net, B)),
        (before.0 + 1, before.1 + 1)
    );
}

#[test]
fn a_probe_without_answer_is_repeated_with_the_same_octets_at_the_pace_of_the_asker() {
    let mut net = Net::established();
    net.headers(A);
    net.sent.clear();
    net.weather = Box::new(|_, _| Vec::new());
    for _ in 0..5 {
        net.command(A, Command::Probe(TUNNEL));
        net.run(SECOND);
    }
    assert_eq!(net.sent.len(), 5);
    assert!(net.sent.iter().all(|sent| *sent == net.sent[0]));
    net.command(A, Command::Dead(TUNNEL));
    assert_eq!(net.sides[A].downs(), [DownWhy::Dead]);
    assert_eq!(net.sent.len(), 6);
    assert_eq!(net.sides[A].endpoint.sas(), 0);
    assert!(net.sides[A].held.is_empty());
}

#[test]
fn probes_of_both_ends_may_cross() {
    let mut net = Net::established();
    net.command(A, Command::Probe(TUNNEL));
    net.command(B, Command::Probe(TUNNEL));
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.sides[A].endpoint.counters().retransmits, 0);
    assert_eq!(net.sides[B].endpoint.counters().retransmits, 0);
}

#[test]
fn clear_deletes_at_both_ends_and_a_new_attempt_may_follow_at_once() {
    let mut net = Net::established();
    let old = net.sides[A].only().spi_in;
    net.command(A, Command::Clear(TUNNEL));
    assert_eq!(net.sides[A].downs(), [DownWhy::Cleared]);
    net.initiate(A);
    net.run(SECOND);
    assert_eq!(net.sides[B].downs(), [DownWhy::PeerDeleted]);
    net.assert_agree();
    assert_ne!(net.sides[A].only().spi_in, old);
    net.run(SECOND * 60);
    assert_eq!(
        (net.sides[A].endpoint.sas(), net.sides[B].endpoint.sas()),
        (1, 1)
    );
}

#[test]
fn crossing_deletions_of_the_ike_sa_leave_nothing() {
    let mut net = Net::established();
    net.command(A, Command::Clear(TUNNEL));
    net.command(B, Command::Clear(TUNNEL));
    net.run(SECOND * 60);
    for side in [A, B] {
        assert_eq!(net.sides[side].endpoint.sas(), 0);
        assert!(net.sides[side].held.is_empty());
        assert!(net.sides[side].endpoint.poll_timeout().is_none());
    }
}

#[test]
fn a_removed_tunnel_is_deleted_at_the_peer_and_unknown_afterwards() {
    let mut net = Net::established();
    net.command(A, Command::Remove(TUNNEL));
    net.run(SECOND);
    assert!(net.sides[A].endpoint.status(TUNNEL, net.now).is_none());
    assert_eq!(net.sides[B].downs(), [DownWhy::PeerDeleted]);
    let now = net.now;
    let again = net.sides[A]
        .endpoint
        .handle_command(now, Command::Clear(TUNNEL));
    assert_eq!(again, Err(CommandError::UnknownConnection));
}

#[test]
fn a_second_attempt_is_refused_while_one_is_under_way_or_up() {
    let mut net = Net::new();
    net.initiate(A);
    let now = net.now;
    let initiate = || Command::Initiate(TUNNEL, path(A, 500));
    let again = net.sides[A].endpoint.handle_command(now, initiate());
    assert_eq!(again, Err(CommandError::AlreadyActive));
    net.run(SECOND);
    let again = net.sides[A].endpoint.handle_command(now, initiate());
    assert_eq!(again, Err(CommandError::AlreadyActive));
}
