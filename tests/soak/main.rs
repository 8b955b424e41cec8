//! Mixed load through a relay that loses, repeats and delays packets: nothing stalls, nothing grows, and every packet is accounted for.
//!
//! `ADIT_SOAK_SECONDS` says how long the load lasts, 30 seconds if it does not. Needs root and /dev/net/tun.
//!
//! ```text
//! site a 192.0.2.1 ── 192.0.2.2 hop │ relay │ hop 192.0.2.1 ── 192.0.2.2 site b
//!   two tunnels: `natt` (ESP in UDP, IPv4 inside), `gre` (GRE in ESP, IPv6 inside)
//! ```
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and a long one tells what it saw"
)]

#[path = "../common/mod.rs"]
mod common;

mod ledger;
mod load;
mod relay;

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Daemon, Namespace, wait_for, within};
use ledger::{Pages, balances};
use load::{Datagrams, Stream, Way};
use relay::Relay;

/// The program under test.
const ADIT: &str = env!("CARGO_BIN_EXE_adit");

const PATIENCE: Duration = Duration::from_secs(20);
const SECONDS_DEFAULT: u64 = 30;
/// A stream that does not go on for so long stalls.
const WINDOW: Duration = Duration::from_secs(5);
/// Longer than any packet is under way.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
/// Longer than the kernel's pauses between reports of the same thing.
const SILENCE: Duration = Duration::from_millis(1500);
/// What the resident memory may grow by once everything was used.
const GROWTH_KIB_MAX: u64 = 2048;
/// Under load: from nothing to a datagram of several fragments.
const MIXED: &[usize] = &[8, 20, 64, 200, 512, 1000, 1300, 1400, 3000, 9000];
/// What is one packet each.
const SINGLE: &[usize] = &[8, 64, 576, 1000, 1350];
const NAMES: [&str; 2] = ["natt", "gre"];

struct Course {
    a: Namespace,
    b: Namespace,
    // In this order: what uses the namespaces goes first.
    daemons: [Daemon; 2],
    relays: [Relay; 2],
    _hops: [Namespace; 2],
    _keys: [tempfile::TempDir; 2],
}

impl Course {
    fn start() -> Self {
        let (a, west, east, b) = (
            Namespace::new(),
            Namespace::new(),
            Namespace::new(),
            Namespace::new(),
        );
        let address = |number| IpAddr::from([192, 0, 2, number]);
        for (site, hop, number) in [(&a, &west, 1), (&b, &east, 2)] {
            // The device of a site gives only what the load sends.
            site.sysctl("net.ipv6.conf.default.router_solicitations", "0");
            let there = &hop.name;
            site.ip(&format!(
                "link add wire type veth peer name wire netns {there}"
            ));
            for (end, number) in [(site, number), (hop, 3 - number)] {
                end.ip(&format!("addr add {}/24 dev wire", address(number)));
                end.ip("link set wire up");
            }
        }
        // In the place of each site stands the relay, at its address.
        let ends = [
            (&west, address(2), address(1)),
            (&east, address(1), address(2)),
        ];
        let relays = [true, false].map(|udp| Relay::start(udp, ends));
        let keys = make_keys();
        let daemon = |site, number| {
            let folder = keys[usize::from(number) - 1].path();
            Daemon::start(site, &config(number, folder))
        };
        let daemons = [daemon(&a, 1), daemon(&b, 2)];
        for daemon in &daemons {
            for name in NAMES {
                daemon.wait_state(name, "up", PATIENCE);
            }
        }
        Self {
            a,
            b,
            daemons,
            relays,
            _hops: [west, east],
            _keys: keys,
        }
    }

