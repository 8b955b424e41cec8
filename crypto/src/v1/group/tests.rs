//! Known agreements, and the public values that are none.
//!
//! The private value of a known agreement is the front of a label's SHA2-512 digest. The values themselves are as long as the prime:
//! their SHA2-256 digests are given, of what another implementation of modular exponentiation computed.

use super::*;
use crate::v1::Hash;

const MODP: [Group; 4] = [
    Group::Modp1024,
    Group::Modp2048,
    Group::Modp3072,
    Group::Modp4096,
];

fn key_pair(group: Group, label: &str) -> KeyPair {
    let Kind::Modp(modulus) = group.kind() else {
        panic!("{group} has no prime");
    };
    let octets = Hash::Sha512.digest(&[label.as_bytes()]);
    let exponent = modulus.exponent(&octets.try_into().unwrap());
    KeyPair::modp(group, modulus, exponent)
}

fn digest(value: &[u8]) -> String {
    let digest = Hash::Sha256.digest(&[value]);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The prime of a group, and what is as far from it.
fn beside_the_prime(group: Group, distance: i8) -> Vec<u8> {
    let Kind::Modp(modulus) = group.kind() else {
        panic!("{group} has no prime");
    };
    let mut octets = modulus.prime();
    // The lowest octet of each prime is 0xff.
    match u8::try_from(distance) {
        Ok(0) => {}
        Ok(above) => {
            let low = octets.len() - 8;
            assert_eq!(octets[low..], [0xff; 8]);
            octets[low..].fill(0);
            octets[low - 1] += 1;
            *octets.last_mut().unwrap() = above - 1;
        }
        Err(_) => *octets.last_mut().unwrap() -= distance.unsigned_abs(),
    }
    octets
}

fn small(group: Group, value: u8) -> Vec<u8> {
    let mut octets = vec![0; group.public_octets()];
    *octets.last_mut().unwrap() = value;
    octets
}

#[test]
fn modp_groups_agree_on_known_secrets() {
    let known = [
        (
            "c58b05e378d4034c28375a82c53d8f4343a19e1470c6c0e4f0897a265fe24f17",
            "a6f47c7957959c4c67576604ba837626a8a71662e81da17b820d452c89056e6a",
            "fa57f48f18e46ad777e1448bf80f1073904d490ac3854a35ed2280f0e37a524d",
        ),
        (
            "987c3d91afe685aadeb423fb21a8394819a8685bfd6fa459587f5eb2aed796ec",
            "fcb0623f44677020c8730823ed85d039e0a3dde71427e4c528f564a4b018848a",
            "bf1ea1a378685af184b43faeae99ab43f156ad390324a9079f3edd1b54abf84d",
        ),
        (
            "f181665b7c59be434944e385be12e05c490920f88f62db7eb14264bf3e752bcc",
            "063667b8bd716b4b50013cd7bc8002909c38e3db7c2b1108387bbda092024794",
            "af3236a6f43d23fc7e56eadfe937372550fcff0609fc18a54c8b1a0ae3e374b7",
        ),
        (
            "dc1c6ba7777588aec249baa4be70aebcd5e2cfbaafce22fb947287a4dfd309d8",
            "7ee07a9c5c766b12619bdaf8ca21d3dd61540f4cf132c43bf2e1380d721360f3",
            "7e37627e7f17b9c75aa1c155603fa4ee43ae0badff62ec9f760edcc4349a429b",
        ),
    ];
    for (group, (gxi, gxr, secret)) in MODP.into_iter().zip(known) {
        let [i, r] = ["initiator", "responder"].map(|label| key_pair(group, label));
        let [gi, gr] = [i.public().to_vec(), r.public().to_vec()];
        assert_eq!([digest(&gi), digest(&gr)], [gxi, gxr], "{group}");
        assert_eq!(digest(i.agree(&gr).unwrap().expose()), secret, "{group}");
        assert_eq!(digest(r.agree(&gi).unwrap().expose()), secret, "{group}");
    }
}

#[test]
fn public_values_and_secrets_keep_their_leading_zeros() {
    let pair = key_pair(Group::Modp2048, "268");
    assert_eq!(pair.public().len(), 256);
    assert!(pair.public().starts_with(&[0x00, 0x08, 0xb6, 0x21]));
    let peer = key_pair(Group::Modp2048, "responder");
    let secret = key_pair(Group::Modp2048, "499").agree(peer.public());
    let secret = secret.unwrap();
    assert_eq!(secret.len(), 256);
    assert!(secret.expose().starts_with(&[0x00, 0x5a, 0xab, 0x41]));
    assert_eq!(
        digest(secret.expose()),
        "06acd6fb51ea937b4f2471f461b749376f950beeb5d9fb391960ed20da8b27c5"
    );
}

#[test]
fn two_key_pairs_of_every_group_agree_and_none_is_drawn_twice() {
    for &group in Group::ALL {
        let [a, b, c] = [(); 3].map(|()| KeyPair::generate(group).unwrap());
        let [ga, gb] = [a.public().to_vec(), b.public().to_vec()];
        assert_eq!([ga.len(), gb.len()], [group.public_octets(); 2], "{group}");
        assert_ne!(ga, gb, "{group}");
        let secret = a.agree(&gb).unwrap();
        assert_eq!(secret.expose(), b.agree(&ga).unwrap().expose(), "{group}");
        assert_ne!(secret.expose(), c.agree(&ga).unwrap().expose(), "{group}");
    }
}

#[test]
fn cve_2015_3240_a_public_value_of_0_or_1_or_beside_the_prime_is_refused() {
    for group in MODP {
        let most = vec![0xff; group.public_octets()];
        let near = [-1, 0, 1, 2].map(|distance| beside_the_prime(group, distance));
        let low = [0, 1].map(|value| small(group, value));
        for peer in near.into_iter().chain(low).chain([most]) {
            let pair = key_pair(group, "initiator");
            let octets = peer.len();
            assert_eq!(octets, group.public_octets());
            let refused = pair.agree(&peer).unwrap_err();
            assert_eq!(refused, BadPublic { group, octets });
            assert_eq!(
                refused.to_string(),
                format!("public value is none of {group}")
            );
        }
        for peer in [small(group, 2), beside_the_prime(group, -2)] {
            assert!(key_pair(group, "initiator").agree(&peer).is_ok());
        }
    }
}

#[test]
fn a_public_value_of_another_length_is_refused() {
    for &group in Group::ALL {
        let wanted = group.public_octets();
        for octets in [0, 1, wanted - 1, wanted + 1] {
            let mut peer = vec![0; octets];
            peer.fill(2);
            let refused = KeyPair::generate(group).unwrap().agree(&peer).unwrap_err();
            assert_eq!(refused, BadPublic { group, octets });
            let text = format!("public value of {octets} octets, {wanted} wanted by {group}");
            assert_eq!(refused.to_string(), text);
        }
    }
}

#[test]
fn a_point_off_the_curve_and_one_of_small_order_are_refused() {
    for group in [Group::EcpP256, Group::EcpP384, Group::X25519] {
        let pair = KeyPair::generate(group).unwrap();
        assert!(pair.agree(&small(group, 0)).is_err(), "{group}");
    }
}

#[test]
fn a_group_is_found_by_its_name_and_its_number() {
    for &group in Group::ALL {
        assert_eq!(Group::parse(&group.to_string()), Some(group));
        assert_eq!(Group::from_iana(group.iana()), Some(group));
        assert_eq!(group.is_insecure(), group == Group::Modp1024);
    }
    assert_eq!(Group::parse("curve25519"), Some(Group::X25519));
    assert_eq!(Group::parse("modp1536"), None);
    assert_eq!(Group::from_iana(1), None);
    assert_eq!(Group::from_iana(5), None);
}

#[test]
fn a_key_pair_shows_its_group_only() {
    for &group in Group::ALL {
        let pair = KeyPair::generate(group).unwrap();
        assert_eq!(pair.group(), group);
        assert_eq!(format!("{pair:?}"), format!("KeyPair({group})"));
    }
}
