//! Raw sockets for IP protocols 47 (GRE, RFC 2784) and 50 (ESP, RFC 4303): one that receives per family and worker, one that sends per
//! peer.
//!
//! Inbound: recvmmsg → [`ReceiveBatch`] → src/dataplane/inbound.rs. Outbound: the send train → [`SendSocket::send`] → sendmmsg.
//! The ICMP errors that answer a packet come to the socket of its protocol, not to the one that sent it: [`RawSocket::receive_error`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::sys::control::RouteSource;
use super::sys::errqueue::{self, ExtendedError, QUOTE_OCTETS};
use super::sys::option;
use super::sys::receive::{Ancillary, ReceiveSlots};
use super::sys::send::{CHUNK, Message, SendHeaders, Target};

/// Datagrams that one [`RawSocket::receive`] takes at most.
pub const RECEIVE_PACKETS: usize = 64;
/// Buffer asked for in a socket's one direction, in octets.
pub(super) const BUFFER_OCTETS: usize = 4 << 20;

/// What a raw socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RawProtocol {
    /// IP protocol 47.
    Gre,
    /// IP protocol 50.
    Esp,
}

impl RawProtocol {
    /// Its IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Gre => 47,
            Self::Esp => 50,
        }
    }
}

/// Address family of the delivery protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 delivery.
    V4,
    /// IPv6 delivery.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// A raw socket that sends whole outer packets to one peer. It is of no protocol that anybody uses (IPPROTO_RAW), so one for each tunnel
/// costs no copies of what comes in.
///
/// The caller writes the outer header. For IPv4 the kernel then fills the total length and the header checksum always, and identification
/// and source address when they are zero; for IPv6 it fills nothing. It does not fragment, and what it learned from ICMP about the path's
/// MTU stops no packet.
#[derive(Debug)]
pub struct SendSocket {
    socket: Socket,
    local: IpAddr,
    /// None where the socket is connected, so that the kernel need not read name and source from each packet's message.
    named: Option<Named>,
}

/// The peer of a socket that the kernel would not connect, for want of a route or of the local address at that time.
#[derive(Debug)]
struct Named {
    peer: SockAddr,
    source: RouteSource,
}

impl SendSocket {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_RAW there (EPERM).
    ///
    /// The way to `remote` is looked up for each packet anew, as routing rules by source want it for `local`, whatever source its header
    /// has. Neither a route nor `local` need be there yet. Both addresses are of one family.
    pub fn open(local: IpAddr, remote: IpAddr) -> std::io::Result<Self> {
        let domain = match remote {
            IpAddr::V4(_) => Domain::IPV4,
            IpAddr::V6(_) => Domain::IPV6,
        };
        // The header is included: protocol 255 has no other use (raw(7)).
        let protocol = Some(Protocol::from(libc::IPPROTO_RAW));
        let socket = Socket::new(domain, Type::RAW.nonblocking(), protocol)?;
        let fd = socket.as_fd();
        // PROBE: only the interface's MTU counts. RECVERR: without it a full queue of the interface would go unreported; nobody reads
        // the error queue, so it gets no room. FREEBIND: an address that is not of this host would be refused, as IPv6 refuses it in a
        // message too (EINVAL).
        let (level, options) = match remote {
            IpAddr::V4(_) => (
                libc::IPPROTO_IP,
                [
                    (libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
                    (libc::IP_RECVERR, 1),
                    (libc::IP_FREEBIND, 1),
                ],
            ),
            IpAddr::V6(_) => (
                libc::IPPROTO_IPV6,
                [
                    (libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
                    (libc::IPV6_RECVERR, 1),
                    (libc::IPV6_FREEBIND, 1),
                ],
            ),
        };
        for (name, value) in options {
            option::set_int(fd, level, name, value)?;
        }
        socket.set_recv_buffer_size(1)?;
        if rustix::net::sockopt::set_socket_send_buffer_size_force(fd, BUFFER_OCTETS).is_err() {
            socket.set_send_buffer_size(BUFFER_OCTETS)?;
        }
        socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))?;
        let mut socket = Self {
            socket,
            local,
            named: None,
        };
        socket.set_remote(remote);
        Ok(socket)
    }

    /// Sends to another peer of the same family from here on.
    pub fn set_remote(&mut self, remote: IpAddr) {
        let peer = SockAddr::from(SocketAddr::new(remote, 0));
        let is_connected = self.socket.connect(&peer).is_ok();
        let source = RouteSource::new(self.local);
        self.named = (!is_connected).then_some(Named { peer, source });
    }

