//! One tunnel as the daemon holds it, and what moves it: enabled, resolved, routed, handed to its worker, disabled.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::{Secret, Suite};
use adit_proto::counters::Counters;
use adit_proto::liveness::{Action, Failover, Path, ResolveFailure};
use adit_proto::wire::esp::Spi;
use tokio::sync::oneshot;

use super::easy_vpn::Held;
use super::ike::Ike;
use super::ipsec::{self, Keys};
use super::paths::{self, OuterId};
use super::resolve::{self, Failure};
use super::route::PATH_MTU_UNKNOWN;
use super::{Daemon, DaemonError, Message, settings};
use crate::config::{Mode, Remote, TunnelConfig, UdpConfig};
use crate::control::Event;
use crate::dataplane::{Claim, NewTunnel, TunnelId};
use crate::io::netns::Netns;
use crate::io::tun::OffloadSwitches;
use crate::links::{GuardFate, LinkCommand, Plan};

/// A tunnel and where it stands.
pub(super) struct Managed {
    pub(super) config: TunnelConfig,
    pub(super) outer: OuterId,
    /// Where the interface is.
    pub(super) inside: OuterId,
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
    /// The static keys of a tunnel that asks for ESP.
    pub(super) keys: Option<Keys>,
    /// What makes the keys of one that has none.
    pub(super) ike: Option<Ike>,
    /// What an Easy VPN server's word came to.
    pub(super) easy_vpn: Option<Held>,
    /// The encapsulation in UDP that the tunnel's sockets were opened for.
    pub(super) opened_for: Option<UdpConfig>,
    /// Where a peer behind a NAT was heard last.
    pub(super) peer: Option<SocketAddr>,
    /// The remote to which sockets could not be opened, and are to be tried again.
    pub(super) unreached: Option<IpAddr>,
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
        let keys = config.sa.as_ref().map(Keys::open).transpose();
        let keys = keys.map_err(|why| DaemonError::Tunnel(config.name.clone(), why))?;
        let ike = Ike::open(&config);
        let ike = ike.map_err(|why| DaemonError::Tunnel(config.name.clone(), why))?;
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
            keys,
            ike,
            easy_vpn: None,
            opened_for: None,
            peer: None,
            unreached: None,
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
        tunnel.mtu = settings::inner_mtu(&tunnel.config, tunnel.suite(), None, PATH_MTU_UNKNOWN);
        let plan = tunnel.plan(netns.clone());
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
                // Without a path nothing was sealed: the numbers serve the next attempt.
                if let Some(keys) = &tunnel.keys {
                    keys.take_back();
                }
                return Err(why);
            }
        }
        tunnel.enabled = true;
        tunnel.attempt += 1;
        tunnel.since = Instant::now();
        tunnel.failover.restart();
        let name = tunnel.config.name.clone();
        self.announce(Event::new(&name, "enabled", Instant::now()));
        self.prepare_easy_vpn(id, netns);
        self.enable_ike(id);
        self.act(id);
        Ok(())
    }

    /// Takes the interface away and stops to watch the peer; its guard routes stay or go.
    pub(super) async fn disable(&mut self, id: TunnelId, guards: GuardFate) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // Whatever waits to bring it up again is overtaken, also where it is down already.
        tunnel.attempt += 1;
        if !tunnel.enabled {
            // An interface that could not be made has left its guards.
            if guards == GuardFate::Go {
                self.withdraw_easy_vpn(id, guards);
                self.destroy(id, guards).await;
            }
            return;
        }
        tunnel.enabled = false;
        if let Some(path) = tunnel.path.take() {
            self.plane
                .tell_others(id, &tunnel.claims(path.remote), false);
        }
        tunnel.peer = None;
        tunnel.path_mtu = None;
        tunnel.reported_mtu = None;
        tunnel.trouble = None;
        tunnel.timer = None;
        tunnel.since = Instant::now();
        let name = tunnel.config.name.clone();
        self.disable_ike(id).await;
        if let Some(withdrawn) = self.withdraw_easy_vpn(id, guards) {
            // An error says that nobody is left to do it.
            let _ = withdrawn.await;
        }
        self.plane.remove(id).await;
        self.destroy(id, guards).await;
        self.announce(Event::new(&name, "disabled", Instant::now()));
    }

    async fn destroy(&self, id: TunnelId, guards: GuardFate) {
        let (reply, destroyed) = oneshot::channel();
        let destroy = LinkCommand::Destroy(id, guards, reply);
        if self.links.send(destroy).is_ok() {
            // An error says that the lane is gone, and its interfaces with it.
            let _ = destroyed.await;
        }
    }

    /// Does what the failover machine wants, until it wants nothing more, and sets its timer.
    pub(super) fn act(&mut self, id: TunnelId) {
        while self.seeks(id)
            && let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled)
            && let Some(action) = tunnel.failover.poll_action()
        {
            match action {
                Action::Resolve { candidate } => self.resolve(id, candidate),
                Action::Use { candidate, address } => self.use_candidate(id, candidate, address),
                Action::ProbePreferred { address } if tunnel.ike.is_some() => {
                    self.ask_preferred(id, address);
                }
                Action::ProbePreferred { address } => self.probe_preferred(id, address),
                // A peer that began by itself needs no name.
                Action::NoAddress if self.is_established(id) => {}
                Action::NoAddress => self.leave_path(id),
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

    /// No remote has an address.
    fn leave_path(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.path = None;
        }
        self.plane.set_path(id, None);
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
            // The peer comes to us.
            Remote::Any => return,
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
        if self.keeps_peer(id, candidate, address) {
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let before = tunnel.candidate.replace(candidate);
        tunnel.trouble = None;
        tunnel.reported_mtu = None;
        let name = tunnel.config.name.clone();
        let remote = tunnel.remote(candidate);
        if tunnel.ike.is_some() {
            self.initiate(id, candidate, address);
        } else {
            self.route(id, address);
        }
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

impl Managed {
    /// The configured peer of that index, in the words of the configuration.
    fn remote(&self, candidate: usize) -> String {
        self.config
            .remotes
            .get(candidate)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// What seals the tunnel's packets.
    pub(super) fn suite(&self) -> Option<Suite> {
        let of_ike = || self.ike.as_ref().map(Ike::suite);
        self.keys.as_ref().map(Keys::suite).or_else(of_ike)
    }

    /// The longest time from the peer's death to the verdict; none when nothing watches the peer.
    pub(super) fn worst_case(&self) -> Option<Duration> {
        let answers = self.ike.as_ref().is_none_or(Ike::answers_probes);
        settings::worst_case(&self.config, answers)
    }

    /// Our outer address, where it is not the route's to say.
    pub(super) fn bound_to(&self) -> Option<IpAddr> {
        let child = self.ike.as_ref().and_then(|ike| ike.child.as_ref());
        child
            .map(|child| child.path.local.ip())
            .or(self.config.local)
    }

    /// What makes a packet from `remote` this tunnel's: its own, and what its peer sends in clear.
    pub(super) fn claims(&self, remote: IpAddr) -> Vec<Claim> {
        let gre = Claim::Gre(self.outer, remote, self.config.gre.key_in);
        let spi = self
            .config
            .sa
            .as_ref()
            .and_then(|sas| Spi::new(sas.inbound.spi));
        match (spi, self.config.mode) {
            (Some(spi), Mode::GreEsp) => vec![Claim::Esp(self.outer, spi), gre],
            (Some(spi), _) => vec![Claim::Esp(self.outer, spi)],
            (None, _) => vec![gre],
        }
    }

    /// The tunnel as its worker takes it over.
    fn hand_over(&self, id: TunnelId) -> Result<NewTunnel, String> {
        let parameters = settings::parameters(&self.config, self.suite(), self.path, self.mtu);
        let (ipsec, pair) = match (&self.keys, &self.config.sa) {
            (Some(keys), Some(sas)) => {
                let made = keys.associate(&self.config, sas, parameters.udp, parameters.mode)?;
                (Some(made.0), Some(made.1))
            }
            _ if self.ike.is_some() => (Some(ipsec::ipsec(&self.config, None)), None),
            _ => (None, None),
        };
        Ok(NewTunnel {
            id,
            ipsec,
            pair,
            idle: settings::idle(&self.config),
            parameters,
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
            guard: self.config.leak_guard,
            on_dead: self.config.on_dead,
            wakes: settings::wakes(&self.config),
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
