//! How long an SA is used when its ends do not want the same, and what they tell each other of it (RFC 2407 section 4.5.4).

use std::time::Duration;

use super::super::hash::Which;
use super::super::proposal::Life;
use super::super::*;
use super::net::*;
use crate::ike::Retransmit;
use crate::wire::isakmp::{DOI_IPSEC, ExchangeType, Header, Notify, Protocol, Writer, notify};

const SECOND: Duration = Duration::from_secs(1);

fn with_life(side: usize, seconds: u64, kilobytes: Option<u32>) -> Connection {
    let mut connection = connection(side);
    connection.child_lifetime.rekey = SECOND * u32::try_from(seconds).unwrap();
    connection.child_lifetime.hard = connection.child_lifetime.rekey;
    connection.child_kilobytes = kilobytes;
    connection
}

fn established(a: Connection, b: Connection) -> Net {
    let mut net = Net::with(a, b);
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    net
}

#[test]
fn a_responder_of_a_shorter_life_says_so_and_the_initiator_keeps_to_it() {
    let net = established(with_life(A, 100_000, None), with_life(B, 600, Some(5000)));
    for side in [A, B] {
        let sa = net.sides[side].only();
        assert_eq!(sa.rekey_at.duration_since(net.now).as_secs(), 479);
        assert_eq!(sa.octets_max, Some(5000 * 1024));
    }
    assert_eq!(net.sides[B].traced("N(RESPONDER-LIFETIME)"), 1);
}

#[test]
fn a_responder_of_a_longer_life_keeps_to_the_offer_and_says_nothing() {
    let net = established(with_life(A, 600, Some(5000)), with_life(B, 100_000, None));
    for side in [A, B] {
        let sa = net.sides[side].only();
        assert_eq!(sa.rekey_at.duration_since(net.now).as_secs(), 479);
        assert_eq!(sa.octets_max, Some(5000 * 1024));
    }
    assert_eq!(net.sides[B].traced("N(RESPONDER-LIFETIME)"), 0);
}

#[test]
fn without_a_life_in_kilobytes_there_is_no_end_by_octets() {
    let net = Net::established();
    assert_eq!(net.sides[A].only().octets_max, None);
}

/// Has `B` tell `A` of a life.
fn tell(net: &mut Net, protocol: Protocol, spi: &[u8], life: Life) {
    let (now, endpoint) = (net.now, &mut net.sides[B].endpoint);
    let current = endpoint.core.slots[&TUNNEL].current.unwrap();
    endpoint.with(now, current, |core, sa| {
        let message_id = core.message_id();
        let mut writer = Writer::new();
        writer.notify(&Notify {
            doi: DOI_IPSEC,
            protocol,
            spi,
            kind: notify::RESPONDER_LIFETIME,
            data: &life.notification(),
        });
        let header = (ExchangeType::Informational, message_id);
        let iv = sa.exchange_iv(message_id).unwrap();
        let sealed = sa.seal_hashed(core, header, &iv, Which::First, &mut writer);
        core.transmit(sa.path, sealed.unwrap().octets);
    });
    net.drain(B);
    net.run(SECOND);
}

fn seconds(seconds: u32) -> Life {
    Life {
        seconds: Some(seconds),
        kilobytes: None,
    }
}

#[test]
fn a_life_that_is_told_later_shortens_what_the_peer_answered_for() {
    let mut net = Net::established();
    let rekey_in = |net: &Net| {
        let status = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
        (
            status.rekey_in.unwrap().as_secs(),
            status.children[0].rekey_in.unwrap().as_secs(),
        )
    };
    let before = rekey_in(&net);
    assert!(before.0 > 14_000 && before.1 > 3_000);
    let spi = net.sides[A].only().spi_out.get().to_be_bytes();
    tell(&mut net, Protocol::Esp, &spi, seconds(100));
    assert_eq!(rekey_in(&net), (before.0 - 1, 78));
    tell(&mut net, Protocol::Isakmp, &[], seconds(1000));
    assert_eq!(rekey_in(&net).0 / 10, 79);
    tell(&mut net, Protocol::Isakmp, &[], seconds(100_000));
    tell(&mut net, Protocol::Esp, &[9; 4], seconds(20));
    assert!(rekey_in(&net).0 > 700);
    net.run(SECOND * 1000);
    assert!(net.exchange_data(), "{}", net.story());
    assert!(net.sides[A].endpoint.counters().ike_rekeyed >= 1);
}

#[test]
fn a_life_of_hardly_any_time_does_not_make_keys_all_the_time() {
    let mut net = Net::established();
    let spi = net.sides[A].only().spi_out.get().to_be_bytes();
    tell(&mut net, Protocol::Esp, &spi, seconds(1));
    net.messages(A, ExchangeType::Quick);
    net.run(SECOND * 60);
    assert!(net.messages(A, ExchangeType::Quick) <= 2);
    net.run(SECOND * 60);
    net.assert_agree();
}

#[test]
fn an_identity_that_is_refused_is_answered_with_that() {
    let stranger = |side| {
        let mut connection = connection(side);
        connection.local_id = crate::ike::Identity::Fqdn("stranger.example".to_owned());
        connection.retransmit = Retransmit {
            tries: 2,
            ..connection.retransmit
        };
        connection
    };
    let mut net = Net::with(stranger(A), connection(B));
    net.initiate(A);
    net.run(SECOND);
    assert_eq!(
        net.sides[A].failures(),
        ["peer refused with INVALID-ID-INFORMATION"]
    );
    assert_eq!(net.sides[B].failures().len(), 1);
    net.run(SECOND * 60);
    assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [0, 0]);

    let mut net = Net::with(connection(A), stranger(B));
    net.initiate(A);
    net.run(SECOND * 2);
    assert!(net.sides[A].failures()[0].contains("stranger.example"));
    assert_eq!(net.sides[A].traced("N(INVALID-ID-INFORMATION"), 1);
    assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [0, 0]);
    assert!(!net.sides[B].up);
}

#[test]
fn a_refused_identity_is_told_again_when_the_proof_comes_again() {
    let mut a = connection(A);
    a.local_id = crate::ike::Identity::Fqdn("stranger.example".to_owned());
    let mut net = Net::with(a, connection(B));
    let mut is_first = true;
    net.weather = Box::new(move |side, octets| {
        let exchange = Header::parse(octets).unwrap().exchange;
        let is_lost = side == B && exchange == ExchangeType::Informational;
        if is_lost && std::mem::take(&mut is_first) {
            return Vec::new();
        }
        vec![LATENCY]
    });
    net.initiate(A);
    net.run(SECOND * 3);
    assert_eq!(
        net.sides[A].failures(),
        ["peer refused with INVALID-ID-INFORMATION"]
    );
    assert_eq!(net.sides[B].failures().len(), 1);
}
