//! adit as an Easy VPN remote: aggressive mode, XAUTH and Mode Config with charon as the server.

use std::time::Duration;

use serde_json::json;

use super::easy_vpn_server::{GROUP_KEY, PASSWORD, Places, Server, start_remote};
use crate::PATIENCE;
use crate::common::{SLACK, wait_for};
use crate::dead::WORST_CASE;
use crate::flood::Flood;
use crate::routed::{OUTSIDE, Routed};

const NETWORK_EXTENSION: [&str; 2] = [
    "addresses = [\"10.77.1.253/32\"]\nlocal-ts = [\"10.77.1.0/24\"]\nroutes = [\"10.77.2.0/24\"]",
    "client-mode = \"network-extension\"",
];

#[test]
fn a_client_gets_an_address_and_the_network_behind_it_leaves_from_there() {
    let places = Places::new(1);
    let pool = "28672 = Welcome\n";
    let charon = Server {
        pool,
        ..Server::default()
    }
    .start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    let sa = charon.wait_established();
    assert_eq!(sa["remote-xauth-id"], "alice", "{sa}");
    assert_eq!(sa["remote-vips"], json!(["10.77.9.10"]), "{sa}");
    let status = adit.tunnel("t");
    let told = &status["ike"]["easy_vpn"];
    assert_eq!(told["client_mode"], "client", "{status}");
    assert_eq!(told["addresses"], json!(["10.77.9.10"]), "{status}");
    assert_eq!(told["dns"], json!(["10.77.2.53"]), "{status}");
    assert_eq!(told["default_domain"], "inner.example", "{status}");
    assert_eq!(told["banner"], "Welcome", "{status}");
    assert_eq!(told["split_include"], json!(["10.77.2.0/24"]), "{status}");
    let (a, lan) = (&places.a, &places.lan);
    assert!(a.ip("addr show dev tun-t").contains("10.77.9.10/32"));
    places.wait_lan_is_answered();
    assert!(a.pings("10.77.2.1", 10, &[]), "{}", adit.log());
    assert!(lan.pings("10.77.2.1", 10, &[]), "{}", adit.log());
    // What was assigned is what charon lets through, and nothing else.
    assert_eq!(charon.children()[0]["remote-ts"], json!(["10.77.9.10/32"]));
    assert!(places.servers[0].pings("10.77.9.10", 5, &["-I", "10.77.2.1"]));
    adit.client(&["down", "t"]);
    charon.wait_logged("received DELETE for IKE_SA", PATIENCE);
    assert!(!lan.pings("10.77.2.1", 1, &[]));
    let tables = a.run("nft", &["list", "tables"]);
    assert_eq!(tables.trim(), "", "{tables}");
    assert!(adit.client(&["up", "t"]).status.success());
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
}

#[test]
fn what_was_assigned_is_left_alone_once_it_is_there() {
    let places = Places::new(1);
    let _charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let changes = || {
        let watch = "timeout 1 ip monitor address; test $? = 124";
        places.a.run("sh", &["-c", watch])
    };
    // What the start itself changed is told late, too.
    wait_for("nothing changes any more", PATIENCE, || {
        changes().is_empty().then_some(())
    });
    // A route of somebody else has adit look at the ways again.
    places.a.ip("route add unreachable 203.0.113.0/24");
    wait_for("nothing changes any more", PATIENCE, || {
        changes().is_empty().then_some(())
    });
    assert!(places.a.ip("addr show dev tun-t").contains("10.77.9.10/32"));
}

#[test]
fn a_network_extension_announces_its_network_as_it_is() {
    let places = Places::new(1);
    let child = "remote_ts = 10.77.1.0/24";
    let charon = Server {
        child,
        ..Server::default()
    }
    .start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, NETWORK_EXTENSION);
    adit.wait_state("t", "up", PATIENCE);
    charon.wait_established();
    let status = adit.tunnel("t");
    let told = &status["ike"]["easy_vpn"];
    assert_eq!(told["client_mode"], "network-extension", "{status}");
    assert_eq!(told["addresses"], json!([]), "{status}");
    assert_eq!(charon.children()[0]["remote-ts"], json!(["10.77.1.0/24"]));
    let (server, lan) = (&places.servers[0], &places.lan);
    assert!(lan.pings("10.77.2.1", 10, &[]), "{}", adit.log());
    assert!(server.pings("10.77.1.2", 10, &["-I", "10.77.2.1"]));
    assert_eq!(places.a.run("nft", &["list", "tables"]).trim(), "");
}

