//! What a worker has: tunnels, sockets and devices coming and going.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_proto::liveness::{DownReason, Path};
use adit_proto::tunnel::Encap;
use rustix::event::epoll;
use rustix::io::Errno;

use super::children::Children;
use super::outbox::Kind;
use super::socket::{self, Carries, OuterSocket, Receiver};
use super::table::{Source, Table};
use super::tunnel::{Preferred, Tunnel};
use super::worker::{DEVICE, Worker};
use super::{NewTunnel, Reading, SocketOffer, TunnelId};
use crate::io::netns::NetnsId;
use crate::io::raw::Family;
use crate::io::tun::TunDevice;
use crate::io::udp::UdpSocket;
use crate::links::LinkCommand;

impl Worker {
    pub(super) fn tunnel_mut(&mut self, slot: usize) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(slot)?.as_deref_mut()
    }

    pub(super) fn add(&mut self, new: NewTunnel, now: Instant) {
        let slot = self
            .tunnels
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.tunnels.len());
        self.slots.insert(new.id, slot);
        let tunnel = Some(Box::new(Tunnel::new(new, now)));
        match self.tunnels.get_mut(slot) {
            Some(free) => *free = tunnel,
            None => self.tunnels.push(tunnel),
        }
        self.attend(slot, now);
    }

    pub(super) fn remove(&mut self, id: TunnelId, now: Instant) {
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        self.flush();
        self.set_path(slot, None, now);
        self.detach(slot);
        if let Some(scheduled) = self.tunnel_mut(slot).and_then(|tunnel| tunnel.scheduled) {
            self.timers.remove(&(scheduled, slot));
        }
        if let Some(place) = self.tunnels.get_mut(slot) {
            *place = None;
        }
    }

    /// What is known of the tunnel in `slot`.
    pub(super) fn read(&self, slot: usize) -> Option<Reading> {
        let tunnel = self.tunnels.get(slot)?.as_deref()?;
        let socket = tunnel.sockets.first();
        let socket = socket.and_then(|&socket| self.sockets.get(socket)?.as_ref());
        let mut dialects: Vec<_> = tunnel.answerer.dialects().collect();
        if tunnel.clear_answers > 0 {
            dialects.push(("answer-in-clear", tunnel.clear_answers));
        }
        Some(Reading {
            liveness: tunnel.liveness.status(),
            dialects,
            socket_drops: socket
                .and_then(|socket| socket.receiver.dropped().ok())
                .map_or(0, u64::from),
            ipsec: tunnel.ipsec_reading(),
            gso_fallbacks: self.outbox.gso_fallbacks(slot),
        })
    }

    pub(super) fn attach(&mut self, slot: usize, device: Arc<TunDevice>) {
        self.detach(slot);
        let data = epoll::EventData::new_u64(DEVICE + slot as u64);
        let added = epoll::add(&self.epoll, device.fd(), data, epoll::EventFlags::IN);
        if let Some(tunnel) = self.tunnel_mut(slot) {
            match added {
                Ok(()) => tunnel.device = Some(device),
                Err(error) => {
                    tracing::error!(tunnel = %tunnel.id, %error, "the device is not read")
                }
            }
        }
    }

    pub(super) fn detach(&mut self, slot: usize) {
        let Some(device) = self
            .tunnel_mut(slot)
            .and_then(|tunnel| tunnel.device.take())
        else {
            return;
        };
        // It fails only for a descriptor that epoll does not know, and then there is nothing to remove.
        let _ = epoll::delete(&self.epoll, device.fd());
    }

    /// The device of `slot` cannot be read any more: somebody deleted it.
    pub(super) fn lose_device(&mut self, slot: usize, error: Errno) {
        let now = Instant::now();
        self.detach(slot);
        let Some(tunnel) = self.tunnel_mut(slot) else {
            return;
        };
        let id = tunnel.id;
        tracing::warn!(tunnel = %id, %error, "the device is gone");
        tunnel.liveness.suspend(now, DownReason::DeviceGone);
        self.attend(slot, now);
        if self.config.links.try_send(LinkCommand::Gone(id)).is_err() {
            tracing::error!(tunnel = %id, "the link lane is full: the device stays gone");
        }
    }

    /// Sends the tunnel in `slot` by another way, or by none.
    pub(super) fn set_path(
        &mut self,
        slot: usize,
        path: Option<(Path, SocketOffer)>,
        now: Instant,
    ) {
        self.flush();
        let remote = path.as_ref().map(|(path, _)| path.remote);
        let before = self
            .tunnel_mut(slot)
            .and_then(|tunnel| tunnel.liveness.path());
        let same_remote = remote.is_some() && before.map(|path| path.remote) == remote;
        self.leave_path(slot);
        self.leave_preferred(slot);
        let joined = path.map(|(path, offer)| (path, self.join_sockets(slot, Kind::User, offer)));
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let path = joined.as_ref().map(|&(path, _)| path);
        let mut kept = None;
        if let Some((path, sockets)) = joined {
            tunnel.parameters.local = path.local;
            tunnel.parameters.remote = path.remote;
            tunnel.encap.set_remote(path.local, path.remote);
            if let Some(ports) = tunnel.parameters.udp {
                tunnel.encap.set_remote_port(ports.remote);
            }
            kept = tunnel.followed().filter(|_| same_remote);
            tunnel.decap.forget_sequence();
            tunnel.sockets = sockets;
            enter(&mut self.table, tunnel, slot);
        }
        tunnel.liveness.set_path(now, path);
        // A pair may have come before the way to its peer. Another way is no sign of life of a peer that has a pair already.
        let has_pair = |ipsec: &Children| ipsec.has_ike && ipsec.has_pair();
        if path.is_some()
            && tunnel.liveness.lacks_sa()
            && tunnel.ipsec.as_ref().is_some_and(has_pair)
        {
            tunnel.liveness.handle_established(now);
        }
        // Only our own address has changed: a peer that was followed is still where it was heard.
        if let Some(peer) = kept {
            self.follow(slot, peer);
        }
        self.attend(slot, now);
    }

    pub(super) fn probe_preferred(
        &mut self,
        slot: usize,
        path: Path,
        steady: Duration,
        offer: SocketOffer,
        now: Instant,
    ) {
        self.leave_preferred(slot);
        let sockets = self.join_sockets(slot, Kind::PreferredRequest, offer);
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let mut parameters = tunnel.parameters;
        parameters.local = path.local;
        parameters.remote = path.remote;
        tunnel.preferred = Some(Preferred {
            path,
            encap: Encap::new(&parameters),
            sockets: sockets.clone(),
        });
        for socket in sockets {
            let address = path.remote;
            self.table.insert_standby(Source { socket, address }, slot);
        }
        tunnel.liveness.probe_preferred(now, path, steady);
        self.attend(slot, now);
    }

    fn leave_path(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let sockets = std::mem::take(&mut tunnel.sockets);
        if sockets.is_empty() {
            return;
        }
        leave(&mut self.table, tunnel, &sockets, slot);
        for socket in sockets {
            self.leave_socket(socket);
        }
        self.outbox.set_peer(slot, Kind::User, None);
    }

    fn leave_preferred(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(preferred) = tunnel.preferred.take() else {
            return;
        };
        for socket in preferred.sockets {
            let address = preferred.path.remote;
            self.table.remove_standby(Source { socket, address }, slot);
            self.leave_socket(socket);
        }
        self.outbox.set_peer(slot, Kind::PreferredRequest, None);
    }

    /// Takes the offered way to a peer of `slot`, and gives the worker's sockets of those kinds in that namespace, of that family: the
    /// ones it has, or the offered ones.
    fn join_sockets(&mut self, slot: usize, kind: Kind, offer: SocketOffer) -> Vec<usize> {
        self.outbox.set_peer(slot, kind, Some(offer.sender));
        let (netns, family) = (offer.netns, offer.family);
        let offered = offer.receivers.into_iter();
        offered
            .map(|(kind, receiver)| {
                self.join_socket(OuterSocket {
                    netns,
                    family,
                    kind,
                    receiver,
                    users: 1,
                    has_ike: false,
                })
            })
            .collect()
    }

    /// Reads the socket of IKE's port for as long as the worker lives.
    pub(super) fn listen(
        &mut self,
        netns: Option<NetnsId>,
        family: Family,
        port: u16,
        socket: Arc<UdpSocket>,
    ) {
        let kind = socket::Kind {
            carries: Carries::Esp,
            port: Some(port),
        };
        self.join_socket(OuterSocket {
            netns,
            family,
            kind,
            receiver: Receiver::Udp(socket),
            users: 1,
            has_ike: true,
        });
    }

    fn join_socket(&mut self, offered: OuterSocket) -> usize {
        let known = self
            .sockets
            .iter_mut()
            .enumerate()
            .find_map(|(index, socket)| {
                let socket = socket.as_mut()?;
                let is_same = socket.netns == offered.netns
                    && socket.family == offered.family
                    && socket.kind == offered.kind;
                is_same.then_some((index, socket))
            });
        if let Some((index, socket)) = known {
            socket.users += 1;
            socket.has_ike |= offered.has_ike;
            return index;
        }
        let index = self
            .sockets
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.sockets.len());
        let data = epoll::EventData::new_u64(index as u64);
        let fd = offered.receiver.fd();
        if let Err(error) = epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN) {
            tracing::error!(%error, "an outer socket is not read");
        }
        match self.sockets.get_mut(index) {
            Some(free) => *free = Some(offered),
            None => self.sockets.push(Some(offered)),
        }
        index
    }

    fn leave_socket(&mut self, index: usize) {
        if let Some(place) = self.sockets.get_mut(index)
            && let Some(socket) = place
        {
            socket.users -= 1;
            if socket.users == 0 {
                // A UDP socket may be open elsewhere too, and then epoll would go on to report it.
                let _ = epoll::delete(&self.epoll, socket.receiver.fd());
                *place = None;
            }
        }
    }
}

