use super::*;
use proptest::prelude::*;

fn any_addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(a, b)| (a.into(), b.into())),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(a, b)| (a.into(), b.into())),
    ]
}

proptest! {
    #[test]
    fn a_written_header_reads_back_and_etherparse_agrees(
        (source, destination) in any_addresses(),
        (protocol, tos, ttl, df, id) in any::<(u8, u8, u8, bool, u16)>(),
        payload_octets in 0..200_u16,
    ) {
        // 51 is AH, which etherparse would take for an extension header.
        prop_assume!(protocol != 51);
        let outer = OuterHeader { source, destination, protocol, tos, ttl, df, payload_octets, id };
        let mut octets = vec![0; 300];
        let end = write_header(&mut octets, &outer);
        octets.truncate(end + usize::from(payload_octets));
        let ip = Ip::parse(&octets).unwrap();
        prop_assert_eq!((ip.source(), ip.destination()), (source, destination));
        prop_assert_eq!((ip.protocol(), ip.tos(), ip.ttl()), (protocol, tos, ttl));
        prop_assert_eq!(ip.df(), df || source.is_ipv6());
        prop_assert_eq!(ip.payload().len(), usize::from(payload_octets));
        prop_assert_eq!((ip.header_octets(), ip.total_octets()), (end, octets.len()));
        prop_assert!(ip.checksum_is_valid());
        if source.is_ipv4() {
            let (theirs, rest) = etherparse::Ipv4Header::from_slice(&octets).unwrap();
            prop_assert_eq!(theirs.calc_header_checksum(), theirs.header_checksum);
            prop_assert_eq!(IpAddr::from(theirs.source), source);
            prop_assert_eq!((theirs.identification, theirs.dont_fragment), (id, df));
            prop_assert_eq!(theirs.total_len, u16::try_from(octets.len()).unwrap());
            prop_assert_eq!(rest.len(), usize::from(payload_octets));
        } else {
            let (theirs, _) = etherparse::Ipv6Header::from_slice(&octets).unwrap();
            prop_assert_eq!(IpAddr::from(theirs.destination), destination);
            prop_assert_eq!(theirs.traffic_class, tos);
            prop_assert_eq!(theirs.flow_label.value(), 0);
            prop_assert_eq!(theirs.payload_length, payload_octets);
        }
    }

    #[test]
    fn a_packet_that_reads_lies_within_its_octets(octets in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(ip) = Ip::parse(&octets) {
            prop_assert!(ip.total_octets() <= octets.len());
            prop_assert_eq!(ip.header_octets() + ip.payload().len(), ip.total_octets());
            let _ = (ip.source(), ip.destination(), ip.checksum_is_valid());
        }
    }
}

proptest! {
    #[test]
    fn a_new_tos_is_all_that_changes_and_the_checksum_stays_right(
        (source, destination) in any_addresses(),
        (before, after) in any::<(u8, u8)>(),
        id in any::<u16>(),
    ) {
        let outer = OuterHeader {
            source, destination, protocol: 6, tos: before, ttl: 7, df: true, payload_octets: 0, id,
        };
        let (mut changed, mut expected) = ([0xff; 40], [0xff; 40]);
        write_header(&mut changed, &outer);
        set_tos(&mut changed, after);
        write_header(&mut expected, &OuterHeader { tos: after, ..outer });
        prop_assert_eq!(changed, expected);
    }
}

#[test]
fn a_new_tos_keeps_the_flow_label_and_leaves_other_octets_alone() {
    let mut octets = [0x6a, 0xbc, 0xde, 0xf0];
    set_tos(&mut octets, 0x51);
    assert_eq!(octets, [0x65, 0x1c, 0xde, 0xf0]);
    let mut short = [0x45, 1, 2];
    set_tos(&mut short, 9);
    assert_eq!(short, [0x45, 1, 2]);
}

/// The inner packet of a router's keepalive between 192.0.2.1 and 198.51.100.2.
const KEEPALIVE: [u8; 24] = [
    0x45, 0, 0, 0x18, 0, 0, 0, 0, 0xff, 0x2f, 0xcf, 0x7f, 0xc6, 0x33, 0x64, 2, 0xc0, 0, 2, 1, 0, 0,
    0, 0,
];

#[test]
fn the_header_of_a_captured_keepalive_is_written_octet_for_octet() {
    let mut octets = [0; 24];
    let outer = OuterHeader {
        source: [198, 51, 100, 2].into(),
        destination: [192, 0, 2, 1].into(),
        protocol: 47,
        tos: 0,
        ttl: 255,
        df: false,
        payload_octets: 4,
        id: 0,
    };
    assert_eq!(write_header(&mut octets, &outer), 20);
    assert_eq!(octets, KEEPALIVE);
}

#[test]
fn octets_after_the_total_length_are_left_out() {
    let mut octets = KEEPALIVE.to_vec();
    octets.extend([1, 2, 3]);
    assert_eq!(Ip::parse(&octets).unwrap().payload(), &[0; 4]);
}

#[test]
fn each_inconsistency_of_a_header_has_its_name() {
    let with = |at: usize, value: u8| {
        let mut octets = KEEPALIVE;
        octets[at] = value;
        Ip::parse(&octets).err()
    };
    assert_eq!(Ip::parse(&[]), Err(Malformed::Short));
    assert_eq!(Ip::parse(&KEEPALIVE[..19]), Err(Malformed::Short));
    assert_eq!(with(0, 0x55), Some(Malformed::Version));
    assert_eq!(with(0, 0x44), Some(Malformed::HeaderLength));
    assert_eq!(with(0, 0x47), Some(Malformed::HeaderLength));
    assert_eq!(with(3, 19), Some(Malformed::TotalLength));
    assert_eq!(with(3, 25), Some(Malformed::TotalLength));
    assert_eq!(Ip::parse(&[0x60; 39]), Err(Malformed::Short));
    assert_eq!(Ip::parse(&[0x60; 41]), Err(Malformed::TotalLength));
}

#[test]
fn any_flipped_bit_makes_the_header_checksum_invalid() {
    for bit in 0..160 {
        let mut octets = KEEPALIVE;
        octets[bit / 8] ^= 0x80 >> (bit % 8);
        if let Ok(ip @ Ip::V4 { .. }) = Ip::parse(&octets) {
            assert!(!ip.checksum_is_valid(), "bit {bit}");
        }
    }
}

#[test]
fn a_header_that_cannot_be_is_not_written() {
    let v4 = OuterHeader {
        source: Ipv4Addr::LOCALHOST.into(),
        destination: Ipv4Addr::LOCALHOST.into(),
        protocol: 47,
        tos: 0,
        ttl: 64,
        df: true,
        payload_octets: 65516,
        id: 0,
    };
    let mut out = [0; 40];
    assert_eq!(write_header(&mut out, &v4), 0);
    let mixed = OuterHeader {
        destination: Ipv6Addr::LOCALHOST.into(),
        payload_octets: 1,
        ..v4
    };
    assert_eq!(write_header(&mut out, &mixed), 0);
    assert_eq!(
        write_header(
            &mut out[..19],
            &OuterHeader {
                payload_octets: 1,
                ..v4
            }
        ),
        0
    );
    assert_eq!(out, [0; 40]);
}
