//! What adit itself sends inside a tunnel: echo messages (RFC 792, RFC 4443 section 4) and the sums of their checksums.
//!
//! `IPv4 20 or IPv6 40 | type 1 | code 1 | checksum 2 | identifier 2 | sequence number 2 | data`, big-endian; neither IPv4 options,
//! extension headers nor fragments.

use std::net::IpAddr;

use crate::offload::checksum;
use crate::wire::ip::{self, IPV4_OCTETS, IPV6_OCTETS, Ip};

/// Octets of an echo message before its data.
pub(super) const ECHO_OCTETS: usize = 8;

/// TTL and hop limit.
const TTL: u8 = 64;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Types of request and reply (RFC 792 page 14; RFC 4443 sections 4.1 and 4.2).
const ICMP_TYPES: [u8; 2] = [8, 0];
const ICMPV6_TYPES: [u8; 2] = [128, 129];

/// An echo message and its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo<'a> {
    /// Request, or reply.
    pub(super) is_request: bool,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) tos: u8,
    pub(super) identifier: u16,
    pub(super) sequence: u16,
    pub(super) data: &'a [u8],
}

impl<'a> Echo<'a> {
    /// The echo message with `data_octets` octets of data that `inner` is, nothing behind it. Checksums are not looked at, and
    /// what is no echo message of that length costs two comparisons.
    #[inline]
    pub(super) fn parse(inner: &'a [u8], data_octets: usize) -> Option<Self> {
        let (protocol, [request, reply]) = match (
            inner.len().checked_sub(ECHO_OCTETS + data_octets)?,
            inner.first()?,
        ) {
            (IPV4_OCTETS, 0x45) => (ICMP, ICMP_TYPES),
            (IPV6_OCTETS, 0x60..=0x6f) => (ICMPV6, ICMPV6_TYPES),
            _ => return None,
        };
        let ip = Ip::parse(inner).ok()?;
        if ip.protocol() != protocol || ip.is_fragment() || ip.total_octets() != inner.len() {
            return None;
        }
        let (&[kind, code, _, _, i0, i1, s0, s1], data) = ip.payload().split_first_chunk()?;
        if code != 0 || (kind != request && kind != reply) {
            return None;
        }
        Some(Self {
            is_request: kind == request,
            source: ip.source(),
            destination: ip.destination(),
            tos: ip.tos(),
            identifier: u16::from_be_bytes([i0, i1]),
            sequence: u16::from_be_bytes([s0, s1]),
            data,
        })
    }

    /// Writes the packet at the start of `out` and says how many octets it took: 0 if the addresses are of different families
    /// or `out` is too short.
    pub(super) fn write(&self, out: &mut [u8]) -> usize {
        let (protocol, [request, reply]) = match self.destination {
            IpAddr::V4(_) => (ICMP, ICMP_TYPES),
            IpAddr::V6(_) => (ICMPV6, ICMPV6_TYPES),
        };
        let kind = if self.is_request { request } else { reply };
        let [i0, i1] = self.identifier.to_be_bytes();
        let [s0, s1] = self.sequence.to_be_bytes();
        let head = [kind, 0, 0, 0, i0, i1, s0, s1];
        let packet = Packet {
            source: self.source,
            destination: self.destination,
            protocol,
            tos: self.tos,
        };
        packet.write(&[&head, self.data], 2, out)
    }
}

/// A packet's addresses, protocol and TOS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) tos: u8,
}

impl Packet {
    /// Writes header and `parts`, with the parts' checksum at octet `checksum_at` of them, which must be zero; octets as of
    /// [`Echo::write`].
    pub(super) fn write(&self, parts: &[&[u8]], checksum_at: usize, out: &mut [u8]) -> usize {
        let octets: usize = parts.iter().map(|part| part.len()).sum();
        let Ok(payload_octets) = u16::try_from(octets) else {
            return 0;
        };
        let header = ip::OuterHeader {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            tos: self.tos,
            ttl: TTL,
            df: false,
            payload_octets,
            id: 0,
        };
        let at = ip::write_header(out, &header);
        let Some(payload) = out.get_mut(at..at + octets).filter(|_| at > 0) else {
            return 0;
        };
        for (place, &octet) in payload.iter_mut().zip(parts.iter().copied().flatten()) {
            *place = octet;
        }
        let checksum = match !checksum::fold(checksum::sum(payload, self.sum(payload_octets))) {
            // As UDP writes it (RFC 768); for ICMP both mean the same.
            0 => u16::MAX,
            checksum => checksum,
        };
        if let Some(place) = payload.get_mut(checksum_at..checksum_at + 2) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        at + octets
    }

    /// The sum that stands before a payload of so many octets: that of the pseudo-header, which ICMP over IPv4 has none of.
    fn sum(&self, payload_octets: u16) -> u64 {
        if self.protocol == ICMP {
            return 0;
        }
        let fixed = checksum::word(payload_octets) + checksum::word(u16::from(self.protocol));
        [self.source, self.destination]
            .iter()
            .fold(fixed, |sum, address| match address {
                IpAddr::V4(address) => checksum::sum(&address.octets(), sum),
                IpAddr::V6(address) => checksum::sum(&address.octets(), sum),
            })
    }
}

