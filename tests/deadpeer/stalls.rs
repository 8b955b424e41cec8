//! Who did not look does not judge: a stopped process and an overloaded host never find a live peer dead.

use std::process::Child;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel};

fn answered(daemon: &Daemon) -> u64 {
    daemon.tunnel("t1")["keepalive"]["answered"]
        .as_u64()
        .unwrap()
}

fn assert_never_died(daemon: &Daemon) {
    let status = daemon.tunnel("t1");
    assert_eq!(
        (&status["deaths"], &status["state"]),
        (&Value::from(0), &Value::from("up")),
        "{status}"
    );
}

#[test]
fn a_daemon_that_was_stopped_for_several_detection_times_does_not_find_its_live_peer_dead() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1);
    // The far end asks for nothing, so nothing but our own stop is in the way.
    let near = Daemon::start(&sites.a, &tunnel.near());
    let far = Daemon::start(&sites.b, &Tunnel::new(1).keepalive("false").far());
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    for stop in [Duration::from_millis(900), Duration::from_secs(3)] {
        let before = answered(&near);
        near.signal("STOP");
        // The length of the stop is what is tested.
        std::thread::sleep(stop);
        near.signal("CONT");
        wait_for("answers after the stop", PATIENCE, || {
            (answered(&near) >= before + 6).then_some(())
        });
        assert_never_died(&near);
    }
    assert!(sites.carries(&tunnel));
}

#[test]
fn a_peer_that_dies_during_a_stop_is_found_dead_after_it() {
    let sites = Pair::new();
    let (near, mut far) = sites.start(&Tunnel::new(1));
    near.signal("STOP");
    far.kill();
    std::thread::sleep(Duration::from_secs(1));
    near.signal("CONT");
    near.wait_state("t1", "down", PATIENCE);
}

/// Processes that want every CPU, until they go out of scope.
struct Load(Vec<Child>);

impl Load {
    fn new(sites: &Pair, count: usize) -> Self {
        let busy = |_| {
            sites
                .b
                .spawn("nice", &["-n", "5", "sh", "-c", "while :; do :; done"])
        };
        Self((0..count).map(busy).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Whatever does not end here ends with the namespace.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn an_overloaded_host_does_not_find_a_live_peer_dead() {
    let sites = Pair::alone();
    let tunnel = Tunnel::new(1).keepalive("{ period = \"100ms\", retries = 3 }");
    let (near, far) = sites.start(&tunnel);
    let load = Load::new(&sites, 16);
    let before = answered(&near);
    wait_for("five seconds' answers", 2 * PATIENCE, || {
        (answered(&near) >= before + 50).then_some(())
    });
    for end in [&near, &far] {
        assert_never_died(end);
    }
    drop(load);
    assert!(sites.carries(&tunnel));
}
