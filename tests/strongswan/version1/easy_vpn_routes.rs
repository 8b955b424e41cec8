//! What an Easy VPN server assigns, on adit's host: routes, the way to the server itself, the hook, and what a crash leaves.

use std::time::{Duration, Instant};

use serde_json::json;

use super::easy_vpn_server::{GROUP_KEY, PASSWORD, Places, Server};
use crate::PATIENCE;
use crate::common::wait_for;
use crate::dead::WORST_CASE;

/// An address behind the server that it names no network of.
const FAR: &str = "100.64.7.7";

/// Places where only a default route leads to the server, and a server that wants everything.
fn everything() -> (Places, Server) {
    let places = Places::new(1);
    let a = &places.a;
    a.ip("addr del 192.0.2.1/24 dev out0");
    a.ip("addr add 192.0.2.1/32 dev out0");
    a.ip("route add default via 192.0.2.2 dev out0 onlink");
    places.servers[0].ip(&format!("addr add {FAR}/32 dev lo"));
    let child = "local_ts = 0.0.0.0/0";
    let server = Server {
        child,
        ..Server::default()
    };
    (places, server)
}

/// adit's routes in its namespace, as ip(8) shows them.
fn routes(places: &Places) -> Vec<String> {
    let listed = places.a.ip("-4 route show proto 173");
    let lines = listed.lines().map(str::trim);
    lines.map(str::to_owned).collect()
}

fn lan_is_answered_from_far(places: &Places) {
    wait_for("the network behind adit has answers", PATIENCE, || {
        places.lan.pings(FAR, 5, &[]).then_some(())
    });
}

#[test]
fn a_server_that_names_no_networks_gets_everything_but_what_leads_to_itself() {
    let (places, server) = everything();
    let mut charon = server.start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    let status = adit.wait_state("t", "up", PATIENCE);
    assert_eq!(
        status["ike"]["easy_vpn"]["routing"], "all of IPv4 that has no route of its own",
        "{status}"
    );
    lan_is_answered_from_far(&places);
    let way = places.a.ip(&format!("route get {FAR}"));
    assert!(way.contains("dev tun-t src 10.77.9.10"), "{way}");
    let way = places.a.ip("route get 192.0.2.2");
    assert!(way.contains("dev out0"), "{way}");
    // It stays up: what asks for the server's life does not go into the tunnel.
    std::thread::sleep(WORST_CASE + Duration::from_secs(1));
    assert_eq!(adit.tunnel("t")["deaths"], 0);
    // Another gateway than before, and the way to the server follows.
    let server = &places.servers[0];
    server.ip("addr add 192.0.2.3/32 dev wire");
    places
        .a
        .ip("route replace default via 192.0.2.3 dev out0 onlink");
    wait_for("the way to the server is the new one", PATIENCE, || {
        let way = places.a.ip("route get 192.0.2.2");
        way.contains("via 192.0.2.3 dev out0").then_some(())
    });
    lan_is_answered_from_far(&places);
    // While it is down nothing leaves beside it, and the server is reached again.
    charon.kill();
    adit.wait_state("t", "down", PATIENCE);
    let way = places.a.output("ip", &["route", "get", FAR]);
    assert!(!way.status.success(), "{way:?}");
    charon.restart(&places.servers[0]);
    lan_is_answered_from_far(&places);
    assert!(adit.client(&["down", "t"]).status.success());
    assert_eq!(routes(&places), [""; 0]);
}

#[test]
fn a_server_that_names_another_by_name_leaves_everything_guarded() {
    let (places, mut server) = everything();
    server.pool = "28681 = vpn2.example.net";
    let mut charon = server.start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    let status = adit.wait_state("t", "up", PATIENCE);
    let easy_vpn = &status["ike"]["easy_vpn"];
    assert_eq!(easy_vpn["backup_servers"], json!(["vpn2.example.net"]));
    assert_eq!(
        easy_vpn["routing"],
        "all of IPv4 that has no route of its own"
    );
    charon.kill();
    wait_for("nothing leaves by it any more", PATIENCE, || {
        let way = places.a.output("ip", &["route", "get", FAR]);
        let (said, error) = (way.stdout, way.stderr);
        assert!(
            !String::from_utf8_lossy(&said).contains("out0"),
            "{said:?} {error:?}"
        );
        (!way.status.success()).then_some(())
    });
    charon.restart(&places.servers[0]);
    lan_is_answered_from_far(&places);
}

