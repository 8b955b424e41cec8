//! The way to a tunnel's peer: addresses, sockets and MTU, as the routes show them now.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_proto::liveness::Path;

use super::paths::OuterId;
use super::{Daemon, Message, settings};
use crate::control::Event;
use crate::dataplane::TunnelId;
use crate::links::LinkCommand;

/// How soon sockets that could not be opened are tried again.
const SOCKET_RETRY: Duration = Duration::from_secs(1);
/// The outer path's MTU while no route tells it.
pub(super) const PATH_MTU_UNKNOWN: u16 = 1500;

impl Daemon {
    /// Sends the tunnel to `remote` by the way that the routes show now; with nothing changed, nothing happens.
    pub(super) fn route(&mut self, id: TunnelId, remote: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let route = self
            .outers
            .route(tunnel.outer, tunnel.bound_to(), remote)
            .ok();
        let leaves_by = route
            .as_ref()
            .and_then(|route| self.outers.interface(tunnel.outer, route));
        // A way through the tunnel itself is none: what is sent that way is refused packet by packet.
        let route = route.filter(|_| {
            tunnel.inside != tunnel.outer
                || leaves_by.as_deref() != Some(tunnel.config.interface.as_str())
        });
        let known = route.as_ref().map(|route| route.source);
        let Some(local) = tunnel
            .bound_to()
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
        let mut moved = None;
        if tunnel.path != Some(path) || tunnel.opened_for != tunnel.config.udp {
            let (outer, interface) = (tunnel.outer, leaves_by.as_deref());
            let sockets = self.outers.sockets(outer, path, &tunnel.config, interface);
            match sockets {
                Ok(sockets) => {
                    if let Some(before) = tunnel.path.replace(path) {
                        let claims = tunnel.claims(before.remote);
                        self.plane.tell_others(id, &claims, false);
                    }
                    tunnel.unreached = None;
                    tunnel.opened_for = tunnel.config.udp;
                    self.plane.tell_others(id, &tunnel.claims(remote), true);
                    moved = Some((path, sockets));
                }
                Err(error) => self.unreached(id, remote, format!("outer socket: {error}")),
            }
        }
        // First what the path takes: no packet leaves by it that it would not take.
        self.apply_mtu(id);
        if let Some(moved) = moved {
            self.plane.set_path(id, Some(moved));
        }
    }

    /// No socket could be opened to that remote.
    fn unreached(&mut self, id: TunnelId, remote: IpAddr, why: String) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if tunnel.last_error.as_deref() != Some(&*why) {
            tracing::error!(tunnel = tunnel.config.name, "{why}");
        }
        tunnel.last_error = Some(why);
        // A port that another program has may be free later. One timer, whichever remote it is.
        if tunnel.unreached.replace(remote).is_none() {
            self.later(SOCKET_RETRY, Message::Reroute(id));
        }
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
        let inner = settings::inner_mtu(&tunnel.config, tunnel.suite(), tunnel.path, outer);
        // A packet that is padded has to fit as well as one that is not.
        let fits = settings::fitting_mtu(&tunnel.config, tunnel.suite(), tunnel.path, outer);
        self.plane
            .set_tfc(id, tunnel.config.tfc_octets(inner).min(fits));
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

    pub(super) fn probe_preferred(&mut self, id: TunnelId, address: IpAddr) {
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
        let sockets = self
            .outers
            .sockets(tunnel.outer, path, &tunnel.config, None);
        if let Ok(sockets) = sockets {
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
        self.outers.remember();
        for id in ids {
            self.refresh_easy_vpn(id);
            let Some(tunnel) = self.tunnels.get_mut(&id) else {
                continue;
            };
            if tunnel.ike.is_some() && self.ike_path_changed(id) {
                continue;
            }
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
        self.outers.forget();
    }
}
