//! SKEYID and what comes of it, HASH_I and HASH_R, and KEYMAT's rules.

use super::*;
use crate::ikev1::keys::{ChildSeeds, child_keymat};

#[test]
fn skeyid_and_its_three_keys_are_those_that_the_peers_derived() {
    let mut sas = 0;
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            let keys = sa.keys(&scenario.psk);
            let derived = [
                ("SKEYID", &keys.skeyid),
                ("SKEYID_d", &keys.skeyid_d),
                ("SKEYID_a", &keys.skeyid_a),
                ("SKEYID_e", &keys.skeyid_e),
            ];
            for (name, key) in derived {
                assert_eq!(key.expose(), sa.field(name), "{} {name}", scenario.name);
            }
            let ka = keys.encryption_key(sa.hash, sa.cipher.key_octets());
            assert_eq!(ka.expose(), sa.field("encryption key Ka"));
            sas += 1;
        }
    }
    assert_eq!(sas, 8);
}

#[test]
fn hash_i_and_hash_r_are_those_that_the_peers_sent() {
    for scenario in Scenario::all() {
        for sa in &scenario.sas {
            let messages = scenario.of_sa(sa);
            let (keys, sent) = (sa.keys(&scenario.psk), Sent::of(&messages));
            let exchanged = sent.exchanged(sa);
            let mut bodies = messages.iter().flat_map(|message| {
                message.payloads().into_iter().filter_map(|payload| {
                    if let Payload::Id(id) = payload {
                        Some(id.body())
                    } else {
                        None
                    }
                })
            });
            let (idii_b, idir_b) = (bodies.next().unwrap(), bodies.next().unwrap());
            let hash_i = exchanged.hash_i(sa.hash, &keys.skeyid, &idii_b);
            let hash_r = exchanged.hash_r(sa.hash, &keys.skeyid, &idir_b);
            assert_eq!(hash_i.expose(), sa.field("HASH_I"), "{}", scenario.name);
            assert_eq!(hash_r.expose(), sa.field("HASH_R"), "{}", scenario.name);
            let said: Vec<Vec<u8>> = messages
                .iter()
                .filter(|message| message.header.message_id == 0)
                .flat_map(|message| message.payloads())
                .filter_map(|payload| {
                    if let Payload::Hash(hash) = payload {
                        Some(hash.to_vec())
                    } else {
                        None
                    }
                })
                .collect();
            assert_eq!(said.len(), 2, "{}", scenario.name);
            assert!(
                said.contains(&hash_i.expose().to_vec()),
                "{}",
                scenario.name
            );
            assert!(
                said.contains(&hash_r.expose().to_vec()),
                "{}",
                scenario.name
            );
        }
    }
}

#[test]
fn a_digest_shorter_than_the_key_is_expanded_and_a_longer_one_cut() {
    let scenario = Scenario::of("v1psk");
    let sa = &scenario.sas[0];
    let keys = sa.keys(&scenario.psk);
    let cut = keys.encryption_key(Hash::Sha256, 16);
    assert_eq!(cut.expose(), &keys.skeyid_e.expose()[..16]);
    // Appendix B's example: a cipher of 320 bits and a prf of 120, here with 512 and 256.
    let k1 = Hash::Sha256.prf(keys.skeyid_e.expose(), &[&[0]]);
    let k2 = Hash::Sha256.prf(keys.skeyid_e.expose(), &[k1.expose()]);
    let wanted = [k1.expose(), k2.expose()].concat();
    let ka = keys.encryption_key(Hash::Sha256, 64);
    assert_eq!(ka.expose(), wanted);
    assert_eq!(
        keys.encryption_key(Hash::Sha256, 50).expose(),
        &wanted[..50]
    );
}

#[test]
fn keymat_is_chained_and_differs_by_direction_protocol_and_key_exchange() {
    let skeyid_d = SecretBytes::from_slice(&[7; 32]);
    let seeds = ChildSeeds {
        g_xy: None,
        protocol: 3,
        spi: 0x0102_0304,
        ni: b"initiator",
        nr: b"responder",
    };
    let keymat = child_keymat(Hash::Sha256, &skeyid_d, &seeds, 72);
    let tail: &[&[u8]] = &[&[3], &[1, 2, 3, 4], b"initiator", b"responder"];
    let k1 = Hash::Sha256.prf(skeyid_d.expose(), tail);
    let with_last = |last: &SecretBytes| {
        let parts = [&[last.expose()], tail].concat();
        Hash::Sha256.prf(skeyid_d.expose(), &parts)
    };
    let k2 = with_last(&k1);
    let k3 = with_last(&k2);
    let wanted = [k1.expose(), k2.expose(), k3.expose()].concat();
    assert_eq!(keymat.expose(), &wanted[..72]);

    let g_xy = SecretBytes::from_slice(&[9; 32]);
    let others = [
        ChildSeeds { spi: 5, ..seeds },
        ChildSeeds {
            protocol: 2,
            ..seeds
        },
        ChildSeeds {
            g_xy: Some(&g_xy),
            ..seeds
        },
    ];
    for other in others {
        let other = child_keymat(Hash::Sha256, &skeyid_d, &other, 72);
        assert_ne!(other.expose(), keymat.expose());
    }
}
