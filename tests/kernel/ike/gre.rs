//! The kernel's GRE in the kernel's ESP, negotiated: transport mode with selectors of GRE alone.

use serde_json::json;

use super::charon::installed;
use super::{Initiator, Pair, V6};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::peer::Peer;

fn link<'a>(outer: [&'a str; 2], child: &'a str) -> Link<'a> {
    Link {
        outer,
        gre: true,
        esp: "aes128gcm16-esn",
        ..Link::new().charon("", "", child)
    }
}

#[test]
fn gre_passes_in_transport_mode_and_never_in_clear() {
    let peer = Peer::lent();
    for (outer, family) in [(Link::new().outer, "ip protocol"), (V6, "ip6 nexthdr")] {
        for initiator in Initiator::BOTH {
            let ledger = Ledger::open(&peer.near);
            ledger.count_in("esp_in", &format!("{family} esp"));
            ledger.count_in("gre_in", &format!("{family} gre"));
            ledger.count_out("gre_out", &format!("{family} gre"));
            let pair = Pair::start(&peer, &link(outer, "mode = transport"), initiator);
            // Before the guest has its policies its GRE interface speaks in clear.
            let before = ledger.packets("gre_in");
            let counters = &pair.adit.tunnel("t")["counters"];
            assert_ne!(counters["keepalive_responses_received"], 0, "{counters}");
            pair.assert_carries_much(true);
            peer.assert_pings("fd00:9::2", 5, &[]);
            assert!(ledger.packets("esp_in") >= 15, "{outer:?} {initiator:?}");
            assert_eq!(ledger.packets("gre_in"), before, "{outer:?} {initiator:?}");
            assert_eq!(ledger.packets("gre_out"), 0, "{outer:?} {initiator:?}");
            let sa = pair.charon.wait_established();
            let child = &installed(&sa)[0];
            assert_eq!(child["mode"], "TRANSPORT", "{sa}");
            let child = pair.child();
            assert_eq!(child["mode"], "transport", "{child}");
            assert_eq!(child["esn"], json!(true), "{child}");
            assert!(child["local_ts"][0].as_str().unwrap().contains("[gre]"));
        }
    }
}

/// Transport mode is the initiator's wish and the responder's right to refuse (RFC 7296 section 1.3.1).
#[test]
fn a_peer_that_answers_with_tunnel_mode_is_not_taken_for_transport_mode() {
    let peer = Peer::lent();
    let pair = Pair::idle(
        &peer,
        &link(Link::new().outer, "mode = tunnel"),
        Initiator::Adit.start(),
    );
    pair.adit.wait_last_error(&["transport"]);
    assert_ne!(pair.adit.tunnel("t")["state"], "up");
}

#[test]
fn gre_passes_in_tunnel_mode_where_both_want_that() {
    let peer = Peer::lent();
    for (outer, initiator) in [
        (Link::new().outer, Initiator::Adit),
        (V6, Initiator::Charon),
    ] {
        let link = link(outer, "mode = tunnel").adit("", "child-mode = \"tunnel\"");
        let pair = Pair::start(&peer, &link, initiator);
        pair.assert_carries_much(true);
        assert_eq!(pair.child()["mode"], "tunnel", "{initiator:?}");
    }
}
