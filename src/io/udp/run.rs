//! Runs: consecutive outer packets that the kernel makes again from their payloads and one header.

use super::gso::{MAX_OCTETS, MAX_SEGMENTS};

/// IP protocol number of UDP.
const UDP: u8 = 17;
const UDP_OCTETS: usize = 8;
const IPV4_OCTETS: usize = 20;
const IPV6_OCTETS: usize = 40;
/// Of the two octets at offset 6 of an IPv4 header: DF alone, so neither a fragment nor one that may become one.
const DF_ALONE: [u8; 2] = [0x40, 0];

/// Octets of the IP and UDP headers that a UDP socket writes.
pub(super) const fn header_octets(is_v6: bool) -> usize {
    if is_v6 {
        IPV6_OCTETS + UDP_OCTETS
    } else {
        IPV4_OCTETS + UDP_OCTETS
    }
}

/// What a packet asks of the header in front of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outer {
    /// TOS or traffic class.
    pub(super) tos: u8,
    /// TTL or hop limit.
    pub(super) ttl: u8,
}

impl Outer {
    /// Reads a whole outer packet; None when a UDP socket cannot make it: a fragment, an IPv4 packet without DF, a header with options.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        match *packet {
            [0x45, tos, _, _, _, _, flags, offset, ttl, UDP, ..] => {
                let is_whole = packet.len() >= header_octets(false);
                (is_whole && [flags, offset] == DF_ALONE).then_some(Self { tos, ttl })
            }
            [first, second, _, _, _, _, UDP, ttl, ..] if first >> 4 == 6 => {
                let tos = first << 4 | second >> 4;
                (packet.len() >= header_octets(true)).then_some(Self { tos, ttl })
            }
            _ => None,
        }
    }
}

/// The first packets of a train that leave as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many.
    pub(super) packets: usize,
    /// Payload octets of each but the last, which may have fewer.
    pub(super) segment_octets: usize,
    /// What all of them ask.
    pub(super) outer: Outer,
}

impl Run {
    /// The longest run at the start of `packets`, of one packet when the kernel does not segment; None when there is no packet or the first
    /// must leave whole.
    pub(super) fn first(packets: &[&[u8]], segmented: bool) -> Option<Self> {
        let (first, rest) = packets.split_first()?;
        let outer = Outer::of(first)?;
        let headers = header_octets(first.first()? >> 4 == 6);
        let segment_octets = first.len() - headers;
        let mut run = Self {
            packets: 1,
            segment_octets,
            outer,
        };
        if !segmented || segment_octets == 0 {
            return Some(run);
        }
        let mut room = MAX_OCTETS.saturating_sub(segment_octets);
        for packet in rest.iter().take(MAX_SEGMENTS - 1) {
            let octets = packet.len().saturating_sub(headers);
            let fits = (1..=segment_octets.min(room)).contains(&octets);
            if !fits || Outer::of(packet) != Some(outer) {
                break;
            }
            run.packets += 1;
            room -= octets;
            if octets < segment_octets {
                break;
            }
        }
        Some(run)
    }

    /// Whether there is no room for another packet like those before the last.
    fn is_full(&self) -> bool {
        self.packets == MAX_SEGMENTS || (self.packets + 1) * self.segment_octets > MAX_OCTETS
    }

    /// Whether `packets`, which it has all of, end with a shorter one, behind which nothing can follow in it.
    fn is_closed(packets: &[&[u8]]) -> bool {
        packets.last().map(|last| last.len()) < packets.first().map(|first| first.len())
    }
}

