//! The daemon's hand on the workers: bounded mailboxes, each with an eventfd that wakes its worker.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use adit_proto::counters::Counters;
use adit_proto::liveness::{DownReason, Path};
use adit_proto::tunnel::MssClamp;
use adit_proto::wire::esp::Spi;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{mpsc, oneshot};

use super::pin;
use super::worker::{Worker, WorkerConfig};
use super::{
    Claim, Command, IkeCommand, IkeSink, NewPair, NewTunnel, Reading, SocketOffer, TunnelId,
    WorkerNotice,
};
use crate::config::Pin;
use crate::io::netns::NetnsId;
use crate::io::raw::Family;
use crate::io::tun::TunDevice;
use crate::io::udp::UdpSocket;
use crate::links::LinkSender;

/// Commands that may wait in a worker's mailbox; the sender waits beyond that.
const QUEUED_COMMANDS: usize = 256;

/// How long a worker may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Mailbox {
    commands: SyncSender<Command>,
    wake: OwnedFd,
    /// A worker that is at work looks here after each receive.
    has_mail: Arc<AtomicBool>,
    unassigned: Arc<Counters>,
}

/// All workers.
#[derive(Clone, Debug)]
pub struct Plane {
    mailboxes: Arc<[Mailbox]>,
}

impl Plane {
    /// Starts `workers` threads, pinned as `pin` says; each looks for more work for `busy_poll` before it sleeps.
    ///
    /// # Errors
    /// What the system says when it gives no thread, epoll or eventfd.
    pub fn start(
        workers: u16,
        pins: &Pin,
        busy_poll: Duration,
        links: &LinkSender,
        notices: &mpsc::Sender<WorkerNotice>,
        ike: &IkeSink,
    ) -> io::Result<Self> {
        let cpus = pin::choose(pins)?;
        let mailboxes = (0..workers.max(1)).map(|number| {
            let (commands, mailbox) = sync_channel(QUEUED_COMMANDS);
            let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let unassigned = Arc::new(Counters::default());
            let has_mail = Arc::new(AtomicBool::new(false));
            let worker = Worker::new(WorkerConfig {
                commands: mailbox,
                wake: wake.try_clone()?,
                links: links.clone(),
                notices: notices.clone(),
                unassigned: unassigned.clone(),
                ike: ike.clone(),
                has_mail: has_mail.clone(),
                busy_poll,
            })?;
            let cpu = cpus.get(usize::from(number) % cpus.len().max(1)).copied();
            std::thread::Builder::new()
                .name(format!("adit-worker-{number}"))
                .spawn(move || {
                    if let Some(cpu) = cpu
                        && let Err(error) = pin::pin_thread(cpu)
                    {
                        tracing::warn!(cpu, %error, "the worker runs unpinned");
                    }
                    worker.run();
                })?;
            Ok(Mailbox {
                commands,
                wake,
                has_mail,
                unassigned,
            })
        });
        Ok(Self {
            mailboxes: mailboxes.collect::<io::Result<_>>()?,
        })
    }

    /// Counters of the packets that belong to no tunnel, one cell a worker.
    pub fn unassigned(&self) -> impl Iterator<Item = &Counters> {
        self.mailboxes.iter().map(|mailbox| &*mailbox.unassigned)
    }

    /// Gives a tunnel to its worker.
    pub fn add(&self, tunnel: NewTunnel) {
        self.post(tunnel.id, Command::Add(Box::new(tunnel)));
    }

    /// Takes a tunnel from its worker and waits until that has let go of it.
    pub async fn remove(&self, tunnel: TunnelId) {
        let (done, removed) = oneshot::channel();
        self.post(tunnel, Command::Remove(tunnel, done));
        // An error says that the worker is gone, and the tunnel with it.
        let _ = removed.await;
    }

    /// What the worker knows of a tunnel; none when it does not have it, or does not answer within a second.
    pub async fn read(&self, tunnel: TunnelId) -> Option<Reading> {
        let (reply, reading) = oneshot::channel();
        self.post(tunnel, Command::Read(tunnel, reply));
        tokio::time::timeout(PATIENCE, reading).await.ok()?.ok()
    }

    /// Gives a tunnel its device.
    pub fn attach(&self, tunnel: TunnelId, device: Arc<TunDevice>) {
        self.post(tunnel, Command::Attach(tunnel, device));
    }

    /// Takes a tunnel's device away.
    pub fn detach(&self, tunnel: TunnelId) {
        self.post(tunnel, Command::Detach(tunnel));
    }

