//! Encapsulation and decapsulation against each other, against etherparse and against captured octets.

mod inbound;
mod outbound;
mod sealed;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::{Df, DscpIn, DscpOut, Ecn, Encap, Mode, Parameters, Refused, Train, Ttl};
use core::net::IpAddr;

use crate::counters::{Counters, DropReason};
use crate::offload::{Segment, VnetHeader, split};
use crate::wire::gre::{self, GreKey};
use crate::wire::ip::Ip;

/// A plain tunnel between documentation addresses.
pub(super) fn parameters(ipv6: bool) -> Parameters {
    Parameters {
        local: if ipv6 {
            "2001:db8::1".parse().unwrap()
        } else {
            [192, 0, 2, 1].into()
        },
        remote: if ipv6 {
            "2001:db8::2".parse().unwrap()
        } else {
            [198, 51, 100, 2].into()
        },
        key_out: None,
        key_in: None,
        checksum: false,
        sequence: false,
        ttl: Ttl::Fixed(64),
        dscp_out: DscpOut::Inherit,
        dscp_in: DscpIn::Keep,
        ecn: Ecn::Normal,
        df: Df::Copy,
        mss_clamp: None,
        mode: Mode::Gre,
        udp: None,
        tfc_octets: 0,
        gre_ends: None,
    }
}

/// Whether etherparse computes the checksum that a TCP packet carries.
pub(super) fn transport_checksum_is_valid(packet: &[u8]) -> bool {
    let parsed = etherparse::PacketHeaders::from_ip_slice(packet).unwrap();
    let tcp = parsed.transport.unwrap().tcp().unwrap();
    let payload = parsed.payload.slice();
    let checksum = match parsed.net.unwrap() {
        etherparse::NetHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(&ip, payload).unwrap(),
        etherparse::NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(&ip, payload).unwrap(),
        other => panic!("{other:?}"),
    };
    checksum == tcp.checksum
}

/// An inner UDP packet with this TOS and TTL; an IPv4 one may have DF set.
fn udp(ipv6: bool, (tos, ttl, df): (u8, u8, bool), payload: &[u8]) -> Vec<u8> {
    let builder = if ipv6 {
        let mut header = etherparse::Ipv6Header {
            source: [0xfd; 16],
            destination: [0xfe; 16],
            ..Default::default()
        };
        (header.traffic_class, header.hop_limit) = (tos, ttl);
        PacketBuilder::ip(etherparse::IpHeaders::Ipv6(
            header,
            etherparse::Ipv6Extensions::default(),
        ))
    } else {
        let mut header = etherparse::Ipv4Header {
            source: [10, 0, 0, 1],
            destination: [10, 0, 0, 2],
            dont_fragment: df,
            time_to_live: ttl,
            ..Default::default()
        };
        header.dscp = (tos >> 2).try_into().unwrap();
        header.ecn = (tos & 3).try_into().unwrap();
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(
            header,
            etherparse::Ipv4Extensions::default(),
        ))
    };
    let mut octets = Vec::new();
    builder.udp(5000, 6000).write(&mut octets, payload).unwrap();
    octets
}

fn segment(packet: &[u8]) -> Segment<'_> {
    split(VnetHeader::default(), packet)
        .unwrap()
        .next()
        .unwrap()
}

fn encapsulate(encap: &mut Encap, packet: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let mut train = Train::new(100, 1 << 17);
    // What an earlier train left behind must not shine through.
    train.reserve(1 << 17).unwrap().fill(0xee);
    let count = encap.encapsulate(&mut train, 5, &segment(packet))?;
    assert_eq!(train.packets().len(), count);
    assert!(train.packets().all(|(_, label)| label.destination == 5));
    Ok(train.packets().map(|(octets, _)| octets.to_vec()).collect())
}

