//! Many tunnels in one daemon: they come up together and are seen to die together.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adit::io::monitor::{Change, Groups, Monitor};
use adit::io::netns::{self, Netns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::common::{Daemon, Namespace, SLACK, unix_us, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel, both};

fn wait_all(daemon: &Daemon, state: &str, count: usize) -> Value {
    wait_for(
        &format!("{count} tunnels are {state}"),
        2 * PATIENCE,
        || {
            let status = daemon.status();
            let tunnels = status["tunnels"].as_array().unwrap();
            let reached = tunnels
                .iter()
                .filter(|tunnel| tunnel["state"] == state)
                .count();
            (reached == count).then(|| status.clone())
        },
    )
}

#[test]
fn a_hundred_tunnels_of_one_daemon_come_up_and_each_carries_packets() {
    let sites = Pair::alone();
    let keepalive = "{ period = \"1s\", retries = 3 }";
    let tunnels: Vec<_> = (1..=100)
        .map(|number| {
            Tunnel::new(number)
                .over_v6(number % 2 == 0)
                .keepalive(keepalive)
        })
        .collect();
    let (near, far) = both(&tunnels);
    let near = Daemon::start(&sites.a, &near);
    let far = Daemon::start(&sites.b, &far);
    wait_all(&near, "up", 100);
    wait_all(&far, "up", 100);
    // All at once; the failures are printed.
    let script = r#"for n in $(seq 100); do (ping -q -c1 -W5 10.9.$n.2 >/dev/null || echo $n) & (ping -q -c1 -W5 fd00:9:$n::2 >/dev/null || echo $n) & done; wait"#;
    assert_eq!(sites.a.run("sh", &["-c", script]), "");
    let status = wait_all(&near, "up", 100);
    for tunnel in status["tunnels"].as_array().unwrap() {
        assert_eq!(tunnel["deaths"], 0, "{tunnel}");
        assert!(
            tunnel["counters"]["inbound_packets"].as_u64().unwrap() >= 2,
            "{tunnel}"
        );
    }
}

/// Carrier losses as a program that only listens sees them: interface and microseconds since 1970.
fn listen(site: &Namespace) -> (Receiver<(String, u64)>, JoinHandle<()>) {
    let (losses, seen) = channel();
    let netns = Netns::Named(site.name.clone()).open().unwrap();
    let groups = Groups {
        links: true,
        ..Groups::default()
    };
    let mut monitor = netns::within(Some(netns.as_fd()), || Monitor::open(groups))
        .unwrap()
        .unwrap();
    let listener = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < 4 * PATIENCE {
            let patience = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let mut fds = [PollFd::new(&monitor, PollFlags::IN)];
            poll(&mut fds, Some(&patience)).unwrap();
            while let Some(change) = monitor.next_change().unwrap() {
                match change {
                    Change::Link {
                        name,
                        carrier: false,
                        deleted: false,
                        ..
                    } => {
                        if losses.send((name, unix_us())).is_err() {
                            return;
                        }
                    }
                    Change::Overrun => panic!("notifications were lost"),
                    Change::Link { .. } | Change::Route { .. } | Change::Address { .. } => {}
                }
            }
        }
    });
    (seen, listener)
}

#[test]
fn fifty_tunnels_that_die_together_are_seen_without_carrier_within_four_tenths_of_a_second_of_the_verdict()
 {
    let sites = Pair::alone();
    let tunnels: Vec<_> = (1..=50).map(Tunnel::new).collect();
    let (near, far) = both(&tunnels);
    let near = Daemon::start(&sites.a, &near);
    let mut far = Daemon::start(&sites.b, &far);
    wait_all(&near, "up", 50);
    let (losses, listener) = listen(&sites.a);
    let mut events = near.events();
    far.kill();
    let mut verdicts = BTreeMap::new();
    while verdicts.len() < 50 {
        let down = events.any("down", PATIENCE);
        let interface = down["tunnel"].as_str().unwrap().replace('t', "gre-");
        verdicts.insert(interface, down);
    }
    let mut seen = BTreeMap::new();
    while seen.len() < 50 {
        let (interface, at) = losses.recv_timeout(Duration::from_secs(5)).unwrap();
        seen.entry(interface).or_insert(at);
    }
    drop(losses);
    let bound = u64::try_from((Duration::from_millis(100) + SLACK).as_micros()).unwrap();
    for (interface, down) in &verdicts {
        let after = seen[interface].saturating_sub(down["unix_us"].as_u64().unwrap());
        assert!(
            after <= bound,
            "{interface}: {after} µs after the verdict: {down}"
        );
        assert!(down["carrier_us"].as_u64().unwrap() <= bound, "{down}");
    }
    // A change of any interface lets the listener notice that nobody wants to know any more.
    sites.a.ip("link set gre-1 down");
    listener.join().unwrap();
}
