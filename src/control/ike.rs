//! What `status` shows of IKE and what `debug` streams.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::report::Stamp;

/// What a tunnel's IKE knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IkeStatus {
    /// The major version: 1 or 2.
    pub version: u8,
    /// `idle`, `sa-init`, `auth`, `established`, `rekeying` or `deleting`; of version 1 `main-mode` in place of the second and third, with
    /// Easy VPN `aggressive-mode` and `configuring`.
    pub state: String,
    /// What we call ourselves.
    pub local_id: String,
    /// What the peer proved to be, or has to; none before that of one who may be anybody.
    pub remote_id: Option<String>,
    /// Our address and port.
    pub local: Option<SocketAddr>,
    /// The peer's address and port.
    pub remote: Option<SocketAddr>,
    /// Who is behind a NAT: `local`, `peer` or `both`; none where there is none.
    pub nat: Option<String>,
    /// The algorithms of the IKE SA, as in a proposal.
    pub proposal: Option<String>,
    /// The initiator's SPI, 16 hexadecimal digits.
    pub spi_i: Option<String>,
    /// The responder's SPI, 16 hexadecimal digits.
    pub spi_r: Option<String>,
    /// Whether we are the initiator of the IKE SA.
    pub initiator: Option<bool>,
    /// How long ago the IKE SA was made.
    pub age_ms: Option<u64>,
    /// How long until we replace it.
    pub rekey_in_ms: Option<u64>,
    /// Dead peer detection; none where it is off.
    pub dpd: Option<DpdStatus>,
    /// What the tunnel was taken up for: `data` or `none`; none while it is not up.
    pub proof: Option<String>,
    /// The child SAs, the one in use first.
    pub children: Vec<ChildStatus>,
    /// What an Easy VPN server assigned; none before it did.
    pub easy_vpn: Option<EasyVpnStatus>,
    /// Packets lost while SAs were replaced.
    pub rekey_lost_packets: u64,
    /// Why the last attempt or the last SA ended, in words.
    pub last_error: Option<String>,
}

/// What an Easy VPN server assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EasyVpnStatus {
    /// `client` or `network-extension`.
    pub client_mode: String,
    /// Our addresses in the tunnel.
    pub addresses: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// The domain of names without one.
    pub default_domain: Option<String>,
    /// Domains that the name servers answer for.
    pub split_dns: Vec<String>,
    /// Networks that are reached through the tunnel; all are when there is none.
    pub split_include: Vec<String>,
    /// Networks that are reached beside the tunnel.
    pub split_exclude: Vec<String>,
    /// A text for people.
    pub banner: Option<String>,
    /// Whether the server lets the client keep the password.
    pub save_password: Option<bool>,
    /// What goes through the tunnel, in words.
    pub routing: Option<String>,
    /// Servers to try after those of the configuration.
    pub backup_servers: Vec<String>,
    /// For how many seconds the addresses are ours, counted from their assignment.
    pub expiry_s: Option<u32>,
}

/// What dead peer detection knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpdStatus {
    /// `periodic` or `on-demand`.
    pub mode: String,
    /// The silence after which the peer is asked.
    pub interval_ms: u64,
    /// The time from one unanswered probe to the next.
    pub retry_ms: u64,
    /// Unanswered probes that declare the peer dead.
    pub attempts: u16,
    /// Probes sent since the peer was last heard.
    pub outstanding: u16,
    /// Probes sent.
    pub sent: u64,
    /// How often the peer was heard again after a probe.
    pub answered: u64,
    /// Whether the peer answers; one that does not is never asked, and never dead for its silence.
    pub peer_answers: bool,
    /// How long until the next probe if the peer is not heard before; none while none is planned.
    pub next_ms: Option<u64>,
}

/// A pair of child SAs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// The index that the peer's packets carry.
    pub spi_in: u32,
    /// The index that our packets carry.
    pub spi_out: u32,
    /// What seals the packets.
    pub suite: String,
    /// Whether sequence numbers have 64 bits.
    pub esn: bool,
    /// `tunnel` or `transport`.
    pub mode: String,
    /// How long ago they were made.
    pub age_ms: u64,
    /// How long until we replace them; none when they have been.
    pub rekey_in_ms: Option<u64>,
    /// Traffic selectors of our side.
    pub local_ts: Vec<String>,
    /// Traffic selectors of the peer's side.
    pub remote_ts: Vec<String>,
    /// Whether the packets are encapsulated in UDP.
    pub udp: bool,
}

/// One line of `adit debug`: a message of IKE, a probe, a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// When, in microseconds since 1970.
    pub unix_us: u64,
    /// Of which tunnel; none for a message that cannot be told to be of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// What happened.
    pub line: String,
}

impl TraceLine {
    /// A line about `tunnel`, or about none, of what happened at `at`.
    #[must_use]
    pub fn new(tunnel: Option<&str>, line: impl Into<String>, at: Instant) -> Self {
        let stamp = Stamp::of(at);
        Self {
            time: stamp.time,
            unix_us: stamp.unix_us,
            tunnel: tunnel.map(str::to_owned),
            line: line.into(),
        }
    }

    /// Whether it belongs into the stream about `tunnel`: it is about it, or nobody knows about which.
    #[must_use]
    pub fn is_about(&self, tunnel: &str) -> bool {
        self.tunnel.as_deref().is_none_or(|name| name == tunnel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_no_tunnel_belongs_to_every_stream_and_others_to_their_own() {
        let about = |tunnel| TraceLine::new(tunnel, "x", Instant::now());
        assert!(about(Some("a")).is_about("a"));
        assert!(!about(Some("a")).is_about("b"));
        assert!(about(None).is_about("a") && about(None).is_about("b"));
    }
}
