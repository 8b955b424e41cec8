//! Messages that are not the peer's, or not what they seem.

use std::time::Duration;

use super::super::*;
use super::net::*;
use super::stepped::Stepped;
use crate::ike::{Command, Event, What};
use crate::wire::isakmp::{ExchangeType, Flags, Header, VendorId, Writer, kind, write_message};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn cve_2019_10155_an_informational_message_whose_hash_does_not_verify_is_dropped() {
    let mut net = Net::established();
    net.weather = Box::new(|_, _| Vec::new());
    for command in [Command::Probe(TUNNEL), Command::Clear(TUNNEL)] {
        net.command(A, command);
        let message = last(&net, A);
        for place in 28..message.len() {
            let mut changed = message.clone();
            changed[place] ^= 0x20;
            let flight = flight(&net, B, changed);
            let before = net.sides[B].events.len();
            net.deliver(&flight);
            let harmless = |event: &Event| matches!(event, Event::Trace(..));
            assert!(
                net.sides[B].events[before..].iter().all(harmless),
                "{place}"
            );
        }
    }
    assert!(net.sides[B].up);
    assert_eq!(net.sides[B].held.len(), 1);
}

#[test]
fn cve_2023_30570_aggressive_mode_is_never_answered() {
    let mut net = Net::new();
    let header = Header::new(7, 0, ExchangeType::Aggressive, Flags::CLEAR, 0);
    let mut writer = Writer::new();
    let offer = proposal::ike_offer(
        &connection(A).ike,
        proposal::Authentication::PreShared,
        &proposal::Life::default(),
    );
    writer
        .raw(kind::SA, &offer)
        .ke(&[9; 32])
        .nonce(&[7; 32])
        .raw(kind::ID, &connection(A).local_id.body());
    let (first, chain) = writer.finish();
    let flight = flight(&net, B, write_message(&header, first, &chain));
    net.deliver(&flight);
    assert!(net.sent.is_empty());
    assert_eq!(net.sides[B].endpoint.sas(), 0);
    assert_eq!(net.sides[B].traced("refused aggressive mode"), 1);
}

#[test]
fn cve_2009_0790_dpd_of_an_unknown_or_deleted_sa_is_dropped() {
    let mut net = Net::established();
    net.command(A, Command::Probe(TUNNEL));
    let question = last(&net, A);
    net.run(SECOND);
    net.command(B, Command::Clear(TUNNEL));
    let sent = net.sent.len();
    let flight = flight(&net, B, question);
    net.deliver(&flight);
    assert_eq!(net.sent.len(), sent);
    assert_eq!(net.sides[B].endpoint.counters().unknown_spi, 1);
}

#[test]
fn a_recorded_question_or_answer_proves_nothing() {
    let mut net = Net::established();
    net.command(A, Command::Probe(TUNNEL));
    net.run(SECOND);
    let (question, answer) = (last(&net, A), last(&net, B));
    let alive =
        |net: &Net, side: usize| net.sides[side].count(|event| matches!(event, Event::Alive(_)));
    let before = [alive(&net, A), alive(&net, B)];
    for _ in 0..20 {
        let question = flight(&net, B, question.clone());
        net.deliver(&question);
        let answer = flight(&net, A, answer.clone());
        net.deliver(&answer);
    }
    assert_eq!([alive(&net, A), alive(&net, B)], before);
}

#[test]
fn a_recorded_quick_mode_makes_no_second_pair() {
    let mut net = Net::established();
    let quick: Vec<Vec<u8>> = net
        .sent
        .iter()
        .filter(|(from, octets)| {
            let header = Header::parse(octets).unwrap();
            *from == A && header.exchange == ExchangeType::Quick
        })
        .map(|(_, octets)| octets.clone())
        .collect();
    net.run(SECOND * 200);
    for octets in quick {
        let flight = flight(&net, B, octets);
        net.deliver(&flight);
    }
    net.run(SECOND * 100);
    net.assert_agree();
}

#[test]
fn a_refusal_in_the_clear_does_not_end_what_the_peer_goes_on_with() {
    let mut net = Net::new();
    net.initiate(A);
    let first = Header::parse(&net.sent[0].1).unwrap();
    let header = Header::new(first.cky_i, 5, ExchangeType::Informational, Flags::CLEAR, 0);
    let mut writer = Writer::new();
    informational::plain_notify(&mut writer, 14);
    let (kind, chain) = writer.finish();
    let forged = flight(&net, A, write_message(&header, kind, &chain));
    net.deliver(&forged);
    net.run(SECOND * 10);
    net.assert_agree();
}

