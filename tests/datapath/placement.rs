//! Interface and sockets in whatever namespaces, several tunnels in one daemon, on one worker or two.

use super::common::{Daemon, Namespace, Sites};
use super::traffic::{streams_arrive_intact, wait_for_ping};
use super::{Delivery, PATIENCE, config, tunnel};

const STREAM_OCTETS: usize = 2_000_000;

fn path_of(site: &Namespace) -> String {
    format!("/run/netns/{}", site.name)
}

#[test]
fn interface_and_sockets_live_in_different_namespaces_named_by_name_or_by_path() {
    let sites = Sites::new();
    let (inside, elsewhere) = (Namespace::new(), Namespace::new());
    let places = format!(
        "netns = \"{}\"\nouter-netns = \"{}\"",
        inside.name,
        path_of(&sites.a)
    );
    let near = Daemon::start(&elsewhere, &config(Delivery::V4, 1, &places));
    let places = format!("outer-netns = \"{}\"", sites.b.name);
    let other_side = Namespace::new();
    let far = Daemon::start(&other_side, &config(Delivery::V4, 2, &places));
    let status = near.wait_state("t", "up", PATIENCE);
    assert_eq!(status["netns"], inside.name);
    assert_eq!(status["outer_netns"], path_of(&sites.a));
    assert_eq!(
        far.wait_state("t", "up", PATIENCE)["netns"],
        serde_json::Value::Null
    );
    wait_for_ping(&inside, "10.9.0.2");
    wait_for_ping(&inside, "fd00:9::2");
    streams_arrive_intact(
        &inside,
        &other_side,
        "10.9.0.2".parse().unwrap(),
        STREAM_OCTETS,
    );
    for empty in [&sites.a, &sites.b, &elsewhere] {
        assert!(!empty.ip("-o link show").contains("gre-t"));
    }
}

#[test]
fn one_daemon_has_interfaces_of_the_same_name_in_two_namespaces_and_peers_of_the_same_address() {
    let (red, blue, here) = (Sites::new(), Sites::new(), Namespace::new());
    let tunnel_of = |name: &str, sites: &Sites, number: u8| {
        let more = format!("netns = \"{0}\"\nouter-netns = \"{0}\"", sites.a.name);
        let [local, remote] = [1, 2].map(|number| Delivery::V6.address(number));
        tunnel(name, local, remote, number, 1, &more).replace(&format!("gre-{name}"), "gre-x")
    };
    let near = Daemon::start(
        &here,
        &[tunnel_of("red", &red, 9), tunnel_of("blue", &blue, 9)].concat(),
    );
    let fars = [&red, &blue].map(|sites| Daemon::start(&sites.b, &config(Delivery::V6, 2, "")));
    for ((name, sites), far) in [("red", &red), ("blue", &blue)].into_iter().zip(&fars) {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        wait_for_ping(&sites.a, "10.9.0.2");
        let before = near.counter(name, "inbound_packets");
        assert!(sites.a.pings("10.9.0.2", 5, &[]));
        assert!(near.counter(name, "inbound_packets") >= before + 5);
        assert!(near.tunnel(name)["drops"].as_object().unwrap().is_empty());
    }
    assert!(
        near.status()["unassigned_drops"]
            .as_object()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_namespace_that_is_the_daemons_own_is_the_same_however_it_is_named() {
    let sites = Sites::new();
    let keyed = |name: &str, net, number, more: &str| {
        let ends = [number, 3 - number].map(|number| Delivery::V4.address(number));
        tunnel(
            name,
            ends[0],
            ends[1],
            net,
            number,
            &format!("gre = {{ key = {net} }}\n{more}"),
        )
    };
    let named = format!("outer-netns = \"{}\"", sites.a.name);
    let near = Daemon::start(
        &sites.a,
        &[keyed("own", 11, 1, ""), keyed("named", 12, 1, &named)].concat(),
    );
    let far = Daemon::start(
        &sites.b,
        &[keyed("own", 11, 2, ""), keyed("named", 12, 2, "")].concat(),
    );
    for (name, address) in [("own", "10.11.0.2"), ("named", "10.12.0.2")] {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state(name, "up", PATIENCE);
        wait_for_ping(&sites.a, address);
        assert!(near.tunnel(name)["drops"].as_object().unwrap().is_empty());
    }
    assert!(
        near.status()["unassigned_drops"]
            .as_object()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn two_workers_share_the_tunnels_and_no_packet_is_taken_for_a_strangers() {
    let sites = Sites::new();
    let watched = "keepalive = { period = \"250ms\", retries = 20 }";
    let tunnels = |number: u8| {
        let keyed = (1..=5).map(|net: u8| {
            let ends = [number, 3 - number].map(|number| Delivery::V4.address(number));
            let more = format!("gre = {{ key = {net} }}\n{watched}");
            tunnel(&format!("k{net}"), ends[0], ends[1], net, number, &more)
        });
        let plain = [number, 3 - number].map(|number| Delivery::V6.address(number));
        let plain = tunnel("plain", plain[0], plain[1], 6, number, watched);
        format!("workers = 2\n{}{plain}", keyed.collect::<String>())
    };
    let near = Daemon::start(&sites.a, &tunnels(1));
    let far = Daemon::start(&sites.b, &tunnels(2));
    let names = ["k1", "k2", "k3", "k4", "k5", "plain"];
    for name in names {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state(name, "up", PATIENCE);
    }
    // Packets may come before the tunnel that they are for.
    let drops = || [&near, &far].map(|daemon| all_drops(daemon, &names));
    for net in 1..=6 {
        wait_for_ping(&sites.a, &format!("10.{net}.0.2"));
    }
    let before = drops();
    std::thread::scope(|scope| {
        for net in 1..=6 {
            let (a, b) = (&sites.a, &sites.b);
            scope.spawn(move || {
                let address = format!("10.{net}.0.2");
                assert!(a.pings(&address, 3, &[]), "{address}");
                streams_arrive_intact(a, b, address.parse().unwrap(), STREAM_OCTETS);
            });
        }
    });
    assert_eq!(drops(), before);
    for (daemon, name) in [&near, &far]
        .into_iter()
        .flat_map(|daemon| names.map(|name| (daemon, name)))
    {
        assert_eq!(daemon.tunnel(name)["deaths"], 0, "{name}");
    }
}

/// What was dropped, of no tunnel and of each.
fn all_drops(daemon: &Daemon, names: &[&str]) -> Vec<serde_json::Value> {
    let unassigned = daemon.status()["unassigned_drops"].clone();
    let drops = names
        .iter()
        .map(|name| daemon.tunnel(name)["drops"].clone());
    drops.chain([unassigned]).collect()
}
