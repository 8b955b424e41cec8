//! What a worker has: tunnels, sockets and devices coming and going.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_proto::liveness::{DownReason, Path};
use adit_proto::tunnel::Encap;
use rustix::event::epoll;
use rustix::io::Errno;

use super::outbox::Kind;
use super::table::Source;
use super::tunnel::{Preferred, Tunnel};
use super::worker::{DEVICE, OuterSocket, Worker};
use super::{NewTunnel, Reading, SocketOffer, TunnelId};
use crate::io::tun::TunDevice;
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
        let socket = tunnel
            .socket
            .and_then(|socket| self.sockets.get(socket)?.as_ref());
        Some(Reading {
            liveness: tunnel.liveness.status(),
            dialects: tunnel.answerer.dialects().collect(),
            socket_drops: socket
                .and_then(|socket| socket.raw.dropped().ok())
                .map_or(0, u64::from),
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
        self.leave_path(slot);
        self.leave_preferred(slot);
        let socket = path.map(|(path, offer)| (path, self.join_socket(slot, Kind::User, offer)));
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        if let Some((path, socket)) = socket {
            tunnel.parameters.local = path.local;
            tunnel.parameters.remote = path.remote;
            tunnel.encap.set_remote(path.local, path.remote);
            tunnel.decap.forget_sequence();
            tunnel.socket = Some(socket);
            let source = Source {
                socket,
                address: path.remote,
            };
            self.table.insert(source, tunnel.parameters.key_in, slot);
        }
        tunnel.liveness.set_path(now, socket.map(|(path, _)| path));
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
        let socket = self.join_socket(slot, Kind::PreferredRequest, offer);
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let mut parameters = tunnel.parameters;
        parameters.local = path.local;
        parameters.remote = path.remote;
        tunnel.preferred = Some(Preferred {
            path,
            socket,
            encap: Encap::new(&parameters),
        });
        self.table.insert_standby(
            Source {
                socket,
                address: path.remote,
            },
            slot,
        );
        tunnel.liveness.probe_preferred(now, path, steady);
        self.attend(slot, now);
    }

    fn leave_path(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(socket) = tunnel.socket.take() else {
            return;
        };
        let source = Source {
            socket,
            address: tunnel.parameters.remote,
        };
        self.table.remove(source, tunnel.parameters.key_in, slot);
        self.leave_socket(socket);
        self.outbox.set_peer(slot, Kind::User, None);
    }

    fn leave_preferred(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(preferred) = tunnel.preferred.take() else {
            return;
        };
        let source = Source {
            socket: preferred.socket,
            address: preferred.path.remote,
        };
        self.table.remove_standby(source, slot);
        self.leave_socket(preferred.socket);
        self.outbox.set_peer(slot, Kind::PreferredRequest, None);
    }

    /// Takes the offered way to a peer of `slot`, and gives the worker's receiving socket in that namespace, of that family: the one it
    /// has, or the offered one.
    fn join_socket(&mut self, slot: usize, kind: Kind, offer: SocketOffer) -> usize {
        let SocketOffer {
            netns,
            family,
            raw,
            sender,
        } = offer;
        self.outbox.set_peer(slot, kind, Some(sender));
        let known = self
            .sockets
            .iter_mut()
            .enumerate()
            .find_map(|(index, socket)| {
                let socket = socket.as_mut()?;
                (socket.netns == netns && socket.family == family).then_some((index, socket))
            });
        if let Some((index, socket)) = known {
            socket.users += 1;
            return index;
        }
        let index = self
            .sockets
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.sockets.len());
        let data = epoll::EventData::new_u64(index as u64);
        if let Err(error) = epoll::add(&self.epoll, raw.fd(), data, epoll::EventFlags::IN) {
            tracing::error!(%error, "a raw socket is not read");
        }
        let socket = Some(OuterSocket {
            netns,
            family,
            raw,
            users: 1,
        });
        match self.sockets.get_mut(index) {
            Some(free) => *free = socket,
            None => self.sockets.push(socket),
        }
        index
    }

    fn leave_socket(&mut self, index: usize) {
        if let Some(place) = self.sockets.get_mut(index)
            && let Some(socket) = place
        {
            socket.users -= 1;
            if socket.users == 0 {
                *place = None;
            }
        }
    }
}