#[test]
fn a_wrong_group_key_is_told_and_nothing_of_the_user_is_sent() {
    let places = Places::new(1);
    let charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, "Iengaex1ohsh3iip6wah6tho", PASSWORD, ["", ""]);
    let error = wait_for("adit says why", PATIENCE, || {
        let error = adit.tunnel("t")["ike"]["last_error"].clone();
        error.as_str().map(str::to_owned)
    });
    assert!(error.contains("pre-shared keys differ"), "{error}");
    assert_eq!(charon.logged("XAuth authentication"), 0, "{}", charon.log());
    assert!(charon.sas().iter().all(|sa| sa["state"] != "ESTABLISHED"));
    assert_ne!(adit.tunnel("t")["state"], "up");
}

#[test]
fn a_wrong_password_is_told_once_and_not_tried_again_until_somebody_says_so() {
    let places = Places::new(1);
    let charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, "Ua5ieph8", ["", ""]);
    let refusals = || charon.logged("XAuth authentication of 'alice' failed");
    wait_for("charon refuses", PATIENCE, || {
        (refusals() == 1).then_some(())
    });
    let error = wait_for("adit says why", PATIENCE, || {
        let error = adit.tunnel("t")["last_error"].clone();
        error.as_str().map(str::to_owned)
    });
    assert!(error.contains("refused user and password"), "{error}");
    assert!(
        !error.contains("Ua5ieph8") && !adit.log().contains("Ua5ieph8"),
        "{error}"
    );
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(refusals(), 1, "{}", charon.log());
    assert_ne!(adit.tunnel("t")["state"], "up");
    assert!(adit.client(&["up", "t"]).status.success());
    wait_for("charon refuses again", PATIENCE, || {
        (refusals() == 2).then_some(())
    });
    std::fs::write(adit.folder().join("alice.pw"), PASSWORD).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(adit.client(&["up", "t"]).status.success());
    adit.wait_state("t", "up", PATIENCE);
    assert_eq!(refusals(), 2, "{}", charon.log());
}

#[test]
fn the_next_of_three_servers_takes_over_from_a_dead_one_and_after_the_last_the_first() {
    let places = Places::new(3);
    let mut servers: Vec<_> = places
        .servers
        .iter()
        .map(|site| Server::default().start(site))
        .collect();
    let adit = places.start_adit(3, GROUP_KEY, PASSWORD, ["", ""]);
    for (dead, next) in [(0, 1), (1, 2), (2, 0)] {
        adit.wait_state("t", "up", PATIENCE);
        assert_eq!(adit.tunnel("t")["remote_index"], dead);
        places.wait_lan_is_answered();
        let mut events = adit.events();
        if next == 0 {
            servers[0].restart(&places.servers[0]);
        }
        servers[dead].kill();
        let down = events.next("t", "down", PATIENCE);
        let took = Duration::from_millis(down["since_last_proof_ms"].as_u64().unwrap());
        assert!(took <= WORST_CASE + SLACK, "{down}");
        let event = if next == 0 { "failback" } else { "failover" };
        events.next("t", event, PATIENCE);
    }
    adit.wait_state("t", "up", PATIENCE);
    assert_eq!(adit.tunnel("t")["remote_index"], 0);
    places.wait_lan_is_answered();
}

#[test]
fn a_server_that_the_first_one_named_takes_over() {
    let places = Places::new(2);
    let pool = "28681 = 198.51.100.2";
    let mut first = Server {
        pool,
        ..Server::default()
    }
    .start(&places.servers[0]);
    let second = Server::default().start(&places.servers[1]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    let status = adit.wait_state("t", "up", PATIENCE);
    assert_eq!(
        status["ike"]["easy_vpn"]["backup_servers"],
        json!(["198.51.100.2"]),
        "{status}"
    );
    first.kill();
    adit.events().next("t", "failover", PATIENCE);
    adit.wait_state("t", "up", PATIENCE);
    second.wait_established();
    places.wait_lan_is_answered();
}

#[test]
fn a_manual_remote_waits_for_adit_up_and_again_after_its_server_died() {
    let places = Places::new(1);
    let mut charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", "connect = \"manual\""]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(charon.sas().is_empty());
    assert!(adit.client(&["up", "t"]).status.success());
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let mut events = adit.events();
    charon.kill();
    charon.restart(&places.servers[0]);
    let waiting = events.next("t", "waiting", PATIENCE)["reason"].to_string();
    assert!(waiting.contains("connected by hand"), "{waiting}");
    std::thread::sleep(Duration::from_secs(2));
    assert!(charon.sas().is_empty());
    let status = adit.tunnel("t");
    assert_eq!(status["state"], "down", "{status}");
    assert!(adit.client(&["up", "t"]).status.success());
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
}

