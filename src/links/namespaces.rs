//! The network namespaces of the interfaces: a socket, the lock and the guard routes of each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::assignment::Assignment;
use super::beside::Beside;
use super::guards::Guards;
use super::plan::{self, LinkError};
use crate::config::{IkeConfig, Remote, TunnelConfig};
use crate::dataplane::TunnelId;
use crate::io::address::Prefix;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::netns::{self, Netns, NetnsId};
use crate::io::route::Route;

/// What a tunnel of the configuration has guarded.
#[derive(Clone, Debug)]
pub struct Guarded {
    pub(super) tunnel: TunnelId,
    pub(super) name: String,
    pub(super) netns: Netns,
    pub(super) networks: Vec<Prefix>,
    pub(super) learns: Learns,
}

/// What of its guards a tunnel has by its peer's word alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learns {
    Nothing,
    /// Networks, but never everything.
    Networks,
    Everything,
}

impl Learns {
    /// Of a client whose peers have names that are resolved by its interface's routes everything is never guarded.
    fn of(config: &TunnelConfig) -> Self {
        let is_name = |remote: &Remote| matches!(remote, Remote::Name(_));
        // One that cannot be opened ends the start.
        let shares = || config.netns.id().ok() == config.outer_netns.id().ok();
        if !config.ike.as_ref().is_some_and(IkeConfig::is_client) {
            Self::Nothing
        } else if config.remotes.iter().any(is_name) && shares() {
            Self::Networks
        } else {
            Self::Everything
        }
    }

    fn may_be(self, guard: Prefix) -> bool {
        let is_everything = guard.length <= 1;
        guard.address.is_ipv4() && (self == Self::Everything || !is_everything)
    }
}

impl Guarded {
    /// What the tunnel has guarded; none without `leak-guard`.
    #[must_use]
    pub fn new(tunnel: TunnelId, config: &TunnelConfig) -> Option<Self> {
        config.leak_guard.then(|| Self {
            tunnel,
            name: config.name.clone(),
            netns: config.netns.clone(),
            networks: plan::guarded(&config.routes, &config.addresses),
            learns: Learns::of(config),
        })
    }

    fn namespace(&self) -> Result<Option<Arc<OwnedFd>>, String> {
        match &self.netns {
            Netns::Current => Ok(None),
            other @ (Netns::Named(_) | Netns::Path(_)) => other
                .open()
                .map(|opened| Some(Arc::new(opened)))
                .map_err(|error| format!("netns: {error}")),
        }
    }
}

/// The network namespaces that were entered so far.
pub struct Namespaces {
    entered: BTreeMap<NetnsId, Namespace>,
    /// The tunnels of the start are made.
    started: bool,
}

struct Namespace {
    netlink: Netlink,
    guards: Guards,
    beside: Beside,
    /// Tunnels whose peers have yet to say what they guard.
    heirs: Vec<Guarded>,
}

impl Namespaces {
    /// Makes the guards of these tunnels. It waits for seconds where another adit starts in a namespace.
    ///
    /// # Errors
    /// The name of the first tunnel that is not guarded whole, and why. All others are guarded even so, and stay guarded.
    pub fn guard(tunnels: &[Guarded]) -> Result<Self, (String, String)> {
        let mut namespaces = Self {
            entered: BTreeMap::new(),
            started: false,
        };
        let mut result = Ok(());
        for tunnel in tunnels {
            let guarded = namespaces.guard_one(tunnel);
            result = result.and(guarded.map_err(|why| (tunnel.name.clone(), why)));
        }
        result.map(|()| namespaces)
    }

    fn guard_one(&mut self, tunnel: &Guarded) -> Result<(), String> {
        let namespace = tunnel.namespace()?;
        let entered = self.enter(namespace.as_ref());
        let netns = entered.map_err(|error| error.to_string())?;
        if let Some(namespace) = self.entered.get_mut(&netns)
            && tunnel.learns != Learns::Nothing
        {
            namespace.heirs.push(tunnel.clone());
        }
        self.add_guards(tunnel.tunnel, netns, tunnel.networks.clone())
            .map_err(|error| error.to_string())
    }

    /// A namespace (none: the daemon's own), locked and with a socket in it.
    pub(super) fn enter(&mut self, netns: Option<&Arc<OwnedFd>>) -> Result<NetnsId, LinkError> {
        let namespace = match netns {
            Some(namespace) => namespace.clone(),
            None => Arc::new(Netns::Current.open()?),
        };
        let id = NetnsId::of(&*namespace)?;
        if let Entry::Vacant(free) = self.entered.entry(id) {
            let inside = netns.map(AsFd::as_fd);
            free.insert(Namespace {
                netlink: netns::within(inside, Netlink::open)??,
                guards: Guards::open(namespace),
                beside: Beside::default(),
                heirs: Vec::new(),
            });
        }
        Ok(id)
    }

    pub(super) fn netlink(&mut self, netns: NetnsId) -> Option<&mut Netlink> {
        Some(&mut self.entered.get_mut(&netns)?.netlink)
    }

