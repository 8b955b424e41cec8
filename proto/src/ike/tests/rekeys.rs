//! CREATE_CHILD_SA without collisions, and lifetimes.

use std::time::Duration;

use super::super::*;
use super::net::*;
use crate::wire::ike::ExchangeType;

const SECOND: Duration = Duration::from_secs(1);

fn retired(net: &Net, side: usize, why: Retired) -> usize {
    net.sides[side]
        .count(|event| matches!(event, Event::ChildRetired(_, _, reason) if *reason == why))
}

#[test]
fn a_child_is_replaced_by_either_end_before_the_old_one_goes() {
    for asks in [A, B] {
        let mut net = Net::established();
        let old = net.sides[A].only().spi_in;
        net.command(asks, Command::Rekey(TUNNEL, What::Child));
        net.run(LATENCY * 2);
        assert_eq!(
            (net.sides[A].held.len(), net.sides[B].held.len()),
            (2, 2),
            "make before break"
        );
        net.run(SECOND);
        net.assert_agree();
        assert_ne!(net.sides[A].only().spi_in, old);
        assert_eq!(net.sides[A].only().replaces, Some(old));
        assert_eq!(
            (
                retired(&net, A, Retired::Rekeyed),
                retired(&net, B, Retired::Rekeyed)
            ),
            (1, 1)
        );
        assert_eq!(
            net.sides[1 - asks].count(|event| matches!(event, Event::SwitchOutbound(..))),
            1
        );
    }
}

#[test]
fn no_packet_is_sent_through_a_pair_that_the_other_end_lacks_in_any_step_of_a_rekey() {
    for asks in [A, B] {
        let mut net = Net::established();
        net.command(asks, Command::Rekey(TUNNEL, What::Child));
        for _ in 0..100 {
            net.run(Duration::from_millis(1));
            assert!(net.exchange_data());
        }
        net.assert_agree();
    }
}

#[test]
fn a_child_has_a_key_exchange_of_its_own_where_the_proposals_ask_for_one() {
    for (esp, group) in [
        ("aes256gcm16-x25519", Some(adit_crypto::Group::X25519)),
        ("aes256gcm16-ecp384", Some(adit_crypto::Group::EcpP384)),
        ("aes256gcm16", None),
    ] {
        let [a, b] = [A, B].map(|side| Connection {
            esp: vec![esp.parse().unwrap()],
            ..connection(side)
        });
        let mut net = Net::with(a, b);
        net.initiate(A);
        net.run(SECOND);
        assert_eq!(net.sides[A].only().pfs, None);
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.run(SECOND);
        net.assert_agree();
        assert_eq!(
            net.sides[B].only().pfs,
            group.map(|group| group.name()),
            "{esp}"
        );
    }
}

#[test]
fn a_group_that_the_peer_does_not_take_is_exchanged_for_one_that_it_does() {
    let mut ends = [connection(A), connection(B)];
    ends[A].esp = vec!["aes256gcm16-x25519-ecp256".parse().unwrap()];
    ends[B].esp = vec!["aes256gcm16-ecp256".parse().unwrap()];
    ends[A].ike = vec!["aes256gcm16-prfsha256-x25519-ecp384".parse().unwrap()];
    ends[B].ike = vec!["aes256gcm16-prfsha256-ecp384".parse().unwrap()];
    let [a, b] = ends;
    let mut net = Net::with(a, b);
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.sides[A].traced("N(INVALID_KE_PAYLOAD)"), 1);
    net.command(A, Command::Rekey(TUNNEL, What::Child));
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.sides[A].only().pfs, Some("ecp256"));
    net.command(B, Command::Rekey(TUNNEL, What::Ike));
    net.run(SECOND);
    net.assert_agree();
}

#[test]
fn an_ike_sa_is_replaced_by_either_end_and_its_children_stay() {
    for asks in [A, B] {
        let mut net = Net::established();
        let spis = |net: &Net| {
            net.sides[A]
                .endpoint
                .status(TUNNEL, net.now)
                .map(|s| (s.spi_i, s.spi_r))
        };
        let (old, child) = (spis(&net), net.sides[A].only().spi_in);
        net.command(asks, Command::Rekey(TUNNEL, What::Ike));
        net.run(SECOND);
        net.assert_agree();
        assert_ne!(spis(&net), old);
        assert_eq!(net.sides[A].only().spi_in, child);
        assert!(net.sides.iter().all(|side| side.downs().is_empty()));
        let status = net.sides[asks].endpoint.status(TUNNEL, net.now).unwrap();
        assert!(
            status.we_initiated,
            "who asked is the initiator of the new one"
        );
        net.headers(asks);
        net.command(asks, Command::Rekey(TUNNEL, What::Child));
        net.run(SECOND);
        net.assert_agree();
        let first = net.headers(asks)[0];
        assert_eq!((first.message_id, first.flags.initiator), (0, true));
        net.run(SECOND * 60);
        assert_eq!(
            (net.sides[A].endpoint.sas(), net.sides[B].endpoint.sas()),
            (1, 1)
        );
    }
}

