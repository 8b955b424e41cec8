//! Several remotes: the next one when one dies, around again, and back to the preferred one.
//!
//! ```text
//! namespace a ── wire  192.0.2.0/24 ──── namespace b   preferred
//!             └─ wire2 198.51.100.0/24 ─ namespace c   second
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::{Daemon, Namespace, wait_for};
use crate::interface::Interface;
use crate::site::{PATIENCE, Pair, Tunnel};
use crate::wire::Capture;

const FIRST: &str = "192.0.2.2";
const SECOND: &str = "198.51.100.2";

/// The sites, and a third one with a wire of its own to the near one.
struct Three {
    pair: Pair,
    c: Namespace,
}

impl Three {
    fn new() -> Self {
        let pair = Pair::new();
        let c = Namespace::new();
        pair.a.ip(&format!(
            "link add wire2 type veth peer name wire netns {}",
            c.name
        ));
        pair.a.ip("link set wire2 up");
        pair.a.ip("addr add 198.51.100.1/24 dev wire2");
        c.ip("link set wire up");
        c.ip("addr add 198.51.100.2/24 dev wire");
        Self { pair, c }
    }

    /// The peer at `SECOND`, with the same addresses inside as the one at `FIRST`.
    fn second(&self) -> Daemon {
        let far = Tunnel::new(1).keepalive("false").far();
        Daemon::start(
            &self.c,
            &far.replace(FIRST, SECOND)
                .replace("192.0.2.1", "198.51.100.1"),
        )
    }

    fn first(&self) -> Daemon {
        Daemon::start(&self.pair.b, &Tunnel::new(1).keepalive("false").far())
    }

    fn near(&self, remotes: &[&str], more: &str) -> Daemon {
        Daemon::start(&self.pair.a, &near(remotes, more))
    }
}

fn near(remotes: &[&str], more: &str) -> String {
    let text = Tunnel::new(1).with(more).near();
    text.replace("local = \"192.0.2.1\"\n", "")
        .replace("remote = \"192.0.2.2\"", &format!("remote = {remotes:?}"))
}

#[test]
fn the_next_remote_takes_over_and_after_the_last_the_first_is_tried_again() {
    let sites = Three::new();
    let mut first = sites.first();
    let mut second = sites.second();
    let near = sites.near(&[FIRST, SECOND], "");
    let status = near.wait_state("t1", "up", PATIENCE);
    assert_eq!(
        (&status["remote"], &status["remote_index"]),
        (&FIRST.into(), &0.into())
    );
    let mut events = near.events();
    first.kill();
    assert_eq!(events.next("t1", "down", PATIENCE)["remote"], FIRST);
    assert_eq!(events.next("t1", "failover", PATIENCE)["remote"], SECOND);
    assert_eq!(events.next("t1", "up", PATIENCE)["remote"], SECOND);
    let status = near.tunnel("t1");
    assert_eq!(
        (&status["remote"], &status["local"]),
        (&SECOND.into(), &"198.51.100.1".into())
    );
    Interface::WHOLE.await_at(&sites.pair.a, &Tunnel::new(1), "over the second remote");
    assert!(sites.pair.carries(&Tunnel::new(1)));
    second.kill();
    assert_eq!(events.next("t1", "down", PATIENCE)["remote"], SECOND);
    let _first = sites.first();
    assert_eq!(events.next("t1", "up", PATIENCE)["remote"], FIRST);
    assert_eq!(near.tunnel("t1")["remote_index"], 0);
    wait_for("packets pass", PATIENCE, || {
        sites.pair.carries(&Tunnel::new(1)).then_some(())
    });
}

#[test]
fn while_down_only_the_current_remote_is_probed_each_for_one_detection_time() {
    let sites = Three::new();
    let mut capture = Capture::new(&sites.pair.a);
    let near = sites.near(&[FIRST, SECOND], "");
    let mut runs: Vec<(Ipv4Addr, u32)> = Vec::new();
    wait_for("five turns", 2 * PATIENCE, || {
        for destination in capture.gre_destinations() {
            match runs.last_mut() {
                Some((last, count)) if *last == destination => *count += 1,
                _ => runs.push((destination, 1)),
            }
        }
        (runs.len() > 5).then_some(())
    });
    let [first, second]: [Ipv4Addr; 2] = [FIRST, SECOND].map(|address| address.parse().unwrap());
    for (index, &(destination, count)) in runs[..5].iter().enumerate() {
        assert_eq!(
            destination,
            if index % 2 == 0 { first } else { second },
            "{runs:?}"
        );
        // The request of the tick that makes the verdict still goes to the old one.
        assert!((3..=4).contains(&count), "{runs:?}");
    }
    assert_eq!(near.tunnel("t1")["deaths"], 0);
}

