//! The interface's MTU: the path's minus the overhead, lowered by routers that are to be believed, and what is larger in fragments.

use std::net::IpAddr;

use super::common::{Daemon, Events, Injector, Namespace, Routed, Sites, wait_for};
use super::packet::{self, Ip, KEY, Seen};
use super::traffic::wait_for_ping;
use super::wire::Capture;
use super::{Delivery, PATIENCE, config, mtu_of, tunnel};

const WRONG_KEY: u32 = 43;
const OUR_KEY: u32 = 42;

impl Routed {
    /// The eastern link takes 1400 octets.
    fn narrow() -> Self {
        let routed = Self::new();
        routed.router.ip("link set east mtu 1400");
        routed.b.ip("link set wire mtu 1400");
        routed
    }

    /// A tunnel in `a` or `b` with [`OUR_KEY`].
    fn config(delivery: Delivery, number: u8) -> String {
        let mut ends = Self::ends(delivery, 0);
        if number == 2 {
            ends.reverse();
        }
        tunnel(
            "t",
            ends[0],
            ends[1],
            9,
            number,
            &format!("gre = {{ key = {OUR_KEY} }}"),
        )
    }
}

fn next_mtu(events: &mut Events) -> u64 {
    events.next("t", "mtu", PATIENCE)["mtu"].as_u64().unwrap()
}

fn wait_for_mtu(site: &Namespace, mtu: u16) {
    wait_for(&format!("the interface's MTU is {mtu}"), PATIENCE, || {
        (mtu_of(site, "gre-t") == mtu).then_some(())
    });
}

#[test]
fn the_mtu_is_the_routes_minus_the_overhead_and_follows_the_link() {
    for delivery in Delivery::BOTH {
        let sites = Sites::new();
        let gre = "gre = { key = 1, checksum = true, sequence = true }";
        let near = Daemon::start(&sites.a, &config(delivery, 1, gre));
        near.wait_state("t", "up", PATIENCE);
        let overhead = delivery.octets() + 16;
        wait_for_mtu(&sites.a, 1500 - overhead);
        let mut events = near.events();
        for link in [1450, 1350, 1500] {
            sites.a.ip(&format!("link set wire mtu {link}"));
            assert_eq!(
                next_mtu(&mut events),
                u64::from(link - overhead),
                "{delivery:?}"
            );
            wait_for_mtu(&sites.a, link - overhead);
        }
        let route = match delivery {
            Delivery::V4 => "route change 192.0.2.0/24 dev wire src 192.0.2.1 mtu 1400",
            Delivery::V6 => "-6 route change 2001:db8::/64 dev wire metric 256 mtu 1400",
        };
        sites.a.ip(route);
        assert_eq!(
            next_mtu(&mut events),
            u64::from(1400 - overhead),
            "{delivery:?}"
        );
        let status = near.tunnel("t");
        assert_eq!(
            (&status["mtu"], &status["overhead"]),
            (&(1400 - overhead).into(), &overhead.into())
        );
    }
}

#[test]
fn with_ipv6_inside_the_mtu_stays_at_1280_and_larger_packets_leave_in_fragments() {
    for delivery in Delivery::BOTH {
        let sites = Sites::new();
        for site in [&sites.a, &sites.b] {
            site.ip("link set wire mtu 1280");
        }
        let near = Daemon::start(&sites.a, &config(delivery, 1, ""));
        let far = Daemon::start(&sites.b, &config(delivery, 2, ""));
        for (site, daemon) in [(&sites.a, &near), (&sites.b, &far)] {
            daemon.wait_state("t", "up", PATIENCE);
            wait_for_mtu(site, 1280);
        }
        wait_for_ping(&sites.a, "fd00:9::2");
        assert!(
            sites.a.pings("fd00:9::2", 3, &["-s", "1232"]),
            "{delivery:?}"
        );
        assert!(near.counter("t", "fragments_sent") >= 6);
        assert_eq!(near.drops("t", "too_big"), 0);
    }
}

