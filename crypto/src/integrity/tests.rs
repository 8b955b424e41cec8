//! Check values that are cut, and what is none.

use super::*;
use crate::Prf;

const KEY: &[u8] = &[0x0b; 48];

fn mac(integrity: Integrity) -> Mac {
    Mac::new(integrity, &KEY[..integrity.key_octets()]).unwrap()
}

#[test]
fn a_check_value_is_the_front_half_of_the_digest() {
    for (integrity, prf) in [
        (Integrity::HmacSha256_128, Prf::HmacSha256),
        (Integrity::HmacSha384_192, Prf::HmacSha384),
    ] {
        let mut icv = vec![0; integrity.icv_octets()];
        mac(integrity).write(&[b"Hi ", b"There"], &mut icv).unwrap();
        let digest = prf.mac(&KEY[..integrity.key_octets()], &[b"Hi There"]);
        assert_eq!(icv, digest.expose()[..prf.output_octets() / 2]);
    }
}

#[test]
fn any_flipped_bit_or_missing_octet_of_a_check_value_is_refused() {
    for &integrity in Integrity::ALL {
        let mac = mac(integrity);
        let mut icv = vec![0; integrity.icv_octets()];
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
    for &integrity in Integrity::ALL {
        let wanted = integrity.key_octets();
        for octets in [0, 20, wanted - 1, wanted + 1] {
            let refused = Mac::new(integrity, &vec![1; octets]).err();
            assert_eq!(refused, Some(KeymatLength { octets, wanted }));
        }
        let mut short = vec![0; integrity.icv_octets() - 1];
        assert_eq!(mac(integrity).write(&[], &mut short), Err(Refused));
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