#[test]
fn failback_returns_after_the_hold_time_without_a_drop() {
    let sites = Three::new();
    let _second = sites.second();
    let near = sites.near(&[FIRST, SECOND], "failback = \"1s\"");
    let mut events = near.events();
    assert_eq!(events.next("t1", "up", PATIENCE)["remote"], SECOND);
    let first = sites.first();
    first.wait_state("t1", "up", PATIENCE);
    let changes = carrier_changes(&sites.pair);
    let ping = ["-q", "-i", "0.02", "-w", "4", "-W", "1", "10.9.1.2"];
    let pinging = sites.pair.a.spawn("ping", &ping);
    let back = events.next("t1", "failback", PATIENCE);
    assert_eq!(back["remote"], FIRST);
    let status = near.tunnel("t1");
    assert_eq!(
        (&status["state"], &status["remote"]),
        (&"up".into(), &FIRST.into())
    );
    assert_eq!(status["deaths"], 0);
    let output = pinging.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u32> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // An answer that is under way from the old remote at the change is no longer the tunnel's.
    assert!(numbers[0] >= 50 && numbers[0] - numbers[1] <= 2, "{text}");
    assert_eq!(carrier_changes(&sites.pair), changes);
    assert!(first.counter("t1", "outbound_packets") > 0);
}

fn carrier_changes(sites: &Pair) -> String {
    sites
        .a
        .run("cat", &["/sys/class/net/gre-1/carrier_changes"])
}

fn responses(daemon: &Daemon) -> u64 {
    daemon.counter("t1", "keepalive_responses_sent")
}

#[test]
fn a_preferred_remote_that_answers_for_less_than_the_hold_time_is_not_gone_back_to() {
    let sites = Three::new();
    let _second = sites.second();
    let near = sites.near(&[FIRST, SECOND], "failback = \"3600s\"");
    near.wait_state("t1", "up", PATIENCE);
    let first = sites.first();
    wait_for("the first remote is probed", PATIENCE, || {
        (responses(&first) > 10).then_some(())
    });
    let status = near.tunnel("t1");
    assert_eq!(
        (&status["state"], &status["remote"]),
        (&"up".into(), &SECOND.into())
    );
}

#[test]
fn a_name_that_does_not_resolve_is_named_in_status_and_the_next_remote_is_used() {
    let sites = Three::new();
    let near = sites.near(&["gateway.invalid", SECOND], "");
    let mut events = near.events();
    let _second = sites.second();
    let status = near.wait_state("t1", "up", 2 * PATIENCE);
    assert_eq!(
        (&status["remote"], &status["remote_index"]),
        (&SECOND.into(), &1.into())
    );
    let error = status["last_error"].as_str().unwrap();
    assert!(error.contains("gateway.invalid"), "{error}");
    assert_eq!(status["remotes"][0], "gateway.invalid");
    events.next("t1", "up", PATIENCE);
    assert!(sites.pair.carries(&Tunnel::new(1)));
}

#[test]
fn a_tunnel_whose_only_name_does_not_resolve_says_so() {
    let sites = Pair::new();
    let near = Daemon::start(&sites.a, &near(&["gateway.invalid"], ""));
    let status = near.wait_state("t1", "resolve-failed", 2 * PATIENCE);
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("gateway.invalid"), "{reason}");
    Interface::DEAD.await_at(&sites.a, &Tunnel::new(1), "without an address");
}

#[test]
fn a_remote_without_a_route_is_named_in_status_and_used_as_soon_as_there_is_one() {
    let sites = Three::new();
    sites.pair.a.ip("addr del 192.0.2.1/24 dev wire");
    sites.pair.a.ip("link set wire2 down");
    let near = sites.near(&[FIRST], "");
    near.wait_state("t1", "no-route", PATIENCE);
    let _first = sites.first();
    sites.pair.a.ip("addr add 192.0.2.1/24 dev wire");
    // At once, not at the next try.
    near.wait_state("t1", "up", Duration::from_secs(3));
    assert!(sites.pair.carries(&Tunnel::new(1)));
}
