//! Netlink notifications: what changes in a namespace, as the kernel tells it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink's enumerations grow with the kernel"
)]

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

use super::address::{Prefix, address_from};
use super::link::link_from;
use super::netlink::{NetlinkError, messages, route_message};
use super::route::{Route, route_from};

const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_ADDRESSES: u32 = 0x10 | 0x100;
const RTMGRP_ROUTES: u32 = 0x40 | 0x400;
const BUFFER_OCTETS: usize = 65_536;
/// Room for a burst: a hundred interfaces that change at once make some hundred messages of 2 KiB.
const SOCKET_BUFFER_OCTETS: usize = 2 << 20;

/// Which notifications to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Interfaces.
    pub links: bool,
    /// Addresses of both families.
    pub addresses: bool,
    /// Routes of both families.
    pub routes: bool,
}

impl Groups {
    /// All of them.
    pub const ALL: Self = Self {
        links: true,
        addresses: true,
        routes: true,
    };

    fn mask(self) -> u32 {
        let mut mask = 0;
        if self.links {
            mask |= RTMGRP_LINK;
        }
        if self.addresses {
            mask |= RTMGRP_ADDRESSES;
        }
        if self.routes {
            mask |= RTMGRP_ROUTES;
        }
        mask
    }
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface came, changed or went.
    Link {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
        /// Administratively up.
        up: bool,
        /// Up and with carrier.
        carrier: bool,
        /// MTU in octets.
        mtu: u32,
        /// It was deleted or left the namespace.
        deleted: bool,
    },
    /// A unicast or unreachable route of the main table came or went.
    Route {
        /// It came (or replaced another one).
        added: bool,
        /// The route.
        route: Route,
    },
    /// An address came or went.
    Address {
        /// It came.
        added: bool,
        /// The interface's index.
        interface: u32,
        /// The address.
        address: Prefix,
    },
    /// Notifications were lost: what is known must be asked for anew.
    Overrun,
}

/// A listener, in the namespace in which it was opened; its descriptor is non-blocking.
pub struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
    pending: std::vec::IntoIter<Change>,
}

impl Monitor {
    /// Opens the listener in the calling thread's network namespace.
    pub fn open(groups: Groups) -> Result<Self, NetlinkError> {
        let open = || -> std::io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_non_blocking(true)?;
            if rustix::net::sockopt::set_socket_recv_buffer_size_force(
                &socket,
                SOCKET_BUFFER_OCTETS,
            )
            .is_err()
            {
                rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_OCTETS)?;
            }
            socket.bind(&SocketAddr::new(0, groups.mask()))?;
            Ok(socket)
        };
        let socket = open().map_err(|error| failed(&error))?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER_OCTETS],
            pending: Vec::new().into_iter(),
        })
    }

    /// The descriptor, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next notification, None when there is none now.
    pub fn next_change(&mut self) -> Result<Option<Change>, NetlinkError> {
        loop {
            if let Some(change) = self.pending.next() {
                return Ok(Some(change));
            }
            let octets = match self.socket.recv(&mut self.buffer.as_mut_slice(), 0) {
                Ok(octets) => octets,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(None),
                    Some(Errno::INTR) => continue,
                    Some(Errno::NOBUFS) => return Ok(Some(Change::Overrun)),
                    _ => return Err(failed(&error)),
                },
            };
            let datagram = self.buffer.get(..octets).unwrap_or_default();
            let changes: Vec<Change> = messages(datagram)
                .filter_map(|(_, message)| change(&route_message(message)?))
                .collect();
            self.pending = changes.into_iter();
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl std::os::fd::AsRawFd for Monitor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

fn change(message: &RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(link) => Some(link_change(link, false)),
        RouteNetlinkMessage::DelLink(link) => Some(link_change(link, true)),
        RouteNetlinkMessage::NewRoute(route) => route_change(route, true),
        RouteNetlinkMessage::DelRoute(route) => route_change(route, false),
        RouteNetlinkMessage::NewAddress(address) => address_change(address, true),
        RouteNetlinkMessage::DelAddress(address) => address_change(address, false),
        _ => None,
    }
}

fn link_change(message: &netlink_packet_route::link::LinkMessage, deleted: bool) -> Change {
    let link = link_from(message);
    Change::Link {
        index: link.index,
        name: link.name,
        up: link.up,
        carrier: link.running,
        mtu: link.mtu,
        deleted,
    }
}

fn route_change(
    message: &netlink_packet_route::route::RouteMessage,
    added: bool,
) -> Option<Change> {
    route_from(message).map(|route| Change::Route { added, route })
}

fn address_change(
    message: &netlink_packet_route::address::AddressMessage,
    added: bool,
) -> Option<Change> {
    address_from(message).map(|address| Change::Address {
        added,
        interface: message.header.index,
        address,
    })
}

fn failed(error: &std::io::Error) -> NetlinkError {
    NetlinkError::new(
        "listen to netlink notifications",
        Errno::from_io_error(error).unwrap_or(Errno::IO),
    )
}