#[test]
fn lifetimes_replace_children_and_ike_sas_for_a_day_without_a_gap() {
    let [a, b] = [A, B].map(|side| {
        let mut connection = connection(side);
        let times = |rekey, jitter| RekeyTimes {
            rekey: Duration::from_secs(rekey),
            jitter: Duration::from_secs(jitter),
            hard: Duration::from_secs(rekey * 2),
        };
        connection.child_lifetime = times(3600, 360);
        connection.ike_lifetime = times(14_400, 1440);
        connection
    });
    let mut net = Net::with(a, b);
    net.initiate(A);
    for _ in 0..24 * 12 {
        net.run(Duration::from_secs(300));
        assert!(net.exchange_data());
    }
    net.assert_agree();
    let counters = net.sides[A].endpoint.counters();
    assert!((24..=30).contains(&counters.child_rekeyed), "{counters:?}");
    assert!((6..=9).contains(&counters.ike_rekeyed), "{counters:?}");
    assert!(
        net.sides
            .iter()
            .all(|side| side.downs().is_empty() && side.endpoint.sas() == 1)
    );
}

#[test]
fn a_soft_limit_of_the_data_path_replaces_the_pair_that_is_in_use_and_no_other() {
    let mut net = Net::established();
    let old = net.sides[B].only().spi_in;
    net.command(B, Command::ChildAged(TUNNEL, old));
    net.run(SECOND);
    net.assert_agree();
    assert_ne!(net.sides[B].only().spi_in, old);
    let now = net.now;
    let again = net.sides[B]
        .endpoint
        .handle_command(now, Command::ChildAged(TUNNEL, old));
    assert_eq!(again, Err(CommandError::NotEstablished));
}

#[test]
fn a_pair_is_not_used_beyond_its_hard_lifetime_when_nobody_answers() {
    let mut a = connection(A);
    a.child_lifetime.hard = Duration::from_secs(3_601);
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(Duration::from_secs(3_599));
    net.weather = Box::new(|_, _| Vec::new());
    net.run(Duration::from_secs(3));
    assert!(net.sides[A].held.is_empty());
    net.run(Duration::from_secs(300));
    assert_eq!(net.sides[A].downs(), [DownWhy::NotAnswering]);
}

#[test]
fn a_pair_that_the_peer_lost_is_made_anew() {
    let mut net = Net::established();
    // The peer forgets the pair without a word: it deletes one that it had replaced itself.
    let spi_out = net.sides[A].only().spi_out;
    let forgotten = net.sides[B]
        .endpoint
        .status(TUNNEL, net.now)
        .unwrap()
        .children[0]
        .spi_in;
    assert_eq!(spi_out, forgotten);
    net.sides[B].endpoint.forget_child(TUNNEL, forgotten);
    net.drain(B);
    net.command(A, Command::RebuildChild(TUNNEL));
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(net.sides[A].traced("CHILD_SA_NOT_FOUND"), 2);
}

#[test]
fn a_child_that_the_peer_deletes_comes_back_from_who_made_the_ike_sa() {
    let mut net = Net::established();
    net.sides[B].endpoint.delete_child(net.now, TUNNEL);
    net.drain(B);
    net.run(SECOND);
    net.assert_agree();
    assert_eq!(retired(&net, A, Retired::Deleted), 1);
    assert_eq!(net.requests(A, ExchangeType::CreateChildSa), 1);
}

#[test]
fn jitter_is_subtracted_and_differs_from_sa_to_sa() {
    let mut a = connection(A);
    a.child_lifetime.jitter = Duration::from_secs(600);
    let mut net = Net::with(a, connection(B));
    net.initiate(A);
    net.run(SECOND);
    let mut waits = Vec::new();
    for _ in 0..8 {
        waits.push(net.sides[A].only().rekey_at - net.now);
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.run(SECOND);
    }
    assert!(
        waits
            .iter()
            .all(|wait| (2_998..=3_600).contains(&wait.as_secs()))
    );
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 8);
}
