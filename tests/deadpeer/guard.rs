//! What is routed into a guarded tunnel leaves by it or not at all, whatever becomes of peer, interface and daemon.

mod failed_start;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Daemon, Namespace, Sites, wait_for};
use crate::interface::{self, Interface};
use crate::site::{PATIENCE, Pair, Tunnel};

/// As `ip route` shows adit's protocol number and the worst metric.
const PROTOCOL: &str = "173";
const METRIC: u64 = 4_294_967_295;

fn guarded(number: u8) -> Tunnel {
    Tunnel::new(number).with("leak-guard = true")
}

/// The guards of a site: unreachable routes of the worst metric under adit's protocol number.
fn guards(site: &Namespace) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for family in ["-4", "-6"] {
        let words = format!("-j {family} route show proto {PROTOCOL} type unreachable");
        let routes = interface::json(site, &words);
        let routes = routes.as_array().unwrap().iter();
        let of_metric = routes.filter(|route| route["metric"] == METRIC);
        found.extend(of_metric.map(|route| route["dst"].as_str().unwrap().to_owned()));
    }
    found
}

/// The guards that these tunnels need: their routes and the networks of their addresses.
fn of(tunnels: &[&Tunnel]) -> BTreeSet<String> {
    let of_one = |tunnel: &&Tunnel| {
        let near = tunnel.near_v4();
        let v4 = near.rsplit_once('.').unwrap().0;
        let near = tunnel.near_v6();
        let v6 = near.strip_suffix('1').unwrap();
        [
            tunnel.route_v4(),
            tunnel.route_v6(),
            format!("{v4}.0/30"),
            format!("{v6}/64"),
        ]
    };
    tunnels.iter().flat_map(of_one).collect()
}

/// Waits until these are the guards: a daemon listens before its tunnels are made.
fn await_guards(site: &Namespace, wanted: &BTreeSet<String>) {
    wait_for(&format!("the guards are {wanted:?}"), PATIENCE, || {
        (guards(site) == *wanted).then_some(())
    });
}

/// Gives `a` a way to everything by the wire: what no guard holds back leaves in clear.
fn default_routes(sites: &Sites) {
    sites.a.ip("route add default via 192.0.2.2");
    sites.a.ip("-6 route add default via 2001:db8::2");
}

/// Which interface takes packets to these addresses; none where they are refused.
fn ways(site: &Namespace, tunnel: &Tunnel) -> BTreeSet<Option<String>> {
    let inside = [
        format!("10.20.{}.7", &tunnel.name()[1..]),
        format!("fd00:20:{}::7", &tunnel.name()[1..]),
        tunnel.far_v4(),
        tunnel.far_v6(),
    ];
    let way = |to: &String| {
        let output = site.output("ip", &["-j", "route", "get", to]);
        let shown = serde_json::from_slice::<Value>(&output.stdout).ok()?;
        shown[0]["dev"].as_str().map(str::to_owned)
    };
    inside.iter().map(way).collect()
}

fn by_tunnel(tunnel: &Tunnel) -> BTreeSet<Option<String>> {
    BTreeSet::from([Some(tunnel.interface())])
}

fn refused() -> BTreeSet<Option<String>> {
    BTreeSet::from([None])
}

#[test]
fn guards_stand_behind_the_routes_of_a_tunnel_that_is_up_and_hold_when_its_peer_is_dead() {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1);
    let near = Daemon::start(&sites.a, &tunnel.near());
    await_guards(&sites.a, &of(&[&tunnel]));
    let routed = [tunnel.route_v4(), tunnel.route_v6()].map(|prefix| {
        let host = prefix.replace("0/24", "7").replace("::/64", "::7");
        sites.a.output("ip", &["route", "get", &host])
    });
    assert!(routed.iter().all(|output| !output.status.success()));

    let mut far = Daemon::start(&sites.b, &tunnel.far());
    near.wait_state("t1", "up", PATIENCE);
    Interface::WHOLE.await_at(&sites.a, &tunnel, "up");
    assert_eq!(ways(&sites.a, &tunnel), by_tunnel(&tunnel));
    assert!(sites.carries(&tunnel));
    assert_eq!(guards(&sites.a), of(&[&tunnel]), "up");

    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    Interface::DEAD.await_at(&sites.a, &tunnel, "dead");
    assert_eq!(guards(&sites.a), of(&[&tunnel]), "dead");
    let host = format!("10.20.{}.7", 1);
    assert!(
        !sites
            .a
            .output("ip", &["route", "get", &host])
            .status
            .success()
    );
}

