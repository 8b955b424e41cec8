use core::ops::Range;

use proptest::prelude::*;

use super::{parameters, transport_checksum_is_valid, udp};
use crate::counters::{Counters, DropReason};
use crate::offload::checksum;
use crate::tunnel::{Decap, DscpIn, MssClamp, Parameters};
use crate::wire::gre::{self, GreKey};
use crate::wire::ip::Ip;

/// A GRE packet as a peer would send it.
fn gre_packet(header: &gre::Header, inner: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; header.octets];
    header.write(&mut octets);
    octets.extend(inner);
    if header.checksum {
        let value = checksum::checksum(&octets).to_be_bytes();
        octets[4..6].copy_from_slice(&value);
    }
    octets
}

fn plain(inner: &[u8]) -> Vec<u8> {
    let ipv6 = inner[0] >> 4 == 6;
    let protocol = if ipv6 {
        gre::PROTOCOL_IPV6
    } else {
        gre::PROTOCOL_IPV4
    };
    gre_packet(&gre::Header::new(protocol, false, None, None), inner)
}

fn numbered(seq: Option<u32>) -> Vec<u8> {
    let header = gre::Header::new(gre::PROTOCOL_IPV4, false, None, seq);
    gre_packet(&header, &udp(false, (0, 64, false), &[1]))
}

fn decapsulate(
    decap: &mut Decap,
    gre: &mut [u8],
    outer_tos: u8,
) -> Result<Range<usize>, DropReason> {
    let header = gre::parse(gre)?;
    decap.decapsulate(&header, gre, outer_tos, &Counters::default())
}

fn reason(parameters: Parameters, mut gre: Vec<u8>) -> Option<DropReason> {
    decapsulate(&mut Decap::new(&parameters), &mut gre, 0).err()
}

#[test]
fn each_fault_has_its_reason() {
    let plain_tunnel = parameters(false);
    let inner = udp(false, (0, 64, false), &[1, 2, 3]);
    let with_checksum = Parameters {
        checksum: true,
        ..plain_tunnel
    };
    let with_sequence = Parameters {
        sequence: true,
        ..plain_tunnel
    };
    assert_eq!(reason(plain_tunnel, plain(&inner)), None);
    assert_eq!(
        reason(with_checksum, plain(&inner)),
        Some(DropReason::GreChecksumMissing)
    );
    assert_eq!(
        reason(with_sequence, plain(&inner)),
        Some(DropReason::SequenceMissing)
    );
    let other = gre::Header::new(0x88be, false, None, None);
    assert_eq!(
        reason(plain_tunnel, gre_packet(&other, &inner)),
        Some(DropReason::UnknownProtocol)
    );
    let claims_ipv6 = gre::Header::new(gre::PROTOCOL_IPV6, false, None, None);
    let malformed = Some(DropReason::InnerMalformed);
    assert_eq!(
        reason(plain_tunnel, gre_packet(&claims_ipv6, &inner)),
        malformed
    );
    assert_eq!(reason(plain_tunnel, plain(&inner[..30])), malformed);
    assert_eq!(reason(plain_tunnel, plain(&inner)[..4].to_vec()), malformed);
}

#[test]
fn a_header_that_does_not_belong_to_the_octets_is_short() {
    let header = gre::Header::new(gre::PROTOCOL_IPV4, false, Some(GreKey(1)), Some(2));
    let mut decap = Decap::new(&parameters(false));
    let outcome = decap.decapsulate(&header, &mut [0; 7], 0, &Counters::default());
    assert_eq!(outcome, Err(DropReason::GreShort));
}

#[test]
fn octets_beyond_the_inner_packet_are_cut() {
    for ipv6 in [false, true] {
        let inner = udp(ipv6, (0, 64, false), &[1]);
        let mut gre = plain(&inner);
        gre.extend([0; 17]);
        let range = decapsulate(&mut Decap::new(&parameters(false)), &mut gre, 0).unwrap();
        assert_eq!(gre[range], inner);
    }
}

