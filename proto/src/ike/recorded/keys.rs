//! The keys of IKE SAs and child SAs, and what they open.

use adit_crypto::{Aead, SecretBytes, SkKey, Suite};

use super::super::fragment::{Fragment, Reassembly, Whole};
use super::super::keys::{IkeKeys, child_keymat};
use super::{Message, RecordedSa, Scenario, octets};
use crate::wire::ike::sk::{NotOpened, Opened};
use crate::wire::ike::{ExchangeType, Payload, Protocol, SaPayload, TransformKind, sk};

#[test]
fn every_ike_sa_has_the_keys_that_its_peers_derived() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            let IkeKeys {
                sk_d,
                i_to_r,
                r_to_i,
                sk_pi,
                sk_pr,
            } = sa.keys(&scenario);
            let recorded = |name: &str| sa.value.get(name).map_or_else(Vec::new, octets);
            for (name, key) in [
                ("SK_d", sk_d),
                ("SK_ei", i_to_r.encryption),
                ("SK_er", r_to_i.encryption),
                ("SK_ai", i_to_r.integrity),
                ("SK_ar", r_to_i.integrity),
                ("SK_pi", sk_pi),
                ("SK_pr", sk_pr),
            ] {
                assert_eq!(key.expose(), recorded(name), "{} {name}", scenario.name);
            }
            if let Some((ni, nr)) = &sa.nonces {
                let nonces = [&ni[..], nr].concat();
                let skeyseed = sa.proposal.prf.mac(&nonces, &[sa.g_ir.expose()]);
                assert_eq!(skeyseed.expose(), recorded("SKEYSEED"), "{}", scenario.name);
            }
            count += 1;
        }
    }
    assert_eq!(count, 22);
}

/// The key that the sender of a message seals with.
fn key_of(message: &Message, sa: &RecordedSa, keys: &IkeKeys) -> SkKey {
    let direction = match message.header.flags.initiator {
        true => &keys.i_to_r,
        false => &keys.r_to_i,
    };
    direction.sk_key(&sa.proposal).unwrap()
}

#[test]
fn every_sealed_message_opens_to_the_payloads_that_were_sent_and_in_one_direction_only() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for message in &scenario.messages {
            if message.header.exchange == ExchangeType::IkeSaInit {
                continue;
            }
            let is_of = |sa: &&RecordedSa| sa.spi_i == message.header.spi_i;
            let sa = scenario.sas.iter().find(is_of).unwrap();
            let mut keys = sa.keys(&scenario);
            let (first, chain) = message.chain.clone();
            let opened = sk::open(&message.octets, &key_of(message, sa, &keys));
            assert_eq!(
                opened,
                Ok(Opened::Whole { first, chain }),
                "{}",
                scenario.name
            );
            std::mem::swap(&mut keys.i_to_r, &mut keys.r_to_i);
            let opened = sk::open(&message.octets, &key_of(message, sa, &keys));
            assert_eq!(opened, Err(NotOpened::NotAuthentic), "{}", scenario.name);
            count += 1;
        }
    }
    assert_eq!(count, 132);
}

#[test]
fn every_message_sealed_in_fragments_comes_back_from_the_last_one_to_the_first() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for message in &scenario.messages {
            let is_of = |sa: &&RecordedSa| sa.spi_i == message.header.spi_i;
            let Some(sa) = scenario.sas.iter().find(is_of) else {
                continue;
            };
            let mut key = key_of(message, sa, &sa.keys(&scenario));
            let (first, chain) = &message.chain;
            let parts =
                sk::seal_fragments(&message.header, *first, chain, &mut key, 150, || [7; 16]);
            let parts = parts.unwrap();
            let mut reassembly = Reassembly::default();
            let mut whole = None;
            for part in parts.iter().rev() {
                assert!(whole.is_none() && part.len() <= 150);
                let Ok(Opened::Fragment {
                    first: next_payload,
                    number,
                    total,
                    part: octets,
                }) = sk::open(part, &key)
                else {
                    panic!("no fragment");
                };
                let fragment = Fragment {
                    message_id: message.header.message_id,
                    next_payload,
                    number,
                    total,
                    octets: &octets,
                };
                whole = reassembly.add(&fragment).unwrap();
            }
            let (next_payload, octets) = message.chain.clone();
            assert_eq!(
                whole,
                Some(Whole {
                    next_payload,
                    octets
                }),
                "{}",
                scenario.name
            );
            count += usize::from(parts.len() > 1);
        }
    }
    assert_eq!(count, 91);
}

