//! IV chains, encrypted messages, and the HASH inside of each.

use std::collections::BTreeMap;

use super::*;
use crate::ikev1::chain::{Iv, NotOpened, open, seal};
use crate::ikev1::hash::{Which, of_message, proves};
use crate::wire::isakmp::ExchangeType;

/// Goes through an SA's messages as its ends do: `see` gets each encrypted one with its IV and the one behind it.
fn walk(scenario: &Scenario, sa: &RecordedSa, mut see: impl FnMut(&Message, &Iv, &Iv)) {
    let messages = scenario.of_sa(sa);
    let sent = Sent::of(&messages);
    let key = sa
        .keys(&scenario.psk)
        .cipher_key(sa.hash, sa.cipher)
        .unwrap();
    let mut phase_1 = Iv::of_phase_1(sa.hash, sa.cipher, &sent.g_xi, &sent.g_xr);
    assert_eq!(phase_1.octets(), sa.field("initial IV"));
    let mut exchanges: BTreeMap<u32, Iv> = BTreeMap::new();
    for message in messages {
        let Some((iv, plaintext)) = &message.encrypted else {
            continue;
        };
        let id = message.header.message_id;
        let first = phase_1.of_exchange(sa.hash, sa.cipher, id);
        let at = match id {
            0 => &mut phase_1,
            _ => exchanges.entry(id).or_insert(first),
        };
        assert_eq!(at.octets(), iv, "{} {id:08x}", scenario.name);
        let (opened, next) = open(&key, at, &message.header, &message.octets).unwrap();
        assert_eq!(&opened, plaintext, "{} {id:08x}", scenario.name);
        see(message, at, &next);
        *at = next;
    }
}

#[test]
fn every_recorded_message_is_opened_along_its_chain_and_sealed_to_the_same_octets() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            let keys = sa.keys(&scenario.psk);
            let key = keys.cipher_key(sa.hash, sa.cipher).unwrap();
            walk(&scenario, sa, |message, iv, next| {
                let header = Header::new(
                    sa.cky_i,
                    sa.cky_r,
                    message.header.exchange,
                    Default::default(),
                    message.header.message_id,
                );
                let first = message.header.next_payload;
                let plaintext = &message.encrypted.as_ref().unwrap().1;
                let sealed = seal(&key, iv, &header, first, plaintext.clone()).unwrap();
                assert_eq!(sealed, (message.octets.clone(), next.clone()));
                // strongSwan fills up a whole block more where nothing is to be filled.
                let chain = message.opened().chain.to_vec();
                let (again, _) = seal(&key, iv, &header, first, chain).unwrap();
                let same = &message.octets[HEADER_OCTETS..again.len()];
                assert_eq!(&again[HEADER_OCTETS..], same, "{}", scenario.name);
                assert!(message.octets.len() - again.len() <= 16);
                count += 1;
            });
        }
    }
    assert_eq!(count, 99);
}

#[test]
fn each_message_behind_phase_1_begins_with_the_hash_of_its_sender() {
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            let keys = sa.keys(&scenario.psk);
            let mut nonces: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
            walk(&scenario, sa, |message, _, _| {
                let id = message.header.message_id;
                if id == 0 {
                    return;
                }
                let opened = message.opened();
                let seen = nonces.entry(id).or_default();
                let before = seen.clone();
                seen.extend(opened.payloads.iter().filter_map(|payload| {
                    if let Payload::Nonce(nonce) = payload {
                        Some(nonce.to_vec())
                    } else {
                        None
                    }
                }));
                let which = match (message.header.exchange, &before[..]) {
                    (ExchangeType::Quick, [ni]) => Which::Second { ni },
                    (ExchangeType::Quick, [ni, nr]) => Which::Third { ni, nr },
                    _ => Which::First,
                };
                let proves =
                    |id: u32, which: Which<'_>| proves(sa.hash, &keys.skeyid_a, id, which, &opened);
                assert!(proves(id, which), "{} {id:08x}", scenario.name);
                assert!(!proves(id ^ 1, which), "{} {id:08x}", scenario.name);
                let other = [0x17; 32];
                assert!(!proves(id, Which::Second { ni: &other }));
            });
        }
    }
}

