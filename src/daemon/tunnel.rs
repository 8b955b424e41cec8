//! One tunnel as the daemon holds it, and what moves it: enabled, resolved, routed, handed to its worker, disabled.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use adit_crypto::Secret;
use adit_proto::counters::Counters;
use adit_proto::liveness::{Action, Failover, Path, ResolveFailure};
use tokio::sync::oneshot;

use super::paths::{self, OuterId};
use super::resolve::{self, Failure};
use super::{Daemon, DaemonError, Message, settings};
use crate::config::{Remote, TunnelConfig};
use crate::control::Event;
use crate::dataplane::{NewTunnel, TunnelId};
use crate::io::netns::Netns;
use crate::io::tun::OffloadSwitches;
use crate::links::{LinkCommand, Plan};

/// The outer path's MTU while no route tells it.
const PATH_MTU_UNKNOWN: u16 = 1500;

/// A tunnel and where it stands.
pub(super) struct Managed {
    pub(super) config: TunnelConfig,
    pub(super) outer: OuterId,
    /// Where the interface is.
    inside: OuterId,
    pub(super) counters: Arc<Counters>,
    pub(super) failover: Failover,
    pub(super) enabled: bool,
    /// The attempt that answers of the resolver and timers must belong to.
    pub(super) attempt: u64,
    /// The path that the worker has; none before the first.
    pub(super) path: Option<Path>,
    pub(super) path_mtu: Option<u16>,
    /// What a router on the path said, below what the route says.
    pub(super) reported_mtu: Option<u16>,
    /// A timer runs that takes it back.
    pub(super) forgets_mtu: bool,
    pub(super) mtu: u16,
    /// Why no path could be had.
    pub(super) trouble: Option<Failure>,
    /// Which of the remotes is in use.
    pub(super) candidate: Option<usize>,
    pub(super) since: Instant,
    pub(super) deaths: u64,
    pub(super) last_error: Option<String>,
    /// What the kernel hands over in one piece.
    pub(super) offload: OffloadSwitches,
    /// Whether the device takes coalesced packets.
    pub(super) coalesces: bool,
    /// When the failover machine is to be looked at.
    pub(super) timer: Option<Instant>,
}

