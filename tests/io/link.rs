//! Links, addresses, routes, and the notifications about them.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use adit::io::address::Prefix;
use adit::io::link::ignore_routes_with_linkdown;
use adit::io::monitor::{Change, Groups, Monitor};
use adit::io::raw::Family;
use adit::io::route::{ROUTE_PROTOCOL, Route, RouteFilter, RouteKind};
use adit::io::tun::{OffloadSwitches, TunDevice};
use rustix::io::Errno;

use crate::site::{Site, ip, join, pair, prefix, wait_for};

/// The routes that adit installed.
const OURS: RouteFilter = RouteFilter {
    family: None,
    interface: None,
    protocol: Some(ROUTE_PROTOCOL),
};

fn tun(site: &Site, name: &str) -> TunDevice {
    site.run(|| TunDevice::create(name, OffloadSwitches::default()))
        .unwrap()
}

fn monitor(site: &Site, groups: Groups) -> Monitor {
    site.run(|| Monitor::open(groups)).unwrap()
}

/// Waits for the first notification that `wanted` accepts.
fn expect(monitor: &mut Monitor, wanted: impl Fn(&Change) -> bool) -> Change {
    let fd = monitor.fd().try_clone_to_owned().unwrap();
    wait_for(fd.as_fd(), || {
        while let Some(change) = monitor.next_change().unwrap() {
            if wanted(&change) {
                return Some(change);
            }
        }
        None
    })
}

#[test]
fn a_carrier_change_reaches_a_listener_at_once_however_fast_they_follow() {
    let mut site = Site::new();
    let device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &["10.0.0.1/24"]);
    let mut monitor = monitor(
        &site,
        Groups {
            links: true,
            ..Groups::default()
        },
    );
    for round in 0..6 {
        let carrier = round % 2 == 0;
        let start = Instant::now();
        device.set_carrier(carrier).unwrap();
        assert_eq!(
            site.netlink
                .refresh_carrier(index)
                .unwrap()
                .unwrap()
                .running,
            carrier
        );
        expect(
            &mut monitor,
            |change| matches!(change, Change::Link { name, carrier: now, up: true, deleted: false, .. } if name == "tun-a" && *now == carrier),
        );
        assert!(
            start.elapsed() < Duration::from_millis(100),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn links_addresses_and_routes_are_told_as_they_come_and_go() {
    let mut site = Site::new();
    let mut monitor = monitor(&site, Groups::ALL);
    assert_eq!(monitor.next_change().unwrap(), None);
    let device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &[]);
    expect(
        &mut monitor,
        |change| matches!(change, Change::Link { index: i, up: true, deleted: false, .. } if *i == index),
    );
    for (address, destination) in [("10.0.0.1/24", "10.1.0.0/16"), ("fd00::1/64", "fd01::/64")] {
        let address = prefix(address);
        let route = Route::through(prefix(destination), index);
        site.netlink.add_address(index, address).unwrap();
        expect(&mut monitor, |change| {
            *change
                == Change::Address {
                    added: true,
                    interface: index,
                    address,
                }
        });
        site.netlink.add_route(&route).unwrap();
        expect(
            &mut monitor,
            |change| matches!(change, Change::Route { added: true, route: r } if r.destination == route.destination && r.protocol == ROUTE_PROTOCOL),
        );
        site.netlink.remove_route(&route).unwrap();
        expect(
            &mut monitor,
            |change| matches!(change, Change::Route { added: false, route: r } if r.destination == route.destination),
        );
        site.netlink.remove_address(index, address).unwrap();
        expect(&mut monitor, |change| {
            *change
                == Change::Address {
                    added: false,
                    interface: index,
                    address,
                }
        });
    }
    site.netlink.set_mtu(index, 1400).unwrap();
    expect(&mut monitor, |change| {
        matches!(change, Change::Link { mtu: 1400, .. })
    });
    drop(device);
    expect(
        &mut monitor,
        |change| matches!(change, Change::Link { index: i, deleted: true, .. } if *i == index),
    );
}

#[test]
fn lost_notifications_are_reported_as_an_overrun() {
    let mut site = Site::new();
    let _device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &[]);
    let mut monitor = monitor(&site, Groups::ALL);
    for third in 0..40u8 {
        for fourth in 0..100 {
            let address = Prefix::host([10, 0, third, fourth].into());
            site.netlink.add_address(index, address).unwrap();
            site.netlink.remove_address(index, address).unwrap();
        }
    }
    expect(&mut monitor, |change| *change == Change::Overrun);
    while monitor.next_change().unwrap().is_some() {}
    site.netlink.set_mtu(index, 1400).unwrap();
    expect(&mut monitor, |change| {
        matches!(change, Change::Link { mtu: 1400, .. })
    });
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let mut site = Site::new();
    let taken = site.netlink.create_veth("lo", "d", None).unwrap_err();
    assert_eq!(taken.errno(), Errno::EXIST);
}

