//! The lane's thread: what comes in, what goes out, and in which order.
//!
//! A turn: what the daemon and the workers posted, sockets (a bounded number of datagrams each), timers. After each of them everything
//! that the endpoint has to say is carried out, events before transmits.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use adit_proto::ike::{
    Command, CommandError, EndpointConfig, IkeCounters, IkeState, Path, Random, What,
};
use rustix::event::{Timespec, epoll};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::endpoints::Endpoints;
use super::pair::{ChildPolicy, Peer};
use super::places::{Arrived, Places};
use super::{
    Act, Agreement, IkeCommand, IkeNotice, NewConnection, Version, asking, connection, trace,
};
use crate::control::TraceLine;
use crate::dataplane::{FromWorker, IkeDatagram, IkeSource, Plane, TunnelId};
use crate::io::netns::NetnsId;

/// What epoll says of a descriptor: the index of a socket, or one of these.
const COMMANDS: u64 = u64::MAX;
const WORKERS: u64 = u64::MAX - 1;
/// Readiness that one `epoll_wait` reports.
const EVENTS: usize = 64;
/// Messages of workers that one turn takes.
const TURN_MESSAGES: usize = 256;
/// Notices that wait for a daemon that is far behind.
const NOTICES_MAX: usize = 1 << 16;
/// How soon they are tried again.
const NOTICE_RETRY: Duration = Duration::from_millis(10);

/// Where the lane gets its work.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) commands: Receiver<IkeCommand>,
    pub(super) wake: Arc<OwnedFd>,
    pub(super) from_workers: IkeSource,
}

/// A tunnel on the lane.
pub(super) struct Tunnel {
    pub(super) name: Arc<str>,
    pub(super) netns: Option<NetnsId>,
    pub(super) version: Version,
    pub(super) policy: ChildPolicy,
    pub(super) peer: Peer,
    pub(super) wakes: bool,
    /// It is shut because nobody used it.
    pub(super) is_idle: bool,
    /// When it was told last that the peer was refused.
    pub(super) refused_at: Option<Instant>,
}

/// The thread's possessions.
pub(super) struct Lane {
    epoll: OwnedFd,
    config: EndpointConfig,
    mailbox: Mailbox,
    pub(super) plane: Plane,
    notices: mpsc::Sender<IkeNotice>,
    /// What the daemon has no room for yet.
    waiting: VecDeque<IkeNotice>,
    traces: broadcast::Sender<TraceLine>,
    endpoints: BTreeMap<Option<NetnsId>, Endpoints>,
    places: Places,
    pub(super) tunnels: BTreeMap<TunnelId, Tunnel>,
    /// Who waits to hear whether another peer of the tunnel is there.
    pub(super) asks: BTreeMap<TunnelId, oneshot::Sender<bool>>,
    /// More than a turn's messages of workers waited.
    backlog: bool,
    stopping: bool,
}

/// Random octets of the system.
pub(super) struct System;

impl Random for System {
    fn fill(&mut self, out: &mut [u8]) {
        if adit_crypto::random(out).is_err() {
            tracing::error!("the system gives no random octets: IKE cannot go on without them");
            std::process::abort();
        }
    }
}

impl Lane {
    pub(super) fn new(
        config: EndpointConfig,
        mailbox: Mailbox,
        plane: Plane,
        notices: mpsc::Sender<IkeNotice>,
        traces: broadcast::Sender<TraceLine>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (fd, data) in [
            (std::os::fd::AsFd::as_fd(&mailbox.wake), COMMANDS),
            (mailbox.from_workers.fd(), WORKERS),
        ] {
            let data = epoll::EventData::new_u64(data);
            epoll::add(&epoll, fd, data, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            config,
            mailbox,
            plane,
            notices,
            waiting: VecDeque::new(),
            traces,
            endpoints: BTreeMap::new(),
            places: Places::new(),
            tunnels: BTreeMap::new(),
            asks: BTreeMap::new(),
            backlog: false,
            stopping: false,
        })
    }