impl Daemon {
    /// Takes a tunnel of the configuration over, not yet enabled.
    pub(super) fn adopt(&mut self, id: TunnelId, config: TunnelConfig) -> Result<(), DaemonError> {
        let (outer, warning) = self.outers.open(&config.outer_netns).map_err(|error| {
            DaemonError::Tunnel(config.name.clone(), format!("outer-netns: {error}"))
        })?;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
            self.warnings.push(warning);
        }
        let failover = Failover::new(config.remotes.len(), config.failback.is_some());
        let tunnel = Managed {
            outer,
            inside: None,
            counters: Arc::default(),
            failover,
            enabled: false,
            attempt: 0,
            path: None,
            path_mtu: None,
            reported_mtu: None,
            forgets_mtu: false,
            mtu: 0,
            trouble: None,
            since: Instant::now(),
            deaths: 0,
            last_error: None,
            offload: OffloadSwitches::default(),
            coalesces: true,
            candidate: None,
            timer: None,
            config,
        };
        self.tunnels.insert(id, tunnel);
        Ok(())
    }

    /// Makes the interface and starts to look for the peer.
    pub(super) async fn enable(&mut self, id: TunnelId) -> Result<(), String> {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return Ok(());
        };
        if tunnel.enabled {
            return Ok(());
        }
        let netns = match &tunnel.config.netns {
            Netns::Current => None,
            other @ (Netns::Named(_) | Netns::Path(_)) => Some(Arc::new(
                other.open().map_err(|error| format!("netns: {error}"))?,
            )),
        };
        tunnel.inside =
            paths::identity(netns.as_ref()).map_err(|error| format!("netns: {error}"))?;
        tunnel.mtu = settings::inner_mtu(&tunnel.config, None, PATH_MTU_UNKNOWN);
        let plan = tunnel.plan(netns);
        self.plane.add(tunnel.hand_over(id)?);
        let (reply, created) = oneshot::channel();
        let create = LinkCommand::Create(id, Box::new(plan), reply);
        let created = match self.links.send(create) {
            Ok(()) => created
                .await
                .unwrap_or_else(|_| Err("the link lane stopped".to_owned())),
            Err(_) => Err("the link lane stopped".to_owned()),
        };
        match created {
            Ok(offload) => tunnel.offload = offload,
            Err(why) => {
                self.plane.remove(id).await;
                return Err(why);
            }
        }
        tunnel.enabled = true;
        tunnel.attempt += 1;
        tunnel.since = Instant::now();
        tunnel.failover.restart();
        let name = tunnel.config.name.clone();
        self.announce(Event::new(&name, "enabled", Instant::now()));
        self.act(id);
        Ok(())
    }

    /// Takes the interface away and stops to watch the peer.
    pub(super) async fn disable(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // Whatever waits to bring it up again is overtaken, also where it is down already.
        tunnel.attempt += 1;
        if !tunnel.enabled {
            return;
        }
        tunnel.enabled = false;
        if let Some(path) = tunnel.path.take() {
            let key = tunnel.config.gre.key_in;
            self.plane
                .tell_others(id, tunnel.outer, path.remote, key, false);
        }
        tunnel.path_mtu = None;
        tunnel.reported_mtu = None;
        tunnel.trouble = None;
        tunnel.timer = None;
        tunnel.since = Instant::now();
        let name = tunnel.config.name.clone();
        self.plane.remove(id).await;
        let (reply, destroyed) = oneshot::channel();
        if self.links.send(LinkCommand::Destroy(id, reply)).is_ok() {
            // An error says that the lane is gone, and its interfaces with it.
            let _ = destroyed.await;
        }
        self.announce(Event::new(&name, "disabled", Instant::now()));
    }

    /// Does what the failover machine wants, until it wants nothing more, and sets its timer.
    pub(super) fn act(&mut self, id: TunnelId) {
        while let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled)
            && let Some(action) = tunnel.failover.poll_action()
        {
            match action {
                Action::Resolve { candidate } => self.resolve(id, candidate),
                Action::Use { candidate, address } => self.use_candidate(id, candidate, address),
                Action::ProbePreferred { address } => self.probe_preferred(id, address),
                Action::NoAddress => {
                    tunnel.path = None;
                    self.plane.set_path(id, None);
                }
            }
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let due = tunnel.failover.poll_timeout();
        if let Some(at) = due
            && tunnel.timer != due
        {
            tunnel.timer = due;
            let attempt = tunnel.attempt;
            self.later(
                at.saturating_duration_since(Instant::now()),
                Message::Retry(id, attempt),
            );
        }
    }

    fn resolve(&mut self, id: TunnelId, candidate: usize) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(remote) = tunnel.config.remotes.get(candidate).cloned() else {
            return;
        };
        let (local, attempt) = (tunnel.config.local, tunnel.attempt);
        let netns = self.outers.netns(tunnel.outer);
        let name = match remote {
            Remote::Address(address) => {
                return self.handle_resolved(id, attempt, candidate, Ok(address));
            }
            Remote::Name(name) => name,
        };
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let resolved = resolve::resolve(name, local, netns).await;
            // The loop is gone when the daemon stops.
            let _ = messages
                .send(Message::Resolved {
                    tunnel: id,
                    attempt,
                    candidate,
                    resolved,
                })
                .await;
        });
    }

    /// Takes the resolver's answer; an address without a route is no address yet, unless the local one is configured.
    pub(super) fn handle_resolved(
        &mut self,
        id: TunnelId,
        attempt: u64,
        candidate: usize,
        resolved: Result<IpAddr, Failure>,
    ) {
        let Some(tunnel) = self
            .tunnels
            .get_mut(&id)
            .filter(|tunnel| tunnel.attempt == attempt)
        else {
            return;
        };
        let local = tunnel.config.local;
        let routed =
            resolved.and_then(
                |address| match self.outers.route(tunnel.outer, local, address) {
                    Err(error) if local.is_none() => Err((
                        ResolveFailure::NoRoute,
                        format!("no route to {address}: {error}"),
                    )),
                    Ok(_) | Err(_) => Ok(address),
                },
            );
        let name = tunnel.config.name.clone();
        let remote = tunnel.remote(candidate);
        let failure = routed.as_ref().err().cloned();
        let result = routed.map_err(|(failure, _)| failure);
        tunnel
            .failover
            .handle_resolved(Instant::now(), candidate, result);
        if let Some((failure, why)) = failure {
            let changed = tunnel.last_error.as_deref() != Some(&*why);
            tunnel.last_error = Some(why.clone());
            tunnel.trouble = Some((failure, why.clone()));
            if changed {
                self.announce(
                    Event::new(&name, event_of(failure), Instant::now())
                        .because(why)
                        .about(remote),
                );
            }
        }
        self.act(id);
    }

    fn use_candidate(&mut self, id: TunnelId, candidate: usize, address: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let before = tunnel.candidate.replace(candidate);
        tunnel.trouble = None;
        tunnel.reported_mtu = None;
        let name = tunnel.config.name.clone();
        let remote = tunnel.remote(candidate);
        self.route(id, address);
        if before.is_some_and(|before| before != candidate) {
            let what = if candidate == 0 {
                "failback"
            } else {
                "failover"
            };
            self.announce(Event::new(&name, what, Instant::now()).about(remote));
        }
    }
}