#[test]
fn a_message_with_a_changed_octet_has_no_valid_hash_and_leaves_the_chain_where_it_is() {
    // CVE-2019-10155: informational messages were believed without a look at their HASH.
    let scenario = Scenario::of("v1psk");
    let sa = &scenario.sas[0];
    let keys = sa.keys(&scenario.psk);
    let key = keys.cipher_key(sa.hash, sa.cipher).unwrap();
    let mut count = 0;
    walk(&scenario, sa, |message, iv, _| {
        if message.header.exchange != ExchangeType::Informational {
            return;
        }
        for at in HEADER_OCTETS..message.octets.len() - 16 {
            let mut changed = message.octets.clone();
            changed[at] ^= 0x20;
            let (plaintext, _) = open(&key, iv, &message.header, &changed).unwrap();
            let id = message.header.message_id;
            let believed = opened(message.header.next_payload, &plaintext)
                .is_ok_and(|opened| proves(sa.hash, &keys.skeyid_a, id, Which::First, &opened));
            // What stands in the padding is of no payload.
            let chain = message.opened().chain.len();
            let touches_chain = (at - HEADER_OCTETS) / 16 * 16 < chain;
            assert!(!believed || !touches_chain, "octet {at}");
            count += 1;
        }
    });
    assert!(count > 500);
}

#[test]
fn a_hash_of_another_length_or_in_another_place_proves_nothing() {
    let (hash, key) = (Hash::Sha256, SecretBytes::from_slice(&[1; 32]));
    let proves_chain = |first: u8, chain: &[u8]| {
        let opened = opened(first, chain).unwrap();
        proves(hash, &key, 9, Which::First, &opened)
    };
    let rest = [0, 0, 0, 5, 0x55];
    let made = of_message(hash, &key, 9, Which::First, &rest);
    let whole = crate::wire::isakmp::behind_hash(made.expose(), 13, &rest);
    assert!(proves_chain(8, &whole));
    let short = crate::wire::isakmp::behind_hash(&made.expose()[..31], 13, &rest);
    assert!(!proves_chain(8, &short));
    let empty = crate::wire::isakmp::behind_hash(&[], 13, &rest);
    assert!(!proves_chain(8, &empty));
    assert!(!proves_chain(13, &rest));
    assert!(!proves_chain(0, &[]));
}

#[test]
fn what_is_not_whole_blocks_or_not_encrypted_is_not_opened() {
    let scenario = Scenario::of("v1psk");
    let sa = &scenario.sas[0];
    let key = sa
        .keys(&scenario.psk)
        .cipher_key(sa.hash, sa.cipher)
        .unwrap();
    let iv = Iv::of_phase_1(sa.hash, sa.cipher, &[1], &[2]);
    let message = scenario
        .messages
        .iter()
        .find(|message| message.encrypted.is_some())
        .unwrap();
    let of = |octets: usize| open(&key, &iv, &message.header, &message.octets[..octets]);
    for octets in 0..=HEADER_OCTETS {
        assert_eq!(of(octets), Err(NotOpened::Blocks(0)));
    }
    for part in 1..16 {
        assert_eq!(of(HEADER_OCTETS + part), Err(NotOpened::Blocks(part)));
    }
    assert!(of(HEADER_OCTETS + 16).is_ok());
    let mut clear = message.header;
    clear.flags.encryption = false;
    assert_eq!(
        open(&key, &iv, &clear, &message.octets),
        Err(NotOpened::Clear)
    );
    assert!(seal(&key, &iv, &clear, 0, Vec::new()).is_err());
}
