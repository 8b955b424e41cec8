//! What a valid configuration says, as plain typed fields.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use adit_crypto::Suite;
use adit_proto::liveness::{DpdConfig, Initial, Pace};
use adit_proto::tunnel::{self, Df, DscpIn, DscpOut, Ecn, Parameters, Ports, Ttl};
use adit_proto::wire::gre::GreKey;

use super::esp::{Segmentation, StaticSas, Tfc, TfcPad, UdpConfig, Warm, build};
use super::ike::{IkeConfig, Start};
use crate::io::address::Prefix;
use crate::io::netns::Netns;

/// The binding of workers to CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The scheduler decides.
    Off,
    /// Adit chooses within the CPUs that it may use.
    Auto,
    /// One CPU for each worker, in order.
    Cpus(Vec<u16>),
}

/// One `[tunnel.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelConfig {
    /// 1 to 64 of `A-Z a-z 0-9 _ . -`, unique in the file.
    pub name: String,
    /// The encapsulation.
    pub mode: Mode,
    /// UDP around it; absent, packets leave as IP protocol 47 or 50, or with IKE as NAT detection decides.
    pub udp: Option<UdpConfig>,
    /// Static SAs; a mode with ESP has either these or IKE.
    pub sa: Option<StaticSas>,
    /// IKE; a mode with ESP has either this or static SAs.
    pub ike: Option<IkeConfig>,
    /// Dead peer detection by IKE; absent without IKE, and where it is off.
    pub dpd: Option<DpdConfig>,
    /// Who brings the SAs of IKE up.
    pub start: Start,
    /// How long no user data may pass before the SAs of IKE are deleted; absent, they stay.
    pub idle_timeout: Option<Duration>,
    /// Inner source addresses that may leave, and inner destinations that may come; mode `esp` only.
    pub local_ts: Vec<Prefix>,
    /// Inner destination addresses that may leave, and inner sources that may come; mode `esp` only.
    pub remote_ts: Vec<Prefix>,
    /// The TUN interface's name, at most 15 octets.
    pub interface: String,
    /// The outer source address; the route to the remote decides when it is absent.
    pub local: Option<IpAddr>,
    /// 1 to 16 candidates, in order of preference; [`Remote::Any`] stands alone.
    pub remotes: Vec<Remote>,
    /// Addresses of the interface.
    pub addresses: Vec<Prefix>,
    /// Networks routed into the tunnel; their host bits are zero.
    pub routes: Vec<Prefix>,
    /// Whether each of the routes has an unreachable route behind it.
    pub leak_guard: bool,
    /// Where the interface, its addresses and its routes live.
    pub netns: Netns,
    /// Where the sockets live.
    pub outer_netns: Netns,
    /// The interface's MTU.
    pub mtu: Mtu,
    /// TTL or hop limit of the outer header.
    pub ttl: Ttl,
    /// DSCP of the outer header.
    pub dscp: DscpOut,
    /// DSCP of a packet that leaves the tunnel.
    pub dscp_decap: DscpIn,
    /// ECN of the outer header.
    pub ecn: Ecn,
    /// Don't Fragment of the outer IPv4 header.
    pub df: Df,
    /// The limit of TCP's MSS option.
    pub mss_clamp: MssClamp,
    /// Options of the GRE header.
    pub gre: Gre,
    /// Packets that keep an idle tunnel warm.
    pub warm: Option<Warm>,
    /// Padding and dummy packets; mode `esp` only.
    pub tfc: Option<Tfc>,
    /// Keepalives to the peer; absent, the tunnel is never found dead.
    pub keepalive: Option<Keepalive>,
    /// Whether the peer's keepalives are answered.
    pub answer_keepalives: bool,
    /// What happens to the interface when the peer is dead.
    pub on_dead: OnDead,
    /// The program to run; present if and only if `on_dead.hook`.
    pub hook: Option<Hook>,
    /// How long the preferred remote must have answered before the tunnel goes back to it; absent, it never does.
    pub failback: Option<Duration>,
    /// Whether a tunnel that flaps needs more answers before it is up again.
    pub damping: bool,
    /// The state at the start.
    pub initial: Initial,
    /// Offloads of the TUN interface and of the outer socket.
    pub offload: Offload,
}

