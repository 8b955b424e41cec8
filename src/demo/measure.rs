//! What the demo measured, and which promises that breaks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::ping::Pinged;
use super::plan::{PERIOD, RETRIES};
use super::watch::Seen;
use crate::cli::units;
use crate::control::TunnelStatus;
use crate::control::report::millis;
use crate::sites::Moved;
use crate::sites::Side;

/// How much later than computed the demo's own threads may see something on a busy machine.
pub(super) const SLACK: Duration = Duration::from_millis(300);

/// Everything, as `--json` prints it. Times are microseconds, or milliseconds where the name says so.
#[derive(Debug, Default, Serialize)]
pub(super) struct Measurements {
    /// Nothing failed and no promise was broken.
    pub(super) ok: bool,
    /// Promises that were broken, in words.
    pub(super) broken: Vec<String>,
    /// Why the demo ended early.
    pub(super) error: Option<String>,
    /// The CPU of each endpoint, when they have one each.
    pub(super) cpus: Option<[usize; 2]>,
    /// It ran in a user namespace of its own.
    pub(super) own_user_namespace: bool,
    /// From the start of the endpoints until each tunnel was up.
    pub(super) up_us: BTreeMap<Side, u64>,
    /// Echo requests before the wire was cut.
    pub(super) pings: Vec<Pinged>,
    /// The TCP stream.
    pub(super) tcp: Option<Moved>,
    /// What followed from the cut.
    pub(super) outage: BTreeMap<Side, Outage>,
    /// What followed from mending.
    pub(super) recovery: BTreeMap<Side, Recovery>,
    /// Echo requests after the recovery.
    pub(super) pings_after: Vec<Pinged>,
    /// Each tunnel's state at the end.
    pub(super) tunnels: BTreeMap<Side, TunnelStatus>,
    /// What was left to play with.
    pub(super) kept: Option<Kept>,
    /// How long it all took.
    pub(super) took_ms: u64,
}

/// What a site noticed after the wire was cut; times are from the cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outage {
    /// The computed bound.
    pub(super) worst_case_ms: u64,
    /// Why the tunnel went down, in the endpoint's words.
    pub(super) reason: Option<String>,
    /// From the last proof of life to the verdict, as the endpoint measured it.
    pub(super) since_last_proof_ms: Option<u64>,
    /// Forwarding stopped.
    pub(super) forwarding_us: Option<u64>,
    /// The carrier was seen to be off.
    pub(super) carrier_us: Option<u64>,
    /// Each route was seen to leave the table.
    pub(super) routes_us: BTreeMap<String, u64>,
    /// What a host of the site got when it then sent to the other site; none if nothing.
    pub(super) refused: Option<String>,
}

/// What a site noticed after the wire was mended; times are from mending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Recovery {
    /// Forwarding began again.
    pub(super) forwarding_us: Option<u64>,
    /// The carrier was seen to be on.
    pub(super) carrier_us: Option<u64>,
    /// Each route was seen to be back.
    pub(super) routes_us: BTreeMap<String, u64>,
}

/// What `--keep` leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Kept {
    /// Where configurations, sockets and logs are.
    pub(super) folder: PathBuf,
    /// The sites.
    pub(super) sites: BTreeMap<Side, KeptSite>,
    /// What removes all of it, as a shell command.
    pub(super) remove: String,
}

/// A site that is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct KeptSite {
    /// The endpoint's process.
    pub(super) pid: u32,
    /// The endpoint's control socket.
    pub(super) socket: PathBuf,
    /// The namespace's name, if it has one.
    pub(super) namespace: Option<String>,
    /// What to put before a command that is to run in the site.
    pub(super) enter: String,
}

/// The bound of the detection time, from the configuration that the demo wrote.
pub(super) fn computed_worst_case() -> Duration {
    PERIOD * (RETRIES + 1) + Duration::from_millis(10)
}

impl Outage {
    /// Reads it from what was seen of a site since the cut at `cut`.
    pub(super) fn of(seen: &Seen, cut: u64) -> Self {
        let down = seen.down.as_ref();
        let reported = down.and_then(|down| down.worst_case_ms);
        Self {
            worst_case_ms: reported.unwrap_or_else(|| millis(computed_worst_case())),
            reason: down.and_then(|down| down.reason.clone()),
            since_last_proof_ms: down.and_then(|down| down.since_last_proof_ms),
            forwarding_us: down.map(|down| down.unix_us.saturating_sub(cut)),
            carrier_us: seen.carrier_off.map(|at| at.saturating_sub(cut)),
            routes_us: since(&seen.routes_removed, cut),
            refused: None,
        }
    }