/// Enters the packets of a tunnel with a path into the table.
fn enter(table: &mut Table, tunnel: &mut Tunnel, slot: usize) {
    let address = tunnel.parameters.remote;
    let [socket, others @ ..] = &*tunnel.sockets else {
        return;
    };
    let source = |socket| Source { socket, address };
    match &mut tunnel.ipsec {
        Some(ipsec) => {
            for spi in ipsec.spis() {
                table.insert_association(*socket, spi, slot);
            }
            table.insert_standby(source(*socket), slot);
            let ports = tunnel.parameters.udp;
            ipsec.peer = ports.map(|ports| SocketAddr::new(address, ports.remote));
        }
        None => table.insert(source(*socket), tunnel.parameters.key_in, slot),
    }
    for &socket in others {
        table.insert_standby(source(socket), slot);
    }
}

/// Takes them out again.
fn leave(table: &mut Table, tunnel: &mut Tunnel, sockets: &[usize], slot: usize) {
    let address = tunnel.parameters.remote;
    let [socket, others @ ..] = sockets else {
        return;
    };
    let source = |socket| Source { socket, address };
    match &tunnel.ipsec {
        Some(ipsec) => {
            for spi in ipsec.spis() {
                table.remove_association(*socket, spi);
            }
            table.remove_standby(source(*socket), slot);
        }
        None => table.remove(source(*socket), tunnel.parameters.key_in, slot),
    }
    for &socket in others {
        table.remove_standby(source(socket), slot);
    }
}