impl TunnelConfig {
    /// What the tunnel does to its packets between these addresses, with an interface of this MTU in octets.
    ///
    /// `suite` is that of the key files; a mode without ESP needs none.
    pub fn parameters(
        &self,
        local: IpAddr,
        remote: IpAddr,
        mtu: u16,
        suite: Option<Suite>,
    ) -> Parameters {
        let ports = |udp: UdpConfig| Ports {
            local: udp.port,
            remote: udp.remote_port,
        };
        Parameters {
            local,
            remote,
            key_out: self.gre.key_out,
            key_in: self.gre.key_in,
            checksum: self.gre.checksum,
            sequence: self.gre.sequence,
            ttl: self.ttl,
            dscp_out: self.dscp,
            dscp_in: self.dscp_decap,
            ecn: self.ecn,
            df: self.df,
            mss_clamp: self.mss_clamp.at(mtu),
            mode: match (self.mode, suite) {
                (Mode::Esp, Some(suite)) => tunnel::Mode::Esp(suite),
                (Mode::GreEsp, Some(suite)) => tunnel::Mode::GreEsp(suite),
                (Mode::Gre | Mode::Esp | Mode::GreEsp, _) => tunnel::Mode::Gre,
            },
            udp: self.udp.map(ports),
            tfc_octets: self.tfc_octets(mtu),
            gre_ends: self.has_gre_in_ip().then_some((local, remote)),
        }
    }

    /// Up to how many octets inner packets are padded, with an interface of this MTU in octets.
    pub fn tfc_octets(&self, mtu: u16) -> u16 {
        match self.tfc.map(|tfc| tfc.pad) {
            None | Some(TfcPad::None) => 0,
            Some(TfcPad::Mtu) => mtu,
            Some(TfcPad::Octets(octets)) => octets.min(mtu),
        }
    }

    /// The address of the interface from which a packet to `target` inside the tunnel comes; none without one of its family.
    pub fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        build::source_for(&self.addresses, target)
    }

    /// Outer families that the tunnel may use; a name as remote leaves both possible unless `local` decides.
    pub fn outer_families(&self) -> Vec<Family> {
        if let Some(local) = self.local {
            return vec![Family::of(local)];
        }
        let possible = |family| {
            self.remotes
                .iter()
                .any(|remote| remote.family().is_none_or(|one| one == family))
        };
        [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .filter(|family| possible(*family))
            .collect()
    }
}

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RFC 791.
    Ipv4,
    /// RFC 8200.
    Ipv6,
}

impl Family {
    /// The family of this address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The address that is none.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// Octets of the IP header without options or extension headers.
    pub const fn header_octets(self) -> usize {
        match self {
            Self::Ipv4 => 20,
            Self::Ipv6 => 40,
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// The encapsulation of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// RFC 2784 with RFC 2890.
    Gre,
    /// ESP in tunnel mode (RFC 4303 §3.1.2).
    Esp,
    /// GRE in ESP in transport mode (RFC 4303 §3.1.1).
    GreEsp,
}

impl Mode {
    /// Whether packets have an ESP header.
    pub const fn has_esp(self) -> bool {
        matches!(self, Self::Esp | Self::GreEsp)
    }

    /// Whether packets have a GRE header.
    pub const fn has_gre(self) -> bool {
        matches!(self, Self::Gre | Self::GreEsp)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gre => "gre",
            Self::Esp => "esp",
            Self::GreEsp => "gre-esp",
        })
    }
}

/// A candidate for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A unicast address.
    Address(IpAddr),
    /// A host name (RFC 1123 §2.1), resolved at each attempt; lower case, without a final dot.
    Name(String),
    /// Whoever proves to be the peer; only with IKE.
    Any,
}

impl Remote {
    /// The peer of that address or name; none where no configuration could name it.
    pub fn one(text: &str) -> Option<Self> {
        let remote = super::scalar::remote(text).ok()?;
        (remote != Self::Any).then_some(remote)
    }