    /// Both ways through each tunnel.
    fn ways(&self) -> [(String, Way<'_>); 4] {
        let ends = [
            [(&self.a, "10.9.0.1"), (&self.b, "10.9.0.2")],
            [(&self.a, "fd00:9::1"), (&self.b, "fd00:9::2")],
        ];
        let ends = ends.map(|way| way.map(|(site, text)| (site, text.parse().unwrap())));
        let [natt, gre] = ends;
        [
            ("natt there", natt),
            ("natt back", [natt[1], natt[0]]),
            ("gre there", gre),
            ("gre back", [gre[1], gre[0]]),
        ]
        .map(|(name, way)| (name.to_owned(), way))
    }

    fn read(&self) -> [Pages; 2] {
        let sites = [(&self.a, &self.daemons[0]), (&self.b, &self.daemons[1])];
        [0, 1].map(|index| ledger::read(NAMES[index], sites, &self.relays[index]))
    }

    /// Waits until the kernel has nothing more to say through the tunnels by itself, such as which groups it listens to.
    fn wait_for_silence(&self) {
        let spoken = |pages: [Pages; 2]| pages.map(|pages| pages.map(|page| page.device_packets));
        wait_for("the kernel is silent", PATIENCE, || {
            let before = spoken(self.read());
            sleep(SILENCE);
            (spoken(self.read()) == before).then_some(())
        });
    }

    /// The books once nothing is under way: keepalives go on, so until two readings in between them agree.
    fn settled(&self) -> [Pages; 2] {
        sleep(SETTLES_WITHIN);
        wait_for("the packets under way arrive", PATIENCE, || {
            let first = self.read();
            sleep(Duration::from_millis(40));
            Some(self.read()).filter(|second| *second == first)
        })
    }

    fn resident_kib(&self) -> [u64; 2] {
        [0, 1].map(|index| resident_kib(self.daemons[index].pid()))
    }
}

fn make_keys() -> [tempfile::TempDir; 2] {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (suite, name) in [("aes128gcm16", "natt"), ("chacha20poly1305", "gre")] {
        for from in [1, 2] {
            let file = format!("{name}{from}.key");
            let made = folders[0].path().join(&file);
            let mut keygen = Command::new(ADIT);
            keygen.args(["keygen", "--suite", suite]).arg(&made);
            assert!(keygen.output().unwrap().status.success());
            std::fs::copy(&made, folders[1].path().join(&file)).unwrap();
        }
    }
    folders
}

fn config(number: u8, keys: &Path) -> String {
    let peer = 3 - number;
    let tunnel = |name: &str, mode: &str, udp: bool, inner: &str, spi: u32| {
        let keys = keys.display();
        let (out, inbound) = (spi + u32::from(number), spi + u32::from(peer));
        format!(
            r#"
[tunnel.{name}]
mode = "{mode}"
udp = {udp}
interface = "esp-{name}"
local = "192.0.2.{number}"
remote = "192.0.2.{peer}"
addresses = ["{inner}"]
keepalive = {{ period = "1s", retries = 5 }}
sa = {{ out = {{ spi = {out}, key-file = "{keys}/{name}{number}.key" }}, in = {{ spi = {inbound}, key-file = "{keys}/{name}{peer}.key" }} }}
"#
        )
    };
    tunnel("natt", "esp", true, &format!("10.9.0.{number}/30"), 0x1000)
        + &tunnel(
            "gre",
            "gre-esp",
            false,
            &format!("fd00:9::{number}/126"),
            0x2000,
        )
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

fn load_lasts() -> Duration {
    let seconds = std::env::var("ADIT_SOAK_SECONDS");
    let seconds = seconds.map_or(SECONDS_DEFAULT, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// Streams and datagrams both ways through both tunnels; their octets are compared while they arrive.
fn mixed_load(course: &Course) {
    let ways = course.ways();
    let mut streams: Vec<Stream> = ways
        .iter()
        .map(|(name, way)| Stream::start(name, *way, Duration::ZERO))
        .collect();
    let datagrams = ways
        .each_ref()
        .map(|(_, way)| Datagrams::start(*way, MIXED));
    let (started, lasts) = (Instant::now(), load_lasts());
    let mut warm = None;
    while started.elapsed() < lasts {
        sleep(WINDOW);
        let octets: u64 = streams.iter_mut().map(Stream::progress).sum();
        let resident = course.resident_kib();
        eprintln!(
            "{:?}: {} MB, {resident:?} KiB",
            started.elapsed(),
            octets / 1_000_000
        );
        if started.elapsed() >= lasts / 3 {
            let warm = warm.get_or_insert(resident);
            for (now, then) in resident.iter().zip(warm) {
                assert!(
                    *now <= *then + GROWTH_KIB_MAX,
                    "{then} KiB became {now} KiB"
                );
            }
        }
    }
    streams.into_iter().for_each(Stream::finish);
    for ((name, _), datagrams) in ways.iter().zip(datagrams) {
        let delivered = datagrams.finish();
        eprintln!("{name}: {delivered:?}");
        assert!(
            delivered.received > delivered.sent / 2,
            "{name}: {delivered:?}"
        );
    }
}

/// Datagrams of one packet each: what an application sent is what another one got and what the books say was lost.
fn datagrams_are_accounted_for(course: &Course) {
    course.wait_for_silence();
    let before = course.settled();
    let ways = course.ways();
    let datagrams = ways
        .each_ref()
        .map(|(_, way)| Datagrams::start(*way, SINGLE));
    sleep(WINDOW);
    let delivered = datagrams.map(Datagrams::finish);
    let after = course.settled();
    for (index, ((name, _), delivered)) in ways.iter().zip(delivered).enumerate() {
        let page = |site: usize| after[index / 2][site].since(&before[index / 2][site]);
        let (from, to) = (page(index % 2), page(1 - index % 2));
        let books = format!("{name}: {delivered:?}, {from:?} to {to:?}");
        assert_eq!(
            delivered.sent,
            from.device_packets + from.device_queue,
            "{books}"
        );
        assert_eq!(
            from.device_packets,
            from.outbound_packets + from.dropped_out,
            "{books}"
        );
        assert_eq!(
            to.inbound_packets,
            delivered.received + delivered.overflow,
            "{books}"
        );
        balances(name, &from, &to);
    }
}

#[test]
fn under_loss_and_reordering_nothing_stalls_or_grows_and_every_packet_is_accounted_for() {
    let course = Course::start();
    datagrams_are_accounted_for(&course);
    let before = course.settled();
    mixed_load(&course);
    let after = course.settled();
    for (index, name) in NAMES.iter().enumerate() {
        let [a, b] = [0, 1].map(|site| after[index][site].since(&before[index][site]));
        eprintln!("{name}: {a:?}\n{name}: {b:?}");
        let exercised = |page: &ledger::Page| {
            page.relay.lost > 0 && page.relay.repeated > 0 && page.relay.delayed > 0
        };
        assert!(exercised(&a) && exercised(&b));
        balances(&format!("{name} there"), &a, &b);
        balances(&format!("{name} back"), &b, &a);
    }
    for daemon in &course.daemons {
        for name in NAMES {
            assert_eq!(daemon.tunnel(name)["state"], "up");
            assert_eq!(daemon.tunnel(name)["deaths"], 0);
        }
    }
}
