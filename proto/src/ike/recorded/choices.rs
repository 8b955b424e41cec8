//! What the ends agreed on: algorithms, traffic, cookies, the place of NATs.

use std::net::{IpAddr, Ipv4Addr};

use adit_crypto::Secret;

use super::super::cookie::Cookies;
use super::super::natd::Nat;
use super::super::proposal::{
    EspOffer, IkeOffer, accept_esp, accept_ike, choose_esp, choose_ike, describe, rekey_spi,
};
use super::super::selector::narrow;
use super::{Message, Scenario, first};
use crate::liveness::testing::epoch;
use crate::wire::ike::{ExchangeType, Payload, Protocol, TrafficSelector, notify};

/// The end that libreswan ran at.
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));

/// Offers in which all that the recordings agreed on is, but for modp2048.
fn ike_offers() -> Vec<IkeOffer> {
    let words = [
        "aes256gcm16-prfsha384-ecp384",
        "chacha20poly1305-prfsha512-x25519",
    ];
    words.map(|words| words.parse().unwrap()).to_vec()
}

fn esp_offers() -> Vec<EspOffer> {
    let words = [
        "aes256gcm16-chacha20poly1305-ecp384-none-noesn",
        "aes256-sha256-noesn",
    ];
    words.map(|words| words.parse().unwrap()).to_vec()
}

#[test]
fn the_offers_of_other_implementations_are_answered_as_they_were() {
    let (mut ike, mut esp) = (0, 0);
    for scenario in Scenario::all() {
        for request in &scenario.messages {
            let response = scenario
                .response(request)
                .filter(|_| !request.header.flags.response);
            let (Some(theirs), Some(answer)) = (request.sa(), response.and_then(Message::sa))
            else {
                continue;
            };
            let chosen = &answer.proposals[0];
            if chosen.protocol == Protocol::Ike {
                if scenario.name == "cbc" {
                    continue;
                }
                let (proposal, number) = choose_ike(&ike_offers(), &theirs).unwrap();
                let spi = rekey_spi(&answer, number);
                assert_eq!(
                    spi.is_some(),
                    request.header.exchange == ExchangeType::CreateChildSa
                );
                assert_eq!(proposal.to_wire(number, spi), answer, "{}", scenario.name);
                assert_eq!(chosen.number, 1);
                assert_eq!(
                    accept_ike(
                        &ike_offers()[usize::from(scenario.name == "chacha")..],
                        &answer
                    ),
                    Ok(proposal)
                );
                ike += 1;
            } else {
                let in_ike_auth = request.header.exchange == ExchangeType::IkeAuth;
                let (proposal, number, spi_i) =
                    choose_esp(&esp_offers(), &theirs, in_ike_auth).unwrap();
                assert_eq!(theirs.proposals[0].spi, spi_i.to_be_bytes());
                let offers = &esp_offers()[usize::from(scenario.name == "cbc")..];
                let (accepted, spi_r) = accept_esp(offers, &answer, in_ike_auth).unwrap();
                assert_eq!(proposal, accepted);
                assert_eq!(proposal.to_wire(number, spi_r), answer, "{}", scenario.name);
                esp += 1;
            }
        }
    }
    assert_eq!((ike, esp), (20, 18));
}

#[test]
fn what_we_lack_of_a_recorded_offer_is_named() {
    let one = "aes256gcm16-prfsha384-ecp384".parse().unwrap();
    for (scenario, ours, offered, missing) in [
        (
            "cbc",
            IkeOffer::defaults(),
            "IKE aes256-sha256-prfsha256-modp2048",
            "KE",
        ),
        (
            "noprop",
            vec![one],
            "IKE aes128gcm16-prfsha256-x25519",
            "ENCR, PRF, KE",
        ),
    ] {
        let theirs = Scenario::of(scenario).messages[0].sa().unwrap();
        let refused = choose_ike(&ours, &theirs).unwrap_err();
        let text = format!("peer offered {offered}; missing: {missing}");
        assert_eq!(refused.to_string(), text);
        assert_eq!(refused.offered, describe(&theirs));
    }
}

fn selectors(message: &Message) -> Option<[Vec<TrafficSelector>; 2]> {
    let ts_i = first!(message, Payload::TsI(selectors) => selectors);
    let ts_r = first!(message, Payload::TsR(selectors) => selectors);
    Some([ts_i?, ts_r?])
}

fn selector(text: &str) -> TrafficSelector {
    let (network, bits) = text.split_once('/').unwrap();
    let network: Ipv4Addr = network.parse().unwrap();
    let hosts = u32::MAX.checked_shr(bits.parse().unwrap()).unwrap_or(0);
    let last = network.to_bits() | hosts;
    TrafficSelector::new(0, network.into(), Ipv4Addr::from_bits(last).into())
}

