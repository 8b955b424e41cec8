//! A keepalive needs nothing of the far end but that it answers.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::{Daemon, unix_us};
use crate::site::{PATIENCE, Pair, Tunnel, assert_on_time};
use std::time::Duration;

#[test]
fn one_end_alone_watches_a_peer_that_sends_no_keepalives() {
    for outer_v6 in [false, true] {
        let sites = Pair::new();
        let tunnel = Tunnel::new(1).over_v6(outer_v6);
        let near = Daemon::start(&sites.a, &tunnel.near());
        let mut far = Daemon::start(&sites.b, &tunnel.clone().keepalive("false").far());
        for end in [&near, &far] {
            end.wait_state("t1", "up", PATIENCE);
        }
        assert!(sites.carries(&tunnel));
        assert_eq!(far.counter("t1", "keepalive_requests_sent"), 0);
        assert!(far.counter("t1", "keepalive_responses_sent") > 0);
        let mut events = near.events();
        let killed_us = unix_us();
        far.kill();
        let down = events.next("t1", "down", PATIENCE);
        assert_on_time(&down, killed_us, Duration::from_millis(200), 3);
    }
}

#[test]
fn a_far_end_that_may_not_answer_is_down_to_us_and_counts_why() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let silent = tunnel
        .clone()
        .keepalive("false")
        .with("answer-keepalives = false");
    let near = Daemon::start(&sites.a, &tunnel.near());
    let far = Daemon::start(&sites.b, &silent.far());
    let status = near.wait_state("t1", "down", PATIENCE);
    assert_eq!(status["reason"], "keepalive_unanswered");
    assert_eq!(far.counter("t1", "keepalive_responses_sent"), 0);
    assert!(far.drops("t1", "keepalive_unanswered") >= 3);
}

#[test]
fn the_routers_exact_octets_without_payload_do_too() {
    for outer_v6 in [false, true] {
        let sites = Pair::new();
        let bare = "{ period = \"200ms\", retries = 3, payload = false }";
        let tunnel = Tunnel::new(1).over_v6(outer_v6).keepalive(bare);
        let (near, mut far) = sites.start(&tunnel);
        assert!(sites.carries(&tunnel));
        assert!(near.tunnel("t1")["keepalive"]["rtt_us"].as_u64().unwrap() > 0);
        let mut events = near.events();
        let killed_us = unix_us();
        far.kill();
        let down = events.next("t1", "down", PATIENCE);
        assert_on_time(&down, killed_us, Duration::from_millis(200), 3);
        let _far = Daemon::start(&sites.b, &tunnel.far());
        near.wait_state("t1", "up", PATIENCE);
    }
}

#[test]
fn tunnels_to_one_peer_told_apart_by_their_keys_alone_are_each_watched_without_payload() {
    let sites = Pair::new();
    let bare = "{ period = \"200ms\", retries = 3, payload = false }";
    let (live, dying) = (
        Tunnel::new(1).keepalive(bare),
        Tunnel::new(2).keepalive(bare),
    );
    let (near, far) = crate::site::both(&[live, dying]);
    let near = Daemon::start(&sites.a, &near);
    let far = Daemon::start(&sites.b, &far);
    near.wait_state("t1", "up", PATIENCE);
    near.wait_state("t2", "up", PATIENCE);
    assert!(far.client(&["down", "t2"]).status.success());
    near.wait_state("t2", "down", PATIENCE);
    assert_eq!(near.tunnel("t1")["deaths"], 0);
}

#[test]
fn check_shows_the_worst_case_of_each_profile() {
    for (keepalive, detection) in [
        ("{ profile = \"huawei\" }", "20.01 s"),
        ("{ profile = \"cisco\" }", "40.01 s"),
        (
            "{ profile = \"cisco\", period = \"1s\", retries = 2 }",
            "3.01 s",
        ),
        ("true", "20.01 s"),
        ("{ period = \"100ms\", retries = 1 }", "0.21 s"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(Tunnel::new(1).keepalive(keepalive).near().as_bytes())
            .unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_adit"));
        let output = check
            .arg("check")
            .arg(file.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{keepalive}: {text}");
        let line = format!("a dead peer is found after {detection} at worst");
        assert!(text.contains(&line), "{keepalive}: {text}");
    }
}
