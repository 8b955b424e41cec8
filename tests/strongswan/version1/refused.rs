//! What the ends of main mode do not agree on: either says so, and nothing comes up.

use crate::PATIENCE;
use crate::link::{Auth, Link};
use crate::pair::{Initiator, Pair};

/// Has one end begin, and sees what both say: charon's words and those of adit.
fn is_refused(near: &Link<'_>, far: &Link<'_>, initiator: Initiator, charon: &str, adit: &[&str]) {
    let pair = Pair::of(near, far, initiator);
    if initiator == Initiator::Charon {
        let (installed, said) = pair.charon.initiate();
        assert!(!installed, "{said}");
    }
    pair.charon.wait_logged(charon, PATIENCE);
    let error = pair.adit.wait_last_error(adit);
    assert!(!error.contains(Link::PSK), "{error}");
    let status = pair.adit.tunnel("t");
    assert_ne!(status["state"], "up", "{status}");
    assert_eq!(pair.charon.children().len(), 0, "{}", pair.charon.log());
    assert_eq!(pair.adit.spis(), [0_u64; 0], "{status}");
}

const EAGER: &str = "retransmit = { first = \"300ms\", base = 150, tries = 2 }";

fn told() -> (Link<'static>, Link<'static>) {
    let link = Link::version_1().adit("", EAGER);
    let options = "retransmit_timeout = 0.3\n  retransmit_base = 1\n  retransmit_tries = 2";
    (link, Link::version_1().charon(options, "", ""))
}

#[test]
fn a_wrong_secret() {
    let (near, far) = told();
    let far = Link {
        auth: Auth::Psk("Eiqu7jo5pheiQu0ahCahx8ae"),
        ..far
    };
    let words: [&[&str]; 2] = [
        &["pre-shared keys", "may differ"],
        &["not authenticated", "pre-shared keys differ"],
    ];
    is_refused(
        &near,
        &far,
        Initiator::Adit,
        "message parsing failed",
        words[0],
    );
    is_refused(
        &near,
        &far,
        Initiator::Charon,
        "peer not responding",
        words[1],
    );
}

#[test]
fn no_proposal_of_phase_1_in_common() {
    let (near, far) = told();
    let far = Link {
        ike: "aes256-sha512-modp2048",
        ..far
    };
    let words = [
        "no proposal found",
        "received NO_PROPOSAL_CHOSEN error notify",
    ];
    is_refused(
        &near,
        &far,
        Initiator::Adit,
        words[0],
        &["NO-PROPOSAL-CHOSEN"],
    );
    let offered = ["peer offered aes256-sha512-modp2048"];
    is_refused(&near, &far, Initiator::Charon, words[1], &offered);
}

#[test]
fn no_proposal_of_phase_2_in_common() {
    let (near, far) = told();
    let far = Link {
        esp: "aes256-sha384",
        ..far
    };
    let words = [
        "no matching proposal found, sending NO_PROPOSAL_CHOSEN",
        "received NO_PROPOSAL_CHOSEN error notify",
    ];
    is_refused(
        &near,
        &far,
        Initiator::Adit,
        words[0],
        &["NO-PROPOSAL-CHOSEN"],
    );
    let offered = ["peer offered", "aes256-sha384"];
    is_refused(&near, &far, Initiator::Charon, words[1], &offered);
}

#[test]
fn networks_that_the_other_end_has_not() {
    let (near, far) = told();
    let near = Link {
        nets: ["10.77.1.0/24", "10.99.2.0/24"],
        ..near
    };
    let words = [
        "no matching CHILD_SA config found",
        "received INVALID_ID_INFORMATION error notify",
    ];
    is_refused(
        &near,
        &far,
        Initiator::Adit,
        words[0],
        &["INVALID-ID-INFORMATION"],
    );
    is_refused(&near, &far, Initiator::Charon, words[1], &["10.77.2.0/24"]);
}

/// An answer would let a stranger try keys without asking anybody.
#[test]
fn aggressive_mode_of_a_charon_that_begins() {
    let (near, far) = told();
    let far = Link {
        charon: [far.charon[0], "aggressive = yes", ""],
        ..far
    };
    let pair = Pair::of(&near, &far, Initiator::Charon);
    let (installed, said) = pair.charon.initiate();
    assert!(!installed, "{said}");
    assert!(said.contains("peer not responding"), "{said}");
    let log = pair.adit.log();
    assert!(
        log.contains("refused aggressive mode of 192.0.2.2:500"),
        "{log}"
    );
    assert_eq!(pair.adit.spis(), [0_u64; 0]);
}
