//! The outer sockets of a worker, of every kind: raw GRE, raw ESP, and UDP around either.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;

use crate::io::netns::NetnsId;
use crate::io::raw::{ErrorBuffer, Family, RawSocket, SendBatch, SendSocket, SocketError};
use crate::io::udp::{UdpSender, UdpSocket};

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// A GRE packet.
    Gre,
    /// An ESP packet; in UDP also IKE and NAT keepalives.
    Esp,
}

/// A kind of outer socket, of which a worker has one per namespace and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What its datagrams carry.
    pub carries: Carries,
    /// The UDP port; none for a raw socket.
    pub port: Option<u16>,
}

/// A socket that receives for every tunnel of its kind.
#[derive(Debug)]
pub enum Receiver {
    /// IP protocol 47 or 50.
    Raw(RawSocket),
    /// UDP.
    Udp(Arc<UdpSocket>),
}

impl Receiver {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Raw(socket) => socket.fd(),
            Self::Udp(socket) => socket.fd(),
        }
    }

    pub(super) fn dropped(&self) -> Result<u32, Errno> {
        match self {
            Self::Raw(socket) => socket.dropped(),
            Self::Udp(socket) => socket.dropped(),
        }
    }

    pub(super) fn receive_error<'a>(
        &self,
        buffer: &'a mut ErrorBuffer,
    ) -> Result<Option<SocketError<'a>>, Errno> {
        match self {
            Self::Raw(socket) => socket.receive_error(buffer),
            Self::Udp(socket) => socket.receive_error(buffer),
        }
    }
}

/// The way to one peer.
#[derive(Debug)]
pub enum Sender {
    /// Whole packets.
    Raw(Box<SendSocket>),
    /// Trains of UDP datagrams, where the path takes them.
    Udp(Box<UdpSender>),
}

impl Sender {
    #[inline]
    pub(super) fn send<'a>(
        &mut self,
        batch: &mut SendBatch,
        now: Instant,
        packets: impl Iterator<Item = &'a [u8]>,
        failed: impl FnMut(usize, Errno),
    ) {
        match self {
            Self::Raw(socket) => socket.send(batch, packets, failed),
            Self::Udp(sender) => sender.send(batch, now, packets, failed),
        };
    }

    /// How many of the packets need not wait for others that would leave with them.
    pub(super) fn settled<'a>(&self, packets: impl ExactSizeIterator<Item = &'a [u8]>) -> usize {
        match self {
            Self::Raw(_) => packets.len(),
            Self::Udp(sender) => sender.settled(packets),
        }
    }

    pub(super) fn set_remote(&mut self, remote: SocketAddr) {
        match self {
            Self::Raw(socket) => socket.set_remote(remote.ip()),
            Self::Udp(sender) => sender.set_remote(remote),
        }
    }

    /// Since the last call, UDP segmentation was switched off (false) or is tried again (true).
    pub(super) fn take_change(&mut self) -> Option<bool> {
        match self {
            Self::Raw(_) => None,
            Self::Udp(sender) => sender.take_change(),
        }
    }

    pub(super) fn gso_fallbacks(&self) -> Option<u64> {
        match self {
            Self::Raw(_) => None,
            Self::Udp(sender) => Some(sender.fallbacks()),
        }
    }
}

/// The sockets for a path: those to receive by, of which the worker keeps what it has none of yet, and one to send by.
#[derive(Debug)]
pub struct SocketOffer {
    /// The namespace; none is the daemon's own.
    pub netns: Option<NetnsId>,
    /// The family of the outer addresses.
    pub family: Family,
    /// Where the tunnel's packets come first, then where others of the peer may come that are only counted.
    pub receivers: Vec<(Kind, Receiver)>,
    /// Sends to the peer of this path.
    pub sender: Sender,
}

/// An outer socket that a worker reads.
#[derive(Debug)]
pub(super) struct OuterSocket {
    pub(super) netns: Option<NetnsId>,
    pub(super) family: Family,
    pub(super) kind: Kind,
    pub(super) receiver: Receiver,
    pub(super) users: usize,
    /// Whether IKE listens on the port too.
    pub(super) has_ike: bool,
}
