use super::*;
use crate::wire::isakmp::attribute::{phase_1, phase_2};
use crate::wire::isakmp::{Attribute, Payload, Proposal, Protocol, SaPayload, Transform, payloads};

/// A body as a peer reads it.
fn with_sa<T>(body: &[u8], read: impl FnOnce(&SaPayload<'_>) -> T) -> T {
    let mut writer = crate::wire::isakmp::Writer::new();
    writer.raw(1, body);
    let (first, chain) = writer.finish();
    match &payloads(first, &chain).unwrap()[..] {
        [Payload::Sa { sa, .. }] => read(sa),
        other => panic!("{other:?}"),
    }
}

fn ike(text: &str) -> IkeProposal {
    text.parse().unwrap()
}

fn esp(text: &str) -> EspProposal {
    text.parse().unwrap()
}

const NO_LIFE: Life = Life {
    seconds: None,
    kilobytes: None,
};
const PSK: Authentication = Authentication::PreShared;
const TUNNEL: Encapsulation = Encapsulation::Tunnel;

fn every_ike() -> Vec<IkeProposal> {
    let mut all = Vec::new();
    for &cipher in Cipher::ALL {
        for &hash in Hash::ALL {
            let of = |group: &Group| IkeProposal {
                cipher,
                hash,
                group: *group,
            };
            all.extend(Group::ALL.iter().map(of));
        }
    }
    all
}

fn every_esp() -> Vec<EspProposal> {
    let suites = Suite::ALL.iter().chain(Suite::INSECURE).copied();
    let suites = suites.filter(|suite| *suite != Suite::ChaCha20Poly1305);
    let groups = std::iter::once(None).chain(Group::ALL.iter().copied().map(Some));
    suites
        .flat_map(|suite| {
            groups
                .clone()
                .map(move |group| EspProposal { suite, group })
        })
        .collect()
}

#[test]
fn each_algorithm_is_chosen_from_its_offer_accepted_and_read_from_its_words() {
    let life = Life {
        seconds: Some(86_400),
        kilobytes: Some(4_608_000),
    };
    for proposal in every_ike() {
        for by in [PSK, Authentication::XauthInitPreShared] {
            let offer = ike_offer([&proposal], by, &life);
            let choice = with_sa(&offer, |sa| choose_ike(&[proposal], by, sa)).unwrap();
            assert_eq!((choice.proposal, choice.life), (proposal, life));
            assert_eq!(choice.answer, offer);
            let accepted = with_sa(&choice.answer, |sa| accept_ike(&[proposal], by, sa));
            assert_eq!(accepted, Ok((proposal, life)));
        }
        assert_eq!(proposal.to_string().parse(), Ok(proposal));
    }
    for proposal in every_esp() {
        for mode in [
            TUNNEL,
            Encapsulation::Transport,
            Encapsulation::UdpTunnel,
            Encapsulation::UdpTransport,
        ] {
            let offer = esp_offer(&[proposal], mode, 0x1000, &life);
            let (choice, peer) =
                with_sa(&offer, |sa| choose_esp(&[proposal], mode, 0x2000, sa)).unwrap();
            assert_eq!(
                (choice.proposal, choice.life, peer),
                (proposal, life, 0x1000)
            );
            let accepted = with_sa(&choice.answer, |sa| accept_esp(&[proposal], mode, sa));
            assert_eq!(accepted, Ok((proposal, life, 0x2000)));
        }
        assert_eq!(proposal.to_string().parse(), Ok(proposal));
    }
}

#[test]
fn our_preference_decides_among_what_the_peer_offers() {
    let (a, b, c) = (
        ike("aes128-sha256-ecp256"),
        ike("aes256-sha256-modp2048"),
        ike("aes256-sha384-x25519"),
    );
    let offer = ike_offer([&a, &b], PSK, &NO_LIFE);
    let chosen = |ours: &[IkeProposal]| {
        with_sa(&offer, |sa| choose_ike(ours, PSK, sa)).map(|choice| choice.proposal)
    };
    assert_eq!(chosen(&[c, b, a]), Ok(b));
    assert_eq!(chosen(&[a, b]), Ok(a));
    let none = chosen(&[c]).unwrap_err();
    assert_eq!(none.offered, "aes128-sha256-ecp256, aes256-sha256-modp2048");
}

#[test]
fn an_answer_holds_the_one_transform_as_it_was_offered() {
    let (a, b) = (ike("aes128-sha256-ecp256"), ike("aes256-sha256-modp2048"));
    let offer = ike_offer([&a, &b], PSK, &NO_LIFE);
    let choice = with_sa(&offer, |sa| choose_ike(&[b], PSK, sa)).unwrap();
    with_sa(&choice.answer, |sa| {
        assert_eq!(sa.proposals.len(), 1);
        let transforms = &sa.proposals[0].transforms;
        assert_eq!(transforms.len(), 1);
        assert_eq!(transforms[0].number, 2);
    });
}

#[test]
fn weak_words_are_told_and_never_among_the_defaults() {
    let words = |proposal: &IkeProposal| proposal.insecure().collect::<Vec<_>>();
    assert_eq!(
        words(&ike("3des-sha1-modp1024")),
        ["3des", "sha1", "modp1024"]
    );
    assert_eq!(words(&ike("aes256-md5-modp2048")), ["md5"]);
    let esp_words = |text: &str| esp(text).insecure().collect::<Vec<_>>();
    assert_eq!(esp_words("3des-md5-modp1024"), ["3des", "md5", "modp1024"]);
    assert_eq!(esp_words("aes256-sha1"), ["sha1"]);
    assert!(
        IkeProposal::defaults()
            .iter()
            .all(|one| words(one).is_empty())
    );
    assert!(
        EspProposal::defaults()
            .iter()
            .all(|one| one.insecure().next().is_none())
    );
}

#[test]
fn words_that_are_none_are_refused_by_name() {
    let refused = |text: &str| text.parse::<IkeProposal>().unwrap_err().to_string();
    assert!(
        refused("aes192-sha256-modp2048").starts_with("\"aes192\" is not available as a cipher")
    );
    assert!(refused("aes256-sha256").starts_with("a group is missing"));
    assert!(refused("aes256-sha256-modp2048-esn").starts_with("\"esn\" is one word too many"));
    let refused = |text: &str| text.parse::<EspProposal>().unwrap_err().to_string();
    assert!(refused("chacha20poly1305").contains("not available"));
    assert!(refused("aes256").contains("not available"));
    assert!(refused("aes256-sha256-modp768").contains("modp768"));
    assert!(refused("").contains("not available"));
}

#[test]
fn in_quick_mode_all_that_is_offered_is_of_the_first_ones_group() {
    let ours = [
        esp("aes256-sha256-modp2048"),
        esp("aes256gcm16"),
        esp("aes128-sha256-modp2048"),
    ];
    let offer = esp_offer(&ours, TUNNEL, 256, &NO_LIFE);
    with_sa(&offer, |sa| assert_eq!(sa.proposals[0].transforms.len(), 2));
    let other = esp_offer(&ours[1..2], TUNNEL, 256, &NO_LIFE);
    assert!(with_sa(&other, |sa| accept_esp(&ours, TUNNEL, sa)).is_err());
    assert!(with_sa(&other, |sa| choose_esp(&ours, TUNNEL, 256, sa)).is_ok());
}

/// A phase 1 transform with one attribute changed or added.
fn changed_ike(change: impl FnOnce(&mut Vec<Attribute<'static>>)) -> bool {
    let mut attributes = vec![
        Attribute::short(phase_1::ENCRYPTION, 7),
        Attribute::short(phase_1::KEY_LENGTH, 256),
        Attribute::short(phase_1::HASH, 4),
        Attribute::short(phase_1::GROUP, 14),
        Attribute::short(phase_1::AUTHENTICATION, 1),
    ];
    change(&mut attributes);
    let sa = SaPayload {
        proposals: vec![Proposal {
            number: 1,
            protocol: Protocol::Isakmp,
            spi: &[],
            transforms: vec![Transform {
                number: 1,
                id: 1,
                attributes,
            }],
        }],
    };
    choose_ike(&[ike("aes256-sha256-modp2048")], PSK, &sa).is_ok()
}

#[test]
fn a_transform_that_asks_for_more_or_less_is_not_taken() {
    assert!(changed_ike(|_| {}));
    assert!(changed_ike(|all| all.reverse()));
    assert!(changed_ike(
        |all| all[2] = Attribute::long(phase_1::HASH, &[0, 4])
    ));
    for at in 0..5 {
        let is_taken = changed_ike(|all| {
            all.remove(at);
        });
        assert!(!is_taken, "attribute {at}");
        assert!(!changed_ike(|all| all.push(all[at])), "attribute {at}");
        assert!(!changed_ike(
            |all| all[at] = Attribute::long(all[at].kind, &[])
        ));
    }
    assert!(!changed_ike(|all| all.push(Attribute::short(13, 1))));
    assert!(!changed_ike(
        |all| all.push(Attribute::long(6, &[0xff; 128]))
    ));
}

#[test]
fn no_group_number_but_the_known_ones_is_taken() {
    // CVE-2014-9221: a group's number of the program's own made a bad pointer.
    for group in 0..=u16::MAX {
        let taken = changed_ike(|all| all[3] = Attribute::short(phase_1::GROUP, group));
        assert_eq!(taken, group == 14, "group {group}");
    }
}

#[test]
fn no_other_authentication_method_is_taken_for_the_shared_key() {
    // CVE-2018-0131: a responder that also spoke the encrypted nonces of RSA gave away what it should not.
    for method in 0..=u16::MAX {
        let taken = changed_ike(|all| all[4] = Attribute::short(phase_1::AUTHENTICATION, method));
        assert_eq!(taken, method == 1, "method {method}");
    }
}

fn esp_of(spi: &[u8], number: u8, protocol: Protocol, mode: u16) -> Proposal<'_> {
    Proposal {
        number,
        protocol,
        spi,
        transforms: vec![Transform {
            number: 1,
            id: 20,
            attributes: vec![
                Attribute::short(phase_2::KEY_LENGTH, 128),
                Attribute::short(phase_2::ENCAPSULATION, mode),
            ],
        }],
    }
}

#[test]
fn an_esp_proposal_with_a_reserved_spi_or_meant_with_another_is_not_taken() {
    let taken = |proposals: Vec<Proposal<'_>>| {
        choose_esp(&[esp("aes128gcm16")], TUNNEL, 256, &SaPayload { proposals }).is_ok()
    };
    let spi = [0, 0, 1, 0];
    assert!(taken(vec![esp_of(&spi, 1, Protocol::Esp, 1)]));
    assert!(taken(vec![
        esp_of(&spi, 1, Protocol::Esp, 1),
        esp_of(&spi, 2, Protocol::Ah, 1)
    ]));
    assert!(!taken(vec![
        esp_of(&spi, 1, Protocol::Esp, 1),
        esp_of(&spi, 1, Protocol::Ah, 1)
    ]));
    assert!(!taken(vec![esp_of(&spi, 1, Protocol::Ah, 1)]));
    assert!(!taken(vec![esp_of(&[0, 0, 0, 255], 1, Protocol::Esp, 1)]));
    assert!(!taken(vec![esp_of(&[0, 1, 0], 1, Protocol::Esp, 1)]));
    assert!(!taken(vec![esp_of(&[], 1, Protocol::Esp, 1)]));
    assert!(!taken(Vec::new()));
}

