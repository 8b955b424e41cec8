//! What the configuration says of a tunnel's IKE, in the words of its version's endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use adit_crypto::Suite;
use adit_proto::esp::Limits;
use adit_proto::ike::{
    ChildMode, Connection, EndpointConfig, Identity, LocalAuth, RekeyTimes, RemoteAuth, Retransmit,
};
use adit_proto::ikev1;
use adit_proto::wire::ike::TrafficSelector;
use adit_proto::wire::natt;

use super::credentials::Credentials;
use crate::config::{
    self, ClientMode, Family, IkeConfig, IkeEndpoint, IkeV1, IkeV2, IkeVersion, Mode, TunnelConfig,
};
use crate::ike_lane::{Agreement, ChildPolicy};
use crate::io::address::Prefix;

/// IP's number of GRE.
const GRE: u8 = 47;

/// Headers before an IKE message in its largest packet: IPv6, UDP, the non-ESP marker.
const HEADERS_OCTETS: u16 = 40 + 8 + 4;

/// The suite that is asked for first.
pub(super) fn first_suite(ike: &IkeConfig) -> Suite {
    let first = ike.suites().first().copied();
    first.unwrap_or(Suite::Aes256Gcm16)
}

/// The bounds of what strangers can have the endpoint hold.
pub(in crate::daemon) fn limits(config: &IkeEndpoint) -> EndpointConfig {
    EndpointConfig {
        half_open_max: count(config.half_open),
        half_open_per_source: count(config.half_open_per_source),
        cookie_threshold: count(config.cookie_threshold),
        nat_port: config.nat_port,
        peer_nat_port: natt::PORT,
    }
}