#[test]
fn a_router_that_quotes_our_packet_lowers_the_mtu() {
    for delivery in Delivery::BOTH {
        let sites = Routed::narrow();
        let near = Daemon::start(&sites.a, &Routed::config(delivery, 1));
        let far = Daemon::start(&sites.b, &Routed::config(delivery, 2));
        near.wait_state("t", "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        let overhead = delivery.octets() + 8;
        wait_for_mtu(&sites.a, 1500 - overhead);
        let mut events = near.events();
        wait_for_ping(&sites.a, "10.9.0.2");
        sites.a.output(
            "ping",
            &[
                "-q", "-c", "1", "-W", "1", "-M", "do", "-s", "1420", "10.9.0.2",
            ],
        );
        assert_eq!(
            next_mtu(&mut events),
            u64::from(1400 - overhead),
            "{delivery:?}"
        );
        wait_for_mtu(&sites.a, 1400 - overhead);
        let largest = (1400 - overhead - 28).to_string();
        assert!(
            sites.a.pings("10.9.0.2", 3, &["-M", "do", "-s", &largest]),
            "{delivery:?}"
        );
        assert_eq!(near.tunnel("t")["path_mtu"], 1400, "{delivery:?}");
    }
}

/// An ICMP or ICMPv6 "too big" from the router, which quotes a packet from `a` to `to` with this GRE key.
fn too_big(delivery: Delivery, to: IpAddr, key: u32, mtu: u32) -> Vec<u8> {
    let [local, _] = Routed::ends(delivery, 0);
    let quoted =
        Ip::new(local, to, packet::GRE).packet(&packet::gre(KEY, packet::IPV4, &[key], &[0; 40]));
    let (router, protocol, kind, code): (IpAddr, _, _, _) = match delivery {
        Delivery::V4 => ("192.0.2.254".parse().unwrap(), 1, 3, 4),
        Delivery::V6 => ("2001:db8:1::fe".parse().unwrap(), 58, 2, 0),
    };
    let mut icmp = [&[kind, code, 0, 0], &mtu.to_be_bytes()[..], &quoted].concat();
    let sum = match (router, local) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let octets = u32::try_from(icmp.len()).unwrap().to_be_bytes();
            packet::checksum(
                &[
                    &from.octets()[..],
                    &to.octets(),
                    &octets,
                    &[0, 0, 0, 58],
                    &icmp,
                ]
                .concat(),
            )
        }
        _ => packet::checksum(&icmp),
    };
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    Ip::new(router, local, protocol).packet(&icmp)
}

#[test]
fn a_forged_too_big_lowers_nothing_and_is_not_remembered_by_the_kernel_either() {
    for delivery in Delivery::BOTH {
        let sites = Routed::narrow();
        let near = Daemon::start(&sites.a, &Routed::config(delivery, 1));
        near.wait_state("t", "up", PATIENCE);
        let overhead = u64::from(delivery.octets() + 8);
        wait_for_mtu(&sites.a, 1500 - delivery.octets() - 8);
        let mut events = near.events();
        let [_, remote] = Routed::ends(delivery, 0);
        let (other, least) = match delivery {
            Delivery::V4 => ("198.51.100.3".parse().unwrap(), 576),
            Delivery::V6 => ("2001:db8:2::3".parse().unwrap(), 1280),
        };
        let from = Injector::new(&sites.router);
        from.send(&too_big(delivery, remote, WRONG_KEY, 1300));
        from.send(&too_big(delivery, other, OUR_KEY, 1310));
        from.send(&too_big(delivery, remote, OUR_KEY, least - 1));
        // What is to be believed comes last: its event would come after theirs.
        from.send(&too_big(delivery, remote, OUR_KEY, 1450));
        assert_eq!(next_mtu(&mut events), 1450 - overhead, "{delivery:?}");
        from.send(&too_big(delivery, remote, WRONG_KEY, 1300));
        sites.a.ip("link set wire mtu 1440");
        assert_eq!(next_mtu(&mut events), 1440 - overhead, "{delivery:?}");
        assert_eq!(near.tunnel("t")["state"], "up");
    }
}

#[test]
fn with_df_clear_large_packets_leave_in_fragments_and_the_peer_reassembles_them() {
    for delivery in Delivery::BOTH {
        let sites = Sites::new();
        let more = "mtu = 4000\ndf = \"clear\"\ngre = { checksum = true, sequence = true }";
        let near = Daemon::start(&sites.a, &config(delivery, 1, more));
        let far = Daemon::start(&sites.b, &config(delivery, 2, more));
        near.wait_state("t", "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        wait_for_ping(&sites.a, "10.9.0.2");
        let capture = Capture::start(&sites.b, delivery);
        assert!(
            sites.a.pings("10.9.0.2", 3, &["-s", "3900"]),
            "{delivery:?}"
        );
        assert!(
            sites.a.pings("fd00:9::2", 3, &["-s", "3900"]),
            "{delivery:?}"
        );
        capture.find("a fragment", |packet| {
            assert!(packet.len() <= 1500);
            Seen::read(packet).filter(|seen| seen.fragment && seen.df != Some(true))
        });
        assert!(near.counter("t", "fragments_sent") >= 6 * 3);
        assert_eq!(near.drops("t", "too_big"), 0);
    }
}

#[test]
fn with_df_set_what_is_larger_than_the_path_is_dropped_and_counted() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, "mtu = 4000"));
    near.wait_state("t", "up", PATIENCE);
    sites.a.output(
        "ping",
        &[
            "-q", "-c", "2", "-i", "0.05", "-W", "0.1", "-s", "3900", "10.9.0.2",
        ],
    );
    wait_for("too_big is counted", PATIENCE, || {
        (near.drops("t", "too_big") == 2).then_some(())
    });
    assert_eq!(near.counter("t", "fragments_sent"), 0);
}
