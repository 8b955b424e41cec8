//! What keepalives count as, what they carry, and what they measure.

use serde_json::Value;

use crate::common::{Daemon, impair, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel};

const FOUR: [&str; 4] = [
    "keepalive_requests_sent",
    "keepalive_requests_received",
    "keepalive_responses_sent",
    "keepalive_responses_received",
];

fn four(daemon: &Daemon) -> [u64; 4] {
    let status = daemon.tunnel("t1");
    FOUR.map(|name| status["counters"][name].as_u64().unwrap())
}

#[test]
fn keepalives_are_counted_at_both_ends_and_never_as_user_traffic() {
    let sites = Pair::new();
    for site in [&sites.a, &sites.b] {
        // Without IPv6 inside, the kernel sends nothing of its own into a tunnel.
        site.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
    }
    let config = |site: u8| {
        let both = (Tunnel::new(1).near(), Tunnel::new(1).far());
        let text = if site == 1 { both.0 } else { both.1 };
        text.replace(&format!(", \"fd00:9:1::{site}/64\""), "")
            .replace(", \"fd00:20:1::/64\"", "")
    };
    let near = Daemon::start(&sites.a, &config(1));
    let far = Daemon::start(&sites.b, &config(2));
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    let enough = || (four(&near)[0] >= 10 && four(&far)[0] >= 10).then_some(());
    wait_for("ten keepalives", PATIENCE, enough);
    for end in [&near, &far] {
        for user in [
            "inbound_packets",
            "inbound_octets",
            "outbound_packets",
            "outbound_octets",
        ] {
            assert_eq!(end.counter("t1", user), 0, "{user}");
        }
    }
    // Between the two reads a keepalive may be under way.
    wait_for("both ends count the same", PATIENCE, || {
        let ([sent, received, answered, proofs], far) = (four(&near), four(&far));
        let lost = near.tunnel("t1")["keepalive"]["lost"].as_u64().unwrap();
        (received == answered
            && sent == proofs + lost
            && far[1] == far[2]
            && far[1] == proofs
            && far[3] == answered)
            .then_some(())
    });
    assert!(sites.a.pings("10.9.1.2", 3, &[]));
    assert_eq!(near.counter("t1", "outbound_packets"), 3);
    assert_eq!(near.counter("t1", "inbound_packets"), 3);
}

#[test]
fn keepalives_go_on_while_the_peer_is_dead() {
    let sites = Pair::new();
    let (near, mut far) = sites.start(&Tunnel::new(1));
    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    let [sent, _, _, proofs] = four(&near);
    wait_for("two more detection times", PATIENCE, || {
        (four(&near)[0] >= sent + 6).then_some(())
    });
    assert_eq!(four(&near)[3], proofs);
    assert_eq!(near.tunnel("t1")["deaths"], 1);
}

#[test]
fn keepalives_pass_tunnels_with_key_checksum_and_sequence_over_ipv4_and_ipv6() {
    for outer_v6 in [false, true] {
        let sites = Pair::new();
        let options = [
            "{}",
            "{ key = 42 }",
            "{ key = 43, checksum = true }",
            "{ key = 44, sequence = true }",
            "{ key = 45, checksum = true, sequence = true }",
        ];
        let tunnels: Vec<_> = (1..)
            .zip(options)
            .map(|(number, gre)| Tunnel::new(number).over_v6(outer_v6).gre(gre))
            .collect();
        let (near, far_text) = crate::site::both(&tunnels);
        let near = Daemon::start(&sites.a, &near);
        let mut far = Daemon::start(&sites.b, &far_text);
        let all = |daemon: &Daemon, state: &str| {
            for tunnel in &tunnels {
                daemon.wait_state(&tunnel.name(), state, PATIENCE);
            }
        };
        all(&near, "up");
        all(&far, "up");
        assert!(tunnels.iter().all(|tunnel| sites.carries(tunnel)));
        far.kill();
        all(&near, "down");
        let far = Daemon::start(&sites.b, &far_text);
        all(&near, "up");
        all(&far, "up");
        assert!(tunnels.iter().all(|tunnel| sites.carries(tunnel)));
        for tunnel in &tunnels {
            assert_eq!(near.drops(&tunnel.name(), "gre_checksum"), 0);
        }
    }
}

#[test]
fn different_keys_in_and_out_are_those_of_requests_and_answers() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let near = Daemon::start(
        &sites.a,
        &tunnel.clone().gre("{ key = { in = 7, out = 9 } }").near(),
    );
    let far = Daemon::start(
        &sites.b,
        &tunnel.clone().gre("{ key = { in = 9, out = 7 } }").far(),
    );
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    assert!(sites.carries(&tunnel));
}

#[test]
fn loss_and_round_trip_times_are_shown_and_single_losses_drop_nothing() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).keepalive("{ period = \"100ms\", retries = 3 }");
    let near = Daemon::start(&sites.a, &tunnel.near());
    let far = Daemon::start(&sites.b, &tunnel.clone().keepalive("false").far());
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    let status = || near.tunnel("t1")["keepalive"].clone();
    let number = |status: &Value, name: &str| status[name].as_u64().unwrap();
    let before = status();
    // Nothing but requests carries a packet between the outer addresses: user traffic is not touched.
    impair(&sites.b, "ip protocol gre numgen inc mod 5 == 0 drop");
    let after = wait_for("fifty keepalives", PATIENCE, || {
        let after = status();
        (number(&after, "sent") >= number(&before, "sent") + 50).then_some(after)
    });
    let sent = number(&after, "sent") - number(&before, "sent");
    let lost = number(&after, "lost") - number(&before, "lost");
    assert!(
        (sent / 5 - 2..=sent / 5 + 2).contains(&lost),
        "{lost} of {sent}: {after}"
    );
    let [min, mean, max, last] =
        ["rtt_min_us", "rtt_mean_us", "rtt_max_us", "rtt_us"].map(|name| number(&after, name));
    assert!(
        0 < min && min <= mean && mean <= max && min <= last && last <= max,
        "{after}"
    );
    assert_eq!(near.tunnel("t1")["deaths"], 0);
    let shown = near.client(&["status", "t1"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("lost") && text.contains("round trip"),
        "{text}"
    );
}