#[test]
fn guards_hold_while_the_interface_is_deleted_with_the_peers_death_and_made_again() {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1).with("on-dead = [\"delete\"]");
    let (near, mut far) = sites.start(&tunnel);
    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    Interface::GONE.await_at(&sites.a, &tunnel, "dead");
    assert_eq!(guards(&sites.a), of(&[&tunnel]));
    assert_eq!(ways(&sites.a, &tunnel), refused());
    let _far = Daemon::start(&sites.b, &tunnel.far());
    near.wait_state("t1", "up", PATIENCE);
    Interface::WHOLE.await_at(&sites.a, &tunnel, "recovered");
    assert_eq!(ways(&sites.a, &tunnel), by_tunnel(&tunnel));
    assert_eq!(guards(&sites.a), of(&[&tunnel]));
}

#[test]
fn guards_hold_while_an_interface_that_somebody_deleted_is_made_again() {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1);
    let (near, _far) = sites.start(&tunnel);
    let watch = RouteMonitor::start(&sites.a);
    let mut events = near.events();
    sites.a.ip("link del gre-1");
    events.next("t1", "interface-gone", PATIENCE);
    assert_eq!(ways(&sites.a, &tunnel), refused());
    events.next("t1", "up", PATIENCE);
    Interface::WHOLE.await_at(&sites.a, &tunnel, "made again");
    assert_eq!(guards(&sites.a), of(&[&tunnel]));
    assert_eq!(watch.deleted_guards(), [""; 0]);
}

#[test]
fn an_interface_whose_name_is_taken_meanwhile_leaves_its_guards_until_the_operator_takes_the_tunnel_down()
 {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1);
    let (near, _far) = sites.start(&tunnel);
    let mut events = near.events();
    sites.a.ip("link del gre-1");
    sites.a.ip("link add gre-1 type veth peer name other");
    events.next("t1", "interface-failed", PATIENCE);
    assert_eq!(guards(&sites.a), of(&[&tunnel]));
    assert_eq!(ways(&sites.a, &tunnel), refused());
    assert!(near.client(&["down", "t1"]).status.success());
    assert_eq!(guards(&sites.a), BTreeSet::new());
}

#[test]
fn guards_go_with_adit_down_and_come_with_adit_up() {
    let sites = Pair::new();
    default_routes(&sites);
    let (tunnel, other) = (guarded(1), guarded(2));
    let (near, far) = crate::site::both(&[tunnel.clone(), other.clone()]);
    let near = Daemon::start(&sites.a, &near);
    let _far = Daemon::start(&sites.b, &far);
    near.wait_state("t1", "up", PATIENCE);
    assert!(near.client(&["down", "t1"]).status.success());
    assert_eq!(guards(&sites.a), of(&[&other]));
    assert_eq!(
        ways(&sites.a, &tunnel),
        BTreeSet::from([Some("wire".to_owned())])
    );
    assert!(near.client(&["up", "t1"]).status.success());
    assert_eq!(guards(&sites.a), of(&[&tunnel, &other]));
    near.wait_state("t1", "up", PATIENCE);
}

#[test]
fn guards_stay_when_the_daemon_is_stopped_or_killed_and_the_next_start_takes_them_over() {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1);
    let (mut near, _far) = sites.start(&tunnel);
    let watch = RouteMonitor::start(&sites.a);
    near.kill();
    Interface::GONE.await_at(&sites.a, &tunnel, "killed");
    assert_eq!(guards(&sites.a), of(&[&tunnel]), "killed");
    assert_eq!(ways(&sites.a, &tunnel), refused());
    near.restart(&sites.a);
    near.wait_state("t1", "up", PATIENCE);
    assert_eq!(guards(&sites.a), of(&[&tunnel]), "started again");

    let (_, status) = near.terminate();
    assert!(status.success());
    Interface::GONE.await_at(&sites.a, &tunnel, "stopped");
    assert_eq!(guards(&sites.a), of(&[&tunnel]), "stopped");
    assert_eq!(ways(&sites.a, &tunnel), refused());
    let near = Daemon::start(&sites.a, &tunnel.near());
    near.wait_state("t1", "up", PATIENCE);
    assert_eq!(ways(&sites.a, &tunnel), by_tunnel(&tunnel));
    assert_eq!(watch.deleted_guards(), [""; 0]);
}

