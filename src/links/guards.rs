//! Guard routes: what is routed into a tunnel has an unreachable route behind it, so that it leaves by the tunnel or not at all.
//!
//! They stay when the process dies: that is what they are for. Each adit that has tunnels in a network namespace holds a lock on it
//! (flock(2) on the namespace itself, which ends with the process): the first to come has it alone until its tunnels are made, and may
//! remove the guards that it does not need, since nobody is there who does. All others share it, and remove nothing but their own.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::beside::Beside;
use crate::dataplane::TunnelId;
use crate::io::address::Prefix;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::raw::Family;
use crate::io::route::{ROUTE_PROTOCOL, Route, RouteFilter};

/// How long another adit may hold a namespace alone: while it starts.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(10);

/// What becomes of a tunnel's guards when its interface goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardFate {
    /// They stay: the tunnel is still wanted, or nobody said otherwise.
    Stay,
    /// They go with it: the operator took the tunnel down.
    Go,
}

/// The guard routes of one network namespace.
pub(super) struct Guards {
    held: BTreeMap<TunnelId, Vec<Prefix>>,
    /// Of networks that a tunnel's peer named.
    learned: BTreeMap<TunnelId, Vec<Prefix>>,
    /// The namespace under the lock; closing it ends the lock.
    namespace: Arc<OwnedFd>,
    hold: Hold,
}

/// How the namespace is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// No other adit has tunnels there.
    Alone,
    Shared,
    /// Somebody who is no adit, or one that hangs, holds it.
    Not,
}

impl Guards {
    /// Locks the namespace, waiting while another adit starts in it.
    pub(super) fn open(namespace: Arc<OwnedFd>) -> Self {
        let alone = rustix::fs::flock(&*namespace, FlockOperation::NonBlockingLockExclusive);
        let mut guards = Self {
            held: BTreeMap::new(),
            learned: BTreeMap::new(),
            namespace,
            hold: Hold::Alone,
        };
        if alone.is_err() {
            guards.share();
        }
        guards
    }

    /// Makes the guards of a tunnel. On an error as many as can be are made, and all are held.
    pub(super) fn add(
        &mut self,
        netlink: &mut Netlink,
        tunnel: TunnelId,
        prefixes: Vec<Prefix>,
    ) -> Result<(), NetlinkError> {
        let prefixes = self.held.entry(tunnel).insert_entry(prefixes);
        let mut result = Ok(());
        for &prefix in prefixes.get() {
            result = result.and(netlink.replace_route(&Route::guard(prefix)));
        }
        result
    }

    /// Guards these networks for the tunnel instead of those that its peer named before. As [`Self::add`] on an error.
    pub(super) fn learn(
        &mut self,
        netlink: &mut Netlink,
        tunnel: TunnelId,
        prefixes: &[Prefix],
    ) -> Result<(), NetlinkError> {
        let before = self.learned.insert(tunnel, prefixes.to_vec());
        let mut result = Ok(());
        for &prefix in prefixes {
            result = result.and(netlink.replace_route(&Route::guard(prefix)));
        }
        result.and(self.remove_unneeded_of(netlink, before.unwrap_or_default()))
    }

    /// Removes the guards of a tunnel that no other tunnel needs.
    pub(super) fn remove(
        &mut self,
        netlink: &mut Netlink,
        tunnel: TunnelId,
    ) -> Result<(), NetlinkError> {
        let mut before = self.held.remove(&tunnel).unwrap_or_default();
        before.extend(self.learned.remove(&tunnel).unwrap_or_default());
        self.remove_unneeded_of(netlink, before)
    }

    fn remove_unneeded_of(
        &self,
        netlink: &mut Netlink,
        prefixes: Vec<Prefix>,
    ) -> Result<(), NetlinkError> {
        let mut result = Ok(());
        for prefix in prefixes {
            if !self.needs(prefix) {
                result = result.and(netlink.remove_route_if_there(&Route::guard(prefix)));
            }
        }
        result
    }

    /// Ends the start: removes the guards that an adit left which is no more, and what it had leave beside its tunnels, and tells how
    /// many; then others may come.
    pub(super) fn sweep(
        &mut self,
        netlink: &mut Netlink,
        beside: &Beside,
    ) -> Result<usize, NetlinkError> {
        if self.hold != Hold::Alone {
            return Ok(0);
        }
        let swept = self
            .remove_unneeded(netlink)
            .and_then(|guards| Ok(guards + beside.sweep(netlink)?));
        self.share();
        // Kernels that let another in between two kinds of lock let it sweep too.
        for &prefix in self.held.values().chain(self.learned.values()).flatten() {
            netlink.replace_route(&Route::guard(prefix))?;
        }
        swept
    }

    /// Whether no other adit has tunnels in the namespace: what nobody here needs is of one that is no more.
    pub(super) fn is_alone(&self) -> bool {
        self.hold == Hold::Alone
    }

    /// Takes these networks for what the tunnel's peer named, until it names some.
    pub(super) fn inherit(&mut self, tunnel: TunnelId, prefixes: Vec<Prefix>) {
        self.learned.entry(tunnel).or_insert(prefixes);
    }

    fn remove_unneeded(&self, netlink: &mut Netlink) -> Result<usize, NetlinkError> {
        let left = self.left(netlink)?;
        for &prefix in &left {
            netlink.remove_route_if_there(&Route::guard(prefix))?;
        }
        Ok(left.len())
    }

    /// The networks of guards that no tunnel needs.
    pub(super) fn left(&self, netlink: &mut Netlink) -> Result<Vec<Prefix>, NetlinkError> {
        let mut left = Vec::new();
        for family in [Family::V4, Family::V6] {
            let routes = netlink.routes(RouteFilter {
                family: Some(family),
                interface: None,
                protocol: Some(ROUTE_PROTOCOL),
            })?;
            let guards = routes.iter().filter(|route| route.is_guard());
            let guards = guards.map(|route| route.destination);
            left.extend(guards.filter(|guard| !self.needs(*guard)));
        }
        Ok(left)
    }

    fn needs(&self, prefix: Prefix) -> bool {
        let mut all = self.held.values().chain(self.learned.values()).flatten();
        all.any(|held| *held == prefix)
    }

    /// Lets other adits in.
    pub(super) fn share(&mut self) {
        let start = Instant::now();
        self.hold = loop {
            match rustix::fs::flock(&*self.namespace, FlockOperation::NonBlockingLockShared) {
                Ok(()) => break Hold::Shared,
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(RETRY);
                }
                Err(errno) => {
                    tracing::warn!(
                        %errno,
                        "the network namespace is locked by somebody: another adit's start may remove guard routes"
                    );
                    break Hold::Not;
                }
            }
        };
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guards")
            .field("held", &self.held)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}
