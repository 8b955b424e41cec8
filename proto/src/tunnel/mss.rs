//! Lowers the maximum segment size that TCP's SYN and SYN-ACK announce (RFC 9293 section 3.7.1) to what the tunnel carries.

use super::MssClamp;
use crate::offload::checksum::update;
use crate::wire::ip::{DONT_FRAGMENT, FRAGMENT_HEADER, IPV4_OCTETS, IPV6_OCTETS, MORE_FRAGMENTS};

/// Never lowered below this over IPv4: what every host takes (RFC 9293 section 3.7.1).
pub const IPV4_MIN: u16 = 536;
/// Never lowered below this over IPv6: 1280 less both headers.
pub const IPV6_MIN: u16 = 1220;

const TCP: u8 = 6;
const TCP_OCTETS: usize = 20;
const SYN: u8 = 0x02;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

impl MssClamp {
    /// What fits a device of this MTU: less 20 octets of TCP and 20 or 40 of IP.
    #[must_use]
    pub fn for_mtu(mtu: u16) -> Self {
        Self {
            v4: Some(mtu.saturating_sub(40).max(IPV4_MIN)),
            v6: Some(mtu.saturating_sub(60).max(IPV6_MIN)),
        }
    }
}

/// Lowers the MSS option of a SYN; the TCP checksum follows. Says whether it did.
///
/// Left alone: everything that is not a SYN or has no such option or a smaller one, fragments but the first, and what stands
/// behind an authentication header, which covers it.
#[inline]
pub fn clamp(packet: &mut [u8], clamp: MssClamp) -> bool {
    let found = match packet.first().map(|first| first >> 4) {
        Some(4) => clamp
            .v4
            .zip(tcp_in_v4(packet))
            .map(|(to, at)| (to.max(IPV4_MIN), at)),
        Some(6) => clamp
            .v6
            .zip(tcp_in_v6(packet))
            .map(|(to, at)| (to.max(IPV6_MIN), at)),
        _ => None,
    };
    let Some((most, at)) = found else {
        return false;
    };
    packet.get_mut(at..).is_some_and(|tcp| lower(tcp, most))
}

#[inline]
fn tcp_in_v4(packet: &[u8]) -> Option<usize> {
    let header: &[u8; IPV4_OCTETS] = packet.first_chunk()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & !(DONT_FRAGMENT | MORE_FRAGMENTS);
    (header[9] == TCP && fragment == 0).then(|| usize::from(header[0] & 0x0f) * 4)
}

#[inline]
fn tcp_in_v6(packet: &[u8]) -> Option<usize> {
    let header: &[u8; IPV6_OCTETS] = packet.first_chunk()?;
    let (mut next, mut at) = (header[6], IPV6_OCTETS);
    while next != TCP {
        let &[after, length, high, low] = packet.get(at..)?.first_chunk()?;
        at += match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(length) + 1) * 8,
            FRAGMENT_HEADER if u16::from_be_bytes([high, low]) < 8 => 8,
            _ => return None,
        };
        next = after;
    }
    Some(at)
}

fn lower(tcp: &mut [u8], most: u16) -> bool {
    let Some(header) = tcp.first_chunk::<TCP_OCTETS>() else {
        return false;
    };
    if header[13] & SYN == 0 {
        return false;
    }
    let checksum = u16::from_be_bytes([header[16], header[17]]);
    let header_octets = usize::from(header[12] >> 4) * 4;
    let Some(at) = tcp.get(..header_octets).and_then(option_value) else {
        return false;
    };
    let Some(field) = tcp.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else {
        return false;
    };
    let announced = u16::from_be_bytes(*field);
    if announced <= most {
        return false;
    }
    *field = most.to_be_bytes();
    // At an odd offset the value's octets lie in the other halves of two checksummed words.
    let checksum = if at % 2 == 0 {
        update(checksum, announced, most)
    } else {
        update(checksum, announced.swap_bytes(), most.swap_bytes())
    };
    if let Some(field) = tcp.get_mut(16..).and_then(<[u8]>::first_chunk_mut) {
        *field = checksum.to_be_bytes();
    }
    true
}

