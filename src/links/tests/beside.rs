//! What is not drawn into a tunnel.

use super::*;

#[test]
fn a_server_is_never_reached_through_its_own_tunnel_and_follows_the_hosts_routes() {
    let mut site = Site::new(withdrawing());
    site.verdict(true);
    let mut everything = assignment([10, 1, 2, 3], &["0.0.0.0/1", "128.0.0.0/1"]);
    everything.peers = vec![[198, 51, 100, 7].into(), [192, 0, 2, 9].into()];
    everything.beside = prefixes(&["203.0.113.0/24"]);
    assert_eq!(site.assign(&everything), [""; 0]);
    assert_eq!(site.way("8.8.8.8"), Some("easy"));
    for outside in ["198.51.100.7", "192.0.2.9", "203.0.113.1", "192.0.2.77"] {
        assert_eq!(site.way(outside), Some("wire"), "{outside}");
    }
    // Dead, and still guarded: the servers can be reached.
    site.verdict(false);
    assert_eq!(site.way("8.8.8.8"), None);
    assert_eq!(site.way("198.51.100.7"), Some("wire"));
    // Another way to one of them, and to all.
    let other = Route {
        gateway: Some([192, 0, 2, 253].into()),
        protocol: 4,
        ..Route::through(prefix("198.51.100.0/24"), site.wire)
    };
    site.netlink.add_route(&other).unwrap();
    assert_eq!(site.assign(&everything), [""; 0]);
    let by = |site: &mut Site, address: &str| {
        let route = site.netlink.route_to(address.parse().unwrap(), None);
        route.unwrap().gateway.map(|gateway| gateway.to_string())
    };
    assert_eq!(
        by(&mut site, "198.51.100.7"),
        Some("192.0.2.253".to_owned())
    );
    assert_eq!(by(&mut site, "203.0.113.1"), Some("192.0.2.254".to_owned()));
    // Nothing of it is left when nothing is assigned.
    site.assign(&Assignment::default());
    assert_eq!(site.routes(), ["10.99.0.0/16 guard"]);
    assert_eq!(site.way("8.8.8.8"), Some("wire"));
}

#[test]
fn the_way_beside_has_a_gateway_that_no_route_leads_to_or_of_ipv6_or_one_of_several() {
    let ways = [
        ("198.51.100.254 dev wire onlink", "198.51.100.254"),
        ("inet6 fe80::1 dev wire", "fe80::1"),
        (
            "192.0.2.253 dev wire nexthop via 192.0.2.252 dev wire",
            "192.0.2.253",
        ),
    ];
    for (way, gateway) in ways {
        let mut site = Site::new(withdrawing());
        site.verdict(true);
        let words = match way.split_once(" nexthop ") {
            Some((first, second)) => {
                format!("-4 route replace default nexthop via {first} nexthop {second}")
            }
            None => format!("-4 route replace default via {way}"),
        };
        let mut ip = std::process::Command::new("ip");
        let netns = site.netns.try_clone().unwrap();
        crate::io::child::confine(&mut ip, netns, true);
        assert!(ip.args(words.split(' ')).status().unwrap().success());
        let mut everything = assignment([10, 1, 2, 3], &["0.0.0.0/1", "128.0.0.0/1"]);
        everything.peers = vec![[203, 0, 113, 7].into()];
        assert_eq!(site.assign(&everything), [""; 0], "{way}");
        assert_eq!(site.way("203.0.113.7"), Some("wire"));
        assert_eq!(site.way("203.0.113.8"), Some("easy"));
        let beside = format!("203.0.113.7/32 {gateway}");
        assert!(site.routes().contains(&beside), "{:?}", site.routes());
        // What is there is left as it is.
        assert_eq!(site.assign(&everything), [""; 0], "{way}");
        site.assign(&Assignment::default());
        assert_eq!(site.way("203.0.113.7"), Some("wire"));
        assert!(!site.routes().contains(&beside), "{:?}", site.routes());
    }
}

#[test]
fn what_holds_a_server_to_which_there_is_no_other_way_is_not_routed() {
    let mut site = Site::new(withdrawing());
    site.verdict(true);
    let default = site.default_route();
    site.netlink.remove_route(&default).unwrap();
    let mut ours = assignment([10, 1, 2, 3], &["10.2.0.0/16", "128.0.0.0/1"]);
    ours.peers = vec![[198, 51, 100, 7].into()];
    let failed = site.assign(&ours);
    assert_eq!(
        failed,
        [
            "no way to the peer 198.51.100.7 beside the tunnel: networks that hold it are not routed into the tunnel"
        ]
    );
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
    assert_eq!(site.way("198.51.100.7"), None);
    assert_eq!(site.assign(&ours), [""; 0], "it is told once");
    // With a way there is the route, and until that is made nothing leaves by the way.
    site.netlink.add_route(&default).unwrap();
    assert_eq!(site.way("198.51.100.8"), None);
    assert_eq!(site.assign(&ours), [""; 0]);
    assert_eq!(site.way("198.51.100.7"), Some("wire"));
    assert_eq!(site.way("198.51.100.8"), Some("easy"));
}

#[test]
fn a_network_that_the_host_is_in_or_has_any_way_to_stays_the_hosts_own() {
    let mut site = Site::new(withdrawing());
    // As slow as hosts take their wireless networks to be, and more.
    let slow = Route {
        metric: Some(20_600),
        protocol: 4,
        ..Route::through(prefix("10.5.0.0/16"), site.wire)
    };
    site.netlink.add_route(&slow).unwrap();
    site.verdict(true);
    let ours = assignment([10, 1, 2, 3], &["192.0.2.0/24", "10.5.0.0/16"]);
    assert_eq!(site.assign(&ours), [""; 0]);
    for address in ["192.0.2.77", "10.5.0.1"] {
        assert_eq!(site.way(address), Some("wire"), "{address}");
    }
    site.assign(&Assignment::default());
    assert_eq!(site.way("192.0.2.77"), Some("wire"));
}

#[test]
fn a_network_that_is_named_and_is_a_server_or_excluded_is_not_drawn_in() {
    let mut site = Site::new(withdrawing());
    site.verdict(true);
    let networks = ["198.51.100.7/32", "10.2.0.0/16", "10.3.0.0/16"];
    let mut ours = assignment([10, 1, 2, 3], &networks);
    ours.peers = vec![[198, 51, 100, 7].into()];
    ours.beside = prefixes(&["10.3.0.0/16"]);
    assert_eq!(site.assign(&ours), [""; 0]);
    assert_eq!(site.way("198.51.100.7"), Some("wire"));
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
    assert_eq!(site.way("10.3.0.1"), Some("wire"));
}
