//! Version 1 of IKE with the kernel's ESP: as an IP protocol, and in transport mode.

use super::charon::installed;
use super::rekey::{flooded, renew};
use super::{Initiator, Pair, V6};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};

/// ESP as both ends write it, what `allow-insecure` has to say, and how the kernel names it.
const SUITES: [[&str; 3]; 6] = [
    ["aes256gcm16-ecp256", "", "rfc4106(gcm(aes))"],
    ["aes128-sha256", "", "hmac(sha256)"],
    ["aes256-sha384-x25519", "", "hmac(sha384)"],
    ["aes128-sha1", "\"sha1\"", "hmac(sha1)"],
    ["3des-sha1", "\"3des\", \"sha1\"", "cbc(des3_ede)"],
    ["3des-md5", "\"3des\", \"md5\"", "hmac(md5)"],
];

#[test]
fn every_kind_of_suite_passes_as_an_ip_protocol() {
    let peer = Peer::lent();
    for (at, [esp, insecure, kernels]) in SUITES.into_iter().enumerate() {
        let initiator = Initiator::BOTH[at % 2];
        let allowed = match insecure {
            "" => String::new(),
            words => format!("allow-insecure = [{words}]"),
        };
        let link = Link {
            esp,
            ..Link::version_1().adit("", &allowed)
        };
        let ledger = Ledger::open(&peer.near);
        ledger.count_in("esp_in", "ip protocol esp");
        ledger.count_out("esp_out", "ip protocol esp");
        ledger.count_in("udp_in", "udp sport 4500");
        let pair = Pair::start(&peer, &link, initiator);
        // Blocks of eight octets are version 1's alone.
        if esp == "3des-sha1" {
            pair.assert_carries_much(false);
        } else {
            pair.assert_carries(false);
        }
        assert!(ledger.packets("esp_in") >= 10, "{esp}");
        assert!(ledger.packets("esp_out") >= 10, "{esp}");
        assert_eq!(ledger.packets("udp_in"), 0, "{esp}");
        let states = pair.peer.exec("ip xfrm state");
        assert_eq!(states.matches(kernels).count(), 2, "{states}");
        let sa = pair.charon.wait_established();
        assert_eq!(sa["version"], "1", "{sa}");
        assert_eq!(installed(&sa)[0]["mode"], "TUNNEL", "{sa}");
    }
}

#[test]
fn either_end_can_have_esp_in_udp() {
    let peer = Peer::lent();
    for link in [
        Link::version_1().charon("", "encap = yes", ""),
        Link::version_1().adit("", "encap = \"udp\""),
    ] {
        for initiator in Initiator::BOTH {
            let ledger = Ledger::open(&peer.near);
            ledger.count_in("esp_in", "ip protocol esp");
            ledger.count_in("udp_in", "udp sport 4500");
            let pair = Pair::start(&peer, &link, initiator);
            pair.assert_carries(false);
            assert_eq!(ledger.packets("esp_in"), 0, "{initiator:?}");
            assert!(ledger.packets("udp_in") >= 10, "{initiator:?}");
        }
    }
}

/// What `mode transport` of a router's transform set has.
#[test]
fn gre_passes_in_transport_mode_and_never_in_clear() {
    let peer = Peer::lent();
    for (outer, family) in [(Link::new().outer, "ip protocol"), (V6, "ip6 nexthdr")] {
        for initiator in Initiator::BOTH {
            let link = Link {
                outer,
                gre: true,
                ..Link::version_1().charon("", "", "mode = transport")
            };
            let ledger = Ledger::open(&peer.near);
            ledger.count_in("gre_in", &format!("{family} gre"));
            ledger.count_out("gre_out", &format!("{family} gre"));
            let pair = Pair::start(&peer, &link, initiator);
            // Before the guest has its policies its GRE interface speaks in clear.
            let before = ledger.packets("gre_in");
            pair.assert_carries_much(true);
            assert_eq!(ledger.packets("gre_in"), before, "{outer:?} {initiator:?}");
            assert_eq!(ledger.packets("gre_out"), 0, "{outer:?} {initiator:?}");
            let sa = pair.charon.wait_established();
            assert_eq!(installed(&sa)[0]["mode"], "TRANSPORT", "{sa}");
            assert_eq!(pair.child()["mode"], "transport", "{initiator:?}");
        }
    }
}

fn nothing_is_lost(link: &Link<'_>, near: &str, far: &str) {
    let peer = Peer::lent();
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&peer, link, initiator);
        let (sent, answered) = flooded(&peer, [near, far], || {
            // charon renews every ISAKMP SA of that name, and keeps what adit replaced for a while.
            for (who, what) in [
                (Initiator::Adit, "child"),
                (Initiator::Charon, "child"),
                (Initiator::Charon, "ike"),
                (Initiator::Adit, "child"),
                (Initiator::Adit, "ike"),
            ] {
                let mut events = pair.adit.events();
                renew(&pair, who, what);
                events.next("t", "rekeyed", PATIENCE);
            }
        });
        assert_eq!(sent, answered, "{}", pair.charon.log());
        let status = pair.adit.tunnel("t");
        assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
        assert_eq!(status["drops"], pair.drops, "{status}");
        assert_eq!(status["state"], "up", "{status}");
    }
}

#[test]
fn nothing_is_lost_whoever_renews_which_phase() {
    nothing_is_lost(&Link::version_1(), "10.77.1.1", "10.77.2.1");
}

#[test]
fn nothing_is_lost_in_gre_in_transport_mode_whoever_renews_which_phase() {
    let link = Link {
        gre: true,
        ..Link::version_1().charon("", "", "mode = transport")
    };
    nothing_is_lost(&link, "10.9.0.1", "10.9.0.2");
}
