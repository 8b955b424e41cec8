//! What `status` shows of a tunnel's IKE: the lane's view of its associations, the worker's of the peer's life.

use std::net::IpAddr;
use std::time::Instant;

use adit_proto::ike::{self, ChildMode};
use adit_proto::ikev1::Assigned;
use adit_proto::liveness::DpdConfig;

use super::super::tunnel::Managed;
use crate::config::{ClientMode, IkeConfig};
use crate::control::ike::{ChildStatus, DpdStatus, EasyVpnStatus, IkeStatus};
use crate::control::report::millis;
use crate::dataplane::Reading;

/// The section of a tunnel that has IKE.
pub(in crate::daemon) fn describe(
    tunnel: &Managed,
    lane: Option<&ike::IkeStatus>,
    reading: Option<&Reading>,
    rekey_lost_packets: u64,
) -> Option<IkeStatus> {
    let ours_of = tunnel.ike.as_ref()?;
    let config = tunnel.config.ike.as_ref()?;
    let liveness = reading.map(|reading| &reading.liveness);
    let known = liveness.and_then(|liveness| liveness.dpd.as_ref());
    let ours =
        IkeStatus {
            version: if config.v1().is_some() { 1 } else { 2 },
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
                .map(|config| dpd(&config, known, ours_of.answers_probes)),
            easy_vpn: ours_of.assigned.as_deref().zip(config.easy_vpn()).map(
                |(assigned, config)| EasyVpnStatus {
                    routing: tunnel.routing(),
                    ..easy_vpn(assigned, config.client_mode)
                },
            ),
            proof: liveness
                .and_then(|liveness| liveness.proof)
                .map(|proof| proof.name().to_owned()),
            rekey_lost_packets,
            last_error: tunnel.last_error.clone(),
            ..IkeStatus::default()
        };
    Some(match lane {
        Some(lane) => IkeStatus {
            state: state(config, lane.state).to_owned(),
            ..with_lane(ours, lane)
        },
        None => ours,
    })
}

/// How far IKE is, in the words of its version.
fn state(config: &IkeConfig, state: ike::IkeState) -> &'static str {
    let (is_v1, is_easy_vpn) = (config.v1().is_some(), config.easy_vpn().is_some());
    match state {
        ike::IkeState::SaInit if is_easy_vpn => "aggressive-mode",
        ike::IkeState::Auth if is_easy_vpn => "configuring",
        ike::IkeState::SaInit | ike::IkeState::Auth if is_v1 => "main-mode",
        ike::IkeState::SaInit
        | ike::IkeState::Auth
        | ike::IkeState::Idle
        | ike::IkeState::Established
        | ike::IkeState::Rekeying
        | ike::IkeState::Deleting => state.name(),
    }
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

fn easy_vpn(assigned: &Assigned, mode: ClientMode) -> EasyVpnStatus {
    let networks = |networks: &[adit_proto::wire::ike::TrafficSelector]| {
        networks.iter().map(ToString::to_string).collect()
    };
    let addresses = [
        assigned.address.map(IpAddr::V4),
        assigned.address_ipv6.map(IpAddr::V6),
    ];
    EasyVpnStatus {
        client_mode: match mode {
            ClientMode::Client => "client",
            ClientMode::NetworkExtension => "network-extension",
        }
        .to_owned(),
        addresses: addresses.into_iter().flatten().collect(),
        dns: assigned.dns.clone(),
        default_domain: assigned.default_domain.clone(),
        split_dns: assigned.split_dns.clone(),
        split_include: networks(&assigned.split_include),
        split_exclude: networks(&assigned.split_exclude),
        banner: assigned.banner.clone(),
        save_password: assigned.save_password,
        backup_servers: assigned.backup_servers.clone(),
        expiry_s: assigned.expiry_seconds,
        routing: None,
    }
}

fn dpd(
    config: &DpdConfig,
    known: Option<&adit_proto::liveness::DpdStatus>,
    peer_answers: bool,
) -> DpdStatus {
    let next = known.and_then(|known| known.next_probe);
    DpdStatus {
        mode: config.mode.name().to_owned(),
        interval_ms: millis(config.interval),
        retry_ms: millis(config.retry),
        attempts: config.attempts,
        outstanding: known.map_or(0, |known| known.attempts_outstanding),
        sent: known.map_or(0, |known| known.probes_sent),
        answered: known.map_or(0, |known| known.answered),
        peer_answers,
        next_ms: next.map(|at| millis(at.saturating_duration_since(Instant::now()))),
    }
}
