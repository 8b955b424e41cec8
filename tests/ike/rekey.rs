//! New keys while packets pass.

use super::PATIENCE;
use super::common::wait_for;
use super::site::{Pair, Tunnel};

#[test]
fn the_operator_gets_new_keys_for_the_child_while_the_carrier_stays() {
    let pair = Pair::start(Tunnel::new("esp"));
    let mut events = pair.near.events();
    let before = pair.spi();
    let asked = pair.near.client(&["rekey", "t", "child"]);
    assert!(asked.status.success(), "{asked:?}");
    events.next("t", "rekeyed", PATIENCE);
    wait_for("another pair is in use", PATIENCE, || {
        (pair.spi() != before).then_some(())
    });
    assert_eq!(pair.near.tunnel("t")["deaths"], 0);
    assert_eq!(pair.near.tunnel("t")["state"], "up");
    assert!(pair.pings());
}

#[test]
fn the_operator_gets_new_keys_for_ike_and_the_child_goes_on() {
    let pair = Pair::start(Tunnel::new("esp"));
    let mut events = pair.near.events();
    let asked = pair.near.client(&["rekey", "t", "ike"]);
    assert!(asked.status.success(), "{asked:?}");
    events.next("t", "rekeyed", PATIENCE);
    assert!(pair.pings());
    assert_eq!(pair.near.tunnel("t")["deaths"], 0);
}

#[test]
fn a_rekey_every_other_second_loses_no_packet() {
    let tunnel = Tunnel::new("esp").with_ike(r#", child-rekey = "2s", rekey-jitter = 50"#);
    let pair = Pair::start(tunnel);
    let pinged = pair.sites.a.run(
        "ping",
        &["-q", "-i", "0.005", "-c", "2000", "-W", "2", "10.9.0.2"],
    );
    assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    for end in [&pair.near, &pair.far] {
        assert_eq!(end.counter("t", "rekey_lost_packets"), 0);
        assert_eq!(end.tunnel("t")["deaths"], 0);
    }
}
