//! IKE_AUTH with signatures (RFC 7427): chain, identity, validity, and no other way in.

use std::sync::Arc;
use std::time::Duration;

use adit_crypto::{Certificate, SecretBytes, SigningKey, TrustAnchors};

use super::super::*;
use super::net::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../../crypto/tests/certs/", $name))
    };
}

const SECOND: Duration = Duration::from_secs(1);
/// 2027-01-15, within the validity of all.
const TIME: u64 = 1_800_000_000;

fn certificates(pem: &[u8]) -> Vec<Certificate> {
    Certificate::from_pem(pem).unwrap()
}

fn local(pem: &[u8], key: &[u8]) -> LocalAuth {
    LocalAuth::Certificate {
        chain: certificates(pem),
        key: Arc::new(SigningKey::from_pem(key).unwrap()),
    }
}

fn anchors(pem: &[u8]) -> RemoteAuth {
    RemoteAuth::Certificate(Arc::new(TrustAnchors::from_pem(pem).unwrap()))
}

fn name(name: &str) -> Identity {
    Identity::Fqdn(name.to_owned())
}

/// `a.ik.test` with P-256 and `b.ik.test` with P-384, as changed; at that time of day.
fn attempt(time: Option<u64>, change: impl FnOnce(&mut Connection, &mut Connection)) -> Net {
    let mut a = Connection {
        local_id: name("a.ik.test"),
        remote_id: Some(name("b.ik.test")),
        local_auth: local(file!("a.pem"), file!("a.key")),
        remote_auth: anchors(file!("ca.pem")),
        ..connection(A)
    };
    let mut b = Connection {
        local_id: name("b.ik.test"),
        remote_id: Some(name("a.ik.test")),
        local_auth: local(file!("b.pem"), file!("b.key")),
        remote_auth: anchors(file!("ca.pem")),
        ..connection(B)
    };
    change(&mut a, &mut b);
    let mut net = Net::with(a, b);
    for side in [A, B] {
        if let Some(time) = time {
            net.sides[side].endpoint.set_unix_time(net.now, time);
        }
    }
    net.initiate(A);
    net.run(SECOND);
    net
}

fn assert_refused(net: &Net, side: usize, words: &str) {
    let failures = net.sides[side].failures().join("; ");
    assert!(failures.contains(words), "{failures}");
    assert!(!net.sides[A].up && net.sides.iter().all(|side| side.held.is_empty()));
}

#[test]
fn certificates_of_both_curves_establish() {
    let net = attempt(Some(TIME), |_, _| {});
    net.assert_agree();
    assert_eq!(net.sides[A].traced("CERTREQ"), 2);
}

#[test]
fn a_name_without_regard_to_case_and_the_subject_are_identities_of_a_certificate() {
    attempt(Some(TIME), |a, b| {
        a.local_id = name("A.IK.test");
        b.remote_id = Some(name("a.ik.test"));
    })
    .assert_agree();
    attempt(Some(TIME), |a, b| {
        let subject = certificates(file!("a.pem"))[0].subject_der().to_vec();
        a.local_id = Identity::Dn(subject.clone());
        b.remote_id = Some(Identity::Dn(subject));
    })
    .assert_agree();
}

#[test]
fn a_subject_is_an_identity_of_a_certificate_in_whichever_kind_of_string_and_case() {
    let configured: Identity = "C=xx, O=ik lab, CN=A.ik.test".parse().unwrap();
    let Identity::Dn(der) = &configured else {
        panic!("no distinguished name: {configured}");
    };
    assert_ne!(der, certificates(file!("a.pem"))[0].subject_der());
    attempt(Some(TIME), |a, b| {
        a.local_id = configured.clone();
        b.remote_id = Some(configured);
    })
    .assert_agree();
}

#[test]
fn an_end_may_prove_itself_with_a_key_and_the_other_with_a_certificate() {
    let net = attempt(Some(TIME), |a, b| {
        let psk = Arc::new(SecretBytes::from_slice(PSK));
        a.local_auth = LocalAuth::Psk(psk.clone());
        b.remote_auth = RemoteAuth::Psk(psk);
    });
    net.assert_agree();
}

/// CVE-2020-16088: any key that verifies is taken for the right one.
#[test]
fn a_valid_certificate_of_somebody_else_proves_nothing() {
    let net = attempt(Some(TIME), |a, _| {
        a.local_auth = local(file!("b.pem"), file!("b.key"))
    });
    assert_refused(&net, B, "its certificate is not of \"a.ik.test\"");
    let net = attempt(Some(TIME), |_, b| {
        b.local_auth = local(file!("a.pem"), file!("a.key"))
    });
    assert_refused(&net, A, "its certificate is not of \"b.ik.test\"");
    let net = attempt(Some(TIME), |a, _| {
        a.local_auth = local(file!("a.pem"), file!("b.key"))
    });
    assert_refused(&net, B, "its signature does not verify");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let net = attempt(Some(TIME), |_, b| {
        b.remote_auth = anchors(file!("other-ca.pem"))
    });
    assert_refused(&net, B, "peer is not authenticated");
}

#[test]
fn a_certificate_counts_in_its_time_only_and_never_where_the_time_is_not_known() {
    for time in [Some(1_000_000_000), Some(4_000_000_000)] {
        let net = attempt(time, |_, _| {});
        assert_refused(&net, B, "peer is not authenticated");
    }
    let net = attempt(None, |_, _| {});
    assert_refused(&net, B, "the time is not known");
}

#[test]
fn a_tunnel_that_asks_for_a_certificate_takes_no_pre_shared_key_and_the_reverse() {
    let psk = || Arc::new(SecretBytes::from_slice(PSK));
    let net = attempt(Some(TIME), |a, _| a.local_auth = LocalAuth::Psk(psk()));
    assert_refused(
        &net,
        B,
        "its authentication method 2 is not the one configured",
    );
    let net = attempt(Some(TIME), |_, b| b.remote_auth = RemoteAuth::Psk(psk()));
    assert_refused(
        &net,
        B,
        "its authentication method 14 is not the one configured",
    );
}

#[test]
fn a_key_id_is_no_identity_of_a_certificate() {
    let net = attempt(Some(TIME), |a, b| {
        a.local_id = Identity::KeyId(b"a.ik.test".to_vec());
        b.remote_id = None;
    });
    assert_refused(&net, B, "its certificate is not of");
}
