//! What a peer of IKEv1 offers, asks for and assigns is read without a panic and within bounds, and what is chosen of an offer is accepted.
//!
//! Input: the body of an SA payload, or of an attributes payload.

use adit_crypto::SecretBytes;
use adit_crypto::v1::Group;
use adit_proto::ikev1::config_payload::Assigned;
use adit_proto::ikev1::proposal::{
    Authentication, Encapsulation, EspProposal, IkeProposal, Life, accept_esp, accept_ike,
    choose_esp, choose_ike,
};
use adit_proto::ikev1::xauth_message::{Challenge, status};
use adit_proto::wire::isakmp::{Attribute, Payload, SaPayload, Writer, kind, payloads};

const SPI: u32 = 0x1000;

/// Reads a payload of that type with that body.
fn with(kind: u8, body: &[u8], see: impl FnOnce(&Payload<'_>)) {
    let (first, chain) = Writer::new().raw(kind, body).finish();
    if let Ok(read) = payloads(first, &chain)
        && let [payload] = &read[..]
    {
        see(payload);
    }
}

fn with_sa(body: &[u8], see: impl FnOnce(&SaPayload<'_>)) {
    with(kind::SA, body, |payload| {
        if let Payload::Sa { sa, .. } = payload {
            see(sa);
        }
    });
}

fn choose(sa: &SaPayload<'_>) {
    let mut ours = IkeProposal::defaults();
    ours.push("3des-md5-modp1024".parse().unwrap());
    for by in [
        Authentication::PreShared,
        Authentication::XauthInitPreShared,
    ] {
        match choose_ike(&ours, by, sa) {
            Ok(choice) => with_sa(&choice.answer, |answer| {
                let accepted = accept_ike(&ours, by, answer);
                assert_eq!(accepted, Ok((choice.proposal, choice.life)));
            }),
            Err(why) => assert!(why.to_string().len() < 4096),
        }
    }
    let suites = EspProposal::defaults().into_iter();
    let with_pfs = suites.clone().map(|one| EspProposal {
        group: Some(Group::X25519),
        ..one
    });
    for ours in [suites.clone().collect::<Vec<_>>(), with_pfs.collect()] {
        for mode in [Encapsulation::Tunnel, Encapsulation::UdpTransport] {
            match choose_esp(&ours, mode, SPI, sa) {
                Ok((choice, peer)) => {
                    assert!(peer >= 256);
                    with_sa(&choice.answer, |answer| {
                        let accepted = accept_esp(&ours, mode, answer);
                        assert_eq!(accepted, Ok((choice.proposal, choice.life, SPI)));
                    });
                }
                Err(why) => assert!(why.to_string().len() < 4096),
            }
        }
    }
}

fn assign(attributes: &[Attribute<'_>]) {
    match Assigned::read(attributes) {
        Ok(assigned) => {
            assert!(assigned.dns.len() <= 8 && assigned.backup_servers.len() <= 16);
            let networks = assigned.split_include.iter().chain(&assigned.split_exclude);
            for network in networks.chain(&assigned.subnets) {
                assert!(network.start <= network.end && network.start.is_ipv4());
            }
            let texts = assigned.split_dns.iter().chain(&assigned.backup_servers);
            for text in texts.chain(&assigned.default_domain) {
                assert!(!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()));
            }
            let banner = assigned.banner.unwrap_or_default();
            assert!(!banner.contains(|c: char| c.is_control() && c != '\n'));
        }
        Err(why) => assert!(why.to_string().ends_with("cannot be read")),
    }
    let password = SecretBytes::from_slice(b"password");
    if let Ok(challenge) = Challenge::read(attributes) {
        let answer = challenge.answer("user", &password);
        assert!((1..=3).contains(&answer.len()));
    }
    let life = Life::of_notification(attributes);
    assert!(life.seconds != Some(0) && life.kilobytes != Some(0));
    assert!(status(attributes).is_none_or(|is_ok| !is_ok || !attributes.is_empty()));
}

/// Replays one input.
pub fn run(input: &[u8]) {
    with_sa(input, choose);
    with(kind::ATTRIBUTES, input, |payload| {
        if let Payload::Attributes(read) = payload {
            assign(&read.attributes);
        }
    });
}
