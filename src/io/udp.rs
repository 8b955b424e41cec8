//! UDP sockets for encapsulation: ESP in UDP (RFC 3948) and GRE in UDP (RFC 8086).
//!
//! Inbound: recvmmsg with UDP_GRO → [`UdpReceiveBatch`], trains of equal datagrams → src/dataplane/inbound.rs. Outbound: the send train →
//! [`UdpSender::send`] → runs of equal packets (run.rs) → sendmmsg with UDP_SEGMENT, where the path does that (gso.rs); else raw.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::raw::{BUFFER_OCTETS, ErrorBuffer, ErrorKind, Family, SocketError};
use super::sys::control::{RouteSource, SendControl};
use super::sys::send::{Message, SendHeaders};
use super::sys::{errqueue, option};

mod gso;
mod receive;
mod run;
mod sender;

pub use receive::{RECEIVE_TRAINS, ReceivedTrain, UdpReceiveBatch};
pub use sender::{Segmentation, UdpSender};

/// TTL and hop limit of a socket's datagrams where their packet does not ask for another.
const TTL: u8 = 64;

/// A UDP socket of one family, unconnected and bound to a port of the wildcard address, that receives from all peers in its namespace, with
/// the ICMP errors that answer ours, and by which [`UdpSender`]s send.
///
/// It sends with DF set, and only the interface's MTU stops a datagram. A datagram over IPv6 may come without checksum (RFC 6935).
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    family: Family,
}

impl UdpSocket {
    /// Opens the socket in the calling thread's network namespace; EADDRINUSE when another socket there has the port.
    pub fn open(family: Family, port: u16) -> io::Result<Self> {
        let (domain, wildcard) = match family {
            Family::V4 => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Family::V6 => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        let fd = socket.as_fd();
        for (level, name, value) in options(family) {
            option::set_int(fd, level, name, value)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(fd, BUFFER_OCTETS).is_err() {
            socket.set_recv_buffer_size(BUFFER_OCTETS)?;
        }
        if sockopt::set_socket_send_buffer_size_force(fd, BUFFER_OCTETS).is_err() {
            socket.set_send_buffer_size(BUFFER_OCTETS)?;
        }
        socket.bind(&SockAddr::from(SocketAddr::new(wildcard, port)))?;
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

    /// Takes up to [`RECEIVE_TRAINS`] trains without waiting; `Ok(0)` when there are none.
    ///
    /// An ICMP error that the kernel reports on the way (it stays in the error queue for [`Self::receive_error`]) does not end the call.
    pub fn receive(&self, batch: &mut UdpReceiveBatch) -> Result<usize, Errno> {
        batch.slots.receive(self.fd())
    }

    /// Sends one datagram, the parts of which lie in several places, without waiting. For what is rare: trains leave by [`UdpSender`].
    ///
    /// It leaves from `local`, or from the address that the route says where that is unspecified. What is larger than the
    /// interface's MTU leaves in IP fragments. Errors: EAGAIN with a full socket buffer, ENETUNREACH and EHOSTUNREACH without a route, EINVAL while `local` is not of this host.
    pub fn send_from(
        &self,
        local: IpAddr,
        remote: SocketAddr,
        octets: &[&[u8]],
    ) -> Result<(), Errno> {
        let send = || {
            let message = Message {
                packets: 0..octets.len(),
                control: SendControl::new(&RouteSource::new(local)),
            };
            let remote = SockAddr::from(remote);
            let (_, error) =
                SendHeaders::new().send_messages(self.fd(), &remote, octets, 0, &[message]);
            error.map_or(Ok(()), Err)
        };
        match send() {
            Err(Errno::MSGSIZE) => {
                self.set_df(false)?;
                let sent = send();
                self.set_df(true)?;
                sent
            }
            sent => sent,
        }
    }

    /// Whether what is too large for the interface is refused, or leaves in IP fragments.
    fn set_df(&self, df: bool) -> Result<(), Errno> {
        let (level, name, set, clear) = match self.family {
            Family::V4 => (
                libc::IPPROTO_IP,
                libc::IP_MTU_DISCOVER,
                libc::IP_PMTUDISC_PROBE,
                libc::IP_PMTUDISC_DONT,
            ),
            Family::V6 => (
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_PROBE,
                libc::IPV6_PMTUDISC_DONT,
            ),
        };
        option::set_int(self.fd(), level, name, if df { set } else { clear })
    }

    /// Takes one ICMP error from the error queue, None when there is none.
    ///
    /// What the kernel itself refused to send stands there too and is passed over, for its sender was told.
    pub fn receive_error<'a>(
        &self,
        buffer: &'a mut ErrorBuffer,
    ) -> Result<Option<SocketError<'a>>, Errno> {
        let error = loop {
            match errqueue::take(self.fd(), &mut buffer.quoted)? {
                Some(error) if error.origin == libc::SO_EE_ORIGIN_LOCAL => {}
                Some(error) => break error,
                None => return Ok(None),
            }
        };
        Ok(Some(SocketError {
            kind: ErrorKind::of(&error),
            offender: error.offender,
            source: error.local,
            destination: error.destination.map(|address| address.ip()),
            destination_port: error.destination.map(|address| address.port()),
            quoted: buffer.quoted.get(..error.quoted_octets).unwrap_or_default(),
        }))
    }

    /// Datagrams dropped because the receive buffer was full, since the socket was opened (SO_MEMINFO).
    pub fn dropped(&self) -> Result<u32, Errno> {
        option::dropped(self.fd())
    }
}

/// Level, name and value of what the socket is set to.
fn options(family: Family) -> Vec<(i32, i32, i32)> {
    let mut options = vec![(libc::SOL_UDP, libc::UDP_GRO, 1)];
    // PROBE: DF is set, and only the interface's MTU counts.
    match family {
        Family::V4 => options.extend([
            (
                libc::IPPROTO_IP,
                libc::IP_MTU_DISCOVER,
                libc::IP_PMTUDISC_PROBE,
            ),
            (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
            (libc::IPPROTO_IP, libc::IP_RECVTOS, 1),
            (libc::IPPROTO_IP, libc::IP_TTL, TTL.into()),
        ]),
        // FREEBIND: a source address that is not of this host would be refused.
        Family::V6 => options.extend([
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1),
            (
                libc::IPPROTO_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_PROBE,
            ),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1),
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, TTL.into()),
            (libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 1),
            (libc::SOL_UDP, libc::UDP_NO_CHECK6_RX, 1),
        ]),
    }
    options
}