    /// The promises that it breaks, in words.
    pub(super) fn broken(&self, side: Side) -> Vec<String> {
        let computed = millis(computed_worst_case());
        let bound_us = (self.worst_case_ms + millis(SLACK)) * 1000;
        let mut broken = Vec::new();
        if self.worst_case_ms > computed {
            let shown = units::millis(self.worst_case_ms);
            broken.push(format!(
                "computes {shown} as its worst case instead of {}",
                units::millis(computed)
            ));
        }
        let mut within = |what: &str, after: Option<u64>| match after {
            None => broken.push(format!("{what} not at all")),
            Some(us) if us > bound_us => broken.push(format!(
                "{what} {} after the cut, computed worst case {}",
                units::micros(us),
                units::millis(self.worst_case_ms),
            )),
            Some(_) => {}
        };
        within("stopped forwarding", self.forwarding_us);
        within("dropped the carrier", self.carrier_us);
        for network in side.other().networks() {
            let network = network.to_string();
            let removed = self.routes_us.get(&network).copied();
            within(&format!("removed the route to {network}"), removed);
        }
        if self.refused.is_none() {
            broken.push("still takes packets for the dead peer".to_owned());
        }
        of_site(side, broken)
    }
}

impl Recovery {
    /// Reads it from what was seen of a site since mending at `mended`.
    pub(super) fn of(seen: &Seen, mended: u64) -> Self {
        Self {
            forwarding_us: seen.up.as_ref().map(|up| up.unix_us.saturating_sub(mended)),
            carrier_us: seen.carrier_on.map(|at| at.saturating_sub(mended)),
            routes_us: since(&seen.routes_added, mended),
        }
    }

    /// The promises that it breaks, in words.
    pub(super) fn broken(&self, side: Side) -> Vec<String> {
        let mut missing = Vec::new();
        if self.forwarding_us.is_none() {
            missing.push("the tunnel".to_owned());
        }
        if self.carrier_us.is_none() {
            missing.push("the carrier".to_owned());
        }
        let networks = side.other().networks().map(|network| network.to_string());
        let gone = networks
            .iter()
            .filter(|network| !self.routes_us.contains_key(*network));
        missing.extend(gone.map(|network| format!("the route to {network}")));
        let broken = missing
            .into_iter()
            .map(|what| format!("{what} did not come back"));
        of_site(side, broken.collect())
    }
}

fn of_site(side: Side, broken: Vec<String>) -> Vec<String> {
    broken
        .into_iter()
        .map(|what| format!("{}: {what}", side.name()))
        .collect()
}

fn since(times: &BTreeMap<crate::io::address::Prefix, u64>, from: u64) -> BTreeMap<String, u64> {
    times
        .iter()
        .map(|(route, at)| (route.to_string(), at.saturating_sub(from)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: u64 = 1_000_000_000_000;

    /// A site that lost everything this many microseconds after the cut.
    fn lost_after(us: u64) -> Outage {
        let mut down = crate::control::Event::new("to-east", "down", std::time::Instant::now());
        down.unix_us = CUT + us;
        down.worst_case_ms = Some(4_010);
        let routes = Side::East.networks().map(|network| (network, CUT + us));
        let seen = Seen {
            down: Some(down),
            carrier_off: Some(CUT + us),
            routes_removed: routes.into(),
            ..Seen::default()
        };
        let mut outage = Outage::of(&seen, CUT);
        outage.refused = Some("network is unreachable".to_owned());
        outage
    }

    #[test]
    fn a_site_that_notices_within_the_worst_case_and_slack_breaks_no_promise() {
        assert_eq!(
            lost_after(4_310_000).broken(Side::West),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_thing_that_comes_later_is_a_broken_promise() {
        let broken = lost_after(4_310_001).broken(Side::West);
        assert_eq!(broken.len(), 4, "{broken:?}");
        assert_eq!(
            broken[0],
            "west: stopped forwarding 4.31 s after the cut, computed worst case 4.01 s"
        );
        assert!(broken[3].starts_with("west: removed the route to fd00:20::/64 4.31 s"));
    }

    #[test]
    fn each_thing_that_never_comes_is_a_broken_promise() {
        let broken = Outage::of(&Seen::default(), CUT).broken(Side::East);
        assert_eq!(
            broken,
            [
                "east: stopped forwarding not at all",
                "east: dropped the carrier not at all",
                "east: removed the route to 10.10.0.0/16 not at all",
                "east: removed the route to fd00:10::/64 not at all",
                "east: still takes packets for the dead peer",
            ]
        );
        let broken = Recovery::of(&Seen::default(), CUT).broken(Side::East);
        assert_eq!(broken.len(), 4, "{broken:?}");
    }

    #[test]
    fn an_endpoint_cannot_allow_itself_a_longer_worst_case() {
        let mut outage = lost_after(1);
        outage.worst_case_ms = 60_000;
        let broken = outage.broken(Side::West);
        assert_eq!(
            broken,
            ["west: computes 1 min 0 s as its worst case instead of 4.01 s"]
        );
    }
}
