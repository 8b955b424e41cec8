//! A daemon's life: what it leaves behind (nothing), what stops it from starting, and what its clients are told.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use super::common::{Daemon, Namespace, SLACK, Sites, wait_for};
use super::{ADIT, Delivery, PATIENCE, config};

const ROUTES: &str = "routes = [\"10.20.0.0/16\", \"fd00:20::/48\"]";

/// A daemon that may be expected to fail at once; one that does not is killed.
fn run(site: &Namespace, folder: &Path, text: &str) -> Output {
    let file = folder.join("adit.toml");
    std::fs::write(&file, text).unwrap();
    let (file, socket) = (file.to_str().unwrap(), folder.join("socket"));
    let socket = socket.to_str().unwrap();
    site.output(
        "timeout",
        &[
            "-s", "KILL", "10", ADIT, "run", "-c", file, "--socket", socket,
        ],
    )
}

/// Fails unless `output` is a clear error with these words.
fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// Fails unless the namespace is as it was before there was a daemon.
fn nothing_is_left(site: &Namespace) {
    assert!(!site.ip("-o link show").contains("gre-"));
    for family in ["-4", "-6"] {
        let routes = site.ip(&format!("{family} route show table all"));
        for trace in ["gre-", "10.20.", "fd00:20", "10.9.", "fd00:9"] {
            assert!(!routes.contains(trace), "{routes}");
        }
    }
    assert!(!site.ip("addr").contains("10.9.0."));
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn sigterm_and_sigint_end_the_daemon_within_a_second_and_nothing_is_left() {
    for signal in ["TERM", "INT"] {
        let sites = Sites::new();
        let mut near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ROUTES));
        near.wait_state("t", "up", PATIENCE);
        assert!(sites.a.ip("route").contains("10.20.0.0/16 dev gre-t"));
        let start = std::time::Instant::now();
        near.signal(signal);
        let status = near.wait();
        let took = start.elapsed();
        assert!(status.success(), "{signal}: {status}");
        assert!(took <= Duration::from_secs(1) + SLACK, "{signal}: {took:?}");
        nothing_is_left(&sites.a);
        let left: Vec<_> = std::fs::read_dir(near.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            left.iter().all(|name| name == "adit.toml" || name == "log"),
            "{left:?}"
        );
    }
}

#[test]
fn sigterm_ends_the_daemon_within_a_second_while_it_probes_and_while_it_waits_for_a_name() {
    let sites = Sites::new();
    let named =
        config(Delivery::V4, 1, "keepalive = true").replace("\"192.0.2.2\"", "\"nowhere.invalid\"");
    for text in [config(Delivery::V4, 1, "keepalive = true"), named] {
        let mut near = Daemon::start(&sites.a, &text);
        let (took, status) = near.terminate();
        assert!(status.success(), "{status}");
        assert!(took <= Duration::from_secs(1) + SLACK, "{took:?}");
        nothing_is_left(&sites.a);
    }
}

#[test]
fn after_a_kill_the_next_start_works_and_removes_what_was_left() {
    let sites = Sites::new();
    let mut near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ROUTES));
    near.wait_state("t", "up", PATIENCE);
    near.kill();
    // The kernel takes the interface, its addresses and routes with the last descriptor.
    wait_for("the interface is gone", PATIENCE, || {
        (!sites.a.ip("-o link show").contains("gre-t")).then_some(())
    });
    nothing_is_left(&sites.a);
    assert!(near.socket().exists());
    near.restart(&sites.a);
    near.wait_state("t", "up", PATIENCE);
    assert!(sites.a.ip("route").contains("10.20.0.0/16 dev gre-t"));
    let (_, status) = near.terminate();
    assert!(status.success());
    assert!(!near.socket().exists());
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_harms_nothing() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ""));
    let pid = near.pid().to_string();
    let second = run(&sites.b, near.folder(), &config(Delivery::V4, 2, ""));
    refused(
        &second,
        &["another adit daemon", &pid, near.socket().to_str().unwrap()],
    );
    nothing_is_left(&sites.b);
    assert_eq!(near.tunnel("t")["state"], "up");
}

#[test]
fn a_taken_interface_name_is_refused_by_name_and_the_other_tunnels_are_taken_back() {
    let sites = Sites::new();
    let folder = tempfile::tempdir().unwrap();
    for taken in [
        "tuntap add gre-t mode tun",
        "link add gre-t type veth peer name other",
    ] {
        sites.a.ip(taken);
        let free = config(Delivery::V6, 1, ROUTES)
            .replace("tunnel.t", "tunnel.a")
            .replace("gre-t", "gre-a");
        let text = format!(
            "{free}{}",
            config(Delivery::V4, 1, "")
                .replace("10.9.", "10.8.")
                .replace("fd00:9:", "fd00:8:")
        );
        refused(
            &run(&sites.a, folder.path(), &text),
            &["tunnel \"t\"", "gre-t"],
        );
        assert!(!folder.path().join("socket").exists());
        assert!(sites.a.ip("-o link show").contains("gre-t"));
        sites.a.ip("link del gre-t");
        nothing_is_left(&sites.a);
    }
}

