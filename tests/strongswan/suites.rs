//! Every algorithm of IKE and of ESP with a shared secret, begun by either end.

use serde_json::{Value, json};

use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// IKE as both ends write it, and what charon calls its parts: encryption, key size, integrity, PRF, group.
type Ike = (&'static str, [&'static str; 5]);

const IKE: [Ike; 9] = [
    (
        "aes128gcm16-prfsha256-ecp256",
        ["AES_GCM_16", "128", "", "PRF_HMAC_SHA2_256", "ECP_256"],
    ),
    (
        "aes256gcm16-prfsha384-ecp384",
        ["AES_GCM_16", "256", "", "PRF_HMAC_SHA2_384", "ECP_384"],
    ),
    (
        "aes256gcm16-prfsha512-x25519",
        ["AES_GCM_16", "256", "", "PRF_HMAC_SHA2_512", "CURVE_25519"],
    ),
    (
        "chacha20poly1305-prfsha256-x25519",
        [
            "CHACHA20_POLY1305",
            "",
            "",
            "PRF_HMAC_SHA2_256",
            "CURVE_25519",
        ],
    ),
    (
        "chacha20poly1305-prfsha384-ecp256",
        ["CHACHA20_POLY1305", "", "", "PRF_HMAC_SHA2_384", "ECP_256"],
    ),
    (
        "aes128-sha256-x25519",
        [
            "AES_CBC",
            "128",
            "HMAC_SHA2_256_128",
            "PRF_HMAC_SHA2_256",
            "CURVE_25519",
        ],
    ),
    (
        "aes256-sha256-ecp384",
        [
            "AES_CBC",
            "256",
            "HMAC_SHA2_256_128",
            "PRF_HMAC_SHA2_256",
            "ECP_384",
        ],
    ),
    (
        "aes128-sha384-ecp256",
        [
            "AES_CBC",
            "128",
            "HMAC_SHA2_384_192",
            "PRF_HMAC_SHA2_384",
            "ECP_256",
        ],
    ),
    (
        "aes256-sha384-x25519",
        [
            "AES_CBC",
            "256",
            "HMAC_SHA2_384_192",
            "PRF_HMAC_SHA2_384",
            "CURVE_25519",
        ],
    ),
];

/// ESP as both ends write it, and what charon calls its encryption, key size, integrity.
const ESP: [(&str, [&str; 3]); 6] = [
    ("aes128gcm16", ["AES_GCM_16", "128", ""]),
    ("aes256gcm16", ["AES_GCM_16", "256", ""]),
    ("chacha20poly1305", ["CHACHA20_POLY1305", "", ""]),
    ("aes128-sha256", ["AES_CBC", "128", "HMAC_SHA2_256_128"]),
    ("aes256-sha256", ["AES_CBC", "256", "HMAC_SHA2_256_128"]),
    ("aes256-sha384", ["AES_CBC", "256", "HMAC_SHA2_384_192"]),
];

/// The values that charon lists under these names; empty where it lists none.
fn listed<const COUNT: usize>(sa: &Value, names: [&str; COUNT]) -> [String; COUNT] {
    names.map(|name| sa[name].as_str().unwrap_or_default().to_owned())
}

/// With the PRF that goes without saying where the integrity is said.
fn in_full(ike: &str) -> String {
    ike.replace("-sha256-", "-sha256-prfsha256-")
        .replace("-sha384-", "-sha384-prfsha384-")
}

fn is_agreed_on(ike: Ike, esp: (&str, [&str; 3]), initiator: Initiator) {
    let (ike, ike_parts) = ike;
    let (esp, esp_parts) = esp;
    let pair = Pair::start(
        &Link {
            ike,
            esp,
            ..Link::new()
        },
        initiator,
    );
    let sa = pair.charon.wait_established();
    let names = [
        "encr-alg",
        "encr-keysize",
        "integ-alg",
        "prf-alg",
        "dh-group",
    ];
    assert_eq!(listed(&sa, names), ike_parts, "{sa}");
    let child = &pair.charon.children()[0];
    let names = ["encr-alg", "encr-keysize", "integ-alg"];
    assert_eq!(listed(child, names), esp_parts, "{child}");
    let status = pair.adit.tunnel("t");
    assert_eq!(status["ike"]["proposal"], in_full(ike), "{status}");
    assert_eq!(
        status["ike"]["initiator"],
        json!(initiator == Initiator::Adit),
        "{status}"
    );
    assert_eq!(status["ike"]["children"][0]["suite"], esp, "{status}");
    pair.assert_carries();
    pair.assert_no_drops();
}

#[test]
fn every_suite_is_agreed_on_when_adit_begins() {
    for (at, ike) in IKE.into_iter().enumerate() {
        is_agreed_on(ike, ESP[at % ESP.len()], Initiator::Adit);
    }
}

#[test]
fn every_suite_is_agreed_on_when_charon_begins() {
    for (at, ike) in IKE.into_iter().enumerate() {
        is_agreed_on(ike, ESP[at % ESP.len()], Initiator::Charon);
    }
}

#[test]
fn without_any_proposal_written_the_defaults_of_both_agree() {
    for initiator in Initiator::BOTH {
        let link = Link {
            ike: "",
            esp: "",
            ..Link::new()
        };
        Pair::start(&link, initiator).assert_carries();
    }
}

#[test]
fn a_guessed_group_that_the_other_end_has_not_is_corrected() {
    let many = Link {
        ike: "aes128gcm16-prfsha256-x25519-ecp384",
        ..Link::new()
    };
    let one = Link {
        ike: "aes128gcm16-prfsha256-ecp384",
        ..Link::new()
    };
    for (near, far, initiator) in [
        (&many, &one, Initiator::Adit),
        (&one, &many, Initiator::Charon),
    ] {
        let pair = Pair::of(near, far, initiator);
        pair.begin(initiator);
        pair.wait_up();
        assert_eq!(pair.charon.wait_established()["dh-group"], "ECP_384");
        assert_eq!(pair.charon.logged("N(INVAL_KE)"), 1, "{initiator:?}");
        pair.assert_carries();
    }
}

#[test]
fn outer_addresses_of_ipv6_and_inner_ones_of_both_families_are_agreed_on() {
    let link = Link {
        outer: ["2001:db8::1", "2001:db8::2"],
        nets: [
            "10.77.1.0/24, fd00:77:1::/64",
            "10.77.2.0/24, fd00:77:2::/64",
        ],
        ..Link::new()
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&link, initiator);
        pair.assert_carries();
        let (a, b) = (&pair.sites.a, &pair.sites.b);
        assert!(a.pings("fd00:77:2::1", 5, &["-I", "fd00:77:1::1"]));
        assert!(b.pings("fd00:77:1::1", 5, &["-I", "fd00:77:2::1"]));
        let sa = pair.charon.wait_established();
        assert_eq!(sa["remote-host"], "2001:db8::1", "{sa}");
    }
}
