//! What the configuration says of a tunnel's IKE, in the words of the endpoint; and the secrets, read from their files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use adit_crypto::{SecretBytes, Suite};
use adit_proto::esp::Limits;
use adit_proto::ike::{
    ChildMode, Connection, EndpointConfig, Identity, LocalAuth, RekeyTimes, RemoteAuth, Retransmit,
};
use adit_proto::wire::ike::TrafficSelector;
use adit_proto::wire::natt;

use crate::config::{self, Family, IkeConfig, IkeEndpoint, Mode, TunnelConfig};
use crate::ike_lane::ChildPolicy;
use crate::io::address::Prefix;
use crate::keys;

/// IP's number of GRE.
const GRE: u8 = 47;

/// Headers before an IKE message in its largest packet: IPv6, UDP, the non-ESP marker.
const HEADERS_OCTETS: u16 = 40 + 8 + 4;

/// What a tunnel proves itself with, and its peer.
#[derive(Debug)]
pub(super) struct Credentials {
    local: LocalAuth,
    remote: RemoteAuth,
}

impl Credentials {
    /// Reads the files.
    pub(super) fn read(tunnel: &str, ike: &IkeConfig) -> Result<Self, String> {
        match &ike.credentials {
            config::Credentials::Psk(file) => {
                let psk = keys::read_psk(file).map_err(|error| error.to_string())?;
                if keys::is_weak_psk(&psk) {
                    tracing::warn!(
                        tunnel,
                        "ike.psk-file: who records one attempt can guess so weak a key: `adit keygen psk FILE` draws a strong one"
                    );
                }
                let psk: Arc<SecretBytes> = Arc::new(psk);
                Ok(Self {
                    local: LocalAuth::Psk(psk.clone()),
                    remote: RemoteAuth::Psk(psk),
                })
            }
            config::Credentials::Certificate {
                chain,
                key,
                anchors,
            } => {
                let (chain, key) =
                    keys::read_certificate(chain, key).map_err(|error| error.to_string())?;
                let anchors = keys::read_anchors(anchors).map_err(|error| error.to_string())?;
                Ok(Self {
                    local: LocalAuth::Certificate {
                        chain,
                        key: Arc::new(key),
                    },
                    remote: RemoteAuth::Certificate(Arc::new(anchors)),
                })
            }
        }
    }
}

/// The suite that is asked for first.
pub(super) fn first_suite(ike: &IkeConfig) -> Suite {
    let first = ike
        .esp_proposals
        .first()
        .and_then(|offer| offer.suites().first());
    first.copied().unwrap_or(Suite::Aes256Gcm16)
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
    match &credentials.local {
        LocalAuth::Certificate { chain, .. } => chain
            .first()
            .map(|certificate| Identity::Dn(certificate.subject_der().to_vec()))
            .ok_or_else(|| "ike.cert-file: no certificate".to_owned()),
        LocalAuth::Psk(_) => Err("ike.local-id is missing: it is needed with psk-file".to_owned()),
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
) -> Result<Connection, String> {
    Ok(Connection {
        remotes: initiators,
        local_id: local_id(ike, credentials)?,
        remote_id: ike.remote_id.clone(),
        local_auth: credentials.local.clone(),
        remote_auth: credentials.remote.clone(),
        ike: ike.proposals.clone(),
        esp: ike.esp_proposals.clone(),
        mode: match ike.child_mode {
            config::ChildMode::Tunnel => ChildMode::Tunnel,
            config::ChildMode::Transport => ChildMode::Transport,
        },
        local_ts: selectors(config, &config.local_ts),
        remote_ts: selectors(config, &config.remote_ts),
        ike_lifetime: lifetime(ike.rekey, ike.hard(), ike.jitter_percent),
        child_lifetime: lifetime(ike.child_rekey, ike.child_hard(), ike.jitter_percent),
        retransmit: Retransmit {
            first: ike.retransmit.first,
            base_per_mille: u32::from(ike.retransmit.base_percent) * 10,
            tries: u32::from(ike.retransmit.tries),
            most: ike.retransmit.most,
        },
        fragment_octets: ike.fragment_octets - HEADERS_OCTETS,
        force_udp: ike.force_udp,
    })
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
    let protocol = match config.mode {
        Mode::GreEsp => GRE,
        Mode::Esp | Mode::Gre => 0,
    };
    if networks.is_empty() {
        let all = |first: IpAddr, last: IpAddr| TrafficSelector::new(protocol, first, last);
        return vec![
            all(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
            all(
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv6Addr::from_bits(u128::MAX).into(),
            ),
        ];
    }
    let network =
        |prefix: &Prefix| TrafficSelector::new(protocol, prefix.network(), last_of(*prefix));
    networks.iter().map(network).collect()
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