#[test]
fn addresses_are_added_replaced_listed_and_removed() {
    let mut site = Site::new();
    let _device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &[]);
    for text in ["10.9.0.1/30", "fd00:9::1/64"] {
        let address = prefix(text);
        site.netlink.add_address(index, address).unwrap();
        assert_eq!(
            site.netlink
                .add_address(index, address)
                .unwrap_err()
                .errno(),
            Errno::EXIST
        );
        site.netlink.replace_address(index, address).unwrap();
        assert!(site.netlink.addresses(index).unwrap().contains(&address));
        // Usable at once: no duplicate address detection stands in the way.
        site.run(|| std::net::UdpSocket::bind((address.address, 0)))
            .unwrap();
        site.netlink.remove_address(index, address).unwrap();
        let gone = site.netlink.remove_address(index, address).unwrap_err();
        assert_eq!(gone.errno(), Errno::ADDRNOTAVAIL);
        assert!(!site.netlink.addresses(index).unwrap().contains(&address));
    }
}

#[test]
fn routes_are_added_replaced_and_removed() {
    let mut site = Site::new();
    let _device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &["10.9.0.1/30", "fd00:9::1/64"]);
    for (destination, source) in [("10.20.0.0/16", "10.9.0.1"), ("fd00:20::/48", "fd00:9::1")] {
        let mut route = Route::through(prefix(destination), index);
        route.metric = Some(50);
        route.source = Some(ip(source));
        route.mtu = Some(1400);
        site.netlink.add_route(&route).unwrap();
        let twice = site.netlink.add_route(&route).unwrap_err();
        assert_eq!(twice.errno(), Errno::EXIST);
        assert_eq!(site.netlink.routes(OURS).unwrap(), [route.clone()]);
        route.mtu = Some(1300);
        site.netlink.replace_route(&route).unwrap();
        assert_eq!(site.netlink.routes(OURS).unwrap(), [route.clone()]);
        site.netlink.remove_route(&route).unwrap();
        let gone = site.netlink.remove_route(&route).unwrap_err();
        assert_eq!(gone.errno(), Errno::SRCH);
        assert_eq!(site.netlink.remove_route_if_there(&route), Ok(()));
        assert_eq!(site.netlink.routes(OURS).unwrap(), []);
    }
}

#[test]
fn routes_are_listed_by_family_interface_and_protocol() {
    let mut site = Site::new();
    let (_a, _b) = (tun(&site, "tun-a"), tun(&site, "tun-b"));
    let a = site.configure("tun-a", &["10.9.0.1/30", "fd00:9::1/64"]);
    let b = site.configure("tun-b", &[]);
    let routes = [
        ("10.20.0.0/16", a),
        ("10.30.0.0/16", b),
        ("fd00:20::/48", a),
    ];
    for (destination, interface) in routes {
        let mut route = Route::through(prefix(destination), interface);
        route.metric = Some(7);
        site.netlink.add_route(&route).unwrap();
    }
    let (v4, v6) = (Some(Family::V4), Some(Family::V6));
    let cases = [
        (
            None,
            None,
            vec!["10.20.0.0/16", "10.30.0.0/16", "fd00:20::/48"],
        ),
        (v4, None, vec!["10.20.0.0/16", "10.30.0.0/16"]),
        (v6, None, vec!["fd00:20::/48"]),
        (None, Some(a), vec!["10.20.0.0/16", "fd00:20::/48"]),
        (v6, Some(b), vec![]),
        (v4, Some(4711), vec![]),
    ];
    for (family, interface, expected) in cases {
        let filter = RouteFilter {
            family,
            interface,
            ..OURS
        };
        let found = site.netlink.routes(filter).unwrap();
        let found: Vec<String> = found
            .iter()
            .map(|route| route.destination.to_string())
            .collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let of_kernel = RouteFilter {
        protocol: Some(2),
        family: v4,
        ..RouteFilter::default()
    };
    let found = site.netlink.routes(of_kernel).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].destination, found[0].protocol),
        (prefix("10.9.0.0/30"), 2)
    );
}

#[test]
fn an_unreachable_route_of_worst_metric_guards_what_the_tunnel_leaves() {
    let mut site = Site::new();
    let device = tun(&site, "tun-a");
    let index = site.configure("tun-a", &["10.9.0.1/30", "fd00:9::1/64"]);
    device.set_carrier(true).unwrap();
    for (destination, inside) in [
        ("10.20.0.0/16", "10.20.0.9"),
        ("fd00:20::/48", "fd00:20::9"),
    ] {
        let route = Route {
            metric: Some(10),
            ..Route::through(prefix(destination), index)
        };
        let guard = Route {
            kind: RouteKind::Unreachable,
            interface: None,
            metric: Some(u32::MAX),
            ..route.clone()
        };
        site.netlink.add_route(&guard).unwrap();
        site.netlink.add_route(&route).unwrap();
        assert_eq!(
            site.netlink.route_to(ip(inside), None).unwrap().interface,
            index
        );
        site.netlink.remove_route(&route).unwrap();
        let error = site.netlink.route_to(ip(inside), None).unwrap_err();
        assert!(
            [Errno::HOSTUNREACH, Errno::NETUNREACH].contains(&error.errno()),
            "{error}"
        );
        site.netlink.remove_route(&guard).unwrap();
    }
}

