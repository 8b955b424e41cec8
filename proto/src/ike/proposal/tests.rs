use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn ike(words: &str) -> Vec<IkeOffer> {
    words
        .split(", ")
        .map(|words| words.parse().unwrap())
        .collect()
}

fn esp(words: &str) -> Vec<EspOffer> {
    words
        .split(", ")
        .map(|words| words.parse().unwrap())
        .collect()
}

const SPI: u32 = 0x0102_0304;

#[test]
fn a_word_that_is_not_available_is_named_with_those_that_are() {
    let ike = |words: &str| words.parse::<IkeOffer>().unwrap_err().to_string();
    assert_eq!(
        ike("aes256-sha256-modp2048"),
        "\"modp2048\" is not available as a key exchange group; there is ecp256, ecp384, x25519"
    );
    assert_eq!(
        ike("3des-sha1-modp1024"),
        "\"3des\" is not available as a cipher; there is aes128gcm16, aes256gcm16, chacha20poly1305, aes128, aes256"
    );
    assert_eq!(
        ike("aes256-sha1-ecp256"),
        "\"sha1\" is not available as an integrity algorithm; there is sha256, sha384"
    );
    assert_eq!(
        ike("aes256gcm16-prfsha1-ecp256"),
        "\"prfsha1\" is not available as a pseudorandom function; there is prfsha256, prfsha384, prfsha512"
    );
    assert_eq!(
        "aes256gcm16-mlkem768"
            .parse::<EspOffer>()
            .unwrap_err()
            .to_string(),
        "\"mlkem768\" is not available as a key exchange group; there is ecp256, ecp384, x25519"
    );
}

#[test]
fn an_offer_that_lacks_a_kind_is_refused_with_that_kind() {
    for (words, text) in [
        ("prfsha256-x25519", "a cipher is missing"),
        ("aes256-x25519", "an integrity algorithm is missing"),
        ("aes256gcm16-x25519", "a pseudorandom function is missing"),
        ("aes256gcm16-prfsha256", "a key exchange group is missing"),
        ("aes256gcm16-aes256-sha256-x25519", "write two proposals"),
        ("aes256gcm16-sha256-x25519", "aes256gcm16 authenticates"),
        ("", "\"\" is not available"),
        ("aes256gcm16--x25519", "\"\" is not available"),
        (
            "aes256gcm16-prfsha256-none",
            "\"none\" is not available as a key exchange group",
        ),
    ] {
        let refused = words.parse::<IkeOffer>().unwrap_err().to_string();
        assert!(refused.contains(text), "{words}: {refused}");
    }
    for (words, text) in [
        ("x25519-esn", "a cipher is missing"),
        ("aes256", "an integrity algorithm is missing"),
        ("aes128-sha384", "aes128 with sha384 is not available"),
        (
            "aes256-aes128-sha256-sha384",
            "aes128 with sha384 is not available",
        ),
        ("aes256gcm16-aes256-sha256", "write two proposals"),
        ("aes256gcm16-sha256", "aes256gcm16 authenticates"),
        ("aes256gcm16-prfsha256", "\"prfsha256\" is not available"),
    ] {
        let refused = words.parse::<EspOffer>().unwrap_err().to_string();
        assert!(refused.contains(text), "{words}: {refused}");
    }
}

#[test]
fn the_pseudorandom_function_follows_the_integrity_algorithm_where_none_is_named() {
    let shown = |words: &str| words.parse::<IkeOffer>().unwrap().to_string();
    assert_eq!(
        shown("aes256-sha384-ecp384"),
        "aes256-sha384-prfsha384-ecp384"
    );
    assert_eq!(
        shown("AES128-SHA2_256-curve25519-prfsha512"),
        "aes128-sha256-prfsha512-x25519"
    );
    assert_eq!(
        shown("aes256gcm128-prfsha256-x25519-x25519"),
        "aes256gcm16-prfsha256-x25519"
    );
}

