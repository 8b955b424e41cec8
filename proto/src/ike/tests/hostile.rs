//! What brought other implementations down: nothing is believed before it is authenticated, and nothing is left of what failed.

use std::time::Duration;

use super::super::awaited::Awaited;
use super::super::proposal::{esp_to_wire, ike_to_wire};
use super::super::*;
use super::limits::{Attack, from, header, only_notify};
use super::net::*;
use crate::wire::ike::{
    ExchangeType, Protocol, SaPayload, Transform, TransformKind, Writer, kind, notify,
    write_message,
};

const SECOND: Duration = Duration::from_secs(1);

/// IKE_SA_INIT is done and IKE_AUTH has not arrived: keys are shared, nobody is authenticated.
fn before_auth() -> Net {
    let mut net = Net::new();
    let is_auth = |octets: &[u8]| octets[18] == 35;
    net.weather = Box::new(move |_, octets| {
        if is_auth(octets) {
            Vec::new()
        } else {
            vec![LATENCY]
        }
    });
    net.initiate(A);
    net.run(SECOND);
    assert_eq!(net.sides[B].endpoint.counters().half_open, 1);
    net.weather = Box::new(|_, _| vec![LATENCY]);
    net
}

/// `A` sends what it likes, sealed with the keys of its SA, as request number 1 before and as the next one after IKE_AUTH.
fn forge(net: &mut Net, exchange: ExchangeType, writer: &mut Writer) {
    let now = net.now;
    let slot = &net.sides[A].endpoint.core.slots[&TUNNEL];
    let spi = slot.current.or(slot.sas.first().copied()).unwrap();
    net.sides[A].endpoint.with(now, spi, |core, sa| {
        if let Some(request) = sa.window.outstanding.take() {
            sa.window.next_request = request.message_id;
        }
        sa.request(core, now, exchange, writer, Awaited::Probe);
    });
    net.drain(A);
    net.run(LATENCY * 3);
}

/// A request of `A` with a chain as no [`Writer`] makes it.
fn sealed_by_a(net: &mut Net, first: u8, chain: &[u8]) -> Flight {
    let now = net.now;
    let spi = net.sides[A].endpoint.core.slots[&TUNNEL].current.unwrap();
    let octets = net.sides[A].endpoint.with(now, spi, |core, sa| {
        let number = sa.window.next_request;
        sa.window.next_request += 1;
        sa.datagrams(
            core,
            (ExchangeType::Informational, false, number),
            first,
            chain,
        )
    });
    let path = Path {
        local: address(B, 500),
        remote: address(A, 500),
    };
    Flight {
        at: now,
        to: B,
        path,
        octets: octets.unwrap().remove(0),
    }
}

fn assert_still_half_open(net: &Net) {
    let b = &net.sides[B];
    assert!(!b.up && b.held.is_empty());
    assert_eq!(b.endpoint.counters().half_open, 1);
    assert_eq!(b.endpoint.sas(), 1);
    assert_eq!(b.count(|event| matches!(event, Event::Alive(_))), 0);
}

/// CVE-2014-2338: an IKE SA that is rekeyed before IKE_AUTH counts as authenticated.
#[test]
fn nothing_is_rekeyed_before_the_peer_is_authenticated() {
    let mut net = before_auth();
    let mut writer = Writer::new();
    writer
        .sa(&ike_to_wire(&IkeOffer::defaults(), Some(99)))
        .nonce(&[1; 32])
        .ke(31, &[9; 32]);
    forge(&mut net, ExchangeType::CreateChildSa, &mut writer);
    assert_still_half_open(&net);
    let mut writer = Writer::new();
    writer
        .sa(&esp_to_wire(&EspOffer::defaults(), 4096, false))
        .nonce(&[1; 32])
        .ts_i(&connection(A).local_ts)
        .ts_r(&connection(A).remote_ts);
    forge(&mut net, ExchangeType::CreateChildSa, &mut writer);
    assert_still_half_open(&net);
    assert_eq!(net.sides[B].endpoint.counters().unexpected, 2);
}

/// CVE-2019-12312: a sealed INFORMATIONAL before IKE_AUTH finds no state to work on.
#[test]
fn an_informational_before_the_peer_is_authenticated_is_dropped() {
    let mut net = before_auth();
    forge(&mut net, ExchangeType::Informational, &mut Writer::new());
    assert_still_half_open(&net);
    forge(
        &mut net,
        ExchangeType::Informational,
        Writer::new().delete_ike(),
    );
    assert_still_half_open(&net);
    forge(&mut net, ExchangeType::Other(43), &mut Writer::new());
    assert_still_half_open(&net);
}

