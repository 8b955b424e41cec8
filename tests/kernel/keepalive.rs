//! Keepalives that a kernel answers: it does so by forwarding what they carry, and only where it is let to.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, SLACK, wait_for};
use crate::peer::{Delivery, Options, PATIENCE, Peer};

const KEEPALIVE: &str = r#"keepalive = { period = "200ms", retries = 3 }"#;
const ROUTERS_KEEPALIVE: &str = r#"keepalive = { period = "200ms", retries = 3, payload = false }"#;
/// What makes the guest answer over IPv4.
const ANSWERS_V4: &str = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.g.accept_local=1 \
                          net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.g.rp_filter=0";
/// What makes the guest answer over IPv6.
const ANSWERS_V6: &str = "sysctl -qw net.ipv6.conf.all.forwarding=1";

#[test]
fn the_kernel_answers_if_it_forwards_accepts_local_sources_and_does_not_filter_by_reverse_path() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, Options::default(), "");
    let adit = peer.adit(Delivery::V4, Options::default(), KEEPALIVE);
    assert_unanswered(&adit);
    for obstacle in [
        "ip_forward=0",
        "conf.g.accept_local=0",
        "conf.g.rp_filter=1",
        "conf.all.rp_filter=1",
    ] {
        peer.exec(ANSWERS_V4);
        adit.wait_state("t", "up", PATIENCE);
        let mut events = adit.events();
        peer.exec(&format!("sysctl -qw net.ipv4.{obstacle}"));
        assert_in_time(&events.next("t", "down", PATIENCE));
    }
    // Loose reverse path filtering lets the answer through.
    peer.exec(&format!("{ANSWERS_V4} net.ipv4.conf.g.rp_filter=2"));
    adit.wait_state("t", "up", PATIENCE);
}

#[test]
fn the_kernel_answers_over_ipv6_if_it_forwards() {
    let peer = Peer::lent();
    for delivery in [Delivery::V6, Delivery::V6EncapLimit] {
        peer.exec("sysctl -qw net.ipv6.conf.all.forwarding=0");
        peer.tunnel(delivery, Options::default(), "");
        let adit = peer.adit(delivery, Options::default(), KEEPALIVE);
        assert_unanswered(&adit);
        peer.exec(ANSWERS_V6);
        adit.wait_state("t", "up", PATIENCE);
        let mut events = adit.events();
        peer.exec("sysctl -qw net.ipv6.conf.all.forwarding=0");
        assert_in_time(&events.next("t", "down", PATIENCE));
    }
}

#[test]
fn keepalives_with_each_option_over_ipv4_are_answered() {
    each_option_is_answered(Delivery::V4, ANSWERS_V4);
}

#[test]
fn keepalives_with_each_option_over_ipv6_are_answered() {
    each_option_is_answered(Delivery::V6EncapLimit, ANSWERS_V6);
}

fn each_option_is_answered(delivery: Delivery, answers: &str) {
    let peer = Peer::lent();
    for options in Options::all() {
        peer.tunnel(delivery, options, "");
        peer.exec(answers);
        for keepalive in [KEEPALIVE, ROUTERS_KEEPALIVE] {
            // A kernel that expects sequence numbers does not hear a sender that counts anew.
            if options.sequence && keepalive == ROUTERS_KEEPALIVE {
                peer.tunnel(delivery, options, "");
                peer.exec(answers);
            }
            let adit = peer.adit(delivery, options, keepalive);
            peer.wait_ready(&adit);
            let answered = wait_for("three answers", PATIENCE, || {
                let tunnel = adit.tunnel("t");
                (tunnel["keepalive"]["answered"].as_u64()? >= 3).then_some(tunnel)
            });
            assert_eq!(answered["keepalive"]["lost"], 0, "{options:?} {answered:#}");
            let has_time = answered["keepalive"]["rtt_us"]
                .as_u64()
                .is_some_and(|rtt| rtt > 0);
            assert!(has_time, "{options:?} {answered:#}");
            peer.assert_pings("10.9.0.2", 2, &[]);
        }
        assert_eq!(peer.errors(), [], "{options:?}");
    }
}

#[test]
fn a_kernel_whose_tunnel_or_wire_goes_down_is_found_dead_in_time_and_found_again() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, Options::default(), "");
    peer.exec(ANSWERS_V4);
    let adit = peer.adit(Delivery::V4, Options::default(), KEEPALIVE);
    let mut events = adit.events();
    for interface in ["g", "eth0"] {
        adit.wait_state("t", "up", PATIENCE);
        peer.exec(&format!("ip link set {interface} down"));
        assert_in_time(&events.next("t", "down", PATIENCE));
        assert!(
            peer.near.ip("link show tun-t").contains("NO-CARRIER"),
            "after {interface} went down"
        );
        peer.exec(&format!("ip link set {interface} up"));
    }
    peer.wait_ready(&adit);
    peer.assert_pings("10.9.0.2", 2, &[]);
}

/// The peer was declared dead no later than computed.
fn assert_in_time(down: &Value) {
    let took = Duration::from_millis(down["since_last_proof_ms"].as_u64().unwrap());
    let worst = Duration::from_millis(down["worst_case_ms"].as_u64().unwrap());
    assert!(took <= worst + SLACK, "{took:?} against {worst:?}");
}

/// More requests than it takes are sent, and the tunnel does not come up.
fn assert_unanswered(adit: &Daemon) {
    let tunnel = wait_for("five requests", PATIENCE, || {
        Some(adit.tunnel("t")).filter(|tunnel| tunnel["keepalive"]["sent"].as_u64() >= Some(5))
    });
    assert_eq!(tunnel["keepalive"]["answered"], 0, "{tunnel:#}");
    assert_ne!(tunnel["state"], "up");
}
