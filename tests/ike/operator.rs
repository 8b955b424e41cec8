//! What an operator asks of a tunnel with IKE.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use super::PATIENCE;
use super::common::wait_for;
use super::site::{Pair, Tunnel};

#[test]
fn clear_deletes_the_associations_and_begins_anew() {
    let pair = Pair::start(Tunnel::new("esp"));
    let before = pair.spi();
    let mut events = pair.far.events();
    let asked = pair.near.client(&["clear", "t"]);
    assert!(asked.status.success(), "{asked:?}");
    let down = events.next("t", "ike-down", PATIENCE);
    assert_eq!(down["reason"], "peer deleted the IKE SA");
    wait_for("another pair is in use", PATIENCE, || {
        (pair.near.tunnel("t")["state"] == "up" && pair.spi() != before).then_some(())
    });
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_tunnel_that_was_taken_down_comes_back_when_it_is_taken_up() {
    let pair = Pair::start(Tunnel::new("esp"));
    assert!(pair.near.client(&["down", "t"]).status.success());
    pair.far.wait_state("t", "down", PATIENCE);
    assert!(pair.near.client(&["up", "t"]).status.success());
    pair.wait("up");
    assert!(pair.pings());
}

#[test]
fn a_daemon_that_ends_tells_its_peer() {
    let mut pair = Pair::start(Tunnel::new("esp"));
    let mut events = pair.far.events();
    pair.near.terminate();
    let down = events.next("t", "ike-down", Duration::from_secs(3));
    assert_eq!(down["reason"], "peer deleted the IKE SA");
}

#[test]
fn debug_streams_one_line_for_each_message() {
    let pair = Pair::start(Tunnel::new("esp"));
    let mut debug = pair.near.client_that_goes_on(&["debug", "t"]);
    let mut lines = BufReader::new(debug.stdout.take().unwrap()).lines();
    // The stream begins when the client is connected: rekeys are asked for until one is seen.
    let seen = std::thread::scope(|scope| {
        let seen =
            scope.spawn(|| lines.find(|line| line.as_ref().unwrap().contains("CREATE_CHILD_SA")));
        while !seen.is_finished() {
            pair.near.client(&["rekey", "t", "child"]);
            std::thread::sleep(Duration::from_millis(300));
        }
        seen.join().unwrap()
    });
    debug.kill().unwrap();
    debug.wait().unwrap();
    assert!(seen.is_some());
    assert!(pair.near.log().contains("CREATE_CHILD_SA"));
}
