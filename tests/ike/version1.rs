//! IKEv1 between two daemons: main mode, quick mode, their renewal, and peers that go away.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::channel;

use serde_json::Value;

use super::PATIENCE;
use super::common::{Daemon, Namespace, SLACK, Sites, wait_for};
use super::site::{Pair, Tunnel};

const PERIODIC: &str =
    r#"dpd = { mode = "periodic", interval = "1s", retry = "300ms", attempts = 3 }"#;
const ON_DEMAND: &str =
    r#"dpd = { mode = "on-demand", interval = "1s", retry = "300ms", attempts = 3 }"#;
/// The time from the last sign of life to the verdict of both, with what the scheduler may add to it.
const WORST_MS: u64 = 1910;
/// Attempts that are given up soon.
const SOON: &str = r#", retransmit = { first = "200ms", base = 100, tries = 3 }"#;

/// Whether packets pass both ways, in the one family that quick mode names.
fn pings(sites: &Sites) -> bool {
    sites.a.pings("10.9.0.2", 5, &[]) && sites.b.pings("10.9.0.1", 5, &[])
}

fn cookies(daemon: &Daemon) -> [Value; 2] {
    let ike = daemon.tunnel("t")["ike"].clone();
    [ike["spi_i"].clone(), ike["spi_r"].clone()]
}

#[test]
fn two_daemons_make_a_tunnel_by_main_mode_and_quick_mode_that_carries_packets() {
    let pair = Pair::start(Tunnel::version_1("esp"));
    assert!(pings(&pair.sites));
    for end in [&pair.near, &pair.far] {
        let status = end.tunnel("t");
        assert_eq!(status["ike"]["version"], 1, "{status:#}");
        assert_eq!(status["ike"]["state"], "established", "{status:#}");
        assert_eq!(status["last_error"], Value::Null, "{status:#}");
        assert!(end.log().contains("deprecated by RFC 9395"));
        let counted = end.status()["ike"].clone();
        assert!(counted["established"].as_u64() >= Some(1), "{counted}");
    }
    assert_eq!(cookies(&pair.near), cookies(&pair.far));
}

#[test]
fn either_end_may_be_the_responder() {
    for passive in 0..2 {
        let mut tunnel = Tunnel::version_1("esp");
        tunnel.each[passive] = "start = \"passive\"";
        let pair = Pair::start(tunnel);
        let ends = [&pair.near, &pair.far];
        assert_eq!(ends[passive].tunnel("t")["ike"]["initiator"], false);
        assert_eq!(ends[1 - passive].tunnel("t")["ike"]["initiator"], true);
        assert!(pings(&pair.sites));
    }
}

#[test]
fn gre_carries_packets_in_both_modes_and_families() {
    for more in ["", r#", child-mode = "tunnel""#] {
        let pair = Pair::start(Tunnel::version_1("gre-esp").with_ike(more));
        assert!(pair.pings(), "{more}");
    }
}

