//! `adit up` and `adit down` while the peer is dead.

use crate::common::Daemon;
use crate::interface::Interface;
use crate::site::{PATIENCE, Pair, Tunnel};

fn order(daemon: &Daemon, command: &str) {
    let output = daemon.client(&[command, "t1"]);
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn down_and_up_work_while_the_peer_is_dead() {
    for on_dead in ["carrier", "admin-down", "delete"] {
        let sites = Pair::new();
        let tunnel = Tunnel::new(1).with(&format!("on-dead = [\"{on_dead}\"]"));
        let (near, mut far) = sites.start(&tunnel);
        far.kill();
        near.wait_state("t1", "down", PATIENCE);
        for _ in 0..2 {
            order(&near, "down");
            assert_eq!(near.tunnel("t1")["state"], "disabled", "{on_dead}");
            Interface::GONE.await_at(&sites.a, &tunnel, "disabled");
        }
        let sent = near.counter("t1", "keepalive_requests_sent");
        for _ in 0..2 {
            order(&near, "up");
        }
        near.wait_state("t1", "down", PATIENCE);
        assert!(near.counter("t1", "keepalive_requests_sent") > sent);
        let far = Daemon::start(&sites.b, &tunnel.far());
        for end in [&near, &far] {
            end.wait_state("t1", "up", PATIENCE);
        }
        Interface::WHOLE.await_at(&sites.a, &tunnel, on_dead);
        assert!(sites.carries(&tunnel));
    }
}

#[test]
fn a_disabled_tunnel_sends_no_keepalives_and_its_peer_finds_it_dead() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    let (near, far) = sites.start(&tunnel);
    order(&near, "down");
    far.wait_state("t1", "down", PATIENCE);
    let sent = near.counter("t1", "keepalive_requests_sent");
    far.wait_state("t1", "down", PATIENCE);
    assert_eq!(near.counter("t1", "keepalive_requests_sent"), sent);
    order(&near, "up");
    for end in [&near, &far] {
        end.wait_state("t1", "up", PATIENCE);
    }
    Interface::WHOLE.await_at(&sites.a, &tunnel, "enabled again");
    assert!(sites.carries(&tunnel));
}
