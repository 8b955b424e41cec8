//! The kernel's ESP packets on the wire, taken down and sent again.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use adit::io::netns::{self, Netns};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::common::Namespace;

/// EtherTypes, under which a packet socket gets what arrives and not what is sent.
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// A raw socket of this protocol takes whole IP packets and receives none.
const IPPROTO_RAW: i32 = 255;

/// All packets of a family that arrive at a namespace, from when this was made.
#[derive(Debug)]
pub(super) struct Capture {
    arriving: Socket,
    again: Socket,
}

impl Capture {
    pub(super) fn start(namespace: &Namespace, v6: bool) -> Self {
        let (ethertype, domain) = if v6 {
            (ETHERTYPE_IPV6, Domain::IPV6)
        } else {
            (ETHERTYPE_IPV4, Domain::IPV4)
        };
        let ethertype = Protocol::from(i32::from(ethertype.to_be()));
        let netns = Netns::Named(namespace.name.clone()).open().unwrap();
        netns::within(Some(netns.as_fd()), || {
            let arriving = Socket::new(Domain::PACKET, Type::DGRAM, Some(ethertype)).unwrap();
            arriving.set_nonblocking(true).unwrap();
            let again = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap();
            Self { arriving, again }
        })
        .unwrap()
    }

    /// What came from `source` since the last call, as whole IP packets.
    pub(super) fn from(&mut self, source: IpAddr) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut packet = [0; 2048];
        loop {
            match self.arriving.read(&mut packet) {
                Ok(octets) if addresses(&packet).0 == source => {
                    packets.push(packet[..octets].to_vec());
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    return packets;
                }
            }
        }
    }

    /// Sends a packet once more to where it went, from where it came.
    pub(super) fn repeat(&self, packet: &[u8]) {
        let to = SocketAddr::new(addresses(packet).1, 0);
        let sent = self.again.send_to(packet, &SockAddr::from(to)).unwrap();
        assert_eq!(sent, packet.len());
    }
}

/// Source and destination.
fn addresses(packet: &[u8]) -> (IpAddr, IpAddr) {
    if packet[0] >> 4 == 4 {
        let at = |start: usize| *packet[start..].first_chunk::<4>().unwrap();
        (at(12).into(), at(16).into())
    } else {
        let at = |start: usize| *packet[start..].first_chunk::<16>().unwrap();
        (at(8).into(), at(24).into())
    }
}
