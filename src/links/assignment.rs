//! What a tunnel's interface has besides what is configured, because the peer said so: an address, routes, their guards, and what must
//! not be drawn into the tunnel by them.

use std::net::IpAddr;

use rustix::io::Errno;

use super::plan::LinkError;
use crate::io::address::Prefix;
use crate::io::netlink::Netlink;
use crate::io::route::Route;

/// What the peer assigned to an interface; the default takes all of it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// An address of the interface.
    pub address: Option<IpAddr>,
    /// Networks that are routed through it while the tunnel is up.
    pub routes: Vec<Prefix>,
    /// Networks with guard routes, which stay when the tunnel goes.
    pub guards: Vec<Prefix>,
    /// Addresses that the tunnel's own packets go to: they leave beside it, or no route is made that holds them.
    pub peers: Vec<IpAddr>,
    /// Networks that keep the way they have.
    pub beside: Vec<Prefix>,
}

impl Assignment {
    /// What leaves beside the tunnel: peers as far as something of it holds them.
    pub(super) fn kept_out(&self) -> Vec<Prefix> {
        let held = |peer: &&IpAddr| {
            let mut drawn = self.routes.iter().chain(&self.guards);
            drawn.any(|network| network.contains(**peer))
        };
        let peers = self.peers.iter().filter(held).copied().map(Prefix::host);
        let mut kept_out: Vec<_> = peers.chain(self.beside.iter().copied()).collect();
        kept_out.sort_unstable();
        kept_out.dedup();
        kept_out
    }

    /// Leaves out the routes that hold a peer to which there is no way beside the tunnel, and gives the first such peer. What is kept
    /// out as a whole is not drawn in either. Guards stay: where there is no way they take none.
    pub(super) fn spare(&mut self, ways: &[Prefix]) -> Option<IpAddr> {
        let lost = |peer: &&IpAddr| !ways.contains(&Prefix::host(**peer));
        let lost: Vec<_> = self.peers.iter().filter(lost).copied().collect();
        let mut first = None;
        self.routes.retain(|network| {
            let held = lost.iter().find(|peer| network.contains(**peer));
            first = first.or(held.copied());
            held.is_none() && !ways.contains(network)
        });
        first
    }

    pub(super) fn add_address(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        match self.address {
            Some(address) => Ok(netlink.replace_address(index, Prefix::host(address))?),
            None => Ok(()),
        }
    }

    /// Makes the routes; on an error as many as can be.
    pub(super) fn add_routes(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        let mut result = Ok(());
        for &network in &self.routes {
            let route = Route::learned(network, index, self.address);
            result = result.and(netlink.replace_route(&route));
        }
        Ok(result?)
    }

    /// Removes the routes but these.
    pub(super) fn withdraw_routes(
        &self,
        kept: &[Prefix],
        netlink: &mut Netlink,
        index: u32,
    ) -> Result<(), LinkError> {
        let mut result = Ok(());
        for &network in self.routes.iter().filter(|it| !kept.contains(it)) {
            let route = Route::learned(network, index, None);
            result = result.and(netlink.remove_route_if_there(&route));
        }
        Ok(result?)
    }

    /// Removes the address, unless that is `next`; tells whether it did. With an interface's last address the kernel removes all of its
    /// routes.
    pub(super) fn remove_address(
        &self,
        next: Option<IpAddr>,
        netlink: &mut Netlink,
        index: u32,
    ) -> Result<bool, LinkError> {
        let Some(address) = self.address.filter(|_| self.address != next) else {
            return Ok(false);
        };
        match netlink.remove_address(index, Prefix::host(address)) {
            Err(error) if error.errno() != Errno::ADDRNOTAVAIL => Err(error.into()),
            Ok(()) | Err(_) => Ok(true),
        }
    }
}
