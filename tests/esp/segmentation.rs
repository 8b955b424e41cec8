//! Whether trains of outer packets leave in one piece: as configured, as the device can, and what becomes of one that is refused.

use std::net::IpAddr;

use adit::io::ethtool;
use adit_crypto::Suite;

use super::common::{Namespace, within};
use super::packet::{self, Seen};
use super::site::{Keys, Pair, Tunnel};
use super::traffic::{streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

const STREAM_OCTETS: usize = 2_000_000;

fn set_feature(site: &Namespace, feature: &'static str, on: bool) {
    within(site, || ethtool::set_feature("wire", feature, on)).unwrap();
}

/// How many outer packets larger than the link came from the near end: trains that nobody has cut yet.
fn trains(capture: &Capture, delivery: Delivery) -> usize {
    let near = delivery.address(1);
    let packets = capture.drain();
    let seen = packets.iter().filter_map(|packet| Seen::read(packet));
    seen.filter(|seen| {
        seen.protocol == packet::UDP && seen.source == near && seen.payload.len() > 1500
    })
    .count()
}

#[test]
fn trains_leave_in_one_piece_where_it_is_asked_for_and_the_device_cuts_them() {
    for delivery in Delivery::BOTH {
        for (mode, has_keys) in [("esp", true), ("gre", false)] {
            for (asked, device, whole) in [
                ("auto", true, true),
                ("on", true, true),
                ("off", true, false),
                ("auto", false, false),
                ("on", false, false),
            ] {
                let what = format!("{mode}, {asked}, device {device}, {delivery:?}");
                let keys = Keys::new(Suite::Aes128Gcm16, 0);
                let more = format!("offload = {{ udp-segmentation = \"{asked}\" }}");
                let tunnel = Tunnel {
                    keys: has_keys.then_some(&keys),
                    ..Tunnel::new(delivery, mode, "true", &keys)
                }
                .with(&more);
                let pair = Pair::on(tunnel, tunnel, |sites| {
                    set_feature(&sites.a, "tx-udp-segmentation", device);
                    set_feature(&sites.b, "tx-udp-segmentation", device);
                });
                wait_for_ping(&pair.sites.a, "10.9.0.2");
                let capture = Capture::start(&pair.sites.b, delivery);
                let inner = IpAddr::from([10, 9, 0, 2]);
                streams_arrive_intact(&pair.sites.a, &pair.sites.b, inner, STREAM_OCTETS);
                assert_eq!(trains(&capture, delivery) > 0, whole, "{what}");
                for daemon in [&pair.near, &pair.far] {
                    let drops = daemon.tunnel("t")["drops"].clone();
                    let refused =
                        ["too_big", "send_refused"].map(|reason| drops.get(reason).is_none());
                    assert_eq!(refused, [true, true], "{what}: {drops}");
                }
            }
        }
    }
}

#[test]
fn a_device_that_stops_cutting_trains_in_the_middle_of_a_stream_loses_no_octet() {
    for delivery in Delivery::BOTH {
        let keys = Keys::new(Suite::Aes128Gcm16, 0);
        let pair = Pair::start(Tunnel::new(delivery, "esp", "true", &keys));
        wait_for_ping(&pair.sites.a, "10.9.0.2");
        let (a, b) = (&pair.sites.a, &pair.sites.b);
        let inner = IpAddr::from([10, 9, 0, 2]);
        std::thread::scope(|scope| {
            let stream = scope.spawn(|| streams_arrive_intact(a, b, inner, 4 * STREAM_OCTETS));
            for feature in ["tx-udp-segmentation", "tx-checksum-ip-generic"] {
                for on in [false, true] {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    set_feature(a, feature, on);
                    set_feature(b, feature, on);
                }
            }
            stream.join().unwrap();
        });
        pair.near.wait_state("t", "up", PATIENCE);
    }
}