    /// Sends whole outer packets, 64 a system call, without waiting; returns how many the kernel accepted.
    ///
    /// A refused packet is reported by its position to `failed`, once, and the others go on: EMSGSIZE above the interface's MTU, EAGAIN
    /// with a full socket buffer, ENOBUFS with a full queue of the interface, ENETUNREACH and EHOSTUNREACH without a route.
    pub fn send<'a>(
        &self,
        batch: &mut SendBatch,
        packets: impl Iterator<Item = &'a [u8]>,
        failed: impl FnMut(usize, Errno),
    ) -> usize {
        let target = self.named.as_ref().map(|named| Target {
            address: &named.peer,
            source: &named.source,
        });
        let headers = &mut batch.headers;
        headers.send(self.socket.as_fd(), target, packets, failed)
    }
}

/// Preallocated room for one [`RawSocket::receive`]: 64 slots of 64 KiB, whose memory is taken only as datagrams touch it.
pub struct ReceiveBatch {
    slots: ReceiveSlots,
    family: Family,
}

/// One received datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it lies in the batch's buffer: with the outer header for IPv4, from the GRE header on for IPv6.
    pub range: Range<usize>,
    /// Octets of the outer header at the start of `range` (IPv4: IHL × 4; IPv6: 0).
    pub header_octets: usize,
    /// Outer source address.
    pub source: IpAddr,
    /// Outer destination address; None when the kernel did not tell.
    pub destination: Option<IpAddr>,
    /// Interface index that an IPv6 link-local `source` belongs to, else 0.
    pub scope: u32,
    /// Outer TOS or traffic class.
    pub tos: Option<u8>,
    /// Outer TTL or hop limit.
    pub ttl: Option<u8>,
    /// The datagram was longer than the slot and its end is lost (MSG_TRUNC).
    pub truncated: bool,
}

impl ReceiveBatch {
    /// Room for datagrams of a socket of this family.
    pub fn new(family: Family) -> Self {
        Self {
            slots: ReceiveSlots::new(RECEIVE_PACKETS, family == Family::V6),
            family,
        }
    }

    /// The buffer in which the datagrams lie.
    pub fn buffer(&self) -> &[u8] {
        self.slots.buffer()
    }

    /// The same for work in place.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.slots.buffer_mut()
    }

    /// Datagram `index` of the last receive; None when the index is beyond its count or the IPv4 header is malformed.
    pub fn datagram(&self, index: usize) -> Option<Datagram> {
        let (range, truncated) = self.slots.datagram(index)?;
        match self.family {
            Family::V4 => ipv4_datagram(self.buffer(), range, truncated),
            Family::V6 => ipv6_datagram(self.slots.ancillary(index), range, truncated),
        }
    }
}

fn ipv4_datagram(buffer: &[u8], range: Range<usize>, truncated: bool) -> Option<Datagram> {
    let octets = buffer.get(range.clone())?;
    let &[
        first,
        tos,
        _,
        _,
        _,
        _,
        _,
        _,
        ttl,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = octets.first_chunk::<20>()?;
    let header_octets = usize::from(first & 0x0f) * 4;
    (header_octets >= 20 && header_octets <= octets.len()).then_some(Datagram {
        range,
        header_octets,
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: Some(IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3))),
        scope: 0,
        tos: Some(tos),
        ttl: Some(ttl),
        truncated,
    })
}

fn ipv6_datagram(ancillary: Ancillary, range: Range<usize>, truncated: bool) -> Option<Datagram> {
    let (source, scope) = match ancillary.source? {
        SocketAddr::V4(source) => (IpAddr::V4(*source.ip()), 0),
        SocketAddr::V6(source) => (IpAddr::V6(*source.ip()), source.scope_id()),
    };
    Some(Datagram {
        range,
        header_octets: 0,
        source,
        destination: ancillary.destination,
        scope,
        tos: ancillary.tos,
        ttl: ancillary.hop_limit,
        truncated,
    })
}

/// Preallocated headers for [`SendSocket::send`] and [`UdpSender::send`](super::udp::UdpSender::send).
pub struct SendBatch {
    pub(super) headers: SendHeaders,
    pub(super) messages: Vec<Message>,
}

