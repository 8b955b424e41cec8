//! What `status`, `counters` and `events` show: plain data, the same for people and for machines.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::ike::IkeStatus;

/// The daemon and its tunnels at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// What the operator should know: another owner of protocol 47, an offload that fell back.
    pub warnings: Vec<String>,
    /// Packets of no tunnel that were dropped, by reason.
    pub unassigned_drops: BTreeMap<String, u64>,
    /// What IKE counted for all tunnels, and for messages of none; empty without IKE.
    pub ike: BTreeMap<String, u64>,
    /// The tunnels, by name.
    pub tunnels: Vec<TunnelStatus>,
}

/// One tunnel at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunnelStatus {
    /// Its name.
    pub name: String,
    /// What it encapsulates in.
    pub mode: String,
    /// Its interface.
    pub interface: String,
    /// Where the interface lives; none is the daemon's own namespace.
    pub netns: Option<String>,
    /// Where its sockets live; none is the daemon's own namespace.
    pub outer_netns: Option<String>,
    /// `disabled`, `resolving`, `no-route`, `waiting` for the peer or for traffic, `connecting`, `probing`, `up`, `suspect` or `down`.
    pub state: String,
    /// Why it is not up, in words.
    pub reason: Option<String>,
    /// How long it has been in this state.
    pub state_ms: u64,
    /// Our outer address.
    pub local: Option<IpAddr>,
    /// The peer's outer address.
    pub remote: Option<IpAddr>,
    /// The configured peers, in order of preference.
    pub remotes: Vec<String>,
    /// Which of them is in use, counted from 0.
    pub remote_index: usize,
    /// The interface's MTU.
    pub mtu: Option<u16>,
    /// Octets that the tunnel adds to a packet.
    pub overhead: usize,
    /// The outer path's MTU.
    pub path_mtu: Option<u16>,
    /// The longest time from the peer's death to the verdict; none when nothing watches the peer.
    pub worst_case_ms: Option<u64>,
    /// What the keepalive knows.
    pub keepalive: Option<KeepaliveStatus>,
    /// What ESP knows; none without ESP, and as long as there is no security association.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<EspStatus>,
    /// What IKE knows; none without IKE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ike: Option<IkeStatus>,
    /// How often the path refused trains of UDP datagrams (UDP_SEGMENT); none without UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation_fallbacks: Option<u64>,
    /// What the device does in one piece.
    pub offload: BTreeMap<String, bool>,
    /// Traffic counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Dropped packets by reason.
    pub drops: BTreeMap<String, u64>,
    /// What the kernel dropped before or behind adit: the device's queue, the socket's buffer.
    pub kernel_drops: BTreeMap<String, u64>,
    /// Keepalive requests of other dialects, by dialect; answered only where configured.
    pub dialects: BTreeMap<String, u64>,
    /// How often the peer was declared dead.
    pub deaths: u64,
    /// What last went wrong, in words.
    pub last_error: Option<String>,
}

/// What a tunnel's keepalive knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeepaliveStatus {
    /// Time from one request to the next.
    pub period_ms: u64,
    /// Unanswered requests that declare the peer dead.
    pub retries: u16,
    /// Requests sent over the path in use.
    pub sent: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests before the newest one that have no answer.
    pub lost: u64,
    /// The last round trip.
    pub rtt_us: Option<u64>,
    /// The smallest round trip.
    pub rtt_min_us: Option<u64>,
    /// The mean round trip.
    pub rtt_mean_us: Option<u64>,
    /// The largest round trip.
    pub rtt_max_us: Option<u64>,
    /// How long ago the peer last proved that it is there.
    pub since_last_proof_ms: Option<u64>,
}

/// What the security associations of a tunnel know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EspStatus {
    /// What seals the packets.
    pub suite: String,
    /// The index that our packets carry.
    pub spi_out: u32,
    /// The index that the peer's packets carry.
    pub spi_in: u32,
    /// The sequence number of our next packet.
    pub next_seq: u64,
    /// How many of them are reserved.
    pub numbers_left: u64,
    /// The greatest sequence number of the peer that was accepted.
    pub newest_seq: u64,
    /// Where a peer behind a NAT was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
}

/// Something that happened to a tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// When, in microseconds since 1970.
    pub unix_us: u64,
    /// To which tunnel.
    pub tunnel: String,
    /// `up`, `suspect`, `recovered`, `down`, `failover`, `failback`, `resolve-failed`, `no-route`, `mtu`,
    /// `interface-gone`, `interface-failed`, `enabled`, `disabled`, `offload`, `hook-failed`, `peer-moved`, `sa-soft-limit`,
    /// `configured`, `easy-vpn-failed`, `ike-up`, `child-up`, `rekeyed`, `ike-down`, `ike-failed`, `ike-refused`, `cleared`, `idle`,
    /// `key-state`.
    pub event: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The peer it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// From the last proof of life to the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_last_proof_ms: Option<u64>,
    /// From the first unanswered request to the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_first_unanswered_ms: Option<u64>,
    /// The computed bound of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case_ms: Option<u64>,
    /// From the verdict until the carrier was off or on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier_us: Option<u64>,
    /// The interface's new MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

impl Event {
    /// An event `name` of `tunnel` that happened at `at`.
    #[must_use]
    pub fn new(tunnel: &str, name: &str, at: Instant) -> Self {
        let stamp = Stamp::of(at);
        Self {
            time: stamp.time,
            unix_us: stamp.unix_us,
            tunnel: tunnel.to_owned(),
            event: name.to_owned(),
            reason: None,
            remote: None,
            since_last_proof_ms: None,
            since_first_unanswered_ms: None,
            worst_case_ms: None,
            carrier_us: None,
            mtu: None,
        }
    }

    /// The same with a reason in words.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with the peer that it is about.
    #[must_use]
    pub fn about(mut self, remote: impl ToString) -> Self {
        self.remote = Some(remote.to_string());
        self
    }
}

/// A time as reports show it.
pub(super) struct Stamp {
    /// RFC 3339, UTC.
    pub(super) time: String,
    /// Microseconds since 1970.
    pub(super) unix_us: u64,
}

impl Stamp {
    pub(super) fn of(at: Instant) -> Self {
        let time = SystemTime::now()
            .checked_sub(at.elapsed())
            .unwrap_or_else(SystemTime::now);
        let since_1970 = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            time: humantime::format_rfc3339_micros(time).to_string(),
            unix_us: micros(since_1970),
        }
    }
}

/// Whole milliseconds, as reports show them.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds, as reports show them.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
