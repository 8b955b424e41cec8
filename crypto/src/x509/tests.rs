//! What certificates say, and octets that are none.

use std::time::Duration;

use super::*;

const A: &[u8] = include_bytes!("../../tests/certs/a.pem");
const C: &[u8] = include_bytes!("../../tests/certs/c.pem");
const AGREE: &[u8] = include_bytes!("../../tests/certs/agree.pem");
const BAD_NAME: &[u8] = include_bytes!("../../tests/certs/badname.pem");

fn certificate(pem: &[u8]) -> Certificate {
    let all = Certificate::from_pem(pem).unwrap();
    assert_eq!(all.len(), 1);
    all.into_iter().next().unwrap()
}

#[test]
fn names_of_a_certificate_are_read_by_their_kinds() {
    let c = certificate(C);
    assert_eq!(c.subject_display(), "C=XX, O=IK Lab, CN=c.ik.test");
    assert_eq!(
        format!("{c:?}"),
        "Certificate(C=XX, O=IK Lab, CN=c.ik.test)"
    );
    assert_eq!(c.san_dns(), ["c.ik.test", "c2.ik.test"]);
    assert_eq!(c.san_email(), ["c@ik.test"]);
    let addresses = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse::<IpAddr>().unwrap());
    assert_eq!(c.san_ip(), addresses);
    assert!(c.may_sign());
}

#[test]
fn subject_and_key_are_the_octets_of_the_certificate() {
    for pem in [A, C] {
        let certificate = certificate(pem);
        for part in [certificate.subject_der(), certificate.spki()] {
            let mut places = certificate.der().windows(part.len());
            assert!(places.any(|place| place == part));
        }
        let again = Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(again, certificate);
    }
}

#[test]
fn validity_includes_both_of_its_ends() {
    // 2026-11-21 01:53:27 UTC to 2031-11-20 01:53:27 UTC.
    let (first, last) = (1_795_226_007, 1_952_906_007);
    let a = certificate(A);
    let is_valid = |seconds| a.is_valid_at(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!((a.not_before, a.not_after), (first, last));
    assert!(!is_valid(first - 1));
    assert!(is_valid(first));
    assert!(is_valid(last));
    assert!(!is_valid(last + 1));
    assert!(!a.is_valid_at(UNIX_EPOCH - Duration::from_secs(1)));
}

#[test]
fn a_key_usage_without_a_signature_does_not_sign() {
    assert!(certificate(A).may_sign());
    assert!(!certificate(AGREE).may_sign());
}

#[test]
fn a_chain_is_read_in_the_order_of_its_file() {
    let chain = [C, b"text between\n", A].concat();
    let names: Vec<_> = Certificate::from_pem(&chain)
        .unwrap()
        .iter()
        .map(|certificate| certificate.subject_display().to_owned())
        .collect();
    let wanted = [
        "C=XX, O=IK Lab, CN=c.ik.test",
        "C=XX, O=IK Lab, CN=a.ik.test",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn what_is_no_certificate_is_told_apart() {
    let refused = |pem: &[u8]| Certificate::from_pem(pem).unwrap_err();
    assert_eq!(refused(b""), BadCertificate::NotFound);
    assert_eq!(
        refused(include_bytes!("../../tests/certs/a.key")),
        BadCertificate::NotFound
    );
    assert_eq!(refused(&A[..A.len() / 2]), BadCertificate::Pem);
    let empty = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(empty), BadCertificate::Malformed);
    assert_eq!(refused(BAD_NAME), BadCertificate::Name);
    let trailing = [certificate(A).der(), &[0]].concat();
    let refused = Certificate::from_der(&trailing);
    assert_eq!(refused, Err(BadCertificate::Malformed));
    assert_eq!(
        BadCertificate::NotFound.to_string(),
        "no certificate in PEM"
    );
}

#[test]
fn names_that_are_no_text_or_no_address_are_refused() {
    for name in [&b"a\0b"[..], b"a b", b"a\nb", b"a\x7f", b"\xc3\xa4"] {
        assert_eq!(text(name), Err(BadCertificate::Name));
    }
    for octets in [0, 3, 5, 8, 15, 17, 32] {
        assert_eq!(address(&vec![1; octets]), Err(BadCertificate::Name));
    }
}

#[test]
fn malformed_octets_never_panic() {
    for pem in [A, C, AGREE] {
        let whole = certificate(pem).der().to_vec();
        for octets in 0..whole.len() {
            assert!(Certificate::from_der(&whole[..octets]).is_err());
        }
        for at in 0..whole.len() {
            for value in [0, 0x1f, 0x30, 0x7f, 0x80, 0x84, 0xa3, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(read) = Certificate::from_der(&changed) {
                    assert_eq!(read.der(), changed);
                }
            }
        }
    }
}
