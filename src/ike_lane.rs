//! The IKE lane: the one thread that drives the state machines of IKE, apart from the packet path and from the control plane.
//!
//! Itinerary of a message: UDP 500 is read here, what comes on the port that ESP shares is handed over by the worker that reads it
//! → `adit_proto::ike::Endpoint`, or `adit_proto::ikev1::Endpoint` by the version, one for each namespace of sockets → first what it says of security associations goes to the tunnel's
//! worker, then what it sends leaves: an association is always known before the peer can use it. All else goes to the daemon.

mod endpoints;
mod events;
mod lane;
mod pair;
mod places;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use adit_crypto::Suite;
use adit_proto::ike::{self, Connection, ConnectionId, IkeCounters, IkeInfo, IkeStatus, Retired};
use adit_proto::ikev1;
use adit_proto::wire::esp::Spi;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::control::TraceLine;
use crate::dataplane::{IkeSource, Plane, TunnelId};
use crate::io::netns::NetnsId;
use crate::io::raw::Family;
use crate::io::udp::UdpSocket;

pub use pair::ChildPolicy;

/// Commands that may wait; the daemon waits beyond that.
const QUEUED_COMMANDS: usize = 1024;
/// Sets the connections that only ask apart; tunnels are far fewer.
const ASKING: u32 = 1 << 31;
/// How long the lane may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is agreed upon with a tunnel's peer, by the version of IKE.
#[derive(Debug)]
pub enum Agreement {
    /// RFC 2409.
    V1(Box<ikev1::Connection>),
    /// RFC 7296.
    V2(Box<Connection>),
}

/// A major version of IKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Agreement {
    const fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2(_) => Version::V2,
        }
    }
}

/// A tunnel as the lane takes it over.
#[derive(Debug)]
pub struct NewConnection {
    /// Its name, for trace lines.
    pub name: Arc<str>,
    /// Where its sockets live; none is the daemon's own namespace.
    pub netns: Option<NetnsId>,
    /// What is agreed upon with its peer.
    pub agreement: Agreement,
    /// What the worker is told of its security associations besides what IKE agreed upon.
    pub policy: ChildPolicy,
    /// Whether traffic brings it up: when the peer deletes its associations, its interface goes on to take packets.
    pub wakes: bool,
}

/// A socket that IKE sends by.
#[derive(Debug)]
pub enum IkeSocket {
    /// Of IKE alone (port 500): the lane reads it.
    Own(Box<UdpSocket>),
    /// Shared with ESP (port 4500): a worker reads it, and messages carry the non-ESP marker (RFC 3948 section 2.2).
    Shared(Arc<UdpSocket>),
}

/// Where IKE listens: a port of a namespace and family has one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The namespace; none is the daemon's own.
    pub netns: Option<NetnsId>,
    /// The family of the outer addresses.
    pub family: Family,
    /// The UDP port.
    pub port: u16,
}

/// What the lane is asked to do.
#[derive(Debug)]
pub enum IkeCommand {
    /// Listens and sends there from now on.
    Listen(Place, IkeSocket),
    /// Takes a tunnel over; it may be reached, and initiates when it is told to.
    Add(TunnelId, Box<NewConnection>),
    /// Lets go of a tunnel, whose associations are deleted.
    Remove(TunnelId, oneshot::Sender<()>),
    /// Does that for the tunnel, and says why it cannot.
    Act(TunnelId, Act, Option<oneshot::Sender<Result<(), String>>>),
    /// Whether a peer is there: an IKE SA is begun with it over that path, up to our proof.
    Ask(TunnelId, Agreement, ike::Path, oneshot::Sender<bool>),
    /// How the tunnel's associations stand is to be told.
    Status(TunnelId, oneshot::Sender<Box<IkeStatus>>),
    /// What was counted in all namespaces is to be told.
    Counters(oneshot::Sender<IkeCounters>),
    /// Ends the lane, once what was asked before is sent.
    Stop(oneshot::Sender<()>),
}

/// What is done for one tunnel.
#[derive(Clone, Debug)]
pub enum Act {
    /// Who may initiate.
    SetRemotes(Option<Vec<std::net::IpAddr>>),
    /// Begins with a peer.
    Initiate(ike::Path),
    /// Deletes all associations, and tells the peer.
    Clear,
    /// The same for want of traffic.
    Idle,
    /// Forgets the associations with a peer that is dead.
    Dead,
    /// Makes new keys for the IKE SA.
    RekeyIke,
    /// Makes new keys for the child SA.
    RekeyChild,
}

/// What the daemon learns of a pair of child SAs; their keys went to the worker.
#[derive(Clone, Debug)]
pub struct ChildUp {
    /// Inbound index.
    pub spi_in: Spi,
    /// What seals the packets.
    pub suite: Suite,
    /// Between which addresses, and in UDP or not.
    pub path: ike::Path,
    /// Whether it is in UDP.
    pub is_udp: bool,
    /// Whether the peer agreed to transport mode, or tunnel mode was agreed upon.
    pub mode: ike::ChildMode,
    /// Whether it replaces an older pair.
    pub is_rekey: bool,
    /// The selectors as they were narrowed, in words: ours, the peer's.
    pub selectors: (String, String),
}

