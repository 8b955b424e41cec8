//! Known digests and HMACs of each algorithm.

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16);
    pairs.map(|digits| pair(digits).unwrap()).collect()
}

#[test]
fn digests_of_abc_are_those_of_rfc_1321_and_fips_180() {
    for (hash, digest) in [
        (Hash::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            Hash::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Hash::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Hash::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        let digest = octets(digest);
        assert_eq!(digest.len(), hash.octets(), "{hash}");
        assert_eq!(hash.digest(&[b"abc"]), digest, "{hash}");
        assert_eq!(hash.digest(&[b"a", b"", b"bc"]), digest, "{hash}");
    }
}

/// Keys and texts: the first, for each algorithm, is a test case of RFC 2202 or RFC 4231.
const KEYS: [(&[u8], &[u8]); 3] = [
    (b"Jefe", b"what do ya want for nothing?"),
    (&[0xaa; 16], &[0xdd; 50]),
    (
        &[0xaa; 131],
        b"Test Using Larger Than Block-Size Key - Hash Key First",
    ),
];

#[test]
fn the_prf_is_the_hmac_under_keys_shorter_and_longer_than_a_block() {
    let known = [
        (
            Hash::Md5,
            [
                "750c783e6ab0b503eaa86e310a5db738",
                "56be34521d144c88dbb8c733f0e8b3f6",
                "bfecaf4efff90a3a668f3922fec3762d",
            ],
        ),
        (
            Hash::Sha1,
            [
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
                "d730594d167e35d5956fd8003d0db3d3f46dc7bb",
                "90d0dace1c1bdc957339307803160335bde6df2b",
            ],
        ),
        (
            Hash::Sha256,
            [
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "7dda3cc169743a6484649f94f0eda0f9f2ff496a9733fb796ed5adb40a44c3c1",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ],
        ),
        (
            Hash::Sha384,
            [
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                "1383e82e28286b91f4cc7afbd13d5b5c6f887c05e7c4542484043a37a5fe45802a9470fb663bd7b6570fe2f503fc92f5",
                "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
            ],
        ),
        (
            Hash::Sha512,
            [
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
                "ad9b5c7de72693737cd5e9d9f41170d18841fec1201c1c1b02e05cae116718009f771cad9946ddbf7e3cde3e818d9ae85d91b2badae94172d096a44a79c91e86",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ],
        ),
    ];
    for (hash, tags) in known {
        for ((key, text), tag) in KEYS.iter().zip(tags) {
            assert_eq!(hash.prf(key, &[text]).expose(), octets(tag), "{hash}");
            let (front, back) = text.split_at(7);
            let parts = hash.prf(key, &[front, b"", back]);
            assert_eq!(parts.expose(), octets(tag), "{hash}");
        }
    }
}

#[test]
fn a_key_of_a_whole_block_is_taken_as_it_is() {
    let of_64 = octets("89dc0deffe32924d436e231acf19b917");
    let of_65 = octets("ee2f9cbbfb61c310b25e46a60b7b8acc");
    assert_eq!(Hash::Md5.prf(&[0x5a; 64], &[b"x"]).expose(), of_64);
    assert_eq!(Hash::Md5.prf(&[0x5a; 65], &[b"x"]).expose(), of_65);
}

#[test]
fn an_algorithm_is_found_by_its_name_and_its_number() {
    for &hash in Hash::ALL {
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_iana(hash.iana()), Some(hash));
    }
    assert_eq!(Hash::parse("tiger"), None);
    assert_eq!(Hash::from_iana(3), None);
}

#[test]
fn the_algorithms_that_collide_are_the_insecure_ones() {
    let insecure = Hash::ALL.iter().copied().filter(|hash| hash.is_insecure());
    assert_eq!(insecure.collect::<Vec<_>>(), [Hash::Md5, Hash::Sha1]);
}