#[test]
fn a_checksum_is_verified_even_where_none_is_required_and_an_odd_length_is_padded() {
    let header = gre::Header::new(gre::PROTOCOL_IPV4, true, Some(GreKey(7)), None);
    for octets in 0..4 {
        let inner = udp(false, (0, 64, false), &vec![0xab; octets]);
        let mut gre = gre_packet(&header, &inner);
        assert_eq!(reason(parameters(false), gre.clone()), None);
        *gre.last_mut().unwrap() ^= 1;
        assert_eq!(
            reason(parameters(false), gre),
            Some(DropReason::GreChecksum)
        );
    }
}

#[test]
fn a_number_is_ignored_by_a_tunnel_without_sequence() {
    let mut decap = Decap::new(&parameters(false));
    for seq in [5, 5, 1] {
        assert!(decapsulate(&mut decap, &mut numbered(Some(seq)), 0).is_ok());
    }
}

#[test]
fn old_packets_are_dropped_a_restart_is_counted_and_another_peer_starts_anew() {
    let mut decap = Decap::new(&Parameters {
        sequence: true,
        ..parameters(false)
    });
    let counters = Counters::default();
    let arrive = |decap: &mut Decap, seq| {
        let mut gre = numbered(Some(seq));
        let header = gre::parse(&gre).unwrap();
        decap.decapsulate(&header, &mut gre, 0, &counters).err()
    };
    assert_eq!(arrive(&mut decap, 100), None);
    assert_eq!(arrive(&mut decap, 100), Some(DropReason::SequenceOld));
    for seq in 0..7 {
        assert_eq!(arrive(&mut decap, seq), Some(DropReason::SequenceOld));
    }
    assert_eq!(arrive(&mut decap, 7), None);
    assert_eq!(arrive(&mut decap, 8), None);
    decap.forget_sequence();
    assert_eq!(arrive(&mut decap, 3), None);
    assert_eq!(arrive(&mut decap, 3), Some(DropReason::SequenceOld));
    assert_eq!(counters.sequence_restarts.load(), 1);
}

#[test]
fn a_packet_with_a_wrong_checksum_does_not_move_the_sequence() {
    let parameters = Parameters {
        sequence: true,
        checksum: true,
        ..parameters(false)
    };
    let mut decap = Decap::new(&parameters);
    let packet = |seq| {
        let header = gre::Header::new(gre::PROTOCOL_IPV4, true, None, Some(seq));
        gre_packet(&header, &udp(false, (0, 64, false), &[1]))
    };
    let mut forged = packet(1_000_000);
    forged[4] ^= 1;
    assert_eq!(decapsulate(&mut decap, &mut packet(1), 0).err(), None);
    assert_eq!(
        decapsulate(&mut decap, &mut forged, 0),
        Err(DropReason::GreChecksum)
    );
    assert_eq!(decapsulate(&mut decap, &mut packet(2), 0).err(), None);
}

#[test]
fn congestion_on_the_way_reaches_the_inner_header_or_drops_the_packet() {
    for ipv6 in [false, true] {
        for (inner, outer, expected, unusual) in [
            (0b10, 0b11, Ok(0b11), 0),
            (0b01, 0b11, Ok(0b11), 0),
            (0b10, 0b01, Ok(0b01), 0),
            (0b11, 0b00, Ok(0b11), 0),
            (0b01, 0b10, Ok(0b01), 1),
            (0b11, 0b01, Ok(0b11), 1),
            (0b00, 0b10, Ok(0b00), 1),
            (0b00, 0b11, Err(DropReason::EcnUnusable), 0),
        ] {
            let counters = Counters::default();
            let mut gre = plain(&udp(ipv6, (0xb8 | inner, 64, false), &[1]));
            let header = gre::parse(&gre).unwrap();
            let mut decap = Decap::new(&parameters(false));
            let outcome = decap
                .decapsulate(&header, &mut gre, 0x28 | outer, &counters)
                .map(|range| Ip::parse(&gre[range]).unwrap())
                .inspect(|ip| assert!(ip.checksum_is_valid()))
                .map(|ip| ip.tos());
            assert_eq!(
                outcome,
                expected.map(|ecn| 0xb8 | ecn),
                "{inner:02b} in {outer:02b}"
            );
            assert_eq!(counters.ecn_unusual.load(), unusual);
        }
    }
}

