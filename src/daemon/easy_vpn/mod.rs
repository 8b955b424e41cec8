//! An Easy VPN remote in client mode: what its server assigned goes on the interface, and what is routed into the tunnel from elsewhere
//! is translated to that address.
//!
//! Itinerary: the notice of the assignment → what it means here (assigned.rs) → nftables, on a thread that may wait for nft(8)
//! (translator.rs) → the link lane. No packet is routed into the tunnel before the translation stands, since a flow that began without it
//! would never have it, or before nft(8) has failed at it, which is told: the host's own packets do without.

mod assigned;
mod translator;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use adit_proto::ikev1::config_payload::Assigned;
use tokio::sync::oneshot;

use super::tunnel::Managed;
use super::{Daemon, Message};
use crate::config::{IkeConfig, Remote, TunnelConfig};
use crate::dataplane::TunnelId;
use crate::io::netns::Netns;
use crate::links::{self, Assignment, GuardFate, LinkCommand};
pub(super) use assigned::environment;
use assigned::{EXTENSION, Surroundings};
pub(super) use translator::Translator;

use translator::Job;

/// What a tunnel has because its server assigned it.
#[derive(Debug)]
pub(super) struct Held {
    assignment: Assignment,
    /// How packets find into the tunnel, in words; none where nothing is assigned, and this is what stays of what was.
    routing: Option<String>,
    /// The interface has it.
    is_in_place: bool,
}

impl Daemon {
    /// Gets a tunnel ready whose interface is made in `netns` (none: the daemon's own).
    pub(super) fn prepare_easy_vpn(&mut self, id: TunnelId, netns: Option<Arc<OwnedFd>>) {
        let tunnel = self.tunnels.get(&id).filter(|it| is_client(&it.config));
        let Some(interface) = tunnel.map(|tunnel| tunnel.config.interface.clone()) else {
            return;
        };
        if self.translator.is_none() {
            match self.start_translator() {
                Ok(translator) => self.translator = Some(translator),
                Err(error) => return self.complain(id, "easy-vpn-failed", error.to_string()),
            }
        }
        self.translate(Job::Prepare(id, netns, interface));
        self.refresh_easy_vpn(id);
    }

    fn start_translator(&self) -> io::Result<Translator> {
        Translator::start(self.links.clone(), self.messages.clone())
    }

    /// Ends the start: removes the tables that a crash left where an Easy VPN remote is, of whichever mode: what leaves by an interface
    /// that is another's now is not to be translated.
    pub(super) fn sweep_easy_vpn(&self) {
        let all = || self.tunnels.values();
        let remotes = all().filter(|tunnel| is_remote(&tunnel.config));
        let namespaces: BTreeSet<_> = remotes.map(|tunnel| &tunnel.config.netns).collect();
        if namespaces.is_empty() {
            return;
        }
        // It lives as long as it has work to do, unless it is needed anyway.
        let started = match &self.translator {
            Some(_) => None,
            None => self.start_translator().ok(),
        };
        let Some(translator) = self.translator.as_ref().or(started.as_ref()) else {
            return;
        };
        for netns in namespaces {
            let ours = all().filter(|tunnel| tunnel.enabled && tunnel.config.netns == *netns);
            let ours = ours.map(|tunnel| tunnel.config.interface.clone()).collect();
            match netns {
                Netns::Current => translator.post(Job::Sweep(None, ours)),
                Netns::Named(_) | Netns::Path(_) => {
                    if let Ok(opened) = netns.open() {
                        translator.post(Job::Sweep(Some(Arc::new(opened)), ours));
                    }
                }
            }
        }
    }

    /// Has a tunnel keep what an adit that is gone left guarded, until its server assigns something.
    pub(super) fn inherit_easy_vpn(&mut self, id: TunnelId, left: Assignment) {
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && tunnel.easy_vpn.is_none()
        {
            tunnel.easy_vpn = Some(Held::left(left));
            self.refresh_easy_vpn(id);
        }
    }