/// What the lane tells the daemon.
#[derive(Debug)]
pub enum IkeNotice {
    /// An IKE SA is up, or a new one has replaced the one before.
    Established(TunnelId, Box<IkeInfo>),
    /// A pair of child SAs is installed.
    ChildUp(TunnelId, Box<ChildUp>),
    /// A pair goes.
    ChildRetired(TunnelId, Spi, Retired),
    /// All associations are gone, and why.
    Down(TunnelId, ike::DownWhy),
    /// What an Easy VPN server assigned.
    Configured(TunnelId, Box<ikev1::Assigned>),
    /// An attempt of ours ended, and why.
    Failed(TunnelId, ike::Failure),
    /// What the peer, or somebody at its address, asked for was refused, and why.
    Refused(TunnelId, ike::Failure),
    /// A pair was agreed upon that cannot be used, and why.
    Unusable(TunnelId, String),
    /// Packets wait for a tunnel that has no association.
    Traffic(TunnelId),
    /// No user data passed a tunnel for its time.
    Unused(TunnelId),
    /// The peer's address changed.
    PeerMoved(TunnelId, ike::Path),
}

/// The daemon's hand on the lane.
#[derive(Clone, Debug)]
pub struct IkeLane {
    commands: SyncSender<IkeCommand>,
    wake: Arc<OwnedFd>,
    traces: broadcast::Sender<TraceLine>,
}

impl IkeLane {
    /// Starts the lane's thread.
    ///
    /// # Errors
    /// What the system says when it gives no thread, epoll or eventfd.
    pub fn start(
        config: ike::EndpointConfig,
        from_workers: IkeSource,
        plane: Plane,
        notices: mpsc::Sender<IkeNotice>,
        traces: broadcast::Sender<TraceLine>,
    ) -> io::Result<Self> {
        let (commands, queue): (_, Receiver<IkeCommand>) = sync_channel(QUEUED_COMMANDS);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mailbox = lane::Mailbox {
            commands: queue,
            wake: wake.clone(),
            from_workers,
        };
        let lane = lane::Lane::new(config, mailbox, plane, notices, traces.clone())?;
        std::thread::Builder::new()
            .name("adit-ike".to_owned())
            .spawn(move || lane.run())?;
        Ok(Self {
            commands,
            wake,
            traces,
        })
    }

    /// Posts a command. The lane never waits for the daemon, so that the daemon may wait for the lane.
    pub fn post(&self, command: IkeCommand) {
        if self.commands.send(command).is_ok() {
            // A full counter wakes the lane as well as one more.
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Does something for a tunnel, and tells nobody when it cannot be done.
    pub fn act(&self, tunnel: TunnelId, act: Act) {
        self.post(IkeCommand::Act(tunnel, act, None));
    }

    /// Does something for a tunnel.
    ///
    /// # Errors
    /// Why it cannot be done, in words.
    pub async fn ask(&self, tunnel: TunnelId, act: Act) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.post(IkeCommand::Act(tunnel, act, Some(reply)));
        answer
            .await
            .unwrap_or_else(|_| Err("the IKE lane stopped".to_owned()))
    }

    /// Lets go of a tunnel, and waits until its associations are gone.
    pub async fn remove(&self, tunnel: TunnelId) {
        let (done, removed) = oneshot::channel();
        self.post(IkeCommand::Remove(tunnel, done));
        // An error says that the lane is gone, and the tunnel with it.
        let _ = removed.await;
    }

    /// How the tunnel's associations stand; none when it has none, or the lane does not answer within a second.
    pub async fn status(&self, tunnel: TunnelId) -> Option<Box<IkeStatus>> {
        let (reply, status) = oneshot::channel();
        self.post(IkeCommand::Status(tunnel, reply));
        tokio::time::timeout(PATIENCE, status).await.ok()?.ok()
    }

    /// What was counted for all tunnels; none when the lane does not answer within a second.
    pub async fn counters(&self) -> Option<IkeCounters> {
        let (reply, counters) = oneshot::channel();
        self.post(IkeCommand::Counters(reply));
        tokio::time::timeout(PATIENCE, counters).await.ok()?.ok()
    }

    /// Adds a line to what the log and those who follow the tunnel see.
    pub fn trace(&self, tunnel: &str, line: String) {
        trace(&self.traces, Some(tunnel), line);
    }

    /// Ends the lane, and waits until what was asked before is sent.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        self.post(IkeCommand::Stop(done));
        // An error says that it is gone.
        let _ = stopped.await;
    }
}

fn trace(traces: &broadcast::Sender<TraceLine>, tunnel: Option<&str>, line: String) {
    tracing::debug!(tunnel, "{line}");
    // Nobody listens as long as nobody asked for it.
    if traces.receiver_count() > 0 {
        let _ = traces.send(TraceLine::new(tunnel, line, Instant::now()));
    }
}

/// A tunnel is one connection of the same number.
fn connection(tunnel: TunnelId) -> ConnectionId {
    ConnectionId(tunnel.0)
}

/// While another peer is asked, that is a second one.
fn asking(tunnel: TunnelId) -> ConnectionId {
    ConnectionId(tunnel.0 | ASKING)
}
