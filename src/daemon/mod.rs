//! The daemon: one loop that owns every decision about tunnels outside the packet path.
//!
//! It takes requests of control clients, verdicts that the link lane carried out, notices of the workers, addresses from the resolver
//! and changes of routes, one at a time. What takes long runs elsewhere and comes back as a message: names are resolved on a thread of
//! tokio's pool, hooks are child processes, interfaces change on the link lane.

mod easy_vpn;
mod hooks;
mod ike;
mod ipsec;
mod notices;
mod paths;
mod resolve;
mod route;
mod settings;
mod status;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc};

use crate::config::{Config, IkeEndpoint, Start, TunnelConfig};
use crate::control::{self, Bound, Call, Event, Request, Response, SocketError};
use crate::dataplane::{Plane, TunnelId, WorkerNotice, ike_queue};
use crate::ike_lane::{IkeLane, IkeNotice, Place};
use crate::keys::StateError;
use crate::links::{self, GuardFate, Guarded, LinkCommand, LinkNotice, Namespaces};
use easy_vpn::Translator;
use ipsec::Keys;
use paths::{OuterId, Outers};
use tunnel::Managed;

/// Events that a slow client may lag behind before it loses some.
const QUEUED_EVENTS: usize = 4096;
/// Messages of the lanes that may wait for the daemon's loop.
const QUEUED_NOTICES: usize = 4096;
/// Verdicts that may wait for it: all tunnels may die at once, and each death is to be followed by the next remote.
const QUEUED_VERDICTS: usize = 1 << 16;

/// Why the daemon did not start, or stopped.
#[derive(Debug)]
pub enum DaemonError {
    /// The control socket.
    Socket(SocketError),
    /// A tunnel that could not be set up at the start.
    Tunnel(String, String),
    /// The operating system refused something that all tunnels need.
    System(&'static str, io::Error),
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => error.fmt(f),
            Self::Tunnel(name, why) => write!(f, "tunnel {name:?}: {why}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for DaemonError {}

/// Something that arrived for the daemon's loop from a task of its own.
#[derive(Debug)]
enum Message {
    /// An address for a tunnel's attempt of this number, or why there is none.
    Resolved {
        tunnel: TunnelId,
        attempt: u64,
        candidate: usize,
        resolved: Result<IpAddr, resolve::Failure>,
    },
    /// Routes, addresses or MTUs changed in a namespace of sockets.
    PathsChanged(OuterId),
    /// A hook failed.
    HookFailed(TunnelId, String),
    /// The failover machine of a tunnel is due.
    Retry(TunnelId, u64),
    /// A tunnel's interface is to be made again.
    Remake(TunnelId, u64),
    /// What a router said of a tunnel's path is too old to believe.
    ForgetMtu(TunnelId),
    /// Sockets that could not be opened are to be tried again.
    Reroute(TunnelId),
    /// The state of a tunnel's keys cannot be written.
    KeyState(TunnelId, String),
    /// No sequence numbers could be reserved for a tunnel.
    Unreserved(TunnelId, StateError),
    /// That is to be tried again.
    ReserveAgain(TunnelId),
    /// The edges of the receive windows are to be saved.
    SaveEdges,
    /// What an Easy VPN server assigned could not be carried out.
    EasyVpn(TunnelId, String),
    /// Something about a tunnel's IKE.
    Ike(TunnelId, ike::Message),
}

/// Runs the daemon in the foreground until SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`]: nothing is left behind then but guard routes, and these on purpose: what cannot be sealed stays here.
pub fn run(config: Config, socket: Option<PathBuf>) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build()
        .map_err(|error| DaemonError::System("runtime", error))?;
    let socket = socket
        .or_else(|| config.socket.clone())
        .unwrap_or_else(control::default_socket);
    raise_descriptors();
    let result = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let bound = Bound::open(&socket).map_err(DaemonError::Socket)?;
        let mut daemon = tokio::select! {
            started = Daemon::start(config) => started?,
            // What was made so far goes with the process.
            () = signals.recv() => return Ok(()),
        };
        daemon.serve(&bound, &mut signals).await
    });
    // A resolver that hangs on a dead name server must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Takes as many descriptors as the system lets the process have: each tunnel has some.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, "RLIMIT_NOFILE stays as it is");
    }
}

