//! Two sites with one ESP tunnel between them, keys for both, and whose turn it is to load the machine.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Daemon, SLACK, Sites, Turn, unix_us};

/// How long anything may take that has no deadline of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// SPIs of what `a` sends and of what `b` sends.
pub(crate) const SPI_A: u32 = 0x1001;
pub(crate) const SPI_B: u32 = 0x1002;

/// Keepalives of most tunnels here, and what they promise.
pub(crate) const PERIOD: Duration = Duration::from_millis(200);
pub(crate) const RETRIES: u32 = 3;

/// Two sites with default routes to each other and a key for each direction.
#[derive(Debug)]
pub(crate) struct Pair {
    sites: Sites,
    keys: tempfile::TempDir,
    _turn: Turn,
}

impl Pair {
    /// Two sites beside those of other tests.
    pub(crate) fn new() -> Self {
        Self::of(Turn::shared())
    }

    /// Two sites that have the machine for themselves.
    pub(crate) fn alone() -> Self {
        Self::of(Turn::alone())
    }

    fn of(turn: Turn) -> Self {
        let sites = Sites::new();
        for (site, number) in [(&sites.a, 1), (&sites.b, 2)] {
            site.ip(&format!("addr add 10.77.{number}.7/32 dev lo"));
            site.ip(&format!("addr add fd00:77:{number}::7/128 dev lo"));
            let peer = 3 - number;
            site.ip(&format!("route add default via 192.0.2.{peer}"));
            site.ip(&format!("-6 route add default via 2001:db8::{peer}"));
        }
        let pair = Self {
            sites,
            keys: tempfile::tempdir().unwrap(),
            _turn: turn,
        };
        pair.make_keys();
        pair
    }

    fn make_keys(&self) {
        let of = |site: &str, name: &str| self.keys.path().join(site).join(name);
        for site in ["a", "b"] {
            std::fs::create_dir(self.keys.path().join(site)).unwrap();
        }
        for name in ["ab.key", "ba.key"] {
            let made = Command::new(env!("CARGO_BIN_EXE_adit"))
                .args(["keygen", "--suite", "aes128gcm16"])
                .arg(of("a", name))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            std::fs::copy(of("a", name), of("b", name)).unwrap();
        }
    }

    /// The folder of a site's keys: 1 is `a`, 2 is `b`.
    pub(crate) fn keys(&self, number: u8) -> PathBuf {
        self.keys.path().join(if number == 1 { "a" } else { "b" })
    }

    /// The configuration of the end of `tunnel` in `a`.
    pub(crate) fn near(&self, tunnel: &Tunnel) -> String {
        tunnel.end(1, &self.keys(1))
    }

    /// The configuration of the end of `tunnel` in `b`.
    pub(crate) fn far(&self, tunnel: &Tunnel) -> String {
        tunnel.end(2, &self.keys(2))
    }

    /// Starts both daemons and waits until the tunnel is up at both ends.
    pub(crate) fn start(&self, tunnel: &Tunnel) -> (Daemon, Daemon) {
        let near = Daemon::start(&self.a, &self.near(tunnel));
        let far = Daemon::start(&self.b, &self.far(tunnel));
        near.wait_state("t", "up", PATIENCE);
        far.wait_state("t", "up", PATIENCE);
        (near, far)
    }

    /// Whether packets of each family pass the tunnel both ways.
    pub(crate) fn carries(&self) -> bool {
        self.a.pings("10.77.2.7", 3, &["-I", "10.77.1.7"])
            && self.a.pings("fd00:77:2::7", 3, &["-I", "fd00:77:1::7"])
    }
}

impl Deref for Pair {
    type Target = Sites;

    fn deref(&self) -> &Sites {
        &self.sites
    }
}

/// The tunnel `t` between the sites, on `tun-t`.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    mode: &'static str,
    udp: &'static str,
    outer_v6: bool,
    addresses: [&'static str; 2],
    keepalive: String,
    out: String,
    more: String,
}

impl Tunnel {
    /// In `mode` over IPv4 without UDP, 200 ms × 3.
    pub(crate) fn new(mode: &'static str) -> Self {
        Self {
            mode,
            udp: "false",
            outer_v6: false,
            addresses: ["10.9.0.SITE/30", "fd00:9::SITE/64"],
            keepalive: "{ period = \"200ms\", retries = 3 }".to_owned(),
            out: String::new(),
            more: String::new(),
        }
    }

