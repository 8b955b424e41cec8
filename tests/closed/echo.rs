//! The echo keepalive of mode `esp`: who answers, what else proves life, and what a cut of either direction does.

use std::time::Duration;

use crate::common::{Daemon, Events, impair, wait_for};
use crate::load::Load;
use crate::site::{Cause, PATIENCE, Pair, Tunnel, assert_on_time, worst_case};

/// With inner addresses of one family only, so that the probe is of that family.
fn of_family(inner_v6: bool) -> Tunnel {
    let tunnel = Tunnel::new("esp");
    if inner_v6 {
        tunnel.addresses(["fd00:9::SITE/126", "10.9.0.SITE/24"])
    } else {
        tunnel
    }
}

fn assert_dead(events: &mut Events, cause: &Cause, worst: Duration) {
    let down = events.next("t", "down", PATIENCE);
    assert_on_time(&down, cause, worst);
}

#[test]
fn a_peer_that_is_killed_or_cut_off_is_found_dead_in_time_by_echoes_of_both_families() {
    for (inner_v6, tunnel) in [
        (false, of_family(false)),
        (true, of_family(true).in_udp()),
        (false, of_family(false).in_udp().over_v6()),
        (true, of_family(true).over_v6()),
    ] {
        let pair = Pair::alone();
        let (near, mut far) = pair.start(&tunnel);
        let mut events = near.events();
        assert_eq!(near.tunnel("t")["worst_case_ms"], 810);
        // What the kernel sends by the device when it comes up has perhaps proved life before.
        wait_for(
            &format!("an echo is answered, IPv6 inside: {inner_v6}"),
            PATIENCE,
            || near.tunnel("t")["keepalive"]["rtt_us"].as_u64(),
        );
        pair.black_hole(true);
        assert_dead(&mut events, &Cause::now(), worst_case());
        pair.mend();
        events.next("t", "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        far.kill();
        assert_dead(&mut events, &Cause::now(), worst_case());
    }
}

#[test]
fn two_ends_that_hold_each_other_dead_find_each_other_again() {
    let pair = Pair::new();
    let (near, far) = pair.start(&Tunnel::new("esp"));
    for _ in 0..2 {
        pair.black_hole(true);
        pair.black_hole(false);
        near.wait_state("t", "down", PATIENCE);
        far.wait_state("t", "down", PATIENCE);
        pair.mend();
        near.wait_state("t", "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        assert!(pair.carries());
    }
}

#[test]
fn a_cut_of_either_direction_takes_both_ends_down_and_its_end_brings_both_back() {
    for tunnel in [Tunnel::new("esp"), Tunnel::new("gre-esp").in_udp()] {
        for towards_b in [true, false] {
            let pair = Pair::alone();
            let (near, far) = pair.start(&tunnel);
            let (mut of_near, mut of_far) = (near.events(), far.events());
            pair.black_hole(towards_b);
            let cause = Cause::now();
            assert_dead(&mut of_near, &cause, worst_case());
            assert_dead(&mut of_far, &cause, worst_case());
            pair.mend();
            near.wait_state("t", "up", PATIENCE);
            far.wait_state("t", "up", PATIENCE);
            assert!(pair.carries());
        }
    }
}

#[test]
fn under_load_the_end_that_hears_nothing_goes_down_in_time_and_the_other_after_its_last_packet() {
    for mode in ["esp", "gre-esp"] {
        for towards_b in [true, false] {
            let pair = Pair::alone();
            let (near, far) = pair.start(&Tunnel::new(mode));
            let load = Load::start(&pair);
            load.await_delivery(1);
            load.await_delivery(2);
            let (mut of_near, mut of_far) = (near.events(), far.events());
            pair.black_hole(towards_b);
            let cause = Cause::now();
            let (deaf, hearing) = if towards_b {
                (&mut of_far, &mut of_near)
            } else {
                (&mut of_near, &mut of_far)
            };
            assert_dead(deaf, &cause, worst_case());
            assert_dead(hearing, &cause, 2 * worst_case());
            pair.mend();
            load.await_delivery(1);
            load.await_delivery(2);
        }
    }
}

#[test]
fn user_data_keeps_a_tunnel_up_whose_probes_are_not_answered_and_no_longer() {
    let pair = Pair::alone();
    let tunnel = Tunnel::new("esp");
    let near = Daemon::start(&pair.a, &pair.near(&tunnel));
    let _far = Daemon::start(&pair.b, &pair.far(&tunnel.clone().keepalive("false")));
    near.wait_state("t", "up", PATIENCE);
    let load = Load::towards_a(&pair);
    load.await_delivery(1);
    let mut events = near.events();
    impair(&pair.b, "ip protocol esp drop");
    let answered = near.tunnel("t")["keepalive"]["answered"].clone();
    std::thread::sleep(2 * worst_case());
    let state = near.tunnel("t");
    assert_ne!(state["state"], "down", "{state:#}");
    assert_eq!(state["deaths"], 0);
    assert_eq!(state["keepalive"]["answered"], answered);
    drop(load);
    assert_dead(&mut events, &Cause::now(), worst_case());
}

#[test]
fn user_data_proves_nothing_to_a_tunnel_whose_probes_were_never_answered() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    impair(&pair.b, "ip protocol esp drop");
    let near = Daemon::start(&pair.a, &pair.near(&tunnel));
    let _far = Daemon::start(&pair.b, &pair.far(&tunnel.clone().keepalive("false")));
    near.wait_state("t", "down", PATIENCE);
    let load = Load::towards_a(&pair);
    wait_for("data comes", PATIENCE, || {
        (near.drops("t", "tunnel_down") > 100).then_some(())
    });
    assert_eq!(near.tunnel("t")["state"], "down");
    drop(load);
}

#[test]
fn a_loss_of_each_third_packet_does_not_take_a_tunnel_down_that_hears_the_others() {
    let pair = Pair::new();
    let (near, far) = pair.start(&Tunnel::new("esp"));
    for site in [&pair.a, &pair.b] {
        impair(site, "ip protocol esp numgen inc mod 3 == 0 drop");
    }
    std::thread::sleep(4 * worst_case());
    assert_eq!(near.tunnel("t")["deaths"], 0);
    assert_eq!(far.tunnel("t")["deaths"], 0);
    assert!(near.tunnel("t")["keepalive"]["lost"].as_u64().unwrap() > 0);
}
