//! The limits of an association: a soft one is told once, a hard one ends it and the tunnel with it.

use std::time::{Duration, Instant};

use adit_crypto::Suite;

use super::common::{Daemon, Events, SLACK, wait_for};
use super::packet::Seen;
use super::site::{Keys, Pair, Tunnel};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

fn silent<'a>(near: Tunnel<'a>, far: Tunnel<'a>) -> Pair {
    Pair::on(near, far, |sites| {
        for site in [&sites.a, &sites.b] {
            site.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
        }
    })
}

/// Pings once, whatever becomes of it, so that pings do not leave together.
fn ping(pair: &Pair, times: u32) {
    for _ in 0..times {
        pair.sites.a.output(
            "ping",
            &["-q", "-c", "1", "-W", "0.02", "-s", "72", "10.9.0.2"],
        );
    }
}

fn goes_down(daemon: &Daemon, events: &mut Events) {
    let down = events.next("t", "down", PATIENCE);
    assert_eq!(down["reason"], "sa_expired", "{down}");
    let status = daemon.wait_state("t", "down", PATIENCE);
    assert_eq!(status["reason"], "sa_expired");
}

/// Packets of UDP or ESP that the near end sent since the capture began.
fn left(capture: &Capture) -> usize {
    let packets = capture.drain();
    let seen = packets.iter().filter_map(|packet| Seen::read(packet));
    let near = Delivery::V4.address(1);
    seen.filter(|seen| seen.source == near && matches!(seen.protocol, 17 | 50))
        .count()
}

#[test]
fn after_the_last_packet_or_octet_that_an_outbound_sa_may_send_nothing_leaves() {
    for (mode, udp) in [("esp", "true"), ("gre-esp", "false")] {
        for limit in ["packets", "octets"] {
            let what = format!("{mode}, {limit}");
            // Each ping is 100 octets inside, and 104 with GRE.
            let inner = if mode == "esp" { 100 } else { 104 };
            let unit = if limit == "octets" { inner } else { 1 };
            let out = format!(
                ", soft = {{ {limit} = {} }}, hard = {{ {limit} = {} }}",
                3 * unit,
                6 * unit
            );
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let tunnel = Tunnel::new(Delivery::V4, mode, udp, &keys);
            let pair = silent(
                Tunnel {
                    sa: [&out, ""],
                    ..tunnel
                },
                tunnel,
            );
            let mut events = pair.near.events();
            let capture = Capture::start(&pair.sites.b, Delivery::V4);
            ping(&pair, 3);
            let soft = events.next("t", "sa-soft-limit", PATIENCE);
            assert!(
                soft["reason"].as_str().unwrap().contains("outbound"),
                "{soft}"
            );
            assert_eq!(pair.near.tunnel("t")["state"], "up", "{what}");
            ping(&pair, 3);
            goes_down(&pair.near, &mut events);
            assert_eq!(left(&capture), 6, "{what}");
            assert_eq!(pair.far.counter("t", "inbound_packets"), 6, "{what}");
            ping(&pair, 3);
            assert_eq!(left(&capture), 0, "{what}");
            // The peer may still send, and is not listened to.
            let refused = pair.near.drops("t", "sa_expired");
            pair.sites
                .b
                .output("ping", &["-q", "-c", "1", "-W", "0.05", "10.9.0.1"]);
            wait_for(&what, PATIENCE, || {
                (pair.near.drops("t", "sa_expired") > refused).then_some(())
            });
            assert_eq!(left(&capture), 0, "{what}");
        }
    }
}

#[test]
fn the_end_of_an_inbound_sa_takes_the_tunnel_down_though_nothing_is_sent() {
    let keys = Keys::new(Suite::Aes128Gcm16, 0);
    let tunnel = Tunnel::new(Delivery::V4, "esp", "true", &keys);
    let pair = silent(
        tunnel,
        Tunnel {
            sa: ["", ", hard = { packets = 3 }"],
            ..tunnel
        },
    );
    pair.sites.b.run("nft", &["add", "table", "ip", "mute"]);
    pair.sites.b.run(
        "nft",
        &[
            "add",
            "chain",
            "ip",
            "mute",
            "in",
            "{ type filter hook input priority 0; }",
        ],
    );
    pair.sites.b.run(
        "nft",
        &["add", "rule", "ip", "mute", "in", "iifname", "t", "drop"],
    );
    let mut events = pair.far.events();
    ping(&pair, 5);
    goes_down(&pair.far, &mut events);
    assert_eq!(pair.far.counter("t", "inbound_packets"), 3);
    assert_eq!(pair.far.counter("t", "outbound_packets"), 0);
    assert_eq!(
        pair.far.tunnel("t")["drops"],
        serde_json::json!({ "sa_expired": 2 })
    );
}

#[test]
fn time_ends_an_idle_sa_too_and_a_soft_limit_is_told_once() {
    let keys = Keys::new(Suite::Aes128Gcm16, 0);
    let tunnel = Tunnel::new(Delivery::V4, "esp", "true", &keys);
    let out = ", soft = { time = \"1s\" }, hard = { time = \"2s\" }";
    let start = Instant::now();
    let pair = silent(
        Tunnel {
            sa: [out, ""],
            ..tunnel
        },
        tunnel,
    );
    let mut events = pair.near.events();
    events.next("t", "sa-soft-limit", PATIENCE);
    let soft = start.elapsed();
    assert!(soft >= Duration::from_secs(1), "{soft:?}");
    let up = pair.near.tunnel("t")["state_ms"].as_u64().unwrap();
    assert!(
        up <= 1000 + u64::try_from(SLACK.as_millis()).unwrap(),
        "{up}"
    );
    ping(&pair, 2);
    let next = events.next("t", "down", PATIENCE);
    assert_eq!(next["reason"], "sa_expired");
    assert!(start.elapsed() >= Duration::from_secs(2));
    let log = pair.near.log();
    assert_eq!(log.matches("event=\"sa-soft-limit\"").count(), 1, "{log}");
    let capture = Capture::start(&pair.sites.b, Delivery::V4);
    ping(&pair, 2);
    assert_eq!(left(&capture), 0);
}
