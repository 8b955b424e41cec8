//! What other implementations sealed opens, what is sealed here opens again, and a changed octet opens nowhere.

use adit_crypto::{IkeCipher, Integrity, SkKey};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::sk::{NotOpened, NotSealed, Opened, message_octets, open, seal_fragments, seal_message};
use super::*;

const SUITES: [(IkeCipher, Option<Integrity>); 6] = [
    (IkeCipher::Aes128Gcm16, None),
    (IkeCipher::Aes256Gcm16, None),
    (IkeCipher::ChaCha20Poly1305, None),
    (IkeCipher::Aes128Cbc, Some(Integrity::HmacSha256_128)),
    (IkeCipher::Aes256Cbc, Some(Integrity::HmacSha256_128)),
    (IkeCipher::Aes256Cbc, Some(Integrity::HmacSha384_192)),
];

fn key((cipher, integrity): (IkeCipher, Option<Integrity>)) -> SkKey {
    let encryption: Vec<u8> = (1..).take(cipher.keymat_octets()).collect();
    let integrity_octets = integrity.map_or(0, Integrity::key_octets);
    let authentication: Vec<u8> = (101..).take(integrity_octets).collect();
    SkKey::new(cipher, integrity, &encryption, &authentication).unwrap()
}

/// The key of one direction of a recorded IKE SA.
fn recorded_key(sa: &Value, initiator: bool) -> SkKey {
    let proposal = sa["proposal"].as_str().unwrap();
    let cipher = match proposal.split('/').next().unwrap() {
        "AES_GCM_16_256" => IkeCipher::Aes256Gcm16,
        "AES_CBC_256" => IkeCipher::Aes256Cbc,
        "CHACHA20_POLY1305" => IkeCipher::ChaCha20Poly1305,
        other => panic!("{other}"),
    };
    let integrity = (!cipher.is_aead()).then_some(Integrity::HmacSha256_128);
    let side = if initiator { 'i' } else { 'r' };
    let [encryption, authentication] = ["SK_e", "SK_a"].map(|name| {
        let hex = sa[format!("{name}{side}")].as_str().unwrap_or_default();
        octets(hex)
    });
    SkKey::new(cipher, integrity, &encryption, &authentication).unwrap()
}

#[test]
fn every_recorded_sealed_message_opens_to_its_payloads_and_with_no_other_key() {
    let mut opened = 0;
    for (scenario, vector) in recorded() {
        for message in vector["messages"].as_array().unwrap() {
            let Some(plaintext) = message["sk_plaintext"].as_str() else {
                continue;
            };
            let sent = octets(message["hex"].as_str().unwrap());
            let header = Header::parse(&sent).unwrap();
            let spi_i = format!("{:016x}", header.spi_i);
            let sas = vector["ike_sas"].as_array().unwrap();
            let sa = sas.iter().find(|sa| sa["SPIi"] == *spi_i).unwrap();
            let first = message["sk_first_payload"].as_u64().unwrap();
            let expected = Opened::Whole {
                first: u8::try_from(first).unwrap(),
                chain: octets(plaintext),
            };
            let key = recorded_key(sa, header.flags.initiator);
            assert_eq!(open(&sent, &key), Ok(expected), "{scenario}");
            let other = recorded_key(sa, !header.flags.initiator);
            assert_eq!(open(&sent, &other), Err(NotOpened::NotAuthentic));
            opened += 1;
        }
    }
    assert_eq!(opened, 132);
}

#[test]
fn a_change_of_any_octet_of_a_sealed_message_is_noticed() {
    for suite in SUITES {
        let (first, chain) = Writer::new().nonce(&[7; 20]).finish();
        let mut key = key(suite);
        let whole = seal_message(&header(true), first, &chain, &mut key, [0x5a; 16]).unwrap();
        let fragment = seal_fragments(&header(true), first, &chain, &mut key, 110, || [0xa5; 16])
            .unwrap()
            .swap_remove(0);
        for sealed in [whole, fragment] {
            assert!(open(&sealed, &key).is_ok());
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 0x10;
                assert!(open(&changed, &key).is_err(), "octet {at}");
            }
            for end in 0..sealed.len() {
                assert!(open(&sealed[..end], &key).is_err(), "cut to {end}");
                // Cut off with lengths that agree to it.
                let mut cut = sealed[..end].to_vec();
                if end >= HEADER_OCTETS + 4 {
                    cut[24..28].copy_from_slice(&u32::try_from(end).unwrap().to_be_bytes());
                    let length = u16::try_from(end - HEADER_OCTETS).unwrap();
                    cut[30..32].copy_from_slice(&length.to_be_bytes());
                    assert!(open(&cut, &key).is_err(), "cut to {end}");
                }
            }
        }
    }
}

