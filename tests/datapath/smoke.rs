//! A tunnel between two sites carries packets, and its interface drops when the peer dies.

use std::time::Duration;

use super::common::{Daemon, SLACK, Sites};
use super::traffic::wait_for_ping;
use super::{Delivery, PATIENCE, config};

const WATCHED: &str =
    "routes = [\"10.20.0.0/16\"]\nkeepalive = { period = \"200ms\", retries = 3 }";

#[test]
fn a_tunnel_carries_both_families_and_drops_its_interface_when_the_peer_dies() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, WATCHED));
    let mut events = near.events();
    let mut far = Daemon::start(&sites.b, &config(Delivery::V4, 2, WATCHED));
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    for address in ["10.9.0.2", "fd00:9::2"] {
        wait_for_ping(&sites.a, address);
        assert!(sites.a.pings(address, 3, &[]));
    }
    far.kill();
    let down = events.next("t", "down", PATIENCE);
    let worst = Duration::from_millis(down["worst_case_ms"].as_u64().unwrap());
    let took = Duration::from_millis(down["since_last_proof_ms"].as_u64().unwrap());
    assert!(took <= worst + SLACK, "{took:?} against {worst:?}");
    assert!(sites.a.ip("link show gre-t").contains("NO-CARRIER"));
}

#[test]
fn a_tunnel_without_keepalive_is_up_at_once() {
    let sites = Sites::new();
    let near = Daemon::start(
        &sites.a,
        &config(Delivery::V4, 1, "routes = [\"10.20.0.0/16\"]"),
    );
    let status = near.wait_state("t", "up", PATIENCE);
    assert_eq!(status["worst_case_ms"], serde_json::Value::Null);
    assert_eq!(status["counters"]["keepalive_requests_sent"], 0);
    assert!(!sites.a.ip("link show gre-t").contains("NO-CARRIER"));
    assert!(sites.a.ip("route").contains("10.20.0.0/16 dev gre-t"));
}

#[test]
fn a_packet_routed_into_its_own_tunnel_is_refused_and_counted_and_the_mtu_does_not_spiral() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ""));
    near.wait_state("t", "up", PATIENCE);
    let mtu = super::mtu_of(&sites.a, "gre-t");
    sites.a.ip("route add 192.0.2.2/32 dev gre-t");
    sites.a.output(
        "ping",
        &["-q", "-c", "3", "-i", "0.05", "-W", "0.2", "10.9.0.2"],
    );
    super::common::wait_for("recursion is counted", PATIENCE, || {
        (near.drops("t", "recursion") >= 3).then_some(())
    });
    let (refused, outbound) = (
        near.drops("t", "recursion"),
        near.counter("t", "outbound_packets"),
    );
    assert!(
        refused <= outbound,
        "each packet comes back once: {refused} of {outbound}"
    );
    assert_eq!(super::mtu_of(&sites.a, "gre-t"), mtu);
    assert_eq!(near.tunnel("t")["mtu"], mtu);
    sites.a.ip("route del 192.0.2.2/32 dev gre-t");
}