/// Where the value of the MSS option stands.
fn option_value(header: &[u8]) -> Option<usize> {
    let mut at = TCP_OCTETS;
    loop {
        match *header.get(at..)? {
            [END_OF_OPTIONS, ..] => return None,
            [NO_OPERATION, ..] => at += 1,
            [MAXIMUM_SEGMENT_SIZE, 4, _, _, ..] => return Some(at + 2),
            [_, octets, ..] if octets >= 2 => at += usize::from(octets),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::tests::transport_checksum_is_valid;
    use etherparse::{PacketBuilder, TcpOptionElement as Opt};
    use proptest::prelude::*;

    const BOTH: MssClamp = MssClamp {
        v4: Some(1360),
        v6: Some(1340),
    };

    fn syn(ipv6: bool, options: &[Opt], payload: &[u8]) -> Vec<u8> {
        let builder = if ipv6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        } else {
            PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        };
        let builder = builder
            .tcp(1000, 80, 7, 512)
            .syn()
            .options(options)
            .unwrap();
        let mut octets = Vec::new();
        builder.write(&mut octets, payload).unwrap();
        octets
    }

    fn announced(packet: &[u8]) -> Option<u16> {
        let parsed = etherparse::PacketHeaders::from_ip_slice(packet).unwrap();
        let tcp = parsed.transport.unwrap().tcp().unwrap();
        tcp.options_iterator().find_map(|option| {
            if let Opt::MaximumSegmentSize(size) = option.unwrap() {
                Some(size)
            } else {
                None
            }
        })
    }

    proptest! {
        #[test]
        fn the_option_becomes_the_lesser_value_and_the_checksum_stays_right(
            ipv6 in any::<bool>(),
            size in any::<u16>(),
            to in any::<u16>(),
            nops in 0..4_usize,
            payload in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut options = vec![Opt::Noop; nops];
            options.extend([Opt::MaximumSegmentSize(size), Opt::SelectiveAcknowledgementPermitted]);
            let mut packet = syn(ipv6, &options, &payload);
            let bounds = MssClamp { v4: Some(to), v6: Some(to) };
            let bound = to.max(if ipv6 { IPV6_MIN } else { IPV4_MIN });
            prop_assert_eq!(clamp(&mut packet, bounds), size > bound);
            prop_assert_eq!(announced(&packet), Some(size.min(bound)));
            prop_assert!(transport_checksum_is_valid(&packet));
        }

        #[test]
        fn octets_that_are_no_syn_are_neither_changed_nor_a_panic(
            mut octets in prop::collection::vec(any::<u8>(), 0..120),
            version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
            next in prop_oneof![Just(TCP), Just(HOP_BY_HOP), Just(FRAGMENT_HEADER), any::<u8>()],
        ) {
            for (at, value) in [(0, version), (if version == 0x60 { 6 } else { 9 }, next)] {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = value;
                }
            }
            let before = octets.clone();
            if !clamp(&mut octets, BOTH) {
                prop_assert_eq!(before, octets);
            }
        }
    }

    #[test]
    fn only_the_family_with_a_bound_is_lowered() {
        let mss = [Opt::MaximumSegmentSize(1460)];
        let only_v6 = MssClamp {
            v4: None,
            v6: Some(1300),
        };
        assert!(!clamp(&mut syn(false, &mss, &[]), only_v6));
        assert!(clamp(&mut syn(true, &mss, &[]), only_v6));
    }

    #[test]
    fn segments_without_syn_and_syns_without_the_option_are_left_alone() {
        let mut established = syn(false, &[Opt::MaximumSegmentSize(1460)], &[]);
        established[33] = 0x10;
        assert!(!clamp(&mut established, BOTH));
        assert!(!clamp(&mut syn(false, &[Opt::WindowScale(7)], &[]), BOTH));
    }

    #[test]
    fn a_later_fragment_is_left_alone_and_the_first_is_not() {
        let packet = syn(false, &[Opt::MaximumSegmentSize(1460)], &[]);
        for (flags, low, lowered) in [
            (0x20, 0, true),
            (0x40, 0, true),
            (0x20, 1, false),
            (0x1f, 0, false),
        ] {
            let mut packet = packet.clone();
            (packet[6], packet[7]) = (flags, low);
            assert_eq!(clamp(&mut packet, BOTH), lowered, "{flags:#x} {low}");
        }
    }

    fn behind_extensions(extensions: &[u8], first: u8) -> Vec<u8> {
        let mut packet = syn(true, &[Opt::MaximumSegmentSize(1460)], &[]);
        packet[6] = first;
        packet.splice(40..40, extensions.iter().copied());
        packet
    }

    #[test]
    fn a_syn_behind_extension_headers_is_found() {
        let hop_by_hop = [FRAGMENT_HEADER, 0, 1, 4, 0, 0, 0, 0];
        let fragment = [DESTINATION_OPTIONS, 0, 0, 1, 0, 0, 0, 9];
        let options = [TCP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let chain = [&hop_by_hop[..], &fragment, &options].concat();
        assert!(clamp(&mut behind_extensions(&chain, HOP_BY_HOP), BOTH));
        let later = [TCP, 0, 0, 8, 0, 0, 0, 9];
        assert!(!clamp(
            &mut behind_extensions(&later, FRAGMENT_HEADER),
            BOTH
        ));
        let authentication = [
            TCP, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert!(!clamp(&mut behind_extensions(&authentication, 51), BOTH));
    }

    #[test]
    fn options_that_lie_about_their_length_are_left_alone() {
        for options in [
            [2, 3, 5, 180],
            [2, 5, 5, 180],
            [3, 0, 2, 4],
            [3, 1, 2, 4],
            [8, 40, 2, 4],
        ] {
            let mut packet = syn(false, &[Opt::MaximumSegmentSize(1460)], &[]);
            packet[40..44].copy_from_slice(&options);
            assert!(!clamp(&mut packet, BOTH), "{options:?}");
        }
    }

    #[test]
    fn bounds_of_an_mtu_leave_room_for_both_headers() {
        assert_eq!(
            MssClamp::for_mtu(1476),
            MssClamp {
                v4: Some(1436),
                v6: Some(1416)
            }
        );
        assert_eq!(
            MssClamp::for_mtu(1280),
            MssClamp {
                v4: Some(1240),
                v6: Some(1220)
            }
        );
        assert_eq!(
            MssClamp::for_mtu(500),
            MssClamp {
                v4: Some(536),
                v6: Some(1220)
            }
        );
    }
}
