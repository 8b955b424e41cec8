//! The hook: what it is told, and what becomes of one that hangs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel};

/// Writes its input and its environment under the event's name.
const SCRIPT: &str = r#"cat > "$0/input" && env | grep ^ADIT_ > "$0/environment" && mkdir "$0/$ADIT_EVENT" && mv "$0/input" "$0/environment" "$0/$ADIT_EVENT""#;

fn hook(arguments: &[&str], timeout: &str) -> String {
    format!(
        "on-dead = [\"carrier\", \"withdraw-routes\", \"hook\"]\nhook = {arguments:?}\nhook-timeout = \"{timeout}\""
    )
}

fn told(folder: &Path, event: &str) -> (BTreeMap<String, String>, Value) {
    let environment = wait_for(&format!("the hook for {event}"), PATIENCE, || {
        std::fs::read_to_string(folder.join(event).join("environment")).ok()
    });
    let split = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    let input = std::fs::read_to_string(folder.join(event).join("input")).unwrap();
    (
        environment.lines().map(split).collect(),
        serde_json::from_str(&input).unwrap(),
    )
}

#[test]
fn a_hook_learns_of_up_and_down_from_its_environment_and_its_input() {
    let sites = Pair::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let tunnel = Tunnel::new(1).with(&hook(&["/bin/sh", "-c", SCRIPT, path], "10s"));
    let (_near, mut far) = {
        let near = Daemon::start(&sites.a, &tunnel.near());
        let far = Daemon::start(&sites.b, &Tunnel::new(1).far());
        (near, far)
    };
    let (up, input) = told(folder.path(), "up");
    assert_eq!(input["event"], "up");
    assert_eq!(up["ADIT_REMOTE"], "192.0.2.2");
    far.kill();
    let (down, input) = told(folder.path(), "down");
    let expected = [
        ("ADIT_EVENT", "down"),
        ("ADIT_INTERFACE", "gre-1"),
        ("ADIT_REASON", "keepalive_unanswered"),
        ("ADIT_REMOTE", "192.0.2.2"),
        ("ADIT_TUNNEL", "t1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(down, BTreeMap::from(expected));
    assert_eq!(input["event"], "down");
    assert_eq!(input["worst_case_ms"], 810);
}

#[test]
fn a_hanging_hook_is_killed_with_its_children_after_its_timeout_and_holds_nothing_up() {
    let sites = Pair::new();
    // As a shell script that waits for a program: the shell is the hook, the program its child.
    let tunnel = Tunnel::new(1).with(&hook(&["/bin/sh", "-c", "sleep 86399; true"], "1s"));
    let near = Daemon::start(&sites.a, &tunnel.near());
    let mut events = near.events();
    let far = Daemon::start(&sites.b, &Tunnel::new(1).far());
    near.wait_state("t1", "up", PATIENCE);
    far.wait_state("t1", "up", PATIENCE);
    let hanging = || running(&sites, "sleep 86399");
    wait_for("the hook runs", PATIENCE, || (hanging() > 0).then_some(()));
    assert!(sites.carries(&Tunnel::new(1)));
    let failed = events.next("t1", "hook-failed", PATIENCE);
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("killed after 1 s"), "{failed}");
    assert_eq!(near.tunnel("t1")["last_error"], failed["reason"]);
    wait_for(
        "nothing of the hook is left",
        Duration::from_secs(5),
        || (hanging() == 0).then_some(()),
    );
}

#[test]
fn a_hook_that_is_no_program_is_reported() {
    let sites = Pair::new();
    let tunnel = Tunnel::new(1).with(&hook(&["/nonexistent/hook"], "1s"));
    let near = Daemon::start(&sites.a, &tunnel.near());
    let mut events = near.events();
    let _far = Daemon::start(&sites.b, &Tunnel::new(1).far());
    let failed = events.next("t1", "hook-failed", PATIENCE);
    assert!(
        failed["reason"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/hook"),
        "{failed}"
    );
    near.wait_state("t1", "up", PATIENCE);
}

/// Processes of the near site whose command line begins so.
fn running(sites: &Pair, command: &str) -> usize {
    let pids = sites.a.run("ip", &["netns", "pids", &sites.a.name]);
    let begins = |pid: &&str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .starts_with(command)
    };
    pids.split_whitespace().filter(begins).count()
}
