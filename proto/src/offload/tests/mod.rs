//! Packets for the tests, and an oracle that is not ours: etherparse.

mod coalescing;
mod splitting;
mod streams;

use super::*;
use etherparse::{
    IpFragOffset, IpNumber, IpSlice, Ipv4Header, Ipv6FlowLabel, Ipv6Header, NetSlice, SlicedPacket,
    TcpHeader, TcpOptions, TransportSlice, UdpHeader,
};
use proptest::prelude::*;

/// A TCP or UDP packet over IPv4 or IPv6.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) ipv6: bool,
    pub(super) udp: bool,
    pub(super) ports: (u16, u16),
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) df: bool,
    pub(super) id: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) flags: u8,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

pub(super) const ACK: u8 = 0x10;

impl Default for Spec {
    fn default() -> Self {
        Self {
            ipv6: false,
            udp: false,
            ports: (4000, 5000),
            tos: 0,
            ttl: 64,
            df: true,
            id: 7,
            seq: 1000,
            ack: 1,
            window: 512,
            flags: ACK,
            options: Vec::new(),
            payload: vec![0x5a; 100],
        }
    }
}

impl Spec {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        let (source, destination) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let protocol = if self.udp {
            IpNumber::UDP
        } else {
            IpNumber::TCP
        };
        let octets = if self.udp { 8 } else { 20 + self.options.len() } + self.payload.len();
        let mut v4 = Ipv4Header::new(
            u16::try_from(octets).unwrap(),
            self.ttl,
            protocol,
            source,
            destination,
        )
        .unwrap();
        v4.dscp = (self.tos >> 2).try_into().unwrap();
        v4.ecn = (self.tos & 3).try_into().unwrap();
        v4.dont_fragment = self.df;
        v4.identification = self.id;
        v4.fragment_offset = IpFragOffset::ZERO;
        let v6 = Ipv6Header {
            traffic_class: self.tos,
            flow_label: Ipv6FlowLabel::try_new(0x12345).unwrap(),
            payload_length: u16::try_from(octets).unwrap(),
            next_header: protocol,
            hop_limit: self.ttl,
            source: [0xfd; 16],
            destination: [0xfe; 16],
        };
        if self.ipv6 {
            v6.write(&mut packet).unwrap();
        } else {
            v4.header_checksum = v4.calc_header_checksum();
            v4.write_raw(&mut packet).unwrap();
        }
        if self.udp {
            let (from, to) = self.ports;
            let header = if self.ipv6 {
                UdpHeader::with_ipv6_checksum(from, to, &v6, &self.payload).unwrap()
            } else {
                UdpHeader::with_ipv4_checksum(from, to, &v4, &self.payload).unwrap()
            };
            header.write(&mut packet).unwrap();
        } else {
            let mut tcp = self.tcp_header();
            tcp.checksum = if self.ipv6 {
                tcp.calc_checksum_ipv6(&v6, &self.payload).unwrap()
            } else {
                tcp.calc_checksum_ipv4(&v4, &self.payload).unwrap()
            };
            tcp.write(&mut packet).unwrap();
        }
        packet.extend_from_slice(&self.payload);
        packet
    }

    fn tcp_header(&self) -> TcpHeader {
        let mut tcp = TcpHeader::new(self.ports.0, self.ports.1, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.options = TcpOptions::try_from_slice(&self.options).unwrap();
        tcp.fin = self.flags & FIN != 0;
        tcp.syn = self.flags & 0x02 != 0;
        tcp.rst = self.flags & 0x04 != 0;
        tcp.psh = self.flags & PSH != 0;
        tcp.ack = self.flags & ACK != 0;
        tcp.urg = self.flags & 0x20 != 0;
        tcp.ece = self.flags & 0x40 != 0;
        tcp.cwr = self.flags & CWR != 0;
        tcp
    }

    /// The packet as the kernel hands it over: with the sum of its pseudo-header for a checksum.
    pub(super) fn super_packet(&self, gso_octets: u16) -> (VnetHeader, Vec<u8>) {
        let mut packet = self.build();
        let transport = if self.ipv6 { 40 } else { 20 };
        let (protocol, offset) = if self.udp {
            (UDP, UDP_CHECKSUM_AT)
        } else {
            (TCP, TCP_CHECKSUM_AT)
        };
        let header = transport + if self.udp { 8 } else { 20 + self.options.len() };
        let addresses = if self.ipv6 { 8..40 } else { 12..20 };
        let length = u16::try_from(packet.len() - transport).unwrap();
        let pseudo = checksum::sum(
            &packet[addresses],
            checksum::word(u16::from(protocol)) + checksum::word(length),
        );
        let at = transport + usize::from(offset);
        packet[at..at + 2].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        let vnet = VnetHeader {
            flags: NEEDS_CHECKSUM,
            gso_type: match (self.udp, self.ipv6) {
                (true, _) => GSO_UDP,
                (false, true) => GSO_TCPV6,
                (false, false) => GSO_TCPV4,
            },
            header_octets: u16::try_from(header).unwrap(),
            gso_octets,
            checksum_start: u16::try_from(transport).unwrap(),
            checksum_offset: offset,
        };
        (vnet, packet)
    }
}