#[test]
fn both_sizes_of_sequence_numbers_are_offered_unless_one_is_named() {
    let chosen = |ours: &str, theirs: &str| {
        let theirs = esp_to_wire(&esp(theirs), SPI, true);
        choose_esp(&esp(ours), &theirs, true).map(|(chosen, _, _)| chosen.esn)
    };
    assert_eq!(chosen("aes256gcm16", "aes256gcm16"), Ok(true));
    assert_eq!(chosen("aes256gcm16", "aes256gcm16-noesn"), Ok(false));
    assert_eq!(chosen("aes256gcm16-noesn-esn", "aes256gcm16"), Ok(false));
    let refused = chosen("aes256gcm16-esn", "aes256gcm16-noesn").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "peer offered ESP aes256gcm16-noesn; missing: ESN"
    );
}

#[test]
fn the_defaults_are_what_their_words_say() {
    let shown: Vec<_> = IkeOffer::defaults()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-x25519-ecp384-ecp256",
            "aes256-aes128-sha384-sha256-prfsha384-prfsha256-x25519-ecp384-ecp256",
        ]
    );
    assert_eq!(ike(&shown.join(", ")), IkeOffer::defaults());
    let shown: Vec<_> = EspOffer::defaults()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        ["aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp384-ecp256-none"]
    );
    assert_eq!(esp(&shown.join(", ")), EspOffer::defaults());
}

#[test]
fn ike_auth_neither_offers_nor_asks_for_a_key_exchange() {
    let ours = esp("aes256gcm16-x25519");
    let offered = esp_to_wire(&ours, SPI, true);
    let is_group = |transform: &Transform| transform.kind == TransformKind::Ke;
    assert!(!offered.proposals[0].transforms.iter().any(is_group));
    let (chosen, number, spi) = choose_esp(&ours, &offered, true).unwrap();
    assert_eq!((chosen.group, number, spi), (None, 1, SPI));
    assert_eq!(
        accept_esp(&ours, &chosen.to_wire(1, SPI), true),
        Ok((chosen, SPI))
    );
    let refused = choose_esp(&ours, &offered, false).unwrap_err();
    assert_eq!(refused.missing, [TransformKind::Ke]);
    // Some send their groups in IKE_AUTH too.
    let with_group = esp_to_wire(&esp("aes256gcm16-ecp384"), SPI, false);
    assert_eq!(choose_esp(&ours, &with_group, true).unwrap().0.group, None);
}

#[test]
fn a_key_exchange_that_is_not_insisted_on_is_left_out_where_the_peer_has_none() {
    let ours = esp("aes256gcm16-x25519-none");
    let chosen = |theirs: &str| {
        let theirs = esp_to_wire(&esp(theirs), SPI, false);
        choose_esp(&ours, &theirs, false).map(|(chosen, _, _)| chosen.group)
    };
    assert_eq!(chosen("aes256gcm16-x25519"), Ok(Some(Group::X25519)));
    assert_eq!(chosen("aes256gcm16"), Ok(None));
    assert_eq!(chosen("aes256gcm16-ecp384-none"), Ok(None));
    assert!(chosen("aes256gcm16-ecp384").is_err());
    let wanted = ours[0].groups().collect::<Vec<_>>();
    assert_eq!(
        (wanted, ours[0].suites()),
        (vec![Group::X25519], &[Suite::Aes256Gcm16][..])
    );
}

/// CVE-2014-9221: a group's number of the implementation's own was taken from the wire.
#[test]
fn no_number_of_a_group_but_those_offered_is_chosen() {
    let ours = ike("aes256gcm16-prfsha256-x25519-ecp256");
    for id in 0..=u16::MAX {
        let mut theirs = ike_to_wire(&ours, None);
        theirs.proposals[0].transforms.truncate(2);
        theirs.proposals[0]
            .transforms
            .push(transform(TransformKind::Ke, id));
        let chosen = choose_ike(&ours, &theirs)
            .ok()
            .map(|(chosen, _)| chosen.group);
        let known = [Group::X25519, Group::EcpP256]
            .into_iter()
            .find(|group| group.iana() == id);
        assert_eq!(chosen, known, "{id}");
        let shown = describe(&theirs);
        assert!(
            shown.starts_with("IKE aes256gcm16-prfsha256-") && shown.len() < 60,
            "{shown}"
        );
    }
}

