//! Keys that a daemon does not start with, and what it says then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::common::{Daemon, wait_for};
use crate::site::{PATIENCE, Pair, Tunnel};

/// Starts the near end, which must end by itself, and gives what it logged.
fn refusal(pair: &Pair, config: &str) -> String {
    let mut daemon = Daemon::launch(&pair.a, config);
    assert!(!daemon.wait().success());
    assert!(!exists(pair, "tun-t"));
    daemon.log()
}

fn exists(pair: &Pair, interface: &str) -> bool {
    let output = pair.a.output("ip", &["link", "show", interface]);
    output.status.success()
}

/// Runs `adit run` in `a` after `prepare` in a mount namespace of its own, and gives what it logged until it ended.
fn refusal_after(pair: &Pair, config: &str, prepare: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    fs::write(&file, config).unwrap();
    let script = format!("{prepare} && exec \"$0\" run -c \"$1\" --socket \"$2\"");
    let mut command = pair.a.command("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_adit")]);
    command.arg(&file).arg(folder.path().join("socket"));
    let log = folder.path().join("log");
    command.stdout(Stdio::null());
    command.stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let status = wait_for("it ends by itself", PATIENCE, || child.try_wait().unwrap());
    let said = fs::read_to_string(&log).unwrap();
    assert!(!status.success(), "{said}");
    assert!(!exists(pair, "tun-t"));
    said
}

#[test]
fn a_state_that_cannot_be_written_is_refused_by_name() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    let keys = pair.keys(1).display().to_string();
    let read_only = format!("mount --bind {keys} {keys} && mount -o remount,bind,ro {keys}");
    let said = refusal_after(&pair, &pair.near(&tunnel), &read_only);
    assert!(said.contains("tunnel \"t\": "), "{said}");
    assert!(said.contains("ab.key.out.lock: cannot open it"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");

    // Also where the state of another run is there.
    let (near, far) = pair.start(&tunnel);
    drop((near, far));
    let said = refusal_after(&pair, &pair.near(&tunnel), &read_only);
    assert!(said.contains("Read-only file system"), "{said}");
}

#[test]
fn a_disk_without_room_for_the_state_is_refused_by_name_and_the_state_stays_as_it_was() {
    let pair = Pair::new();
    let keys = pair.keys(1).display().to_string();
    let full = format!(
        "mkdir {keys}/../kept && cp -p {keys}/* {keys}/../kept && mount -t tmpfs -o size=64k tmpfs {keys} \
         && cp -p {keys}/../kept/* {keys} && {{ dd if=/dev/zero of={keys}/full bs=4k 2>/dev/null; true; }}"
    );
    let said = refusal_after(&pair, &pair.near(&Tunnel::new("esp")), &full);
    assert!(said.contains("tunnel \"t\": "), "{said}");
    assert!(said.contains("ab.key.out."), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn a_corrupt_or_deleted_state_is_refused_by_name() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    drop(pair.start(&tunnel));
    let state = pair.keys(1).join("ab.key.out.state");
    let whole = fs::read(&state).unwrap();
    fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let said = refusal(&pair, &pair.near(&tunnel));
    assert!(said.contains("ab.key.out.state: corrupt"), "{said}");
    fs::remove_file(&state).unwrap();
    let said = refusal(&pair, &pair.near(&tunnel));
    assert!(said.contains("ab.key.out.state: deleted"), "{said}");
    assert!(said.contains("make new keys with `adit keygen`"), "{said}");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("gre-esp");
    for (name, mode) in [("ab.key", 0o640), ("ba.key", 0o604), ("ab.key", 0o620)] {
        let path = pair.keys(1).join(name);
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(mode);
        let said = refusal(&pair, &pair.near(&tunnel));
        let remedy = format!("run `chmod 600 {}`", path.display());
        assert!(said.contains(&remedy), "{said}");
        set(0o600);
    }
    pair.start(&tunnel);
}

#[test]
fn one_key_in_two_files_is_refused() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    let of = |name: &str| pair.keys(1).join(name);
    fs::copy(of("ab.key"), of("other.key")).unwrap();
    let near = pair.near(&tunnel);
    let said = refusal(&pair, &near.replace("ba.key", "other.key"));
    let why = "the key files of sa.out and sa.in hold the same key: each direction needs its own";
    assert!(said.contains(why), "{said}");

    // In another tunnel, in either direction.
    fs::rename(of("other.key"), of("third.key")).unwrap();
    let fourth = std::process::Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["keygen", "--suite", "aes128gcm16"])
        .arg(of("fourth.key"))
        .output()
        .unwrap();
    assert!(fourth.status.success());
    for (out, inbound) in [("third", "fourth"), ("fourth", "third")] {
        let second = near
            .replace("tunnel.t", "tunnel.u")
            .replace("tun-t", "tun-u")
            .replace("192.0.2.2", "192.0.2.3")
            .replace("10.9.0.", "10.9.1.")
            .replace("fd00:9::", "fd00:10::")
            .replace("10.77.", "10.78.")
            .replace("fd00:77:", "fd00:78:")
            .replace("4097", "4099")
            .replace("4098", "4100")
            .replace("ab.key", &format!("{out}.key"))
            .replace("ba.key", &format!("{inbound}.key"));
        let said = refusal(&pair, &format!("{near}{second}"));
        assert!(
            said.contains("a key file of sa.out or sa.in holds a key of tunnel"),
            "{said}"
        );
    }
}

#[test]
fn a_second_daemon_on_the_same_keys_is_refused_and_the_first_goes_on() {
    let pair = Pair::new();
    let tunnel = Tunnel::new("esp");
    let (near, _far) = pair.start(&tunnel);
    let second = pair.near(&tunnel).replace("tun-t", "tun-u");
    let mut second = Daemon::launch(&pair.a, &second);
    assert!(!second.wait().success());
    let said = second.log();
    assert!(
        said.contains("ab.key.out.lock: held by another adit"),
        "{said}"
    );
    assert!(!exists(&pair, "tun-u"));
    assert!(pair.carries());
    assert_eq!(near.tunnel("t")["deaths"], 0);
}
