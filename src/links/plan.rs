//! What an interface is to look like, and how it comes to look so.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::assignment::Assignment;
use crate::config::OnDead;
use crate::io::address::Prefix;
use crate::io::link;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::netns;
use crate::io::raw::Family;
use crate::io::route::Route;
use crate::io::tun::{OffloadSwitches, TunDevice, TunError};

/// How long a device that was let go of may take to be gone.
const GONE_WITHIN: Duration = Duration::from_millis(200);
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// What an interface is to look like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface's name.
    pub interface: String,
    /// Where it lives; none is the daemon's own namespace.
    pub netns: Option<Arc<OwnedFd>>,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// What is routed through it while the tunnel is up.
    pub routes: Vec<Prefix>,
    /// Whether what is routed into it has guard routes behind it, from before it is made until the tunnel is taken down.
    pub guard: bool,
    /// What happens to it while the peer is dead.
    pub on_dead: OnDead,
    /// Whether it takes traffic while the tunnel sleeps, which is what wakes that.
    pub wakes: bool,
    /// What it does in one piece.
    pub offload: OffloadSwitches,
    /// Its MTU.
    pub mtu: u16,
}

impl Plan {
    /// Makes the device: up, with addresses, without carrier and routes.
    pub(super) fn make(
        &self,
        netlink: &mut Netlink,
        assignment: &Assignment,
    ) -> Result<TunDevice, LinkError> {
        let inside = self.netns.as_ref().map(AsFd::as_fd);
        let device = netns::within(inside, || {
            let device = self.create()?;
            if self.on_dead.carrier && !self.on_dead.withdraw_routes {
                for family in [Family::V4, Family::V6] {
                    if let Err(error) = link::ignore_routes_with_linkdown(family, &self.interface) {
                        tracing::warn!(
                            interface = self.interface, ?family, %error,
                            "routes stay usable without carrier: ignore_routes_with_linkdown could not be set"
                        );
                    }
                }
            }
            Ok::<_, LinkError>(device)
        })??;
        netlink.set_mtu(device.index(), u32::from(self.mtu))?;
        netlink.set_up(device.index(), true)?;
        self.add_addresses(netlink, device.index())?;
        assignment.add_address(netlink, device.index())?;
        Ok(device)
    }

    /// Makes the device once its name is free: one of ours that goes has it for a moment longer, in its worker and in the kernel.
    fn create(&self) -> Result<TunDevice, TunError> {
        let began = Instant::now();
        loop {
            let created = TunDevice::create(&self.interface, self.offload);
            let is_taken = matches!(created, Err(TunError::NameTaken { .. }));
            if !is_taken || began.elapsed() > GONE_WITHIN {
                return created;
            }
            thread::sleep(LOOK_AFTER);
        }
    }

    fn add_addresses(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        for &address in &self.addresses {
            netlink.replace_address(index, address)?;
        }
        Ok(())
    }

    /// Brings the interface to what is configured and assigned, whatever of it is there already.
    pub(super) fn configure(
        &self,
        netlink: &mut Netlink,
        index: u32,
        assignment: &Assignment,
    ) -> Result<(), LinkError> {
        netlink.set_mtu(index, u32::from(self.mtu))?;
        self.add_addresses(netlink, index)?;
        for &route in &self.routes {
            netlink.replace_route(&Route::through(route, index))?;
        }
        assignment.add_address(netlink, index)?;
        assignment.add_routes(netlink, index)
    }

    pub(super) fn withdraw(
        &self,
        netlink: &mut Netlink,
        index: u32,
        assignment: &Assignment,
    ) -> Result<(), LinkError> {
        for &route in &self.routes {
            netlink.remove_route_if_there(&Route::through(route, index))?;
        }
        assignment.withdraw_routes(&[], netlink, index)
    }
}

/// What must leave by a tunnel or not at all: its routes and the networks of its addresses.
#[must_use]
pub fn guarded(routes: &[Prefix], addresses: &[Prefix]) -> Vec<Prefix> {
    let networks = addresses.iter();
    let networks = networks.map(|address| Prefix::new(address.network(), address.length));
    // What is link-local never leaves by another interface.
    let routable = |prefix: &Prefix| match prefix.address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    let all = routes.iter().copied().chain(networks);
    all.filter(routable).collect()
}

/// Why an interface is not as it should be.
#[derive(Debug)]
pub(super) enum LinkError {
    Netlink(NetlinkError),
    Tun(TunError),
    System(io::Error),
    /// To this peer of the tunnel there is no way but the tunnel itself.
    NoWayBeside(IpAddr),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netlink(error) => error.fmt(f),
            Self::Tun(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
            Self::NoWayBeside(peer) => write!(
                f,
                "no way to the peer {peer} beside the tunnel: networks that hold it are not routed into the tunnel"
            ),
        }
    }
}

impl From<NetlinkError> for LinkError {
    fn from(error: NetlinkError) -> Self {
        Self::Netlink(error)
    }
}

impl From<TunError> for LinkError {
    fn from(error: TunError) -> Self {
        Self::Tun(error)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for LinkError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}
