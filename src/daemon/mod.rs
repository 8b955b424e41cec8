//! The daemon: one loop that owns every decision about tunnels outside the packet path.
//!
//! It takes requests of control clients, verdicts that the link lane carried out, notices of the workers, addresses from the resolver
//! and changes of routes, one at a time. What takes long runs elsewhere and comes back as a message: names are resolved on a thread of
//! tokio's pool, hooks are child processes, interfaces change on the link lane.

mod hooks;
mod notices;
mod paths;
mod resolve;
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

use crate::config::Config;
use crate::control::{self, Bound, Call, Event, Request, Response, SocketError};
use crate::dataplane::{Plane, TunnelId, WorkerNotice};
use crate::links::{self, LinkNotice};
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
}

/// Runs the daemon in the foreground until SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`]: nothing is left behind then.
pub fn run(config: Config, socket: Option<PathBuf>) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
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
        let (message_sender, messages) = mpsc::channel(QUEUED_NOTICES);
        let (link_notices, link_inbox) = mpsc::channel(QUEUED_NOTICES);
        let (worker_notices, worker_inbox) = mpsc::channel(QUEUED_NOTICES);
        let (links, link_commands) = links::queue();
        let plane = Plane::start(config.workers, &config.pin, &links, &worker_notices)
            .map_err(system("worker"))?;
        links::spawn(link_commands, plane.clone(), link_notices).map_err(system("link lane"))?;
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
        for (number, config) in (0..).zip(config.tunnels) {
            daemon.adopt(TunnelId(number), config)?;
        }
        let ids: Vec<_> = daemon.tunnels.keys().copied().collect();
        for id in ids {
            daemon.enable(id).await.map_err(|why| {
                let name = daemon
                    .tunnels
                    .get(&id)
                    .map(|tunnel| tunnel.config.name.clone());
                DaemonError::Tunnel(name.unwrap_or_default(), why)
            })?;
        }
        Ok(daemon)
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

    /// Takes every interface away; the process' end would do it too, but not before the operator sees it gone.
    async fn stop(&mut self) {
        let ids: Vec<_> = self.tunnels.keys().copied().collect();
        for id in ids {
            self.disable(id).await;
        }
        self.plane.stop();
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
                    self.disable(id).await;
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
