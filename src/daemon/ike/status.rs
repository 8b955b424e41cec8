//! What `status` shows of a tunnel's IKE: the lane's view of its associations, the worker's of the peer's life.

use std::time::Instant;

use adit_proto::ike::{self, ChildMode};
use adit_proto::liveness::{DpdConfig, DpdMode};

use super::super::tunnel::Managed;
use crate::control::ike::{ChildStatus, DpdStatus, IkeStatus};
use crate::control::report::millis;
use crate::dataplane::Reading;

/// The section of a tunnel that has IKE.
pub(in crate::daemon) fn describe(
    tunnel: &Managed,
    lane: Option<&ike::IkeStatus>,
    reading: Option<&Reading>,
    rekey_lost_packets: u64,
) -> Option<IkeStatus> {
    tunnel.ike.as_ref()?;
    let config = tunnel.config.ike.as_ref()?;
    let liveness = reading.map(|reading| &reading.liveness);
    let ours = IkeStatus {
        state: ike::IkeState::Idle.name().to_owned(),
        local_id: config
            .local_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        remote_id: config.remote_id.as_ref().map(ToString::to_string),
        dpd: tunnel
            .config
            .dpd
            .map(|config| dpd(&config, liveness.and_then(|liveness| liveness.dpd.as_ref()))),
        proof: liveness
            .and_then(|liveness| liveness.proof)
            .map(|proof| proof.name().to_owned()),
        rekey_lost_packets,
        last_error: tunnel.last_error.clone(),
        ..IkeStatus::default()
    };
    Some(match lane {
        Some(lane) => with_lane(ours, lane),
        None => ours,
    })
}

/// The same with what the lane knows; the age and the SPIs of an IKE SA only where there is one.
fn with_lane(ours: IkeStatus, lane: &ike::IkeStatus) -> IkeStatus {
    let spi = |spi: u64| (spi != 0).then(|| format!("{spi:016x}"));
    let nat = match (lane.nat_local, lane.nat_peer) {
        (true, true) => Some("both"),
        (true, false) => Some("local"),
        (false, true) => Some("peer"),
        (false, false) => None,
    };
    let is_there = lane.path.is_some();
    IkeStatus {
        state: lane.state.name().to_owned(),
        local_id: lane.local_id.to_string(),
        remote_id: lane.remote_id.as_ref().map(ToString::to_string),
        local: lane.path.map(|path| path.local),
        remote: lane.path.map(|path| path.remote),
        nat: nat.map(str::to_owned),
        proposal: lane.proposal.as_ref().map(ToString::to_string),
        spi_i: spi(lane.spi_i),
        spi_r: spi(lane.spi_r),
        initiator: is_there.then_some(lane.we_initiated),
        age_ms: is_there.then(|| millis(lane.age)),
        rekey_in_ms: lane.rekey_in.map(millis),
        children: lane.children.iter().map(child).collect(),
        ..ours
    }
}

fn child(child: &ike::ChildStatus) -> ChildStatus {
    let words = |selectors: &[adit_proto::wire::ike::TrafficSelector]| {
        selectors.iter().map(ToString::to_string).collect()
    };
    ChildStatus {
        spi_in: child.spi_in.get(),
        spi_out: child.spi_out.get(),
        suite: child.suite.name().to_owned(),
        esn: child.esn,
        mode: match child.mode {
            ChildMode::Tunnel => "tunnel",
            ChildMode::Transport => "transport",
        }
        .to_owned(),
        age_ms: millis(child.age),
        rekey_in_ms: child.rekey_in.map(millis),
        local_ts: words(&child.local_ts),
        remote_ts: words(&child.remote_ts),
        udp: child.udp,
    }
}

fn dpd(config: &DpdConfig, known: Option<&adit_proto::liveness::DpdStatus>) -> DpdStatus {
    let next = known.and_then(|known| known.next_probe);
    DpdStatus {
        mode: match config.mode {
            DpdMode::Periodic => "periodic",
            DpdMode::OnDemand => "on-demand",
        }
        .to_owned(),
        interval_ms: millis(config.interval),
        retry_ms: millis(config.retry),
        attempts: config.attempts,
        outstanding: known.map_or(0, |known| known.attempts_outstanding),
        sent: known.map_or(0, |known| known.probes_sent),
        answered: known.map_or(0, |known| known.answered),
        next_ms: next.map(|at| millis(at.saturating_duration_since(Instant::now()))),
    }
}
