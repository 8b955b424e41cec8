//! Damping, and the state at the start.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, Events, unix_us};
use crate::interface::Interface;
use crate::site::{PATIENCE, Pair, Tunnel, assert_on_time};

const PERIOD_US: u64 = 100_000;

/// From the first answer of a tunnel that comes back to its being up, in keepalive periods.
fn hold(events: &mut Events) -> u64 {
    let at = |event: &Value| event["unix_us"].as_u64().unwrap();
    let first = events.next("t1", "probing", PATIENCE);
    let up = events.next("t1", "up", PATIENCE);
    (at(&up) - at(&first) + PERIOD_US / 2) / PERIOD_US
}

#[test]
fn a_tunnel_that_flaps_waits_longer_each_time_before_it_is_up_again() {
    let sites = Pair::new();
    let plain = Tunnel::new(1).keepalive("{ period = \"100ms\", retries = 4 }");
    let damped = plain.clone().with("damping = true");
    let near = Daemon::start(&sites.a, &damped.near());
    near.wait_state("t1", "down", PATIENCE);
    let mut events = near.events();
    let _far = Daemon::start(&sites.b, &plain.far());
    let mut holds = vec![hold(&mut events)];
    for _ in 0..3 {
        sites.black_hole(true);
        events.next("t1", "down", PATIENCE);
        sites.mend();
        holds.push(hold(&mut events));
    }
    assert!(holds[0] >= 4, "periods of hold: {holds:?}");
    assert!(
        holds.is_sorted_by(|a, b| a < b),
        "periods of hold: {holds:?}"
    );
}

#[test]
fn without_damping_the_first_answer_is_enough() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).keepalive("{ period = \"1s\", retries = 1 }");
    let near = Daemon::start(&sites.a, &tunnel.near());
    near.wait_state("t1", "down", PATIENCE);
    let _far = Daemon::start(&sites.b, &tunnel.far());
    let status = near.wait_state("t1", "up", PATIENCE);
    assert_eq!(status["keepalive"]["answered"], 1, "{status}");
}

#[test]
fn initial_up_is_up_at_once_and_goes_down_in_time_when_nobody_answers() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1)
        .with("initial = \"up\"")
        .keepalive("{ period = \"1s\", retries = 2 }");
    let started_us = unix_us();
    let near = Daemon::start(&sites.a, &tunnel.near());
    let mut events = near.events();
    assert_eq!(near.tunnel("t1")["state"], "up");
    Interface::WHOLE.await_at(&sites.a, &tunnel, "at the start");
    let down = events.next("t1", "down", PATIENCE);
    let mut down_with_proof = down.clone();
    assert!(down["since_last_proof_ms"].is_null(), "{down}");
    down_with_proof["since_last_proof_ms"] = 0.into();
    assert_on_time(&down_with_proof, started_us, Duration::from_secs(1), 2);
    Interface::DEAD.await_at(&sites.a, &tunnel, "unanswered");
}