/// How many packets at the start of `packets` leave as they would if more came behind them: all but those of a last run that more may join.
pub(super) fn settled(packets: &[&[u8]]) -> usize {
    let mut settled = 0;
    while let Some(rest) = packets.get(settled..)
        && let Some(run) = Run::first(rest, true)
    {
        if run.packets == rest.len() && !run.is_full() && !Run::is_closed(rest) {
            return settled;
        }
        settled += run.packets;
    }
    packets.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(tos: u8, ttl: u8, payload: usize) -> Vec<u8> {
        let mut packet = vec![0x45, tos, 0, 0, 0, 0, 0x40, 0, ttl, UDP];
        packet.resize(28 + payload, 0);
        packet
    }

    fn v6(traffic_class: u8, hop_limit: u8, payload: usize) -> Vec<u8> {
        let (high, low) = (0x60 | traffic_class >> 4, traffic_class << 4 | 0x0a);
        let mut packet = vec![high, low, 0xbc, 0xde, 0, 0, UDP, hop_limit];
        packet.resize(48 + payload, 0);
        packet
    }

    fn first(packets: &[Vec<u8>]) -> usize {
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        Run::first(&packets, true).map_or(0, |run| run.packets)
    }

    fn settled_of(packets: &[Vec<u8>]) -> usize {
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        settled(&packets)
    }

    #[test]
    fn the_last_packets_wait_for_more_unless_their_message_is_full() {
        let equal = |count, octets| vec![v4(0, 64, octets); count];
        assert_eq!(settled_of(&[]), 0);
        assert_eq!(settled_of(&equal(44, 1472)), 44);
        assert_eq!(settled_of(&equal(46, 1472)), 44);
        assert_eq!(settled_of(&equal(43, 1472)), 0);
        assert_eq!(settled_of(&equal(64, 100)), 64);
        assert_eq!(settled_of(&equal(65, 100)), 64);
        let closed = [equal(3, 1000), equal(2, 1200)].concat();
        assert_eq!(settled_of(&closed), 3);
        let ended = [equal(3, 1000), equal(1, 999)].concat();
        assert_eq!(settled_of(&ended), 4);
    }

    #[test]
    fn a_packet_that_leaves_whole_holds_up_nothing() {
        let mut fragment = v4(0, 64, 100);
        fragment[6..8].copy_from_slice(&[0x20, 0]);
        let packets = [v4(0, 64, 100), fragment];
        assert_eq!(settled_of(&packets), 2);
    }

    #[test]
    fn tos_and_ttl_are_read_from_the_packets_own_header() {
        let outer = Outer { tos: 0xb9, ttl: 17 };
        assert_eq!(Outer::of(&v4(0xb9, 17, 1)), Some(outer));
        assert_eq!(Outer::of(&v6(0xb9, 17, 1)), Some(outer));
    }

    #[test]
    fn what_a_udp_socket_cannot_make_leaves_whole() {
        for (index, value) in [(0, 0x46), (6, 0), (6, 0x60), (7, 1), (9, 47)] {
            let mut packet = v4(0, 64, 100);
            packet[index] = value;
            assert_eq!(Outer::of(&packet), None, "octet {index}");
        }
        let mut fragment = v6(0, 64, 100);
        fragment[6] = 44;
        assert_eq!(Outer::of(&fragment), None);
        assert_eq!(Outer::of(&v4(0, 64, 0)[..27]), None);
        assert_eq!(Outer::of(&v6(0, 64, 0)[..47]), None);
        assert_eq!(Outer::of(&[]), None);
    }

    #[test]
    fn a_run_ends_with_its_first_shorter_packet_and_before_a_longer_one() {
        let train = |sizes: &[usize]| sizes.iter().map(|n| v4(0, 64, *n)).collect::<Vec<_>>();
        assert_eq!(first(&train(&[100, 100, 100])), 3);
        assert_eq!(first(&train(&[100, 100, 1, 100])), 3);
        assert_eq!(first(&train(&[100, 101])), 1);
        assert_eq!(first(&train(&[100, 0])), 1);
        assert_eq!(first(&train(&[0, 0])), 1);
        assert_eq!(first(&[v6(0, 64, 9), v6(0, 64, 9), v6(0, 64, 8)]), 3);
    }

    #[test]
    fn a_run_breaks_where_tos_ttl_df_or_family_differs() {
        for other in [v4(1, 64, 9), v4(0, 63, 9), v6(0, 64, 9)] {
            assert_eq!(first(&[v4(0, 64, 9), v4(0, 64, 9), other]), 2);
        }
        let mut may_be_fragmented = v4(0, 64, 9);
        may_be_fragmented[6] = 0;
        assert_eq!(first(&[v4(0, 64, 9), may_be_fragmented.clone()]), 1);
        assert_eq!(first(&[may_be_fragmented]), 0);
        assert_eq!(first(&[]), 0);
    }

    #[test]
    fn a_run_keeps_the_limits_of_segments_and_octets() {
        assert_eq!(first(&vec![v4(0, 64, 64); 70]), MAX_SEGMENTS);
        assert_eq!(first(&vec![v4(0, 64, 1472); 64]), MAX_OCTETS / 1472);
        assert_eq!(first(&vec![v6(0, 64, 40_000); 2]), 1);
        assert_eq!(first(&vec![v6(0, 64, 65_535); 2]), 1);
    }

    #[test]
    fn without_segmentation_each_packet_is_a_run() {
        let packet = v6(0, 64, 100);
        let run = Run::first(&[&packet, &packet], false);
        assert_eq!(
            run.map(|run| (run.packets, run.segment_octets)),
            Some((1, 100))
        );
    }
}
