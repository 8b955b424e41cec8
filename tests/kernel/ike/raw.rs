//! ESP as an IP protocol, tunnel mode, with every suite, with and without ESN.

use serde_json::json;

use super::charon::installed;
use super::{Initiator, Pair, V6};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::peer::Peer;

/// ESP as both ends write it, and how the kernel names it.
const SUITES: [(&str, &str); 6] = [
    ("aes128gcm16", "rfc4106(gcm(aes))"),
    ("aes256gcm16", "rfc4106(gcm(aes))"),
    ("chacha20poly1305", "rfc7539esp(chacha20,poly1305)"),
    ("aes128-sha256", "hmac(sha256)"),
    ("aes256-sha256", "hmac(sha256)"),
    ("aes256-sha384", "hmac(sha384)"),
];

fn every_suite_passes(esn: bool) {
    let peer = Peer::lent();
    for (at, (suite, kernels)) in SUITES.into_iter().enumerate() {
        let initiator = Initiator::BOTH[(at + usize::from(esn)) % 2];
        let esp = format!("{suite}-{}", if esn { "esn" } else { "noesn" });
        let link = Link {
            esp: &esp,
            ..Link::new()
        };
        let ledger = Ledger::open(&peer.near);
        ledger.count_in("esp_in", "ip protocol esp");
        ledger.count_out("esp_out", "ip protocol esp");
        ledger.count_in("udp_in", "udp sport 4500");
        let pair = Pair::start(&peer, &link, initiator);
        pair.assert_carries_much(false);
        assert!(ledger.packets("esp_in") >= 15, "{esp}");
        assert!(ledger.packets("esp_out") >= 15, "{esp}");
        assert_eq!(ledger.packets("udp_in"), 0, "{esp}");
        let states = pair.peer.exec("ip xfrm state");
        assert_eq!(states.matches(kernels).count(), 2, "{states}");
        assert_eq!(states.contains("esn"), esn, "{states}");
        let child = pair.child();
        assert_eq!(child["suite"], suite, "{child}");
        assert_eq!(child["esn"], json!(esn), "{child}");
        let sa = pair.charon.wait_established();
        assert_eq!(installed(&sa)[0]["mode"], "TUNNEL", "{sa}");
    }
}

#[test]
fn every_suite_passes_with_extended_sequence_numbers() {
    every_suite_passes(true);
}

#[test]
fn every_suite_passes_without_extended_sequence_numbers() {
    every_suite_passes(false);
}

#[test]
fn extended_sequence_numbers_are_chosen_where_both_offer_both() {
    let peer = Peer::lent();
    let link = Link {
        esp: "aes128gcm16-esn-noesn",
        ..Link::new()
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&peer, &link, initiator);
        pair.assert_carries(false);
        assert_eq!(pair.child()["esn"], json!(true), "{initiator:?}");
    }
}

#[test]
fn outer_addresses_of_ipv6_carry_both_families() {
    let peer = Peer::lent();
    let link = Link {
        outer: V6,
        nets: [
            "10.77.1.0/24, fd00:77:1::/64",
            "10.77.2.0/24, fd00:77:2::/64",
        ],
        ..Link::new()
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&peer, &link, initiator);
        pair.assert_carries_much(false);
        peer.assert_pings("fd00:77:2::1", 10, &["-I", "fd00:77:1::1"]);
    }
}

#[test]
fn either_end_can_have_esp_in_udp() {
    let peer = Peer::lent();
    for link in [
        Link::new().charon("", "encap = yes", ""),
        Link::new().adit("", "encap = \"udp\""),
    ] {
        for initiator in Initiator::BOTH {
            let ledger = Ledger::open(&peer.near);
            ledger.count_in("esp_in", "ip protocol esp");
            ledger.count_in("udp_in", "udp sport 4500");
            let pair = Pair::start(&peer, &link, initiator);
            pair.assert_carries_much(false);
            assert_eq!(ledger.packets("esp_in"), 0, "{initiator:?}");
            assert!(ledger.packets("udp_in") >= 15, "{initiator:?}");
            let states = peer.exec("ip xfrm state");
            assert_eq!(states.matches("espinudp").count(), 2, "{states}");
        }
    }
}
