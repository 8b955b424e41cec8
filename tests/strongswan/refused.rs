//! What the ends do not agree on: either says so in its own words, and nothing comes up.

use crate::PATIENCE;
use crate::link::{Auth, Link};
use crate::pair::{Initiator, Pair};

/// What differs, and what is said of it.
struct Case<'a> {
    near: Link<'a>,
    far: Link<'a>,
    /// What charon says when adit begins, and when it begins itself.
    charon: [&'a str; 2],
    /// Words of what adit says when it begins, and when charon does.
    adit: [&'a [&'a str]; 2],
}

impl Case<'_> {
    fn is_refused(&self) {
        for (at, initiator) in Initiator::BOTH.into_iter().enumerate() {
            let pair = Pair::of(&self.near, &self.far, initiator);
            if initiator == Initiator::Charon {
                let (installed, said) = pair.charon.initiate();
                assert!(!installed, "{said}");
            }
            pair.charon.wait_logged(self.charon[at], PATIENCE);
            let error = pair.adit.wait_last_error(self.adit[at]);
            assert!(!error.contains(Link::PSK), "{error}");
            let status = pair.adit.tunnel("t");
            assert_ne!(status["state"], "up", "{status}");
            assert_eq!(pair.charon.children().len(), 0, "{}", pair.charon.log());
            assert_eq!(pair.adit.spis(), [0_u64; 0], "{status}");
        }
    }
}

#[test]
fn a_wrong_secret() {
    Case {
        near: Link::new(),
        far: Link {
            auth: Auth::Psk("Eiqu7jo5pheiQu0ahCahx8ae"),
            ..Link::new()
        },
        charon: [
            "but MAC mismatched",
            "received AUTHENTICATION_FAILED notify error",
        ],
        adit: [
            &["refused our authentication"],
            &["not authenticated", "pre-shared keys differ"],
        ],
    }
    .is_refused();
}

#[test]
fn an_identity_of_adit_that_charon_does_not_know() {
    Case {
        near: Link {
            ids: ["x.example", "b.example"],
            ..Link::new()
        },
        far: Link::new(),
        charon: [
            "no matching peer config found",
            "received AUTHENTICATION_FAILED notify error",
        ],
        adit: [&["refused our authentication"], &["a.example", "x.example"]],
    }
    .is_refused();
}

#[test]
fn an_identity_of_charon_that_adit_does_not_expect() {
    Case {
        near: Link {
            ids: ["a.example", "x.example"],
            ..Link::new()
        },
        far: Link::new(),
        charon: [
            "no matching peer config found",
            "received AUTHENTICATION_FAILED notify error",
        ],
        adit: [&["refused our authentication"], &["b.example", "x.example"]],
    }
    .is_refused();
}

#[test]
fn no_ike_proposal_in_common() {
    Case {
        near: Link::new(),
        far: Link {
            ike: "aes256-sha256-ecp384",
            ..Link::new()
        },
        charon: [
            "received proposals unacceptable",
            "received NO_PROPOSAL_CHOSEN notify error",
        ],
        adit: [
            &["refused our IKE proposals", "aes128gcm16-prfsha256-x25519"],
            &["peer offered IKE aes256-sha256"],
        ],
    }
    .is_refused();
}

#[test]
fn no_esp_proposal_in_common() {
    Case {
        near: Link::new(),
        far: Link {
            esp: "aes256-sha384",
            ..Link::new()
        },
        charon: [
            "no acceptable proposal found",
            "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built",
        ],
        adit: [
            &["refused our ESP proposals", "aes128gcm16"],
            &["peer offered ESP aes256-sha384"],
        ],
    }
    .is_refused();
}

#[test]
fn no_traffic_selector_in_common() {
    Case {
        near: Link {
            nets: ["10.77.1.0/24", "10.99.2.0/24"],
            ..Link::new()
        },
        far: Link::new(),
        charon: [
            "traffic selectors 10.99.2.0/24 === 10.77.1.0/24 unacceptable",
            "received TS_UNACCEPTABLE notify, no CHILD_SA built",
        ],
        adit: [
            &["refused our traffic selectors"],
            &["no traffic selector fits"],
        ],
    }
    .is_refused();
}

#[test]
fn a_secret_where_a_certificate_is_wanted() {
    let pki = crate::pki::Pki::new(crate::pki::P256, crate::pki::P256);
    Case {
        near: Link::new(),
        far: Link {
            auth: Auth::Certificates(pki.path()),
            ..Link::new()
        },
        charon: [
            "no shared key found for 'b.example' - 'a.example'",
            "received AUTHENTICATION_FAILED notify error",
        ],
        adit: [
            &["refused our authentication"],
            &["not authenticated", "authentication method"],
        ],
    }
    .is_refused();
}

#[test]
fn transport_mode_where_charon_has_tunnel_mode_only() {
    Case {
        near: Link {
            gre: true,
            ..Link::new().adit("", "child-mode = \"transport\"")
        },
        far: Link {
            gre: true,
            ..Link::new().charon(crate::gre::HOST_TO_HOST, "", "")
        },
        charon: [
            "received DELETE for IKE_SA",
            "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built",
        ],
        adit: [
            &["does not agree to transport mode"],
            &["does not agree to transport mode"],
        ],
    }
    .is_refused();
}