/// CVE-2021-45079: success is announced before any proof was given. CVE-2013-6467 and CVE-2013-6466: a payload that is needed is absent.
#[test]
fn an_ike_auth_without_each_of_its_payloads_is_refused() {
    type Part = fn(&mut Writer);
    let parts: [(&str, Part); 5] = [
        ("IDi", |writer| {
            writer.id_i(2, b"a.example");
        }),
        ("AUTH", |writer| {
            writer.auth(2, &[0; 48]);
        }),
        ("SA", |writer| {
            writer.sa(&esp_to_wire(&EspOffer::defaults(), 4096, true));
        }),
        ("TS", |writer| {
            writer.ts_i(&connection(A).local_ts);
        }),
        ("EAP", |writer| {
            writer.raw(kind::EAP, &[3, 1, 0, 4]);
        }),
    ];
    for (without, _) in parts {
        let mut net = before_auth();
        let mut writer = Writer::new();
        for (_, part) in parts.iter().filter(|(name, _)| *name != without) {
            part(&mut writer);
        }
        forge(&mut net, ExchangeType::IkeAuth, &mut writer);
        assert!(
            !net.sides[B].up && net.sides[B].held.is_empty(),
            "without {without}"
        );
        net.run(SECOND * 40);
        assert_eq!(net.sides[B].endpoint.sas(), 0);
    }
}

/// CVE-2026-50751: what a peer says it can do switches a check off.
#[test]
fn no_notification_and_no_vendor_id_changes_how_a_peer_has_to_prove_itself() {
    for said in (0..=50).chain(16_384..=16_450).chain([40_960, 65_535]) {
        let mut net = before_auth();
        let mut writer = Writer::new();
        writer
            .vendor_id(b"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3")
            .notify(0, &[], said, &[1; 16])
            .id_i(2, b"a.example")
            .auth(2, &[said.to_be_bytes()[1]; 48])
            .sa(&esp_to_wire(&EspOffer::defaults(), 4096, true))
            .ts_i(&connection(A).local_ts)
            .ts_r(&connection(A).remote_ts);
        forge(&mut net, ExchangeType::IkeAuth, &mut writer);
        assert!(
            !net.sides[B].up && net.sides[B].held.is_empty(),
            "notification {said}"
        );
        assert_eq!(net.sides[B].endpoint.counters().auth_failed, 1);
    }
}

/// CVE-2024-2357: no secret is found for the method that the peer uses.
#[test]
fn a_method_for_which_there_is_no_secret_proves_nothing() {
    for method in 0..=255 {
        let mut net = before_auth();
        let mut writer = Writer::new();
        writer
            .id_i(2, b"a.example")
            .auth(method, &[])
            .sa(&esp_to_wire(&EspOffer::defaults(), 4096, true))
            .ts_i(&connection(A).local_ts)
            .ts_r(&connection(A).remote_ts);
        forge(&mut net, ExchangeType::IkeAuth, &mut writer);
        assert!(!net.sides[B].up, "method {method}");
    }
}

/// CVE-2018-10811: a PRF that was agreed to and cannot be run.
#[test]
fn an_offer_of_algorithms_that_are_not_there_is_refused_before_anything_is_kept() {
    let mut attack = Attack::on(EndpointConfig::default());
    let kinds = [TransformKind::Encr, TransformKind::Prf, TransformKind::Ke];
    for (number, kind) in kinds.into_iter().enumerate() {
        for id in [0, 1, 2, 4, 8, 14, 1025, u16::MAX] {
            let mut offer: SaPayload = ike_to_wire(&IkeOffer::defaults(), None);
            for proposal in &mut offer.proposals {
                proposal
                    .transforms
                    .retain(|transform| transform.kind != kind);
                proposal.transforms.push(Transform {
                    kind,
                    id,
                    key_bits: None,
                    has_unknown_attribute: false,
                });
            }
            let mut writer = Writer::new();
            writer
                .sa(&offer)
                .ke(31, &[9; 32])
                .nonce(&[number.to_be_bytes()[7]; 32]);
            let (first, chain) = writer.finish();
            let request = write_message(
                &header(attack.random.next(), ExchangeType::IkeSaInit),
                first,
                &chain,
            );
            let answers = attack.send(from(1, 500), &request);
            assert_eq!(
                only_notify(&answers[0]),
                (notify::NO_PROPOSAL_CHOSEN, Vec::new()),
                "{kind:?} {id}"
            );
        }
    }
    assert_eq!(attack.sas(), 0);
}

