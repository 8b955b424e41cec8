//! ICMP echo through a raw socket of a site (RFC 792, RFC 4443): no `ping` program is needed.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use serde::Serialize;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::control::report::micros;
use crate::io::netns;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);
const ECHO_OCTETS: usize = 64;

/// What came of some echo requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pinged {
    /// From where.
    pub(super) source: IpAddr,
    /// Whereto.
    pub(super) destination: IpAddr,
    /// Requests sent.
    pub(super) sent: u16,
    /// Round trips of those answered, in microseconds.
    pub(super) rtt_us: Vec<u64>,
}

impl Pinged {
    /// Whether each request was answered.
    pub(super) fn complete(&self) -> bool {
        self.rtt_us.len() == usize::from(self.sent)
    }

    /// The mean round trip in microseconds.
    pub(super) fn mean_us(&self) -> Option<u64> {
        let sum: u64 = self.rtt_us.iter().sum();
        sum.checked_div(self.rtt_us.len() as u64)
    }
}

/// Sends `count` echo requests from `source` to `destination` in a namespace, one after the other.
///
/// # Errors
/// What the system says: PermissionDenied without CAP_NET_RAW there, NetworkUnreachable without a route.
pub(super) fn ping(
    namespace: BorrowedFd<'_>,
    source: IpAddr,
    destination: IpAddr,
    count: u16,
) -> io::Result<Pinged> {
    let socket = netns::within(Some(namespace), || open(source))??;
    let mut pinged = Pinged {
        source,
        destination,
        sent: 0,
        rtt_us: Vec::new(),
    };
    for seq in 1..=count {
        pinged.sent += 1;
        if let Some(rtt) = echo(&socket, destination, seq)? {
            pinged.rtt_us.push(micros(rtt));
        }
        if seq < count {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(pinged)
}

fn open(source: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match source {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    Ok(socket)
}

/// Sends one request and waits for its answer; none within the time is no error.
fn echo(socket: &Socket, destination: IpAddr, seq: u16) -> io::Result<Option<Duration>> {
    let [_, _, id_high, id_low] = std::process::id().to_be_bytes();
    let id = [id_high, id_low];
    let sent = Instant::now();
    socket.send_to(
        &request(destination, id, seq),
        &SockAddr::from(SocketAddr::new(destination, 0)),
    )?;
    let mut packet = [0; 2048];
    loop {
        let left = ANSWER_WITHIN.saturating_sub(sent.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match (&mut &*socket).read(&mut packet) {
            Ok(octets) => {
                let packet = packet.get(..octets).unwrap_or_default();
                if is_answer(destination, packet, id, seq) {
                    return Ok(Some(sent.elapsed()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `Type 1 | Code 1 | Checksum 2 | Identifier 2 | Sequence 2 | data`; the kernel makes the checksum for IPv6.
fn request(destination: IpAddr, id: [u8; 2], seq: u16) -> Vec<u8> {
    let kind = match destination {
        IpAddr::V4(_) => 8,
        IpAddr::V6(_) => 128,
    };
    let header = |checksum: [u8; 2]| {
        let [a, b] = checksum;
        let [id_high, id_low] = id;
        let [seq_high, seq_low] = seq.to_be_bytes();
        [kind, 0, a, b, id_high, id_low, seq_high, seq_low]
    };
    let mut octets = header([0, 0]).to_vec();
    octets.resize(ECHO_OCTETS, 0xad);
    if destination.is_ipv4() {
        let checksum = header(checksum(&octets).to_be_bytes());
        octets.splice(..checksum.len(), checksum);
    }
    octets
}

/// RFC 1071 over an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let (words, _) = octets.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (folded + (folded >> 16)).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

/// A raw IPv4 socket gives the IP header too, an IPv6 one does not.
fn is_answer(from: IpAddr, packet: &[u8], id: [u8; 2], seq: u16) -> bool {
    let (icmp, kind) = match from {
        IpAddr::V4(_) => {
            let header = packet
                .first()
                .map_or(0, |first| usize::from(first & 0x0f) * 4);
            (packet.get(header..).unwrap_or_default(), 0)
        }
        IpAddr::V6(_) => (packet, 129),
    };
    let [id_high, id_low] = id;
    let [seq_high, seq_low] = seq.to_be_bytes();
    icmp.starts_with(&[kind, 0]) && icmp.get(4..8) == Some(&[id_high, id_low, seq_high, seq_low])
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_request_sums_to_all_ones() {
        let request = request(V4, [0x12, 0x34], 7);
        assert_eq!(request.len(), ECHO_OCTETS);
        assert_eq!(request[4..8], [0x12, 0x34, 0, 7]);
        assert_eq!(checksum(&request), 0);
    }

    #[test]
    fn only_the_answer_to_this_request_is_one() {
        let mut packet = vec![0x46; 24];
        packet.extend([0, 0, 0, 0, 0x12, 0x34, 0, 7]);
        assert!(is_answer(V4, &packet, [0x12, 0x34], 7));
        assert!(!is_answer(V4, &packet, [0x12, 0x34], 8));
        assert!(!is_answer(V4, &packet, [0x12, 0x35], 7));
        packet[24] = 8;
        assert!(!is_answer(V4, &packet, [0x12, 0x34], 7));
        assert!(!is_answer(V4, &[], [0x12, 0x34], 7));
    }
}
