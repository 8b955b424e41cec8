//! A peer that starts again, and an interface that somebody deletes.

use crate::common::{Daemon, wait_for};
use crate::interface::Interface;
use crate::site::{PATIENCE, Pair, Tunnel};

#[test]
fn traffic_resumes_after_the_peer_restarts_with_sequence_numbers_from_the_start() {
    let sites = Pair::new();
    // Slow enough that the restart is over before anyone is found dead: no state is reset by a verdict.
    let tunnel = Tunnel::new(1)
        .gre("{ key = 1, sequence = true, checksum = true }")
        .keepalive("{ period = \"2s\", retries = 5 }");
    let (near, mut far) = sites.start(&tunnel);
    for _ in 0..3 {
        assert!(sites.carries(&tunnel));
    }
    far.kill();
    let _far = Daemon::start(&sites.b, &tunnel.far());
    _far.wait_state("t1", "up", PATIENCE);
    wait_for("packets pass", PATIENCE, || {
        sites.a.pings(&tunnel.far_v4(), 1, &[]).then_some(())
    });
    assert!(sites.carries(&tunnel));
    let status = near.tunnel("t1");
    assert_eq!(status["deaths"], 0);
    assert!(
        status["counters"]["sequence_restarts"].as_u64().unwrap() >= 1,
        "{status}"
    );
}

#[test]
fn traffic_resumes_after_the_peer_was_dead_and_restarted() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).gre("{ key = 1, sequence = true, checksum = true }");
    let (near, mut far) = sites.start(&tunnel);
    for _ in 0..3 {
        assert!(sites.carries(&tunnel));
    }
    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    let far = Daemon::start(&sites.b, &tunnel.far());
    for end in [&near, &far] {
        end.wait_state("t1", "up", PATIENCE);
    }
    Interface::WHOLE.await_at(&sites.a, &tunnel, "after the restart");
    assert!(sites.carries(&tunnel));
    assert_eq!(near.drops("t1", "sequence_old"), 0);
}

#[test]
fn a_deleted_interface_is_reported_and_made_again_with_its_addresses_and_routes() {
    let sites = Pair::new();
    let (tunnel, other) = (Tunnel::new(1), Tunnel::new(2));
    let (near, far) = crate::site::both(&[tunnel.clone(), other.clone()]);
    let near = Daemon::start(&sites.a, &near);
    let _far = Daemon::start(&sites.b, &far);
    for tunnel in [&tunnel, &other] {
        near.wait_state(&tunnel.name(), "up", PATIENCE);
    }
    let mut events = near.events();
    sites.a.ip("link del gre-1");
    events.next("t1", "interface-gone", PATIENCE);
    events.next("t1", "up", PATIENCE);
    Interface::WHOLE.await_at(&sites.a, &tunnel, "made again");
    wait_for("traffic resumes", PATIENCE, || {
        sites.carries(&tunnel).then_some(())
    });
    assert!(sites.carries(&other));
    assert_eq!(near.tunnel("t2")["deaths"], 0);
}

#[test]
fn an_interface_deleted_while_the_peer_is_dead_is_made_again_and_whole_after_recovery() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let (near, mut far) = sites.start(&tunnel);
    far.kill();
    near.wait_state("t1", "down", PATIENCE);
    let mut events = near.events();
    sites.a.ip("link del gre-1");
    events.next("t1", "interface-gone", PATIENCE);
    Interface::DEAD.await_at(&sites.a, &tunnel, "made again");
    let far = Daemon::start(&sites.b, &tunnel.far());
    for end in [&near, &far] {
        end.wait_state("t1", "up", PATIENCE);
    }
    Interface::WHOLE.await_at(&sites.a, &tunnel, "recovered");
    assert!(sites.carries(&tunnel));
}