#[test]
fn the_selectors_of_every_answer_are_its_own_narrowed_by_the_request() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for request in &scenario.messages {
            let response = scenario
                .response(request)
                .filter(|_| !request.header.flags.response);
            let (Some(theirs), Some(answered)) = (selectors(request), response.and_then(selectors))
            else {
                continue;
            };
            for (theirs, answered) in theirs.iter().zip(answered) {
                assert_eq!(narrow(&answered, theirs), answered, "{}", scenario.name);
                assert_eq!(narrow(theirs, &answered), answered, "{}", scenario.name);
            }
            count += 1;
        }
    }
    assert_eq!(count, 18);
}

#[test]
fn a_wide_request_is_narrowed_to_the_responders_networks_and_a_foreign_one_to_nothing() {
    let request = |name| selectors(&Scenario::of(name).messages[2]).unwrap();
    let [ts_i, ts_r] = request("tsnarrow");
    let (a, b) = (selector("10.77.1.0/24"), selector("10.77.2.0/24"));
    assert_eq!(narrow(&[a], &ts_i), [a]);
    assert_eq!(narrow(&[b], &ts_r), [b]);
    let [ts_i, ts_r] = request("tsbad");
    assert_eq!(
        (narrow(&[a], &ts_i), narrow(&[b], &ts_r)),
        (vec![a], vec![])
    );
}

/// The NATs that the receiver of a message sees, which were none.
fn nat(message: &Message) -> Option<Nat> {
    let of = |kind| -> Vec<_> { message.notifications(kind).iter().map(|n| n.data).collect() };
    let sources = of(notify::NAT_DETECTION_SOURCE_IP).into_iter();
    let destinations = of(notify::NAT_DETECTION_DESTINATION_IP).into_iter();
    let spis = (message.header.spi_i, message.header.spi_r);
    let path = (message.destination, message.source);
    let is_said = sources.len() > 0;
    is_said.then(|| Nat::detect(spis, path, sources, destinations))
}

/// strongSwan's kernel-libipsec knows ESP in UDP only, and has the peer see a NAT before it.
#[test]
fn nat_detection_sees_the_nat_that_one_implementation_feigns_and_no_other() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for message in &scenario.messages {
            let is_init = message.header.exchange == ExchangeType::IkeSaInit;
            // The flood that makes the responder ask for cookies is one request from many ports.
            let is_flood = message.source.port() != 500 || message.destination.port() != 500;
            let Some(nat) = nat(message).filter(|_| is_init && !is_flood) else {
                continue;
            };
            let is_libreswan = scenario.name == "lsw" && message.source.ip() == B;
            let peer = !is_libreswan && !["netlink", "shimt"].contains(&scenario.name);
            assert_eq!(nat, Nat { local: false, peer }, "{}", scenario.name);
            assert_eq!(nat.is_present(), peer);
            count += 1;
        }
    }
    assert_eq!(count, 49);
}

#[test]
fn a_cookie_comes_back_before_the_same_request_and_ours_would_be_taken_from_it() {
    let now = epoch();
    let cookies = Cookies::new(now, Secret::new(&mut [7; 32]));
    let scenario = Scenario::of("cookie");
    let asks = |message: &&Message| message.header.flags.response;
    let mut count = 0;
    for asked in scenario.messages.iter().filter(asks) {
        let cookie = asked.notifications(notify::COOKIE);
        let [cookie] = cookie.as_slice() else {
            continue;
        };
        assert_eq!(asked.payloads().len(), 1);
        assert!((1..=64).contains(&cookie.data.len()));
        count += 1;
        let mut requests = scenario.messages.iter().filter(|message| {
            !message.header.flags.response && message.header.spi_i == asked.header.spi_i
        });
        let first = requests.next().unwrap();
        let Some(second) = requests.next().filter(|m| m.header.message_id == 0) else {
            continue;
        };
        let (alone, with) = (first.payloads(), second.payloads());
        assert!(matches!(with[0], Payload::Notify(notify) if notify == *cookie));
        assert_eq!(with[1..], alone);
        let (ip, spi_i) = (first.source.ip(), first.header.spi_i);
        let ours = cookies.make(&first.nonce(), ip, spi_i);
        assert!(cookies.check(now, &ours, &second.nonce(), second.source.ip(), spi_i));
        assert!(!cookies.check(now, cookie.data, &second.nonce(), ip, spi_i));
    }
    assert_eq!(count, 3);
}