/// CVE-2018-10811: keys were derived by a PRF that was proposed and is not there.
#[test]
fn no_number_of_another_kind_but_those_offered_is_chosen() {
    let ours = ike("aes256gcm16-prfsha256-x25519");
    for (place, kind) in [(0, TransformKind::Encr), (1, TransformKind::Prf)] {
        for id in 0..=u16::MAX {
            let mut theirs = ike_to_wire(&ours, None);
            let wanted = theirs.proposals[0].transforms[place].id;
            theirs.proposals[0].transforms[place].id = id;
            let missing = choose_ike(&ours, &theirs).map_err(|refused| refused.missing);
            assert_eq!(missing.is_ok(), id == wanted);
            assert!(missing.is_ok() || missing == Err(vec![kind]));
        }
    }
}

fn with(change: impl Fn(&mut Proposal)) -> SaPayload {
    let mut payload = ike_to_wire(&ike("aes256gcm16-prfsha256-x25519"), None);
    change(&mut payload.proposals[0]);
    payload
}

#[test]
fn a_proposal_with_what_nobody_knows_is_passed_over_and_the_next_one_taken() {
    let ours = ike("aes256gcm16-prfsha256-x25519");
    let unknown = with(|p| p.transforms.push(transform(TransformKind::Other(6), 0)));
    let refused = choose_ike(&ours, &unknown).unwrap_err();
    assert_eq!(refused.missing, [TransformKind::Other(6)]);
    let both = SaPayload {
        proposals: [unknown.proposals, with(|p| p.number = 2).proposals].concat(),
    };
    assert_eq!(choose_ike(&ours, &both).unwrap().1, 2);
    let attribute = with(|p| p.transforms[2].has_unknown_attribute = true);
    assert_eq!(
        choose_ike(&ours, &attribute).unwrap_err().missing,
        [TransformKind::Ke]
    );
    let bits = with(|p| p.transforms[0].key_bits = Some(192));
    assert_eq!(
        choose_ike(&ours, &bits).unwrap_err().missing,
        [TransformKind::Encr]
    );
    let esn = with(|p| p.transforms.push(transform(TransformKind::Esn, 0)));
    assert!(choose_ike(&ours, &esn).is_err());
}

#[test]
fn integrity_beside_a_cipher_that_authenticates_is_none_or_absent() {
    let ours = ike("aes256gcm16-prfsha256-x25519");
    let integrity = |id| with(|p| p.transforms.push(transform(TransformKind::Integ, id)));
    assert!(choose_ike(&ours, &integrity(0)).is_ok());
    let refused = choose_ike(&ours, &integrity(12)).unwrap_err();
    assert_eq!(refused.missing, [TransformKind::Integ]);
    let none = with(|p| {
        p.transforms[0] = cipher_transform(IkeCipher::Aes256Cbc);
        p.transforms.push(transform(TransformKind::Integ, 0));
    });
    let refused = choose_ike(&ike("aes256-sha256-x25519"), &none).unwrap_err();
    assert_eq!(refused.missing, [TransformKind::Integ]);
}

#[test]
fn a_proposal_of_another_protocol_or_with_an_spi_of_another_length_is_passed_over() {
    let ours = esp("aes256gcm16");
    let offered = esp_to_wire(&ours, SPI, true);
    for spi in [
        vec![],
        vec![1; 3],
        vec![1; 8],
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 255],
    ] {
        let mut theirs = offered.clone();
        theirs.proposals[0].spi = spi;
        assert!(choose_esp(&ours, &theirs, true).is_err());
        assert!(accept_esp(&ours, &theirs, true).is_err());
    }
    for protocol in [Protocol::Ike, Protocol::Ah, Protocol::Other(0)] {
        let mut theirs = offered.clone();
        theirs.proposals[0].protocol = protocol;
        assert!(choose_esp(&ours, &theirs, true).is_err());
    }
    let four = with(|p| p.spi = vec![1; 4]);
    assert!(choose_ike(&ike("aes256gcm16-prfsha256-x25519"), &four).is_err());
}

