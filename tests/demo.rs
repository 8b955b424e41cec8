//! `adit demo` as a user runs it (root needed: it makes namespaces and sends signals to its own children).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const ADIT: &str = env!("CARGO_BIN_EXE_adit");
const SOON: Duration = Duration::from_secs(10);

/// A demo whose temporary folder is ours, so that what it leaves there is seen.
struct Demo {
    folder: tempfile::TempDir,
    child: Child,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(ADIT)
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// The endpoints, as soon as both listen.
    fn endpoints(&self) -> Vec<u32> {
        let started = Instant::now();
        loop {
            let pids = self.children();
            if pids.len() == 2 && sockets(self.folder.path()).len() == 2 {
                return pids;
            }
            assert!(started.elapsed() < SOON, "no endpoints after {SOON:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn children(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        children
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    fn finish(self) -> (Output, Vec<PathBuf>) {
        let output = self.child.wait_with_output().unwrap();
        (output, entries(self.folder.path()))
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn sockets(folder: &Path) -> Vec<PathBuf> {
    let mut sockets = Vec::new();
    for entry in entries(folder) {
        sockets.extend(["west.sock", "east.sock"].map(|name| entry.join(name)));
    }
    sockets.retain(|socket| socket.exists());
    sockets
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn the_demo_keeps_every_promise_and_leaves_nothing_behind() {
    let (output, left) = Demo::start(&["--json", "--seconds", "1"]).finish();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{found:#}\n{}",
        text(&output.stderr)
    );
    assert_eq!(found["ok"], true);
    assert_eq!(found["pings"].as_array().unwrap().len(), 4);
    assert!(found["tcp"]["octets"].as_u64().unwrap() > 0);
    for side in ["west", "east"] {
        let outage = &found["outage"][side];
        assert!(
            outage["forwarding_us"].as_u64().unwrap() < 4_310_000,
            "{outage}"
        );
        assert_eq!(outage["routes_us"].as_object().unwrap().len(), 2);
        assert_eq!(found["tunnels"][side]["state"], "up");
    }
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_demo_cleans_up() {
    use rustix::process::Signal;

    for (interrupt, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let demo = Demo::start(&[]);
        let endpoints = demo.endpoints();
        signal(demo.child.id(), interrupt);
        let (output, left) = demo.finish();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(left, Vec::<PathBuf>::new());
        assert!(!endpoints.into_iter().any(is_alive));
    }
}

#[test]
fn a_killed_endpoint_ends_the_demo_with_a_sentence_and_code_1() {
    let demo = Demo::start(&[]);
    let endpoints = demo.endpoints();
    signal(endpoints[1], rustix::process::Signal::KILL);
    let (output, left) = demo.finish();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("the endpoint of east ended before the demo did"),
        "{said}"
    );
    assert_eq!(left, Vec::<PathBuf>::new());
    assert!(!is_alive(endpoints[0]));
}

#[test]
fn endpoints_do_not_outlive_a_demo_that_is_killed() {
    let demo = Demo::start(&[]);
    let endpoints = demo.endpoints();
    signal(demo.child.id(), rustix::process::Signal::KILL);
    demo.finish();
    let started = Instant::now();
    while endpoints.iter().any(|pid| is_alive(*pid)) {
        assert!(started.elapsed() < SOON, "an endpoint lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the demo as uid 65534, with a TUN device that everybody may open, behind `prefix`.
fn as_nobody(prefix: &str, before: &str) -> Output {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = folder.path().join("adit");
    std::fs::copy(ADIT, &program).unwrap();
    let script = format!(
        "mount -t tmpfs -o dev,mode=1777 none /mnt && mknod -m 666 /mnt/tun c 10 200 && {before} \
         cd / && TMPDIR=/mnt exec setpriv --reuid 65534 --regid 65534 --clear-groups {prefix} \"$0\" demo --json --seconds 1"
    );
    Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .arg(program)
        .output()
        .unwrap()
}

#[test]
fn the_demo_works_without_root_with_and_without_a_user_namespace_around_it() {
    for (prefix, own) in [("", true), ("unshare -Ur", false)] {
        let output = as_nobody(prefix, "mount --bind /mnt/tun /dev/net/tun &&");
        let said = text(&output.stderr);
        let found: Value = serde_json::from_slice(&output.stdout).expect(&said);
        assert_eq!(output.status.code(), Some(0), "{found:#}\n{said}");
        assert_eq!(found["own_user_namespace"], own);
    }
}

#[test]
fn what_is_missing_is_named() {
    let output = as_nobody("", "mount -t tmpfs none /dev/net &&");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/dev/net/tun does not exist"));

    let forbid = "unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"'";
    let output = as_nobody(forbid, "mount --bind /mnt/tun /dev/net/tun &&");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("user.max_user_namespaces = 0"), "{said}");
}