#[test]
fn a_server_takes_nothing_out_of_the_operators_routes_by_naming_another_there() {
    let (places, mut server) = everything();
    server.pool = "split_include = 100.64.0.0/10\n    28681 = 100.64.8.8";
    let _charon = server.start(&places.servers[0]);
    let routed = "routes = [\"100.64.0.0/10\"]";
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, [routed, ""]);
    let status = adit.wait_state("t", "up", PATIENCE);
    let told = &status["ike"]["easy_vpn"]["backup_servers"];
    assert_eq!(*told, json!(["100.64.8.8"]), "{status}");
    lan_is_answered_from_far(&places);
    let way = places.a.ip("route get 100.64.8.8");
    assert!(way.contains("dev tun-t"), "{way}");
}

#[test]
fn a_killed_adit_lets_nothing_out_and_the_next_one_comes_up_through_what_it_left() {
    let (places, server) = everything();
    let _charon = server.start(&places.servers[0]);
    let mut adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    lan_is_answered_from_far(&places);
    adit.kill();
    let left = wait_for("the interface goes with the process", PATIENCE, || {
        Some(routes(&places)).filter(|routes| !routes.iter().any(|it| it.contains("tun-t")))
    });
    assert_eq!(
        left.len(),
        3,
        "two guards and the way to the server: {left:?}"
    );
    assert!(!places.a.pings(FAR, 1, &[]), "in clear");
    let tables = || places.a.run("nft", &["list", "tables"]);
    assert_eq!(tables().trim(), "table ip adit-easy-vpn-tun-t");
    adit.restart(&places.a);
    adit.wait_state("t", "up", PATIENCE);
    lan_is_answered_from_far(&places);
    assert_eq!(tables().trim(), "table ip adit-easy-vpn-tun-t");
    let (_, status) = adit.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(tables().trim(), "");
}

#[test]
fn a_restarted_adit_that_is_not_let_in_lets_nothing_out_and_finds_its_way_when_it_is() {
    let (places, server) = everything();
    let _charon = server.start(&places.servers[0]);
    let mut adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    lan_is_answered_from_far(&places);
    adit.kill();
    let password = adit.folder().join("alice.pw");
    std::fs::write(&password, "Ua5ieph8\n").unwrap();
    adit.restart(&places.a);
    let refused = || {
        let error = adit.tunnel("t")["last_error"].clone();
        let is_refused = error.as_str()?.contains("refused user and password");
        is_refused.then_some(())
    };
    wait_for("adit is not let in", PATIENCE, refused);
    assert!(!places.a.pings(FAR, 1, &[]), "in clear");
    // The kernel takes the way to the server with its link.
    places.a.ip("link set out0 down");
    places.a.ip("link set out0 up");
    places
        .a
        .ip("route add default via 192.0.2.2 dev out0 onlink");
    wait_for("the server has a way again", PATIENCE, || {
        let way = places.a.output("ip", &["route", "get", "192.0.2.2"]);
        way.status.success().then_some(())
    });
    assert!(!places.a.pings(FAR, 1, &[]), "in clear");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let up = adit.client(&["up", "t"]);
    assert!(up.status.success(), "{up:?}");
    adit.wait_state("t", "up", PATIENCE);
    lan_is_answered_from_far(&places);
    assert!(adit.client(&["down", "t"]).status.success());
    assert_eq!(routes(&places), [""; 0]);
}