#[test]
fn each_mode_is_taken_by_its_number_and_that_of_the_drafts() {
    let spi = [0, 0, 1, 0];
    let modes = [
        (TUNNEL, vec![1]),
        (Encapsulation::Transport, vec![2]),
        (Encapsulation::UdpTunnel, vec![3, 61443]),
        (Encapsulation::UdpTransport, vec![4, 61444]),
    ];
    for (mode, numbers) in modes {
        for number in [0, 1, 2, 3, 4, 5, 61443, 61444, u16::MAX] {
            let sa = SaPayload {
                proposals: vec![esp_of(&spi, 1, Protocol::Esp, number)],
            };
            let taken = choose_esp(&[esp("aes128gcm16")], mode, 256, &sa).is_ok();
            assert_eq!(taken, numbers.contains(&number), "{mode:?} {number}");
        }
    }
}

#[test]
fn an_answer_of_several_proposals_or_transforms_is_not_accepted() {
    let (a, b) = (ike("aes128-sha256-ecp256"), ike("aes256-sha256-modp2048"));
    let ours = [a, b];
    let two = ike_offer([&a, &b], PSK, &NO_LIFE);
    assert!(with_sa(&two, |sa| accept_ike(&ours, PSK, sa)).is_err());
    let one = ike_offer([&a], PSK, &NO_LIFE);
    assert!(with_sa(&one, |sa| accept_ike(&ours, PSK, sa)).is_ok());
    let xauth = Authentication::XauthInitPreShared;
    let refused = with_sa(&one, |sa| accept_ike(&ours, xauth, sa)).unwrap_err();
    assert_eq!(refused.chosen, "aes128-sha256-ecp256");
    let none = SaPayload::default();
    assert_eq!(accept_ike(&ours, PSK, &none).unwrap_err().chosen, "nothing");
}

