//! Ancillary data of a received message, walked without copies.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::option::octets_of;

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
    const HEADER: usize = size_of::<libc::cmsghdr>();
    /// Of both structs in6_pktinfo is the longer one. The kernel copies up to this much without an allocation.
    const ROOM: usize = Self::HEADER + size_of::<libc::in6_pktinfo>();

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
        let length = Self::HEADER + data.len();
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

/// One control message.
pub(super) struct ControlMessage<'a> {
    pub(super) level: c_int,
    pub(super) kind: c_int,
    pub(super) data: &'a [u8],
}

/// Iterates over the control messages in `octets` (as many octets as the kernel said it had written).
pub(super) fn messages(octets: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    const ALIGN: usize = size_of::<usize>();
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

    /// The address in a struct in6_pktinfo.
    pub(super) fn packet_info6(&self) -> Option<Ipv6Addr> {
        self.data
            .first_chunk::<16>()
            .map(|octets| Ipv6Addr::from(*octets))
    }
}

/// A socket address as the kernel wrote it, large enough for both families.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; 32]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; 32]);
    pub(super) const OCTETS: libc::socklen_t = octets_of::<Self>();

    /// Address and scope (0 for IPv4), or None when the kernel gave no address.
    pub(super) fn address(&self) -> Option<(IpAddr, u32)> {
        sockaddr(&self.0)
    }
}

/// Parses a struct sockaddr_in or sockaddr_in6.
pub(super) fn sockaddr(octets: &[u8]) -> Option<(IpAddr, u32)> {
    let family = c_int::from(u16::from_ne_bytes(*octets.first_chunk()?));
    match family {
        libc::AF_INET => {
            let address = octets.get(4..)?.first_chunk::<4>()?;
            Some((IpAddr::V4(Ipv4Addr::from(*address)), 0))
        }
        libc::AF_INET6 => {
            let address = octets.get(8..)?.first_chunk::<16>()?;
            let scope = octets.get(24..)?.first_chunk::<4>()?;
            Some((
                IpAddr::V6(Ipv6Addr::from(*address)),
                u32::from_ne_bytes(*scope),
            ))
        }
        _ => None,
    }
}