/// CVE-2015-3240 and CVE-2023-41913: public values of 0, of small order, too short and too long.
#[test]
fn a_public_value_that_gives_no_secret_is_refused_and_counts_if_it_took_a_key_exchange_to_find_out()
{
    let mut attack = Attack::on(EndpointConfig::default());
    let mut one = [0; 32];
    one[0] = 1;
    let x25519: [&[u8]; 6] = [&[0; 32], &one, &[0xff; 31], &[9; 31], &[9; 33], &[]];
    let p256: [&[u8]; 5] = [&[0; 64], &[1; 64], &[0xff; 64], &[4; 65], &[2; 33]];
    let p384: [&[u8]; 4] = [&[0; 96], &[0xff; 96], &[7; 97], &[7; 95]];
    let all = [(31, &x25519[..]), (19, &p256[..]), (20, &p384[..])];
    for (group, publics) in all {
        for public in publics {
            let spi = attack.random.next();
            let request = attack.sa_init_of(spi, group, public, None);
            let answers = attack.send(from(1, 500), &request);
            assert_eq!(
                only_notify(&answers[0]).0,
                notify::INVALID_SYNTAX,
                "{group} {public:?}"
            );
        }
    }
    assert_eq!((attack.sas(), attack.counters().half_open), (7, 7));
    attack.net.run(SECOND * 31);
    assert_eq!((attack.sas(), attack.counters().half_open), (0, 0));
}

/// CVE-2014-9221: the number of a group that only this program uses inside.
#[test]
fn every_group_number_is_either_spoken_or_answered_with_one_that_is() {
    let mut attack = Attack::on(EndpointConfig::default());
    for group in (0..=1100).chain(0xfff0..=0xffff) {
        let request = attack.sa_init_of(attack.random.0 + u64::from(group), group, &[9; 32], None);
        let answers = attack.send(from(1, 500), &request);
        if ![19, 20, 31].contains(&group) {
            let (kind, data) = only_notify(&answers[0]);
            assert_eq!(kind, notify::INVALID_KE_PAYLOAD);
            assert!([[0, 19], [0, 20], [0, 31]].contains(&[data[0], data[1]]));
        }
    }
    assert_eq!(attack.sas(), 1);
}

/// CVE-2022-34721, CVE-2026-33824 and their kin: an IKE_SA_INIT that fails leaves something behind, or frees it twice.
#[test]
fn an_ike_sa_init_that_fails_at_any_step_leaves_nothing() {
    let mut attack = Attack::on(EndpointConfig::default());
    let (_, good) = attack.sa_init(None);
    for round in 0..3 {
        for cut in 0..good.len() {
            let mut octets = good[..cut].to_vec();
            if let Some(length) = octets.get_mut(24..28) {
                length.copy_from_slice(&u32::try_from(cut).unwrap().to_be_bytes());
            }
            attack.send(from(round, 500), &octets);
        }
    }
    let types = [kind::SA, kind::KE, kind::NONCE];
    for without in types {
        let mut writer = Writer::new();
        if without != kind::SA {
            writer.sa(&ike_to_wire(&IkeOffer::defaults(), None));
        }
        if without != kind::KE {
            writer.ke(31, &[9; 32]);
        }
        if without != kind::NONCE {
            writer.nonce(&[3; 32]);
        }
        let (first, chain) = writer.finish();
        let request = write_message(&header(77, ExchangeType::IkeSaInit), first, &chain);
        attack.send(from(1, 500), &request);
    }
    assert_eq!(attack.sas(), 0);
    assert!(attack.net.sides[B].endpoint.poll_timeout().is_none());
    let before = attack.counters();
    assert_eq!(before.half_open, 0);
    assert!(before.malformed > 300);
}

/// CVE-2020-1763, CVE-2022-23094 and CVE-2009-0790: a message of an SA that does not exist is logged as if it did.
#[test]
fn a_message_of_no_ike_sa_is_counted_and_changes_nothing() {
    let mut attack = Attack::on(EndpointConfig::default());
    for exchange in (0..=255)
        .map(ExchangeType::from)
        .filter(|exchange| *exchange != ExchangeType::IkeSaInit)
    {
        for (initiator, response) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut header = header(1, exchange);
            header.spi_r = 2;
            header.flags.initiator = initiator;
            header.flags.response = response;
            let (first, chain) = Writer::new()
                .notify(0, &[], notify::AUTHENTICATION_FAILED, &[])
                .finish();
            assert!(
                attack
                    .send(from(1, 500), &write_message(&header, first, &chain))
                    .is_empty()
            );
        }
    }
    assert_eq!(attack.counters().unknown_spi, 255 * 4);
    assert_eq!(attack.sas(), 0);
}

/// CVE-2023-38710: REKEY_SA with a protocol that is none, which is echoed.
#[test]
fn a_rekey_of_a_pair_that_is_none_is_answered_with_child_sa_not_found() {
    for protocol in [0, 1, 2, 3, 255] {
        for spi in [&[][..], &[1, 2, 3], &[0, 0, 0, 1], &[9; 8]] {
            let mut net = Net::established();
            let mut writer = Writer::new();
            writer
                .notify(protocol, spi, notify::REKEY_SA, &[])
                .sa(&esp_to_wire(&EspOffer::defaults(), 4096, false))
                .nonce(&[1; 32])
                .ts_i(&connection(A).local_ts)
                .ts_r(&connection(A).remote_ts);
            forge(&mut net, ExchangeType::CreateChildSa, &mut writer);
            assert_eq!(net.sides[B].traced("N(CHILD_SA_NOT_FOUND"), 1);
            assert_eq!(net.sides[B].held.len(), 1);
        }
    }
}

