//! What the kernel's ESP and adit carry for each other.

use adit_crypto::Suite;

use super::{Esp, Variant, errors, errors_since};
use crate::peer::{Options, Peer};
use crate::traffic::{losses, octets, pings, transfers};

#[test]
fn kernel_esp_over_ipv4_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    tunnel_mode_carries_everything(false, false);
}

#[test]
fn kernel_esp_over_ipv6_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    tunnel_mode_carries_everything(true, false);
}

#[test]
fn kernel_esp_in_udp_over_ipv4_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    tunnel_mode_carries_everything(false, true);
}

#[test]
fn kernel_esp_in_udp_over_ipv6_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    tunnel_mode_carries_everything(true, true);
}

#[test]
fn kernel_gre_in_esp_over_ipv4_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    transport_mode_carries_everything(false, false);
}

#[test]
fn kernel_gre_in_esp_over_ipv6_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    transport_mode_carries_everything(true, false);
}

#[test]
fn kernel_gre_in_esp_in_udp_over_ipv4_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    transport_mode_carries_everything(false, true);
}

#[test]
fn kernel_gre_in_esp_in_udp_over_ipv6_and_adit_carry_all_traffic_of_each_other_with_each_suite() {
    transport_mode_carries_everything(true, true);
}

#[test]
fn trains_that_the_near_kernel_cuts_into_packets_are_each_a_packet_of_esp() {
    let peer = Peer::lent();
    let before = errors(&peer);
    for v6 in [false, true] {
        let variant = Variant {
            v6,
            udp: true,
            ..Variant::default()
        };
        carries_everything(&peer, variant, r#"offload = { udp-segmentation = "on" }"#);
    }
    assert_eq!(errors_since(&peer, &before), []);
}

fn tunnel_mode_carries_everything(v6: bool, udp: bool) {
    let peer = Peer::lent();
    let before = errors(&peer);
    for (index, &suite) in Suite::COMBINED.iter().enumerate() {
        let variant = Variant {
            gre: None,
            v6,
            udp,
            suite,
            esn: (index % 2 == 0) != udp,
        };
        carries_everything(&peer, variant, "");
    }
    assert_eq!(errors_since(&peer, &before), []);
}

fn transport_mode_carries_everything(v6: bool, udp: bool) {
    let peer = Peer::lent();
    let keyed = Options {
        key: Some(42),
        checksum: true,
        sequence: true,
    };
    let before = errors(&peer);
    for (index, &suite) in Suite::COMBINED.iter().enumerate() {
        let variant = Variant {
            gre: Some(if index == 1 {
                keyed
            } else {
                Options::default()
            }),
            v6,
            udp,
            suite,
            esn: (index % 2 == 0) != v6,
        };
        carries_everything(&peer, variant, "");
    }
    assert_eq!(errors_since(&peer, &before), []);
}

fn carries_everything(peer: &Peer, variant: Variant, more: &str) {
    let sent = [octets(1), octets(2)];
    let esp = Esp::new(peer, variant);
    esp.kernel("");
    let adit = esp.ready_adit(more);
    // Packets of the whole MTU, which both ends compute alike, leave in one piece.
    let mtu = adit.tunnel("t")["mtu"].as_u64().unwrap();
    pings(peer, u16::try_from(mtu).unwrap());
    transfers(peer, &sent, "10.9.0.1");
    transfers(peer, &sent, "fd00:9::1");
    assert_eq!(losses(&adit), Vec::new(), "{variant:?}");
}