impl SendBatch {
    /// Room for one sendmmsg of 64 packets.
    pub fn new() -> Self {
        Self {
            headers: SendHeaders::new(),
            messages: Vec::with_capacity(CHUNK),
        }
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Preallocated room for the packet that an ICMP error quotes.
pub struct ErrorBuffer {
    pub(super) quoted: Box<[u8; QUOTE_OCTETS]>,
}

impl ErrorBuffer {
    /// Room for one quote.
    pub fn new() -> Self {
        Self {
            quoted: Box::new([0; QUOTE_OCTETS]),
        }
    }
}

impl Default for ErrorBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// What an ICMP or ICMPv6 message says, which anybody may have forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The packet is larger than a link's MTU, in octets of the whole outer packet (0: the router did not say).
    TooBig {
        /// The MTU of that link.
        mtu: u32,
    },
    /// Destination unreachable, with the ICMP or ICMPv6 code.
    Unreachable {
        /// The code of the message.
        code: u8,
    },
    /// Anything else, with the errno that the kernel made of it.
    Other {
        /// The errno.
        errno: i32,
    },
}

impl ErrorKind {
    pub(super) fn of(error: &ExtendedError) -> Self {
        match (error.origin, error.kind, error.code) {
            (libc::SO_EE_ORIGIN_ICMP, 3, 4) | (libc::SO_EE_ORIGIN_ICMP6, 2, _) => {
                Self::TooBig { mtu: error.info }
            }
            (libc::SO_EE_ORIGIN_ICMP, 3, code) | (libc::SO_EE_ORIGIN_ICMP6, 1, code) => {
                Self::Unreachable { code }
            }
            _ => Self::Other {
                errno: i32::try_from(error.errno).unwrap_or(libc::EIO),
            },
        }
    }
}

/// One entry of a socket's error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError<'a> {
    /// What it says.
    pub kind: ErrorKind,
    /// Who sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// Outer source address of the packet in question.
    pub source: Option<IpAddr>,
    /// Outer destination address of the packet in question.
    pub destination: Option<IpAddr>,
    /// UDP destination port of the packet in question; None for a raw socket. The source port is the socket's own.
    pub destination_port: Option<u16>,
    /// What the ICMP message quotes of the packet in question: from its GRE or ESP header on, or its UDP payload.
    pub quoted: &'a [u8],
}

/// A raw socket of one family and protocol, unconnected and unbound, that receives the packets of all tunnels in its namespace, and the
/// ICMP errors that answer ours.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    family: Family,
}

impl RawSocket {
    /// Opens the socket in the calling thread's network namespace. Needs CAP_NET_RAW there (EPERM).
    pub fn open(family: Family, protocol: RawProtocol) -> std::io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
            Type::RAW.nonblocking(),
            Some(Protocol::from(i32::from(protocol.number()))),
        )?;
        let fd = socket.as_fd();
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(fd, BUFFER_OCTETS).is_err() {
            socket.set_recv_buffer_size(BUFFER_OCTETS)?;
        }
        match family {
            Family::V4 => {
                // Nothing is sent: with it the kernel leaves the IPv4 header in what an ICMP error quotes, which tells the source.
                socket.set_header_included_v4(true)?;
                option::set_int(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
            }
            Family::V6 => {
                socket.set_recv_tclass_v6(true)?;
                socket.set_recv_hoplimit_v6(true)?;
                option::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                option::set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
            }
        }
        Ok(Self { socket, family })
    }

    /// The family that the socket was opened with.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The descriptor, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes up to [`RECEIVE_PACKETS`] datagrams without waiting; `Ok(0)` when there are none.
    ///
    /// An ICMP error that the kernel reports on the way (it stays in the error queue for [`Self::receive_error`]) does not end the call.
    pub fn receive(&self, batch: &mut ReceiveBatch) -> Result<usize, Errno> {
        batch.slots.receive(self.socket.as_fd())
    }

    /// Takes one entry from the error queue, None when it is empty.
    pub fn receive_error<'a>(
        &self,
        buffer: &'a mut ErrorBuffer,
    ) -> Result<Option<SocketError<'a>>, Errno> {
        let Some(error) = errqueue::take(self.socket.as_fd(), &mut buffer.quoted)? else {
            return Ok(None);
        };
        let quoted = buffer.quoted.get(..error.quoted_octets).unwrap_or_default();
        Ok(Some(match self.family {
            Family::V4 => ipv4_error(&error, quoted),
            Family::V6 => ipv6_error(&error, quoted),
        }))
    }

    /// Datagrams dropped because the receive buffer was full, since the socket was opened (SO_MEMINFO).
    pub fn dropped(&self) -> Result<u32, Errno> {
        option::dropped(self.socket.as_fd())
    }
}

fn ipv4_error<'a>(error: &ExtendedError, quoted: &'a [u8]) -> SocketError<'a> {
    let header = ipv4_datagram(quoted, 0..quoted.len(), false);
    let (source, destination, quoted) = match header {
        Some(header) => {
            // Only the first fragment has the header that the caller looks for.
            let is_first = matches!(quoted.get(6..8), Some([high, 0]) if high & 0x1f == 0);
            let inside = quoted.get(header.header_octets..).filter(|_| is_first);
            (
                Some(header.source),
                header.destination,
                inside.unwrap_or_default(),
            )
        }
        None => (
            None,
            error.destination.map(|address| address.ip()),
            Default::default(),
        ),
    };
    SocketError {
        kind: ErrorKind::of(error),
        offender: error.offender,
        source,
        destination,
        destination_port: None,
        quoted,
    }
}

fn ipv6_error<'a>(error: &ExtendedError, quoted: &'a [u8]) -> SocketError<'a> {
    SocketError {
        kind: ErrorKind::of(error),
        offender: error.offender,
        source: error.local,
        destination: error.destination.map(|address| address.ip()),
        destination_port: None,
        // The kernel has cut the headers in front of GRE or ESP.
        quoted,
    }
}