#[test]
fn the_pipe_keeps_the_inner_dscp_and_the_uniform_model_copies_the_outer_one() {
    for ipv6 in [false, true] {
        for (dscp_in, expected) in [(DscpIn::Keep, 0xba), (DscpIn::Copy, 0x2a)] {
            let mut gre = plain(&udp(ipv6, (0xba, 64, false), &[1]));
            let mut decap = Decap::new(&Parameters {
                dscp_in,
                ..parameters(false)
            });
            let range = decapsulate(&mut decap, &mut gre, 0x28).unwrap();
            let ip = Ip::parse(&gre[range]).unwrap();
            assert_eq!(ip.tos(), expected);
            assert!(ip.checksum_is_valid());
        }
    }
}

#[test]
fn the_mss_of_a_syn_is_lowered_on_its_way_in() {
    let mut decap = Decap::new(&parameters(false));
    decap.set_mss_clamp(Some(MssClamp {
        v4: Some(1300),
        v6: Some(1280),
    }));
    let options = [etherparse::TcpOptionElement::MaximumSegmentSize(1460)];
    let mut syn = Vec::new();
    let builder = etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64);
    builder
        .tcp(1, 2, 3, 4)
        .syn()
        .ack(9)
        .options(&options)
        .unwrap()
        .write(&mut syn, &[])
        .unwrap();
    let mut gre = plain(&syn);
    let range = decapsulate(&mut decap, &mut gre, 0).unwrap();
    let inner = &gre[range];
    assert_eq!(inner[60..64], [2, 4, 0x05, 0x00]);
    assert!(transport_checksum_is_valid(inner));
}

#[test]
fn an_mss_option_in_octets_beyond_the_inner_packet_is_none_of_it() {
    let mut decap = Decap::new(&parameters(false));
    decap.set_mss_clamp(Some(MssClamp {
        v4: Some(1300),
        v6: None,
    }));
    let mut syn = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.tcp(1, 2, 3, 4).syn().write(&mut syn, &[]).unwrap();
    syn[32] = 0x60;
    syn.extend([2, 4, 0x05, 0xb4]);
    let mut gre = plain(&syn);
    let range = decapsulate(&mut decap, &mut gre, 0).unwrap();
    assert_eq!(range, 4..44);
    assert_eq!(gre[4..], syn);
}

proptest! {
    #[test]
    fn any_flipped_bit_of_a_checksummed_packet_drops_it_and_leaves_the_state(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
    ) {
        let parameters = Parameters { checksum: true, sequence: true, ..parameters(false) };
        let header = gre::Header::new(gre::PROTOCOL_IPV4, true, Some(GreKey(9)), Some(77));
        let good = gre_packet(&header, &udp(false, (0, 64, false), &payload));
        let mut decap = Decap::new(&parameters);
        let mut flipped = good.clone();
        let bit = at.index(good.len() * 8);
        flipped[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert!(decapsulate(&mut decap, &mut flipped, 0).is_err(), "bit {}", bit);
        prop_assert!(decapsulate(&mut decap, &mut good.clone(), 0).is_ok());
    }

    #[test]
    fn octets_from_anywhere_give_a_packet_within_them_or_a_reason(
        mut gre in prop::collection::vec(any::<u8>(), 0..200),
        shape in any::<[bool; 4]>(),
        outer_tos in any::<u8>(),
    ) {
        let [checksum, sequence, ipv6, copy] = shape;
        if let [flags, version, high, low, ..] = &mut gre[..] {
            (*flags, *version) = (*flags & 0xb0, 0);
            [*high, *low] = if ipv6 { gre::PROTOCOL_IPV6 } else { gre::PROTOCOL_IPV4 }.to_be_bytes();
        }
        let parameters = Parameters {
            checksum,
            sequence,
            dscp_in: if copy { DscpIn::Copy } else { DscpIn::Keep },
            mss_clamp: Some(MssClamp { v4: Some(600), v6: Some(1300) }),
            ..parameters(ipv6)
        };
        let octets = gre.len();
        if let Ok(range) = decapsulate(&mut Decap::new(&parameters), &mut gre, outer_tos) {
            prop_assert!(range.end <= octets);
            prop_assert_eq!(Ip::parse(&gre[range.clone()]).unwrap().total_octets(), range.len());
        }
    }
}
