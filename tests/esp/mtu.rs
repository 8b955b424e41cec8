//! What fits: the interface's MTU follows the path, on the word of routers that quote a packet of ours, and what is larger than the
//! path leaves in outer fragments where it must.

use std::net::IpAddr;

use adit_crypto::Suite;

use super::common::{Daemon, Events, Injector, Namespace, Routed, wait_for};
use super::packet::{self, Ip, Seen};
use super::site::{Keys, Pair, Tunnel, udp_datagram};
use super::traffic::{datagrams_arrive_intact, streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

/// Mode, `udp`, and the inner MTU over a path of 1500 and of 1400 octets, over IPv4 and over IPv6.
const MODES: [(&str, &str, [u16; 2], [u16; 2]); 5] = [
    ("esp", "true", [1438, 1338], [1418, 1318]),
    ("esp", "false", [1446, 1346], [1426, 1326]),
    ("gre-esp", "true", [1434, 1334], [1414, 1314]),
    ("gre-esp", "false", [1442, 1342], [1422, 1322]),
    ("gre", "true", [1468, 1368], [1448, 1348]),
];

fn inner_mtus(delivery: Delivery, (_, _, v4, v6): (&str, &str, [u16; 2], [u16; 2])) -> [u16; 2] {
    match delivery {
        Delivery::V4 => v4,
        Delivery::V6 => v6,
    }
}

fn mtu_of(site: &Namespace) -> u16 {
    let shown = site.ip("-o link show t");
    let mut words = shown.split_whitespace().skip_while(|&word| word != "mtu");
    words.nth(1).unwrap().parse().unwrap()
}

fn wait_for_mtu(site: &Namespace, mtu: u16) {
    wait_for(&format!("the interface's MTU is {mtu}"), PATIENCE, || {
        (mtu_of(site) == mtu).then_some(())
    });
}

fn next_mtu(events: &mut Events) -> u64 {
    events.next("t", "mtu", PATIENCE)["mtu"].as_u64().unwrap()
}

/// A tunnel over the router, sealed if the mode is.
fn tunnel<'a>(delivery: Delivery, mode: &'a str, udp: &'a str, keys: &'a Keys) -> Tunnel<'a> {
    Tunnel {
        ends: Routed::ends(delivery, 0),
        keys: (mode != "gre").then_some(keys),
        ..Tunnel::new(delivery, mode, udp, keys)
    }
}

#[test]
fn the_mtu_is_what_the_path_leaves_and_a_router_that_quotes_our_packet_lowers_it() {
    for delivery in Delivery::BOTH {
        for case in MODES {
            let (mode, udp, ..) = case;
            let [large, small] = inner_mtus(delivery, case);
            let what = format!("{mode}, udp {udp}, {delivery:?}");
            let routed = Routed::new();
            routed.router.ip("link set east mtu 1400");
            routed.b.ip("link set wire mtu 1400");
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let tunnel = tunnel(delivery, mode, udp, &keys);
            let near = Daemon::start(&routed.a, &tunnel.config(1));
            let far = Daemon::start(&routed.b, &tunnel.config(2));
            near.wait_state("t", "up", PATIENCE);
            far.wait_state("t", "up", PATIENCE);
            wait_for_mtu(&routed.a, large);
            let mut events = near.events();
            wait_for_ping(&routed.a, "10.9.0.2");
            let size = (large - 28).to_string();
            routed.a.output(
                "ping",
                &[
                    "-q", "-c", "1", "-W", "0.2", "-M", "do", "-s", &size, "10.9.0.2",
                ],
            );
            assert_eq!(next_mtu(&mut events), u64::from(small), "{what}");
            wait_for_mtu(&routed.a, small);
            let largest = (small - 28).to_string();
            assert!(
                routed.a.pings("10.9.0.2", 3, &["-M", "do", "-s", &largest]),
                "{what}"
            );
            assert_eq!(near.tunnel("t")["path_mtu"], 1400, "{what}");
            streams_arrive_intact(&routed.a, &routed.b, IpAddr::from([10, 9, 0, 2]), 300_000);
        }
    }
}

/// An ICMP or ICMPv6 "too big" from the router, which quotes a packet of ours from `local` to `to` that starts with `payload`.
fn too_big(delivery: Delivery, to: IpAddr, udp: bool, payload: &[u8], mtu: u32) -> Vec<u8> {
    let [local, _] = Routed::ends(delivery, 0);
    let quoted = if udp {
        udp_datagram((local, 4500), (to, 4500), payload)
    } else {
        Ip::new(local, to, 50).packet(payload)
    };
    let (router, protocol, kind, code): (IpAddr, _, _, _) = match delivery {
        Delivery::V4 => (Routed::address(delivery, 1, 253), 1, 3, 4),
        Delivery::V6 => ("2001:db8:1::fe".parse().unwrap(), 58, 2, 0),
    };
    let mut icmp = [&[kind, code, 0, 0], &mtu.to_be_bytes()[..], &quoted].concat();
    let sum = match (router, local) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let octets = u32::try_from(icmp.len()).unwrap().to_be_bytes();
            let pseudo = [
                &from.octets()[..],
                &to.octets(),
                &octets,
                &[0, 0, 0, 58],
                &icmp,
            ];
            packet::checksum(&pseudo.concat())
        }
        _ => packet::checksum(&icmp),
    };
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    Ip::new(router, local, protocol).packet(&icmp)
}