    /// Sends a tunnel by another way, or by none. Nothing happens if it goes that way already.
    pub fn set_path(&self, tunnel: TunnelId, path: Option<(Path, SocketOffer)>) {
        self.post(tunnel, Command::SetPath(tunnel, path));
    }

    /// Probes the preferred remote beside the one in use.
    pub fn probe_preferred(
        &self,
        tunnel: TunnelId,
        path: Path,
        steady: Duration,
        socket: SocketOffer,
    ) {
        self.post(
            tunnel,
            Command::ProbePreferred(tunnel, path, steady, socket),
        );
    }

    /// Says how large an outer packet may be.
    pub fn set_path_mtu(&self, tunnel: TunnelId, octets: u16) {
        self.post(tunnel, Command::SetPathMtu(tunnel, octets));
    }

    /// Says up to how many octets ESP payloads are padded.
    pub fn set_tfc(&self, tunnel: TunnelId, octets: u16) {
        self.post(tunnel, Command::SetTfc(tunnel, octets));
    }

    /// Says up to which sequence number the outbound association may go.
    pub fn extend_sequence(&self, tunnel: TunnelId, last: u64) {
        self.post(tunnel, Command::ExtendSequence(tunnel, last));
    }

    /// Gives a tunnel a pair of associations. A packet by the inbound one that is received after this call finds it.
    pub fn install(&self, tunnel: TunnelId, pair: Box<NewPair>) {
        self.post(tunnel, Command::Ike(tunnel, IkeCommand::Install(pair)));
    }

    /// Sends by the pair with that inbound index from now on.
    pub fn send_by(&self, tunnel: TunnelId, spi_in: Spi) {
        self.post(tunnel, Command::Ike(tunnel, IkeCommand::SendBy(spi_in)));
    }

    /// Takes the pair with that inbound index away: after a time of grace where another has replaced it, else at once.
    pub fn retire(&self, tunnel: TunnelId, spi_in: Spi, replaced: bool) {
        self.post(
            tunnel,
            Command::Ike(tunnel, IkeCommand::Retire(spi_in, replaced)),
        );
    }

    /// Says that the peer of a tunnel sent a fresh, authenticated IKE message.
    pub fn alive(&self, tunnel: TunnelId) {
        self.post(tunnel, Command::Ike(tunnel, IkeCommand::Alive));
    }

    /// Says where a fresh, authenticated IKE message of the peer of a tunnel came from, behind its NAT.
    pub fn follow(&self, tunnel: TunnelId, peer: SocketAddr) {
        self.post(tunnel, Command::Ike(tunnel, IkeCommand::Follow(peer)));
    }

    /// Takes all associations that IKE made from a tunnel, which is down until there is a new one.
    pub fn ike_down(&self, tunnel: TunnelId, reason: DownReason) {
        self.post(tunnel, Command::Ike(tunnel, IkeCommand::Down(reason)));
    }

    /// Has the worker of tunnels in UDP read a socket that IKE listens on too, whether or not a tunnel uses it yet.
    pub fn listen(
        &self,
        netns: Option<NetnsId>,
        family: Family,
        port: u16,
        socket: Arc<UdpSocket>,
    ) {
        if let Some(mailbox) = self.mailboxes.first() {
            mailbox.post(Command::Listen(netns, family, port, socket));
        }
    }

    /// Says what TCP's maximum segment size is lowered to, both ways.
    pub fn set_mss_clamp(&self, tunnel: TunnelId, clamp: MssClamp) {
        self.post(tunnel, Command::SetMssClamp(tunnel, clamp));
    }

    /// Tells the other workers which packets are `tunnel`'s: every raw socket gets a copy, and theirs is no stranger's.
    pub fn tell_others(&self, tunnel: TunnelId, claims: &[Claim], known: bool) {
        let owner = self.owner(tunnel);
        for (number, mailbox) in self.mailboxes.iter().enumerate() {
            if number != owner {
                for &claim in claims {
                    mailbox.post(Command::Foreign(claim, known));
                }
            }
        }
    }

    /// Ends the workers.
    pub fn stop(&self) {
        for mailbox in self.mailboxes.iter() {
            mailbox.post(Command::Stop);
        }
    }

    fn owner(&self, tunnel: TunnelId) -> usize {
        tunnel.0 as usize % self.mailboxes.len().max(1)
    }

    fn post(&self, tunnel: TunnelId, command: Command) {
        if let Some(mailbox) = self.mailboxes.get(self.owner(tunnel)) {
            mailbox.post(command);
        }
    }
}

impl Mailbox {
    fn post(&self, command: Command) {
        if self.commands.send(command).is_ok() && !self.has_mail.swap(true, Ordering::AcqRel) {
            // A full counter wakes the worker as well as one more.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }
}