#[test]
fn guards_that_the_next_start_does_not_need_are_removed_by_it() {
    let sites = Pair::new();
    let (before, after) = (guarded(1), guarded(2));
    let mut first = Daemon::start(&sites.a, &before.near());
    await_guards(&sites.a, &of(&[&before]));
    first.kill();
    assert_eq!(guards(&sites.a), of(&[&before]));
    // Not ours: another metric, another protocol number.
    sites
        .a
        .ip("route add unreachable 10.98.0.0/16 proto 173 metric 7");
    sites
        .a
        .ip("route add unreachable 10.99.0.0/16 metric 4294967295");
    let second = Daemon::start(&sites.a, &after.near());
    await_guards(&sites.a, &of(&[&after]));
    let left = sites.a.ip("route show type unreachable");
    assert!(
        left.contains("10.98.0.0/16") && left.contains("10.99.0.0/16"),
        "{left}"
    );
    assert!(
        second
            .log()
            .contains("removed guard routes of an adit that is gone")
    );
    drop(second);
    // A tunnel without a guard removes them too.
    let _third = Daemon::start(&sites.a, &Tunnel::new(3).near());
    await_guards(&sites.a, &BTreeSet::new());
}

#[test]
fn guards_of_an_adit_that_runs_are_left_alone_by_another_in_its_namespace() {
    let sites = Pair::new();
    let (tunnel, other, third) = (guarded(1), guarded(2), guarded(3));
    let first = Daemon::start(&sites.a, &tunnel.near());
    await_guards(&sites.a, &of(&[&tunnel]));
    let watch = RouteMonitor::start(&sites.a);
    let mut second = Daemon::start(&sites.a, &other.near());
    await_guards(&sites.a, &of(&[&tunnel, &other]));
    second.kill();
    let third_daemon = Daemon::start(&sites.a, &third.near());
    // The first runs, so nobody can tell the second's from its own.
    await_guards(&sites.a, &of(&[&tunnel, &other, &third]));
    third_daemon.tunnel("t3");
    assert_eq!(watch.deleted_guards(), [""; 0]);
    drop((first, third_daemon));
    let _last = Daemon::start(&sites.a, &third.near());
    await_guards(&sites.a, &of(&[&third]));
}

#[test]
fn two_that_start_at_once_leave_each_others_guards_alone() {
    let sites = Pair::new();
    let (tunnel, other) = (guarded(1), guarded(2));
    let watch = RouteMonitor::start(&sites.a);
    let daemons = [&tunnel, &other].map(|tunnel| Daemon::launch(&sites.a, &tunnel.near()));
    await_guards(&sites.a, &of(&[&tunnel, &other]));
    drop(daemons);
    assert_eq!(watch.deleted_guards(), [""; 0]);
    assert_eq!(guards(&sites.a), of(&[&tunnel, &other]));
}

#[test]
fn a_namespace_that_is_entered_after_the_start_is_swept_and_shared_too() {
    let sites = Pair::new();
    let inside = Namespace::new();
    let (tunnel, other) = (guarded(1), guarded(2));
    let near = tunnel.clone().with(&format!("netns = \"{}\"", inside.name));
    let near = Daemon::start(&sites.a, &near.near());
    await_guards(&inside, &of(&[&tunnel]));
    assert!(near.client(&["down", "t1"]).status.success());
    for command in ["del", "add"] {
        let mut ip = std::process::Command::new("ip");
        let status = ip.args(["netns", command, &inside.name]).status();
        assert!(status.unwrap().success());
    }
    inside.ip("link set lo up");
    inside.ip("route add unreachable 10.97.0.0/16 proto 173 metric 4294967295");
    assert!(near.client(&["up", "t1"]).status.success());
    assert_eq!(guards(&inside), of(&[&tunnel]));

    let second = Daemon::start(&inside, &other.near());
    await_guards(&inside, &of(&[&tunnel, &other]));
    second.tunnel("t2");
    let log = second.log();
    assert!(!log.contains("is locked by somebody"), "{log}");
    drop(near);
    let third = Daemon::start(&inside, &guarded(3).near());
    await_guards(&inside, &of(&[&tunnel, &other, &guarded(3)]));
    third.tunnel("t3");
    assert_eq!(guards(&inside), of(&[&tunnel, &other, &guarded(3)]));
}