/// The suite of an answer.
fn suite(sa: &SaPayload) -> Suite {
    let of = |kind| {
        let mut transforms = sa.proposals[0].transforms.iter();
        transforms.find(|transform| transform.kind == kind)
    };
    let encr = of(TransformKind::Encr).unwrap();
    let integ = of(TransformKind::Integ).map(|integ| integ.id);
    Suite::from_iana(encr.id, encr.key_bits, integ).unwrap()
}

/// The keying material, both ways, of each child SA that the exchanges made.
fn children(scenario: &Scenario) -> Vec<(Suite, SecretBytes, SecretBytes)> {
    let mut children = Vec::new();
    for response in &scenario.messages {
        let Some(chosen) = response.sa() else {
            continue;
        };
        if !response.header.flags.response || chosen.proposals[0].protocol != Protocol::Esp {
            continue;
        }
        let is_of = |sa: &&RecordedSa| sa.spi_i == response.header.spi_i;
        let sa = scenario.sas.iter().find(is_of).unwrap();
        let nonces = if response.header.exchange == ExchangeType::IkeAuth {
            sa.nonces.clone().unwrap()
        } else {
            (scenario.request(response).nonce(), response.nonce())
        };
        let shared = |payload: &Payload<'_>| matches!(payload, Payload::Ke { .. });
        let g_ir = response.payloads().iter().any(shared).then(|| {
            let seed = octets(&scenario.children[children.len()]["seed_Ni_Nr"]);
            let secret = seed.len() - nonces.0.len() - nonces.1.len();
            SecretBytes::from_slice(&seed[..secret])
        });
        let (sk_d, suite) = (sa.keys(scenario).sk_d, suite(&chosen));
        let (i_to_r, r_to_i) = child_keymat(
            sa.proposal.prf,
            &sk_d,
            suite,
            g_ir.as_ref(),
            &nonces.0,
            &nonces.1,
        );
        children.push((suite, i_to_r, r_to_i));
    }
    children
}

#[test]
fn every_child_sa_has_the_keys_that_its_peers_derived() {
    let mut count = 0;
    for scenario in Scenario::all() {
        let children = children(&scenario);
        assert_eq!(children.len(), scenario.children.len(), "{}", scenario.name);
        for ((_, i_to_r, r_to_i), recorded) in children.iter().zip(&scenario.children) {
            for (keymat, end) in [(i_to_r, "initiator"), (r_to_i, "responder")] {
                let key = |of: &str| recorded.get(format!("{of} {end} key")).map(octets);
                let encryption = key("encryption").unwrap();
                let wanted = [encryption, key("integrity").unwrap_or_default()].concat();
                assert_eq!(keymat.expose(), wanted, "{} {end}", scenario.name);
            }
            count += 1;
        }
    }
    assert_eq!(count, 19);
}

#[test]
fn every_esp_packet_opens_under_the_keying_material_of_its_child_sa() {
    let mut count = 0;
    for scenario in Scenario::all() {
        let children = children(&scenario);
        for packet in &scenario.esp {
            let octets = octets(&packet["hex"]);
            let opens = |suite, keymat: &SecretBytes| {
                let aead = Aead::new(suite, keymat.expose()).unwrap();
                let associated = adit_crypto::Associated {
                    spi: u32::from_be_bytes(octets[..4].try_into().unwrap()),
                    seq: u32::from_be_bytes(octets[4..8].try_into().unwrap()).into(),
                    esn: false,
                };
                let mut body = octets[8..].to_vec();
                aead.open(&associated, &mut body).is_ok()
            };
            let mut directions = children
                .iter()
                .flat_map(|(suite, a, b)| [(*suite, a), (*suite, b)]);
            assert!(
                directions.any(|(suite, keymat)| opens(suite, keymat)),
                "{}",
                scenario.name
            );
            count += 1;
        }
    }
    assert_eq!(count, 56);
}