#[test]
fn the_spi_of_a_new_ike_sa_is_eight_octets_and_not_zero() {
    let ours = ike("aes256gcm16-prfsha256-x25519");
    assert_eq!(rekey_spi(&ike_to_wire(&ours, Some(7)), 1), Some(7));
    assert_eq!(rekey_spi(&ike_to_wire(&ours, Some(7)), 2), None);
    assert_eq!(rekey_spi(&ike_to_wire(&ours, Some(0)), 1), None);
    assert_eq!(rekey_spi(&ike_to_wire(&ours, None), 1), None);
}

#[test]
fn an_answer_that_is_not_one_algorithm_of_each_kind_of_the_offer_it_names_is_refused() {
    let ours = ike("aes256gcm16-aes128gcm16-prfsha256-x25519, aes256-sha256-ecp256");
    let answer = |number, words: &str| {
        let theirs = ike_to_wire(&ike(words), None);
        let (chosen, _) = choose_ike(&ours, &theirs).unwrap();
        chosen.to_wire(number, None)
    };
    let good = answer(1, "aes128gcm16-prfsha256-x25519");
    assert!(accept_ike(&ours, &good).is_ok());
    assert!(accept_ike(&ours, &answer(2, "aes256-sha256-ecp256")).is_ok());
    for number in [0, 2, 3, 255] {
        let refused = accept_ike(&ours, &answer(number, "aes128gcm16-prfsha256-x25519"));
        let text = "peer chose IKE aes128gcm16-prfsha256-x25519, which we did not offer";
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
    let twice = SaPayload {
        proposals: [&good.proposals[..], &good.proposals].concat(),
    };
    assert!(accept_ike(&ours, &twice).is_err());
    assert!(accept_ike(&ours, &SaPayload::default()).is_err());
    for place in 0..3 {
        let (mut more, mut less) = (good.clone(), good.clone());
        let transform = more.proposals[0].transforms[place];
        more.proposals[0].transforms.push(transform);
        less.proposals[0].transforms.remove(place);
        assert!(accept_ike(&ours, &more).is_err() && accept_ike(&ours, &less).is_err());
    }
}

#[test]
fn a_message_shows_a_few_of_very_many_proposals() {
    let one = with(|p| p.transforms = vec![transform(TransformKind::Other(99), 9); 64]).proposals;
    let many = SaPayload {
        proposals: vec![one[0].clone(); 32],
    };
    let refused = choose_ike(&IkeOffer::defaults(), &many)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("28 more") && refused.len() < 2500,
        "{refused}"
    );
    let nothing = choose_ike(&IkeOffer::defaults(), &SaPayload::default()).unwrap_err();
    let text = "peer offered nothing; no proposal of it is one of ours as a whole";
    assert_eq!(nothing.to_string(), text);
    let apart = ike("aes256gcm16-prfsha256-x25519, aes128gcm16-prfsha256-ecp256");
    let crossed = ike_to_wire(&ike("aes128gcm16-prfsha256-x25519"), None);
    assert_eq!(choose_ike(&apart, &crossed).unwrap_err().missing, []);
}

fn some<T: Clone + fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(all.to_vec(), 1..=all.len()).prop_shuffle()
}

fn any_ike_offer() -> impl Strategy<Value = IkeOffer> {
    let (aead, cbc): (Vec<IkeCipher>, Vec<_>) =
        IkeCipher::ALL.iter().partition(|cipher| cipher.is_aead());
    let sealing = prop_oneof![
        (some(&aead), Just(Vec::new())),
        (some(&cbc), some(Integrity::ALL)),
    ];
    (sealing, some(Prf::ALL), some(Group::ALL)).prop_map(
        |((ciphers, integrities), prfs, groups)| IkeOffer {
            ciphers,
            integrities,
            prfs,
            groups,
        },
    )
}

fn any_esp_offer() -> impl Strategy<Value = EspOffer> {
    let suites = prop::sample::select(vec![
        "aes128gcm16",
        "aes256gcm16-chacha20poly1305",
        "chacha20poly1305-aes128gcm16",
        "aes256-sha256",
        "aes128-aes256-sha256",
        "aes256-sha384-sha256",
    ]);
    let groups = [None, Some(Group::X25519), Some(Group::EcpP384)];
    let groups = prop_oneof![Just(Vec::new()), some(&groups)];
    (suites, groups, some(&[true, false])).prop_map(|(suites, groups, esn)| EspOffer {
        groups,
        esn,
        ..suites.parse().unwrap()
    })
}

