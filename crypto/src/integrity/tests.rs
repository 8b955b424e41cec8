//! Check values that are cut, and what is none.

use super::*;
use crate::Prf;

const KEY: &[u8] = &[0x0b; 48];

const ALL: [Check; 4] = [
    Check::Of(Integrity::HmacSha256_128),
    Check::Of(Integrity::HmacSha384_192),
    Check::HmacSha1_96,
    Check::HmacMd5_96,
];

fn mac(check: Check) -> Mac {
    Mac::new(check, &KEY[..check.key_octets()]).unwrap()
}

#[test]
fn a_check_value_is_the_front_half_of_the_digest() {
    for (integrity, prf) in [
        (Integrity::HmacSha256_128, Prf::HmacSha256),
        (Integrity::HmacSha384_192, Prf::HmacSha384),
    ] {
        let mut icv = vec![0; integrity.icv_octets()];
        mac(Check::Of(integrity))
            .write(&[b"Hi ", b"There"], &mut icv)
            .unwrap();
        let digest = prf.mac(&KEY[..integrity.key_octets()], &[b"Hi There"]);
        assert_eq!(icv, digest.expose()[..prf.output_octets() / 2]);
    }
}

#[test]
fn a_check_value_of_96_bits_is_the_front_of_test_case_1_of_rfc_2202() {
    for (check, wanted) in [
        (Check::HmacMd5_96, 0x9294727a3638bb1c13f48ef8_u128),
        (Check::HmacSha1_96, 0xb617318655057264e28bc0b6),
    ] {
        let mut icv = [0; 16];
        mac(check)
            .write(&[b"Hi ", b"There"], &mut icv[4..])
            .unwrap();
        assert_eq!(u128::from_be_bytes(icv), wanted);
    }
}

#[test]
fn any_flipped_bit_or_missing_octet_of_a_check_value_is_refused() {
    for check in ALL {
        let mac = mac(check);
        let mut icv = vec![0; check.icv_octets()];
        mac.write(&[b"x"], &mut icv).unwrap();
        assert_eq!(mac.verify(&[b"x"], &icv), Ok(()));
        assert_eq!(mac.verify(&[b"y"], &icv), Err(Refused));
        for bit in 0..icv.len() * 8 {
            let mut forged = icv.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(mac.verify(&[b"x"], &forged), Err(Refused));
        }
        for octets in 0..icv.len() {
            assert_eq!(mac.verify(&[b"x"], &icv[..octets]), Err(Refused));
        }
    }
}

#[test]
fn a_key_of_another_length_and_room_of_another_length_are_refused() {
    for check in ALL {
        let wanted = check.key_octets();
        for octets in [0, 21, wanted - 1, wanted + 1] {
            let refused = Mac::new(check, &vec![1; octets]).err();
            assert_eq!(refused, Some(KeymatLength { octets, wanted }));
        }
        let mut short = vec![0; check.icv_octets() - 1];
        assert_eq!(mac(check).write(&[], &mut short), Err(Refused));
    }
}

#[test]
fn an_algorithm_is_found_by_its_name_and_its_number() {
    for &integrity in Integrity::ALL {
        assert_eq!(Integrity::parse(&integrity.to_string()), Some(integrity));
        assert_eq!(Integrity::from_iana(integrity.iana()), Some(integrity));
    }
    assert_eq!(Integrity::parse("sha1"), None);
    assert_eq!(Integrity::from_iana(2), None);
}