prop_compose! {
    /// Packets of any kind, with up to `octets` of payload.
    pub(super) fn specs(octets: usize)(
        (ipv6, udp, df) in any::<(bool, bool, bool)>(),
        (tos, ttl, id) in (any::<u8>(), 1u8.., any::<u16>()),
        (seq, ack, window) in any::<(u32, u32, u16)>(),
        flags in prop::sample::subsequence(vec![FIN, PSH, 0x40, CWR], 0..=4),
        words in 0usize..=10,
        (length, fill) in (1..=octets, any::<u32>()),
    ) -> Spec {
        Spec {
            ipv6, udp, df, tos, ttl, id, seq, ack, window,
            flags: flags.into_iter().fold(ACK, |all, flag| all | flag),
            options: vec![1; words * 4],
            payload: payload(length, fill),
            ..Spec::default()
        }
    }
}

/// Octets that repeat nowhere near.
pub(super) fn payload(length: usize, fill: u32) -> Vec<u8> {
    (0u32..)
        .map(|i| (i.wrapping_add(fill).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .take(length)
        .collect()
}

/// Panics unless etherparse finds the packet whole and its checksums right; gives its TCP or UDP payload.
pub(super) fn assert_valid(packet: &[u8]) -> &[u8] {
    let sliced = SlicedPacket::from_ip(packet).expect("a packet");
    let net = sliced.net.expect("an IP header");
    if let NetSlice::Ipv4(v4) = &net {
        let header = v4.header().to_header();
        assert_eq!(
            header.header_checksum,
            header.calc_header_checksum(),
            "IPv4 header checksum"
        );
    }
    assert_eq!(
        IpSlice::from_slice(packet).unwrap().payload().payload.len() + header_octets(&net),
        packet.len()
    );
    match sliced.transport.expect("a transport header") {
        TransportSlice::Tcp(tcp) => {
            let expected = match &net {
                NetSlice::Ipv4(v4) => tcp
                    .calc_checksum_ipv4(v4.header().source(), v4.header().destination())
                    .unwrap(),
                NetSlice::Ipv6(v6) => tcp
                    .calc_checksum_ipv6(v6.header().source(), v6.header().destination())
                    .unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(tcp.checksum(), expected, "TCP checksum");
            tcp.payload()
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let expected = match &net {
                NetSlice::Ipv4(v4) => header
                    .calc_checksum_ipv4(&v4.header().to_header(), udp.payload())
                    .unwrap(),
                NetSlice::Ipv6(v6) => header
                    .calc_checksum_ipv6(&v6.header().to_header(), udp.payload())
                    .unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(udp.checksum(), expected, "UDP checksum");
            assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
            udp.payload()
        }
        TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => panic!(),
    }
}

fn header_octets(net: &NetSlice<'_>) -> usize {
    match net {
        NetSlice::Ipv4(v4) => v4.header().slice().len(),
        NetSlice::Ipv6(v6) => v6.header().slice().len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vnet_header_survives_emit_and_parse_and_a_short_one_is_none() {
    let header = VnetHeader {
        flags: NEEDS_CHECKSUM,
        gso_type: GSO_TCPV6 | GSO_ECN,
        header_octets: 60,
        gso_octets: 1400,
        checksum_start: 40,
        checksum_offset: 16,
    };
    assert_eq!(VnetHeader::parse(&header.emit()), Some(header));
    assert_eq!(VnetHeader::parse(&header.emit()[..9]), None);
}