    /// Carries out what the server assigned, instead of what it did before. The servers that it names are in the configuration by then.
    pub(super) fn apply_easy_vpn(&mut self, id: TunnelId, assigned: &Assigned) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        if !is_client(&tunnel.config) {
            tunnel.easy_vpn = Some(Held {
                assignment: Assignment::default(),
                routing: Some(EXTENSION.to_owned()),
                is_in_place: true,
            });
            return;
        }
        let mut held = match assigned::plan(assigned, &surroundings(tunnel)) {
            Ok(held) => held,
            Err(why) => return self.complain(id, "easy-vpn-failed", why.to_string()),
        };
        let before = tunnel.easy_vpn.as_ref().filter(|held| held.is_in_place);
        let before = before.map(|held| held.assignment.address);
        held.is_in_place = before == Some(held.assignment.address);
        let assignment = Box::new(held.assignment.clone());
        if self.translator.is_some() && !held.is_in_place {
            // A lane that is gone took its interfaces with it.
            let _ = self.links.send(LinkCommand::Await(id));
        }
        tunnel.easy_vpn = Some(held);
        self.translate(Job::Apply(id, assignment));
    }

    /// The interface has what the server assigned.
    pub(super) fn easy_vpn_in_place(&mut self, id: TunnelId) {
        let held = self
            .tunnels
            .get_mut(&id)
            .and_then(|it| it.easy_vpn.as_mut());
        if let Some(held) = held.filter(|held| held.assignment.address.is_some()) {
            held.is_in_place = true;
        }
    }

    /// Looks at the ways to the tunnel's peers again, which its routes must not draw in: a route or a peer's address changed.
    pub(super) fn refresh_easy_vpn(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let peers = surroundings(tunnel).peers;
        let held = tunnel.easy_vpn.as_mut();
        if let Some(held) = held.filter(|held| held.bears_on_routes()) {
            held.assignment.peers = peers;
            let assignment = Box::new(held.assignment.clone());
            self.translate(Job::Keep(id, assignment));
        }
    }

    /// Takes back what the server assigned; guard routes stay or go. What is given ends when it is done; none where there was nothing.
    pub(super) fn withdraw_easy_vpn(
        &mut self,
        id: TunnelId,
        guards: GuardFate,
    ) -> Option<oneshot::Receiver<()>> {
        let tunnel = self.tunnels.get_mut(&id)?;
        let held = tunnel.easy_vpn.take()?;
        let stays = guards == GuardFate::Stay && !held.assignment.guards.is_empty();
        let left = if stays {
            Assignment {
                address: None,
                routes: Vec::new(),
                ..held.assignment
            }
        } else {
            Assignment::default()
        };
        // What leads beside guards follows the host's routes as long as they stay.
        tunnel.easy_vpn = stays.then(|| Held::left(left.clone()));
        let (done, gone) = oneshot::channel();
        self.translate(Job::Withdraw(id, Box::new(left), done));
        Some(gone)
    }

    fn translate(&self, job: Job) {
        if let Some(translator) = &self.translator {
            translator.post(job);
        }
    }
}

impl Held {
    /// What stays without an assignment.
    fn left(assignment: Assignment) -> Self {
        Self {
            assignment,
            routing: None,
            is_in_place: false,
        }
    }

    fn bears_on_routes(&self) -> bool {
        self.assignment.address.is_some() || !self.assignment.guards.is_empty()
    }
}

impl Managed {
    /// How packets find into the tunnel of an Easy VPN, in words.
    pub(super) fn routing(&self) -> Option<String> {
        self.easy_vpn.as_ref()?.routing.clone()
    }

    /// Whether the interface has not yet what only the server can assign.
    pub(super) fn lacks_assignment(&self) -> bool {
        let held = self.easy_vpn.as_ref();
        is_client(&self.config) && held.is_none_or(|held| !held.is_in_place)
    }
}

/// Whether it is an Easy VPN remote, in either mode.
fn is_remote(config: &TunnelConfig) -> bool {
    config.ike.as_ref().and_then(IkeConfig::easy_vpn).is_some()
}

fn is_client(config: &TunnelConfig) -> bool {
    config.ike.as_ref().is_some_and(IkeConfig::is_client)
}

/// What of a tunnel bears on its routes.
fn surroundings(tunnel: &Managed) -> Surroundings {
    let shares = tunnel.inside == tunnel.outer;
    let config = &tunnel.config;
    let configured = links::guarded(&config.routes, &config.addresses);
    let own_remotes = tunnel.own_remotes();
    // What the configuration has leave by the tunnel or not at all, a server does not take out of it by naming another there.
    let may_leave = |candidate: usize, address: IpAddr| {
        let is_inside = configured.iter().any(|network| network.contains(address));
        candidate < own_remotes || !is_inside
    };
    let known = tunnel.known_remotes();
    let mut peers: Vec<IpAddr> = known
        .filter(|(candidate, address)| may_leave(*candidate, *address))
        .map(|(_, address)| address)
        .collect();
    let in_use = tunnel.path.map(|path| path.remote);
    let candidate = tunnel.failover.current();
    if let (Some(address), Some((candidate, _))) = (in_use, candidate)
        && may_leave(candidate, address)
    {
        peers.push(address);
    }
    peers.sort_unstable();
    peers.dedup();
    // A server does not take the guards away by naming another: such a name is passed over while it cannot be resolved.
    let own = config.remotes.iter().take(own_remotes);
    Surroundings {
        peers: if shares { peers } else { Vec::new() },
        has_routes: !config.routes.is_empty(),
        configured,
        has_names: shares && own.clone().any(|it| matches!(it, Remote::Name(_))),
        leak_guard: config.leak_guard,
    }
}