#[test]
fn gre_without_leak_guard_has_none() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let (_near, _far) = sites.start(&tunnel);
    assert_eq!(guards(&sites.a), BTreeSet::new());
}

#[test]
fn guards_are_in_the_namespace_of_the_interface() {
    let sites = Pair::new();
    let inside = Namespace::new();
    let tunnel = guarded(1).with(&format!("netns = \"{}\"", inside.name));
    let mut near = Daemon::start(&sites.a, &tunnel.near());
    await_guards(&inside, &of(&[&tunnel]));
    assert_eq!(guards(&sites.a), BTreeSet::new());
    near.kill();
    assert_eq!(guards(&inside), of(&[&tunnel]));
    near.restart(&sites.a);
    assert!(near.client(&["down", "t1"]).status.success());
    assert_eq!(guards(&inside), BTreeSet::new());
}

/// `ip monitor route` in a namespace: what happened between two looks at the table.
struct RouteMonitor {
    log: tempfile::NamedTempFile,
    child: std::process::Child,
}

impl RouteMonitor {
    fn start(site: &Namespace) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = site.command("ip");
        command.args(["monitor", "route"]);
        command.stdout(log.reopen().unwrap());
        let monitor = Self {
            log,
            child: command.spawn().unwrap(),
        };
        monitor.await_change(site);
        monitor
    }

    /// Waits until a change of ours is seen: the monitor tells nothing when it is ready.
    fn await_change(&self, site: &Namespace) {
        wait_for("the monitor sees a route", PATIENCE, || {
            site.ip("route replace blackhole 203.0.113.0/24");
            site.ip("route del blackhole 203.0.113.0/24");
            self.text().contains("203.0.113.0/24").then_some(())
        });
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// The guards that were removed since the start, even if they are there again.
    fn deleted_guards(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines();
        let deleted = lines.filter(|line| line.starts_with("Deleted unreachable"));
        deleted.map(str::to_owned).collect()
    }
}

impl Drop for RouteMonitor {
    fn drop(&mut self) {
        // It may be gone with its namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_capture_on_the_wire_shows_nothing_of_the_inside_through_a_kill_and_a_restart() {
    let sites = Pair::new();
    default_routes(&sites);
    let tunnel = guarded(1);
    let (mut near, _far) = sites.start(&tunnel);
    for (family, address) in [
        ("ip", "10.20.1.7"),
        ("ip", "10.9.1.2"),
        ("ip6", "fd00:20:1::7"),
        ("ip6", "fd00:9:1::2"),
    ] {
        if family == "ip" {
            count(&sites.a, &format!("ip daddr {address} counter"));
        } else {
            count(&sites.a, &format!("ip6 daddr {address} counter"));
        }
    }
    let load = sites.a.spawn(
        "sh",
        &["-c", "while :; do for to in 10.20.1.7 10.9.1.2 fd00:20:1::7 fd00:9:1::2; do ping -n -q -c 2 -i 0.002 -W 0.01 $to; done; done"],
    );
    let load = Load(load);
    for _ in 0..3 {
        near.kill();
        Interface::GONE.await_at(&sites.a, &tunnel, "killed");
        near.restart(&sites.a);
        near.wait_state("t1", "up", PATIENCE);
        let (_, status) = near.terminate();
        assert!(status.success());
        near.restart(&sites.a);
        near.wait_state("t1", "up", PATIENCE);
    }
    drop(load);
    let seen = sites
        .a
        .run("nft", &["list", "chain", "netdev", "clear", "out"]);
    assert_eq!(seen.matches("packets 0 ").count(), 4, "{seen}");
    // The counters count: without the guard it leaves in clear.
    assert!(near.client(&["down", "t1"]).status.success());
    assert!(!sites.a.pings("10.20.1.7", 1, &["-W", "0.1"]));
    let seen = sites
        .a
        .run("nft", &["list", "chain", "netdev", "clear", "out"]);
    assert_eq!(seen.matches("packets 0 ").count(), 3, "{seen}");
}

/// Counts what leaves by the wire of a site and fits `rule`.
fn count(site: &Namespace, rule: &str) {
    let chain = "{ type filter hook egress device wire priority 0; policy accept; }";
    site.run("nft", &["add", "table", "netdev", "clear"]);
    site.run("nft", &["add", "chain", "netdev", "clear", "out", chain]);
    site.run("nft", &["add", "rule", "netdev", "clear", "out", rule]);
}

/// A child that ends with this value.
struct Load(std::process::Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
