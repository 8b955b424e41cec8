//! Two sites with tunnels between them, and whose turn it is to load the machine.

use std::ops::Deref;
use std::time::Duration;

use crate::common::{Daemon, SLACK, Sites, Turn};
use serde_json::Value;

/// How long anything may take that has no deadline of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two sites, and the turn on the machine that goes with them.
#[derive(Debug)]
pub(crate) struct Pair {
    sites: Sites,
    _turn: Turn,
}

impl Pair {
    /// Two sites beside those of other tests.
    pub(crate) fn new() -> Self {
        Self {
            _turn: Turn::shared(),
            sites: Sites::new(),
        }
    }

    /// Two sites that have the machine for themselves.
    pub(crate) fn alone() -> Self {
        Self {
            _turn: Turn::alone(),
            sites: Sites::new(),
        }
    }

    /// Starts both daemons with one tunnel and waits until it is up at both ends.
    pub(crate) fn start(&self, tunnel: &Tunnel) -> (Daemon, Daemon) {
        let near = Daemon::start(&self.a, &tunnel.near());
        let far = Daemon::start(&self.b, &tunnel.far());
        near.wait_state(&tunnel.name(), "up", PATIENCE);
        far.wait_state(&tunnel.name(), "up", PATIENCE);
        (near, far)
    }

    /// Whether three packets of each family pass the tunnel and come back.
    pub(crate) fn carries(&self, tunnel: &Tunnel) -> bool {
        self.a.pings(&tunnel.far_v4(), 3, &[]) && self.a.pings(&tunnel.far_v6(), 3, &[])
    }
}

impl Deref for Pair {
    type Target = Sites;

    fn deref(&self) -> &Sites {
        &self.sites
    }
}

/// A tunnel between the sites: `tN` on `gre-N`.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    number: u8,
    outer_v6: bool,
    gre: String,
    keepalive: String,
    more: String,
}

impl Tunnel {
    /// Over IPv4, with key N, 200 ms × 3.
    pub(crate) fn new(number: u8) -> Self {
        Self {
            number,
            outer_v6: false,
            gre: format!("{{ key = {number} }}"),
            keepalive: "{ period = \"200ms\", retries = 3 }".to_owned(),
            more: String::new(),
        }
    }

    pub(crate) fn over_v6(mut self, outer_v6: bool) -> Self {
        self.outer_v6 = outer_v6;
        self
    }

    pub(crate) fn gre(mut self, gre: &str) -> Self {
        gre.clone_into(&mut self.gre);
        self
    }

    pub(crate) fn keepalive(mut self, keepalive: &str) -> Self {
        keepalive.clone_into(&mut self.keepalive);
        self
    }

    /// Adds lines of configuration.
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self.more.push('\n');
        self
    }

    pub(crate) fn name(&self) -> String {
        format!("t{}", self.number)
    }

    pub(crate) fn interface(&self) -> String {
        format!("gre-{}", self.number)
    }

    pub(crate) fn near_v4(&self) -> String {
        format!("10.9.{}.1", self.number)
    }

    pub(crate) fn near_v6(&self) -> String {
        format!("fd00:9:{}::1", self.number)
    }

    pub(crate) fn far_v4(&self) -> String {
        format!("10.9.{}.2", self.number)
    }

    pub(crate) fn far_v6(&self) -> String {
        format!("fd00:9:{}::2", self.number)
    }

    pub(crate) fn route_v4(&self) -> String {
        format!("10.20.{}.0/24", self.number)
    }

    pub(crate) fn route_v6(&self) -> String {
        format!("fd00:20:{}::/64", self.number)
    }

    /// The configuration of its end in `a`.
    pub(crate) fn near(&self) -> String {
        self.end(1)
    }

    /// The configuration of its end in `b`.
    pub(crate) fn far(&self) -> String {
        self.end(2)
    }

    fn end(&self, site: u8) -> String {
        let outer = if self.outer_v6 {
            "2001:db8::"
        } else {
            "192.0.2."
        };
        let (peer, number) = (3 - site, self.number);
        let Self {
            gre,
            keepalive,
            more,
            ..
        } = self;
        format!(
            r#"
[tunnel.t{number}]
mode = "gre"
interface = "gre-{number}"
local = "{outer}{site}"
remote = "{outer}{peer}"
addresses = ["10.9.{number}.{site}/30", "fd00:9:{number}::{site}/64"]
routes = ["10.20.{number}.0/24", "fd00:20:{number}::/64"]
gre = {gre}
keepalive = {keepalive}
{more}
"#
        )
    }
}

/// Both halves of several tunnels' configuration, the near one first.
pub(crate) fn both(tunnels: &[Tunnel]) -> (String, String) {
    let near = tunnels.iter().map(Tunnel::near).collect();
    let far = tunnels.iter().map(Tunnel::far).collect();
    (near, far)
}

/// A time of an event or status in milliseconds.
pub(crate) fn millis(value: &Value) -> Duration {
    Duration::from_millis(
        value
            .as_u64()
            .unwrap_or_else(|| panic!("a time, not {value}")),
    )
}

/// Checks the times that a `down` event of a tunnel with `period` and `retries` tells, and when it came if its cause is known to
/// have begun at `cause_us`.
pub(crate) fn assert_on_time(down: &Value, cause_us: u64, period: Duration, retries: u32) {
    assert_eq!(down["reason"], "keepalive_unanswered", "{down}");
    let worst = millis(&down["worst_case_ms"]);
    assert_eq!(
        worst,
        period * (retries + 1) + Duration::from_millis(10),
        "{down}"
    );
    let at = down["unix_us"].as_u64().unwrap();
    let since_cause = Duration::from_micros(at.saturating_sub(cause_us));
    assert!(
        since_cause <= worst + SLACK,
        "{since_cause:?} after its cause: {down}"
    );
    let since_unanswered = millis(&down["since_first_unanswered_ms"]);
    // A request may leave a quarter of a period late without moving the ticks after it.
    let least = period * retries - period / 4;
    assert!(
        since_unanswered >= least,
        "{since_unanswered:?}, not {least:?}: {down}"
    );
    let since_proof = millis(&down["since_last_proof_ms"]);
    assert!(
        since_proof <= worst + SLACK,
        "{since_proof:?} after the last proof: {down}"
    );
}
