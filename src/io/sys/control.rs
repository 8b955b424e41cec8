//! Ancillary data: of a received message, walked without copies, and of a message to send, written in place.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::option::octets_of;

/// Octets of a control message's header, `length 8 | level 4 | type 4` on 64-bit machines, and what the next one is aligned to.
const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();

/// Room for the control messages of one datagram or one entry of the error queue.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct ControlBuffer(pub(super) [u8; 256]);

impl ControlBuffer {
    pub(super) const EMPTY: Self = Self([0; 256]);
    pub(super) const OCTETS: usize = size_of::<Self>();
}

/// The control message that tells the kernel which source address to route by (IP_PKTINFO, IPV6_PKTINFO).
#[derive(Debug)]
#[repr(C, align(8))]
pub(in crate::io) struct RouteSource {
    octets: [u8; Self::ROOM],
    length: usize,
}

impl RouteSource {
    /// Of both structs in6_pktinfo is the longer one. The kernel copies up to this much without an allocation.
    const ROOM: usize = HEADER + size_of::<libc::in6_pktinfo>();

    pub(in crate::io) fn new(source: IpAddr) -> Self {
        let mut data = Vec::with_capacity(Self::ROOM);
        let (level, kind) = match source {
            // struct in_pktinfo: index 4 (0: any) | source 4 | destination 4 (not used)
            IpAddr::V4(address) => {
                data.extend([0; 4]);
                data.extend(address.octets());
                data.extend([0; 4]);
                (libc::IPPROTO_IP, libc::IP_PKTINFO)
            }
            // struct in6_pktinfo: source 16 | index 4 (0: any)
            IpAddr::V6(address) => {
                data.extend(address.octets());
                data.extend([0; 4]);
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
            }
        };
        let length = HEADER + data.len();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(level.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(data);
        let mut octets = [0; Self::ROOM];
        octets
            .iter_mut()
            .zip(message)
            .for_each(|(to, from)| *to = from);
        Self { octets, length }
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.octets.as_ptr()
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// The control messages of a datagram to send: where to route it from, and what its headers shall say.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::io) struct SendControl {
    octets: [u8; Self::ROOM],
    length: usize,
}

impl SendControl {
    /// A source address, and three numbers of up to four octets each.
    const ROOM: usize = RouteSource::ROOM.next_multiple_of(ALIGN) + 3 * (HEADER + ALIGN);

    /// With the source address alone.
    pub(in crate::io) fn new(source: &RouteSource) -> Self {
        let mut octets = [0; Self::ROOM];
        if let Some(room) = octets.first_chunk_mut() {
            *room = source.octets;
        }
        let length = source.length;
        Self { octets, length }
    }

    /// Adds the TOS or traffic class.
    pub(in crate::io) fn add_tos(&mut self, is_v6: bool, tos: u8) {
        let (level, kind) = match is_v6 {
            false => (libc::IPPROTO_IP, libc::IP_TOS),
            true => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        self.add(level, kind, c_int::from(tos).to_ne_bytes());
    }

    /// Adds the TTL or hop limit, 1..=255.
    pub(in crate::io) fn add_ttl(&mut self, is_v6: bool, ttl: u8) {
        let (level, kind) = match is_v6 {
            false => (libc::IPPROTO_IP, libc::IP_TTL),
            true => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
        };
        self.add(level, kind, c_int::from(ttl).to_ne_bytes());
    }

    /// Adds the payload octets of each datagram that the message is to be cut into.
    pub(in crate::io) fn add_segment_octets(&mut self, octets: u16) {
        self.add(libc::SOL_UDP, libc::UDP_SEGMENT, octets.to_ne_bytes());
    }

    fn add<const N: usize>(&mut self, level: c_int, kind: c_int, data: [u8; N]) {
        let start = self.length.next_multiple_of(ALIGN);
        let parts: [&[u8]; 4] = [
            &(HEADER + N).to_ne_bytes(),
            &level.to_ne_bytes(),
            &kind.to_ne_bytes(),
            &data,
        ];
        let mut end = start;
        for part in parts {
            if let Some(room) = self.octets.get_mut(end..end + part.len()) {
                room.copy_from_slice(part);
                end += part.len();
            }
        }
        self.length = end;
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.octets.as_ptr()
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// One control message.
pub(super) struct ControlMessage<'a> {
    pub(super) level: c_int,
    pub(super) kind: c_int,
    pub(super) data: &'a [u8],
}

/// Iterates over the control messages in `octets` (as many octets as the kernel said it had written).
pub(super) fn messages(octets: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<ALIGN>()?;
        let (level, after) = after.split_first_chunk::<4>()?;
        let (kind, _) = after.split_first_chunk::<4>()?;
        let length = usize::from_ne_bytes(*length);
        let data = rest.get(HEADER..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some(ControlMessage {
            level: c_int::from_ne_bytes(*level),
            kind: c_int::from_ne_bytes(*kind),
            data,
        })
    })
}

impl ControlMessage<'_> {
    /// The first four octets as an `int`.
    pub(super) fn int(&self) -> Option<c_int> {
        self.data
            .first_chunk()
            .map(|octets| c_int::from_ne_bytes(*octets))
    }

    /// The first octet, as IP_TOS is told.
    pub(super) fn octet(&self) -> Option<u8> {
        self.data.first().copied()
    }

    /// The address in a struct in_pktinfo (`index 4 | local 4 | destination 4`) to which the datagram was sent.
    pub(super) fn packet_info4(&self) -> Option<IpAddr> {
        let octets = self.data.get(8..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*octets).into())
    }

    /// The address in a struct in6_pktinfo.
    pub(super) fn packet_info6(&self) -> Option<IpAddr> {
        let octets = self.data.first_chunk::<16>()?;
        Some(Ipv6Addr::from(*octets).into())
    }
}

/// A socket address as the kernel wrote it, large enough for both families.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; 32]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; 32]);
    pub(super) const OCTETS: libc::socklen_t = octets_of::<Self>();

    /// None when the kernel gave no address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        sockaddr(&self.0)
    }
}

/// Parses a struct sockaddr_in or sockaddr_in6.
pub(super) fn sockaddr(octets: &[u8]) -> Option<SocketAddr> {
    let family = c_int::from(u16::from_ne_bytes(*octets.first_chunk()?));
    let port = u16::from_be_bytes(*octets.get(2..)?.first_chunk()?);
    match family {
        libc::AF_INET => {
            let address = octets.get(4..)?.first_chunk::<4>()?;
            Some(SocketAddr::new(Ipv4Addr::from(*address).into(), port))
        }
        libc::AF_INET6 => {
            let address = octets.get(8..)?.first_chunk::<16>()?;
            let scope = octets.get(24..)?.first_chunk::<4>()?;
            let (address, scope) = (Ipv6Addr::from(*address), u32::from_ne_bytes(*scope));
            Some(SocketAddrV6::new(address, port, 0, scope).into())
        }
        _ => None,
    }
}
