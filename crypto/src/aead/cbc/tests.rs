//! Known ciphertexts in cipher block chaining mode.

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(str::from_utf8);
    pairs
        .map(|pair| u8::from_str_radix(pair.unwrap(), 16).unwrap())
        .collect()
}

fn encrypts_and_decrypts(
    (cipher, key): (CbcCipher, &str),
    iv: &str,
    plaintext: &[u8],
    ciphertext: &str,
) {
    let key = CbcKey::new(cipher, &octets(key)).unwrap();
    let iv = octets(iv);
    let mut text = plaintext.to_vec();
    key.encrypt(&iv, &mut text).unwrap();
    assert_eq!(text, octets(ciphertext));
    key.decrypt(&iv, &mut text).unwrap();
    assert_eq!(text, plaintext);
}

#[test]
fn ciphertexts_are_those_of_rfc_3602_section_4() {
    encrypts_and_decrypts(
        (CbcCipher::Aes128, "06a9214036b8a15b512e03d534120006"),
        "3dafba429d9eb430b422da802c9fac41",
        b"Single block msg",
        "e353779c1079aeb82708942dbe77181a",
    );
    let counted: Vec<u8> = (0..32).collect();
    encrypts_and_decrypts(
        (CbcCipher::Aes128, "c286696d887c9aa0611bbb3e2025a45a"),
        "562e17996d093d28ddb3ba695a2e6f58",
        &counted,
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
    );
}

#[test]
fn ciphertext_under_a_key_of_256_bits_is_that_of_nist_sp_800_38a() {
    encrypts_and_decrypts(
        (
            CbcCipher::Aes256,
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        ),
        "000102030405060708090a0b0c0d0e0f",
        &octets("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"),
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
    );
}

#[test]
fn ciphertext_of_triple_des_is_that_of_the_examples_of_nist() {
    encrypts_and_decrypts(
        (
            CbcCipher::TripleDes,
            "0123456789abcdef23456789abcdef01456789abcdef0123",
        ),
        "f69f2445df4f9b17",
        &octets("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"),
        "2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e0da7",
    );
}

const ALL: [CbcCipher; 3] = [CbcCipher::Aes128, CbcCipher::Aes256, CbcCipher::TripleDes];

#[test]
fn a_text_of_no_whole_blocks_and_an_iv_of_no_block_are_refused() {
    for cipher in ALL {
        let key = CbcKey::new(cipher, &vec![7; cipher.key_octets()]).unwrap();
        let block_octets = cipher.block_octets();
        for octets in (1..64).filter(|octets| octets % block_octets != 0) {
            let mut text = vec![0; octets];
            assert_eq!(
                key.encrypt(&[0; 16][..block_octets], &mut text),
                Err(Refused)
            );
            assert_eq!(
                key.decrypt(&[0; 16][..block_octets], &mut text),
                Err(Refused)
            );
            assert_eq!(text, vec![0; octets]);
        }
        for octets in (0..32).filter(|octets| *octets != block_octets) {
            let mut text = vec![0; 16];
            assert_eq!(key.encrypt(&vec![0; octets], &mut text), Err(Refused));
            assert_eq!(key.decrypt(&vec![0; octets], &mut text), Err(Refused));
            assert_eq!(text, [0; 16]);
        }
    }
}

#[test]
fn a_key_of_another_length_is_refused() {
    for cipher in ALL {
        let wanted = cipher.key_octets();
        for octets in (0..40).filter(|octets| *octets != wanted) {
            let refused = CbcKey::new(cipher, &vec![7; octets]).err();
            assert_eq!(refused, Some(KeymatLength { octets, wanted }));
        }
    }
}
