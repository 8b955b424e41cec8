//! Known ciphertexts of AES in cipher block chaining mode.

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(str::from_utf8);
    pairs
        .map(|pair| u8::from_str_radix(pair.unwrap(), 16).unwrap())
        .collect()
}

fn encrypts_and_decrypts(key: &str, iv: &str, plaintext: &[u8], ciphertext: &str) {
    let key = octets(key);
    let aes = Aes::new(&key, key.len()).unwrap();
    let iv = octets(iv).try_into().unwrap();
    let mut text = plaintext.to_vec();
    aes.encrypt(&iv, &mut text).unwrap();
    assert_eq!(text, octets(ciphertext));
    aes.decrypt(&iv, &mut text).unwrap();
    assert_eq!(text, plaintext);
}

#[test]
fn ciphertexts_are_those_of_rfc_3602_section_4() {
    encrypts_and_decrypts(
        "06a9214036b8a15b512e03d534120006",
        "3dafba429d9eb430b422da802c9fac41",
        b"Single block msg",
        "e353779c1079aeb82708942dbe77181a",
    );
    let counted: Vec<u8> = (0..32).collect();
    encrypts_and_decrypts(
        "c286696d887c9aa0611bbb3e2025a45a",
        "562e17996d093d28ddb3ba695a2e6f58",
        &counted,
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
    );
}

#[test]
fn ciphertext_under_a_key_of_256_bits_is_that_of_nist_sp_800_38a() {
    encrypts_and_decrypts(
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "000102030405060708090a0b0c0d0e0f",
        &octets("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"),
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
    );
}

#[test]
fn a_text_of_no_whole_blocks_and_a_key_of_another_length_are_refused() {
    let aes = Aes::new(&[7; 16], 16).unwrap();
    for octets in (1..64).filter(|octets| octets % BLOCK_OCTETS != 0) {
        let mut text = vec![0; octets];
        assert_eq!(aes.encrypt(&[0; BLOCK_OCTETS], &mut text), Err(Refused));
        assert_eq!(aes.decrypt(&[0; BLOCK_OCTETS], &mut text), Err(Refused));
        assert_eq!(text, vec![0; octets]);
    }
    for (octets, wanted) in [(0, 16), (24, 16), (32, 16), (16, 32), (24, 24), (33, 32)] {
        let refused = Aes::new(&vec![7; octets], wanted).err();
        assert_eq!(refused, Some(KeymatLength { octets, wanted }));
    }
}
