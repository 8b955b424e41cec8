//! Peers that prove who they are with certificates (RFC 7427).

use crate::PATIENCE;
use crate::link::{Auth, Link};
use crate::pair::{Initiator, Pair};
use crate::pki::{ED25519, P256, P384, Pki};

fn link(pki: &Pki) -> Link<'_> {
    Link {
        auth: Auth::Certificates(pki.path()),
        ..Link::new()
    }
}

#[test]
fn signatures_of_every_kind_are_made_and_believed() {
    for (ca, ends, scheme) in [
        (P384, P256, "ECDSA_WITH_SHA256_DER"),
        (P256, P384, "ECDSA_WITH_SHA384_DER"),
        (ED25519, ED25519, "ED25519"),
    ] {
        let pki = Pki::new(ca, ends);
        for initiator in Initiator::BOTH {
            let pair = Pair::start(&link(&pki), initiator);
            pair.assert_carries();
            let believed = format!("authentication of 'a.example' with {scheme} successful");
            assert_eq!(pair.charon.logged(&believed), 1, "{}", pair.charon.log());
            let status = pair.adit.tunnel("t");
            assert_eq!(status["ike"]["remote_id"], "b.example", "{status}");
        }
    }
}

#[test]
fn the_subject_of_the_certificate_serves_as_identity_too() {
    let pki = Pki::new(P256, P256);
    let link = Link {
        ids: [
            "C=XX, O=Example, CN=a.example",
            "C=XX, O=Example, CN=b.example",
        ],
        ..link(&pki)
    };
    for initiator in Initiator::BOTH {
        Pair::start(&link, initiator).assert_carries();
    }
}

#[test]
fn a_chain_through_another_authority_is_sent_and_followed() {
    let pki = Pki::new(P384, P256);
    for (end, authority) in [(1, "near"), (2, "far")] {
        pki.intermediate(authority, "ca", P256);
        pki.end(end, authority, &["--lifetime", "2"]);
    }
    pki.join("1", &["1", "near"]);
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&link(&pki), initiator);
        pair.assert_carries();
        let log = pair.charon.log();
        for said in [
            "received issuer cert \"C=XX, O=Example, CN=near\"",
            "sending issuer cert \"C=XX, O=Example, CN=far\"",
        ] {
            assert!(log.contains(said), "{said}\n{log}");
        }
    }
}

/// adit refuses charon's certificate: charon is told no more than that.
fn assert_refused_by_adit(pki: &Pki, words: &[&str]) {
    for initiator in Initiator::BOTH {
        let pair = Pair::of(&link(pki), &link(pki), initiator);
        if initiator == Initiator::Charon {
            let (installed, said) = pair.charon.initiate();
            assert!(!installed, "{said}");
            pair.charon
                .wait_logged("received AUTHENTICATION_FAILED notify error", PATIENCE);
        }
        pair.adit.wait_last_error(words);
        assert_ne!(pair.adit.tunnel("t")["state"], "up");
    }
}

/// charon refuses adit's certificate: adit is told no more than that.
fn assert_refused_by_charon(pki: &Pki, said: &str) {
    for initiator in Initiator::BOTH {
        let pair = Pair::of(&link(pki), &link(pki), initiator);
        let told = if initiator == Initiator::Adit {
            "refused our authentication"
        } else {
            let (installed, said) = pair.charon.initiate();
            assert!(!installed, "{said}");
            "AUTHENTICATION_FAILED"
        };
        pair.charon.wait_logged(said, PATIENCE);
        pair.adit.wait_last_error(&[told]);
        let status = pair.adit.tunnel("t");
        assert_ne!(status["state"], "up", "{status}");
        assert_eq!(pair.adit.spis(), [0_u64; 0], "{status}");
        assert_eq!(pair.charon.children().len(), 0, "{}", pair.charon.log());
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    let strange = |end| {
        let pki = Pki::new(P256, P256);
        pki.authority("stranger", P256);
        pki.end(end, "stranger", &["--lifetime", "2"]);
        pki
    };
    assert_refused_by_adit(&strange(2), &["not authenticated", "no chain to a trusted"]);
    assert_refused_by_charon(
        &strange(1),
        "no trusted ECDSA public key found for 'a.example'",
    );
}

#[test]
fn a_certificate_whose_time_is_over_is_refused() {
    let expired = |end| {
        let pki = Pki::new(P256, P256);
        let past = [
            "--not-before",
            "01.01.20 00:00:00",
            "--not-after",
            "01.01.21 00:00:00",
        ];
        pki.end(end, "ca", &past);
        pki
    };
    assert_refused_by_adit(&expired(2), &["certificate", "expired"]);
    assert_refused_by_charon(&expired(1), "subject certificate invalid (valid from");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let pki = Pki::new(P256, P256);
    pki.named(2, "ca", "c.example", &["--lifetime", "2"]);
    assert_refused_by_adit(&pki, &["b.example"]);
}