    /// In UDP.
    pub(crate) fn in_udp(mut self) -> Self {
        self.udp = "true";
        self
    }

    pub(crate) fn udp(mut self, udp: &'static str) -> Self {
        self.udp = udp;
        self
    }

    pub(crate) fn over_v6(mut self) -> Self {
        self.outer_v6 = true;
        self
    }

    /// With addresses in which `SITE` stands for 1 or 2.
    pub(crate) fn addresses(mut self, addresses: [&'static str; 2]) -> Self {
        self.addresses = addresses;
        self
    }

    pub(crate) fn keepalive(mut self, keepalive: &str) -> Self {
        keepalive.clone_into(&mut self.keepalive);
        self
    }

    /// Adds to `sa.out`, beginning with a comma.
    pub(crate) fn out(mut self, more: &str) -> Self {
        more.clone_into(&mut self.out);
        self
    }

    /// Adds lines of configuration.
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }

    /// Address of a site under the tunnel.
    pub(crate) fn outer(&self, site: u8) -> String {
        let network = if self.outer_v6 {
            "2001:db8::"
        } else {
            "192.0.2."
        };
        format!("{network}{site}")
    }

    fn end(&self, site: u8, keys: &Path) -> String {
        let peer = 3 - site;
        let (local, remote) = (self.outer(site), self.outer(peer));
        let addresses = self
            .addresses
            .map(|it| it.replace("SITE", &site.to_string()));
        let (sends, receives, out, inbound) = if site == 1 {
            (SPI_A, SPI_B, "ab.key", "ba.key")
        } else {
            (SPI_B, SPI_A, "ba.key", "ab.key")
        };
        let (out, inbound) = (keys.join(out), keys.join(inbound));
        let Self {
            mode,
            udp,
            keepalive,
            out: more_out,
            more,
            ..
        } = self;
        format!(
            r#"
[tunnel.t]
mode = "{mode}"
udp = {udp}
interface = "tun-t"
local = "{local}"
remote = "{remote}"
addresses = {addresses:?}
routes = ["10.77.{peer}.0/24", "fd00:77:{peer}::/64"]
sa = {{ out = {{ spi = {sends}, key-file = {out:?}{more_out} }}, in = {{ spi = {receives}, key-file = {inbound:?} }} }}
keepalive = {keepalive}
{more}
"#
        )
    }
}

/// The moment from which a verdict is due, and how long the machine has kept everybody waiting since.
#[derive(Debug)]
pub(crate) struct Cause {
    unix_us: u64,
    stalled_us: Arc<AtomicU64>,
}

impl Cause {
    /// This moment.
    pub(crate) fn now() -> Self {
        const NAP: Duration = Duration::from_millis(5);
        let stalled_us = Arc::<AtomicU64>::default();
        let seen = Arc::downgrade(&stalled_us);
        let unix_us = unix_us();
        std::thread::spawn(move || {
            while let Some(stalled_us) = seen.upgrade() {
                let start = Instant::now();
                std::thread::sleep(NAP);
                let late = start.elapsed().saturating_sub(NAP + NAP / 5);
                let late = u64::try_from(late.as_micros()).unwrap();
                stalled_us.fetch_add(late, Ordering::Relaxed);
            }
        });
        Self {
            unix_us,
            stalled_us,
        }
    }

    fn stalled(&self) -> Duration {
        Duration::from_micros(self.stalled_us.load(Ordering::Relaxed))
    }
}

/// The longest time from a death to the verdict that [`PERIOD`] and [`RETRIES`] promise.
pub(crate) fn worst_case() -> Duration {
    PERIOD * (RETRIES + 1) + Duration::from_millis(10)
}

/// Checks that a `down` event came within `worst` after its cause, as far as the machine let anybody run.
pub(crate) fn assert_on_time(down: &Value, cause: &Cause, worst: Duration) {
    assert_eq!(down["reason"], "keepalive_unanswered", "{down}");
    let at = down["unix_us"].as_u64().unwrap();
    let since_cause = Duration::from_micros(at.saturating_sub(cause.unix_us));
    let stalled = cause.stalled();
    assert!(
        since_cause <= worst + PERIOD + SLACK + stalled,
        "{since_cause:?} after its cause, not {worst:?}, {stalled:?} stalled: {down}"
    );
}
