//! The daemon: one loop that owns every decision about tunnels outside the packet path.
//!
//! It takes requests of control clients, verdicts that the link lane carried out, notices of the workers, addresses from the resolver
//! and changes of routes, one at a time. What takes long runs elsewhere and comes back as a message: names are resolved on a thread of
//! tokio's pool, hooks are child processes, interfaces change on the link lane.

mod hooks;
mod ipsec;
mod notices;
mod paths;
mod resolve;
mod route;
mod settings;
mod status;
mod tunnel;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc};

use crate::config::{Config, TunnelConfig};
use crate::control::{self, Bound, Call, Event, Request, Response, SocketError};
use crate::dataplane::{Plane, TunnelId, WorkerNotice};
use crate::keys::StateError;
use crate::links::{self, GuardFate, Guarded, LinkCommand, LinkNotice, Namespaces};
use ipsec::Keys;
use paths::{OuterId, Outers};
use tunnel::Managed;

/// Events that a slow client may lag behind before it loses some.
const QUEUED_EVENTS: usize = 4096;
/// Messages of the lanes that may wait for the daemon's loop.
const QUEUED_NOTICES: usize = 4096;

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
pub(super) enum Message {
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
    messages: mpsc::Sender<Message>,
    inbox: Inbox,
}

struct Inbox {
    messages: mpsc::Receiver<Message>,
    links: mpsc::Receiver<LinkNotice>,
    workers: mpsc::Receiver<WorkerNotice>,
}

impl Daemon {
    async fn start(config: Config) -> Result<Self, DaemonError> {
        let system = |what| move |error| DaemonError::System(what, error);
        let mut numbers = Numbers::new(config.workers);
        let numbered = |tunnel: TunnelConfig| (numbers.next(tunnel.udp.is_some()), tunnel);
        let tunnels: Vec<_> = config.tunnels.into_iter().map(numbered).collect();
        // Before anything that can fail: they are to hold also when the start does.
        let namespaces = guard(&tunnels).await?;
        let (message_sender, messages) = mpsc::channel(QUEUED_NOTICES);
        let (link_notices, link_inbox) = mpsc::channel(QUEUED_NOTICES);
        let (worker_notices, worker_inbox) = mpsc::channel(QUEUED_NOTICES);
        let (links, link_commands) = links::queue();
        let plane = Plane::start(
            config.workers,
            &config.pin,
            config.busy_poll,
            &links,
            &worker_notices,
        )
        .map_err(system("worker"))?;
        links::spawn(link_commands, namespaces, plane.clone(), link_notices)
            .map_err(system("link lane"))?;
        let mut daemon = Self {
            plane,
            links,
            outers: Outers::new(message_sender.clone()),
            tunnels: BTreeMap::new(),
            warnings: Vec::new(),
            events: broadcast::Sender::new(QUEUED_EVENTS),
            messages: message_sender,
            inbox: Inbox {
                messages,
                links: link_inbox,
                workers: worker_inbox,
            },
        };
        daemon.populate(tunnels).await?;
        Ok(daemon)
    }

    /// Takes all tunnels over and enables them.
    async fn populate(
        &mut self,
        tunnels: Vec<(TunnelId, TunnelConfig)>,
    ) -> Result<(), DaemonError> {
        if tunnels.iter().any(|(_, tunnel)| tunnel.sa.is_some()) {
            ipsec::forbid_dumps().map_err(|error| DaemonError::System("core files", error))?;
        }
        for (id, config) in tunnels {
            self.adopt(id, config)?;
        }
        self.check_keys()
            .map_err(|(tunnel, why)| DaemonError::Tunnel(tunnel, why))?;
        self.save_edges();
        let ids: Vec<_> = self.tunnels.keys().copied().collect();
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
        Ok(())
    }

    async fn serve(&mut self, bound: &Bound, signals: &mut Signals) -> Result<(), DaemonError> {
        let (calls, mut called) = mpsc::channel(64);
        let server = control::serve(bound, calls, self.events.clone());
        tokio::pin!(server);
        tracing::info!(socket = %bound.path().display(), tunnels = self.tunnels.len(), "ready");
        loop {
            tokio::select! {
                biased;
                () = signals.recv() => break,
                Some(notice) = self.inbox.links.recv() => self.handle_link(notice),
                Some(notice) = self.inbox.workers.recv() => self.handle_worker(notice),
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
        let response = match call.request {
            Request::Status { tunnel } => self.status(tunnel.as_deref()).await,
            Request::Up { tunnel } => match self.find(&tunnel) {
                Ok(id) => self
                    .enable(id)
                    .await
                    .map_or_else(Response::Refused, |()| Response::Done),
                Err(why) => Response::Refused(why),
            },
            Request::Down { tunnel } => match self.find(&tunnel) {
                Ok(id) => {
                    self.disable(id, GuardFate::Go).await;
                    Response::Done
                }
                Err(why) => Response::Refused(why),
            },
            Request::Events => Response::Refused("events are a stream of their own".to_owned()),
        };
        // A client that went away does not want to know.
        let _ = call.answer.send(response);
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