#[test]
fn a_too_big_that_quotes_another_spi_or_another_peer_or_too_little_lowers_nothing() {
    for delivery in Delivery::BOTH {
        for (udp, text, mtu) in [(true, "true", 1450), (false, "false", 1440)] {
            let routed = Routed::new();
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let tunnel = tunnel(delivery, "esp", text, &keys);
            let near = Daemon::start(&routed.a, &tunnel.config(1));
            near.wait_state("t", "up", PATIENCE);
            let mut events = near.events();
            let least = if delivery == Delivery::V4 { 576 } else { 1280 };
            let remote = tunnel.ends[1];
            let other = Routed::address(delivery, 2, 1);
            let ours = [&tunnel.spi(1).to_be_bytes()[..], &[0; 36]].concat();
            let theirs = [&tunnel.spi(2).to_be_bytes()[..], &[0; 36]].concat();
            let from = Injector::new(&routed.router);
            let send =
                |to, payload: &[u8], mtu| from.send(&too_big(delivery, to, udp, payload, mtu));
            send(remote, &theirs, 1300);
            send(remote, &[0xff; 40], 1310);
            send(other, &ours, 1320);
            send(remote, &ours, least - 1);
            send(remote, &ours[..3], 1330);
            // What is to be believed comes last: its event would come after theirs.
            send(remote, &ours, mtu);
            let overhead = u64::from(delivery.octets()) + if udp { 42 } else { 34 };
            let expected = ((u64::from(mtu) - overhead + 2) & !3) - 2;
            assert_eq!(next_mtu(&mut events), expected, "udp {udp}, {delivery:?}");
            assert_eq!(near.tunnel("t")["path_mtu"], mtu);
            assert_eq!(near.tunnel("t")["state"], "up");
        }
    }
}

#[test]
fn ipv6_inside_a_path_that_is_too_small_for_it_leaves_in_outer_fragments_and_arrives() {
    for delivery in Delivery::BOTH {
        for (mode, udp, ..) in MODES {
            let what = format!("{mode}, udp {udp}, {delivery:?}");
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let tunnel = Tunnel {
                keys: (mode != "gre").then_some(&keys),
                ..Tunnel::new(delivery, mode, udp, &keys)
            };
            let pair = Pair::on(tunnel, tunnel, |sites| {
                for site in [&sites.a, &sites.b] {
                    site.ip("link set wire mtu 1280");
                }
            });
            wait_for_mtu(&pair.sites.a, 1280);
            wait_for_mtu(&pair.sites.b, 1280);
            wait_for_ping(&pair.sites.a, "fd00:9::2");
            let capture = Capture::start(&pair.sites.b, delivery);
            assert!(
                pair.sites.a.pings("fd00:9::2", 3, &["-s", "1232"]),
                "{what}"
            );
            capture.find("a fragment", |packet| {
                assert!(packet.len() <= 1280, "{what}");
                Seen::read(packet).filter(|seen| seen.fragment)
            });
            let inner = "fd00:9::2".parse().unwrap();
            datagrams_arrive_intact(
                &pair.sites.a,
                &pair.sites.b,
                inner,
                [1000, 1180, 1232, 3000].into_iter(),
            );
            streams_arrive_intact(&pair.sites.a, &pair.sites.b, inner, 300_000);
            assert!(pair.near.counter("t", "fragments_sent") >= 6, "{what}");
            assert_eq!(pair.near.drops("t", "too_big"), 0, "{what}");
        }
    }
}

#[test]
fn a_link_that_shrinks_under_a_stream_and_grows_again_loses_no_octet() {
    for delivery in Delivery::BOTH {
        let keys = Keys::new(Suite::Aes128Gcm16, 0);
        let pair = Pair::start(Tunnel::new(delivery, "esp", "true", &keys));
        wait_for_ping(&pair.sites.a, "10.9.0.2");
        let (a, b) = (&pair.sites.a, &pair.sites.b);
        std::thread::scope(|scope| {
            let stream =
                scope.spawn(|| streams_arrive_intact(a, b, IpAddr::from([10, 9, 0, 2]), 8_000_000));
            for mtu in [1400, 1300, 1500, 1400, 1500] {
                std::thread::sleep(std::time::Duration::from_millis(100));
                for site in [a, b] {
                    site.ip(&format!("link set wire mtu {mtu}"));
                }
            }
            stream.join().unwrap();
        });
        assert_eq!(pair.near.tunnel("t")["state"], "up");
        wait_for_mtu(a, inner_mtus(delivery, MODES[0])[0]);
    }
}
