//! Outer fragments of a packet that its path does not take whole (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! A socket that is given whole IP packets refuses what is above the MTU of the device, so the fragments are made here, in
//! place: from the last to the first, each moves back by what the headers before it grow.

use core::ops::Range;

use crate::offload::checksum;
use crate::wire::ip::{FRAGMENT_HEADER, IPV4_OCTETS, IPV6_OCTETS, MORE_FRAGMENTS};

const FRAGMENT_HEADER_OCTETS: usize = 8;

/// How a packet is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    ipv6: bool,
    /// Of the packet without its header.
    payload_octets: usize,
    /// Payload of each fragment but the last, a multiple of 8.
    piece_octets: usize,
    /// How many fragments there will be.
    pub(super) fragments: usize,
}

impl Plan {
    /// For a packet with a plain header of 20 or 40 octets; a path takes at least 68 or 1280.
    pub(super) fn new(ipv6: bool, total_octets: usize, path_mtu: usize) -> Self {
        let payload_octets = total_octets.saturating_sub(whole_header(ipv6));
        let piece_octets = (path_mtu.saturating_sub(fragment_header(ipv6)) & !7).max(8);
        let fragments = payload_octets.div_ceil(piece_octets);
        Self {
            ipv6,
            payload_octets,
            piece_octets,
            fragments,
        }
    }

    /// Octets of all fragments.
    pub(super) fn octets(&self) -> usize {
        self.payload_octets + self.fragments * fragment_header(self.ipv6)
    }

    /// Octets of the fragment of this index.
    pub(super) fn fragment_octets(&self, index: usize) -> usize {
        fragment_header(self.ipv6) + self.piece(index).len()
    }

    /// Where the piece of this index lies in the payload.
    fn piece(&self, index: usize) -> Range<usize> {
        let start = (index * self.piece_octets).min(self.payload_octets);
        start..(start + self.piece_octets).min(self.payload_octets)
    }

    /// Makes the packet at the start of `room`, which holds [`Plan::octets`], its fragments, one behind the other.
    pub(super) fn cut(&self, room: &mut [u8], id: u32) {
        let before = whole_header(self.ipv6);
        let mut header = [0; IPV6_OCTETS + FRAGMENT_HEADER_OCTETS];
        for (to, from) in header.iter_mut().zip(room.iter().take(before)) {
            *to = *from;
        }
        for index in (0..self.fragments).rev() {
            let piece = self.piece(index);
            let start = index * (fragment_header(self.ipv6) + self.piece_octets);
            let to = start + fragment_header(self.ipv6);
            let from = before + piece.start..before + piece.end;
            if room.len() < to + piece.len() || room.len() < from.end {
                return;
            }
            room.copy_within(from, to);
            let last = index + 1 == self.fragments;
            let here = room.get_mut(start..to).unwrap_or_default();
            if self.ipv6 {
                write_v6(here, &header, &piece, last, id);
            } else {
                write_v4(here, &header, &piece, last, id);
            }
        }
    }
}

const fn whole_header(ipv6: bool) -> usize {
    if ipv6 { IPV6_OCTETS } else { IPV4_OCTETS }
}

const fn fragment_header(ipv6: bool) -> usize {
    if ipv6 {
        IPV6_OCTETS + FRAGMENT_HEADER_OCTETS
    } else {
        IPV4_OCTETS
    }
}

fn write_v4(out: &mut [u8], header: &[u8; 48], piece: &Range<usize>, last: bool, id: u32) {
    let Some(out) = out.first_chunk_mut::<IPV4_OCTETS>() else {
        return;
    };
    for (to, from) in out.iter_mut().zip(header) {
        *to = *from;
    }
    let more = if last { 0 } else { MORE_FRAGMENTS };
    [out[2], out[3]] = low_16(IPV4_OCTETS + piece.len()).to_be_bytes();
    [_, _, out[4], out[5]] = id.to_be_bytes();
    [out[6], out[7]] = (low_16(piece.start / 8) | more).to_be_bytes();
    [out[10], out[11]] = [0; 2];
    [out[10], out[11]] = checksum::checksum(out).to_be_bytes();
}

