//! What a file says of IPsec: static SAs, UDP encapsulation, keys, limits, and traffic that nobody sent.

pub(super) mod build;
pub(super) mod checks;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use adit_proto::wire::natt;

use super::types::Mode;

/// UDP around the tunnel's packets: ESP (RFC 3948) or GRE (RFC 8086).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// Our port.
    pub port: u16,
    /// The peer's port.
    pub remote_port: u16,
    /// Who is behind a NAT.
    pub nat: Nat,
    /// How long nothing may leave before a NAT keepalive does.
    pub nat_keepalive: Duration,
}

impl UdpConfig {
    /// The registered port of what the mode puts into UDP: 4754 (RFC 8086 §6) or 4500 (RFC 3948 §2).
    pub const fn default_port(mode: Mode) -> u16 {
        match mode {
            Mode::Gre => natt::GRE_PORT,
            Mode::Esp | Mode::GreEsp => natt::PORT,
        }
    }
}

/// Who is behind a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Nobody.
    None,
    /// We are: NAT keepalives are sent (RFC 3948 §4).
    Local,
    /// The peer is: its address and port are followed.
    Peer,
    /// Both of us.
    Both,
}

impl Nat {
    /// Whether we are behind a NAT.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Local | Self::Both)
    }

    /// Whether the peer is behind a NAT.
    pub const fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::Both)
    }
}

/// A pair of SAs that no key exchange made (RFC 4301 §4.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticSas {
    /// From us to the peer.
    pub out: OutSa,
    /// From the peer to us.
    pub inbound: InSa,
}

/// An outbound SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutSa {
    /// At least 256 (RFC 4303 §2.1).
    pub spi: u32,
    /// The key file, with its folder.
    pub key_file: PathBuf,
    /// Whether sequence numbers have 64 bits (RFC 4303 §2.2.1).
    pub esn: bool,
    /// What is announced when it is reached.
    pub soft: Limits,
    /// What ends the SA.
    pub hard: Limits,
}

/// An inbound SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InSa {
    /// At least 256 (RFC 4303 §2.1).
    pub spi: u32,
    /// The key file, with its folder.
    pub key_file: PathBuf,
    /// Whether sequence numbers have 64 bits (RFC 4303 §2.2.1).
    pub esn: bool,
    /// Sequence numbers behind the highest one that are still accepted, each once: 64 to 65536.
    pub replay_window: u32,
    /// What ends the SA.
    pub hard: Limits,
}

/// How much an SA may carry (RFC 4301 §4.4.2.1); an absent limit is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: Option<u64>,
    /// Octets of inner packets.
    pub octets: Option<u64>,
    /// Time since the SA was installed.
    pub time: Option<Duration>,
}

/// Inner packets that keep an idle tunnel warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warm {
    /// How long no user data may leave before one is sent; never zero.
    pub interval: Duration,
    /// What is sent.
    pub kind: WarmKind,
    /// The inner source; unspecified for [`WarmKind::Dummy59`].
    pub source: IpAddr,
    /// The inner destination; unspecified for [`WarmKind::Dummy59`].
    pub destination: IpAddr,
}

/// A kind of packet that keeps a tunnel warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmKind {
    /// UDP to port 9, discard (RFC 863).
    Udp9,
    /// An ICMP or ICMPv6 echo request.
    Icmp,
    /// An ESP dummy packet: next header 59 (RFC 4303 §2.6).
    Dummy59,
}

/// Traffic flow confidentiality (RFC 4303 §2.7); at least one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tfc {
    /// How far inner packets are padded.
    pub pad: TfcPad,
    /// How long nothing may leave before a dummy packet does (RFC 4303 §2.6).
    pub dummies: Option<Duration>,
}

/// How far inner packets are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TfcPad {
    /// Not at all.
    None,
    /// To the interface's MTU.
    Mtu,
    /// To these octets; what is longer stays as it is.
    Octets(u16),
}

/// Whether trains leave through one call that the kernel or the device segments (UDP_SEGMENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// Where the outgoing device segments UDP.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
