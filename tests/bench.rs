//! `adit bench` as a user runs it (root needed: it makes namespaces and mounts).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use adit::bench::model::{Metric, Results, Size, Subject};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

const ADIT: &str = env!("CARGO_BIN_EXE_adit");
const SOON: Duration = Duration::from_secs(10);
/// A baseline: another endpoint of adit, and a process that leaves its parent.
const ANOTHER: &str = r#"another=
    setsid -f sleep 4242.5
    printf '[tunnel.b]\nmode="gre"\ninterface="%s"\nlocal="%s"\nremote="%s"\naddresses=["%s"]\nroutes=["%s"]\nmtu=%s\n' \
        "$DEVICE" "$LOCAL" "$REMOTE" "$INNER" "10.77.0.0/16" $((MTU - 24)) > "$STATE/toml"
    exec "$ADIT" run -c "$STATE/toml" --socket "$STATE/sock""#;

/// A bench whose temporary folder is ours, so that what it leaves there is seen.
struct Bench {
    folder: tempfile::TempDir,
    child: Child,
}

impl Bench {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(ADIT)
            .arg("bench")
            .args(arguments)
            .env("TMPDIR", folder.path())
            .env("ADIT", ADIT)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// Waits until both endpoints listen.
    fn wait_for_endpoints(&self) {
        let listen = || {
            let folders = entries(self.folder.path());
            let sockets = folders
                .iter()
                .flat_map(|folder| ["west.sock", "east.sock"].map(|name| folder.join(name)));
            sockets.filter(|socket| socket.exists()).count() == 2
        };
        let started = Instant::now();
        while !listen() {
            assert!(started.elapsed() < SOON, "no endpoints after {SOON:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no endpoint is left of those that listened.
    fn wait_for_the_next_subject(&self) {
        let folder = self.folder.path();
        let listens = || {
            entries(folder)
                .iter()
                .any(|one| one.join("west.sock").exists())
        };
        let started = Instant::now();
        while listens() {
            assert!(started.elapsed() < SOON, "endpoints after {SOON:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
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

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The results in an output, and the exit code.
fn results(output: &Output) -> (Results, Option<i32>) {
    let said = text(&output.stderr);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&said);
    let results = Results::deserialize(&document["results"]).unwrap();
    (results, output.status.code())
}

fn names(results: &Results) -> Vec<&str> {
    let subjects = results.subjects.iter();
    subjects.map(|subject| subject.name.as_str()).collect()
}

/// The only sample of a metric.
fn sample(subject: &Subject, metric: Metric) -> f64 {
    match subject.samples(metric) {
        Some(&[Some(sample)]) => sample,
        other => panic!("{}: {metric:?}: {other:?}", subject.name),
    }
}

/// Whether a process with these words on its command line lives.
fn lives(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        text(&line).replace('\0', " ").contains(words)
    })
}

#[test]
fn everything_is_measured_accounted_for_and_taken_away() {
    let (output, left) = Bench::start(&["--quick", "--json"]).finish();
    let (results, code) = results(&output);
    assert_eq!(code, Some(0), "{results:#?}");
    assert_eq!(names(&results), ["gre", "none"]);
    assert_eq!(left, Vec::<PathBuf>::new());
    for subject in &results.subjects {
        let size = Size::Octets(1400);
        for metric in [
            Metric::Tcp { streams: 1 },
            Metric::Udp { octets: 1400 },
            Metric::LossFree { octets: size },
        ] {
            assert!(sample(subject, metric) > 0.0);
        }
        assert_eq!(subject.histograms.len(), 2);
        assert!(subject.histograms.iter().all(|times| times.answered > 400));
        let accounting = subject.accounting.as_ref().unwrap();
        let drops: u64 = accounting.drops.values().sum();
        let lost = drops + accounting.tun_tx_dropped + accounting.socket_overflow;
        let sum = accounting.received.cast_signed() + lost.cast_signed();
        assert_eq!(accounting.sent.cast_signed(), sum + accounting.unexplained);
        // A packet of the system's own may be among the dropped ones.
        assert!(accounting.unexplained.abs() <= 5, "{accounting:?}");
    }
    let tunnel = &results.subjects[0];
    assert!(sample(tunnel, Metric::CpuPerGb) > 0.0);
    assert!(sample(tunnel, Metric::Rss) > 1.0);
    assert!(results.subjects[1].samples(Metric::Rss).is_none());
}

#[test]
fn a_command_brings_up_a_baseline_and_all_that_it_started_is_ended() {
    let arguments = [
        "--quick",
        "--json",
        "--tests",
        "udp",
        "--baseline-cmd",
        ANOTHER,
    ];
    let (output, left) = Bench::start(&arguments).finish();
    let (results, code) = results(&output);
    assert_eq!(code, Some(0), "{results:#?}");
    assert_eq!(left, Vec::<PathBuf>::new());
    assert_eq!(names(&results), ["gre", "another"]);
    let baseline = &results.subjects[1];
    assert!(baseline.is_baseline && baseline.accounting.is_none());
    assert!(sample(baseline, Metric::Udp { octets: 1400 }) > 0.0);
    assert!(sample(baseline, Metric::Rss) > 1.0);
    assert!(!lives("sleep 4242.5"));
}

#[test]
fn a_baseline_that_fails_is_named_and_the_rest_is_measured() {
    let bad = "bad=echo no such tunnel; exit 3";
    let arguments = [
        "--quick",
        "--json",
        "--tests",
        "tcp",
        "--mode",
        "none",
        "--baseline-cmd",
        bad,
    ];
    let (output, left) = Bench::start(&arguments).finish();
    let (results, code) = results(&output);
    assert_eq!(code, Some(1));
    assert!(sample(&results.subjects[0], Metric::Tcp { streams: 1 }) > 0.0);
    let error = results.subjects[1].error.as_deref().unwrap();
    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.contains("no such tunnel"), "{error}");
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_tunnel_that_carries_nothing_of_a_flood_has_an_error_and_no_rate() {
    let drop = "deaf=nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; \
                add rule ip t in meta length > 1000 drop'";
    // Another test looks whether its own process is gone.
    let deaf = ANOTHER
        .replace("another=", drop)
        .replace("4242.5", "4343.5");
    let arguments = [
        "--quick",
        "--json",
        "--tests",
        "loss-free,latency",
        "--mode",
        "none",
        "--baseline-cmd",
        &deaf,
    ];
    let (output, left) = Bench::start(&arguments).finish();
    let (results, code) = results(&output);
    assert_eq!(code, Some(1), "{results:#?}");
    assert_eq!(left, Vec::<PathBuf>::new());
    let [wire, tunnel] = results.subjects.as_slice() else {
        panic!("{results:#?}");
    };
    assert!(wire.histograms[1].load_pps[0] > 0.0, "{wire:#?}");
    let size = Size::Octets(1400);
    assert!(tunnel.samples(Metric::LossFree { octets: size }).is_none());
    assert_eq!(tunnel.histograms.len(), 1);
    let error = tunnel.error.as_deref().unwrap();
    assert!(error.contains("nothing of a flood arrived"), "{error}");
}

#[test]
fn an_interrupted_bench_cleans_up() {
    for (interrupt, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let bench = Bench::start(&["--quick"]);
        bench.wait_for_endpoints();
        let folder = bench.folder.path().display().to_string();
        assert!(lives(&folder));
        bench.signal(interrupt);
        let (output, left) = bench.finish();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(left, Vec::<PathBuf>::new());
        assert!(!lives(&folder));
    }
}

#[test]
fn an_interrupted_bench_tells_what_it_had_found() {
    let page = tempfile::NamedTempFile::new().unwrap();
    let path = page.path().to_str().unwrap();
    let arguments = ["--quick", "--json", "--tests", "udp", "--html", path];
    let bench = Bench::start(&arguments);
    bench.wait_for_endpoints();
    bench.wait_for_the_next_subject();
    bench.signal(Signal::INT);
    let (output, left) = bench.finish();
    let (results, code) = results(&output);
    assert_eq!(code, Some(130), "{results:#?}");
    assert!(results.ended.as_ref().unwrap().contains("SIGINT"));
    assert!(sample(&results.subjects[0], Metric::Udp { octets: 1400 }) > 0.0);
    assert_eq!(left, Vec::<PathBuf>::new());
    let html = std::fs::read_to_string(page.path()).unwrap();
    assert!(html.contains("SIGINT"), "{html}");
}

#[test]
fn a_page_that_cannot_be_opened_is_noticed_before_anything_is_measured() {
    let path = OsStr::from_bytes(b"/nowhere/\xff.html");
    let output = Command::new(ADIT)
        .args(["bench", "--html"])
        .arg(path)
        .output()
        .unwrap();
    let complained = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(complained.contains("/nowhere/"), "{complained}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn results_are_printed_even_if_the_page_cannot_be_written() {
    let full = [
        "--quick",
        "--tests",
        "udp",
        "--mode",
        "none",
        "--html",
        "/dev/full",
    ];
    let (output, _) = Bench::start(&full).finish();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{complained}");
    assert!(said.contains("UDP flood, 1400 octets"), "{said}");
    assert!(complained.contains("/dev/full: "), "{complained}");
}

#[test]
fn a_wire_without_udp_gso_carries_the_same_and_a_page_is_written() {
    let page = tempfile::NamedTempFile::new().unwrap();
    let path = page.path().to_str().unwrap();
    let arguments = ["--quick", "--tests", "udp", "--no-udp-gso", "--html", path];
    let (output, _) = Bench::start(&arguments).finish();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{complained}");
    assert!(said.contains("UDP flood, 1400 octets"), "{said}");
    assert!(said.contains("UDP GSO off, TCP by "), "{said}");
    assert_eq!(complained, "");
    let html = std::fs::read_to_string(page.path()).unwrap();
    assert!(html.contains("<svg"), "{html}");
}

#[test]
fn tcp_controls_congestion_as_told_or_nothing_is_measured() {
    let arguments = ["--quick", "--tests", "tcp", "--congestion-control"];
    let (output, _) = Bench::start(&[&arguments[..], &["reno"]].concat()).finish();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{complained}");
    assert!(said.contains("TCP by reno"), "{said}");
    let (output, _) = Bench::start(&[&arguments[..], &["none-such"]].concat()).finish();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{complained}");
    assert_eq!(said, "");
    assert!(
        complained.starts_with("adit bench: congestion control \"none-such\": "),
        "{complained}"
    );
}

#[test]
fn the_bench_works_without_root() {
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = folder.path().join("adit");
    std::fs::copy(ADIT, &program).unwrap();
    let script = "mount -t tmpfs -o dev,mode=1777 none /mnt && mknod -m 666 /mnt/tun c 10 200 && \
                  mount --bind /mnt/tun /dev/net/tun && cd / && TMPDIR=/mnt \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" bench --quick --json --tests udp";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(program)
        .output()
        .unwrap();
    let (results, code) = results(&output);
    assert_eq!(code, Some(0), "{results:#?}");
    assert!(sample(&results.subjects[0], Metric::Rss) > 1.0);
}
