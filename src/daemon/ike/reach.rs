//! How a peer can begin: sockets that IKE listens by, and the addresses that it may have.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use super::super::tunnel::Managed;
use super::super::{Daemon, Message as ToDaemon, resolve};
use super::{Message, RETRY};
use crate::config::{self, Remote};
use crate::dataplane::TunnelId;
use crate::ike_lane::{Act, IkeCommand, IkeSocket, Place};
use crate::io::netns;
use crate::io::raw::Family;
use crate::io::udp::UdpSocket;

/// How often the names of peers that may initiate are resolved again.
const LEARN_AGAIN: Duration = Duration::from_secs(60);

impl Managed {
    /// Who may initiate: the addresses that the remotes have, or anybody.
    pub(in crate::daemon) fn initiators(&self) -> Option<Vec<IpAddr>> {
        if self.config.remotes.contains(&Remote::Any) {
            return None;
        }
        Some(self.known_remotes().map(|(_, address)| address).collect())
    }

    /// The addresses that the remotes have, as far as they are known, each with its remote's place.
    pub(in crate::daemon) fn known_remotes(&self) -> impl Iterator<Item = (usize, IpAddr)> {
        let remotes = self.config.remotes.iter().enumerate();
        let literal = remotes.filter_map(|(candidate, remote)| match remote {
            Remote::Address(address) => Some((candidate, *address)),
            Remote::Name(_) | Remote::Any => None,
        });
        let known = self.ike.iter().flat_map(|ike| &ike.known);
        literal.chain(known.map(|(candidate, address)| (*candidate, *address)))
    }
}

impl Daemon {
    /// Opens the sockets by which the peer may begin, and tries again where it cannot.
    pub(super) fn listen_for_peers(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let mut refused = None;
        let mut listens = false;
        for family in tunnel.config.outer_families() {
            match self.listen(id, family_of(family)) {
                Ok(()) => listens = true,
                Err(why) => refused = Some(why),
            }
        }
        // A host without one of the families has nobody there to listen to.
        if let Some(why) = refused.filter(|_| !listens) {
            self.complain(id, "ike-failed", why);
            self.begin_again(id, RETRY);
        }
    }

    /// Opens the sockets of a tunnel's namespace that IKE needs, unless they are open.
    pub(super) fn listen(&mut self, id: TunnelId, family: Family) -> Result<(), String> {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return Ok(());
        };
        let (netns, ports) = (tunnel.outer, [self.ike_ports.port, self.ike_ports.nat_port]);
        let places = ports.map(|port| Place {
            netns,
            family,
            port,
        });
        let [own, shared] = places;
        let refused = |port: u16| move |error: io::Error| format!("UDP port {port}: {error}");
        if !self.listening.contains(&own) {
            let fd = self.outers.netns(netns);
            let socket = netns::within(fd.as_ref().map(AsFd::as_fd), || {
                UdpSocket::open(family, own.port)
            });
            let socket = socket
                .and_then(|socket| socket)
                .map_err(refused(own.port))?;
            self.tell_lane(IkeCommand::Listen(own, IkeSocket::Own(Box::new(socket))));
            self.listening.insert(own);
        }
        if !self.listening.contains(&shared) {
            let socket = self.outers.udp(netns, family, shared.port);
            let socket = socket.map_err(refused(shared.port))?;
            self.plane
                .listen(netns, family, shared.port, socket.clone());
            self.tell_lane(IkeCommand::Listen(shared, IkeSocket::Shared(socket)));
            self.listening.insert(shared);
        }
        Ok(())
    }

    /// Resolves the names of the remotes, so that these may initiate.
    pub(super) fn learn_remotes(&self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let (local, attempt) = (tunnel.config.local, tunnel.attempt);
        let netns = self.outers.netns(tunnel.outer);
        let mut has_names = false;
        for (candidate, remote) in tunnel.config.remotes.iter().enumerate() {
            let Remote::Name(name) = remote else { continue };
            has_names = true;
            let (name, netns, messages) = (name.clone(), netns.clone(), self.messages.clone());
            tokio::spawn(async move {
                if let Ok(address) = resolve::resolve(name, local, netns).await {
                    // The loop is gone when the daemon stops.
                    let _ = messages
                        .send(ToDaemon::Ike(
                            id,
                            Message::Learned(attempt, candidate, address),
                        ))
                        .await;
                }
            });
        }
        if has_names {
            self.later(LEARN_AGAIN, ToDaemon::Ike(id, Message::Learn(attempt)));
        }
    }

    /// A name of a remote means this address.
    pub(super) fn learned(&mut self, id: TunnelId, candidate: usize, address: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        if ike.known.insert(candidate, address) != Some(address) {
            let initiators = tunnel.initiators();
            self.act_on(id, Act::SetRemotes(initiators));
            self.refresh_easy_vpn(id);
        }
    }
}

fn family_of(family: config::Family) -> Family {
    match family {
        config::Family::Ipv4 => Family::V4,
        config::Family::Ipv6 => Family::V6,
    }
}
