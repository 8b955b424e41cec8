//! When a peer's death is found: never later than computed, never before its time, and not for less.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Daemon, impair, unix_us, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel, assert_on_time};

const PERIOD: Duration = Duration::from_millis(200);
const RETRIES: u32 = 3;

fn assert_death(near: &mut crate::common::Events, cause_us: u64) {
    let down = near.next("t1", "down", PATIENCE);
    assert_on_time(&down, cause_us, PERIOD, RETRIES);
}

fn assert_recovery(sites: &Pair, tunnel: &Tunnel, ends: &[&Daemon]) {
    for end in ends {
        end.wait_state(&tunnel.name(), "up", PATIENCE);
    }
    assert!(sites.carries(tunnel));
}

#[test]
fn a_killed_peer_is_found_dead_in_time_over_ipv4_and_ipv6() {
    for outer_v6 in [false, true] {
        let sites = Pair::new();
        let tunnel = Tunnel::new(1).over_v6(outer_v6);
        let (near, mut far) = sites.start(&tunnel);
        let mut events = near.events();
        let killed_us = unix_us();
        far.kill();
        assert_death(&mut events, killed_us);
    }
}

#[test]
fn a_wire_cut_in_either_direction_alone_takes_both_ends_down_in_time_and_its_mending_brings_them_back()
 {
    for towards_b in [true, false] {
        let sites = Pair::new();
        let tunnel = Tunnel::new(1);
        let (near, far) = sites.start(&tunnel);
        let (mut near_events, mut far_events) = (near.events(), far.events());
        sites.black_hole(towards_b);
        let cut_us = unix_us();
        assert_death(&mut near_events, cut_us);
        assert_death(&mut far_events, cut_us);
        sites.mend();
        assert_recovery(&sites, &tunnel, &[&near, &far]);
    }
}

#[test]
fn a_peer_without_its_address_is_found_dead_in_time_and_comes_back_with_it() {
    for outer_v6 in [false, true] {
        let sites = Pair::new();
        let tunnel = Tunnel::new(1).over_v6(outer_v6);
        let (near, far) = sites.start(&tunnel);
        let mut events = near.events();
        let address = if outer_v6 {
            "2001:db8::2/64"
        } else {
            "192.0.2.2/24"
        };
        sites.b.ip(&format!("addr del {address} dev wire"));
        assert_death(&mut events, unix_us());
        let nodad = if outer_v6 { "nodad" } else { "" };
        sites.b.ip(&format!("addr add {address} dev wire {nodad}"));
        assert_recovery(&sites, &tunnel, &[&near, &far]);
    }
}

#[test]
fn our_own_address_removed_takes_the_tunnel_down_in_time_and_its_return_brings_it_back() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let (near, far) = sites.start(&tunnel);
    let mut events = near.events();
    sites.a.ip("addr del 192.0.2.1/24 dev wire");
    assert_death(&mut events, unix_us());
    sites.a.ip("addr add 192.0.2.1/24 dev wire");
    assert_recovery(&sites, &tunnel, &[&near, &far]);
}

#[test]
fn a_wire_that_goes_down_as_a_link_is_found_in_time_and_comes_back() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let (near, far) = sites.start(&tunnel);
    let mut events = near.events();
    sites.b.ip("link set wire down");
    assert_death(&mut events, unix_us());
    sites.b.ip("link set wire up");
    assert_recovery(&sites, &tunnel, &[&near, &far]);
}

/// A peer behind a router, so that the way to it is a route that can go.
fn behind_a_route(sites: &Pair, period: &str) -> (Daemon, Daemon) {
    sites.b.ip("addr add 203.0.113.2/32 dev lo");
    sites.a.ip(ROUTE_ADD);
    let keepalive = format!("{{ period = \"{period}\", retries = 3 }}");
    let common = "mode = \"gre\"\ninterface = \"gre-1\"";
    let near = format!(
        "[tunnel.t1]\n{common}\nremote = \"203.0.113.2\"\naddresses = [\"10.9.1.1/30\", \"fd00:9:1::1/64\"]\nkeepalive = {keepalive}\n"
    );
    let far = format!(
        "[tunnel.t1]\n{common}\nlocal = \"203.0.113.2\"\nremote = \"192.0.2.1\"\naddresses = [\"10.9.1.2/30\", \"fd00:9:1::2/64\"]\nkeepalive = {keepalive}\n"
    );
    let near = Daemon::start(&sites.a, &near);
    let far = Daemon::start(&sites.b, &far);
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    (near, far)
}

const ROUTE_ADD: &str = "route add 203.0.113.2 via 192.0.2.2";
const ROUTE_DEL: &str = "route del 203.0.113.2 via 192.0.2.2";

#[test]
fn an_outer_route_that_flaps_for_less_than_the_detection_time_does_not_drop_the_tunnel() {
    let sites = Pair::new();
    let (near, _far) = behind_a_route(&sites, "400ms");
    let answered = |near: &Daemon| near.tunnel("t1")["keepalive"]["answered"].as_u64().unwrap();
    for _ in 0..3 {
        let before = answered(&near);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(600) {
            sites.a.ip(ROUTE_DEL);
            sites.a.ip(ROUTE_ADD);
        }
        wait_for("another answer", PATIENCE, || {
            (answered(&near) > before).then_some(())
        });
    }
    let status = near.tunnel("t1");
    assert_eq!(
        (&status["state"], &status["deaths"]),
        (&Value::from("up"), &Value::from(0))
    );
    assert!(sites.a.pings("10.9.1.2", 3, &[]));
}

#[test]
fn an_outer_route_that_stays_away_drops_the_tunnel_in_time_and_its_return_brings_it_back() {
    let sites = Pair::new();
    let (near, far) = behind_a_route(&sites, "200ms");
    let mut events = near.events();
    sites.a.ip(ROUTE_DEL);
    assert_death(&mut events, unix_us());
    sites.a.ip(ROUTE_ADD);
    assert_recovery(&sites, &Tunnel::new(1), &[&near, &far]);
}

#[test]
fn a_suspect_tunnel_still_forwards_and_recovers_without_a_down() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).keepalive("{ period = \"1s\", retries = 5 }");
    let (near, _far) = sites.start(&tunnel);
    let mut events = near.events();
    // An answer's GRE header has protocol type 0, and no packet else has.
    impair(&sites.a, "ip protocol gre @th,16,16 0 drop");
    events.next("t1", "suspect", PATIENCE);
    assert!(sites.carries(&tunnel));
    assert_eq!(near.tunnel("t1")["state"], "suspect");
    sites.mend();
    events.next("t1", "recovered", PATIENCE);
    assert_eq!(near.tunnel("t1")["deaths"], 0);
}
