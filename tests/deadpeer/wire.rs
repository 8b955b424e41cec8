//! What passes a site's wire, seen from outside of adit.

use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use adit::io::netns::{self, Netns};
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::Namespace;

const ETH_P_ALL: u16 = 0x0003;
const GRE: u8 = 47;

/// Every packet of a namespace, from when this was made.
pub(crate) struct Capture(Socket);

impl Capture {
    pub(crate) fn new(site: &Namespace) -> Self {
        let netns = Netns::Named(site.name.clone()).open().unwrap();
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let open = || Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol));
        let socket = netns::within(Some(netns.as_fd()), open).unwrap().unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Where the GRE packets over IPv4 since the last call went to, in order.
    pub(crate) fn gre_destinations(&mut self) -> Vec<Ipv4Addr> {
        let mut destinations = Vec::new();
        let mut packet = [0; 2048];
        loop {
            match self.0.read(&mut packet) {
                Ok(octets) if octets >= 20 && packet[0] == 0x45 && packet[9] == GRE => {
                    let destination: [u8; 4] = packet[16..20].try_into().unwrap();
                    destinations.push(destination.into());
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return destinations,
                Err(error) => panic!("capture: {error}"),
            }
        }
    }
}
