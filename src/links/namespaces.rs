//! The network namespaces of the interfaces: a socket, the lock and the guard routes of each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::guards::Guards;
use super::plan::{self, LinkError};
use crate::config::TunnelConfig;
use crate::dataplane::TunnelId;
use crate::io::address::Prefix;
use crate::io::netlink::Netlink;
use crate::io::netns::{self, Netns, NetnsId};

/// What a tunnel of the configuration has guarded.
#[derive(Clone, Debug)]
pub struct Guarded {
    tunnel: TunnelId,
    name: String,
    netns: Netns,
    networks: Vec<Prefix>,
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
        self.enter(namespace.as_ref())
            .and_then(|netns| self.add_guards(tunnel.tunnel, netns, tunnel.networks.clone()))
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
            Some(Namespace { netlink, guards }) => Ok(guards.add(netlink, tunnel, networks)?),
            None => Ok(()),
        }
    }

    /// Removes the guards of a tunnel wherever it has some.
    pub(super) fn remove_guards(&mut self, tunnel: TunnelId) -> Result<(), LinkError> {
        let mut result = Ok(());
        for Namespace { netlink, guards } in self.entered.values_mut() {
            result = result.and(guards.remove(netlink, tunnel));
        }
        Ok(result?)
    }

    /// Ends the start: other adits may come into all namespaces, after the guards went that nobody needs.
    pub(super) fn finish_start(&mut self) {
        self.started = true;
        for namespace in self.entered.values_mut() {
            namespace.sweep();
        }
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
    fn sweep(&mut self) {
        match self.guards.sweep(&mut self.netlink) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed guard routes of an adit that is gone"),
            Err(error) => {
                tracing::warn!(%error, "guard routes of an adit that is gone are left");
            }
        }
    }
}