    /// Makes the guards of a tunnel; on an error as many as can be made.
    pub(super) fn add_guards(
        &mut self,
        tunnel: TunnelId,
        netns: NetnsId,
        networks: Vec<Prefix>,
    ) -> Result<(), LinkError> {
        match self.entered.get_mut(&netns) {
            Some(namespace) => {
                let Namespace {
                    netlink, guards, ..
                } = namespace;
                Ok(guards.add(netlink, tunnel, networks)?)
            }
            None => Ok(()),
        }
    }

    /// Makes what of an assignment stays when its tunnel goes, in the order that lets nothing be drawn in that must leave beside it:
    /// routes that hold what cannot be kept out are left out of the assignment. On an error as much as can be.
    pub(super) fn assign(
        &mut self,
        netns: NetnsId,
        (tunnel, index): (TunnelId, Option<u32>),
        assignment: &mut Assignment,
    ) -> Result<(), LinkError> {
        let Some(namespace) = self.entered.get_mut(&netns) else {
            return Ok(());
        };
        let Namespace {
            netlink,
            guards,
            beside,
            ..
        } = namespace;
        let kept = beside.keep_out(netlink, (tunnel, index), &assignment.kept_out());
        let lost = assignment.spare(&kept.networks).map(LinkError::NoWayBeside);
        guards.learn(netlink, tunnel, &assignment.guards)?;
        let refused = kept.refused.map(LinkError::Netlink);
        refused.or(lost).map_or(Ok(()), Err)
    }

    /// Removes the guards of a tunnel wherever it has some, and then what leads beside it.
    pub(super) fn remove_guards(&mut self, tunnel: TunnelId) -> Result<(), LinkError> {
        let mut result = Ok(());
        for namespace in self.entered.values_mut() {
            let Namespace {
                netlink,
                guards,
                beside,
                ..
            } = namespace;
            result = result
                .and(guards.remove(netlink, tunnel))
                .and(beside.remove(netlink, tunnel));
        }
        Ok(result?)
    }

    /// Ends the start: other adits may come into all namespaces, after the guards went that nobody needs. Gives what of those that an
    /// adit left tunnels have taken over whose peers have yet to say what is guarded.
    pub(super) fn finish_start(&mut self) -> Vec<(TunnelId, Assignment)> {
        self.started = true;
        let all = self.entered.values_mut();
        all.flat_map(Namespace::sweep).collect()
    }

    /// Lets other adits into a namespace that was entered after the start, as [`Self::finish_start`] did into the others.
    pub(super) fn settle(&mut self, netns: NetnsId) {
        if self.started
            && let Some(namespace) = self.entered.get_mut(&netns)
        {
            namespace.sweep();
        }
    }
}

impl fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guards = self.entered.values().map(|namespace| &namespace.guards);
        f.debug_list().entries(guards).finish()
    }
}

impl Namespace {
    /// Does nothing after the first time.
    fn sweep(&mut self) -> Vec<(TunnelId, Assignment)> {
        let handed_on = match self.hand_on() {
            Ok(handed_on) => handed_on,
            Err(error) => {
                tracing::warn!(%error, "guard routes of an adit that is gone are left");
                self.guards.share();
                return Vec::new();
            }
        };
        let swept = self.guards.sweep(&mut self.netlink, &self.beside);
        match swept {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed guard routes of an adit that is gone"),
            Err(error) => {
                tracing::warn!(%error, "guard routes of an adit that is gone are left");
            }
        }
        handed_on
    }

    /// Gives what an adit left to those who may need it, each of them all of it: whose it was nobody can tell.
    fn hand_on(&mut self) -> Result<Vec<(TunnelId, Assignment)>, NetlinkError> {
        let heirs = std::mem::take(&mut self.heirs);
        if heirs.is_empty() || !self.guards.is_alone() {
            return Ok(Vec::new());
        }
        let guards = self.guards.left(&mut self.netlink)?;
        let beside = self.beside.left(&mut self.netlink)?;
        let mut handed_on = Vec::new();
        for heir in heirs {
            let guards = guards.iter().copied();
            let guards: Vec<_> = guards.filter(|it| heir.learns.may_be(*it)).collect();
            if guards.is_empty() {
                continue;
            }
            let is_configured = |it: &Route| {
                let mut networks = heir.networks.iter();
                networks.any(|network| network.overlaps(it.destination))
            };
            let beside = beside.iter().filter(|it| !is_configured(it));
            let beside: Vec<_> = beside.cloned().collect();
            let assignment = Assignment {
                guards: guards.clone(),
                beside: beside.iter().map(|route| route.destination).collect(),
                ..Assignment::default()
            };
            tracing::info!(
                tunnel = heir.name,
                guards = guards.len(),
                "guard routes of an adit that is gone stay until the server says what it needs"
            );
            self.guards.inherit(heir.tunnel, guards);
            self.beside.inherit(heir.tunnel, beside);
            handed_on.push((heir.tunnel, assignment));
        }
        Ok(handed_on)
    }
}
