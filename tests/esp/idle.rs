//! What leaves a tunnel that has nothing to say, and what its packets do not tell by their size.

use std::time::{Duration, Instant};

use adit_crypto::Suite;

use super::common::{Daemon, wait_for};
use super::packet::Seen;
use super::site::{Keys, Pair, Tunnel};
use super::traffic::{datagrams_arrive_intact, streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

const ESP: u8 = 50;

/// Both ends without anything that the kernel sends by itself.
fn silent(near: Tunnel<'_>, far: Tunnel<'_>) -> Pair {
    Pair::on(near, far, |sites| {
        for site in [&sites.a, &sites.b] {
            site.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
        }
    })
}

fn no_drops(pair: &Pair) {
    for daemon in [&pair.near, &pair.far] {
        assert_eq!(daemon.tunnel("t")["drops"], serde_json::json!({}));
    }
}

/// Octets of the ESP packets that came from the near end so far.
fn sizes(capture: &Capture, delivery: Delivery) -> Vec<usize> {
    let near = delivery.address(1);
    let packets = capture.drain();
    let seen = packets.iter().filter_map(|packet| Seen::read(packet));
    let ours = seen.filter(|seen| seen.protocol == ESP && seen.source == near && !seen.fragment);
    ours.map(|seen| seen.payload.len()).collect()
}

#[test]
fn padded_to_the_mtu_every_packet_is_as_large_as_the_largest() {
    for delivery in Delivery::BOTH {
        let keys = Keys::new(Suite::Aes128Gcm16, 0);
        let pair = Pair::start(
            Tunnel::new(delivery, "esp", "false", &keys).with("tfc = { pad = \"mtu\" }"),
        );
        let capture = Capture::start(&pair.sites.b, delivery);
        for address in ["10.9.0.2", "fd00:9::2"] {
            wait_for_ping(&pair.sites.a, address);
            let inner = address.parse().unwrap();
            datagrams_arrive_intact(
                &pair.sites.a,
                &pair.sites.b,
                inner,
                [1, 100, 1000, 1300].into_iter(),
            );
            streams_arrive_intact(&pair.sites.a, &pair.sites.b, inner, 200_000);
        }
        let sizes = sizes(&capture, delivery);
        assert!(sizes.len() > 10);
        // What fills 1500 octets to a multiple of 4.
        let whole = usize::from(1500 - delivery.octets());
        assert!(
            sizes.iter().all(|octets| *octets == whole),
            "{delivery:?}: {sizes:?}"
        );
        no_drops(&pair);
    }
}

#[test]
fn padded_to_a_number_shorter_packets_are_equal_and_longer_ones_are_as_they_are() {
    let keys = Keys::new(Suite::ChaCha20Poly1305, 0);
    let tunnel = Tunnel::new(Delivery::V4, "esp", "false", &keys).with("tfc = { pad = 600 }");
    let pair = silent(tunnel, tunnel);
    wait_for_ping(&pair.sites.a, "10.9.0.2");
    let capture = Capture::start(&pair.sites.b, Delivery::V4);
    for octets in ["0", "500", "572", "573", "1000"] {
        assert!(pair.sites.a.pings("10.9.0.2", 1, &["-s", octets]));
    }
    // 16 before and 16 behind, 2 of the trailer, a multiple of 4 in between.
    assert_eq!(sizes(&capture, Delivery::V4), [636, 636, 636, 636, 1064]);
    no_drops(&pair);
}

/// Of what is sent every 200 ms of silence.
const INTERVAL: Duration = Duration::from_millis(200);

/// Fails unless each count rises about once an interval, whatever the others do.
fn each_keeps_its_pace(what: &str, counts: &[&dyn Fn() -> u64]) {
    let read = |count: &&dyn Fn() -> u64| {
        let start = Instant::now();
        (start, count(), Instant::now())
    };
    let before: Vec<_> = counts.iter().map(read).collect();
    std::thread::sleep(INTERVAL * 5);
    for (count, (earliest, before, latest)) in counts.iter().zip(before) {
        let (start, after, end) = read(count);
        let least = (start - latest).div_duration_f64(INTERVAL) / 2.0;
        let most = (end - earliest).div_duration_f64(INTERVAL) + 1.0;
        let rose = (after - before) as f64;
        assert!(
            (least..=most).contains(&rose),
            "{what}: {rose} of {least}..={most}"
        );
    }
}

/// Fails unless a count rises by less than half of what silence would let it, while user data leaves four times an interval.
fn is_rare_under_load(pair: &Pair, count: &dyn Fn() -> u64) {
    let (start, before) = (Instant::now(), count());
    let arguments = ["-q", "-c", "25", "-i", "0.05", "10.9.0.2"];
    pair.sites.a.run("ping", &arguments);
    let (rose, took) = (count() - before, start.elapsed());
    let most = took.div_duration_f64(INTERVAL) / 2.0;
    assert!((rose as f64) < most, "{rose} in {took:?}");
}

#[test]
fn dummies_leave_while_nothing_else_does_and_are_discarded_by_the_peer() {
    for udp in ["true", "false"] {
        let keys = Keys::new(Suite::Aes256Gcm16, 0);
        let near =
            Tunnel::new(Delivery::V4, "esp", udp, &keys).with("tfc = { dummies = \"200ms\" }");
        let pair = silent(near, near.with(""));
        let received = || pair.far.counter("t", "dummies_received");
        wait_for("a dummy came", PATIENCE, || (received() > 0).then_some(()));
        each_keeps_its_pace("dummies", &[&received]);
        assert_eq!(pair.far.counter("t", "inbound_packets"), 0);
        is_rare_under_load(&pair, &|| pair.near.counter("t", "dummies_sent"));
        assert_eq!(pair.far.counter("t", "dummies_sent"), 0);
        no_drops(&pair);
    }
}

/// Mode, `udp`, kind, the inner addresses but their ends, and the receiver's counter.
const WARM: [(&str, &str, &str, &str, &str); 6] = [
    ("esp", "true", "udp9", "10.9.0.", "warm_received"),
    ("esp", "false", "icmp", "fd00:9::", "warm_received"),
    ("esp", "true", "dummy59", "10.9.0.", "dummies_received"),
    ("gre-esp", "false", "udp9", "fd00:9::", "warm_received"),
    ("gre-esp", "true", "icmp", "10.9.0.", "warm_received"),
    ("gre-esp", "false", "dummy59", "10.9.0.", "dummies_received"),
];

#[test]
fn warm_packets_are_counted_and_not_delivered_and_two_idle_ends_do_not_answer_each_other() {
    for (mode, udp, kind, net, counter) in WARM {
        let what = format!("{mode}, {kind}");
        let keys = Keys::new(Suite::Aes128Gcm16, 0);
        let [near, far] = [2, 1].map(|to| {
            format!(
                "warm = {{ interval = \"200ms\", kind = \"{kind}\", destination = \"{net}{to}\" }}"
            )
        });
        let tunnel = Tunnel::new(Delivery::V4, mode, udp, &keys);
        let pair = silent(tunnel.with(&near), tunnel.with(&far));
        let received = |daemon: &Daemon| daemon.counter("t", counter);
        wait_for(&what, PATIENCE, || {
            (received(&pair.near) > 0 && received(&pair.far) > 0).then_some(())
        });
        each_keeps_its_pace(&what, &[&|| received(&pair.near), &|| received(&pair.far)]);
        for daemon in [&pair.near, &pair.far] {
            for name in ["inbound_packets", "outbound_packets"] {
                assert_eq!(daemon.counter("t", name), 0, "{what}: {name}");
            }
        }
        no_drops(&pair);
    }
}

#[test]
fn user_data_makes_warm_packets_unnecessary() {
    let keys = Keys::new(Suite::Aes128Gcm16, 0);
    let tunnel = Tunnel::new(Delivery::V6, "esp", "true", &keys);
    let pair = silent(tunnel.with("warm = { interval = \"200ms\" }"), tunnel);
    wait_for_ping(&pair.sites.a, "10.9.0.2");
    let sent = || pair.near.counter("t", "warm_sent");
    is_rare_under_load(&pair, &sent);
    let before = sent();
    wait_for("a warm packet leaves", PATIENCE, || {
        (sent() > before).then_some(())
    });
}