/// Whether the checksums of the packet that [`Echo::parse`] took are right.
pub(super) fn echo_is_intact(inner: &[u8]) -> bool {
    let Ok(ip) = Ip::parse(inner) else {
        return false;
    };
    let packet = Packet {
        source: ip.source(),
        destination: ip.destination(),
        protocol: ip.protocol(),
        tos: 0,
    };
    let octets = u16::try_from(ip.payload().len()).unwrap_or(u16::MAX);
    let sum = checksum::sum(ip.payload(), packet.sum(octets));
    ip.checksum_is_valid() && checksum::fold(sum) == u16::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::address;
    use proptest::prelude::*;

    const ADDRESSES: [(&str, &str); 2] = [("10.9.1.1", "10.9.1.2"), ("fd00:9::1", "fd00:9::2")];

    fn packet(family: usize, is_request: bool, data: &[u8]) -> Vec<u8> {
        let (source, destination) = ADDRESSES[family];
        let echo = Echo {
            is_request,
            source: address(source),
            destination: address(destination),
            tos: 0xc0,
            identifier: 0x1234,
            sequence: 0x5678,
            data,
        };
        let mut out = [0xaa; 128];
        let octets = echo.write(&mut out);
        out[..octets].to_vec()
    }

    #[test]
    fn an_independent_parser_finds_the_checksums_right() {
        for is_request in [true, false] {
            let octets = packet(0, is_request, &[1, 2, 3]);
            let sliced = etherparse::SlicedPacket::from_ip(&octets).unwrap();
            let Some(etherparse::TransportSlice::Icmpv4(icmp)) = sliced.transport else {
                panic!("an ICMP message");
            };
            let header = icmp.header();
            let computed = header.icmp_type.calc_checksum(icmp.payload());
            assert_eq!(header.checksum, computed);

            let octets = packet(1, is_request, &[1, 2, 3]);
            let sliced = etherparse::SlicedPacket::from_ip(&octets).unwrap();
            let Some(etherparse::TransportSlice::Icmpv6(icmp)) = sliced.transport else {
                panic!("an ICMPv6 message");
            };
            let [source, destination] = [8, 24].map(|at| {
                let address: [u8; 16] = octets[at..at + 16].try_into().unwrap();
                address
            });
            assert!(icmp.is_checksum_valid(source, destination));
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for (family, (source, destination)) in ADDRESSES.into_iter().enumerate() {
            for is_request in [true, false] {
                let octets = packet(family, is_request, &[1, 2, 3, 4]);
                let echo = Echo::parse(&octets, 4).unwrap();
                assert_eq!(echo.is_request, is_request);
                assert_eq!((echo.identifier, echo.sequence), (0x1234, 0x5678));
                assert_eq!((echo.tos, echo.data), (0xc0, &[1, 2, 3, 4][..]));
                assert_eq!(echo.source, address(source));
                assert_eq!(echo.destination, address(destination));
                assert!(echo_is_intact(&octets));
                assert_eq!(Echo::parse(&octets, 5), None);
                assert_eq!(Echo::parse(&octets[..octets.len() - 1], 3), None);
            }
        }
    }

    #[test]
    fn fragments_other_codes_and_other_protocols_are_no_echo() {
        for (at, octet) in [(6, 0x20), (7, 1), (9, 17), (20, 3), (21, 1), (0, 0x46)] {
            let mut octets = packet(0, true, &[0; 8]);
            octets[at] = octet;
            assert_eq!(Echo::parse(&octets, 8), None, "octet {at}");
        }
        for (at, octet) in [(6, 44), (6, 17), (40, 1), (41, 1), (0, 0x45)] {
            let mut octets = packet(1, true, &[0; 8]);
            octets[at] = octet;
            assert_eq!(Echo::parse(&octets, 8), None, "octet {at}");
        }
    }

    #[test]
    fn no_packet_for_addresses_of_two_families_or_without_room() {
        let echo = Echo {
            is_request: true,
            source: address("10.9.1.1"),
            destination: address("fd00:9::2"),
            tos: 0,
            identifier: 0,
            sequence: 0,
            data: &[],
        };
        assert_eq!(echo.write(&mut [0; 128]), 0);
        let destination = address("10.9.1.2");
        assert_eq!(
            Echo {
                destination,
                ..echo
            }
            .write(&mut [0; 27]),
            0
        );
        assert_eq!(
            Echo {
                destination,
                ..echo
            }
            .write(&mut [0; 28]),
            28
        );
    }

    proptest! {
        #[test]
        fn any_flipped_bit_that_the_checksums_cover_is_found(
            family in 0..2_usize, data in prop::collection::vec(any::<u8>(), 8), bit: prop::sample::Index,
        ) {
            let mut octets = packet(family, true, &data);
            // IPv6 covers its addresses and what follows them.
            let first = if family == 0 { 0 } else { 8 };
            let bit = first * 8 + bit.index((octets.len() - first) * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!echo_is_intact(&octets));
        }

        #[test]
        fn octets_of_any_kind_are_read_without_a_panic(
            octets in prop::collection::vec(any::<u8>(), 0..80), data_octets in 0..40_usize,
        ) {
            if let Some(echo) = Echo::parse(&octets, data_octets) {
                prop_assert_eq!(echo.data.len(), data_octets);
            }
            echo_is_intact(&octets);
        }
    }
}