#[test]
fn the_way_to_an_address_tells_interface_source_gateway_and_smallest_mtu() {
    let (mut one, _two) = pair();
    let wire = one.index("wire");
    one.netlink
        .add_address(wire, prefix("192.0.2.11/24"))
        .unwrap();
    let cases = [
        (
            "192.0.2.2",
            "192.0.2.1",
            "198.51.100.0/24",
            "198.51.100.9",
            "192.0.2.2",
        ),
        ("fd00::2", "fd00::1", "fd07::/64", "fd07::9", "fd00::2"),
    ];
    for (on_link, source, network, beyond, gateway) in cases {
        let way = one.netlink.route_to(ip(on_link), None).unwrap();
        assert_eq!(
            (way.interface, way.source, way.gateway),
            (wire, ip(source), None)
        );
        assert_eq!((way.mtu, way.local), (1500, false));
        assert!(one.netlink.route_to(ip(source), None).unwrap().local);
        assert_eq!(
            one.netlink.route_to(ip(beyond), None).unwrap_err().errno(),
            Errno::NETUNREACH
        );
        let mut route = Route::through(prefix(network), wire);
        route.gateway = Some(ip(gateway));
        route.mtu = Some(1380);
        one.netlink.add_route(&route).unwrap();
        let way = one.netlink.route_to(ip(beyond), Some(ip(source))).unwrap();
        assert_eq!(
            (way.source, way.gateway, way.mtu),
            (ip(source), Some(ip(gateway)), 1380)
        );
    }
    let way = one
        .netlink
        .route_to(ip("192.0.2.2"), Some(ip("192.0.2.11")))
        .unwrap();
    assert_eq!(way.source, ip("192.0.2.11"));
    let foreign = one
        .netlink
        .route_to(ip("192.0.2.2"), Some(ip("203.0.113.1")));
    assert!(foreign.is_err());
    one.netlink.set_mtu(wire, 1300).unwrap();
    assert_eq!(
        one.netlink.route_to(ip("198.51.100.9"), None).unwrap().mtu,
        1300
    );
}

#[test]
fn a_refusal_says_what_was_asked_and_what_the_kernel_said() {
    let mut site = Site::new();
    let lo = site.index("lo");
    let mut route = Route::through(prefix("10.0.0.0/8"), lo);
    route.gateway = Some(ip("192.0.2.99"));
    let error = site.netlink.add_route(&route).unwrap_err();
    assert_eq!(error.errno(), Errno::NETUNREACH);
    let text = error.to_string();
    assert!(text.starts_with("add route 10.0.0.0/8: "), "{text}");
    assert!(text.contains("Nexthop has invalid gateway"), "{text}");
    let error = site
        .netlink
        .add_route(&Route::through(prefix("10.0.0.1/8"), lo))
        .unwrap_err();
    assert_eq!(error.errno(), Errno::INVAL);
}

#[test]
fn an_ignored_linkdown_route_is_left_for_the_next_best() {
    let (mut one, two) = pair();
    join(&mut one, "spare", &two, "spare");
    one.configure("spare", &["192.0.3.1/24", "fd03::1/64"]);
    let device = tun(&one, "tun-a");
    let index = one.configure("tun-a", &["10.9.0.1/30", "fd00:9::1/64"]);
    device.set_carrier(true).unwrap();
    one.netlink.refresh_carrier(index).unwrap();
    let wire = one.index("wire");
    let cases = [
        (Family::V4, "10.20.0.0/16", "10.20.0.9", "192.0.2.2"),
        (Family::V6, "fd00:20::/48", "fd00:20::9", "fd00::2"),
    ];
    for (family, destination, inside, gateway) in cases {
        let best = Route {
            metric: Some(10),
            ..Route::through(prefix(destination), index)
        };
        let next = Route {
            metric: Some(20),
            gateway: Some(ip(gateway)),
            ..Route::through(prefix(destination), wire)
        };
        one.netlink.add_route(&best).unwrap();
        one.netlink.add_route(&next).unwrap();
        one.run(|| ignore_routes_with_linkdown(family, "tun-a"))
            .unwrap();
        assert_eq!(
            one.netlink.route_to(ip(inside), None).unwrap().interface,
            index
        );
        device.set_carrier(false).unwrap();
        one.netlink.refresh_carrier(index).unwrap();
        assert_eq!(
            one.netlink.route_to(ip(inside), None).unwrap().interface,
            wire
        );
        device.set_carrier(true).unwrap();
        one.netlink.refresh_carrier(index).unwrap();
    }
    let missing = one
        .run(|| ignore_routes_with_linkdown(Family::V4, "missing"))
        .unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_namespace_without_gre_of_the_kernel_says_so() {
    let mut site = Site::new();
    let _device = tun(&site, "tun-a");
    assert_eq!(site.netlink.kernel_gre().unwrap(), None);
}
