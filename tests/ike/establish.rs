//! From nothing to a tunnel that carries packets.

use std::time::Duration;

use super::PATIENCE;
use super::common::Sites;
use super::site::{Pair, Tunnel};

#[test]
fn two_daemons_with_a_pre_shared_key_make_a_tunnel_that_carries_packets() {
    let pair = Pair::start(Tunnel::new("esp"));
    assert!(pair.pings());
    let near = pair.near.tunnel("t");
    assert_eq!(near["last_error"], serde_json::Value::Null, "{near}");
    assert!(near["esp"]["suite"].is_string(), "{near}");
}

#[test]
fn gre_in_transport_mode_carries_packets() {
    let pair = Pair::start(Tunnel::new("gre-esp"));
    assert!(pair.pings());
}

#[test]
fn gre_in_tunnel_mode_carries_packets_up_to_the_mtu() {
    let pair = Pair::start(Tunnel::new("gre-esp").with_ike(r#", child-mode = "tunnel""#));
    assert!(pair.pings());
    let payload = pair.near.tunnel("t")["mtu"].as_u64().unwrap() - 28;
    let whole = ["-M", "do", "-s", &payload.to_string()];
    assert!(pair.sites.a.pings("10.9.0.2", 5, &whole));
    assert!(pair.sites.b.pings("10.9.0.1", 5, &whole));
}

#[test]
fn with_encapsulation_forced_packets_leave_in_udp() {
    let raw = Pair::start(Tunnel::new("esp"));
    let udp = Pair::start(Tunnel::new("esp").with_ike(r#", encap = "udp""#));
    assert!(udp.pings());
    let overhead = |pair: &Pair| pair.near.tunnel("t")["overhead"].as_u64().unwrap();
    assert_eq!(overhead(&udp), overhead(&raw) + 8);
}

#[test]
fn a_peer_that_may_be_anywhere_is_known_by_its_identity() {
    let tunnel = Tunnel {
        remotes: ["\"192.0.2.2\"", "\"any\""],
        ..Tunnel::new("esp")
    };
    let pair = Pair::start(tunnel);
    assert!(pair.pings());
}

#[test]
fn a_passive_tunnel_waits_for_its_peer() {
    let tunnel = Tunnel {
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let sites = Sites::new();
    let far = tunnel.start(&sites.b, 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_ne!(far.tunnel("t")["state"], "up");
    let near = tunnel.start(&sites.a, 1);
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
}

#[test]
fn a_tunnel_that_starts_on_traffic_is_brought_up_by_a_packet() {
    let tunnel = Tunnel {
        each: ["start = \"on-traffic\"", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let pair = Pair::launch(tunnel);
    std::thread::sleep(Duration::from_millis(500));
    assert_ne!(pair.near.tunnel("t")["state"], "up");
    pair.sites
        .a
        .output("ping", &["-c", "1", "-W", "1", "10.9.0.2"]);
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn an_unused_tunnel_is_shut_after_its_time_and_brought_up_by_traffic() {
    let tunnel = Tunnel {
        each: [
            "start = \"on-traffic\"\nidle-timeout = \"2s\"",
            "start = \"passive\"",
        ],
        ..Tunnel::new("esp")
    };
    let pair = Pair::launch(tunnel);
    let mut events = pair.near.events();
    let wake = || {
        pair.sites
            .a
            .output("ping", &["-c", "1", "-W", "1", "10.9.0.2"])
    };
    wake();
    pair.wait("up");
    events.next("t", "idle", PATIENCE);
    assert_eq!(events.next("t", "down", PATIENCE)["reason"], "idle");
    pair.far.wait_state("t", "down", PATIENCE);
    wake();
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_tunnel_that_starts_on_traffic_is_brought_up_by_a_packet_after_its_peer_deleted_it_too() {
    let tunnel = Tunnel {
        each: ["start = \"on-traffic\"", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let pair = Pair::launch(tunnel);
    let wake = || {
        pair.sites
            .a
            .output("ping", &["-c", "1", "-W", "1", "10.9.0.2"])
    };
    wake();
    pair.wait("up");
    let mut events = pair.near.events();
    assert!(pair.far.client(&["clear", "t"]).status.success());
    assert_eq!(events.next("t", "down", PATIENCE)["reason"], "no_sa");
    // Nobody begins before there is a packet.
    std::thread::sleep(Duration::from_millis(1500));
    assert_ne!(pair.near.tunnel("t")["state"], "up");
    wake();
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_wrong_key_is_told_in_words_at_both_ends() {
    let tunnel = Tunnel {
        psk: [
            "one key that is long enough to do",
            "another one that is long enough",
        ],
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let pair = Pair::launch(tunnel);
    for (end, words) in [
        (&pair.near, "refused our authentication"),
        (&pair.far, "keys differ"),
    ] {
        let told = super::common::wait_for("the reason is told", PATIENCE, || {
            let error = end.tunnel("t")["last_error"].as_str()?.to_owned();
            error.contains(words).then_some(error)
        });
        assert!(
            !told.contains("one key") && !told.contains("another one"),
            "{told}"
        );
    }
}

#[test]
fn proposals_that_do_not_meet_are_told_in_words() {
    let tunnel = Tunnel {
        ike: [
            ", proposals = [\"aes128gcm16-prfsha256-ecp256\"]",
            ", proposals = [\"aes256gcm16-prfsha384-ecp384\"]",
        ],
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let pair = Pair::launch(tunnel);
    super::common::wait_for("the reason is told", PATIENCE, || {
        let error = pair.near.tunnel("t")["last_error"].as_str()?.to_owned();
        error.contains("refused our IKE proposals").then_some(())
    });
}