#[test]
fn a_client_comes_back_to_a_server_that_was_killed_and_has_another_address_for_it() {
    let places = Places::new(1);
    let mut charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let mut events = adit.events();
    charon.kill();
    charon.reconfigure(|text| text.replace("10.77.9.10-10.77.9.50", "10.77.9.70-10.77.9.90"));
    charon.restart(&places.servers[0]);
    events.next("t", "down", PATIENCE);
    events.next("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let addresses = places.a.ip("addr show dev tun-t");
    assert!(addresses.contains("10.77.9.70/32"), "{addresses}");
    assert!(!addresses.contains("10.77.9.10/32"), "{addresses}");
}

#[test]
fn a_server_that_is_no_router_names_its_networks_in_entries_of_eight_octets() {
    let places = Places::new(1);
    let charon = Server {
        is_plain: true,
        pool: "split_include = 10.77.2.0/24, 10.88.0.0/16",
        child: "local_ts = 0.0.0.0/0",
    }
    .start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    let status = adit.wait_state("t", "up", PATIENCE);
    charon.wait_established();
    let told = &status["ike"]["easy_vpn"];
    let networks = json!(["10.77.2.0/24", "10.88.0.0/16"]);
    assert_eq!(told["split_include"], networks, "{status}");
    places.wait_lan_is_answered();
    let routes = places.a.ip("route show dev tun-t");
    assert!(routes.contains("10.88.0.0/16"), "{routes}");
}

#[test]
fn without_a_list_everything_goes_through_the_tunnel_but_the_way_to_the_server() {
    let places = Places::new(1);
    let server = &places.servers[0];
    server.ip("addr add 203.0.113.77/32 dev lo");
    let charon = Server {
        is_plain: true,
        child: "local_ts = 0.0.0.0/0",
        ..Server::default()
    }
    .start(server);
    places.a.ip("route add default via 192.0.2.2");
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let before = adit.counter("t", "outbound_packets");
    assert!(places.lan.pings("203.0.113.77", 5, &[]));
    assert_eq!(adit.counter("t", "outbound_packets"), before + 5);
    // Several periods of DPD, which goes beside the tunnel.
    let answered = || adit.tunnel("t")["ike"]["dpd"]["answered"].as_u64().unwrap();
    let before = answered();
    wait_for("charon answers", PATIENCE, || {
        (answered() >= before + 3).then_some(())
    });
    let status = adit.tunnel("t");
    assert_eq!(status["deaths"], 0, "{status}");
    charon.wait_established();
}

#[test]
fn both_phases_are_renewed_without_a_loss_and_with_the_same_address() {
    let places = Places::new(1);
    let charon = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    let mut flood = Flood::start(&places.lan, "10.77.1.2", "10.77.2.1", 4);
    for what in ["child", "ike", "child"] {
        let mut events = adit.events();
        assert!(adit.client(&["rekey", "t", what]).status.success());
        events.next("t", "rekeyed", PATIENCE);
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut events = adit.events();
    charon.swanctl_succeeds(&["--rekey", "--child", "net"]);
    events.next("t", "rekeyed", PATIENCE);
    assert!(flood.goes_on());
    let (sent, answered) = flood.finish();
    assert_eq!(sent, answered, "{}\n{}", adit.log(), charon.log());
    let status = adit.tunnel("t");
    let addresses = &status["ike"]["easy_vpn"]["addresses"];
    assert_eq!(*addresses, json!(["10.77.9.10"]), "{status}");
    assert_eq!(status["deaths"], 0, "{status}");
}

#[test]
fn a_client_behind_a_nat_works_and_renews_both_phases_through_it() {
    let routed = Routed::behind_a_nat("20000-20099");
    let charon = Server::default().start(&routed.b);
    let servers = [OUTSIDE.to_owned()];
    let adit = start_remote(&routed.a, &servers, [GROUP_KEY, PASSWORD], ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    wait_for("it carries", PATIENCE, || {
        routed.a.pings("10.77.2.1", 5, &[]).then_some(())
    });
    let sa = charon.wait_established();
    let port = sa["remote-port"].as_str().unwrap().parse::<u16>().unwrap();
    assert!((20000..20100).contains(&port), "{sa}");
    for what in ["child", "ike"] {
        let mut events = adit.events();
        assert!(adit.client(&["rekey", "t", what]).status.success());
        events.next("t", "rekeyed", PATIENCE);
        assert!(routed.a.pings("10.77.2.1", 5, &[]), "{what}");
    }
    assert_eq!(adit.tunnel("t")["deaths"], 0);
}