#[test]
fn half_open_sas_are_bounded_and_end() {
    let mut net = Net::new();
    net.initiate(A);
    let first = net.sent[0].1.clone();
    for number in 0..200_u8 {
        let mut other = first.clone();
        other[0] = number;
        let flight = flight(&net, B, other);
        net.deliver(&flight);
    }
    let counters = net.sides[B].endpoint.counters();
    assert_eq!(counters.half_open, 50);
    assert!(counters.half_open_source >= 150);
    net.weather = Box::new(|_, _| Vec::new());
    net.run(SECOND * 200);
    assert_eq!(net.sides[B].endpoint.sas(), 0);
}

#[test]
fn messages_that_are_cut_or_changed_anywhere_change_nothing_that_is_established() {
    let mut net = Net::established();
    let recorded: Vec<(usize, Vec<u8>)> = net.sent.iter().cloned().collect();
    for (from, octets) in recorded {
        for place in 0..octets.len() {
            let mut changed = octets.clone();
            changed[place] ^= 1;
            let changed = flight(&net, 1 - from, changed);
            net.deliver(&changed);
            let cut = flight(&net, 1 - from, octets[..place].to_vec());
            net.deliver(&cut);
        }
    }
    net.run(SECOND * 400);
    net.assert_agree();
    net.command(A, Command::Rekey(TUNNEL, What::Child));
    net.run(SECOND * 60);
    net.assert_agree();
}

/// A first message of main mode with that chain.
fn opening(writer: &mut Writer) -> Vec<u8> {
    let exchange = ExchangeType::IdentityProtection;
    let header = Header::new(9, 0, exchange, Flags::CLEAR, 0);
    let (first, chain) = writer.finish();
    write_message(&header, first, &chain)
}

#[test]
fn cve_2015_3991_payloads_and_messages_of_the_other_version_are_dropped() {
    let mut net = Net::established();
    for payload in 33..49 {
        let octets = opening(Writer::new().raw(payload, &[0; 40]));
        let foreign = flight(&net, B, octets);
        net.deliver(&foreign);
    }
    let recorded: Vec<(usize, Vec<u8>)> = net.sent.iter().cloned().collect();
    let before = net.sides[B].endpoint.counters().version;
    for (_, mut octets) in recorded.into_iter().filter(|(from, _)| *from == A) {
        octets[17] = 0x20;
        let foreign = flight(&net, B, octets);
        net.deliver(&foreign);
    }
    assert_eq!(net.sides[B].endpoint.counters().version, before + 5);
    assert_eq!(net.sides[B].endpoint.sas(), 1);
    net.assert_agree();
}

#[test]
fn cve_2026_50751_what_a_peer_says_that_it_speaks_never_changes_how_it_has_to_prove_itself() {
    let mut net = Net::new();
    let offer = proposal::ike_offer(
        &connection(A).ike,
        proposal::Authentication::XauthInitPreShared,
        &proposal::Life::default(),
    );
    let mut writer = Writer::new();
    writer.raw(kind::SA, &offer);
    for vendor in [VendorId::Xauth, VendorId::Unity, VendorId::Fragmentation] {
        writer.vendor_id(vendor.octets());
    }
    let octets = opening(&mut writer);
    let asked = flight(&net, B, octets);
    net.deliver(&asked);
    assert_eq!(net.sides[B].endpoint.sas(), 0);
    assert!(net.sides[B].failures()[0].contains("no proposal fits"));
}

#[test]
fn the_commit_bit_changes_nothing() {
    let mut net = Net::new();
    net.initiate(A);
    while let Some(mut flight) = net.flights.pop() {
        // It stands in the header, which no HASH is of.
        flight.octets[19] |= 2;
        net.now = flight.at;
        net.deliver(&flight);
        for side in [A, B] {
            net.sides[side].endpoint.handle_timeout(net.now);
            net.drain(side);
        }
    }
    net.assert_agree();
}

#[test]
fn who_writes_from_the_peers_address_without_hearing_us_keeps_it_not_out() {
    let mut net = Net::new();
    net.initiate(A);
    let first = net.sent[0].1.clone();
    net.flights.clear();
    for number in 0..500_u16 {
        let mut other = first.clone();
        other[..2].copy_from_slice(&number.to_be_bytes());
        let flight = flight(&net, B, other);
        net.deliver(&flight);
    }
    net.flights.clear();
    net.run(SECOND * 20);
    net.assert_agree();
}

