//! The sockets of the lane: those it reads, and those it sends by.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use adit_proto::ike::Path;
use rustix::event::epoll;
use rustix::io::Errno;

use super::{IkeSocket, Place};
use crate::io::netns::NetnsId;
use crate::io::raw::{ErrorBuffer, Family};
use crate::io::udp::UdpReceiveBatch;

/// What stands before an IKE message on a port that ESP shares (RFC 3948 section 2.2).
const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// Receive calls on one socket before the others get their turn.
const RECEIVES: usize = 4;
/// ICMP errors that are taken from one socket before the others get their turn.
const ERRORS: usize = 64;

/// All sockets, by where they are.
pub(super) struct Places {
    sockets: BTreeMap<Place, IkeSocket>,
    /// What epoll calls the sockets that the lane reads.
    read: Vec<Place>,
    batch: UdpReceiveBatch,
    errors: ErrorBuffer,
}

/// A message as it came, and where it lies.
pub(super) struct Arrived {
    pub(super) netns: Option<NetnsId>,
    pub(super) path: Path,
    pub(super) octets: Vec<u8>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            sockets: BTreeMap::new(),
            read: Vec::new(),
            batch: UdpReceiveBatch::new(),
            errors: ErrorBuffer::new(),
        }
    }

    /// Sends by a socket from now on, and has `epoll` report it as its index here if the lane reads it.
    pub(super) fn insert(
        &mut self,
        place: Place,
        socket: IkeSocket,
        epoll: &OwnedFd,
    ) -> io::Result<()> {
        if let IkeSocket::Own(socket) = &socket {
            let index = self.read.len();
            add(epoll, socket.fd(), index as u64)?;
            self.read.push(place);
        }
        self.sockets.insert(place, socket);
        Ok(())
    }

    /// Reads what waits in a socket, as far as it may in one turn.
    pub(super) fn receive(&mut self, index: usize, arrived: &mut Vec<Arrived>) {
        let Some(&place) = self.read.get(index) else {
            return;
        };
        let Some(IkeSocket::Own(socket)) = self.sockets.get(&place) else {
            return;
        };
        // Anybody may forge an ICMP error: it proves nothing (RFC 7296 section 2.4), but it must be taken to be rid of it.
        for _ in 0..ERRORS {
            if !matches!(socket.receive_error(&mut self.errors), Ok(Some(_))) {
                break;
            }
        }
        for _ in 0..RECEIVES {
            match socket.receive(&mut self.batch) {
                Ok(0) | Err(_) => return,
                Ok(trains) => take(&self.batch, trains, place, arrived),
            }
        }
    }

    /// Sends a message from the local address of `path`; NotFound without a socket there.
    pub(super) fn send(
        &self,
        netns: Option<NetnsId>,
        path: Path,
        octets: &[u8],
    ) -> Result<(), Errno> {
        let place = Place {
            netns,
            family: Family::of(path.remote.ip()),
            port: path.local.port(),
        };
        match self.sockets.get(&place) {
            None => Err(Errno::NOTCONN),
            Some(IkeSocket::Own(socket)) => {
                socket.send_from(path.local.ip(), path.remote, &[octets])
            }
            Some(IkeSocket::Shared(socket)) => {
                socket.send_from(path.local.ip(), path.remote, &[&NON_ESP_MARKER, octets])
            }
        }
    }
}

fn add(epoll: &OwnedFd, fd: BorrowedFd<'_>, data: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(data);
    Ok(epoll::add(epoll, fd, data, epoll::EventFlags::IN)?)
}

/// The datagrams of a receive call.
fn take(batch: &UdpReceiveBatch, trains: usize, place: Place, arrived: &mut Vec<Arrived>) {
    for train in (0..trains).filter_map(|index| batch.train(index)) {
        let Some(local) = train.destination.filter(|_| !train.truncated) else {
            continue;
        };
        let path = Path {
            local: SocketAddr::new(local, place.port),
            remote: train.source,
        };
        let octets = batch.buffer().get(train.range).unwrap_or_default();
        for datagram in octets.chunks(train.segment_octets) {
            arrived.push(Arrived {
                netns: place.netns,
                path,
                octets: datagram.to_vec(),
            });
        }
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.sockets).finish()
    }
}
