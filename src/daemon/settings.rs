//! The configuration of a tunnel in the words of those who carry it out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use adit_crypto::Suite;
use adit_proto::esp::Selectors;
use adit_proto::liveness::{self, LivenessConfig, Pace, Path, Probe, WarmConfig, WarmKind};
use adit_proto::offload::Coalescing;
use adit_proto::tunnel::{MssClamp, Parameters, mtu};

use super::ipsec;
use crate::config::{self, Family, Keepalive, Mtu, Prefix, Start, TunnelConfig};
use crate::dataplane::IdleTraffic;
use crate::io::tun::OffloadSwitches;

/// How the tunnel encapsulates over `path`, or over IPv4 while there is none, for an interface MTU of `mtu` octets.
pub(super) fn parameters(
    config: &TunnelConfig,
    suite: Option<Suite>,
    path: Option<Path>,
    mtu: u16,
) -> Parameters {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (local, remote) = path.map_or((nowhere, nowhere), |path| (path.local, path.remote));
    config.parameters(local, remote, mtu, suite)
}

/// Octets that the tunnel adds to a packet over `path`; without one, as over IPv4.
pub(super) fn overhead(config: &TunnelConfig, suite: Option<Suite>, path: Option<Path>) -> usize {
    mtu::overhead(&parameters(config, suite, path, 0))
}

/// The interface's MTU over an outer path of `path_mtu` octets: the configured one, or what is left of the path's.
pub(super) fn inner_mtu(
    config: &TunnelConfig,
    suite: Option<Suite>,
    path: Option<Path>,
    path_mtu: u16,
) -> u16 {
    let mut prefixes = config.addresses.iter().chain(&config.routes);
    let carries_ipv6 = prefixes.any(|prefix| prefix.address.is_ipv6());
    match config.mtu {
        Mtu::Fixed(octets) => octets,
        Mtu::Auto => mtu::inner_mtu(path_mtu, &parameters(config, suite, path, 0), carries_ipv6),
    }
}

/// The largest packet that leaves whole over an outer path of `path_mtu` octets.
pub(super) fn fitting_mtu(
    config: &TunnelConfig,
    suite: Option<Suite>,
    path: Option<Path>,
    path_mtu: u16,
) -> u16 {
    mtu::inner_mtu(path_mtu, &parameters(config, suite, path, 0), false)
}

/// The clamp that goes with an interface's MTU of `mtu` octets; none where it does not depend on it.
pub(super) fn clamp_of_mtu(config: &TunnelConfig, mtu: u16) -> Option<MssClamp> {
    (config.mss_clamp == config::MssClamp::Auto).then(|| MssClamp::for_mtu(mtu))
}

/// How the tunnel's peer is watched; `tunnel` tells its keepalives from those of other tunnels.
pub(super) fn liveness(config: &TunnelConfig, tunnel: u32) -> LivenessConfig {
    LivenessConfig {
        keepalive: config
            .keepalive
            .as_ref()
            .map(|keepalive| liveness::Keepalive {
                pace: pace(keepalive),
                payload: keepalive.payload,
            }),
        probe: probe(config),
        initial: config.initial,
        damping: config.damping,
        key_in: config.gre.key_in,
        tunnel_id: tunnel,
        has_ike: config.ike.is_some(),
        dpd: config.dpd,
    }
}

/// The longest time from the peer's death to the verdict; none when nothing watches the peer, who may not answer IKE's probes.
pub(super) fn worst_case(config: &TunnelConfig, answers_probes: bool) -> Option<Duration> {
    let mut liveness = liveness(config, 0);
    liveness.dpd = liveness.dpd.filter(|_| answers_probes);
    liveness.worst_case()
}

fn pace(keepalive: &Keepalive) -> Pace {
    Pace::new(keepalive.period, keepalive.retries)
}

pub(super) fn switches(config: &TunnelConfig) -> OffloadSwitches {
    OffloadSwitches {
        tso: config.offload.tso,
        uso: config.offload.uso,
    }
}

pub(super) fn coalescing(config: &TunnelConfig) -> Coalescing {
    Coalescing {
        tcp: config.offload.tcp_coalesce,
        udp: config.offload.udp_coalesce,
    }
}

/// What is sent while there is nothing to send.
pub(super) fn idle(config: &TunnelConfig) -> IdleTraffic {
    let warm = config.warm.map(|warm| WarmConfig {
        interval: warm.interval,
        kind: match warm.kind {
            config::WarmKind::Udp9 => WarmKind::Udp9,
            config::WarmKind::Icmp => WarmKind::Icmp,
            config::WarmKind::Dummy59 => WarmKind::Dummy59,
        },
        source: warm.source,
        destination: warm.destination,
    });
    IdleTraffic {
        warm,
        dummies: config.tfc.and_then(|tfc| tfc.dummies),
        // A tunnel that is kept warm is never unused.
        unused: config.idle_timeout.filter(|_| config.warm.is_none()),
        wakes: wakes(config).then(|| match config.mode {
            config::Mode::Esp => ipsec::selectors(config),
            config::Mode::Gre | config::Mode::GreEsp => Selectors::any(),
        }),
    }
}

/// Where a network of the interface has room for two, the other one is the peer.
fn inside(config: &TunnelConfig) -> Option<Probe> {
    config.addresses.iter().find_map(|prefix| {
        Some(Probe::Echo {
            source: prefix.address,
            target: other_host(*prefix)?,
        })
    })
}

fn other_host(prefix: Prefix) -> Option<IpAddr> {
    let host_bits = Family::of(prefix.address)
        .bits()
        .checked_sub(prefix.length)?;
    // In a network of two both are hosts (RFC 3021, RFC 6164); in one of four, the two in the middle are.
    let flip: u8 = match host_bits {
        1 => 0b01,
        2 => 0b11,
        _ => return None,
    };
    match prefix.address {
        IpAddr::V4(address) => {
            Some(Ipv4Addr::from_bits(address.to_bits() ^ u32::from(flip)).into())
        }
        IpAddr::V6(address) => {
            Some(Ipv6Addr::from_bits(address.to_bits() ^ u128::from(flip)).into())
        }
    }
}

/// Whether packets that find no association bring the tunnel up.
pub(super) fn wakes(config: &TunnelConfig) -> bool {
    config.ike.is_some() && config.start == Start::OnTraffic
}

/// How the peer is asked whether it lives: by GRE keepalives, or by echo requests where there is no GRE.
fn probe(config: &TunnelConfig) -> Probe {
    let target = config
        .keepalive
        .as_ref()
        .and_then(|keepalive| keepalive.target);
    match target.and_then(|target| Some((config.source_for(target)?, target))) {
        Some((source, target)) => Probe::Echo { source, target },
        None if config.mode == config::Mode::Esp => inside(config).unwrap_or(Probe::None),
        None => Probe::GreKeepalive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_inside_is_known_where_the_network_has_two_hosts() {
        let other =
            |address: &str, length| other_host(Prefix::new(address.parse().unwrap(), length));
        assert_eq!(other("10.9.0.1", 30), Some("10.9.0.2".parse().unwrap()));
        assert_eq!(other("10.9.0.4", 31), Some("10.9.0.5".parse().unwrap()));
        assert_eq!(other("fd00::3", 127), Some("fd00::2".parse().unwrap()));
        assert_eq!(other("10.9.0.1", 24), None);
        assert_eq!(other("10.9.0.1", 32), None);
    }
}
