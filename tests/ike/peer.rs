//! A peer that goes away, with a word and without one.

use std::time::Duration;

use super::PATIENCE;
use super::common::{Sites, wait_for};
use super::site::{Pair, Tunnel};

const DPD: &str = r#"dpd = { mode = "periodic", interval = "1s", retry = "300ms", attempts = 3 }"#;

#[test]
fn a_killed_peer_is_found_dead_in_time_and_found_again_when_it_is_back() {
    let mut pair = Pair::start(Tunnel::new("esp").with(DPD));
    let mut events = pair.near.events();
    pair.far.kill();
    let down = events.next("t", "down", PATIENCE);
    assert_eq!(down["reason"], "dpd_timeout");
    let silence = down["since_last_proof_ms"].as_u64().unwrap();
    let worst = down["worst_case_ms"].as_u64().unwrap();
    assert_eq!(worst, 1910);
    assert!(silence <= worst + 300, "{silence} ms");
    wait_for("no associations are left", PATIENCE, || {
        let near = pair.near.tunnel("t");
        let children = near["ike"]["children"].as_array().map_or(0, Vec::len);
        (near.get("esp").is_none() && children == 0).then_some(())
    });
    pair.far.restart(&pair.sites.b);
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_peer_behind_a_black_hole_is_dead_for_both_ends_until_it_is_mended() {
    let pair = Pair::start(Tunnel::new("esp").with(DPD));
    let mut events = pair.far.events();
    pair.sites.black_hole(true);
    assert_eq!(events.next("t", "down", PATIENCE)["reason"], "dpd_timeout");
    pair.sites.mend();
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_peer_that_started_anew_replaces_what_it_left() {
    let mut pair = Pair::start(Tunnel::new("esp"));
    pair.far.restart(&pair.sites.b);
    pair.far.wait_state("t", "up", PATIENCE);
    pair.near.wait_state("t", "up", PATIENCE);
    assert!(pair.pings());
}

#[test]
fn an_answering_peer_is_not_found_dead_while_nothing_passes() {
    let pair = Pair::start(Tunnel::new("esp").with(DPD));
    std::thread::sleep(Duration::from_secs(5));
    for end in [&pair.near, &pair.far] {
        let status = end.tunnel("t");
        assert_eq!(status["deaths"], 0, "{status}");
        assert_eq!(status["state"], "up", "{status}");
    }
}

#[test]
fn an_address_that_is_taken_from_us_ends_what_was_made_with_it() {
    let tunnel = Tunnel {
        remotes: ["\"192.0.2.2\"", "\"any\""],
        ..Tunnel::new("esp")
    };
    let sites = Sites::new();
    let without_local = |end: usize| {
        let line = format!("local = \"192.0.2.{end}\"\n");
        tunnel.config(end).replace(&line, "")
    };
    let near = tunnel.start_as(&sites.a, 1, &without_local(1));
    let far = tunnel.start_as(&sites.b, 2, &without_local(2));
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    let mut events = near.events();
    sites.a.ip("addr add 192.0.2.9/24 dev wire");
    sites.a.ip("addr del 192.0.2.1/24 dev wire");
    sites.a.ip("addr replace 192.0.2.9/24 dev wire");
    events.next("t", "ike-down", PATIENCE);
    events.next("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["local"], "192.0.2.9");
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
}

#[test]
fn an_attempt_from_an_address_that_is_taken_from_us_is_made_from_the_next_one() {
    let tunnel = Tunnel {
        remotes: ["\"192.0.2.2\"", "\"any\""],
        ..Tunnel::new("esp")
    };
    let sites = Sites::new();
    let config = tunnel.config(1).replace("local = \"192.0.2.1\"\n", "");
    let near = tunnel.start_as(&sites.a, 1, &config);
    // Nobody answers; the third request of the attempt, after 5.6 s, would be the next one.
    std::thread::sleep(Duration::from_secs(3));
    sites.a.ip("addr add 192.0.2.9/24 dev wire");
    sites.a.ip("addr del 192.0.2.1/24 dev wire");
    sites.a.ip("addr replace 192.0.2.9/24 dev wire");
    let far = tunnel.start(&sites.b, 2);
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["local"], "192.0.2.9");
}

#[test]
fn a_peer_that_answers_but_sends_no_data_makes_the_tunnel_suspect_and_its_child_sa_anew() {
    let dpd = r#"dpd = { mode = "periodic", interval = "1s", retry = "300ms", attempts = 3, no-data = "1s" }"#;
    let pair = Pair::start(Tunnel::new("esp").with(dpd));
    let before = pair.spi();
    let mut events = pair.near.events();
    let mute = "table inet mute { chain coming { type filter hook prerouting priority -300; meta l4proto esp drop; }; }";
    pair.sites.a.run("nft", &[mute]);
    assert!(
        !pair
            .sites
            .a
            .pings("10.9.0.2", 30, &["-l", "1", "-i", "0.1"])
    );
    let reason = events.next("t", "no-data", PATIENCE)["reason"].clone();
    assert!(reason.as_str().unwrap().contains("made anew"), "{reason}");
    events.next("t", "suspect", PATIENCE);
    events.next("t", "rekeyed", PATIENCE);
    pair.sites.a.run("nft", &["delete table inet mute"]);
    wait_for("packets pass again", PATIENCE, || {
        pair.pings().then_some(())
    });
    assert_ne!(pair.spi(), before);
    assert_eq!(pair.near.tunnel("t")["deaths"], 0);
}