fn write_v6(out: &mut [u8], header: &[u8; 48], piece: &Range<usize>, last: bool, id: u32) {
    let Some(out) = out.first_chunk_mut::<{ IPV6_OCTETS + FRAGMENT_HEADER_OCTETS }>() else {
        return;
    };
    *out = *header;
    [out[4], out[5]] = low_16(FRAGMENT_HEADER_OCTETS + piece.len()).to_be_bytes();
    out[6] = FRAGMENT_HEADER;
    out[40] = header[6];
    [out[42], out[43]] = (low_16(piece.start) | u16::from(!last)).to_be_bytes();
    [out[44], out[45], out[46], out[47]] = id.to_be_bytes();
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a packet's payload has at most 65535 octets"
)]
const fn low_16(octets: usize) -> u16 {
    octets as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::{Ip, OuterHeader, write_header};
    use etherparse::{LaxPacketHeaders, defrag::IpDefragPool};
    use proptest::prelude::*;

    fn packet(ipv6: bool, payload: &[u8]) -> Vec<u8> {
        let outer = OuterHeader {
            source: if ipv6 {
                [1; 16].into()
            } else {
                [192, 0, 2, 1].into()
            },
            destination: if ipv6 {
                [2; 16].into()
            } else {
                [192, 0, 2, 2].into()
            },
            protocol: 47,
            tos: 0xb9,
            ttl: 33,
            df: false,
            payload_octets: u16::try_from(payload.len()).unwrap(),
            id: 0,
        };
        let mut octets = vec![0; 40];
        let end = write_header(&mut octets, &outer);
        octets.truncate(end);
        octets.extend(payload);
        octets
    }

    fn cut(packet: &[u8], ipv6: bool, path_mtu: usize, id: u32) -> Vec<Vec<u8>> {
        let plan = Plan::new(ipv6, packet.len(), path_mtu);
        let mut room = packet.to_vec();
        room.resize(plan.octets(), 0xee);
        plan.cut(&mut room, id);
        let mut rest = &room[..];
        (0..plan.fragments)
            .map(|index| {
                rest.split_off(..plan.fragment_octets(index))
                    .unwrap()
                    .to_vec()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn etherparse_puts_the_fragments_together_to_the_packet(
            ipv6 in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 1500..4000),
            smaller in 0..1000_usize,
            id in any::<u32>(),
        ) {
            let path_mtu = if ipv6 { 1280 + smaller % 200 } else { 68 + smaller };
            let whole = packet(ipv6, &payload);
            let mut pool = IpDefragPool::<u32, u32>::new();
            let fragments = cut(&whole, ipv6, path_mtu, id);
            let mut done = None;
            for fragment in &fragments {
                prop_assert!(fragment.len() <= path_mtu);
                prop_assert!(done.is_none());
                let ip = Ip::parse(fragment).unwrap();
                prop_assert!(ip.checksum_is_valid() && ip.is_fragment());
                prop_assert_eq!((ip.tos(), ip.ttl(), ip.total_octets()), (0xb9, 33, fragment.len()));
                prop_assert_eq!(ip.source(), Ip::parse(&whole).unwrap().source());
                let sliced = etherparse::SlicedPacket::from_ip(fragment).unwrap();
                done = pool.process_sliced_packet(&sliced, 0, 0).unwrap();
            }
            let done = done.unwrap();
            prop_assert_eq!(done.ip_number, etherparse::IpNumber(47));
            prop_assert_eq!(done.payload, payload);
        }
    }

    #[test]
    fn fragments_carry_the_id_and_only_the_last_says_that_it_is() {
        let whole = packet(false, &[7; 100]);
        let fragments = cut(&whole, false, 68, 0x1234_5678);
        let facts: Vec<_> = fragments
            .iter()
            .map(|octets| etherparse::Ipv4Header::from_slice(octets).unwrap().0)
            .map(|ip| {
                (
                    ip.identification,
                    ip.fragment_offset.value(),
                    ip.more_fragments,
                    ip.total_len,
                )
            })
            .collect();
        assert_eq!(
            facts,
            [
                (0x5678, 0, true, 68),
                (0x5678, 6, true, 68),
                (0x5678, 12, false, 24)
            ]
        );
        let whole = packet(true, &[7; 2000]);
        let fragments = cut(&whole, true, 1280, 0x1234_5678);
        assert_eq!(fragments[0][40..48], [47, 0, 0, 1, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(
            fragments[1][40..48],
            [47, 0, 0x04, 0xd0, 0x12, 0x34, 0x56, 0x78]
        );
        assert!(LaxPacketHeaders::from_ip(&fragments[1]).is_ok());
    }
}
