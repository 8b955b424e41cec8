//! Rules of `split`.

use super::*;
use crate::counters::DropReason;

fn segments(vnet: VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    split(vnet, packet)
        .expect("a consistent packet")
        .map(|segment| {
            let mut out = vec![0xee; segment.len() + 1];
            assert_eq!(segment.write_into(&mut out), segment.len());
            assert_eq!(
                out.pop(),
                Some(0xee),
                "nothing is written beyond the packet"
            );
            out
        })
        .collect()
}

fn u16_at(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

proptest! {
    #[test]
    fn segments_are_valid_and_carry_the_byte_stream(spec in specs(9000), gso in 1u16..2000) {
        let (vnet, packet) = spec.super_packet(gso);
        let parts = segments(vnet, &packet);
        prop_assert_eq!(parts.len(), spec.payload.len().div_ceil(usize::from(gso)));
        let mut stream = Vec::new();
        for part in &parts {
            let payload = assert_valid(part);
            prop_assert!(payload.len() <= usize::from(gso));
            stream.extend_from_slice(payload);
        }
        prop_assert_eq!(stream, spec.payload);
    }

    #[test]
    fn segments_keep_tos_ttl_df_ports_and_options(spec in specs(5000), gso in 100u16..2000) {
        let (vnet, packet) = spec.super_packet(gso);
        for part in segments(vnet, &packet) {
            let sliced = SlicedPacket::from_ip(&part).unwrap();
            match sliced.net.unwrap() {
                NetSlice::Ipv4(v4) => {
                    let header = v4.header();
                    prop_assert_eq!(header.slice()[1], spec.tos);
                    prop_assert_eq!(header.ttl(), spec.ttl);
                    prop_assert_eq!(header.dont_fragment(), spec.df);
                }
                NetSlice::Ipv6(v6) => {
                    prop_assert_eq!(v6.header().traffic_class(), spec.tos);
                    prop_assert_eq!(v6.header().hop_limit(), spec.ttl);
                    prop_assert_eq!(v6.header().flow_label().value(), 0x12345);
                }
                other => panic!("{other:?}"),
            }
            match sliced.transport.unwrap() {
                TransportSlice::Tcp(tcp) => {
                    prop_assert_eq!((tcp.source_port(), tcp.destination_port()), spec.ports);
                    prop_assert_eq!(tcp.options(), &spec.options[..]);
                    prop_assert_eq!(tcp.acknowledgment_number(), spec.ack);
                    prop_assert_eq!(tcp.window_size(), spec.window);
                    prop_assert_eq!(tcp.ece(), spec.flags & 0x40 != 0);
                }
                TransportSlice::Udp(udp) => {
                    prop_assert_eq!((udp.source_port(), udp.destination_port()), spec.ports);
                }
                TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => panic!(),
            }
        }
    }

    #[test]
    fn a_packet_whose_checksum_is_to_be_completed_becomes_the_complete_one(spec in specs(3000)) {
        let (vnet, packet) = spec.super_packet(0);
        let vnet = VnetHeader { gso_type: GSO_NONE, ..vnet };
        prop_assert_eq!(segments(vnet, &packet), vec![spec.build()]);
    }

    #[test]
    fn no_header_and_no_octets_make_split_panic(vnet in any::<[u8; 10]>(), mut packet in proptest::collection::vec(any::<u8>(), 0..300), version in 0usize..4, exact in any::<bool>()) {
        let length = packet.len();
        if let [first, _, l0, l1, l2, l3, ..] = &mut packet[..] {
            *first = [0x45, 0x60, 0x4f, *first][version];
            if exact {
                [*l0, *l1] = u16::try_from(length).unwrap().to_be_bytes();
                [*l2, *l3] = u16::try_from(length.saturating_sub(40)).unwrap().to_be_bytes();
            }
        }
        let mut vnet = VnetHeader::parse(&vnet).unwrap();
        vnet.gso_type %= 8;
        vnet.checksum_start %= 64;
        vnet.checksum_offset %= 64;
        if let Ok(parts) = split(vnet, &packet) {
            for part in parts {
                let mut out = vec![0; part.len()];
                prop_assert_eq!(part.write_into(&mut out), part.len());
                prop_assert_eq!(part.write_into(&mut out[1..]), 0);
            }
        }
    }
}

#[test]
fn sequence_numbers_and_ids_follow_and_wrap() {
    let spec = Spec {
        seq: u32::MAX - 99,
        id: u16::MAX,
        payload: payload(300, 0),
        ..Spec::default()
    };
    let (vnet, packet) = spec.super_packet(100);
    let parts = segments(vnet, &packet);
    let seqs: Vec<_> = parts
        .iter()
        .map(|p| u32::from(u16_at(p, 24)) << 16 | u32::from(u16_at(p, 26)))
        .collect();
    assert_eq!(seqs, [u32::MAX - 99, 0, 100]);
    assert_eq!(
        parts.iter().map(|part| u16_at(part, 4)).collect::<Vec<_>>(),
        [u16::MAX, 0, 1]
    );
}

#[test]
fn fin_and_psh_stay_on_the_last_segment_and_cwr_on_the_first() {
    let flags = ACK | FIN | PSH | CWR | 0x40;
    let spec = Spec {
        flags,
        payload: payload(250, 0),
        ..Spec::default()
    };
    let (mut vnet, packet) = spec.super_packet(100);
    vnet.gso_type |= GSO_ECN;
    let parts = segments(vnet, &packet);
    let seen: Vec<_> = parts.iter().map(|part| part[33]).collect();
    assert_eq!(seen, [ACK | CWR | 0x40, ACK | 0x40, ACK | FIN | PSH | 0x40]);
}

#[test]
fn a_computed_udp_checksum_of_zero_is_sent_as_all_ones() {
    for ipv6 in [false, true] {
        let mut spec = Spec {
            ipv6,
            udp: true,
            payload: vec![0; 20],
            ..Spec::default()
        };
        let at = if ipv6 { 46 } else { 26 };
        // The checksum of the segment without this word is the word that makes it zero.
        let (vnet, packet) = Spec {
            payload: vec![0; 10],
            ..spec.clone()
        }
        .super_packet(10);
        let word = u16_at(&segments(vnet, &packet)[0], at);
        spec.payload[..2].copy_from_slice(&word.to_be_bytes());
        let (vnet, packet) = spec.super_packet(10);
        let first = &segments(vnet, &packet)[0];
        assert_eq!(u16_at(first, at), 0xffff);
        assert_valid(first);

        let (vnet, packet) = Spec {
            payload: spec.payload[..10].to_vec(),
            ..spec
        }
        .super_packet(0);
        let alone = &segments(
            VnetHeader {
                gso_type: GSO_NONE,
                ..vnet
            },
            &packet,
        )[0];
        assert_eq!(alone, first);
    }
}

#[test]
fn a_super_packet_without_payload_is_one_segment() {
    let (vnet, packet) = Spec {
        payload: Vec::new(),
        ..Spec::default()
    }
    .super_packet(100);
    let parts = segments(vnet, &packet);
    assert_eq!(parts.len(), 1);
    assert_eq!(assert_valid(&parts[0]), b"");
}

#[test]
fn a_packet_that_asks_for_nothing_is_left_as_it_is_and_cut_to_its_length() {
    let packet = Spec::default().build();
    let mut longer = packet.clone();
    longer.extend_from_slice(b"trailer");
    assert_eq!(segments(VnetHeader::default(), &longer), vec![packet]);
}

#[test]
fn only_a_packet_alone_is_a_syn_candidate() {
    let spec = Spec::default();
    let (vnet, packet) = spec.super_packet(50);
    assert!(
        split(vnet, &packet)
            .unwrap()
            .all(|segment| !segment.is_tcp_syn_candidate())
    );
    let alone = VnetHeader {
        gso_type: GSO_NONE,
        ..vnet
    };
    assert!(
        split(alone, &packet)
            .unwrap()
            .all(|segment| segment.is_tcp_syn_candidate())
    );
}

#[test]
fn what_is_no_whole_ip_packet_is_inner_malformed() {
    let packet = Spec::default().build();
    let mut version = packet.clone();
    version[0] = 0x55;
    let mut short_header = packet.clone();
    short_header[0] = 0x44;
    for bad in [
        &packet[..packet.len() - 1],
        &version,
        &short_header,
        &[],
        &[0x60; 39],
    ] {
        let reason = split(VnetHeader::default(), bad).err();
        assert_eq!(reason, Some(DropReason::InnerMalformed));
    }
}

#[test]
fn a_vnet_header_that_contradicts_the_packet_is_offload_malformed() {
    let (good, packet) = Spec::default().super_packet(50);
    let changes: [fn(&mut VnetHeader); 9] = [
        |vnet| vnet.gso_type = GSO_TCPV6,
        |vnet| vnet.gso_type = GSO_UDP,
        |vnet| vnet.gso_type = 3,
        |vnet| vnet.gso_octets = 0,
        |vnet| vnet.checksum_start = 24,
        |vnet| vnet.checksum_offset = 6,
        |vnet| (vnet.gso_type, vnet.checksum_start) = (GSO_NONE, 19),
        |vnet| (vnet.gso_type, vnet.checksum_offset) = (GSO_NONE, 119),
        |vnet| (vnet.gso_type, vnet.checksum_start) = (GSO_NONE, u16::MAX),
    ];
    for change in changes {
        let mut vnet = good;
        change(&mut vnet);
        assert_eq!(
            split(vnet, &packet).err(),
            Some(DropReason::OffloadMalformed),
            "{vnet:?}"
        );
    }
    let (vnet, udp) = Spec {
        udp: true,
        ..Spec::default()
    }
    .super_packet(50);
    assert_eq!(split(good, &udp).err(), Some(DropReason::OffloadMalformed));
    let vnet = VnetHeader {
        gso_type: GSO_UDP | GSO_ECN,
        ..vnet
    };
    assert_eq!(split(vnet, &udp).err(), Some(DropReason::OffloadMalformed));
}

#[test]
fn a_super_packet_that_is_a_fragment_or_lacks_its_tcp_header_is_offload_malformed() {
    let (vnet, packet) = Spec {
        payload: Vec::new(),
        ..Spec::default()
    }
    .super_packet(50);
    for (at, value) in [(6, 0x20), (32, 0x40), (32, 0x60)] {
        let mut packet = packet.clone();
        packet[at] = value;
        assert_eq!(
            split(vnet, &packet).err(),
            Some(DropReason::OffloadMalformed)
        );
    }
}

#[test]
fn a_segment_behind_ipv6_extension_headers_is_valid_for_the_final_destination() {
    let (mut vnet, plain) = Spec {
        ipv6: true,
        payload: payload(200, 1),
        ..Spec::default()
    }
    .super_packet(80);
    // A routing header with one segment left; the pseudo-header was summed for the address inside it.
    let mut packet = plain[..40].to_vec();
    packet.extend_from_slice(&[TCP, 2, 0, 1, 0, 0, 0, 0]);
    packet.extend_from_slice(&plain[24..40]);
    packet.extend_from_slice(&plain[40..]);
    packet[24..40].fill(0xaa);
    packet[6] = 43;
    let octets = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&octets.to_be_bytes());
    vnet.checksum_start += 24;
    let parts = segments(vnet, &packet);
    assert_eq!(parts.len(), 3);
    for part in parts {
        assert_eq!(usize::from(u16_at(&part, 4)), part.len() - 40);
        let mut arrived = part[..40].to_vec();
        arrived.extend_from_slice(&part[64..]);
        arrived[24..40].copy_from_slice(&part[48..64]);
        let octets = u16::try_from(arrived.len() - 40).unwrap();
        arrived[4..6].copy_from_slice(&octets.to_be_bytes());
        arrived[6] = TCP;
        assert_valid(&arrived);
    }
    vnet.flags = 0;
    assert_eq!(
        split(vnet, &packet).err(),
        Some(DropReason::OffloadMalformed)
    );
}