    /// The family, when it is known without a resolver.
    pub fn family(&self) -> Option<Family> {
        match self {
            Self::Address(address) => Some(Family::of(*address)),
            Self::Name(_) | Self::Any => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Prefix {
    /// The address with its host bits zero.
    pub fn network(self) -> IpAddr {
        let host_bits = u32::from(Family::of(self.address).bits().saturating_sub(self.length));
        match self.address {
            IpAddr::V4(address) => IpAddr::V4(
                (address.to_bits() & u32::MAX.checked_shl(host_bits).unwrap_or(0)).into(),
            ),
            IpAddr::V6(address) => IpAddr::V6(
                (address.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0)).into(),
            ),
        }
    }

    /// Whether the address lies in this network.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.address)
            && Self::new(address, self.length).network() == self.network()
    }

    /// Whether one of two networks holds the other.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

/// The interface's MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtu {
    /// The MTU of the route to the remote minus the overhead.
    Auto,
    /// 1280 to 65511 octets.
    Fixed(u16),
}

/// The limit of TCP's MSS option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MssClamp {
    /// The option stays as it is.
    Off,
    /// What the interface's MTU allows.
    Auto,
    /// These octets.
    Fixed(tunnel::MssClamp),
}

/// An IPv4 and a TCP header without options, and the same for IPv6, in octets.
const HEADERS_V4: u16 = 40;
const HEADERS_V6: u16 = 60;

impl MssClamp {
    /// The limits for an interface of this MTU, in octets.
    pub fn at(self, mtu: u16) -> Option<tunnel::MssClamp> {
        match self {
            Self::Off => None,
            Self::Auto => Some(tunnel::MssClamp {
                v4: Some(mtu.saturating_sub(HEADERS_V4)),
                v6: Some(mtu.saturating_sub(HEADERS_V6)),
            }),
            Self::Fixed(clamp) => Some(clamp),
        }
    }
}

/// Options of the GRE header (RFC 2784 §2, RFC 2890 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// The key that the peer's packets carry.
    pub key_in: Option<GreKey>,
    /// The key that our packets carry.
    pub key_out: Option<GreKey>,
    /// Whether packets carry a checksum.
    pub checksum: bool,
    /// Whether packets carry sequence numbers.
    pub sequence: bool,
}

/// Keepalives to the peer: GRE's, or echo requests inside ESP where the mode has no GRE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Whose defaults hold.
    pub profile: Profile,
    /// The time between two keepalives: 100 ms to 32767 s.
    pub period: Duration,
    /// How many unanswered keepalives in a row mean that the peer is dead: at least 1.
    pub retries: u8,
    /// Whether a keepalive carries the authenticated octets.
    pub payload: bool,
    /// Addresses that may stand inside the peer's keepalives in place of the outer ones.
    pub accept_inner: Vec<IpAddr>,
    /// Whom echo requests go to, inside the tunnel; present if and only if the mode is `esp`.
    pub target: Option<IpAddr>,
    /// Whether an answer that came outside the SA counts; mode `gre-esp` only.
    pub accept_clear: bool,
}

impl Keepalive {
    /// Period and retries as the liveness machine takes them.
    pub fn pace(&self) -> Pace {
        Pace::new(self.period, self.retries)
    }
}

/// A router whose defaults hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// 5 s × 3.
    Huawei,
    /// 10 s × 3.
    Cisco,
}

impl Profile {
    /// Period and retries when the file gives none.
    pub const fn pace(self) -> Pace {
        match self {
            Self::Huawei => Pace::HUAWEI,
            Self::Cisco => Pace::CISCO,
        }
    }
}

/// What happens to the interface when the peer is dead; at least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDead {
    /// The carrier goes off.
    pub carrier: bool,
    /// The routes are withdrawn.
    pub withdraw_routes: bool,
    /// The interface is set down.
    pub admin_down: bool,
    /// The interface is deleted.
    pub delete: bool,
    /// The hook runs.
    pub hook: bool,
}

/// A program to run when the peer dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// An absolute path.
    pub program: PathBuf,
    /// What follows it, without zero octets.
    pub arguments: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

/// Offloads that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// TCP super-packets from the kernel.
    pub tso: bool,
    /// UDP super-packets from the kernel.
    pub uso: bool,
    /// TCP super-packets to the kernel.
    pub tcp_coalesce: bool,
    /// UDP super-packets to the kernel.
    pub udp_coalesce: bool,
    /// Trains of outer UDP packets.
    pub udp_segmentation: Segmentation,
}
