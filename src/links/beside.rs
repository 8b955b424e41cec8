//! Routes that keep something out of a tunnel: the way to it that the host had, made narrower than what the tunnel draws in.

use std::collections::BTreeMap;

use crate::dataplane::TunnelId;
use crate::io::address::Prefix;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::raw::Family;
use crate::io::route::{ROUTE_PROTOCOL, Route, RouteFilter, RouteKind};

/// What leaves beside a tunnel.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The networks that do.
    pub(super) networks: Vec<Prefix>,
    /// What the kernel refused first: why one of the others does not, to which there is a way.
    pub(super) refused: Option<NetlinkError>,
}

/// The routes of one network namespace that lead beside its tunnels.
#[derive(Debug, Default)]
pub(super) struct Beside {
    held: BTreeMap<TunnelId, Vec<Route>>,
}

impl Beside {
    /// Keeps these networks out of the tunnel whose interface has that index, by the way that the host has to each now.
    pub(super) fn keep_out(
        &mut self,
        netlink: &mut Netlink,
        (tunnel, index): (TunnelId, Option<u32>),
        networks: &[Prefix],
    ) -> Kept {
        if networks.is_empty() && !self.held.contains_key(&tunnel) {
            return Kept::default();
        }
        let filter = RouteFilter {
            family: Some(Family::V4),
            ..RouteFilter::default()
        };
        let there = match netlink.routes(filter) {
            Ok(there) => there,
            Err(error) => {
                // As before, as far as is known.
                let held = self.held.get(&tunnel).into_iter().flatten();
                return Kept {
                    networks: held.map(|route| route.destination).collect(),
                    refused: Some(error),
                };
            }
        };
        let ways = there.iter().filter(|route| {
            let is_way = route.kind == RouteKind::Unicast && route.interface.is_some();
            is_way && !route.is_beside() && route.interface != index
        });
        let ways: Vec<_> = ways.collect();
        let wanted = networks.iter().filter_map(|&network| {
            let way = way(&ways, network)?;
            Some(Route::beside(network, way))
        });
        let wanted = wanted.collect();
        let before = self.held.insert(tunnel, wanted).unwrap_or_default();
        let mut kept = Kept {
            networks: Vec::new(),
            refused: self.forget(netlink, before).err(),
        };
        for route in self.held.get(&tunnel).into_iter().flatten() {
            let is_same = |other: &&Route| {
                other.is_beside()
                    && (other.destination, other.interface, other.gateway)
                        == (route.destination, route.interface, route.gateway)
            };
            // What is there is left alone: each change of a route has all of them looked at again.
            let is_there = there.iter().any(|other| is_same(&other));
            let made = match is_there {
                true => Ok(()),
                false => netlink.replace_route(route),
            };
            match made {
                Ok(()) => kept.networks.push(route.destination),
                Err(error) => kept.refused = kept.refused.or(Some(error)),
            }
        }
        kept
    }

    /// Removes the routes of a tunnel that no other tunnel needs.
    pub(super) fn remove(
        &mut self,
        netlink: &mut Netlink,
        tunnel: TunnelId,
    ) -> Result<(), NetlinkError> {
        let before = self.held.remove(&tunnel).unwrap_or_default();
        self.forget(netlink, before)
    }

    /// Removes what an adit left that is no more, and tells how many.
    pub(super) fn sweep(&self, netlink: &mut Netlink) -> Result<usize, NetlinkError> {
        let left = self.left(netlink)?;
        for route in &left {
            netlink.remove_route_if_there(route)?;
        }
        Ok(left.len())
    }

    /// Takes these routes for the tunnel's, until it is said what leaves beside it.
    pub(super) fn inherit(&mut self, tunnel: TunnelId, routes: Vec<Route>) {
        self.held.entry(tunnel).or_insert(routes);
    }

    /// The routes beside tunnels that no tunnel needs.
    pub(super) fn left(&self, netlink: &mut Netlink) -> Result<Vec<Route>, NetlinkError> {
        let routes = netlink.routes(RouteFilter {
            protocol: Some(ROUTE_PROTOCOL),
            ..RouteFilter::default()
        })?;
        let left = routes.into_iter().filter(Route::is_beside);
        Ok(left.filter(|route| !self.needs(route)).collect())
    }

    fn forget(&self, netlink: &mut Netlink, before: Vec<Route>) -> Result<(), NetlinkError> {
        let mut result = Ok(());
        for route in before {
            if !self.needs(&route) {
                result = result.and(netlink.remove_route_if_there(&route));
            }
        }
        result
    }

    fn needs(&self, route: &Route) -> bool {
        let mut held = self.held.values().flatten();
        held.any(|held| held.destination == route.destination)
    }
}

/// The route that takes what is sent to all of a network: the longest of those that hold it, and of these the one of the best metric.
fn way<'a>(routes: &[&'a Route], network: Prefix) -> Option<&'a Route> {
    let holds = |route: &&&Route| {
        route.destination.length <= network.length && route.destination.contains(network.address)
    };
    let better = |route: &&&Route| {
        let metric = route.metric.unwrap_or_default();
        (route.destination.length, std::cmp::Reverse(metric))
    };
    routes.iter().filter(holds).max_by_key(better).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length)
    }

    fn route(address: &str, length: u8, interface: u32, metric: u32) -> Route {
        Route {
            metric: Some(metric),
            ..Route::through(prefix(address, length), interface)
        }
    }

    #[test]
    fn the_way_to_a_network_is_the_longest_route_that_holds_all_of_it_of_the_best_metric() {
        let routes = [
            route("0.0.0.0", 0, 1, 100),
            route("0.0.0.0", 0, 2, 50),
            route("192.0.2.0", 24, 3, 700),
            route("192.0.2.128", 25, 4, 0),
        ];
        let routes: Vec<_> = routes.iter().collect();
        let by = |address, length| {
            way(&routes, prefix(address, length)).and_then(|route| route.interface)
        };
        assert_eq!(by("198.51.100.1", 32), Some(2));
        assert_eq!(by("192.0.2.1", 32), Some(3));
        assert_eq!(by("192.0.2.200", 32), Some(4));
        assert_eq!(by("192.0.2.0", 24), Some(3));
        assert_eq!(by("192.0.0.0", 16), Some(2));
        assert_eq!(
            way(&[], prefix("192.0.2.1", 32)),
            None,
            "without a route there is no way"
        );
    }
}
