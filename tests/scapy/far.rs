//! The far end of the wire: a socket that gives and takes ESP packets from their header on.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::PATIENCE;
use super::common::{Namespace, within};

const ESP: i32 = 50;
const NATT_PORT: u16 = 4500;
const OCTETS_MAX: usize = 65_536;

/// Where scapy's packets leave and adit's arrive.
#[derive(Debug)]
pub(crate) struct Far {
    socket: Socket,
    /// Octets of the IP header before each packet.
    before: usize,
}

impl Far {
    /// A socket for ESP, in UDP or raw, at `local` with adit at `remote`.
    pub(crate) fn open(site: &Namespace, udp: bool, local: IpAddr, remote: IpAddr) -> Self {
        let domain = Domain::for_address(SocketAddr::new(local, 0));
        let (kind, protocol, port) = if udp {
            (Type::DGRAM, Protocol::UDP, NATT_PORT)
        } else {
            (Type::RAW, Protocol::from(ESP), 0)
        };
        let socket = within(site, || Socket::new(domain, kind, Some(protocol))).unwrap();
        socket
            .bind(&SockAddr::from(SocketAddr::new(local, port)))
            .unwrap();
        socket
            .connect(&SockAddr::from(SocketAddr::new(remote, port)))
            .unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let before = if local.is_ipv4() && !udp { 20 } else { 0 };
        Self { socket, before }
    }

    /// The next packet.
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut packet = vec![0; OCTETS_MAX];
        let octets = (&self.socket)
            .read(&mut packet)
            .expect("a packet from adit");
        packet[self.before..octets].to_vec()
    }

    /// Sends a packet.
    pub(crate) fn send(&self, packet: &[u8]) {
        assert_eq!(self.socket.send(packet).unwrap(), packet.len());
    }
}
