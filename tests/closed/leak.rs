//! Whatever becomes of a tunnel, its ends and its associations: a capture under load shows nothing of the inside.

use std::collections::BTreeSet;
use std::time::Duration;

use adit::keys::{KeyFile, OutboundState};
use serde_json::Value;

use crate::capture::Capture;
use crate::common::{Daemon, Namespace, wait_for};
use crate::load::Load;
use crate::site::{PATIENCE, Pair, SPI_A, Tunnel};

/// How long the load runs against what is closed.
const WHILE: Duration = Duration::from_millis(400);

/// The guards of a site.
fn guards(site: &Namespace) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for family in ["-4", "-6"] {
        let shown = site.ip(&format!(
            "-j {family} route show proto 173 type unreachable"
        ));
        let routes = serde_json::from_str::<Value>(&shown).unwrap_or_default();
        for route in routes.as_array().into_iter().flatten() {
            found.insert(route["dst"].as_str().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn the_capture_sees_what_leaves_in_clear_without_a_tunnel_and_without_a_guard() {
    let pair = Pair::alone();
    let capture = Capture::start(&pair.a);
    let load = Load::start(&pair);
    load.await_delivery_in_clear(2);
    let faults = capture.finish().faults();
    assert!(faults["a payload"] > 10, "{faults:?}");

    let unguarded = Tunnel::new("esp").with("leak-guard = false");
    let (mut near, _far) = pair.start(&unguarded);
    load.await_delivery(2);
    near.kill();
    let capture = Capture::start(&pair.a);
    std::thread::sleep(WHILE);
    let faults = capture.finish().faults();
    assert!(faults["a payload"] > 10, "{faults:?}");
}

fn nothing_leaves_in_clear(tunnel: &Tunnel) {
    let pair = Pair::alone();
    let (mut near, mut far) = pair.start(tunnel);
    let capture = Capture::start(&pair.a);
    let load = Load::start(&pair);
    let flows = || {
        load.await_delivery(1);
        load.await_delivery(2);
    };
    flows();
    load.await_stream();

    far.kill();
    near.wait_state("t", "down", PATIENCE);
    std::thread::sleep(WHILE);
    far.restart(&pair.b);
    near.wait_state("t", "up", PATIENCE);
    flows();

    near.kill();
    far.wait_state("t", "down", PATIENCE);
    near.restart(&pair.a);
    far.wait_state("t", "up", PATIENCE);
    flows();

    let (_, status) = near.terminate();
    assert!(status.success());
    std::thread::sleep(WHILE);
    far.terminate();
    std::thread::sleep(WHILE);
    near.restart(&pair.a);
    far.restart(&pair.b);
    flows();

    pair.a.ip("link del tun-t");
    flows();
    pair.a.ip("link set tun-t down");
    std::thread::sleep(WHILE);
    near.restart(&pair.a);
    flows();
    pair.black_hole(true);
    near.wait_state("t", "down", PATIENCE);
    far.wait_state("t", "down", PATIENCE);
    std::thread::sleep(WHILE);
    pair.mend();
    flows();
    drop(load);
    capture.finish().assert_closed();
}

#[test]
fn nothing_of_esp_leaves_in_clear_when_an_end_is_killed_stopped_restarted_or_cut_off() {
    nothing_leaves_in_clear(&Tunnel::new("esp"));
}

#[test]
fn nothing_of_esp_in_udp_leaves_in_clear_when_an_end_is_killed_stopped_restarted_or_cut_off() {
    nothing_leaves_in_clear(&Tunnel::new("esp").in_udp());
}

#[test]
fn nothing_of_gre_in_esp_leaves_in_clear_when_an_end_is_killed_stopped_restarted_or_cut_off() {
    nothing_leaves_in_clear(&Tunnel::new("gre-esp"));
}

#[test]
fn nothing_of_gre_in_esp_in_udp_over_ipv6_leaves_in_clear_when_an_end_is_killed_stopped_or_cut_off()
{
    nothing_leaves_in_clear(&Tunnel::new("gre-esp").in_udp().over_v6());
}

#[test]
fn an_end_that_the_operator_takes_down_and_up_again_leaves_the_other_closed() {
    for mode in ["esp", "gre-esp"] {
        let pair = Pair::alone();
        let (near, far) = pair.start(&Tunnel::new(mode));
        // What `a` itself sends follows its other routes once the operator took the tunnel down.
        pair.a.ip("route del default");
        pair.a.ip("-6 route del default");
        let capture = Capture::start(&pair.a);
        let load = Load::start(&pair);
        for _ in 0..3 {
            load.await_delivery(1);
            assert!(near.client(&["down", "t"]).status.success());
            assert_eq!(guards(&pair.a), BTreeSet::new());
            far.wait_state("t", "down", PATIENCE);
            assert!(near.client(&["up", "t"]).status.success());
            far.wait_state("t", "up", PATIENCE);
        }
        load.await_delivery(2);
        drop(load);
        capture.finish().assert_closed();
    }
}

#[test]
fn an_association_at_its_hard_limit_takes_the_tunnel_down_and_sends_nothing_more() {
    for limit in ["time = \"2s\"", "packets = 3000", "octets = 2000000"] {
        let pair = Pair::alone();
        let tunnel = Tunnel::new("esp").in_udp();
        let limited = tunnel.clone().out(&format!(", hard = {{ {limit} }}"));
        let near = Daemon::start(&pair.a, &pair.near(&limited));
        let far = Daemon::start(&pair.b, &pair.far(&tunnel));
        near.wait_state("t", "up", PATIENCE);
        let capture = Capture::start(&pair.a);
        let load = Load::start(&pair);
        load.await_delivery(2);
        let down = near.wait_state("t", "down", PATIENCE);
        assert_eq!(down["reason"], "sa_expired", "{limit}");
        far.wait_state("t", "down", PATIENCE);
        capture.finish().assert_closed();

        let capture = Capture::start(&pair.a);
        std::thread::sleep(WHILE);
        drop(load);
        let seen = capture.finish();
        let faults = seen.faults();
        assert!(faults.is_empty(), "{limit}: {faults:#?}");
        assert!(seen.sealed().iter().all(|it| it.spi != SPI_A), "{limit}");
        assert_eq!(near.tunnel("t")["state"], "down", "{limit}");
    }
}

#[test]
fn an_inbound_association_at_its_hard_limit_takes_the_tunnel_down_and_delivers_nothing_more() {
    let pair = Pair::alone();
    let tunnel = Tunnel::new("gre-esp");
    let limited = pair.near(&tunnel);
    let limited = limited.replace("ba.key\"", "ba.key\", hard = { octets = 500000 }");
    let near = Daemon::start(&pair.a, &limited);
    let far = Daemon::start(&pair.b, &pair.far(&tunnel));
    near.wait_state("t", "up", PATIENCE);
    let capture = Capture::start(&pair.a);
    let load = Load::start(&pair);
    let down = near.wait_state("t", "down", PATIENCE);
    assert_eq!(down["reason"], "sa_expired");
    let delivered = load.delivered(1);
    let octets = near.counter("t", "inbound_octets");
    assert!((200_000..=500_000).contains(&octets), "{octets}");
    far.wait_state("t", "down", PATIENCE);
    std::thread::sleep(WHILE);
    assert_eq!(load.delivered(1), delivered);
    assert!(near.drops("t", "sa_expired") > 0);
    drop(load);
    capture.finish().assert_closed();
}

#[test]
fn an_association_without_numbers_sends_nothing_more_and_does_not_begin_again() {
    const LEFT: u64 = 400;
    let pair = Pair::alone();
    let tunnel = Tunnel::new("esp");
    let short = tunnel.clone().out(", esn = false");
    use_up(&pair, u64::from(u32::MAX) - LEFT);
    let near = Daemon::start(&pair.a, &pair.near(&short));
    // The far end has heard the numbers before these, as its own state tells.
    let inbound = pair
        .far(&tunnel)
        .replace("ab.key\"", "ab.key\", esn = false");
    let key = KeyFile::read(&pair.keys(2).join("ab.key")).unwrap();
    let mut state = adit::keys::InboundState::open(&pair.keys(2).join("ab.key"), &key).unwrap();
    state.save(u64::from(u32::MAX) - LEFT).unwrap();
    drop(state);
    let far = Daemon::start(&pair.b, &inbound);
    near.wait_state("t", "up", PATIENCE);
    let capture = Capture::start(&pair.a);
    let load = Load::start(&pair);
    wait_for("the last number is used", PATIENCE, || {
        (near.drops("t", "sequence_exhausted") > 0).then_some(())
    });
    far.wait_state("t", "down", PATIENCE);
    drop(load);
    let seen = capture.finish();
    seen.assert_closed();
    let numbers: Vec<_> = seen.sealed();
    let numbers = numbers.iter().filter(|it| it.spi == SPI_A).map(|it| it.iv);
    let numbers: Vec<_> = numbers.collect();
    assert!(numbers.is_sorted_by(|one, two| one < two));
    assert_eq!(numbers.last(), Some(&u64::from(u32::MAX)));
    let error = near.tunnel("t")["last_error"].to_string();
    assert!(
        error.contains("every sequence number up to 4294967295 is used"),
        "{error}"
    );

    drop((near, far));
    let mut again = Daemon::launch(&pair.a, &pair.near(&short));
    assert!(!again.wait().success());
    assert!(again.log().contains("adit keygen"), "{}", again.log());
}

/// Uses up all numbers of the key of `a` to `b` up to `last`.
fn use_up(pair: &Pair, last: u64) {
    let path = pair.keys(1).join("ab.key");
    let key = KeyFile::read(&path).unwrap();
    let mut state = OutboundState::open(&path, &key, last).unwrap();
    while state.reserve().is_ok() {}
}

#[test]
fn guards_that_a_crash_left_are_removed_by_the_next_start_that_has_other_routes() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    let (mut near, _far) = pair.start(&tunnel);
    let before = guards(&pair.a);
    assert!(before.contains("10.77.2.0/24"), "{before:?}");
    near.kill();
    assert_eq!(guards(&pair.a), before);
    let other = pair.near(&tunnel).replace("77:2::", "78:2::");
    let other = other.replace("10.77.2.0", "10.78.2.0");
    let _near = Daemon::start(&pair.a, &other);
    let after: BTreeSet<_> = before
        .iter()
        .map(|it| it.replace("77:2::", "78:2::").replace("10.77.", "10.78."))
        .collect();
    wait_for("the guards of the new routes alone", PATIENCE, || {
        (guards(&pair.a) == after).then_some(())
    });
}
