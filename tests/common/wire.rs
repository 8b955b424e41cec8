//! Whole IP packets put on the wire as they stand, and the families that carry a tunnel.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Namespace, within};

/// A raw socket of this protocol takes whole IP packets and receives none.
const IPPROTO_RAW: i32 = 255;

/// The family of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Delivery {
    /// Each of them.
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address of that number on the wire between two sites.
    pub(crate) fn address(self, number: u8) -> IpAddr {
        let text = match self {
            Self::V4 => format!("192.0.2.{number}"),
            Self::V6 => format!("2001:db8::{number}"),
        };
        text.parse().unwrap()
    }

    /// Octets of the outer IP header.
    pub(crate) const fn octets(self) -> u16 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// Sends whole IP packets from a namespace, whatever their source says.
#[derive(Debug)]
pub(crate) struct Injector {
    v4: Socket,
    v6: Socket,
}

impl Injector {
    /// In that namespace.
    pub(crate) fn new(site: &Namespace) -> Self {
        within(site, || {
            let open =
                |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap();
            Self {
                v4: open(Domain::IPV4),
                v6: open(Domain::IPV6),
            }
        })
    }

    /// Sends a packet to the destination that its header names.
    pub(crate) fn send(&self, packet: &[u8]) {
        let (socket, to) = match packet[0] >> 4 {
            4 => (
                &self.v4,
                IpAddr::from(*packet[16..].first_chunk::<4>().unwrap()),
            ),
            _ => (
                &self.v6,
                IpAddr::from(*packet[24..].first_chunk::<16>().unwrap()),
            ),
        };
        let to = SockAddr::from(SocketAddr::new(to, 0));
        assert_eq!(socket.send_to(packet, &to).unwrap(), packet.len());
    }
}