/// What we call ourselves: as configured, or as our certificate does.
fn local_id(ike: &IkeConfig, credentials: &Credentials) -> Result<Identity, String> {
    if let Some(id) = &ike.local_id {
        return Ok(id.clone());
    }
    match credentials {
        Credentials::Certificate { chain, .. } => chain
            .first()
            .map(|certificate| Identity::Dn(certificate.subject_der().to_vec()))
            .ok_or_else(|| "ike.cert-file: no certificate".to_owned()),
        Credentials::Psk { .. } => {
            Err("ike.local-id is missing: it is needed with psk-file".to_owned())
        }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What the tunnel agrees upon with its peer, who may initiate from one of these addresses.
pub(super) fn new(
    config: &TunnelConfig,
    ike: &IkeConfig,
    credentials: &Credentials,
    initiators: Option<Vec<IpAddr>>,
) -> Result<Agreement, String> {
    let local_id = local_id(ike, credentials)?;
    Ok(match &ike.version {
        IkeVersion::V1(v1) => {
            let mut connection = version_1(config, ike, v1, credentials, local_id)?;
            connection.remotes = initiators;
            Agreement::V1(Box::new(connection))
        }
        IkeVersion::V2(v2) => {
            let mut connection = version_2(config, ike, v2, credentials, local_id);
            connection.remotes = initiators;
            Agreement::V2(Box::new(connection))
        }
    })
}

fn version_1(
    config: &TunnelConfig,
    ike: &IkeConfig,
    v1: &IkeV1,
    credentials: &Credentials,
    local_id: Identity,
) -> Result<ikev1::Connection, String> {
    let Credentials::Psk { psk, password } = credentials else {
        return Err("ike.version 1 has a pre-shared key only".to_owned());
    };
    let easy_vpn = v1.easy_vpn.as_ref().zip(password.as_ref());
    Ok(ikev1::Connection {
        remotes: None,
        local_id,
        remote_id: ike.remote_id.clone(),
        psk: psk.clone(),
        ike: v1.proposals.clone(),
        esp: v1.esp_proposals.clone(),
        mode: child_mode(ike),
        local_ts: selector(config, &config.local_ts),
        remote_ts: selector(config, &config.remote_ts),
        ike_lifetime: lifetime(ike.rekey, ike.hard(), ike.jitter_percent),
        child_lifetime: lifetime(ike.child_rekey, ike.child_hard(), ike.jitter_percent),
        child_kilobytes: v1.child_kilobytes,
        retransmit: retransmit(ike),
        nat_traversal: true,
        force_udp: ike.force_udp,
        easy_vpn: easy_vpn.map(|(easy_vpn, password)| ikev1::EasyVpn {
            user: easy_vpn.user.clone(),
            password: password.clone(),
            client_mode: easy_vpn.client_mode == ClientMode::Client,
        }),
    })
}

fn version_2(
    config: &TunnelConfig,
    ike: &IkeConfig,
    v2: &IkeV2,
    credentials: &Credentials,
    local_id: Identity,
) -> Connection {
    let (local_auth, remote_auth) = match credentials {
        Credentials::Psk { psk, .. } => (LocalAuth::Psk(psk.clone()), RemoteAuth::Psk(psk.clone())),
        Credentials::Certificate {
            chain,
            key,
            anchors,
        } => {
            let (chain, key) = (chain.clone(), key.clone());
            let ours = LocalAuth::Certificate { chain, key };
            (ours, RemoteAuth::Certificate(anchors.clone()))
        }
    };
    Connection {
        remotes: None,
        local_id,
        remote_id: ike.remote_id.clone(),
        local_auth,
        remote_auth,
        ike: v2.proposals.clone(),
        esp: v2.esp_proposals.clone(),
        mode: child_mode(ike),
        local_ts: selectors(config, &config.local_ts),
        remote_ts: selectors(config, &config.remote_ts),
        ike_lifetime: lifetime(ike.rekey, ike.hard(), ike.jitter_percent),
        child_lifetime: lifetime(ike.child_rekey, ike.child_hard(), ike.jitter_percent),
        retransmit: retransmit(ike),
        fragment_octets: v2.fragment_octets - HEADERS_OCTETS,
        force_udp: ike.force_udp,
    }
}

const fn child_mode(ike: &IkeConfig) -> ChildMode {
    match ike.child_mode {
        config::ChildMode::Tunnel => ChildMode::Tunnel,
        config::ChildMode::Transport => ChildMode::Transport,
    }
}

fn retransmit(ike: &IkeConfig) -> Retransmit {
    Retransmit {
        first: ike.retransmit.first,
        base_per_mille: u32::from(ike.retransmit.base_percent) * 10,
        tries: u32::from(ike.retransmit.tries),
        most: ike.retransmit.most,
    }
}

fn lifetime(rekey: Duration, hard: Duration, jitter_percent: u8) -> RekeyTimes {
    RekeyTimes {
        rekey,
        jitter: rekey / 100 * u32::from(jitter_percent),
        hard,
    }
}

/// What of the tunnel's child SAs IKE does not agree upon.
pub(super) fn policy(config: &TunnelConfig, ike: &IkeConfig) -> ChildPolicy {
    ChildPolicy {
        mode: config.mode,
        replay_window: ike.replay_window,
        nat_keepalive: ike.nat_keepalive,
        soft: Limits {
            packets: ike.child_packets,
            octets: ike.child_octets,
            time: None,
        },
        jitter_percent: ike.jitter_percent,
    }
}

/// Of mode `esp` the configured networks, or all; with GRE its packets alone, whatever their addresses.
fn selectors(config: &TunnelConfig, networks: &[Prefix]) -> Vec<TrafficSelector> {
    let protocol = protocol(config.mode);
    if networks.is_empty() {
        return [Family::Ipv4, Family::Ipv6]
            .map(|family| all(protocol, family))
            .to_vec();
    }
    let networks = networks.iter();
    networks.map(|it| network(protocol, *it)).collect()
}

/// The one that quick mode names: that of the configuration, which has one in mode `esp`; with GRE all of the outer family.
fn selector(config: &TunnelConfig, networks: &[Prefix]) -> TrafficSelector {
    let protocol = protocol(config.mode);
    if let (Mode::Esp, [only, ..]) = (config.mode, networks) {
        return network(protocol, *only);
    }
    let outer = config.outer_families().first().copied();
    all(protocol, outer.unwrap_or(Family::Ipv4))
}

fn network(protocol: u8, prefix: Prefix) -> TrafficSelector {
    TrafficSelector::new(protocol, prefix.network(), last_of(prefix))
}

const fn protocol(mode: Mode) -> u8 {
    match mode {
        Mode::GreEsp => GRE,
        Mode::Esp | Mode::Gre => 0,
    }
}

fn all(protocol: u8, family: Family) -> TrafficSelector {
    let (first, last) = match family {
        Family::Ipv4 => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
        Family::Ipv6 => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::from_bits(u128::MAX).into(),
        ),
    };
    TrafficSelector::new(protocol, first, last)
}

/// The last address of a network.
fn last_of(prefix: Prefix) -> IpAddr {
    let host_bits = u32::from(
        Family::of(prefix.address)
            .bits()
            .saturating_sub(prefix.length),
    );
    match prefix.network() {
        IpAddr::V4(first) => {
            let host = u32::MAX.checked_shr(32 - host_bits.min(32)).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits() | host).into()
        }
        IpAddr::V6(first) => {
            let host = u128::MAX.checked_shr(128 - host_bits.min(128)).unwrap_or(0);
            Ipv6Addr::from_bits(first.to_bits() | host).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_ends_with_its_host_bits_set() {
        let last = |address: &str, length| last_of(Prefix::new(address.parse().unwrap(), length));
        for (address, length, expected) in [
            ("10.0.0.0", 8, "10.255.255.255"),
            ("192.0.2.1", 32, "192.0.2.1"),
            ("0.0.0.0", 0, "255.255.255.255"),
            ("2001:db8::", 32, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::", 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(last(address, length), expected.parse::<IpAddr>().unwrap());
        }
    }
}
