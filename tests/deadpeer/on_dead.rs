//! Every value of `on-dead`, over IPv4 and IPv6: the interface while the peer is dead, and all of it back afterwards.

use crate::common::{Daemon, Namespace};
use crate::interface::{self, Interface};
use crate::site::{PATIENCE, Pair, Tunnel, both};

/// `on-dead`, none for the default, and what it leaves of the interface.
const TABLE: [(Option<&str>, Interface); 8] = [
    (None, Interface::DEAD),
    (
        Some("carrier"),
        Interface {
            carrier: false,
            ..Interface::WHOLE
        },
    ),
    (
        Some("withdraw-routes"),
        Interface {
            v4_route: false,
            v6_route: false,
            ..Interface::WHOLE
        },
    ),
    (Some("admin-down"), ADMIN_DOWN),
    (Some("delete"), Interface::GONE),
    (Some("hook"), Interface::WHOLE),
    (
        Some("carrier\", \"withdraw-routes\", \"admin-down\", \"hook"),
        ADMIN_DOWN,
    ),
    (
        Some("carrier\", \"withdraw-routes\", \"delete"),
        Interface::GONE,
    ),
];

/// The kernel takes the IPv6 addresses and all routes of an interface that is set down.
const ADMIN_DOWN: Interface = Interface {
    up: false,
    v6_address: false,
    ..Interface::DEAD
};

fn rows() -> Vec<(Tunnel, Interface)> {
    let over = |outer_v6| {
        (if outer_v6 { 101 } else { 1 }..)
            .zip(TABLE)
            .map(move |(number, (on_dead, dead))| {
                let mut tunnel = Tunnel::new(number).over_v6(outer_v6);
                if let Some(values) = on_dead {
                    tunnel = tunnel.with(&format!("on-dead = [\"{values}\"]"));
                    if values.contains("hook") {
                        tunnel = tunnel.with("hook = [\"/bin/true\"]");
                    }
                }
                (tunnel, dead)
            })
    };
    over(false).chain(over(true)).collect()
}

fn await_all(site: &Namespace, rows: &[(Tunnel, Interface)], when: &str) {
    for (tunnel, dead) in rows {
        dead.await_at(site, tunnel, when);
    }
}

fn await_whole(site: &Namespace, daemon: &Daemon, rows: &[(Tunnel, Interface)], when: &str) {
    for (tunnel, _) in rows {
        daemon.wait_state(&tunnel.name(), "up", PATIENCE);
        Interface::WHOLE.await_at(site, tunnel, when);
    }
}

fn assert_no_complaint(daemon: &Daemon, rows: &[(Tunnel, Interface)], when: &str) {
    for (tunnel, _) in rows {
        let error = &daemon.tunnel(&tunnel.name())["last_error"];
        assert!(error.is_null(), "{} {when}: {error}", tunnel.name());
    }
}

/// What an operator, or another program, may do to interfaces in the meantime.
fn spoil(site: &Namespace, rows: &[(Tunnel, Interface)]) {
    for (tunnel, dead) in rows.iter().filter(|(_, dead)| dead.exists) {
        let name = tunnel.interface();
        site.ip(&format!("link set {name} mtu 1300"));
        site.ip(&format!("addr flush dev {name}"));
        if dead.v4_route {
            site.output("ip", &["route", "del", &tunnel.route_v4()]);
        }
    }
}

#[test]
fn each_on_dead_value_leaves_its_part_of_the_interface_and_recovery_brings_all_of_it_back() {
    let sites = Pair::new();
    let rows = rows();
    let tunnels: Vec<_> = rows.iter().map(|(tunnel, _)| tunnel.clone()).collect();
    let (near, far) = both(&tunnels);
    let near = Daemon::start(&sites.a, &near);
    await_all(&sites.a, &rows, "before the first answer");
    for (tunnel, _) in &rows {
        near.wait_state(&tunnel.name(), "down", PATIENCE);
    }
    await_all(&sites.a, &rows, "after a first detection time");
    assert_no_complaint(&near, &rows, "after a first detection time");

    let mut first_far = Daemon::start(&sites.b, &far);
    await_whole(&sites.a, &near, &rows, "up");
    let mtu_of = |tunnel: &Tunnel| interface::mtu(&sites.a, &tunnel.interface());
    let mtus: Vec<_> = tunnels.iter().map(mtu_of).collect();
    assert!(
        mtus.iter()
            .all(|&mtu| mtu.is_some_and(|mtu| (1280..1480).contains(&mtu))),
        "{mtus:?}"
    );

    first_far.kill();
    for (tunnel, _) in &rows {
        near.wait_state(&tunnel.name(), "down", PATIENCE);
    }
    await_all(&sites.a, &rows, "dead");
    assert_no_complaint(&near, &rows, "dead");
    spoil(&sites.a, &rows);

    let _second_far = Daemon::start(&sites.b, &far);
    await_whole(&sites.a, &near, &rows, "recovered");
    assert_no_complaint(&near, &rows, "recovered");
    assert_eq!(tunnels.iter().map(mtu_of).collect::<Vec<_>>(), mtus);
    for tunnel in &tunnels {
        assert!(sites.a.pings(&tunnel.far_v4(), 1, &[]), "{}", tunnel.name());
        assert!(sites.a.pings(&tunnel.far_v6(), 1, &[]), "{}", tunnel.name());
    }
}

#[test]
fn carrier_without_withdraw_routes_makes_the_kernel_pass_over_routes_without_carrier() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).with("on-dead = [\"carrier\"]");
    let default = Tunnel::new(2);
    let (near, far) = both(&[tunnel.clone(), default.clone()]);
    let near = Daemon::start(&sites.a, &near);
    let mut far = Daemon::start(&sites.b, &far);
    near.wait_state("t1", "up", PATIENCE);
    near.wait_state("t2", "up", PATIENCE);
    let ignores = |tunnel: &Tunnel, family: &str| {
        let key = format!(
            "net.{family}.conf.{}.ignore_routes_with_linkdown",
            tunnel.interface()
        );
        sites.a.run("sysctl", &["-n", &key]).trim().to_owned()
    };
    for family in ["ipv4", "ipv6"] {
        assert_eq!(ignores(&tunnel, family), "1", "{family}");
        assert_eq!(ignores(&default, family), "0", "{family}");
    }
    let inside = ["10.20.1.7", "fd00:20:1::7"];
    let reaches = |to: &str| sites.a.output("ip", &["route", "get", to]).status.success();
    assert!(inside.iter().all(|to| reaches(to)));
    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    Interface {
        carrier: false,
        ..Interface::WHOLE
    }
    .await_at(&sites.a, &tunnel, "dead");
    assert!(!inside.iter().any(|to| reaches(to)));
}

#[test]
fn a_dead_tunnel_forwards_nothing_even_where_its_interface_stays_whole() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).with("on-dead = [\"hook\"]\nhook = [\"/bin/true\"]");
    let (near, far) = sites.start(&tunnel);
    sites.black_hole(false);
    near.wait_state("t1", "down", PATIENCE);
    let sent = near.counter("t1", "outbound_packets");
    let dropped = near.drops("t1", "tunnel_down");
    for _ in 0..3 {
        assert!(!sites.a.pings(&tunnel.far_v4(), 1, &["-W", "0.2"]));
    }
    assert_eq!(near.counter("t1", "outbound_packets"), sent);
    assert!(near.drops("t1", "tunnel_down") >= dropped + 3);
    sites.mend();
    for end in [&near, &far] {
        end.wait_state("t1", "up", PATIENCE);
    }
    assert!(sites.carries(&tunnel));
}