#[test]
fn with_encapsulation_forced_packets_leave_in_udp() {
    let pair = Pair::start(Tunnel::version_1("esp").with_ike(r#", encap = "udp""#));
    assert!(pings(&pair.sites));
    let child = pair.near.tunnel("t")["ike"]["children"][0].clone();
    assert_eq!(child["udp"], true, "{child}");
}

#[test]
fn what_the_seeds_router_has_is_spoken_where_it_is_allowed_and_warned_of() {
    let insecure = r#", proposals = ["3des-sha1-modp1024"], esp-proposals = ["3des-sha1"], allow-insecure = ["3des", "sha1", "modp1024"]"#;
    let pair = Pair::start(Tunnel::version_1("esp").with_ike(insecure));
    assert!(pings(&pair.sites));
    let status = pair.near.tunnel("t");
    assert_eq!(status["ike"]["proposal"], "3des-sha1-modp1024");
    assert_eq!(status["esp"]["suite"], "3des-sha1");
    for word in ["3des", "sha1", "modp1024"] {
        let warning = format!("ike.allow-insecure \"{word}\"");
        assert!(pair.near.log().contains(&warning), "{word}");
    }
}

#[test]
fn a_tunnel_of_each_version_runs_beside_the_other() {
    let sites = Sites::new();
    let both = |end: usize| {
        let second = Tunnel::new("esp").config(end);
        let second = second
            .replace("tunnel.t]", "tunnel.u]")
            .replace("10.9.0.", "10.9.1.")
            .replace("fd00:9:", "fd00:a:")
            .replace("t.psk", "u.psk");
        Tunnel::version_1("esp").config(end) + &second
    };
    let start = |site: &Namespace, end: usize| {
        Daemon::start_with(site, &both(end), |folder| {
            for (name, key) in [
                ("t.psk", "one key of version 1 and of none"),
                ("u.psk", "another one, of version 2 alone"),
            ] {
                super::site::write_key(&folder.join(name), key);
            }
        })
    };
    let near = start(&sites.a, 1);
    let far = start(&sites.b, 2);
    for (name, version) in [("t", 1), ("u", 2)] {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state(name, "up", PATIENCE);
        assert_eq!(near.tunnel(name)["ike"]["version"], version);
    }
    assert!(pings(&sites));
    assert!(sites.a.pings("10.9.1.2", 5, &[]));
}

#[test]
fn a_start_with_one_key_for_both_versions_is_refused() {
    let site = Namespace::new();
    let second = Tunnel::new("esp").config(1);
    let second = second
        .replace("tunnel.t]", "tunnel.u]")
        .replace("10.9.0.", "10.9.1.")
        .replace("fd00:9:", "fd00:a:")
        .replace("t.psk", "u.psk");
    let config = Tunnel::version_1("esp").config(1) + &second;
    let mut daemon = Daemon::launch_with(&site, &config, |folder| {
        for name in ["t.psk", "u.psk"] {
            super::site::write_key(&folder.join(name), "one key of two tunnels");
        }
    });
    assert!(!daemon.wait().success());
    let log = daemon.log();
    assert!(log.contains("whoever guesses it in version 1"), "{log}");
}

#[test]
fn a_wrong_key_is_no_tunnel_and_is_told() {
    let tunnel = Tunnel {
        psk: [
            "one key that is long enough to do",
            "another one that is long enough",
        ],
        each: ["", "start = \"passive\""],
        ..Tunnel::version_1("esp")
    };
    let pair = Pair::launch(tunnel.with_ike(SOON));
    wait_for("the near end says why", PATIENCE, || {
        let error = pair.near.tunnel("t")["last_error"].as_str()?.to_owned();
        (!error.is_empty()).then_some(())
    });
    assert_ne!(pair.far.tunnel("t")["state"], "up");
}

#[test]
fn either_end_renews_the_child_sa_and_no_packet_is_lost() {
    let pair = Pair::start(begun_by_one());
    assert_renewed_without_loss(&pair, "child", |daemon| {
        let child = &daemon.tunnel("t")["ike"]["children"][0];
        [child["spi_in"].clone(), child["spi_out"].clone()]
    });
}

#[test]
fn either_end_renews_the_ike_sa_and_no_packet_is_lost() {
    let pair = Pair::start(begun_by_one());
    assert_renewed_without_loss(&pair, "ike", cookies);
}

/// A tunnel with one ISAKMP SA from the start, and not one of each end.
fn begun_by_one() -> Tunnel<'static> {
    Tunnel {
        each: ["", "start = \"passive\""],
        ..Tunnel::version_1("esp")
    }
}

fn assert_renewed_without_loss(pair: &Pair, what: &str, of: impl Fn(&Daemon) -> [Value; 2]) {
    let arguments = ["-q", "-i", "0.01", "-c", "800", "-W", "2", "10.9.0.2"];
    std::thread::scope(|scope| {
        let pinged = scope.spawn(|| pair.sites.a.run("ping", &arguments));
        for end in [&pair.near, &pair.far, &pair.near] {
            let before = of(end);
            let asked = end.client(&["rekey", "t", what]);
            assert!(asked.status.success(), "{asked:?}");
            wait_for(&format!("another {what} SA"), PATIENCE, || {
                (of(end) != before).then_some(())
            });
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        let pinged = pinged.join().unwrap();
        assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    });
    for end in [&pair.near, &pair.far] {
        assert_eq!(end.counter("t", "rekey_lost_packets"), 0);
        assert_eq!(end.tunnel("t")["deaths"], 0);
    }
}

#[test]
fn lifetimes_of_seconds_at_both_ends_lose_no_packet() {
    let soon = r#", rekey = "3s", child-rekey = "2s", rekey-jitter = 50"#;
    let pair = Pair::start(begun_by_one().with_ike(soon));
    let arguments = ["-q", "-i", "0.005", "-c", "2400", "-W", "2", "10.9.0.2"];
    let pinged = pair.sites.a.run("ping", &arguments);
    assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    for end in [&pair.near, &pair.far] {
        assert_eq!(end.counter("t", "rekey_lost_packets"), 0);
        assert_eq!(end.tunnel("t")["deaths"], 0);
        let counted = end.status()["ike"].clone();
        assert!(counted["ike_rekeyed"].as_u64() >= Some(2), "{counted}");
        assert!(counted["child_rekeyed"].as_u64() >= Some(3), "{counted}");
    }
}

#[test]
fn a_killed_peer_is_found_dead_in_time_and_found_again_when_it_is_back() {
    let mut pair = Pair::start(Tunnel::version_1("esp").with(PERIODIC));
    let mut events = pair.near.events();
    pair.far.kill();
    assert_death_in_time(&events.next("t", "down", PATIENCE));
    wait_for("no associations are left", PATIENCE, || {
        let near = pair.near.tunnel("t");
        let children = near["ike"]["children"].as_array().map_or(0, Vec::len);
        (near.get("esp").is_none() && children == 0).then_some(())
    });
    pair.far.restart(&pair.sites.b);
    pair.wait("up");
    assert!(pings(&pair.sites));
}

fn assert_death_in_time(down: &Value) {
    assert_eq!(down["reason"], "dpd_timeout", "{down}");
    assert_eq!(down["worst_case_ms"], WORST_MS);
    let silence = down["since_last_proof_ms"].as_u64().unwrap();
    let slack = u64::try_from(SLACK.as_millis()).unwrap();
    assert!(silence <= WORST_MS + slack, "{down}");
}

#[test]
fn on_demand_a_peer_is_asked_only_once_packets_leave_and_is_dead_in_time_then() {
    let mut pair = Pair::start(Tunnel::version_1("esp").with(ON_DEMAND));
    pair.far.kill();
    std::thread::sleep(std::time::Duration::from_millis(WORST_MS + 1000));
    let idle = pair.near.tunnel("t");
    assert_eq!(idle["state"], "up", "{idle:#}");
    assert_eq!(idle["ike"]["dpd"]["sent"], 0, "{idle:#}");
    let mut events = pair.near.events();
    let started = std::time::Instant::now();
    pair.sites
        .a
        .output("ping", &["-c", "1", "-W", "1", "10.9.0.2"]);
    assert_eq!(events.next("t", "down", PATIENCE)["reason"], "dpd_timeout");
    let worst = std::time::Duration::from_millis(WORST_MS);
    assert!(started.elapsed() <= worst + SLACK);
}

#[test]
fn a_peer_that_is_cut_off_in_one_direction_is_dead_for_both_ends() {
    for towards_far in [true, false] {
        let pair = Pair::start(Tunnel::version_1("esp").with(PERIODIC));
        let mut near = pair.near.events();
        let mut far = pair.far.events();
        pair.sites.black_hole(towards_far);
        // The one that hears nothing finds it out; the other hears its word, or nothing either.
        let (deaf, other) = if towards_far {
            (&mut far, &mut near)
        } else {
            (&mut near, &mut far)
        };
        assert_eq!(deaf.next("t", "down", PATIENCE)["reason"], "dpd_timeout");
        other.next("t", "down", PATIENCE);
        pair.sites.mend();
        pair.wait("up");
        assert!(pings(&pair.sites));
    }
}

#[test]
fn an_answering_peer_is_not_found_dead_while_nothing_passes() {
    let pair = Pair::start(Tunnel::version_1("esp").with(PERIODIC));
    std::thread::sleep(std::time::Duration::from_secs(4));
    for end in [&pair.near, &pair.far] {
        let status = end.tunnel("t");
        assert_eq!(status["deaths"], 0, "{status:#}");
        assert_eq!(status["state"], "up", "{status:#}");
        assert!(end.log().contains("DPD: R-U-THERE"));
    }
}

#[test]
fn a_dead_peer_gives_way_to_the_next_remote_at_once() {
    let sites = Sites::new();
    sites.b.ip("addr add 192.0.2.3/24 dev wire");
    let near = Tunnel {
        remotes: [r#"["192.0.2.2", "192.0.2.3"]"#, ""],
        ..Tunnel::version_1("esp")
    };
    let near = near.with(PERIODIC).with_ike(SOON);
    let far = Tunnel {
        each: ["", "start = \"passive\""],
        ..Tunnel::version_1("esp")
    };
    let far_config = far.config(2).replace("local = \"192.0.2.2\"\n", "");
    let far = far.start_as(&sites.b, 2, &far_config);
    let near = near.start(&sites.a, 1);
    near.wait_state("t", "up", PATIENCE);
    let mut events = near.events();
    let silent = "table ip silent { chain in { type filter hook input priority 0; ip daddr 192.0.2.2 drop; }; }";
    sites.b.run("nft", &[silent]);
    assert_eq!(events.next("t", "down", PATIENCE)["reason"], "dpd_timeout");
    let failover = events.next("t", "failover", PATIENCE);
    assert_eq!(failover["remote"], "192.0.2.3");
    events.next("t", "up", PATIENCE);
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
    drop(far);
}

#[test]
fn the_preferred_remote_is_asked_in_main_mode_and_takes_over_once_it_answers() {
    let sites = Sites::new();
    sites.b.ip("addr add 192.0.2.3/24 dev wire");
    let near = Tunnel {
        remotes: [r#"["192.0.2.3", "192.0.2.2"]"#, ""],
        ..begun_by_one()
    };
    let near = near.with("failback = \"2s\"").with_ike(SOON);
    let far_config = begun_by_one().config(2);
    let far_config = far_config.replace("local = \"192.0.2.2\"\n", "");
    let silent = "table ip silent { chain in { type filter hook input priority 0; ip daddr 192.0.2.3 drop; }; }";
    sites.b.run("nft", &[silent]);
    let far = near.start_as(&sites.b, 2, &far_config);
    let near = near.start(&sites.a, 1);
    near.wait_state("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["remote"], "192.0.2.2");
    let mut events = near.events();
    sites.b.run("nft", &["delete table ip silent"]);
    let failback = events.next("t", "failback", PATIENCE);
    assert_eq!(failback["remote"], "192.0.2.3");
    events.next("t", "up", PATIENCE);
    assert_eq!(near.tunnel("t")["remote"], "192.0.2.3");
    // To be asked alone changed nothing for the one that was asked.
    let downs = far.log().matches("event=\"ike-down\"").count();
    assert!(downs <= 1, "{}", far.log());
    assert!(sites.a.pings("10.9.0.2", 5, &[]));
}

#[test]
fn clear_and_down_tell_the_peer_and_what_follows_is_a_new_tunnel() {
    let pair = Pair::start(Tunnel::version_1("esp"));
    let before = cookies(&pair.near);
    let mut events = pair.far.events();
    assert!(pair.near.client(&["clear", "t"]).status.success());
    let down = events.next("t", "ike-down", PATIENCE);
    assert_eq!(down["reason"], "peer deleted the IKE SA");
    wait_for("another ISAKMP SA is in use", PATIENCE, || {
        let is_up = pair.near.tunnel("t")["state"] == "up";
        (is_up && cookies(&pair.near) != before).then_some(())
    });
    pair.wait("up");
    assert!(pings(&pair.sites));
    assert!(pair.near.client(&["down", "t"]).status.success());
    let down = events.next("t", "ike-down", PATIENCE);
    assert_eq!(down["reason"], "peer deleted the IKE SA");
    assert_ne!(pair.far.tunnel("t")["state"], "up");
    assert!(pair.near.client(&["up", "t"]).status.success());
    pair.wait("up");
    assert!(pings(&pair.sites));
}

#[test]
fn debug_shows_each_question_and_answer_and_how_a_dead_peer_is_buried() {
    // The far end asks late: who is asked knows by that that the other lives.
    let tunnel = Tunnel {
        each: [PERIODIC, ""],
        ..Tunnel::version_1("esp")
    };
    let mut pair = Pair::start(tunnel);
    let mut debug = pair.near.client_that_goes_on(&["debug", "t"]);
    let output = BufReader::new(debug.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut lines = output.lines().map_while(Result::ok);
        lines.try_for_each(|line| sender.send(line))
    });
    let seen = |what: &str| {
        let mut lines = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok());
        let line = lines.find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("nothing more, and never {what:?}"))
    };
    let asked = seen("DPD: sending R-U-THERE 0x");
    let number = asked.rsplit_once("0x").unwrap().1;
    seen(&format!("DPD: R-U-THERE-ACK 0x{number} received"));
    pair.far.kill();
    seen("DPD: sending R-U-THERE 0x");
    for misses in 1..=3 {
        seen(&format!("DPD: no answer to {misses} of 3"));
    }
    seen("peer 192.0.2.2 not responding");
    seen("down: peer not responding");
    seen("its IKE SA is gone");
    seen("no IKE SA any more: peer found dead");
    debug.kill().unwrap();
    debug.wait().unwrap();
    for words in ["DPD is enabled: periodic", "peer 192.0.2.2 not responding"] {
        assert!(pair.near.log().contains(words), "{words}");
    }
}

#[test]
fn an_easy_vpn_remote_that_is_connected_by_hand_waits_for_the_operator() {
    let site = Namespace::new();
    let config = "[tunnel.t]\nmode = \"esp\"\nremote = \"192.0.2.2\"\nlocal = \"127.0.0.1\"\nike = { version = 1, easy-vpn = { group = \"unity\", group-key-file = \"unity.key\", user = \"alice\", password-file = \"alice.pw\", connect = \"manual\" }, retransmit = { first = \"200ms\", base = 100, tries = 2 } }\n";
    let daemon = Daemon::start_with(&site, config, |folder| {
        super::site::write_key(
            &folder.join("unity.key"),
            "the key of the group, and of no user",
        );
        super::site::write_key(&folder.join("alice.pw"), "the password");
    });
    assert_eq!(daemon.tunnel("t")["state"], "disabled");
    assert!(!daemon.log().contains("AGGRESSIVE"));
    assert!(daemon.client(&["up", "t"]).status.success());
    wait_for("aggressive mode begins", PATIENCE, || {
        daemon.log().contains("→ AGGRESSIVE").then_some(())
    });
    assert!(!daemon.log().contains("the password"));
    // Nobody answers, and the router's `connect manual` waits for its command then.
    let told = wait_for("it waits again", PATIENCE, || {
        let error = daemon.tunnel("t")["last_error"].as_str()?.to_owned();
        error
            .contains("`adit up t` connects it again")
            .then_some(error)
    });
    assert!(told.contains("does not answer"), "{told}");
    assert_eq!(daemon.tunnel("t")["state"], "down");
    let attempts = || daemon.log().matches("→ AGGRESSIVE").count();
    let before = attempts();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(attempts(), before);
    // An interface that is made anew is no command of the operator's.
    let mut events = daemon.events();
    let interface = daemon.tunnel("t")["interface"].as_str().unwrap().to_owned();
    site.ip(&format!("link del dev {interface}"));
    events.next("t", "interface-gone", PATIENCE);
    events.next("t", "enabled", PATIENCE);
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(attempts(), before);
    let status = daemon.tunnel("t");
    assert_eq!(status["state"], "down");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("connected by hand"), "{status}");
    // A file that cannot be used is told to who asks, and nothing is sent.
    let password = daemon.folder().join("alice.pw");
    super::site::write_key(&password, "");
    let refused = daemon.client(&["up", "t"]);
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("no password in it"), "{words}");
    assert_eq!(attempts(), before);
    super::site::write_key(&password, "another");
    assert!(daemon.client(&["up", "t"]).status.success());
    wait_for("aggressive mode begins again", PATIENCE, || {
        (attempts() > before).then_some(())
    });
}
