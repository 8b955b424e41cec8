//! Packets written by hand, octet by octet, and read back by an independent parser.

use std::net::IpAddr;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, SlicedPacket};

/// GRE flags (RFC 2784 section 2.1, RFC 2890 section 2).
pub(crate) const CHECKSUM: u16 = 0x8000;
pub(crate) const KEY: u16 = 0x2000;
pub(crate) const SEQUENCE: u16 = 0x1000;
/// GRE protocol types.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
/// IP protocol numbers.
pub(crate) const GRE: u8 = 47;
pub(crate) const UDP: u8 = 17;

/// What an outer or inner IP header says besides its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
}

impl Ip {
    pub(crate) fn new(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            protocol,
            tos: 0,
            ttl: 64,
        }
    }

    /// The header and `payload`.
    pub(crate) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let octets = u16::try_from(payload.len()).unwrap();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (protocol, ttl) = (IpNumber(self.protocol), self.ttl);
                let mut header =
                    Ipv4Header::new(octets, ttl, protocol, source.octets(), destination.octets())
                        .unwrap();
                header.dscp = (self.tos >> 2).try_into().unwrap();
                header.ecn = (self.tos & 3).try_into().unwrap();
                header.dont_fragment = false;
                header.header_checksum = header.calc_header_checksum();
                header.write(&mut packet).unwrap();
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    traffic_class: self.tos,
                    flow_label: Ipv6FlowLabel::default(),
                    payload_length: octets,
                    next_header: IpNumber(self.protocol),
                    hop_limit: self.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                header.write(&mut packet).unwrap();
            }
            _ => panic!("addresses of one family"),
        }
        packet.extend(payload);
        packet
    }
}

/// A GRE header with `flags` and the words that follow it, and a payload. With [`CHECKSUM`] the first word is overwritten.
pub(crate) fn gre(flags: u16, protocol: u16, words: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut packet = [flags.to_be_bytes(), protocol.to_be_bytes()].concat();
    packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    packet.extend(payload);
    if flags & CHECKSUM != 0 && packet.len() >= 8 {
        packet[4..8].fill(0);
        let sum = checksum(&packet);
        packet[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(octets: &[u8]) -> u16 {
    let words = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// The same IP packet with that TOS or traffic class.
pub(crate) fn with_tos(mut packet: Vec<u8>, tos: u8) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        packet[0] = 0x60 | tos >> 4;
        packet[1] = packet[1] & 0x0f | tos << 4;
    } else {
        packet[1] = tos;
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// A UDP datagram without a checksum where that is allowed; its content is `text`.
pub(crate) fn udp(source: IpAddr, destination: IpAddr, text: &[u8]) -> Vec<u8> {
    let header = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let ip = Ipv4Header::new(0, 64, IpNumber::UDP, source.octets(), destination.octets())
                .unwrap();
            etherparse::UdpHeader::with_ipv4_checksum(4000, 4000, &ip, text)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let ip = Ipv6Header {
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            etherparse::UdpHeader::with_ipv6_checksum(4000, 4000, &ip, text)
        }
        _ => panic!("addresses of one family"),
    };
    let mut packet = header.unwrap().to_bytes().to_vec();
    packet.extend(text);
    Ip::new(source, destination, UDP).packet(&packet)
}

/// An IP packet as the independent parser reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// Don't Fragment; none for IPv6.
    pub(crate) df: Option<bool>,
    pub(crate) fragment: bool,
    /// Behind the header and its extensions.
    pub(crate) payload: Vec<u8>,
}

impl Seen {
    /// Reads a packet; none if it is not IP.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let net = sliced.net?;
        let payload = net.ip_payload_ref()?;
        let (fragment, protocol) = (payload.fragmented, payload.ip_number.0);
        let payload = payload.payload.to_vec();
        match &net {
            etherparse::NetSlice::Ipv4(ip) => {
                let header = ip.header();
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    protocol,
                    tos: header.dcp().value() << 2 | header.ecn().value(),
                    ttl: header.ttl(),
                    df: Some(header.dont_fragment()),
                    fragment: fragment || header.fragments_offset() != IpFragOffset::ZERO,
                    payload,
                })
            }
            etherparse::NetSlice::Ipv6(ip) => {
                let header = ip.header();
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    protocol,
                    tos: header.traffic_class(),
                    ttl: header.hop_limit(),
                    df: None,
                    fragment,
                    payload,
                })
            }
            etherparse::NetSlice::Arp(_) => None,
        }
    }

    /// The GRE payload of a whole GRE packet, with the flags and protocol type before it.
    pub(crate) fn gre(&self) -> Option<(u16, u16, &[u8])> {
        if self.protocol != GRE || self.fragment {
            return None;
        }
        let (&[a, b, c, d], rest) = self.payload.split_first_chunk::<4>()?;
        let flags = u16::from_be_bytes([a, b]);
        let words = (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize;
        Some((flags, u16::from_be_bytes([c, d]), rest.get(words * 4..)?))
    }

    /// The packet inside a GRE packet.
    pub(crate) fn inner(&self) -> Option<Self> {
        Self::read(self.gre()?.2)
    }

    /// Whether it carries what a kernel sends on a new link by itself: router solicitations, multicast reports.
    pub(crate) fn is_chatter(&self) -> bool {
        self.inner()
            .is_some_and(|inner| inner.destination.is_multicast())
    }
}