    /// Turns until told to stop.
    pub(super) fn run(mut self) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        let mut arrived = Vec::new();
        while !self.stopping {
            let timeout = self.until_due();
            match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
                Ok((ready, _)) => {
                    for event in ready.iter() {
                        match event.data.u64() {
                            COMMANDS => self.take_commands(),
                            WORKERS => self.take_from_workers(),
                            index => self.take_from_socket(index, &mut arrived),
                        }
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "epoll failed: IKE stops");
                    return;
                }
            }
            if self.backlog {
                self.take_from_workers();
            }
            self.expire_timers();
            self.flush_notices();
        }
    }

    fn until_due(&self) -> Option<Timespec> {
        let now = Instant::now();
        let due = self
            .endpoints
            .values()
            .filter_map(Endpoints::poll_timeout)
            .map(|at| at.saturating_duration_since(now));
        let backlog = self.backlog.then_some(Duration::ZERO);
        let retry = (!self.waiting.is_empty()).then_some(NOTICE_RETRY);
        due.chain(retry)
            .chain(backlog)
            .min()
            .and_then(|left| Timespec::try_from(left).ok())
    }

    fn expire_timers(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .endpoints
            .iter()
            .filter(|(_, endpoints)| endpoints.poll_timeout().is_some_and(|at| at <= now))
            .map(|(&netns, _)| netns)
            .collect();
        for netns in due {
            self.drive(netns, |endpoints| endpoints.handle_timeout(now));
        }
    }

    fn take_commands(&mut self) {
        let mut count = [0; 8];
        // Nothing to read means that another turn has read it: the queue tells what is there.
        let _ = rustix::io::read(&*self.mailbox.wake, &mut count);
        while let Ok(command) = self.mailbox.commands.try_recv() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: IkeCommand) {
        match command {
            IkeCommand::Listen(place, socket) => {
                if let Err(error) = self.places.insert(place, socket, &self.epoll) {
                    tracing::error!(%error, port = place.port, "IKE does not listen");
                }
            }
            IkeCommand::Add(id, new) => self.add(id, *new),
            IkeCommand::Remove(id, done) => {
                self.remove(id);
                // Nobody waits any more when the daemon is stopping.
                let _ = done.send(());
            }
            IkeCommand::Act(id, act, reply) => {
                let done = self.act(id, act);
                if let Some(reply) = reply {
                    let _ = reply.send(done);
                } else if let Err(why) = done {
                    self.trace(Some(id), format!("refused: {why}"));
                }
            }
            IkeCommand::Ask(id, agreement, path, reply) => self.ask(id, agreement, path, reply),
            IkeCommand::Status(id, reply) => {
                let status = self
                    .endpoints(id)
                    .and_then(|endpoints| endpoints.status(connection(id), Instant::now()));
                if let Some(status) = status {
                    // The one who asked may have lost patience.
                    let _ = reply.send(Box::new(status));
                }
            }
            IkeCommand::Counters(reply) => {
                let mut sum = IkeCounters::default();
                let each = self.endpoints.values().map(Endpoints::counters);
                each.for_each(|counters| sum.add(counters));
                // The one who asked may have lost patience.
                let _ = reply.send(sum);
            }
            IkeCommand::Stop(done) => {
                self.stopping = true;
                let _ = done.send(());
            }
        }
    }

    fn add(&mut self, id: TunnelId, new: NewConnection) {
        let netns = new.netns;
        let config = self.config;
        self.endpoints
            .entry(netns)
            .or_insert_with(|| Endpoints::new(config));
        let tunnel = Tunnel {
            name: new.name,
            netns,
            version: new.agreement.version(),
            policy: new.policy,
            peer: Peer::default(),
            wakes: new.wakes,
            is_idle: false,
            refused_at: None,
        };
        self.tunnels.insert(id, tunnel);
        let now = Instant::now();
        let to = connection(id);
        let added = self.on(id, |endpoints, _| endpoints.add(now, to, new.agreement));
        if let Err(why) = added {
            self.trace(Some(id), format!("not added: {why}"));
        }
    }

    /// Lets go of a tunnel, and of the peer that is only asked: else nobody would keep what it answers from being gone on with.
    fn remove(&mut self, id: TunnelId) {
        let asked = self.asks.remove(&id).map(|_| asking(id));
        for connection in asked.into_iter().chain([connection(id)]) {
            if let Err(error) = self.command(id, Command::Remove(connection)) {
                tracing::debug!(tunnel = %id, error, "IKE did not know it");
            }
        }
        self.tunnels.remove(&id);
    }

    /// Begins an IKE SA with another peer of a tunnel, to see whether it answers; what asked before is overtaken.
    fn ask(
        &mut self,
        id: TunnelId,
        agreement: Agreement,
        path: Path,
        reply: oneshot::Sender<bool>,
    ) {
        let to = asking(id);
        let now = Instant::now();
        let begun = self
            .on(id, |endpoints, _| endpoints.add(now, to, agreement))
            .and_then(|()| self.command(id, Command::Initiate(to, path)));
        match (begun, self.tunnels.contains_key(&id)) {
            (Ok(()), true) => {
                self.asks.insert(id, reply);
            }
            _ => {
                // Nobody waits any more when the daemon is stopping.
                let _ = reply.send(false);
            }
        }
    }

    fn act(&mut self, id: TunnelId, act: Act) -> Result<(), String> {
        let to = connection(id);
        let command = match act {
            Act::SetRemotes(remotes) => Command::SetRemotes(to, remotes),
            Act::Initiate(path) => Command::Initiate(to, path),
            Act::Clear => Command::Clear(to),
            Act::Idle => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.is_idle = true;
                }
                Command::Clear(to)
            }
            Act::Dead => Command::Dead(to),
            Act::RekeyIke => Command::Rekey(to, What::Ike),
            Act::RekeyChild => Command::Rekey(to, What::Child),
        };
        self.command(id, command)
    }

    pub(super) fn command(&mut self, id: TunnelId, command: Command) -> Result<(), String> {
        let now = Instant::now();
        self.on(id, |endpoints, version| {
            endpoints.handle_command(now, version, command)
        })
    }

    /// Does something for a tunnel, and carries out what comes of it.
    fn on(
        &mut self,
        id: TunnelId,
        act: impl FnOnce(&mut Endpoints, Version) -> Result<(), CommandError>,
    ) -> Result<(), String> {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return Err("no such tunnel".to_owned());
        };
        let (netns, version) = (tunnel.netns, tunnel.version);
        let mut result = Ok(());
        self.drive(netns, |endpoints| {
            result = act(endpoints, version).map_err(|error| error.to_string());
        });
        result
    }

    fn endpoints(&self, id: TunnelId) -> Option<&Endpoints> {
        let netns = self.tunnels.get(&id)?.netns;
        self.endpoints.get(&netns)
    }

    fn take_from_workers(&mut self) {
        self.mailbox.from_workers.acknowledge();
        self.backlog = false;
        for _ in 0..TURN_MESSAGES {
            let Some(message) = self.mailbox.from_workers.take() else {
                return;
            };
            let (id, command) = match message {
                FromWorker::Datagram(datagram) => {
                    self.take_datagram(datagram);
                    continue;
                }
                FromWorker::Probe(id) => (id, Command::Probe(connection(id))),
                FromWorker::Aged(id, spi) => (id, Command::ChildAged(connection(id), spi)),
                FromWorker::Rebuild(id) => (id, Command::RebuildChild(connection(id))),
                FromWorker::Moved(id, peer) => (id, Command::Moved(connection(id), peer)),
                FromWorker::Traffic(id) => {
                    self.notify(IkeNotice::Traffic(id));
                    continue;
                }
                FromWorker::Unused(id) => {
                    self.notify(IkeNotice::Unused(id));
                    continue;
                }
            };
            if let Err(why) = self.command(id, command) {
                self.trace(Some(id), format!("worker's wish refused: {why}"));
            }
        }
        self.backlog = true;
    }

    /// A message of a port that a worker reads. Where the system did not tell our address nothing can be said of it.
    fn take_datagram(&mut self, datagram: IkeDatagram) {
        let Some(local) = datagram.local else { return };
        let path = Path {
            local: SocketAddr::new(local, datagram.port),
            remote: datagram.remote,
        };
        let now = Instant::now();
        self.drive(datagram.netns, |endpoints| {
            endpoints.handle_datagram(now, path, &datagram.octets);
        });
    }

    fn take_from_socket(&mut self, index: u64, arrived: &mut Vec<Arrived>) {
        let Ok(index) = usize::try_from(index) else {
            return;
        };
        self.places.receive(index, arrived);
        for message in arrived.drain(..) {
            let now = Instant::now();
            self.drive(message.netns, |endpoints| {
                endpoints.handle_datagram(now, message.path, &message.octets);
            });
        }
    }

    /// Has the endpoints of a namespace do something, and carries out what they say of it: all events, then all transmits.
    fn drive(&mut self, netns: Option<NetnsId>, step: impl FnOnce(&mut Endpoints)) {
        let Some(endpoints) = self.endpoints.get_mut(&netns) else {
            return;
        };
        endpoints.tell_time();
        step(endpoints);
        let mut events = Vec::new();
        while let Some(event) = endpoints.poll_event() {
            events.push(event);
        }
        let answered = answered(endpoints, &self.asks);
        let is_enough = |octets: &[u8]| {
            let mut spis = answered.iter().map(|(_, spi_i)| spi_i.to_be_bytes());
            spis.any(|spi_i| octets.starts_with(&spi_i))
        };
        let mut transmits = Vec::new();
        while let Some(transmit) = endpoints.poll_transmit() {
            // With our proof the one who is asked would take us for its peer of before, and let go of what is in use.
            if !is_enough(&transmit.octets) {
                transmits.push(transmit);
            }
        }
        self.carry_out_all(netns, events);
        for (id, _) in answered {
            self.answer(id, true);
        }
        for transmit in transmits {
            if let Err(error) = self.places.send(netns, transmit.path, &transmit.octets) {
                let remote = transmit.path.remote;
                self.trace(None, format!("not sent to {remote}: {error}"));
            }
        }
    }

    /// A line for the log and for those who follow the tunnel.
    pub(super) fn trace(&self, id: Option<TunnelId>, line: String) {
        let known = id.and_then(|id| self.tunnels.get(&id));
        trace(&self.traces, known.map(|it| &*it.name), line);
    }

    pub(super) fn notify(&mut self, notice: IkeNotice) {
        if self.waiting.len() < NOTICES_MAX {
            self.waiting.push_back(notice);
        } else {
            tracing::error!("a notice of the IKE lane was lost");
        }
        self.flush_notices();
    }

    fn flush_notices(&mut self) {
        while let Some(notice) = self.waiting.pop_front() {
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(notice)) => {
                    return self.waiting.push_front(notice);
                }
                // The daemon stops.
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }
}

/// Those that answered the first requests of the ones that are only asked, with our SPI.
fn answered(
    endpoints: &Endpoints,
    asks: &BTreeMap<TunnelId, oneshot::Sender<bool>>,
) -> Vec<(TunnelId, u64)> {
    let now = Instant::now();
    asks.keys()
        .filter_map(|&id| {
            let status = endpoints.status(asking(id), now)?;
            (status.state == IkeState::Auth).then_some((id, status.spi_i))
        })
        .collect()
}
