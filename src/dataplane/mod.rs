//! The data plane: workers that run each packet to completion.
//!
//! Who owns what. A worker is one thread with one epoll. It alone owns its outer sockets, its receive and send buffers, its timers and,
//! of each of its tunnels, the encapsulation, the decapsulation, the liveness and the counters' cell. A tunnel belongs to one worker for
//! its life (`tunnel number mod workers`), so nothing on the path is locked or handed over. Two things are shared: the TUN device (the
//! link lane sets its carrier) and the counters (one writer, relaxed loads by readers). Commands come through a bounded mailbox and an eventfd, verdicts leave to the link lane, everything else
//! to the daemon; a worker never waits for either.

mod children;
mod errors;
mod esp;
mod idle;
mod ike;
mod inbound;
mod keepalive;
mod members;
mod outbound;
mod outbox;
mod pin;
mod plane;
mod socket;
mod table;
mod tunnel;
mod worker;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use adit_proto::counters::Counters;
use adit_proto::esp::{InboundSa, OutboundSa, Selectors};
use adit_proto::liveness::{DownReason, Event, LivenessConfig, Path, Status, WarmConfig};
use adit_proto::offload::Coalescing;
use adit_proto::tunnel::{Mode, MssClamp, Parameters, Ports};
use adit_proto::wire::esp::Spi;
use adit_proto::wire::gre::GreKey;
use tokio::sync::oneshot;

use crate::io::netns::NetnsId;
use crate::io::raw::Family;
use crate::io::tun::TunDevice;
use crate::io::udp::UdpSocket;

pub use ike::{FromWorker, IkeDatagram, IkeSink, IkeSource, ike_queue};
pub use plane::Plane;
pub use socket::{Carries, Kind, Receiver, Sender, SocketOffer};

/// A tunnel's number, given by the daemon and never used again while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub u32);

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A tunnel as a worker takes it over: without a device and without a path, which come by commands of their own.
#[derive(Debug)]
pub struct NewTunnel {
    /// Its number.
    pub id: TunnelId,
    /// How it encapsulates; the addresses are those of the path once there is one.
    pub parameters: Parameters,
    /// How its peer is watched.
    pub liveness: LivenessConfig,
    /// The secret of this run, for the keepalive's digest.
    pub secret: Secret<16>,
    /// What may be coalesced for its device.
    pub coalescing: Coalescing,
    /// Whether keepalive requests are answered.
    pub answers_keepalives: bool,
    /// Further addresses that a keepalive's inner packet may have.
    pub accept_inner: Vec<IpAddr>,
    /// Its counters on this worker.
    pub counters: Arc<Counters>,
    /// What its ESP rests on; a tunnel without ESP has none.
    pub ipsec: Option<Ipsec>,
    /// The static pair of associations; without one nothing passes a tunnel with ESP before IKE made a pair.
    pub pair: Option<Box<NewPair>>,
    /// What is sent while there is nothing to send.
    pub idle: IdleTraffic,
}

/// What a tunnel with ESP does with what its associations open.
#[derive(Debug)]
pub struct Ipsec {
    /// Where the worker leaves the greatest sequence number that it accepted; not where IKE makes the associations.
    pub edge: Option<Arc<AtomicU64>>,
    /// Whether IKE makes the associations.
    pub has_ike: bool,
    /// Whether a keepalive answer that came in clear counts.
    pub accepts_clear: bool,
    /// Addresses of the interface, at which the peer's probes are answered.
    pub addresses: Vec<IpAddr>,
}

/// A pair of security associations, and what it carries.
#[derive(Debug)]
pub struct NewPair {
    /// Opens what the peer sends.
    pub inbound: InboundSa,
    /// Seals what we send.
    pub outbound: OutboundSa,
    /// What the associations carry.
    pub selectors: Selectors,
    /// How they carry it.
    pub mode: Mode,
    /// The ports of UDP encapsulation, where there is some.
    pub udp: Option<Ports>,
    /// Local and remote address of the IP header around GRE in ESP's tunnel mode.
    pub gre_ends: Option<(IpAddr, IpAddr)>,
    /// Whether the peer's address is followed when a newer packet comes from elsewhere.
    pub follows_peer: bool,
    /// Whether a NAT is on the way, so that the peer knows our addresses, or its own, by others.
    pub has_nat: bool,
    /// After how long without a packet a NAT keepalive leaves, where we are behind a NAT.
    pub nat_keepalive: Option<Duration>,
    /// The peer's address where IKE says it: before the way there is known the tunnel does not begin.
    pub remote: Option<IpAddr>,
    /// The inbound index of the pair that this one is to replace.
    pub replaces: Option<Spi>,
    /// Whether the peer answers when it is asked over IKE.
    pub answers_probes: bool,
    /// Whether we send by it at once, or from the first packet that comes by it.
    pub sends_now: bool,
}

