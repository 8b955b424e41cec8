//! Recorded Encrypted payloads, and both ends of one key.

use super::*;
use crate::records::Record;

const HEADER: &[u8] = b"an IKE header and a generic one.";

fn key(cipher: IkeCipher, integrity: Option<Integrity>) -> SkKey {
    let integrity_key = vec![0x3c; integrity.map_or(0, Integrity::key_octets)];
    let encryption_key = vec![0xa5; cipher.keymat_octets()];
    SkKey::new(cipher, integrity, &encryption_key, &integrity_key).unwrap()
}

/// Every cipher with each integrity algorithm that goes with it.
fn keys() -> Vec<SkKey> {
    let integrities = |cipher: IkeCipher| -> Vec<Option<Integrity>> {
        if cipher.is_aead() {
            vec![None]
        } else {
            Integrity::ALL.iter().copied().map(Some).collect()
        }
    };
    let of_cipher = |cipher| {
        let integrities = integrities(cipher).into_iter();
        integrities.map(move |integrity| key(cipher, integrity))
    };
    IkeCipher::ALL.iter().copied().flat_map(of_cipher).collect()
}

fn seal(key: &mut SkKey, plaintext: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    key.seal(HEADER, plaintext, [0x77; 16], &mut out).unwrap();
    out.strip_prefix(b"before").unwrap().to_vec()
}

#[test]
fn recorded_payloads_open_and_are_sealed_again_to_what_opens() {
    let records = Record::all(include_str!("../../tests/vectors/ike-sk.rsp"));
    let mut ciphers = std::collections::BTreeSet::new();
    for record in &records {
        let cipher = IkeCipher::parse(record.text("Cipher").unwrap()).unwrap();
        let integrity = Integrity::parse(record.text("Integ").unwrap());
        let [enc, integ] = ["Key", "IntegKey"].map(|name| record.octets(name));
        let mut key = SkKey::new(cipher, integrity, &enc, &integ).unwrap();
        let [associated, body, plaintext] =
            ["Associated", "Body", "PT"].map(|name| record.octets(name));
        assert_eq!(key.open(&associated, &body).as_ref(), Ok(&plaintext));
        assert_eq!(key.body_octets(plaintext.len()), body.len());
        let mut sealed = Vec::new();
        let iv = body.first_chunk().copied().unwrap();
        key.seal(&associated, &plaintext, iv, &mut sealed).unwrap();
        assert_eq!(key.open(&associated, &sealed).as_ref(), Ok(&plaintext));
        ciphers.insert(cipher);
    }
    assert_eq!((records.len(), ciphers.len()), (12, 3));
}

#[test]
fn what_is_sealed_opens_at_each_length() {
    for mut key in keys() {
        for octets in 0..70 {
            let plaintext = vec![0x42; octets];
            let body = seal(&mut key, &plaintext);
            assert_eq!(body.len(), key.body_octets(octets));
            assert_eq!(key.open(HEADER, &body), Ok(plaintext));
        }
    }
}

#[test]
fn an_aead_counts_its_ivs_and_cbc_takes_the_random_one() {
    for mut key in keys() {
        let ivs = [(); 3].map(|()| {
            let iv_octets = key.cipher.iv_octets();
            seal(&mut key, b"x")[..iv_octets].to_vec()
        });
        if key.cipher.is_aead() {
            let counted = [0_u64, 1, 2].map(|iv| iv.to_be_bytes().to_vec());
            assert_eq!(ivs, counted);
        } else {
            assert_eq!(ivs, [(); 3].map(|()| vec![0x77; 16]));
        }
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    for mut key in keys() {
        let body = seal(&mut key, b"payloads");
        for bit in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(HEADER, &flipped), Err(Refused), "bit {bit}");
        }
        for bit in 0..HEADER.len() * 8 {
            let mut flipped = HEADER.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(&flipped, &body), Err(Refused), "bit {bit}");
        }
    }
}