#[test]
fn an_unauthentic_message_changes_nothing_of_an_established_sa() {
    let mut net = Net::established();
    net.command(A, Command::Probe(TUNNEL));
    let good = net.flights.pop().unwrap();
    for at in 0..good.octets.len() {
        let mut bad = good.clone();
        bad.octets[at] ^= 1;
        net.deliver(&bad);
        assert_eq!(
            net.sides[B].count(|event| matches!(event, Event::Alive(_))),
            0,
            "octet {at}"
        );
    }
    net.deliver(&good);
    assert_eq!(
        net.sides[B].count(|event| matches!(event, Event::Alive(_))),
        1
    );
    net.run(SECOND);
    net.assert_agree();
    let counters = net.sides[B].endpoint.counters();
    assert!(counters.not_authentic > 20, "{counters:?}");
}

#[test]
fn a_message_that_comes_twice_is_answered_twice_and_believed_once() {
    let mut net = Net::established();
    net.command(A, Command::Rekey(TUNNEL, What::Child));
    let request = net.flights.pop().unwrap();
    for _ in 0..3 {
        net.deliver(&request);
    }
    assert_eq!(net.sides[B].held.len(), 2);
    assert_eq!(net.sides[B].endpoint.counters().repeated_responses, 2);
    net.run(SECOND);
    net.assert_agree();
}

#[test]
fn an_unknown_critical_payload_is_refused_and_one_that_is_not_critical_is_passed_over() {
    let mut net = Net::established();
    let mut writer = Writer::new();
    writer.raw(200, &[1, 2, 3]);
    forge(&mut net, ExchangeType::Informational, &mut writer);
    assert_eq!(net.sides[B].traced("UNSUPPORTED_CRITICAL_PAYLOAD"), 0);
    let (_, mut chain) = Writer::new().raw(200, &[1, 2, 3]).finish();
    chain[1] = 0x80;
    let sent = sealed_by_a(&mut net, 200, &chain);
    net.deliver(&sent);
    assert_eq!(net.sides[B].traced("UNSUPPORTED_CRITICAL_PAYLOAD"), 1);
    net.assert_agree();
}

#[test]
fn an_authentic_message_that_does_not_read_ends_the_ike_sa() {
    let mut net = Net::established();
    let mut writer = Writer::new();
    writer.raw(kind::NONCE, &[1, 2, 3]);
    forge(&mut net, ExchangeType::Informational, &mut writer);
    assert_eq!(net.sides[B].downs(), [DownWhy::Protocol]);
    assert!(net.sides[B].held.is_empty());
}

#[test]
fn fragments_that_never_become_a_message_are_forgotten() {
    let net = before_auth();
    let fragment = net
        .sent
        .iter()
        .find(|(_, octets)| octets[18] == 35)
        .map(|(_, octets)| octets.clone())
        .unwrap();
    assert_eq!(fragment[16], kind::SK, "one message so far");
    let mut ends = [connection(A), connection(B)];
    ends[A].fragment_octets = 256;
    ends[A].local_ts = (0..20).map(|n| selector(&format!("10.1.{n}.1"))).collect();
    let [a, b] = ends;
    let mut net = Net::with(a, b);
    let mut first = true;
    net.weather = Box::new(move |_, octets| {
        let passes = octets[16] != kind::SKF || std::mem::take(&mut first);
        if passes { vec![LATENCY] } else { Vec::new() }
    });
    net.initiate(A);
    net.run(SECOND);
    let timers = |net: &Net| net.sides[B].endpoint.poll_timeout().map(|(_, timer)| timer);
    assert_eq!(timers(&net), Some(Timer::Fragments));
    net.run(SECOND * 20);
    assert_eq!(timers(&net), Some(Timer::HalfOpen));
}

#[test]
fn another_major_version_is_told_so_and_the_first_one_is_dropped() {
    let mut attack = Attack::on(EndpointConfig::default());
    let (_, mut request) = attack.sa_init(None);
    request[17] = 0x30;
    assert_eq!(
        only_notify(&attack.send(from(1, 500), &request)[0]).0,
        notify::INVALID_MAJOR_VERSION
    );
    request[17] = 0x10;
    assert!(attack.send(from(1, 500), &request).is_empty());
    assert_eq!(attack.counters().version, 2);
    assert_eq!(u8::from(Protocol::Ike), 1);
}