#[test]
fn an_adit_that_waits_for_the_operator_after_a_crash_lets_nothing_out_and_translates_nothing() {
    let (places, server) = everything();
    let _charon = server.start(&places.servers[0]);
    let mut adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    adit.kill();
    let file = adit.folder().join("adit.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let manual = config.replace("user = ", "connect = \"manual\"\nuser = ");
    std::fs::write(&file, manual).unwrap();
    adit.restart(&places.a);
    wait_for("the table of before goes", PATIENCE, || {
        let tables = places.a.run("nft", &["list", "tables"]);
        tables.trim().is_empty().then_some(())
    });
    assert!(!places.a.pings(FAR, 1, &[]), "in clear");
    assert!(adit.client(&["up", "t"]).status.success());
    adit.wait_state("t", "up", PATIENCE);
    lan_is_answered_from_far(&places);
    adit.kill();
    adit.restart(&places.a);
    assert!(!places.a.pings(FAR, 1, &[]), "in clear");
    assert!(adit.client(&["down", "t"]).status.success());
    assert_eq!(routes(&places), [""; 0]);
}

#[test]
fn another_address_of_the_next_assignment_takes_over_the_flows_of_the_one_before() {
    let places = Places::new(1);
    let mut first = Server::default().start(&places.servers[0]);
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, ["", ""]);
    adit.wait_state("t", "up", PATIENCE);
    places.wait_lan_is_answered();
    // One flow all the time, which began with the first address.
    let mut flow = places.lan.spawn("ping", &["-q", "-i", "0.1", "10.77.2.1"]);
    first.kill();
    let pool = "addrs = 10.77.9.60";
    let _second = Server {
        pool,
        ..Server::default()
    }
    .start(&places.servers[0]);
    let answered = || {
        let counted = places.servers[0].run("nft", &["list", "counter", "ip", "seen", "c"]);
        let packets = counted.split("packets ").nth(1).unwrap();
        packets.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let rules = "table ip seen { counter c { }; chain in { type filter hook input priority 0; ip saddr 10.77.9.60 icmp type echo-request counter name c; }; }";
    places.servers[0].run("nft", &[rules]);
    wait_for("the flow comes from the new address", PATIENCE, || {
        (answered() > 5).then_some(())
    });
    let addresses = places.a.ip("-4 addr show dev tun-t");
    assert!(addresses.contains("10.77.9.60/32"), "{addresses}");
    assert!(!addresses.contains("10.77.9.10"), "{addresses}");
    flow.kill().unwrap();
    flow.wait().unwrap();
}

#[test]
fn a_hook_is_told_what_resolves_names() {
    let places = Places::new(1);
    let _charon = Server::default().start(&places.servers[0]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told");
    let script = format!(
        "env | grep ^ADIT_ | sort > {0}.new && mv {0}.new {0}",
        file.display()
    );
    let hook = format!(
        "on-dead = [\"carrier\", \"withdraw-routes\", \"hook\"]\nhook = [\"/bin/sh\", \"-c\", {script:?}]"
    );
    let adit = places.start_adit(1, GROUP_KEY, PASSWORD, [&hook, ""]);
    adit.wait_state("t", "up", PATIENCE);
    let start = Instant::now();
    let told = loop {
        let told = std::fs::read_to_string(&file).unwrap_or_default();
        if told.contains("ADIT_EVENT=up") {
            break told;
        }
        assert!(start.elapsed() < PATIENCE, "{told}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let words: Vec<_> = told.lines().collect();
    let expected = [
        "ADIT_ADDRESS=10.77.9.10",
        "ADIT_DNS=10.77.2.53",
        "ADIT_DOMAIN=inner.example",
        "ADIT_EVENT=up",
        "ADIT_INTERFACE=tun-t",
        "ADIT_REASON=",
        "ADIT_REMOTE=192.0.2.2",
        "ADIT_SPLIT_DNS=",
        "ADIT_TUNNEL=t",
    ];
    assert_eq!(json!(words), json!(expected));
}