#[test]
fn a_body_cut_short_or_extended_is_refused() {
    for mut key in keys() {
        let mut body = seal(&mut key, b"payloads");
        for octets in 0..body.len() {
            assert_eq!(key.open(HEADER, &body[..octets]), Err(Refused));
        }
        body.push(0);
        assert_eq!(key.open(HEADER, &body), Err(Refused));
    }
}

#[test]
fn authentic_padding_longer_than_the_plaintext_is_refused() {
    for mut key in keys() {
        for (pad_length, expected) in [
            (15, Ok(Vec::new())),
            (16, Err(Refused)),
            (255, Err(Refused)),
        ] {
            let mut body = vec![0; key.cipher.iv_octets()];
            body.extend_from_slice(&[0; 15]);
            body.push(pad_length);
            body.resize(body.len() + key.icv_octets, 0);
            key.seal_in_place(HEADER, [1; 16], &mut body).unwrap();
            assert_eq!(key.open(HEADER, &body), expected);
        }
    }
}

#[test]
fn authentic_ciphertext_of_no_block_is_refused() {
    for mut key in keys().into_iter().filter(|key| key.cipher.is_aead()) {
        let mut body = vec![0; key.cipher.iv_octets() + key.icv_octets];
        key.seal_in_place(HEADER, [1; 16], &mut body).unwrap();
        assert_eq!(key.open(HEADER, &body), Err(Refused));
    }
}

#[test]
fn keys_of_other_lengths_than_their_algorithms_are_refused() {
    let refused = |cipher, integrity, encryption: usize, integ: usize| {
        SkKey::new(cipher, integrity, &vec![1; encryption], &vec![2; integ]).err()
    };
    let length = |octets, wanted| Some(KeymatLength { octets, wanted });
    let sha256 = Some(Integrity::HmacSha256_128);
    for &cipher in IkeCipher::ALL.iter().filter(|cipher| cipher.is_aead()) {
        let wanted = cipher.keymat_octets();
        assert_eq!(refused(cipher, None, wanted, 0), None);
        for octets in [0, 3, wanted - 4, wanted + 1] {
            assert_eq!(refused(cipher, None, octets, 0), length(octets, wanted));
        }
        assert_eq!(refused(cipher, sha256, wanted, 32), length(32, 0));
        assert_eq!(refused(cipher, None, wanted, 1), length(1, 0));
    }
    for cipher in [IkeCipher::Aes128Cbc, IkeCipher::Aes256Cbc] {
        let wanted = cipher.keymat_octets();
        assert_eq!(refused(cipher, sha256, wanted, 32), None);
        assert_eq!(refused(cipher, sha256, 24, 32), length(24, wanted));
        assert_eq!(refused(cipher, sha256, wanted, 48), length(48, 32));
        assert_eq!(refused(cipher, None, wanted, 32), length(0, 32));
    }
}

#[test]
fn a_counter_that_would_repeat_seals_nothing() {
    let mut key = key(IkeCipher::Aes256Gcm16, None);
    let Key::Combined { next_iv, .. } = &mut key.key else {
        panic!("no AEAD");
    };
    *next_iv = u64::MAX;
    let mut out = b"kept".to_vec();
    assert_eq!(key.seal(HEADER, b"x", [0; 16], &mut out), Err(Refused));
    assert_eq!(out, b"kept");
}

#[test]
fn a_cipher_is_found_by_its_name_and_its_numbers() {
    for &cipher in IkeCipher::ALL {
        assert_eq!(IkeCipher::parse(&cipher.to_string()), Some(cipher));
        let found = IkeCipher::from_iana(cipher.iana(), cipher.key_bits());
        assert_eq!(found, Some(cipher));
    }
    assert_eq!(IkeCipher::parse("aes192"), None);
    assert_eq!(IkeCipher::from_iana(12, None), None);
    assert_eq!(IkeCipher::from_iana(20, Some(192)), None);
    assert_eq!(IkeCipher::from_iana(28, Some(256)), None);
}

#[test]
fn debug_of_a_key_shows_its_cipher_only() {
    let key = key(IkeCipher::Aes256Cbc, Some(Integrity::HmacSha256_128));
    assert_eq!(format!("{key:?}"), "SkKey(aes256)");
}
