//! What stands inside: offers and choices, NAT-D hashes, DPD, XAUTH and Mode Config.

use std::net::Ipv4Addr;

use adit_crypto::Suite;
use adit_crypto::v1::Group;

use super::*;
use crate::ikev1::config_payload::Assigned;
use crate::ikev1::dpd_message::DpdMessage;
use crate::ikev1::natd;
use crate::ikev1::proposal::{
    Authentication, Encapsulation, EspProposal, IkeProposal, Life, accept_esp, accept_ike,
    choose_esp, choose_ike, esp_offer, ike_offer,
};
use crate::ikev1::xauth_message::{Challenge, status, status_ack};
use crate::wire::isakmp::{
    Attribute, Attributes, ConfigKind, ExchangeType, SaPayload, Value, Writer,
};

fn sas<'a>(message: &'a Message) -> impl Iterator<Item = (SaPayload<'a>, &'a [u8])> {
    message.payloads().into_iter().filter_map(|payload| {
        if let Payload::Sa { sa, body } = payload {
            Some((sa, body))
        } else {
            None
        }
    })
}

fn xauth_of(scenario: &Scenario) -> Authentication {
    if scenario.name.starts_with("xauth") {
        Authentication::XauthInitPreShared
    } else {
        Authentication::PreShared
    }
}

/// Request and answer of each exchange that has SA payloads in both.
fn choices(scenario: &Scenario, is_quick: bool) -> Vec<(&Message, &Message)> {
    let of_phase = |message: &&Message| {
        (message.header.exchange == ExchangeType::Quick) == is_quick
            && sas(message).next().is_some()
    };
    let all: Vec<_> = scenario.messages.iter().filter(of_phase).collect();
    let pairs: Vec<_> = all.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    for (request, answer) in &pairs {
        assert_eq!(request.header.message_id, answer.header.message_id);
        assert_ne!(request.source, answer.source, "{}", scenario.name);
    }
    pairs
}

#[test]
fn what_was_chosen_for_isakmp_is_what_we_choose_and_accept() {
    let mut count = 0;
    for scenario in Scenario::all() {
        let by = xauth_of(&scenario);
        let word = if scenario.name == "v1x25519" {
            "aes256-sha384-x25519"
        } else {
            "aes256-sha256-modp2048"
        };
        let other = IkeProposal {
            group: Group::EcpP384,
            ..word.parse().unwrap()
        };
        let wanted: IkeProposal = word.parse().unwrap();
        for (request, answer) in choices(&scenario, false) {
            let (offered, body) = sas(request).next().unwrap();
            let choice = choose_ike(&[other, wanted], by, &offered).unwrap();
            assert_eq!(choice.proposal, wanted);
            assert!(choice.life.seconds.unwrap() > 3000, "{}", scenario.name);
            // The one alternative that there is, as it was offered.
            assert_eq!(choice.answer, body, "{}", scenario.name);
            let (chosen, _) = sas(answer).next().unwrap();
            let (accepted, _) = accept_ike(&[other, wanted], by, &chosen).unwrap();
            assert_eq!(accepted, wanted);
            assert!(accept_ike(&[other], by, &chosen).is_err());
            let none = choose_ike(&[other], by, &offered).unwrap_err();
            assert!(none.offered.starts_with(word), "{none}");
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

#[test]
fn an_offer_is_written_as_the_recorded_peer_wrote_it() {
    let scenario = Scenario::of("v1psk");
    let life = Life {
        seconds: Some(0x3de0),
        kilobytes: None,
    };
    let request = choices(&scenario, false)[0].0;
    let (_, recorded) = sas(request).next().unwrap();
    let body = recorded.to_vec();
    let seconds = u16::from_be_bytes([body[body.len() - 2], body[body.len() - 1]]);
    let life = Life {
        seconds: Some(seconds.into()),
        ..life
    };
    let wanted: IkeProposal = "aes256-sha256-modp2048".parse().unwrap();
    let written = ike_offer([&wanted], Authentication::PreShared, &life);
    assert_eq!(written, body);
}

#[test]
fn what_was_chosen_for_esp_is_what_we_choose_and_accept() {
    let mut count = 0;
    for scenario in Scenario::all() {
        let mode = match scenario.name {
            "shimv1" => Encapsulation::Transport,
            _ => Encapsulation::UdpTunnel,
        };
        for (request, answer) in choices(&scenario, true) {
            let (offered, _) = sas(request).next().unwrap();
            let (chosen, body) = sas(answer).next().unwrap();
            let group = match scenario.name {
                "v1psk" => Some(Group::Modp2048),
                "v1x25519" => Some(Group::X25519),
                _ => None,
            };
            let suite = if scenario.name == "v1x25519" {
                Suite::Aes256Gcm16
            } else {
                Suite::Aes256CbcHmacSha256
            };
            let wanted = EspProposal { suite, group };
            let spi = u32::from_be_bytes(chosen.proposals[0].spi.try_into().unwrap());
            let (choice, peer) = choose_esp(&[wanted], mode, spi, &offered)
                .unwrap_or_else(|why| panic!("{}: {why}", scenario.name));
            assert_eq!(choice.proposal, wanted, "{}", scenario.name);
            assert_eq!(peer.to_be_bytes(), offered.proposals[0].spi);
            let (accepted, life, accepted_spi) = accept_esp(&[wanted], mode, &chosen).unwrap();
            assert_eq!((accepted, accepted_spi), (wanted, spi));
            assert!(life.seconds.is_some());
            // libreswan numbers from 0 and strongSwan answers from 1.
            if scenario.name != "lsv1" {
                assert_eq!(choice.answer, body, "{}", scenario.name);
                let written = esp_offer(&[wanted], mode, spi, &life);
                assert_eq!(written, body, "{}", scenario.name);
            }
            count += 1;
        }
    }
    assert_eq!(count, 9);
}

#[test]
fn nat_d_hashes_are_of_the_ends_that_the_peer_saw() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            for message in scenario.of_sa(sa) {
                let hashes: Vec<Vec<u8>> = message
                    .payloads()
                    .into_iter()
                    .filter_map(|payload| {
                        if let Payload::NatD { hash, .. } = payload {
                            Some(hash.to_vec())
                        } else {
                            None
                        }
                    })
                    .collect();
                let Some(destination) = hashes.first() else {
                    continue;
                };
                let of = |end| natd::hash(sa.hash, (sa.cky_i, sa.cky_r), end);
                // In aggressive mode the third message has floated to 4500 already.
                let at_500 = |mut end: SocketAddr| {
                    end.set_port(500);
                    end
                };
                let seen = [of(message.destination), of(at_500(message.destination))];
                assert!(seen.contains(destination), "{}", scenario.name);
                count += 1;
            }
        }
    }
    assert_eq!(count, 16);
}

