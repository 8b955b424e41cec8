//! Messages by which other implementations were brought down or taken in, as far as they are of a machine; those of a message alone are
//! tested where it is read.

use std::time::Duration;

use super::super::*;
use super::net::*;
use super::stepped::{MESSAGES, Stepped};
use crate::ike::{Command, CommandError, EndpointConfig, Event};
use crate::wire::isakmp::attribute::{phase_1, phase_2, xauth};
use crate::wire::isakmp::{
    Attribute, ConfigKind, DOI_IPSEC, ExchangeType, Flags, Header, Notify, Payload, Proposal,
    Protocol, SaPayload, Transform, Writer, kind, notify, payloads, write_message,
};

const SECOND: Duration = Duration::from_secs(1);

fn has_pair(net: &Net, side: usize) -> bool {
    !net.sides[side].held.is_empty()
}

/// Nothing that is half made stays at either end.
fn assert_at_rest(net: &mut Net) {
    net.weather = Box::new(|_, _| Vec::new());
    net.flights.clear();
    for side in [A, B] {
        net.command(side, Command::Clear(TUNNEL));
    }
    net.run(SECOND * 200);
    for side in &net.sides {
        assert_eq!(side.endpoint.sas(), 0, "{}", net.story());
        assert!(side.held.is_empty(), "{}", net.story());
        assert_eq!(side.endpoint.poll_timeout(), None, "{}", net.story());
        assert_eq!(side.endpoint.counters().half_open, 0);
    }
}

/// CVE-2013-6466, CVE-2013-6467: a payload that has to be there is not, or is of another type.
#[test]
fn cve_2013_6467_no_message_is_taken_without_each_of_its_payloads() {
    for number in 1..=MESSAGES {
        let count = Stepped::before(number).bodies().len();
        for place in 0..count {
            for renumbered in [None, Some(99), Some(kind::NOTIFY), Some(kind::SA)] {
                let mut stepped = Stepped::before(number);
                let to = stepped.receiver();
                let mut bodies = stepped.bodies();
                let (was, _) = bodies[place];
                if renumbered == Some(was) {
                    continue;
                }
                match renumbered {
                    Some(other) => bodies[place].0 = other,
                    None => drop(bodies.remove(place)),
                }
                if bodies.is_empty() {
                    continue;
                }
                let octets = stepped.with(&bodies);
                let before = (stepped.net.sides[to].up, has_pair(&stepped.net, to));
                stepped.deliver(octets);
                let net = &mut stepped.net;
                // Without identities quick mode is of what was asked for.
                let is_needed = match was {
                    kind::SA | kind::KE | kind::NONCE | kind::HASH => true,
                    kind::ID => number < 8,
                    _ => false,
                };
                if is_needed {
                    let after = (net.sides[to].up, has_pair(net, to));
                    let is_taken = (after.0 && !before.0) || (after.1 && !before.1);
                    assert!(!is_taken, "message {number}, payload {place}");
                }
                assert_at_rest(net);
            }
        }
    }
}

/// CVE-2015-3240, CVE-2023-41913: public values that are none, or of another length than their group's.
#[test]
fn cve_2023_41913_a_public_value_of_another_length_or_of_small_order_is_refused() {
    let lengths = [0, 1, 31, 33, 64, 65, 1000].map(|octets| vec![2; octets]);
    let small = [vec![0; 32], [&[1][..], &[0; 31]].concat()];
    let points = [vec![0; 64], vec![0xff; 64]];
    for (number, values) in [
        (3, [&lengths[..], &small].concat()),
        (4, [&lengths[..], &small].concat()),
        (7, [&lengths[..], &small, &points].concat()),
        (8, [&lengths[..], &small, &points].concat()),
    ] {
        for value in values {
            let mut stepped = Stepped::before(number);
            let mut bodies = stepped.bodies();
            let public = bodies.iter_mut().find(|(kind, _)| *kind == kind::KE);
            public.unwrap().1 = value;
            let (octets, to) = (stepped.with(&bodies), stepped.receiver());
            stepped.deliver(octets);
            assert!(!has_pair(&stepped.net, to), "message {number}");
            assert_at_rest(&mut stepped.net);
        }
    }
}

