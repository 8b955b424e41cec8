//! A peer behind a NAT that gives it another port.

use super::PATIENCE;
use super::common::{Daemon, Namespace};
use super::routed::{INSIDE, OUTSIDE, ROUTER, Routed};
use super::site::Tunnel;

#[test]
fn packets_go_to_the_new_port_of_a_peer_that_was_heard_there_by_ike_alone() {
    let routed = Routed::behind_a_nat("20000-20099");
    let quoted = [OUTSIDE, INSIDE].map(|address| format!("\"{address}\""));
    let tunnel = Tunnel {
        remotes: [&quoted[0], "\"any\""],
        ..Tunnel::new("esp")
    };
    let tunnel = tunnel
        .with(r#"dpd = { mode = "periodic", interval = "1s", retry = "500ms", attempts = 10 }"#);
    let start = |namespace: &Namespace, end: usize, local: &str| -> Daemon {
        // What the system says by itself where there is IPv6 would tell the new port too.
        namespace.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
        let config = tunnel.config(end);
        let config = config.replace(&format!(", \"fd00:9::{end}/64\""), "");
        let ours = format!("local = \"192.0.2.{end}\"");
        let config = config.replace(&ours, &format!("local = \"{local}\""));
        tunnel.start_as(namespace, end, &config)
    };
    let far = start(&routed.b, 2, OUTSIDE);
    let near = start(&routed.a, 1, INSIDE);
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    assert!(routed.b.pings("10.9.0.1", 1, &[]));
    let mut events = far.events();
    routed.masquerade("30000-30099");
    let moved = events.next("t", "peer-moved", PATIENCE);
    let remote = moved["remote"].as_str().unwrap();
    assert!(remote.starts_with(&format!("{ROUTER}:30")), "{moved}");
    assert!(routed.b.pings("10.9.0.1", 1, &[]));
    assert_eq!(near.tunnel("t")["deaths"], 0);
}