/// What is sent while there is nothing to send.
#[derive(Clone, Debug, Default)]
pub struct IdleTraffic {
    /// Inner packets that keep the tunnel in use.
    pub warm: Option<WarmConfig>,
    /// After how long without a packet a dummy packet leaves.
    pub dummies: Option<Duration>,
    /// After how long without user data either way IKE is told.
    pub unused: Option<Duration>,
    /// The user data that IKE is told of when the tunnel is down.
    pub wakes: Option<Selectors>,
}

/// What a worker knows of a tunnel besides its counters.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The verdict on the peer and what it rests on.
    pub liveness: Status,
    /// Keepalive requests of other dialects, by dialect.
    pub dialects: Vec<(&'static str, u64)>,
    /// Datagrams of all tunnels that the socket dropped because its buffer was full.
    pub socket_drops: u64,
    /// The state of its ESP.
    pub ipsec: Option<IpsecReading>,
    /// How often the path refused to have trains cut into UDP datagrams (UDP_SEGMENT); none without UDP.
    pub gso_fallbacks: Option<u64>,
}

/// What a worker knows of a tunnel's security associations.
#[derive(Clone, Copy, Debug)]
pub struct IpsecReading {
    /// Outbound index.
    pub spi_out: Option<Spi>,
    /// Inbound index of the newest association.
    pub spi_in: Option<Spi>,
    /// The number of the next packet, and how many more are reserved.
    pub next_seq: u64,
    /// See there.
    pub numbers_left: u64,
    /// The greatest number accepted.
    pub edge: u64,
}

/// What a worker saw of a peer, and when.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// What.
    pub event: Event,
    /// When.
    pub at: Instant,
}

/// What a worker tells the daemon itself.
#[derive(Debug)]
pub enum WorkerNotice {
    /// An event that changes nothing on the interface.
    Seen(TunnelId, Notice),
    /// A router on the path takes no larger packet, and quoted one of ours.
    PathMtu(TunnelId, u16),
    /// The device refuses coalesced packets (false), or is tried again (true).
    Coalescing(TunnelId, bool),
    /// The kernel refuses to cut trains into datagrams (false), or is tried again (true).
    Segmentation(TunnelId, bool),
    /// Fewer than half a block of reserved sequence numbers are left.
    SequenceLow(TunnelId),
    /// A soft limit of a security association was passed: true of the outbound one.
    SaOld(TunnelId, bool),
    /// The peer was heard from another address, which is used from now on.
    PeerMoved(TunnelId, SocketAddr),
}

/// What makes a packet a certain tunnel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A GRE packet from that address with that key.
    Gre(Option<NetnsId>, IpAddr, Option<GreKey>),
    /// An ESP packet with that index.
    Esp(Option<NetnsId>, Spi),
}

/// What a worker is asked to do.
#[derive(Debug)]
enum Command {
    Add(Box<NewTunnel>),
    Remove(TunnelId, oneshot::Sender<()>),
    Read(TunnelId, oneshot::Sender<Reading>),
    Attach(TunnelId, Arc<TunDevice>),
    Detach(TunnelId),
    SetPath(TunnelId, Option<(Path, SocketOffer)>),
    ProbePreferred(TunnelId, Path, Duration, SocketOffer),
    SetPathMtu(TunnelId, u16),
    SetMssClamp(TunnelId, MssClamp),
    SetTfc(TunnelId, u16),
    ExtendSequence(TunnelId, u64),
    Ike(TunnelId, IkeCommand),
    Listen(Option<NetnsId>, Family, u16, Arc<UdpSocket>),
    Foreign(Claim, bool),
    Stop,
}

/// What IKE has a worker do with a tunnel.
#[derive(Debug)]
enum IkeCommand {
    Install(Box<NewPair>),
    SendBy(Spi),
    Retire(Spi, bool),
    Alive,
    Follow(SocketAddr),
    Down(DownReason),
}