fn offers<T: fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(one, 1..4)
}

/// All that an offer allows, best first.
fn ike_combinations(offer: &IkeOffer) -> Vec<IkeProposal> {
    let mut all = Vec::new();
    let integrities: Vec<_> = match offer.integrities.as_slice() {
        [] => vec![None],
        integrities => integrities.iter().copied().map(Some).collect(),
    };
    for cipher in &offer.ciphers {
        for integrity in &integrities {
            for prf in &offer.prfs {
                for group in &offer.groups {
                    all.push(IkeProposal {
                        cipher: *cipher,
                        integrity: *integrity,
                        prf: *prf,
                        group: *group,
                    });
                }
            }
        }
    }
    all
}

fn esp_combinations(offer: &EspOffer) -> Vec<EspProposal> {
    let mut all = Vec::new();
    let groups = match offer.groups.as_slice() {
        [] => &[None],
        groups => groups,
    };
    for suite in &offer.suites {
        for group in groups {
            for esn in &offer.esn {
                all.push(EspProposal {
                    suite: *suite,
                    group: *group,
                    esn: *esn,
                });
            }
        }
    }
    all
}

/// The first of ours that is among theirs, and the number of their first offer that has it.
fn best<O, P: PartialEq + Copy>(
    ours: &[O],
    theirs: &[O],
    of: impl Fn(&O) -> Vec<P>,
) -> Option<(P, u8)> {
    for offer in ours {
        for (number, other) in (1..).zip(theirs) {
            let theirs = of(other);
            if let Some(common) = of(offer).into_iter().find(|one| theirs.contains(one)) {
                return Some((common, number));
            }
        }
    }
    None
}

proptest! {
    #[test]
    fn the_best_of_our_algorithms_that_the_peer_offers_is_chosen_and_it_accepts_that(
        ours in offers(any_ike_offer()), theirs in offers(any_ike_offer()), spi in any::<Option<u64>>(),
    ) {
        let chosen = choose_ike(&ours, &ike_to_wire(&theirs, spi));
        prop_assert_eq!(chosen.clone().ok(), best(&ours, &theirs, ike_combinations));
        if let Ok((proposal, number)) = chosen {
            prop_assert_eq!(accept_ike(&theirs, &proposal.to_wire(number, spi)), Ok(proposal));
            prop_assert_eq!(ike(&proposal.to_string()).len(), 1);
        }
    }

    #[test]
    fn the_best_of_our_child_algorithms_that_the_peer_offers_is_chosen_and_it_accepts_that(
        ours in offers(any_esp_offer()), theirs in offers(any_esp_offer()), in_ike_auth: bool, spi in 256_u32..,
    ) {
        let without = |offer: &EspOffer| {
            let mut all = esp_combinations(offer);
            all.iter_mut().filter(|_| in_ike_auth).for_each(|one| one.group = None);
            all
        };
        let chosen = choose_esp(&ours, &esp_to_wire(&theirs, spi, in_ike_auth), in_ike_auth);
        let wanted = best(&ours, &theirs, without).map(|(best, number)| (best, number, spi));
        prop_assert_eq!(chosen.clone().ok(), wanted);
        if let Ok((proposal, number, _)) = chosen {
            let answer = proposal.to_wire(number, !spi | 256);
            let accepted = accept_esp(&theirs, &answer, in_ike_auth);
            prop_assert_eq!(accepted, Ok((proposal, !spi | 256)));
            prop_assert_eq!(esp(&proposal.to_string()).len(), 1);
        }
    }

    #[test]
    fn an_offer_comes_back_from_its_words(ike in any_ike_offer(), esp in any_esp_offer()) {
        prop_assert_eq!(ike.to_string().parse(), Ok(ike));
        prop_assert_eq!(esp.to_string().parse(), Ok(esp));
    }
}