/// The only packet that comes of this one.
fn sole(encap: &mut Encap, packet: &[u8]) -> Vec<u8> {
    let [outer] = encapsulate(encap, packet).unwrap().try_into().unwrap();
    outer
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let key = proptest::option::of(any::<u32>().prop_map(GreKey));
    let ttl = prop_oneof![Just(Ttl::Inherit), (1..=255_u8).prop_map(Ttl::Fixed)];
    let dscp = prop_oneof![Just(DscpOut::Inherit), (0..64_u8).prop_map(DscpOut::Fixed)];
    let ecn = prop_oneof![Just(Ecn::Normal), Just(Ecn::Compatibility)];
    let df = prop_oneof![Just(Df::Set), Just(Df::Clear), Just(Df::Copy)];
    (any::<[bool; 3]>(), key, ttl, dscp, ecn, df).prop_map(
        |([ipv6, checksum, sequence], key, ttl, dscp_out, ecn, df)| Parameters {
            key_out: key,
            key_in: key,
            checksum,
            sequence,
            ttl,
            dscp_out,
            ecn,
            df,
            ..parameters(ipv6)
        },
    )
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_and_the_outer_headers_say_what_the_parameters_ask(
        parameters in any_parameters(),
        ipv6 in any::<bool>(),
        marks in any::<(u8, u8, bool)>(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1600), 1..4),
    ) {
        let mut encap = Encap::new(&parameters);
        let mut decap = super::Decap::new(&parameters);
        let counters = Counters::default();
        for (nth, payload) in (0..).zip(&payloads) {
            let inner = udp(ipv6, marks, payload);
            let mut outer = sole(&mut encap, &inner);
            prop_assert_eq!(outer.len(), encap.header_octets() + inner.len());

            let ip = Ip::parse(&outer).unwrap();
            prop_assert!(ip.checksum_is_valid() && !ip.is_fragment());
            prop_assert_eq!(ip.total_octets(), outer.len());
            prop_assert_eq!((ip.source(), ip.destination()), (parameters.local, parameters.remote));
            let dscp = match parameters.dscp_out { DscpOut::Fixed(dscp) => dscp, DscpOut::Inherit => marks.0 >> 2 };
            let ecn = if parameters.ecn == Ecn::Normal { marks.0 & 3 } else { 0 };
            prop_assert_eq!(ip.tos(), dscp << 2 | ecn);
            prop_assert_eq!(ip.ttl(), match parameters.ttl { Ttl::Fixed(ttl) => ttl, Ttl::Inherit => marks.1 });
            let sliced = etherparse::SlicedPacket::from_ip(&outer).unwrap();
            let payload = sliced.ip_payload().unwrap();
            prop_assert_eq!(payload.ip_number, etherparse::IpNumber::GRE);
            if let Some(etherparse::NetSlice::Ipv4(theirs)) = &sliced.net {
                let df = match parameters.df { Df::Set => true, Df::Clear => false, Df::Copy => ipv6 || marks.2 };
                prop_assert_eq!(theirs.header().dont_fragment(), df);
                let theirs = theirs.header().to_header();
                prop_assert_eq!(theirs.calc_header_checksum(), theirs.header_checksum);
            }

            let protocol = if ipv6 { gre::PROTOCOL_IPV6 } else { gre::PROTOCOL_IPV4 };
            let header = gre::parse(payload.payload).unwrap();
            let seq = parameters.sequence.then_some(nth);
            prop_assert_eq!(header, gre::Header::new(protocol, parameters.checksum, parameters.key_out, seq));

            let gre_at = ip.header_octets();
            let outer_tos = ip.tos();
            drop(sliced);
            let gre = &mut outer[gre_at..];
            let range = decap.decapsulate(&header, gre, outer_tos, &counters).unwrap();
            prop_assert_eq!(&gre[range], &inner[..]);
        }
        prop_assert_eq!(counters.ecn_unusual.load(), 0);
    }

    #[test]
    fn no_packet_and_no_parameters_panic(
        parameters in any_parameters(),
        path_mtu in any::<u16>(),
        octets in prop::collection::vec(any::<u8>(), 0..300),
        ipv6_marked in any::<bool>(),
    ) {
        let mut encap = Encap::new(&parameters);
        encap.set_path_mtu(path_mtu);
        let mut train = Train::new(3, 1000);
        let mut octets = octets;
        if let Some(first) = octets.first_mut() {
            *first = if ipv6_marked { 0x60 } else { 0x45 };
        }
        if let Ok(mut segments) = split(VnetHeader::default(), &octets) {
            let _ = encap.encapsulate(&mut train, 0, &segments.next().unwrap());
        }
        let _ = encap.encapsulate_packet(&mut train, 0, 0x88be, &octets, 0xc0, 255);
        for (packet, _) in train.packets() {
            prop_assert!(Ip::parse(packet).unwrap().checksum_is_valid());
        }
    }
}
