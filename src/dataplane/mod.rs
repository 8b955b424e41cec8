//! The data plane: workers that run each packet to completion.
//!
//! Who owns what. A worker is one thread with one epoll. It alone owns its outer sockets, its receive and send buffers, its timers and,
//! of each of its tunnels, the encapsulation, the decapsulation, the liveness and the counters' cell. A tunnel belongs to one worker for
//! its life (`tunnel number mod workers`), so nothing on the path is locked or handed over. Two things are shared: the TUN device (the
//! link lane sets its carrier) and the counters (one writer, relaxed loads by readers). Commands come through a bounded mailbox and an eventfd, verdicts leave to the link lane, everything else
//! to the daemon; a worker never waits for either.

mod errors;
mod inbound;
mod keepalive;
mod members;
mod outbound;
mod outbox;
mod pin;
mod plane;
mod table;
mod tunnel;
mod worker;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use adit_proto::counters::Counters;
use adit_proto::liveness::{Event, LivenessConfig, Path, Status};
use adit_proto::offload::Coalescing;
use adit_proto::tunnel::{MssClamp, Parameters};
use adit_proto::wire::gre::GreKey;
use tokio::sync::oneshot;

use crate::io::netns::NetnsId;
use crate::io::raw::{Family, RawSocket, SendSocket};
use crate::io::tun::TunDevice;

pub use plane::Plane;

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
}

/// The sockets for a path: one to send by, and one to receive by for a worker that may have none yet in that namespace, of that family.
#[derive(Debug)]
pub struct SocketOffer {
    /// The namespace; none is the daemon's own.
    pub netns: Option<NetnsId>,
    /// The family of the outer addresses.
    pub family: Family,
    /// Receives the packets of every tunnel there; dropped where the worker has one.
    pub raw: RawSocket,
    /// Sends to the peer of this path.
    pub sender: SendSocket,
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
    Foreign {
        netns: Option<NetnsId>,
        remote: IpAddr,
        key: Option<GreKey>,
        known: bool,
    },
    Stop,
}
