//! What neither end takes from the other: packets under another key, packets that came before, packets in clear.

use std::net::IpAddr;

use super::wire::Capture;
use super::{Errors, Esp, Variant, errors, errors_since, outer};
use crate::common::{Daemon, wait_for};
use crate::peer::{Options, PATIENCE, Peer};

/// Each kind of encapsulation once.
const KINDS: [(Option<Options>, bool, bool); 4] = {
    let gre = Some(Options {
        key: None,
        checksum: false,
        sequence: false,
    });
    [
        (None, false, false),
        (None, true, true),
        (gre, true, false),
        (gre, false, true),
    ]
};

fn variants() -> impl Iterator<Item = Variant> {
    KINDS.into_iter().map(|(gre, v6, udp)| Variant {
        gre,
        v6,
        udp,
        ..Variant::default()
    })
}

#[test]
fn packets_under_another_key_are_counted_as_bad_icv_and_deliver_nothing() {
    let peer = Peer::lent();
    for variant in variants() {
        let (ours, other) = (Esp::new(&peer, variant), Esp::new(&peer, variant));
        let before = errors(&peer);
        other.kernel("");
        let adit = ours.ready_adit("");
        assert_nothing_passes(&peer);
        assert_dropped(&adit, "bad_icv", 2);
        assert_eq!(adit.counter("t", "inbound_packets"), 0, "{variant:?}");
        assert_refused_by_kernel(&peer, &before, "XfrmInStateProtoError");
    }
}

#[test]
fn ends_that_differ_in_extended_sequence_numbers_refuse_each_others_packets() {
    let peer = Peer::lent();
    for esn in [true, false] {
        let ours = Esp::new(
            &peer,
            Variant {
                esn,
                ..Variant::default()
            },
        );
        let before = errors(&peer);
        ours.kernel("");
        let adit = Daemon::start(
            &peer.near,
            &ours
                .config("")
                .replace(&format!("esn = {esn}"), &format!("esn = {}", !esn)),
        );
        peer.wait_ready(&adit);
        assert_nothing_passes(&peer);
        assert_dropped(&adit, "bad_icv", 2);
        assert_eq!(adit.counter("t", "inbound_packets"), 0);
        assert_refused_by_kernel(&peer, &before, "XfrmInStateProtoError");
    }
}

#[test]
fn packets_that_come_again_are_counted_as_replayed_and_deliver_nothing() {
    let peer = Peer::lent();
    for variant in variants() {
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        let adit = esp.ready_adit("");
        let mut capture = Capture::start(&peer.near, variant.v6);
        peer.assert_pings("10.9.0.2", 5, &[]);
        peer.assert_pings("fd00:9::2", 5, &[]);
        let kernel: IpAddr = format!("{}2", outer(variant.v6)).parse().unwrap();
        // Neighbour discovery is none of ESP.
        let esp_alone = |packet: &Vec<u8>| !variant.v6 || packet[6] != 58;
        let packets: Vec<_> = capture.from(kernel).into_iter().filter(esp_alone).collect();
        assert!(packets.len() >= 10, "{} packets", packets.len());
        let delivered = adit.counter("t", "inbound_packets");
        for _ in 0..3 {
            for packet in &packets {
                capture.repeat(packet);
            }
        }
        let expected = 3 * u64::try_from(packets.len()).unwrap();
        assert_dropped(&adit, "replayed", expected);
        peer.assert_pings("10.9.0.2", 2, &[]);
        assert_eq!(adit.drops("t", "replayed"), expected, "{variant:?}");
        assert!(adit.counter("t", "inbound_packets") <= delivered + 4);
    }
}

#[test]
fn a_kernel_that_counts_anew_under_its_key_is_not_heard_until_it_passes_what_it_sent() {
    let peer = Peer::lent();
    let esp = Esp::new(&peer, Variant::default());
    esp.kernel("");
    let adit = esp.ready_adit("");
    peer.assert_pings("10.9.0.2", 30, &[]);
    esp.kernel("");
    assert!(!peer.near.pings("10.9.0.2", 5, &["-W", "0.2"]));
    assert_dropped(&adit, "replayed", 5);
    esp.kernel("out-seq=10000");
    peer.assert_pings("10.9.0.2", 3, &[]);
}

#[test]
fn a_kernel_hears_a_restarted_adit_at_once() {
    let peer = Peer::lent();
    for variant in variants() {
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        for _ in 0..3 {
            let mut adit = esp.ready_adit("");
            peer.assert_pings("10.9.0.2", 10, &[]);
            adit.kill();
        }
    }
}

#[test]
fn a_kernel_that_sends_gre_in_clear_is_not_heard() {
    let peer = Peer::lent();
    let gre = Some(Options::default());
    for v6 in [false, true] {
        let variant = Variant {
            gre,
            v6,
            ..Variant::default()
        };
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        let adit = esp.ready_adit("");
        peer.assert_pings("10.9.0.2", 2, &[]);
        let delivered = adit.counter("t", "inbound_packets");
        // It goes on to take ESP, and answers without.
        let outer = outer(v6);
        peer.exec(&format!(
            "ip xfrm policy delete src {outer}2 dst {outer}1 proto gre dir out"
        ));
        assert_nothing_passes(&peer);
        assert_dropped(&adit, "clear_text", 2);
        assert_eq!(adit.counter("t", "inbound_packets"), delivered, "{v6}");
    }
}

/// Echo requests from both ends, none of which is answered.
fn assert_nothing_passes(peer: &Peer) {
    let ping = "ping -q -c 2 -i 0.05 -W 0.2";
    let near = peer
        .near
        .output("bash", &["-c", &format!("{ping} 10.9.0.2")]);
    let guest = peer.exec(&format!("{ping} 10.9.0.1 || true"));
    for text in [String::from_utf8_lossy(&near.stdout).into_owned(), guest] {
        assert!(text.contains(" 100% packet loss"), "{text}");
    }
}

/// adit counts at least so many under this reason.
fn assert_dropped(adit: &Daemon, reason: &str, packets: u64) {
    wait_for(
        &format!("{packets} {reason}\n{:#}", adit.tunnel("t")),
        PATIENCE,
        || (adit.drops("t", reason) >= packets).then_some(()),
    );
}

fn assert_refused_by_kernel(peer: &Peer, before: &Errors, name: &str) {
    let errors = errors_since(peer, before);
    let found = errors.iter().find(|(known, _)| known == name);
    assert!(found.is_some_and(|&(_, count)| count >= 2), "{errors:?}");
}
