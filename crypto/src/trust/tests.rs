//! Chains that hold, and one of each kind that does not.

use super::*;

const A: &[u8] = include_bytes!("../../tests/certs/a.pem");
const B: &[u8] = include_bytes!("../../tests/certs/b.pem");
const C: &[u8] = include_bytes!("../../tests/certs/c.pem");
const OTHER_A: &[u8] = include_bytes!("../../tests/certs/oa.pem");
const CA: &[u8] = include_bytes!("../../tests/certs/ca.pem");
const INTERMEDIATE: &[u8] = include_bytes!("../../tests/certs/inter.pem");
const OTHER_CA: &[u8] = include_bytes!("../../tests/certs/other-ca.pem");
const RSA_CA: &[u8] = include_bytes!("../../tests/certs/rsa-ca.pem");
const BY_RSA: &[u8] = include_bytes!("../../tests/certs/byrsa.pem");
const MAIL: &[u8] = include_bytes!("../../tests/certs/mail.pem");
const AGREE: &[u8] = include_bytes!("../../tests/certs/agree.pem");
/// An authority for names below `example` alone, and two certificates of its; both name places for revocation lists and issuers.
const BOUNDED: &[u8] = include_bytes!("../../tests/certs/bounded.pem");
const WITHIN: &[u8] = include_bytes!("../../tests/certs/within.pem");
const OUTSIDE: &[u8] = include_bytes!("../../tests/certs/outside.pem");
const ISSUED_BY_MAIL: &[u8] = include_bytes!("../../tests/certs/issued.pem");

/// 2027-01-01 and, within no certificate's validity, 2026-01-01 and 2040-01-01.
const NOW: u64 = 1_798_761_600;
const EARLIER: u64 = 1_767_225_600;
const LATER: u64 = 2_208_988_800;

fn certificate(pem: &[u8]) -> Certificate {
    Certificate::from_pem(pem).unwrap().remove(0)
}

fn verify_at(
    time: u64,
    anchors: &[u8],
    end_entity: &[u8],
    between: &[&[u8]],
) -> Result<(), CertificateRefused> {
    let between: Vec<_> = between.iter().map(|pem| certificate(pem)).collect();
    let anchors = TrustAnchors::from_pem(anchors).unwrap();
    anchors.verify_chain(&certificate(end_entity), &between, time)
}

fn verify(anchors: &[u8], end_entity: &[u8], between: &[&[u8]]) -> Result<(), CertificateRefused> {
    verify_at(NOW, anchors, end_entity, between)
}

#[test]
fn chains_to_a_trusted_authority_hold() {
    for end_entity in [A, B, OTHER_A] {
        assert_eq!(verify(CA, end_entity, &[]), Ok(()));
        assert_eq!(verify(&[OTHER_CA, CA].concat(), end_entity, &[]), Ok(()));
    }
    assert_eq!(verify(CA, C, &[INTERMEDIATE]), Ok(()));
    assert_eq!(verify(CA, C, &[A, INTERMEDIATE, CA]), Ok(()));
    assert_eq!(verify(INTERMEDIATE, C, &[]), Ok(()));
}

#[test]
fn chains_to_no_trusted_authority_are_refused() {
    let unknown = Err(CertificateRefused::UnknownIssuer);
    assert_eq!(verify(RSA_CA, A, &[]), unknown);
    assert_eq!(verify(RSA_CA, A, &[CA]), unknown);
    assert_eq!(verify(CA, C, &[]), unknown);
}

#[test]
fn an_authority_of_the_same_name_and_another_key_is_no_issuer() {
    let refused = Err(CertificateRefused::BadSignature);
    assert_eq!(verify(OTHER_CA, B, &[]), refused);
    assert_eq!(verify(OTHER_CA, B, &[CA]), refused);
}

#[test]
fn certificates_out_of_their_validity_are_refused() {
    let expired = Err(CertificateRefused::Expired);
    assert_eq!(verify_at(LATER, CA, A, &[]), expired);
    assert_eq!(verify_at(LATER, CA, C, &[INTERMEDIATE]), expired);
    let early = Err(CertificateRefused::NotYetValid);
    assert_eq!(verify_at(EARLIER, CA, A, &[]), early);
}

#[test]
fn certificates_for_other_uses_are_refused() {
    let refused = Err(CertificateRefused::Usage);
    assert_eq!(verify(CA, MAIL, &[]), refused);
    assert_eq!(verify(CA, AGREE, &[]), refused);
}

#[test]
fn an_end_entity_issues_nothing_and_an_authority_is_no_end_entity() {
    let refused = Err(CertificateRefused::Authority);
    assert_eq!(verify(CA, ISSUED_BY_MAIL, &[MAIL]), refused);
    assert_eq!(verify(CA, INTERMEDIATE, &[]), refused);
}

#[test]
fn certificates_signed_with_rsa_are_refused() {
    let refused = Err(CertificateRefused::Algorithm);
    assert_eq!(verify(RSA_CA, BY_RSA, &[]), refused);
    let words = "a certificate is signed with other than ECDSA on P-256 or P-384, or Ed25519";
    assert_eq!(CertificateRefused::Algorithm.to_string(), words);
}

/// CVE-2026-35331 (name constraints that were ignored).
#[test]
fn a_name_outside_of_its_authoritys_constraints_is_refused() {
    assert_eq!(verify(BOUNDED, WITHIN, &[]), Ok(()));
    let refused = Err(CertificateRefused::Constraint);
    assert_eq!(verify(BOUNDED, OUTSIDE, &[]), refused);
}

/// CVE-2022-40617 (a daemon that asked the places which an untrusted certificate names, before it was trusted).
#[test]
fn the_places_that_a_certificate_names_play_no_part() {
    let names = |pem| {
        let der = certificate(pem).der().to_vec();
        let place: &[u8] = b"http://192.0.2.9/ocsp";
        der.windows(place.len()).any(|octets| octets == place)
    };
    assert!(names(WITHIN));
    assert_eq!(verify(BOUNDED, WITHIN, &[]), Ok(()));
    let unknown = Err(CertificateRefused::UnknownIssuer);
    assert_eq!(verify(CA, WITHIN, &[]), unknown);
}

#[test]
fn no_changed_certificate_holds() {
    let anchors = TrustAnchors::from_pem(CA).unwrap();
    let whole = certificate(A).der().to_vec();
    let mut read = 0;
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(changed) = Certificate::from_der(&changed) {
            let refused = anchors.verify_chain(&changed, &[], NOW);
            assert!(refused.is_err(), "octet {at}");
            read += 1;
        }
    }
    assert!(read > 100, "{read} changed certificates are still readable");
}

#[test]
fn a_key_id_is_the_digest_of_the_authoritys_public_key() {
    let anchors = TrustAnchors::from_pem(&[CA, OTHER_CA].concat()).unwrap();
    let digests = [CA, OTHER_CA].map(|pem| sha1(&[certificate(pem).spki()]));
    assert_eq!(anchors.key_ids(), digests);
    // From the CERTREQ payload of a recorded exchange.
    let recorded =
        *b"\x54\x1a\x27\x97\x2c\xeb\x88\xf4\xce\x1d\x05\x29\xf4\x95\x9b\x2c\x17\xf1\xa0\xc5";
    assert_eq!(digests[0], recorded);
}

#[test]
fn a_file_of_no_certificates_makes_no_anchors() {
    let refused = TrustAnchors::from_pem(b"nothing").err();
    assert_eq!(refused, Some(BadCertificate::NotFound));
}