#[test]
fn every_recorded_r_u_there_and_its_ack_are_read_and_written_back() {
    let (mut questions, mut answers) = (0, 0);
    for scenario in Scenario::all() {
        for message in &scenario.messages {
            for payload in message.payloads() {
                let Payload::Notify(notify) = payload else {
                    continue;
                };
                let cookies = message.header.cookies();
                let Some(read) = DpdMessage::read(&notify, &cookies) else {
                    continue;
                };
                let read = read.unwrap();
                *(if read.is_ack {
                    &mut answers
                } else {
                    &mut questions
                }) += 1;
                let mut writer = Writer::new();
                read.write(&cookies, &mut writer);
                let (_, rest) = message.opened().hash_and_rest().unwrap();
                assert_eq!(writer.finish().1, rest);
            }
        }
    }
    assert_eq!((questions, answers), (16, 12));
}

/// The payloads of XAUTH and Mode Config, in their order.
fn transactions(scenario: &Scenario) -> Vec<Attributes<'_>> {
    let all = scenario.messages.iter().filter(|m| m.encrypted.is_some());
    all.flat_map(|message| message.opened().payloads)
        .filter_map(|payload| {
            if let Payload::Attributes(attributes) = payload {
                Some(attributes)
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn a_recorded_login_is_answered_to_the_octet_and_its_status_read() {
    for name in ["xauth-yes", "xauth-no"] {
        let scenario = Scenario::of(name);
        let all = transactions(&scenario);
        let [request, reply, set, ack, ask, told] = &all[..] else {
            panic!("{all:?}");
        };
        let challenge = Challenge::read(&request.attributes).unwrap();
        let password = SecretBytes::from_slice(b"alice-pass");
        assert_eq!(challenge.answer("alice", &password), reply.attributes);
        assert_eq!(
            (request.kind, reply.kind),
            (ConfigKind::Request, ConfigKind::Reply)
        );
        assert_eq!(status(&set.attributes), Some(true));
        assert_eq!(status_ack().to_vec(), ack.attributes);
        assert_eq!((set.kind, ack.kind), (ConfigKind::Set, ConfigKind::Ack));
        assert_eq!(ask.attributes, [Attribute::long(1, &[])]);

        let assigned = Assigned::read(&told.attributes).unwrap();
        assert_eq!(assigned.address, Some(Ipv4Addr::new(10, 77, 9, 10)));
        let servers: Vec<String> = assigned.dns.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.77.2.53"]);
        let words = |all: &[crate::wire::ike::TrafficSelector]| -> Vec<String> {
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(words(&assigned.subnets), ["10.77.2.0/24"]);
        // Entries of 8 octets, which routers do not send.
        assert_eq!(words(&assigned.split_include), ["10.77.2.0/24"]);
        assert_eq!(assigned.banner.as_deref(), Some("Welcome to the IK lab"));
        assert_eq!(assigned.default_domain.as_deref(), Some("ik.test"));
        assert!(assigned.backup_servers.is_empty());
    }
}

#[test]
fn no_debug_of_a_recorded_login_shows_the_password() {
    let scenario = Scenario::of("xauth-yes");
    let all = transactions(&scenario);
    let has_it = all
        .iter()
        .flat_map(|one| &one.attributes)
        .any(|attribute| matches!(attribute.value, Value::Long(octets) if octets == b"alice-pass"));
    assert!(has_it);
    let shown = format!("{all:?}");
    let digits: Vec<String> = b"alice-pass".iter().map(u8::to_string).collect();
    assert!(!shown.contains("alice") && !shown.contains(&digits.join(", ")));
}