#[test]
fn lives_are_told_in_two_octets_or_four_and_zero_is_none() {
    let read = |attributes: &[Attribute<'_>]| Life::of_notification(attributes);
    let (kind, duration) = (phase_2::LIFE_TYPE, phase_2::LIFE_DURATION);
    let life = read(&[
        Attribute::short(kind, 1),
        Attribute::long(duration, &[0, 1, 0x51, 0x80]),
        Attribute::short(kind, 2),
        Attribute::short(duration, 1000),
    ]);
    let wanted = Life {
        seconds: Some(86_400),
        kilobytes: Some(1000),
    };
    assert_eq!(life, wanted);
    let seconds = |value: Attribute<'_>| read(&[Attribute::short(kind, 1), value]).seconds;
    assert_eq!(seconds(Attribute::short(duration, 0)), None);
    assert_eq!(seconds(Attribute::long(duration, &[])), None);
    assert_eq!(seconds(Attribute::long(duration, &[1; 9])), None);
    assert_eq!(seconds(Attribute::long(duration, &[1; 8])), Some(u32::MAX));
    assert_eq!(read(&[Attribute::short(duration, 5)]), NO_LIFE);
    assert_eq!(
        read(&[Attribute::short(kind, 3), Attribute::short(duration, 5)]),
        NO_LIFE
    );
}

#[test]
fn no_transform_without_a_key_or_of_an_unknown_cipher_is_taken() {
    // CVE-2024-3652: an authentication-only cipher came with keying material of zero octets.
    let every: Vec<EspProposal> = every_esp();
    let mut taken = 0;
    for id in 0..=u8::MAX {
        for bits in [None, Some(0), Some(128), Some(192), Some(256)] {
            for integrity in [None, Some(0), Some(1), Some(2), Some(5), Some(6), Some(9)] {
                let attributes = [
                    bits.map(|bits| Attribute::short(phase_2::KEY_LENGTH, bits)),
                    integrity.map(|id| Attribute::short(phase_2::AUTHENTICATION, id)),
                    Some(Attribute::short(phase_2::ENCAPSULATION, 1)),
                ];
                let mut proposal = esp_of(&[0, 0, 1, 0], 1, Protocol::Esp, 1);
                proposal.transforms[0].id = id;
                proposal.transforms[0].attributes = attributes.into_iter().flatten().collect();
                let sa = SaPayload {
                    proposals: vec![proposal],
                };
                if let Ok((choice, _)) = choose_esp(&every, TUNNEL, 256, &sa) {
                    assert!(choice.proposal.suite.keymat_octets() >= 16);
                    taken += 1;
                }
            }
        }
    }
    let without_group = every.iter().filter(|one| one.group.is_none());
    assert_eq!(taken, without_group.count());
}