#[test]
fn an_offer_that_is_longer_than_any_is_not_kept() {
    let mut net = Net::new();
    let mut life = Vec::new();
    for _ in 0..100 {
        life.extend([0, 12, 0, 60]);
        life.extend([9; 60]);
    }
    let attributes = [
        &[0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4][..],
        &[0x80, 4, 0, 31, 0x80, 3, 0, 1],
        &life,
    ]
    .concat();
    let length = |octets: usize| u16::try_from(octets).unwrap().to_be_bytes();
    let transform = [
        &[0, 0][..],
        &length(attributes.len() + 8),
        &[1, 1, 0, 0],
        &attributes,
    ]
    .concat();
    let proposal = [
        &[0, 0][..],
        &length(transform.len() + 8),
        &[1, 1, 0, 1],
        &transform,
    ]
    .concat();
    let body = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &proposal].concat();
    let octets = opening(Writer::new().raw(kind::SA, &body));
    let long = flight(&net, B, octets);
    net.deliver(&long);
    assert_eq!(net.sides[B].endpoint.counters().malformed, 1);
    assert!(net.sent.is_empty());
    assert_eq!(net.sides[B].endpoint.sas(), 0);
}

/// Has an established pair of messages 1 to 4, and the proof of `A` on its way.
fn before_the_proof() -> Stepped {
    Stepped::before(5)
}

#[test]
fn guesses_at_the_key_are_not_looked_at_for_ever() {
    let mut stepped = before_the_proof();
    let proof = stepped.octets();
    for guess in 0..20 {
        let mut wrong = proof.clone();
        wrong[40] ^= guess + 1;
        let wrong = flight(&stepped.net, B, wrong);
        stepped.net.deliver(&wrong);
    }
    assert_eq!(stepped.net.sides[B].endpoint.counters().auth_failed, 8);
    stepped.net.run(SECOND * 100);
    assert!(!stepped.net.sides[B].up);
    assert_eq!(stepped.net.sides[B].failures().len(), 1);
    assert_eq!(stepped.net.sides[B].endpoint.sas(), 0);
}

#[test]
fn a_proof_that_comes_from_elsewhere_moves_nothing_where_there_is_no_nat() {
    let mut stepped = before_the_proof();
    let mut copied = flight(&stepped.net, B, stepped.octets());
    copied.path.remote = ([198, 51, 100, 66], 500).into();
    stepped.net.deliver(&copied);
    assert!(!stepped.net.sides[B].up);
    stepped.net.run(SECOND);
    stepped.net.assert_agree();
}

#[test]
fn who_sends_public_values_that_are_none_gets_no_other_place_for_it() {
    let mut stepped = Stepped::before(3);
    let mut bodies = stepped.bodies();
    bodies[0].1 = vec![0; 32];
    let octets = stepped.with(&bodies);
    stepped.deliver(octets);
    let endpoint = &stepped.net.sides[B].endpoint;
    assert_eq!((endpoint.sas(), endpoint.counters().half_open), (1, 1));
    stepped.net.weather = Box::new(|_, _| Vec::new());
    stepped.net.run(SECOND * 40);
    assert_eq!(stepped.net.sides[B].endpoint.sas(), 0);
}

#[test]
fn a_peer_whose_deletions_are_lost_still_gets_its_pairs_replaced() {
    let mut net = Net::established();
    net.weather = Box::new(|_, octets| {
        let exchange = Header::parse(octets).unwrap().exchange;
        let is_lost = exchange == ExchangeType::Informational;
        (!is_lost).then_some(LATENCY).into_iter().collect()
    });
    for _ in 0..20 {
        let before = net.sides[A].sending().unwrap().sa.spi_in;
        net.command(A, Command::Rekey(TUNNEL, What::Child));
        net.run(SECOND * 40);
        assert!(net.exchange_data(), "{}", net.story());
        assert_ne!(net.sides[A].sending().unwrap().sa.spi_in, before);
    }
    assert!(net.sides[B].held.len() <= 8);
    assert_eq!(net.sides[B].failures(), [] as [&str; 0]);
}

#[test]
fn an_attempt_whose_first_message_was_lost_leaves_one_isakmp_sa_whichever_end_decides() {
    for seed in 0..8 {
        for late in [A, B] {
            let mut net = Net::seeded(seed, connection(A), connection(B));
            net.weather = Box::new(|_, _| Vec::new());
            net.initiate(late);
            net.weather = Box::new(|_, _| vec![LATENCY]);
            net.initiate(1 - late);
            net.run(SECOND * 200);
            net.assert_agree();
            assert_eq!(net.sides.each_ref().map(|side| side.endpoint.sas()), [1, 1]);
            assert_eq!(net.sides[A].downs(), []);
        }
    }
}

#[test]
fn an_idle_isakmp_sa_and_its_pair_are_small() {
    let (sa, pair) = (size_of::<sa::Sa>(), size_of::<child::Child>());
    assert!(sa <= 1536 && pair <= 256, "{sa}, {pair}");
}
