//! The next remote, and back to the first.

use super::PATIENCE;
use super::common::Sites;
use super::site::Tunnel;

const DPD: &str = r#"dpd = { mode = "periodic", interval = "1s", retry = "300ms", attempts = 3 }"#;
/// Attempts that are given up soon.
const SOON: &str = r#", retransmit = { first = "200ms", base = 100, tries = 2 }"#;

#[test]
fn a_remote_that_does_not_answer_gives_way_to_the_next() {
    let tunnel = Tunnel {
        remotes: [r#"["192.0.2.77", "192.0.2.2"]"#, "\"192.0.2.1\""],
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let tunnel = tunnel.with_ike(SOON);
    let sites = Sites::new();
    let far = tunnel.start(&sites.b, 2);
    let near = tunnel.start(&sites.a, 1);
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["remote_index"], 1);
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
}

#[test]
fn a_dead_peer_gives_way_to_the_next_remote_at_once() {
    let sites = Sites::new();
    sites.b.ip("addr add 192.0.2.3/24 dev wire");
    let near = Tunnel {
        remotes: [r#"["192.0.2.2", "192.0.2.3"]"#, ""],
        ..Tunnel::new("esp")
    };
    let near = near.with(DPD);
    let far = Tunnel {
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let far_config = far.config(2).replace("local = \"192.0.2.2\"\n", "");
    let far = far.start_as(&sites.b, 2, &far_config);
    let near = near.start(&sites.a, 1);
    near.wait_state("t", "up", PATIENCE);
    let mut events = near.events();
    // The first address of the peer falls silent.
    sites.b.run("nft", &["add", "table", "ip", "silent"]);
    sites.b.run(
        "nft",
        &[
            "add",
            "chain",
            "ip",
            "silent",
            "in",
            "{ type filter hook input priority 0; }",
        ],
    );
    sites.b.run(
        "nft",
        &[
            "add",
            "rule",
            "ip",
            "silent",
            "in",
            "ip",
            "daddr",
            "192.0.2.2",
            "drop",
        ],
    );
    let down = events.next("t", "down", PATIENCE);
    assert_eq!(down["reason"], "dpd_timeout");
    assert_eq!(
        events.next("t", "failover", PATIENCE)["remote"],
        "192.0.2.3"
    );
    events.next("t", "up", PATIENCE);
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
    drop(far);
}

#[test]
fn the_preferred_remote_takes_over_again_once_it_has_been_there_for_its_time() {
    let sites = Sites::new();
    sites.b.ip("addr add 192.0.2.3/24 dev wire");
    let near = Tunnel {
        remotes: [r#"["192.0.2.3", "192.0.2.2"]"#, ""],
        ..Tunnel::new("esp")
    };
    let near = near.with("failback = \"2s\"").with_ike(SOON);
    let passive = Tunnel {
        each: ["", "start = \"passive\""],
        ..Tunnel::new("esp")
    };
    let config = passive.config(2).replace("local = \"192.0.2.2\"\n", "");
    let nft = |arguments: &str| {
        let words: Vec<_> = arguments.split_whitespace().collect();
        sites.b.run("nft", &words);
    };
    nft("add table ip silent");
    nft("add chain ip silent in { type filter hook input priority 0 ; }");
    nft("add rule ip silent in ip daddr 192.0.2.3 drop");
    let far = passive.start_as(&sites.b, 2, &config);
    let near = near.start(&sites.a, 1);
    let mut events = near.events();
    near.wait_state("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["remote_index"], 1);
    nft("delete table ip silent");
    assert_eq!(
        events.next("t", "failback", PATIENCE)["remote"],
        "192.0.2.3"
    );
    events.next("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["remote"], "192.0.2.3");
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
    drop(far);
}