#[test]
fn a_namespace_or_a_local_address_that_is_not_there_is_told() {
    let sites = Sites::new();
    let folder = tempfile::tempdir().unwrap();
    for key in ["netns", "outer-netns"] {
        let text = config(Delivery::V4, 1, &format!("{key} = \"adit-nowhere\""));
        refused(
            &run(&sites.a, folder.path(), &text),
            &["tunnel \"t\"", key, "adit-nowhere"],
        );
        nothing_is_left(&sites.a);
    }
}

#[test]
fn an_error_in_the_configuration_touches_nothing() {
    let sites = Sites::new();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{}\nmtus = 1400\n", config(Delivery::V4, 1, ROUTES));
    refused(&run(&sites.a, folder.path(), &text), &["mtus", "adit.toml"]);
    nothing_is_left(&sites.a);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // Not even a daemon that runs already is asked.
    refused(
        &sites
            .a
            .output(ADIT, &["run", "-c", "/nonexistent/adit.toml"]),
        &["/nonexistent/adit.toml"],
    );
}

#[test]
fn the_control_socket_is_for_its_owner_alone() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ""));
    let mode = std::fs::metadata(near.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_tunnel_goes_down_and_up_on_request_and_its_events_and_counters_are_shown() {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ROUTES));
    near.wait_state("t", "up", PATIENCE);
    let mut events = near.events();
    assert!(stdout(&near.client(&["status"])).contains("up"));
    assert!(stdout(&near.client(&["status", "t"])).contains("192.0.2.2"));
    assert!(stdout(&near.client(&["down", "t"])).starts_with("t: down"));
    events.next("t", "disabled", PATIENCE);
    nothing_is_left(&sites.a);
    assert_eq!(near.tunnel("t")["state"], "disabled");
    stdout(&near.client(&["down", "t"]));
    assert!(stdout(&near.client(&["up", "t"])).starts_with("t: "));
    events.next("t", "enabled", PATIENCE);
    events.next("t", "up", PATIENCE);
    near.wait_state("t", "up", PATIENCE);
    stdout(&near.client(&["up", "t"]));
    wait_for("the routes are back", PATIENCE, || {
        sites
            .a
            .ip("route")
            .contains("10.20.0.0/16 dev gre-t")
            .then_some(())
    });
    sites.a.output(
        "ping",
        &["-q", "-c", "2", "-i", "0.05", "-W", "0.1", "10.9.0.2"],
    );
    let counters = stdout(&near.client(&["counters", "t", "--json"]));
    let counters: serde_json::Value = serde_json::from_str(&counters).unwrap();
    assert!(
        counters.to_string().contains("outbound_packets"),
        "{counters}"
    );
    assert!(stdout(&near.client(&["counters", "t"])).contains("outbound"));
    for command in [
        ["up", "x"],
        ["down", "x"],
        ["status", "x"],
        ["counters", "x"],
    ] {
        refused(&near.client(&command), &["no tunnel \"x\"", "t"]);
    }
}

#[test]
fn the_events_command_prints_one_json_object_a_line_until_the_daemon_ends() {
    let sites = Sites::new();
    let mut near = Daemon::start(&sites.a, &config(Delivery::V4, 1, ""));
    near.wait_state("t", "up", PATIENCE);
    let socket = near.socket();
    let socket = socket.to_str().unwrap();
    let mut child = sites.a.spawn(ADIT, &["events", "--socket", socket]);
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    // The client may not listen yet: it is told of the first change after that.
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| lines.next().unwrap());
        wait_for("an event", PATIENCE, || {
            near.client(&["down", "t"]);
            near.client(&["up", "t"]);
            first.is_finished().then_some(())
        });
        first.join().unwrap()
    });
    assert_eq!(first["tunnel"], "t");
    assert!(first["unix_us"].as_u64().is_some(), "{first}");
    near.terminate();
    assert!(lines.any(|event| event["event"] == "disabled"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_a_daemon_its_clients_say_where_they_looked() {
    let site = Namespace::new();
    for command in ["status", "events"] {
        refused(
            &site.output(ADIT, &[command, "--socket", "/nonexistent/socket"]),
            &["/nonexistent/socket"],
        );
    }
}