impl Daemon {
    /// Sends the tunnel to `remote` by the way that the routes show now; with nothing changed, nothing happens.
    pub(super) fn route(&mut self, id: TunnelId, remote: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let route = self
            .outers
            .route(tunnel.outer, tunnel.config.local, remote)
            .ok();
        // A way through the tunnel itself is none: what is sent that way is refused packet by packet.
        let route = route.filter(|route| {
            let interface = &tunnel.config.interface;
            tunnel.inside != tunnel.outer || !self.outers.leaves_by(tunnel.outer, route, interface)
        });
        let known = route.as_ref().map(|route| route.source);
        let Some(local) = tunnel
            .config
            .local
            .or(known)
            .or(tunnel.path.map(|path| path.local))
        else {
            return;
        };
        let path = Path { local, remote };
        if let Some(octets) = route.map(|route| u16::try_from(route.mtu).unwrap_or(u16::MAX)) {
            if tunnel.path_mtu.is_some_and(|before| before != octets) {
                tunnel.reported_mtu = None;
            }
            tunnel.path_mtu = Some(octets);
        }
        if tunnel.path != Some(path) {
            match self.outers.sockets(tunnel.outer, path) {
                Ok(sockets) => {
                    let key = tunnel.config.gre.key_in;
                    if let Some(before) = tunnel.path.replace(path) {
                        self.plane
                            .tell_others(id, tunnel.outer, before.remote, key, false);
                    }
                    self.plane.tell_others(id, tunnel.outer, remote, key, true);
                    self.plane.set_path(id, Some((path, sockets)));
                }
                Err(error) => {
                    let why = format!("raw socket: {error}");
                    tracing::error!(tunnel = tunnel.config.name, "{why}");
                    tunnel.last_error = Some(why);
                }
            }
        }
        self.apply_mtu(id);
    }

    /// Brings the path's MTU to the worker and the interface's to the link lane.
    pub(super) fn apply_mtu(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let routed = tunnel.path_mtu.unwrap_or(PATH_MTU_UNKNOWN);
        let outer = tunnel
            .reported_mtu
            .map_or(routed, |reported| reported.min(routed));
        self.plane.set_path_mtu(id, outer);
        let inner = settings::inner_mtu(&tunnel.config, tunnel.path, outer);
        if let Some(clamp) = settings::clamp_of_mtu(&tunnel.config, inner) {
            self.plane.set_mss_clamp(id, clamp);
        }
        if inner == tunnel.mtu {
            return;
        }
        tunnel.mtu = inner;
        let mut event = Event::new(&tunnel.config.name, "mtu", Instant::now());
        event.mtu = Some(inner);
        if self.links.send(LinkCommand::Mtu(id, inner)).is_ok() {
            self.announce(event);
        }
    }

    fn probe_preferred(&mut self, id: TunnelId, address: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(hold) = tunnel.config.failback else {
            return;
        };
        let route = self
            .outers
            .route(tunnel.outer, tunnel.config.local, address)
            .ok();
        let Some(local) = tunnel.config.local.or(route.map(|route| route.source)) else {
            return;
        };
        let path = Path {
            local,
            remote: address,
        };
        if let Ok(sockets) = self.outers.sockets(tunnel.outer, path) {
            self.plane.probe_preferred(id, path, hold, sockets);
        }
    }

    /// Looks at every path in a namespace again after its routes, addresses or MTUs changed.
    pub(super) fn paths_changed(&mut self, outer: OuterId) {
        let here = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| tunnel.outer == outer && tunnel.enabled);
        let ids: Vec<_> = here.map(|(&id, _)| id).collect();
        for id in ids {
            let Some(tunnel) = self.tunnels.get_mut(&id) else {
                continue;
            };
            match tunnel.path {
                Some(path) => self.route(id, path.remote),
                // The way to a peer may be back: what waits for a retry need not wait longer.
                None => {
                    let due = tunnel.failover.poll_timeout();
                    tunnel
                        .failover
                        .handle_timeout(due.unwrap_or_else(Instant::now));
                    self.act(id);
                }
            }
        }
    }
}

impl Managed {
    /// The configured peer of that index, in the words of the configuration.
    fn remote(&self, candidate: usize) -> String {
        self.config
            .remotes
            .get(candidate)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// The tunnel as its worker takes it over.
    fn hand_over(&self, id: TunnelId) -> Result<NewTunnel, String> {
        Ok(NewTunnel {
            id,
            parameters: settings::parameters(&self.config, self.path, self.mtu),
            liveness: settings::liveness(&self.config, id.0),
            secret: Secret::random().map_err(|error| error.to_string())?,
            coalescing: settings::coalescing(&self.config),
            answers_keepalives: self.config.answer_keepalives,
            accept_inner: self
                .config
                .keepalive
                .as_ref()
                .map_or_else(Vec::new, |keepalive| keepalive.accept_inner.clone()),
            counters: self.counters.clone(),
        })
    }

    fn plan(&self, netns: Option<Arc<OwnedFd>>) -> Plan {
        Plan {
            interface: self.config.interface.clone(),
            netns,
            addresses: self.config.addresses.clone(),
            routes: self.config.routes.clone(),
            on_dead: self.config.on_dead,
            offload: settings::switches(&self.config),
            mtu: self.mtu,
        }
    }
}

pub(super) fn event_of(failure: ResolveFailure) -> &'static str {
    match failure {
        ResolveFailure::NoRoute => "no-route",
        ResolveFailure::NotFound
        | ResolveFailure::Unavailable
        | ResolveFailure::TimedOut
        | ResolveFailure::WrongFamily => "resolve-failed",
    }
}