#[test]
fn a_message_in_the_clear_is_not_opened() {
    let key = key(SUITES[0]);
    let (first, chain) = Writer::new().nonce(&[7; 16]).finish();
    let clear = write_message(&header(false), first, &chain);
    assert_eq!(open(&clear, &key), Err(NotOpened::Clear));
    let empty = write_message(&header(false), kind::NONE, &[]);
    assert_eq!(open(&empty, &key), Err(NotOpened::Clear));
    // What stands behind the sealed payload is not authenticated, and nothing may.
    let (first, chain) = Writer::new()
        .raw(kind::SK, &[0; 40])
        .nonce(&[7; 16])
        .finish();
    let behind = write_message(&header(false), first, &chain);
    assert!(matches!(open(&behind, &key), Err(NotOpened::Malformed(_))));
}

#[test]
fn the_first_fragment_alone_tells_the_type_of_the_first_payload() {
    let mut key = key(SUITES[1]);
    let (first, chain) = Writer::new().vendor_id(&[3; 300]).finish();
    let fragments =
        seal_fragments(&header(false), first, &chain, &mut key, 150, || [0; 16]).unwrap();
    let types: Vec<u8> = fragments
        .iter()
        .map(|message| message[HEADER_OCTETS])
        .collect();
    assert_eq!(types, [kind::VENDOR_ID, 0, 0, 0]);
}

#[test]
fn what_fits_into_no_message_is_not_sealed() {
    let mut key = key(SUITES[0]);
    let chain = vec![0; 70_000];
    let whole = seal_message(&header(false), 43, &chain, &mut key, [0; 16]);
    assert_eq!(whole, Err(NotSealed::TooLong(70_000)));
    for room in [0, 28, 36, 60] {
        let fragments = seal_fragments(&header(false), 43, &chain, &mut key, room, || [0; 16]);
        assert_eq!(fragments, Err(NotSealed::TooLong(70_000)), "{room} octets");
    }
    // One octet in each, and more of them than can be counted.
    let least = 28 + 4 + 4 + key.body_octets(1);
    let fragments = seal_fragments(&header(false), 43, &chain, &mut key, least, || [0; 16]);
    assert_eq!(fragments, Err(NotSealed::TooLong(70_000)));
    let few = seal_fragments(&header(false), 43, &chain[..9], &mut key, least, || [0; 16]);
    assert_eq!(few.unwrap().len(), 9);
}

proptest! {
    #[test]
    fn what_is_sealed_opens_again(
        suite in prop::sample::select(&SUITES),
        first in any::<u8>(),
        chain in vec(any::<u8>(), 0..400),
        iv in any::<[u8; 16]>(),
    ) {
        let mut key = key(suite);
        let sealed = seal_message(&header(true), first, &chain, &mut key, iv).unwrap();
        prop_assert_eq!(sealed.len(), message_octets(chain.len(), &key));
        prop_assert_eq!(open(&sealed, &key), Ok(Opened::Whole { first, chain }));
    }

    #[test]
    fn fragments_open_again_are_within_their_bound_and_all_but_the_last_as_long_as_can_be(
        suite in prop::sample::select(&SUITES),
        chain in vec(any::<u8>(), 0..1500),
        most in 130..600_usize,
    ) {
        let mut key = key(suite);
        let fragments = seal_fragments(&header(true), 33, &chain, &mut key, most, || [9; 16]).unwrap();
        let mut whole = Vec::new();
        for (place, fragment) in fragments.iter().enumerate() {
            prop_assert!(fragment.len() <= most);
            let block = if suite.1.is_some() { 16 } else { 1 };
            prop_assert!(place + 1 == fragments.len() || fragment.len() + block > most);
            let opened = open(fragment, &key).unwrap();
            let Opened::Fragment { first, number, total, part } = opened else {
                panic!("{opened:?}");
            };
            prop_assert_eq!(first, if place == 0 { 33 } else { 0 });
            prop_assert_eq!(usize::from(number), place + 1);
            prop_assert_eq!(usize::from(total), fragments.len());
            whole.extend(part);
        }
        prop_assert_eq!(whole, chain);
    }
}
