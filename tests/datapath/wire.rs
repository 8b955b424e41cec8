//! Packets taken from the wire.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::PATIENCE;
use super::common::{Delivery, Namespace, within};

/// EtherTypes, under which a packet socket gets what arrives and not what is sent.
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const CAPTURED_OCTETS_MAX: usize = 8 << 20;

/// Everything of one family that arrives at any interface of a namespace from now on, also at a tunnel's.
#[derive(Debug)]
pub(crate) struct Capture {
    socket: Socket,
}

impl Capture {
    pub(crate) fn start(namespace: &Namespace, family: Delivery) -> Self {
        let ethertype = match family {
            Delivery::V4 => ETHERTYPE_IPV4,
            Delivery::V6 => ETHERTYPE_IPV6,
        };
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = within(namespace, || {
            Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))
        })
        .unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, CAPTURED_OCTETS_MAX)
            .unwrap();
        Self { socket }
    }

    /// The next packet of which `probe` makes something; others are passed over.
    pub(crate) fn find<T>(&self, what: &str, mut probe: impl FnMut(&[u8]) -> Option<T>) -> T {
        let start = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(start.elapsed()) {
            if let Some(found) = self.read(left).and_then(|packet| probe(&packet)) {
                return found;
            }
        }
        panic!("not captured within {PATIENCE:?}: {what}");
    }

    /// What arrived so far and was not taken yet.
    pub(crate) fn drain(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.read(Duration::from_millis(1))).collect()
    }

    fn read(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket
            .set_read_timeout(Some(patience.max(Duration::from_millis(1))))
            .unwrap();
        let mut packet = vec![0; 65_536];
        loop {
            match (&self.socket).read(&mut packet) {
                Ok(octets) => {
                    packet.truncate(octets);
                    return Some(packet);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return None,
                    ErrorKind::Interrupted => {}
                    _ => panic!("capture: {error}"),
                },
            }
        }
    }
}