/// What ends the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, DaemonError> {
        let listen = |kind| signal(kind).map_err(|error| DaemonError::System("signals", error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Gives each tunnel a number, and so its worker: those in UDP share sockets and are the first worker's, the others go round.
struct Numbers {
    workers: u32,
    in_udp: u32,
    others: u32,
}

impl Numbers {
    fn new(workers: u16) -> Self {
        Self {
            workers: u32::from(workers.max(1)),
            in_udp: 0,
            others: 0,
        }
    }

    /// What IKE agrees upon may be in UDP too.
    fn give(workers: u16, tunnels: Vec<TunnelConfig>) -> Vec<(TunnelId, TunnelConfig)> {
        let mut numbers = Self::new(workers);
        let number = |tunnel: TunnelConfig| {
            let in_udp = tunnel.udp.is_some() || tunnel.ike.is_some();
            (numbers.next(in_udp), tunnel)
        };
        tunnels.into_iter().map(number).collect()
    }

    fn next(&mut self, in_udp: bool) -> TunnelId {
        // Two rows of numbers: even multiples of the workers for those in UDP, odd ones for the others.
        let (row, worker) = if in_udp {
            self.in_udp += 1;
            (2 * (self.in_udp - 1), 0)
        } else {
            self.others += 1;
            let number = self.others - 1;
            (2 * (number / self.workers) + 1, number % self.workers)
        };
        TunnelId(row * self.workers + worker)
    }
}

/// Makes the guard routes of all tunnels that have some, on a thread that may wait for another adit's start.
async fn guard(tunnels: &[(TunnelId, TunnelConfig)]) -> Result<Namespaces, DaemonError> {
    let guarded = tunnels
        .iter()
        .filter_map(|(id, config)| Guarded::new(*id, config));
    let guarded: Vec<_> = guarded.collect();
    tokio::task::spawn_blocking(move || Namespaces::guard(&guarded))
        .await
        .map_err(|error| DaemonError::System("guard routes", io::Error::other(error)))?
        .map_err(|(tunnel, why)| DaemonError::Tunnel(tunnel, why))
}

struct Daemon {
    plane: Plane,
    links: links::LinkSender,
    outers: Outers,
    tunnels: BTreeMap<TunnelId, Managed>,
    warnings: Vec<String>,
    events: broadcast::Sender<Event>,
    /// What IKE does, for those who asked.
    traces: broadcast::Sender<control::TraceLine>,
    messages: mpsc::Sender<Message>,
    inbox: Inbox,
    /// Where the associations of tunnels with IKE are made, if there are such tunnels.
    ike: Option<IkeLane>,
    /// The ports that it has.
    ike_ports: IkeEndpoint,
    /// Where it has sockets.
    listening: BTreeSet<Place>,
    /// What carries out what Easy VPN servers assign, if there is such a tunnel.
    translator: Option<Translator>,
}

struct Inbox {
    messages: mpsc::Receiver<Message>,
    links: mpsc::Receiver<LinkNotice>,
    workers: mpsc::Receiver<WorkerNotice>,
    ike: mpsc::Receiver<IkeNotice>,
}

impl Daemon {
    async fn start(config: Config) -> Result<Self, DaemonError> {
        let system = |what| move |error| DaemonError::System(what, error);
        let tunnels = Numbers::give(config.workers, config.tunnels);
        // Before anything that can fail: they are to hold also when the start does.
        let namespaces = guard(&tunnels).await?;
        let (message_sender, messages) = mpsc::channel(QUEUED_NOTICES);
        let (link_notices, link_inbox) = mpsc::channel(QUEUED_VERDICTS);
        let (worker_notices, worker_inbox) = mpsc::channel(QUEUED_NOTICES);
        let (links, link_commands) = links::queue();
        let (to_ike, from_workers) = ike_queue().map_err(system("IKE queue"))?;
        let (ike_notices, ike_inbox) = mpsc::channel(QUEUED_NOTICES);
        let plane = Plane::start(
            config.workers,
            &config.pin,
            config.busy_poll,
            &links,
            &worker_notices,
            &to_ike,
        )
        .map_err(system("worker"))?;
        links::spawn(link_commands, namespaces, plane.clone(), link_notices)
            .map_err(system("link lane"))?;
        let has_ike = tunnels.iter().any(|(_, tunnel)| tunnel.ike.is_some());
        let traces = broadcast::Sender::new(QUEUED_EVENTS);
        let limits = ike::connection::limits(&config.ike);
        let lane = has_ike
            .then(|| {
                IkeLane::start(
                    limits,
                    from_workers,
                    plane.clone(),
                    ike_notices,
                    traces.clone(),
                )
            })
            .transpose()
            .map_err(system("IKE lane"))?;
        let mut daemon = Self {
            plane,
            links,
            outers: Outers::new(message_sender.clone()),
            tunnels: BTreeMap::new(),
            warnings: Vec::new(),
            events: broadcast::Sender::new(QUEUED_EVENTS),
            traces,
            messages: message_sender,
            inbox: Inbox {
                messages,
                links: link_inbox,
                workers: worker_inbox,
                ike: ike_inbox,
            },
            ike: lane,
            ike_ports: config.ike,
            listening: BTreeSet::new(),
            translator: None,
        };
        daemon.populate(tunnels).await?;
        Ok(daemon)
    }

    /// Takes all tunnels over and enables them, but those that wait for the operator.
    async fn populate(
        &mut self,
        tunnels: Vec<(TunnelId, TunnelConfig)>,
    ) -> Result<(), DaemonError> {
        if tunnels.iter().any(|(_, tunnel)| tunnel.mode.has_esp()) {
            ipsec::forbid_dumps().map_err(|error| DaemonError::System("core files", error))?;
        }
        for (id, config) in tunnels {
            self.adopt(id, config)?;
        }
        self.check_keys()
            .and_then(|()| self.check_psks())
            .map_err(|(tunnel, why)| DaemonError::Tunnel(tunnel, why))?;
        self.save_edges();
        let waits = |tunnel: &Managed| tunnel.config.start == Start::Manual;
        let tunnels = self.tunnels.iter().filter(|(_, tunnel)| !waits(tunnel));
        let ids: Vec<_> = tunnels.map(|(id, _)| *id).collect();
        for id in ids {
            self.enable(id).await.map_err(|why| {
                let name = self
                    .tunnels
                    .get(&id)
                    .map(|tunnel| tunnel.config.name.clone());
                DaemonError::Tunnel(name.unwrap_or_default(), why)
            })?;
        }
        // A lane that is gone has been noticed by then.
        let _ = self.links.send(LinkCommand::Sweep);
        self.sweep_easy_vpn();
        Ok(())
    }

    async fn serve(&mut self, bound: &Bound, signals: &mut Signals) -> Result<(), DaemonError> {
        let (calls, mut called) = mpsc::channel(64);
        let server = control::serve(bound, calls, self.events.clone(), self.traces.clone());
        tokio::pin!(server);
        tracing::info!(socket = %bound.path().display(), tunnels = self.tunnels.len(), "ready");
        loop {
            tokio::select! {
                biased;
                () = signals.recv() => break,
                Some(notice) = self.inbox.links.recv() => self.handle_link(notice),
                Some(notice) = self.inbox.workers.recv() => self.handle_worker(notice),
                Some(notice) = self.inbox.ike.recv() => self.handle_ike(notice),
                Some(message) = self.inbox.messages.recv() => self.handle_message(message).await,
                Some(call) = called.recv() => self.answer(call).await,
                () = &mut server => {}
            }
        }
        tracing::info!("stopping");
        self.stop().await;
        Ok(())
    }

    /// Takes every interface away; the process' end would do it too, but not before the operator sees it gone. Guard routes stay: a
    /// restart must not let anything out.
    async fn stop(&mut self) {
        let ids: Vec<_> = self.tunnels.keys().copied().collect();
        for id in ids {
            self.disable(id, GuardFate::Stay).await;
        }
        if let Some(lane) = &self.ike {
            lane.stop().await;
        }
        self.plane.stop();
        for tunnel in self.tunnels.values() {
            if let Some(Err(why)) = tunnel.keys.as_ref().map(Keys::save) {
                tracing::error!(tunnel = tunnel.config.name, "{why}");
            }
        }
        // Those who follow the events get the last ones too.
        tokio::task::yield_now().await;
    }

    async fn answer(&mut self, call: Call) {
        let response = if let Request::Status { tunnel } = call.request {
            self.status(tunnel.as_deref()).await
        } else {
            let done = self.obey(call.request).await;
            done.map_or_else(Response::Refused, |()| Response::Done)
        };
        // A client that went away does not want to know.
        let _ = call.answer.send(response);
    }

    /// Does what a client wants of a tunnel, or says why not.
    async fn obey(&mut self, request: Request) -> Result<(), String> {
        match request {
            Request::Up { tunnel } => self.bring_up(self.find(&tunnel)?).await,
            Request::Down { tunnel } => {
                self.disable(self.find(&tunnel)?, GuardFate::Go).await;
                Ok(())
            }
            Request::Clear { tunnel } => self.clear(self.find(&tunnel)?).await,
            Request::Rekey { tunnel, what } => self.rekey(self.find(&tunnel)?, what).await,
            Request::Debug { tunnel } => self.with_ike(self.find(&tunnel)?).map(drop),
            Request::Status { .. } | Request::Events => {
                Err("that is not to be done to a tunnel".to_owned())
            }
        }
    }

    fn find(&self, name: &str) -> Result<TunnelId, String> {
        let named = self
            .tunnels
            .iter()
            .find(|(_, tunnel)| tunnel.config.name == name);
        named.map(|(&id, _)| id).ok_or_else(|| {
            let known: Vec<_> = self
                .tunnels
                .values()
                .map(|tunnel| tunnel.config.name.as_str())
                .collect();
            format!("no tunnel {name:?}; there are: {}", known.join(", "))
        })
    }

    fn announce(&self, event: Event) {
        tracing::info!(
            tunnel = event.tunnel,
            event = event.event,
            reason = event.reason,
            remote = event.remote,
            since_last_proof_ms = event.since_last_proof_ms,
            mtu = event.mtu,
        );
        // Without a listener there is nobody to tell.
        let _ = self.events.send(event);
    }

    /// Sends `message` to the loop after `delay`.
    fn later(&self, delay: Duration, message: Message) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = messages.send(message).await;
        });
    }
}