/// What is chosen of a transform whose attribute of that type has that value.
fn is_chosen(attributes: &[Attribute<'static>], kind: u16, value: u16, of_esp: bool) -> bool {
    let mut attributes = attributes.to_vec();
    let place = attributes.iter().position(|one| one.kind == kind).unwrap();
    attributes[place] = Attribute::short(kind, value);
    let offered = SaPayload {
        proposals: vec![Proposal {
            number: 1,
            protocol: if of_esp {
                Protocol::Esp
            } else {
                Protocol::Isakmp
            },
            spi: if of_esp { &[0, 0, 16, 0] } else { &[] },
            transforms: vec![Transform {
                number: 1,
                id: if of_esp { 12 } else { 1 },
                attributes,
            }],
        }],
    };
    if of_esp {
        let ours = connection(B).esp;
        return proposal::choose_esp(&ours, proposal::Encapsulation::Tunnel, 4096, &offered)
            .is_ok();
    }
    let by = proposal::Authentication::PreShared;
    proposal::choose_ike(&connection(B).ike, by, &offered).is_ok()
}

const IKE: [Attribute<'static>; 5] = [
    Attribute::short(phase_1::ENCRYPTION, 7),
    Attribute::short(phase_1::KEY_LENGTH, 256),
    Attribute::short(phase_1::HASH, 4),
    Attribute::short(phase_1::GROUP, 31),
    Attribute::short(phase_1::AUTHENTICATION, 1),
];

const ESP: [Attribute<'static>; 4] = [
    Attribute::short(phase_2::KEY_LENGTH, 256),
    Attribute::short(phase_2::AUTHENTICATION, 5),
    Attribute::short(phase_2::GROUP, 19),
    Attribute::short(phase_2::ENCAPSULATION, 1),
];

/// Of all 65,536 values of an attribute only those that were configured are chosen.
fn assert_only(attributes: &[Attribute<'static>], kind: u16, of_esp: bool, wanted: &[u16]) {
    let chosen: Vec<u16> = (0..=u16::MAX)
        .filter(|value| is_chosen(attributes, kind, *value, of_esp))
        .collect();
    assert_eq!(chosen, wanted, "attribute {kind}");
}

/// CVE-2014-9221: a group's number that an implementation has inside.
#[test]
fn cve_2014_9221_no_group_is_chosen_but_one_that_was_configured() {
    assert_only(&IKE, phase_1::GROUP, false, &[31]);
    assert_only(&ESP, phase_2::GROUP, true, &[19]);
}

/// CVE-2018-10811: a PRF that cannot be run, which in IKEv1 is of the hash.
#[test]
fn cve_2018_10811_no_hash_is_chosen_but_one_that_can_be_computed() {
    assert_only(&IKE, phase_1::HASH, false, &[4]);
    assert_only(&IKE, phase_1::ENCRYPTION, false, &[7]);
}

/// CVE-2018-0131, CVE-2017-17305: nonces encrypted with RSA are an oracle for the same key's other uses.
#[test]
fn cve_2018_0131_no_authentication_is_chosen_but_the_pre_shared_key() {
    assert_only(&IKE, phase_1::AUTHENTICATION, false, &[1]);
}

/// CVE-2024-3652: a pair whose cipher or authentication has no key.
#[test]
fn cve_2024_3652_a_pair_without_keys_is_refused_and_the_sa_goes_on() {
    let number = |kind, value| Attribute::short(kind, value);
    let tunnel = number(phase_2::ENCAPSULATION, 1);
    let sha256 = number(phase_2::AUTHENTICATION, 5);
    for (protocol, id, attributes) in [
        (Protocol::Esp, 11, vec![tunnel]),
        (Protocol::Esp, 11, vec![sha256, tunnel]),
        (Protocol::Esp, 3, vec![tunnel]),
        (Protocol::Esp, 12, vec![sha256, tunnel]),
        (
            Protocol::Esp,
            12,
            vec![number(phase_2::KEY_LENGTH, 0), sha256, tunnel],
        ),
        (
            Protocol::Esp,
            12,
            vec![number(phase_2::KEY_LENGTH, 128), tunnel],
        ),
        (
            Protocol::Esp,
            23,
            vec![number(phase_2::KEY_LENGTH, 128), tunnel],
        ),
        (Protocol::Ah, 5, vec![sha256, tunnel]),
        (Protocol::Ah, 0, vec![tunnel]),
    ] {
        let mut stepped = Stepped::before(7);
        let mut bodies = stepped.bodies();
        let transform = Transform {
            number: 1,
            id,
            attributes,
        };
        bodies[1].1 = SaPayload {
            proposals: vec![Proposal {
                number: 1,
                protocol,
                spi: &[0, 0, 16, 0],
                transforms: vec![transform],
            }],
        }
        .body();
        let octets = stepped.with(&bodies);
        stepped.deliver(octets);
        let net = &mut stepped.net;
        assert!(!has_pair(net, B) && net.sides[B].failures()[0].contains("no proposal"));
        assert_eq!(net.sides[A].traced("N(NO-PROPOSAL-CHOSEN"), 1);
        assert_at_rest(net);
    }
}

/// A message behind phase 1 of somebody who has the keys of an SA that is not established, as far as there are any.
fn early(stepped: &Stepped, exchange: ExchangeType, writer: &mut Writer) -> Vec<u8> {
    let sa = stepped.sa();
    let (cky_i, cky_r) = sa.cookies();
    let cky_r = if stepped.receiver() == B {
        Header::parse(&stepped.octets()).unwrap().cky_r
    } else {
        cky_r
    };
    let header = Header::new(cky_i, cky_r, exchange, Flags::CLEAR, 77);
    let Some(session) = &sa.keys else {
        let (first, chain) = writer.finish();
        return write_message(&header, first, &chain);
    };
    let iv = sa.exchange_iv(77).unwrap();
    let chain = session.hashed(77, hash::Which::First, writer);
    session
        .seal(&iv, &header, kind::HASH, chain)
        .unwrap()
        .octets
}

/// What comes early changes nothing, and what is under way becomes complete behind it.
fn assert_early_is_dropped(exchange: ExchangeType, write: impl Fn(&mut Writer, &Stepped)) {
    for number in 2..=6 {
        let mut stepped = Stepped::before(number);
        let mut writer = Writer::new();
        write(&mut writer, &stepped);
        let (octets, to) = (early(&stepped, exchange, &mut writer), stepped.receiver());
        let forged = flight(&stepped.net, to, octets);
        let net = &mut stepped.net;
        let (before, sent) = (net.sides[to].events.len(), net.sent.len());
        net.deliver(&forged);
        let is_trace = |event: &Event| matches!(event, Event::Trace(..));
        assert!(net.sides[to].events[before..].iter().all(is_trace));
        assert_eq!(net.sent.len(), sent, "message {number}");
        net.run(SECOND);
        net.assert_agree();
    }
}

/// CVE-2014-2338: what is only for an established SA, before it is.
#[test]
fn cve_2014_2338_a_quick_mode_before_phase_1_is_complete_makes_nothing() {
    assert_early_is_dropped(ExchangeType::Quick, |writer, _| {
        writer.raw(kind::SA, &[0; 20]).nonce(&[7; 32]);
    });
}

/// CVE-2009-0790, CVE-2019-12312: an informational message, encrypted or not, for an SA that is half open.
#[test]
fn cve_2019_12312_an_informational_message_before_the_proof_is_not_believed() {
    assert_early_is_dropped(ExchangeType::Informational, |writer, stepped| {
        let cookies = informational::cookies(stepped.sa().cookies());
        writer.notify(&Notify {
            doi: DOI_IPSEC,
            protocol: Protocol::Isakmp,
            spi: &cookies,
            kind: notify::R_U_THERE,
            data: &[0, 0, 0, 1],
        });
        writer.delete_isakmp(&cookies);
    });
}

/// CVE-2021-45079: success before anything was asked, and before the server proved itself.
#[test]
fn cve_2021_45079_success_before_the_servers_proof_is_dropped() {
    assert_early_is_dropped(ExchangeType::Transaction, |writer, _| {
        let success = [Attribute::short(xauth::STATUS, 1)];
        writer.attributes(ConfigKind::Set, 9, &success);
    });
}

/// CVE-2020-1763, CVE-2022-23094: a message that is refused before there is an SA to tell it of.
#[test]
fn cve_2020_1763_whatever_comes_without_an_sa_is_dropped_without_one() {
    let mut net = Net::new();
    let notify = Notify {
        doi: DOI_IPSEC,
        protocol: Protocol::Isakmp,
        spi: &[],
        kind: notify::INVALID_COOKIE,
        data: &[],
    };
    let (of_notify, chain) = Writer::new().notify(&notify).finish();
    for exchange in 0..=u8::MAX {
        for (cky_i, cky_r, message_id) in [(1, 0, 0), (1, 0, 5), (1, 2, 0), (0, 0, 0), (1, 2, 5)] {
            for encryption in [false, true] {
                for (first, chain) in [
                    (0, &[][..]),
                    (of_notify, &chain),
                    (99, &[0, 0, 0, 4]),
                    (1, &[0xff; 16]),
                ] {
                    let flags = Flags {
                        encryption,
                        ..Flags::CLEAR
                    };
                    let header = Header::new(cky_i, cky_r, exchange.into(), flags, message_id);
                    let stray = flight(&net, B, write_message(&header, first, chain));
                    net.deliver(&stray);
                }
            }
        }
    }
    assert!(net.sent.is_empty());
    assert_eq!(net.sides[B].endpoint.sas(), 0);
    let is_trace = |event: &Event| matches!(event, Event::Trace(..));
    assert!(net.sides[B].events.iter().all(is_trace));
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
}

/// CVE-2024-2357: no key is found for the peer.
#[test]
fn cve_2024_2357_a_tunnel_without_a_key_is_none() {
    let mut net = Net::new();
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Box::new(Seeded(3)));
    let keyless = Connection {
        psk: std::sync::Arc::new(adit_crypto::SecretBytes::from_slice(&[])),
        ..connection(B)
    };
    let refused = endpoint.add(net.now, TUNNEL, keyless);
    assert_eq!(refused, Err(CommandError::EmptyPsk));
    net.sides[B].endpoint = endpoint;
    net.initiate(A);
    net.run(SECOND);
    assert_eq!(net.sides[B].endpoint.counters().no_connection, 1);
    assert_eq!(net.messages(B, ExchangeType::Informational), 0);
}

/// CVE-2020-16088: a key that is known, but not of this peer.
#[test]
fn cve_2020_16088_the_key_of_another_tunnel_proves_nothing() {
    let other = std::sync::Arc::new(adit_crypto::SecretBytes::from_slice(b"of another tunnel"));
    let with = |psk: &std::sync::Arc<adit_crypto::SecretBytes>, side| Connection {
        psk: psk.clone(),
        ..connection(side)
    };
    let mut net = Net::with(with(&other, A), connection(B));
    let elsewhere = Connection {
        remotes: Some(vec![[192, 0, 2, 99].into()]),
        ..with(&other, B)
    };
    let now = net.now;
    let added = net.sides[B]
        .endpoint
        .add(now, crate::ike::ConnectionId(8), elsewhere);
    added.unwrap();
    net.initiate(A);
    net.run(SECOND * 100);
    assert!(!net.sides[A].up && !net.sides[B].up);
    assert_eq!(
        net.sides[B].failures(),
        ["peer is not authenticated: the pre-shared keys differ"]
    );
    assert_at_rest(&mut net);
}

/// CVE-2013-6076, CVE-2016-10396, CVE-2016-1344: fragments of the routers' form, which are not taken: nothing is kept of them.
#[test]
fn cve_2016_1344_fragments_are_dropped_one_by_one() {
    let mut net = Net::established();
    let cookies = net.sides[A].endpoint.status(TUNNEL, net.now).unwrap();
    let sent = net.sent.len();
    for number in 0..20_000_u16 {
        let [high, low] = number.to_be_bytes();
        for (cky_i, cky_r) in [(cookies.spi_i, cookies.spi_r), (u64::from(number) + 1, 0)] {
            let exchange = ExchangeType::IdentityProtection;
            let header = Header::new(cky_i, cky_r, exchange, Flags::CLEAR, 0);
            let body = [high, low, low % 3, low & 1, 1, 2, 3, 4];
            let (first, chain) = Writer::new().raw(132, &body).finish();
            let fragment = flight(&net, B, write_message(&header, first, &chain));
            net.deliver(&fragment);
        }
    }
    assert_eq!((net.sent.len(), net.sides[B].endpoint.sas()), (sent, 1));
    net.assert_agree();
}

/// CVE-2022-34721, CVE-2022-21849, CVE-2026-33824, CVE-2026-35424: exchanges that fail at each step, again and again.
#[test]
fn cve_2022_34721_exchanges_that_fail_at_each_step_leave_nothing() {
    let mut net = Net::new();
    for round in 0..300_usize {
        let steps = round % MESSAGES;
        let mut left = steps;
        net.weather = Box::new(move |_, _| {
            let arrives = left > 0;
            left = left.saturating_sub(1);
            arrives.then_some(LATENCY).into_iter().collect()
        });
        net.initiate(A);
        net.run(SECOND);
        for side in [A, B] {
            net.command(side, Command::Clear(TUNNEL));
        }
        for side in &net.sides {
            assert_eq!(side.endpoint.sas(), 0, "after {steps} messages");
            assert_eq!(side.endpoint.poll_timeout(), None, "after {steps} messages");
        }
    }
    net.weather = Box::new(|_, _| vec![LATENCY]);
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
}

/// CVE-2016-6415: an answer holds what was built for it, whatever lengths the question lies of.
#[test]
fn cve_2016_6415_what_answers_an_offer_that_lies_of_its_lengths_holds_nothing_else() {
    let original = Stepped::before(1).octets();
    let [(_, body), ..] = &Stepped::before(1).bodies()[..] else {
        panic!("no SA");
    };
    for place in 28..32 + body.len() {
        for lie in [0, 1, 0x7f, 0xff] {
            let mut net = Net::new();
            let mut octets = original.clone();
            octets[place] = lie;
            let asked = flight(&net, B, octets);
            net.deliver(&asked);
            for (_, answer) in &net.sent {
                assert!(answer.len() <= original.len(), "octet {place}");
                let header = Header::parse(answer).unwrap();
                let read = payloads(header.next_payload, &answer[28..]).unwrap();
                let is_built = |payload: &Payload<'_>| {
                    if let Payload::Sa { body: answer, .. } = payload {
                        return answer.len() <= body.len();
                    }
                    matches!(payload, Payload::VendorId(_))
                        || matches!(payload, Payload::Notify(notify) if notify.data.is_empty())
                };
                assert!(read.iter().all(is_built), "octet {place}");
            }
        }
    }
}
